"""Photos of a catalogue through the stages of the roles `enrich` and `caption`, without a broker: for `weft eval captions`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeAlias

import numpy as np

from infra.store import ObjectStore
from models.yardsticks.captions import Captioned, Product
from models.yardsticks.photos import Photos, UnreadableInput
from processors.errors import Poison
from streams.contract import topics
from streams.contract.codecs import encode
from streams.contract.records import Caption, ImageRef, Item, Upload
from streams.engine.inline import run_inline
from streams.engine.message import Message
from streams.roles.caption.role import Captioner
from streams.roles.enrich import Enrich
from streams.roles.told import Told

Ticking: TypeAlias = Callable[[int], None]
BATCH = 32
"""Products at once: some tens of decoded photos fit any machine."""
_PREFIX = "eval/"


@dataclass(frozen=True, slots=True)
class Trial:
    """Both roles, and the store that the photos lie in while they are enriched (and the memos, for a second run).

    Args:
        store: of the roles; its own and of nobody else.
        enrich: the role.
        captioner: the role; None where only items are wanted.
        shown: where the photos of items lie, by their address: for writers that look at them.
    """

    store: ObjectStore
    enrich: Enrich
    captioner: Captioner | None = None
    shown: dict[str, tuple[Photos, str]] = field(default_factory=dict)

    async def enriched(
        self,
        products: Sequence[Product],
        photos: Photos,
        refused: list[UnreadableInput],
        tick: Ticking,
        *,
        metadata: bool = False,
        first: int = 0,
    ) -> list[tuple[Product, Item]]:
        """The item of every product whose photo can be used; the others are told in `refused`. `first`: how many were asked for before."""
        found: list[tuple[Product, Item]] = []
        rest = iter(enumerate(products, first))
        while batch := list(islice(rest, BATCH)):
            messages = [(self._upload(offset, one, photos, refused, metadata=metadata), one) for offset, one in batch]
            sent = [(message, one) for message, one in messages if message is not None]
            told = await run_inline(self.enrich.stages(), [message for message, _ in sent], _quietly)
            for (_, one), outcome in zip(sent, told, strict=True):
                item = await self.enrich.stands(outcome) if isinstance(outcome, Told) else outcome
                if isinstance(item, Item):
                    found.append((one, item))
                    self.show([(one, item)], photos)
                else:
                    refused.append(UnreadableInput(one.path, f"{one.path}: {item}"))
            self._clear()
            tick(len(batch))
        return found

    async def captioned(self, items: Sequence[tuple[Product, Item]], tick: Ticking) -> list[Captioned]:
        """The caption of every item. All items are neighbours of all, as once a catalogue has been read."""
        self.know([item for _, item in items])
        return await self.written(items, tick)

    def show(self, items: Sequence[tuple[Product, Item]], photos: Photos) -> None:
        """Say where the photos of items lie that were enriched elsewhere."""
        self.shown.update((item.image, (photos, product.path)) for product, item in items)

    def know(self, items: Sequence[Item]) -> None:
        """Let these be neighbours of what is captioned from now on."""
        neighbourhood = self._captioner().neighbourhood
        for message in map(_message, items):
            neighbourhood.apply(message)

    async def written(self, items: Sequence[tuple[Product, Item]], tick: Ticking) -> list[Captioned]:
        """The caption of every item, among the neighbours that are known."""
        captioner = self._captioner()
        found: list[Captioned] = []
        rest = iter(items)
        while batch := list(islice(rest, captioner.batch_items)):
            texts = await run_inline(captioner.stages(), [_message(item) for _, item in batch], _quietly)
            for (product, item), text in zip(batch, texts, strict=True):
                found.append(_captioned(product, item, text))
            tick(len(batch))
        return found

    def _captioner(self) -> Captioner:
        if self.captioner is None:
            raise ValueError("this trial has no captioner")
        return self.captioner

    def _upload(
        self, offset: int, product: Product, photos: Photos, refused: list[UnreadableInput], *, metadata: bool
    ) -> Message | None:
        try:
            data = photos.bytes_of(product.path)
        except Poison as error:
            refused.append(UnreadableInput(product.path, str(error)))
            return None
        key = f"{_PREFIX}{offset}"
        self.store.put(key, data)
        told: dict[str, Any] = dict(product.fields) if metadata else {}
        upload = Upload(product.product_id, ImageRef(uri=self.store.address(key)), told)
        return Message(topics.UPLOADS, 0, offset, product.product_id.encode(), encode(upload))

    def forget(self) -> None:
        """Drop what is remembered of photos and texts: for those who ask once for each."""
        self._clear("memo/")

    def _clear(self, *more: str) -> None:
        """The photos are done with; a catalogue of them would not fit the memory. The memos stay."""
        for prefix in (_PREFIX, "images/", *more):
            for key in list(self.store.list(prefix)):
                self.store.delete(key)


def _message(item: Item) -> Message:
    """Its record, as `enrich` publishes it; it lies where its upload lay."""
    return Message(topics.ITEMS, 0, item.source.offset, item.product_id.encode(), encode(item))


def _quietly(_done: int) -> None:
    """Stages tell nobody; batches do."""


def _captioned(product: Product, item: Item, text: object) -> Captioned:
    if not isinstance(text, Caption):
        raise text if isinstance(text, Exception) else TypeError(f"no caption: {text!r}")
    return Captioned(
        product=product,
        garments=text.evidence.garments,
        width=item.width,
        height=item.height,
        caption=text.caption,
        hashtags=text.hashtags,
        writer=text.writer,
        of_pack=text.coverage,
        drafts_refused=0 if text.provenance is None else len(text.provenance.refused),
        image=next((np.frombuffer(view.vector, "<f4") for view in item.views if view.id == "whole"), None),
    )
