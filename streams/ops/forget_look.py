"""What the topics say of products that are to be forgotten: their own records, who else's photos theirs are, and who names them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from infra.store import ObjectStore
from processors.errors import Poison
from processors.identity import key_of, shop_of, split
from streams.contract import codecs, topics
from streams.contract.articles import without_context
from streams.contract.checks import photos_of
from streams.contract.records import Caption, Item
from streams.contract.urgency import said_of
from streams.engine.message import Message
from streams.kafka.client import caption_in
from streams.ops.dlq_letters import read_letter

TOPICS = (topics.UPLOADS, topics.ITEMS, topics.CAPTIONS, topics.DEAD_LETTERS)


def _of_triplet(value: bytes) -> Iterable[str]:
    found = codecs.decode_triplet(value)
    return (key_of(side.shop, side.product_id) for side in (found.reference, found.target))


def _of_neighbours(value: bytes) -> Iterable[str]:
    found = codecs.decode_neighbours(value)
    return (key_of(found.shop, one) for one in (found.product_id, *(near.product_id for near in found.neighbours)))


def _of_match(value: bytes) -> Iterable[str]:
    found = codecs.decode_match(value)
    return (key_of(found.shop, found.product_id),) if found.product_id else ()


def _of_duplicates(value: bytes) -> Iterable[str]:
    found = codecs.decode_duplicates(value)
    return (key_of(found.shop, one) for one in (found.product_id, *(other.product_id for other in found.duplicates)))


def _of_pictured(value: bytes) -> Iterable[str]:
    found = codecs.decode_pictured(value)
    return (key_of(found.shop, found.product_id),)


class Beside(NamedTuple):
    """A topic whose records name several products.

    `role`: takes away, or writes anew, what names one that is gone. `by_product`: its keys are those of products.
    """

    products: Callable[[bytes], Iterable[str]]
    role: str
    by_product: bool = False


BESIDE = {
    topics.TRIPLETS: Beside(_of_triplet, "triplets"),
    topics.SIMILAR: Beside(_of_neighbours, "standing", by_product=True),
    topics.MATCHES: Beside(_of_match, "standing"),
    topics.DUPLICATES: Beside(_of_duplicates, "duplicates", by_product=True),
    topics.PICTURED: Beside(_of_pictured, "context", by_product=True),
}
"""Read-only."""


Meant = Callable[[str], bool]
"""Whether a product's key is meant."""


@dataclass(slots=True)
class Seen:
    """What the topics say, in one pass.

    `values`, `deletes`: records of the products, by topic. `live`: keys whose last record has a value, by topic. `sources`: where their
    uploads lie. `mine`, `theirs`: addresses of photos. `citing`: products whose caption names one of them. `beside`: key and partition
    of the records of `BESIDE` that name one of them now, by topic.
    """

    keys: set[str] = field(default_factory=set)
    values: dict[str, int] = field(default_factory=dict)
    deletes: dict[str, int] = field(default_factory=dict)
    live: dict[str, set[str]] = field(default_factory=dict)
    sources: set[tuple[int, int]] = field(default_factory=set)
    shops: dict[tuple[int, int], str] = field(default_factory=dict)
    texts: set[str] = field(default_factory=set)
    mine: set[str] = field(default_factory=set)
    theirs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    citing: dict[str, None] = field(default_factory=dict)
    beside: dict[str, set[tuple[bytes, int]]] = field(default_factory=dict)

    def ownerless(self, meant: Meant) -> dict[str, set[tuple[bytes, int]]]:
        """Of `beside`, what is kept of products that are forgotten or were never there: no role writes it anew."""
        found: dict[str, set[tuple[bytes, int]]] = {}
        for topic, places in self.beside.items():
            if BESIDE[topic].by_product:
                found[topic] = {place for place in places if self._of_none(place[0].decode("utf-8", "replace"), meant)}
        return {topic: places for topic, places in found.items() if places}

    def _of_none(self, key: str, meant: Meant) -> bool:
        return meant(key) or f"{topics.ITEMS} {key}" not in self.theirs


def meant_by(products: Collection[str], shop: str) -> Meant:
    """These products of the shop ("" for none); without any, all of the shop's."""
    keys = {key_of(shop, product_id) for product_id in products}
    return (lambda key: key in keys) if keys else (lambda key: shop_of(key) == shop)


