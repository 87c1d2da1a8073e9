"""The labelled neighbours of the caption role: a bounded view of `catalog.items`, kept beside the language model."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from index_sync.bank import LabelledBank, Neighbour
from infra.logs import logger
from processors import attributes, policies
from processors.errors import Poison
from processors.garments import is_of_kind, kind_of
from processors.identity import key_of, split
from processors.values import CATEGORIES, Metadata, Vector
from streams.contract import codecs
from streams.contract.records import Item
from streams.engine.message import Message
from streams.roles.essence import essence_of
from streams.roles.sold import sold_garment

log = logger("weft.caption")

KIND_CAPACITY = 10_000
"""Labelled products of one shop and kind of garment that are kept; the one written longest ago gives way. There are eleven kinds."""
MOST_PRODUCTS = 110_000
"""Labelled products of all shops together: as many as one shop may have of eleven kinds."""
ROOM_EVERY = 500
MAX_ENCODERS = 2
"""While a catalogue is embedded anew, items of the old and of the new encoder are about; older ones are history."""
SNIPPET = 200
"""Characters of the shop's own copy that are kept as an example of its tone."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """One labelled product, as a bank holds it. `product`: its key; `version`: the offset of its item; `vector`: float32."""

    encoder: str
    kind: str
    product: str
    version: int
    labels: Mapping[str, str]
    text: str
    vector: Vector


Finder: TypeAlias = Callable[[str, str, str, Vector, int, str], Sequence[Neighbour]]
"""Encoder, shop, kind, vector, how many, and who asks → the nearest labelled products, as `Neighbourhood.find`."""
_Shelf: TypeAlias = tuple[str, str]
"""Shop ("" for none) and kind of garment."""


