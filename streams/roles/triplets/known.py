"""What the role `triplets` knows: the garments of the catalogue, and which triplets each product is part of. Both are bounded."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from index_sync.bank import LabelledBank
from infra.logs import logger
from processors.errors import Poison
from processors.identity import key_of
from processors.triplets import Garment, comparable
from processors.values import Vector
from streams.contract import codecs
from streams.contract.records import Item
from streams.engine.message import Message
from streams.roles.index.entries import reference_facets, stated_facets
from streams.roles.sold import sold_garment

log = logger("weft.triplets")

MAX_ENCODERS = 2
MOST_SHELVES = 4096


@dataclass(frozen=True, slots=True)
class Shown:
    """A product as it can be paired: its garment, the vector of it, and with whom it may be compared."""

    garment: Garment
    vector: Vector
    encoder: str
    shelf: tuple[str, str]


def shown_in(item: Item) -> Shown | None:
    """What an item shows; None where it has no photo, no garment, or no vector of it."""
    main = sold_garment(item)
    if item.incomplete is True or main is None:
        return None
    view = next((view for view in item.views if view.id == main.id), None)
    if view is None:
        return None
    facets = comparable(reference_facets(item.metadata, stated_facets(item.metadata), main))
    garment = Garment(key_of(item.shop, item.product_id), item.image, facets)
    return Shown(garment, np.frombuffer(view.vector, "<f4"), item.encoder, (item.shop, main.category))


class Catalogue:
    """The garments that a new one can be paired with, by encoder, shop and category. One writer, many readers.

    Args:
        most: products of all together; past it the shelf that was written longest ago is forgotten.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._banks: OrderedDict[tuple[str, str, str], LabelledBank] = OrderedDict()
        self._where: OrderedDict[str, tuple[str, str, str]] = OrderedDict()
        self._deleted: OrderedDict[str, None] = OrderedDict()
        self.overflowed = False
        """Whether something was ever forgotten to make room: then a product that is not here may still be in the catalogue."""
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._where)

    def __contains__(self, product: str) -> bool:
        return product in self._where

    def is_deleted(self, product: str) -> bool:
        """Whether it was deleted, or shows nothing any more, while this process looked."""
        return product in self._deleted

    def apply(self, message: Message) -> None:
        """Take in one record of `catalog.items`; what cannot be read is left to the pipeline, which reports it."""
        key = (message.key or b"").decode("utf-8", "replace")
        try:
            item = None if message.value is None else codecs.decode_item(message.value)
            shown = None if item is None else shown_in(item)
            with self._lock:
                self._put(key, message.offset, shown)
        except Poison as error:
            log.info("no candidate", product=key, cause=str(error))

    def near(self, shown: Shown, count: int) -> list[tuple[Garment, float]]:
        """The nearest garments of the same encoder, shop and category, nearest first; not the product itself."""
        bank = self._banks.get((shown.encoder, *shown.shelf))
        if bank is None:
            return []
        found = bank.neighbours(shown.vector, count, shown.garment.product)
        return [(Garment(n.product_id, n.text, n.labels), n.similarity) for n in found]

    def garment(self, product: str, shown: Shown) -> tuple[Garment, float] | None:
        """One product and how alike it is, where it can be compared with `shown`."""
        key = (shown.encoder, *shown.shelf)
        if self._where.get(product) != key:
            return None
        found = self._banks[key].one(product)
        return None if found is None else (Garment(product, found[2], found[1]), float(found[0] @ shown.vector))

    def _put(self, product: str, version: int, shown: Shown | None) -> None:
        before = self._where.get(product)
        key = None if shown is None else (shown.encoder, *shown.shelf)
        if before is not None and before != key:
            self._banks[before].remove(product, version)
            del self._where[product]
        if shown is None or key is None:
            self._deleted[product] = None
            while len(self._deleted) > self._most:
                self._deleted.popitem(last=False)
            return
        self._deleted.pop(product, None)
        bank = self._banks.get(key) or LabelledBank(len(shown.vector), self._most)
        self._banks[key] = bank
        self._banks.move_to_end(key)
        bank.add(product, version, shown.vector, dict(shown.garment.facets), shown.garment.image)
        self._where[product] = key
        self._where.move_to_end(product)
        while len(self._where) > self._most:
            gone, shelf = self._where.popitem(last=False)
            self._banks[shelf].forget(gone)
            self.overflowed = True
        while len(self._banks) > MOST_SHELVES:
            gone_key, _ = self._banks.popitem(last=False)
            self.overflowed = True
            self._where = OrderedDict((p, k) for p, k in self._where.items() if k != gone_key)


class Pairs:
    """Which triplets there are, by the products that they are of: what a deleted product takes with it.

    Args:
        most: triplets; past it those written longest ago are forgotten here, and stay on the topic until their reference comes again.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._both: OrderedDict[str, tuple[str, str]] = OrderedDict()
        self._of: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._both)

    def apply(self, message: Message) -> None:
        """Take in one record of `catalog.triplets`."""
        name = (message.key or b"").decode("utf-8", "replace")
        if message.value is None:
            self.remove(name)
            return
        try:
            triplet = codecs.decode_triplet(message.value)
        except Poison:
            return  # not one of ours
        sides = (triplet.reference, triplet.target)
        self.add(name, *(key_of(side.shop, side.product_id) for side in sides))

    def add(self, name: str, reference: str, target: str) -> None:
        """There is a triplet of these two."""
        with self._lock:
            self._both[name] = (reference, target)
            self._both.move_to_end(name)
            for product in (reference, target):
                self._of.setdefault(product, set()).add(name)
            while len(self._both) > self._most:
                self._forget(next(iter(self._both)))

    def named(self, name: str) -> tuple[str, ...]:
        """Reference and target of a triplet; () where it is not known."""
        with self._lock:
            return self._both.get(name, ())

    def sides(self) -> list[tuple[str, str, str]]:
        """(id, reference, target) of all, by id."""
        with self._lock:
            return [(name, *self._both[name]) for name in sorted(self._both)]

    def remove(self, name: str) -> None:
        """It is deleted."""
        with self._lock:
            if name in self._both:
                self._forget(name)

    def of(self, product: str) -> list[tuple[str, str, str]]:
        """(id, reference, target) of each triplet of a product, by id."""
        with self._lock:
            return [(name, *self._both[name]) for name in sorted(self._of.get(product, ()))]

    def _forget(self, name: str) -> None:
        for product in self._both.pop(name):
            names = self._of.get(product, set())
            names.discard(name)
            if not names:
                self._of.pop(product, None)


class Progress:
    """How far the catalogue has been followed, by partition; who needs a record to be in it waits for that. On one event loop."""

    def __init__(self) -> None:
        self._next: dict[int, int] = {}
        self._changed = asyncio.Condition()

    async def passed(self, message: Message) -> None:
        """A record has been taken in."""
        async with self._changed:
            self._next[message.partition] = message.offset + 1
            self._changed.notify_all()

    async def reached(self, message: Message) -> None:
        """Returns once this record, or a later one of its partition, has been taken in."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._next.get(message.partition, 0) > message.offset)