class Look:
    """Reads records one by one into a `Seen`."""

    def __init__(self, store: ObjectStore, meant: Meant, ids: Collection[str], shop: str) -> None:
        self._store, self._meant, self._shop = store, meant, shop
        self._ids = set(ids)
        self.seen = Seen()

    def take(self, record: Message) -> None:
        """The next record of one of `TOPICS` or `BESIDE`, in the order of its partition; uploads before all others."""
        topic = record.topic
        if topic in BESIDE:
            self._beside(record)
            return
        asked = record if topic != topics.DEAD_LETTERS else _of_letter(record)
        key = said_of(asked).product.decode("utf-8", "replace")
        if topic == topics.UPLOADS:
            self.seen.shops[record.partition, record.offset] = shop_of(key)
        if key and self._meant(key):
            self._mine(topic, key, record)
        elif topics.is_items(topic) or topic == topics.UPLOADS:
            self._theirs(f"{topic} {key}", record)
        elif topic == topics.CAPTIONS:
            self._cites(key, record)

    def _mine(self, topic: str, key: str, record: Message) -> None:
        seen = self.seen
        seen.keys.add(key)
        self._ids.add(split(key)[1])
        counted = seen.values if record.value else seen.deletes
        counted[topic] = counted.get(topic, 0) + 1
        live = seen.live.setdefault(topic, set())
        (live.add if record.value else live.discard)(key)
        if topic == topics.UPLOADS:
            seen.sources.add((record.partition, record.offset))
            seen.mine.update(self._photos_of_upload(record))
        elif topics.is_items(topic) and (item := _item(record)) is not None:
            seen.mine.update(codecs.images_of(item))
            seen.sources.add((item.source.partition, item.source.offset))
        elif topic == topics.CAPTIONS and (caption := caption_in(record)) is not None:
            seen.texts |= {caption.caption, without_context(caption)}

    def _beside(self, record: Message) -> None:
        """A record of several products; its deletion is one of ours where the record before it was.

        A record that another client placed by CRC-32 stands in its own partition until it is deleted there.
        """
        key, places = record.key or b"", self.seen.beside.setdefault(record.topic, set())
        place = (key, record.partition)
        ours = place in places
        if record.value is not None:
            with suppress(Poison):
                ours = any(self._meant(one) for one in BESIDE[record.topic].products(record.value))
        counted = self.seen.deletes if record.value is None else self.seen.values
        if ours:
            counted[record.topic] = counted.get(record.topic, 0) + 1
        (places.add if ours and record.value is not None else places.discard)(place)
        self.seen.live[record.topic] = {one.decode("utf-8", "replace") for one, _ in places}

    def _photos_of_upload(self, record: Message) -> list[str]:
        try:
            upload = codecs.decode_upload(record)
        except Poison:
            return []
        uris = [photo.uri for _, photo in photos_of(upload) if photo.uri] if upload is not None else []
        return [self._store.address(key) for uri in uris if (key := self._store.key_of(uri)) is not None]

    def _theirs(self, key: str, record: Message) -> None:
        if not record.value:
            self.seen.theirs.pop(key, None)
        elif record.topic == topics.UPLOADS:
            # It may still wait for its item. One that gives no photo leaves those of before.
            if photos := self._photos_of_upload(record):
                self.seen.theirs[key] = tuple(photos)
        elif (item := _item(record)) is not None:
            self.seen.theirs[key] = codecs.images_of(item)

    def _cites(self, key: str, record: Message) -> None:
        caption = caption_in(record)
        self.seen.citing.pop(key, None)
        if caption is not None and caption.shop == self._shop and not _cited(caption).isdisjoint(self._ids):
            self.seen.citing[key] = None


def _item(record: Message) -> Item | None:
    try:
        return None if record.value is None else codecs.decode_item(record.value)
    except Poison:
        return None


def _cited(caption: Caption) -> set[str]:
    found = {example.product_id for example in caption.evidence.style_examples}
    for garment in caption.evidence.garments:
        found.update(n for attribute in garment.attributes.values() for n in attribute.neighbours)
    return found


def _of_letter(record: Message) -> Message:
    return replace(record, topic=read_letter(record).topic)