class Neighbourhood:
    """One bank for each encoder, shop and kind of garment. One writer (`apply`), many readers.

    Vectors of different makers never meet; nor do products of two shops, whose words are their own; nor do shoes and dresses,
    for the nearest dress of a catalogue of dresses knows nothing of a shoe.

    Args:
        voted: the facets that neighbours may decide; a product that knows none of them is no neighbour.
        capacity: products of each kind of a shop.
        most: products of an encoder, of all shops; past it the shop whose last item is oldest is forgotten.
    """

    def __init__(
        self,
        voted: Sequence[str] = policies.Policies().voted(),
        capacity: int = KIND_CAPACITY,
        most: int = MOST_PRODUCTS,
    ) -> None:
        self._voted = tuple(voted)
        self._capacity = capacity
        self._most = most
        self._banks: OrderedDict[str, dict[_Shelf, LabelledBank]] = OrderedDict()
        self._added = 0
        self._shops: OrderedDict[tuple[str, str], None] = (
            OrderedDict()
        )  # encoder and shop, the one written longest ago first
        # Product → what was read of it last, but its columns, and where it is kept since.
        self._read: OrderedDict[str, tuple[bytes, tuple[str, _Shelf] | None]] = OrderedDict()

    def apply(self, message: Message) -> None:
        """Take in one record of `catalog.items`. What cannot be read is left to the pipeline, which reports it."""
        product = (message.key or b"").decode("utf-8", "replace")
        shop, product_id = split(product)
        if message.value is None:
            self._read.pop(product, None)
            self._remove(shop, product_id, message.offset)
            return
        essence, _ = essence_of(message.value, b"")
        if essence and self._is_as_read(product, product_id, essence):
            return  # another price
        try:
            item = codecs.decode_item(message.value)
            self._read[product] = essence, self._add(item, message.offset)
        except Poison as error:
            self._read.pop(product, None)
            log.info("no neighbour", product_id=product_id, cause=str(error))
        while len(self._read) > self._most:
            self._read.popitem(last=False)

    def _is_as_read(self, product: str, product_id: str, essence: bytes) -> bool:
        """Whether this was taken in already, and is kept still where it was put."""
        known, place = self._read.get(product, (b"", None))
        if known != essence:
            return False
        if place is None:
            return True
        encoder, shelf = place
        bank = self._banks.get(encoder, {}).get(shelf)
        if bank is None or product_id not in bank:
            return False
        self._shops.move_to_end((encoder, shelf[0]))
        return True

    def find(self, encoder: str, shop: str, kind: str, vector: Vector, k: int, exclude: str) -> Sequence[Neighbour]:
        """The `k` nearest labelled products of the same encoder, shop and kind (see `kind_of_item`), nearest first.

        Without `exclude`, the id of the product that asks.
        """
        bank = self._banks.get(encoder, {}).get((shop, _shelf(kind)))
        return () if bank is None else bank.neighbours(vector, k, exclude)

    def entries(self) -> list[Labelled]:
        """Everything, in the order in which `put` makes the same of it."""
        return [
            Labelled(encoder, kind, key_of(shop, product_id), version, labels, text, vector)
            for encoder, shelves in self._banks.items()
            for (shop, kind), bank in shelves.items()
            for product_id, version, labels, text, vector in bank.entries()
        ]

    def put(self, labelled: Labelled) -> None:
        """Take in one of `entries`. Raises `Poison` for a vector that cannot be one."""
        shop, product_id = split(labelled.product)
        bank = self._bank(labelled.encoder, (shop, labelled.kind), len(labelled.vector))
        bank.add(product_id, labelled.version, labelled.vector, labelled.labels, labelled.text)

    def clear(self) -> None:
        """Forget everything."""
        self._banks.clear()
        self._shops.clear()
        self._read.clear()

    def _add(self, item: Item, version: int) -> tuple[str, _Shelf] | None:
        """Take in an item; where it is kept, if it is."""
        labels = labels_of(item.metadata, self._voted)
        if item.incomplete is True:
            self._remove(item.shop, item.product_id, version)
            return None
        garment = sold_garment(item)
        # Labelled once and no more, or seen as another kind than before: what the shop took back must not vote, and what it
        # says of a dress says nothing of the shoes, where only those were found.
        told = bool(labels) and (garment is None or is_of_kind(garment, item.metadata.category))
        shelf = (item.shop, _shelf(kind_of_item(item)))
        self._remove(item.shop, item.product_id, version, but=(item.encoder, shelf) if told else None)
        if not told:
            return None
        vector = vector_of(item, "whole" if garment is None else garment.id)
        if vector is None:
            raise Poison("the item has no vector of its main garment", field="views")
        text = item.metadata.description or item.metadata.title
        bank = self._bank(item.encoder, shelf, item.dimension)
        bank.add(item.product_id, version, vector, labels, text[:SNIPPET])
        return item.encoder, shelf

    def _bank(self, encoder: str, shelf: _Shelf, dimension: int) -> LabelledBank:
        if encoder not in self._banks:
            self._banks[encoder] = {}
            while len(self._banks) > MAX_ENCODERS:
                self._banks.popitem(last=False)
        shelves = self._banks[encoder]
        if shelf not in shelves:
            # As a new dict: `find` reads in another thread.
            shelves = self._banks[encoder] = {**shelves, shelf: LabelledBank(dimension, self._capacity)}
        self._shops[encoder, shelf[0]] = None
        self._shops.move_to_end((encoder, shelf[0]))
        self._make_room(encoder, shelf[0])
        return self._banks[encoder][shelf]

    def _make_room(self, encoder: str, but: str) -> None:
        self._added += 1
        if self._added % ROOM_EVERY:
            return  # counted now and then: there may be thousands of banks
        while sum(map(len, self._banks[encoder].values())) > self._most:
            oldest = next((s for e, s in self._shops if e == encoder and s != but), None)
            if oldest is None:
                return
            del self._shops[encoder, oldest]
            self._banks[encoder] = {at: bank for at, bank in self._banks[encoder].items() if at[0] != oldest}

    def _remove(self, shop: str, product_id: str, version: int, but: tuple[str, _Shelf] | None = None) -> None:
        for encoder, shelves in self._banks.items():
            for shelf in [(shop, kind) for kind in (*CATEGORIES, "")]:
                bank = shelves.get(shelf)
                if bank is not None and (encoder, shelf) != but:
                    bank.remove(product_id, version)


def nearest(own: Sequence[Neighbour], further: Sequence[Neighbour], k: int) -> tuple[Neighbour, ...]:
    """The nearest of both, each product once: what the catalogue says of a product goes before what is said elsewhere."""
    known = {neighbour.product_id for neighbour in own}
    both = [*own, *(neighbour for neighbour in further if neighbour.product_id not in known)]
    return tuple(sorted(both, key=lambda neighbour: (-neighbour.similarity, neighbour.product_id))[:k])


def kind_of_item(item: Item) -> str:
    """The kind of garment that a product is: what was found, else what the shop says; "" when neither tells."""
    garment = sold_garment(item)
    return kind_of(item.metadata.category) if garment is None else garment.category


def _shelf(kind: str) -> str:
    """The name of a kind's bank: all that is no class of the detector shares one, so that their number is bounded."""
    return kind if kind in CATEGORIES else ""


def vector_of(item: Item, view_id: str) -> Vector | None:
    """The vector of one view of an item: float32, (dimension,)."""
    view = next((view for view in item.views if view.id == view_id), None)
    return None if view is None else np.frombuffer(view.vector, dtype="<f4")


def labels_of(metadata: Metadata, voted: Sequence[str]) -> dict[str, str]:
    """What a labelled product may teach its neighbours."""
    return {facet: a.value for facet, a in attributes.attributes_of(metadata).items() if facet in voted}
