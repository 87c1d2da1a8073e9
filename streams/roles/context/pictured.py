"""Which pictures of articles are a product's photo, as it stands on `catalog.pictured`: a view in memory."""

from __future__ import annotations

from infra.logs import logger
from processors.errors import Poison
from streams.contract import codecs
from streams.contract.records import Pictured, PictureIn
from streams.engine.message import Message
from streams.roles.context.view import View

log = logger("weft.context")

TOLD = "weft_told"
"""Header of a record whose product's caption was asked for."""


class PicturedView(View):
    """One writer (`apply`, `put`), many readers."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[str, Pictured] = {}
        self._untold: set[str] = set()

    def apply(self, message: Message) -> None:
        """Take in one record of the topic; what cannot be read stands for nothing."""
        key = (message.key or b"").decode("utf-8", "replace")
        try:
            self.put(key, codecs.decode_pictured(message.value) if message.value else None)
        except Poison as error:
            log.info("nothing pictured", offset=message.offset, cause=str(error))
            self.put(key, None)
        (self._untold.add if message.header(TOLD) is None else self._untold.discard)(key)
        self.noted(message)

    def put(self, product: str, found: Pictured | None) -> None:
        """What stands under a product from now on."""
        if found is None:
            self._known.pop(product, None)
        else:
            self._known[product] = found

    def get(self, product: str) -> Pictured | None:
        """What stands under a product."""
        return self._known.get(product)

    def products(self) -> list[str]:
        """The products of which something stands."""
        return list(self._known)

    def untold(self) -> frozenset[str]:
        """The products whose captions were not asked for since their last record, as far as records say."""
        return frozenset(self._untold)

    def of(self, product: str, image: str) -> tuple[PictureIn, ...]:
        """The pictures that are this photo of a product; none where they were found for another photo of it."""
        found = self._known.get(product)
        return found.pictures if found is not None and found.image == image else ()

    def showing(self, shop: str, picture: str) -> list[str]:
        """The products of a shop whose photo is this picture."""
        return [
            product
            for product, found in self._known.items()
            if found.shop == shop and any(one.picture == picture for one in found.pictures)
        ]
