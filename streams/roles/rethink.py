"""Items thought again: a record of `catalog.items`, by the models of another profile, becomes one of a generation's own topic.

read (the photo that lies in our store, or what the memo knows of it) → decode → detect → describe → embed → item

The same product, photo, words and partition; other garments and vectors. What cannot be thought again is deleted on the
generation's topic: an older photo's vector would answer for it otherwise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import msgspec

from infra.logs import logger
from infra.store import NotFound, content_digest
from processors.errors import Code, Poison
from processors.identity import key_of
from processors.product import PhotoPlace
from streams.contract import codecs
from streams.contract.cloudevents import output_headers
from streams.contract.records import Item
from streams.contract.urgency import said_of
from streams.engine.failures import Failure
from streams.engine.message import ANSWER, CONTEXT, EDITION, PRIORITY, REACHED, Message
from streams.engine.stages import Done, IoStage, Stage
from streams.kafka.producer import Sender
from streams.roles import reserve
from streams.roles.enrich import Enrich
from streams.roles.outcome import Deleted, NoEffect, deleted
from streams.roles.seeing import SERVING_SIDE
from streams.roles.work import About, Embedded, Known, Photo, Work

log = logger("weft.rethink")

STAGE = "rethink"

_CARRIED = frozenset({ANSWER, CONTEXT, EDITION, PRIORITY})

Rethought = Item | Deleted | NoEffect


@dataclass(frozen=True, slots=True)
class Counts:
    """Told what became of each record."""

    known: Callable[[], None] = lambda: None
    thought: Callable[[], None] = lambda: None
    lost: Callable[[str, str], None] = lambda _product, _cause: None


def _wanted(_message: Message) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Rethink:
    """The stages, on top of those of `enrich` with the other profile's models.

    Args:
        enrich: that role, with the models that think.
        counts: see there.
        wanted: whether a record is to be thought about; one that a newer record of its product follows is not.
    """

    enrich: Enrich
    counts: Counts = Counts()
    wanted: Callable[[Message], bool] = _wanted

    def stages(self) -> tuple[Stage, ...]:
        """The story."""
        read = IoStage("read", self.read, concurrency=16, size=_size)
        return (read, *self.enrich.stages()[1:-1], IoStage("remember", self.remember))

    async def read(self, message: Message) -> Work[Photo] | Done[Rethought]:
        """Find the photos of the item, or what was thought of them before."""
        if not self.wanted(message):
            return Done(NoEffect())
        if message.value is None:
            return Done(deleted(message))
        item = _item_in(message)
        if item is None:
            return Done(NoEffect())  # no index takes it: what stands, stands
        about = About(item.product_id, None, None, True, True, item.source, item.shop, item)
        photos = [await self._photo(place) for place in _places(item)]
        if any(isinstance(photo, Photo) for photo in photos):
            return Work(about, tuple(photos))
        self.counts.known()
        return Done(self._item(about, [photo for photo in photos if isinstance(photo, Known)]))

    async def _photo(self, place: PhotoPlace) -> Photo | Known:
        enrich, key = self.enrich, self.enrich.store.key_of(place.address)
        if key is None:
            raise Poison(f"{place.address[:200]} is not in the store", field="image", code=Code.NOT_FOUND)
        named = content_digest(key)
        content = await enrich.known(named) if named else None
        if content is not None:
            return Known(msgspec.structs.replace(place, digest=named), content)
        try:
            data = await enrich.in_thread(enrich.store.get, key)
        except NotFound:
            raise Poison(f"{key} is not in the store", field="image", code=Code.NOT_FOUND) from None
        place = msgspec.structs.replace(place, digest=hashlib.sha256(data).hexdigest())
        content = await enrich.known(place.digest)
        return Photo(place, data, "") if content is None else Known(place, content)

    def _item(self, about: About, photos: Sequence[Known]) -> Item:
        """The record of the product of whose photos this is known."""
        assert about.again is not None  # nothing else comes here
        places, contents = [photo.place for photo in photos], {photo.place.digest: photo.content for photo in photos}
        return self.enrich.items.item(about.product, about.again.metadata, places, contents, about.source)

    async def remember(self, work: Work[Embedded]) -> Item:
        """Keep what the models said, so that a replay that was killed publishes the same bytes."""
        item = self._item(work.about, await self.enrich.thought(work.photos))
        self.counts.thought()
        return item


def _places(item: Item) -> list[PhotoPlace]:
    """Where the photos of an item lie; none of one that is incomplete."""
    if isinstance(item.photos, tuple):
        return [PhotoPlace(photo.image, "", photo.role) for photo in item.photos]
    return [] if item.incomplete is True else [PhotoPlace(item.image, "")]


def _size(work: Work[Photo]) -> int:
    return sum(reserve.held_by(photo.data, SERVING_SIDE) for photo in work.new())


def _item_in(message: Message) -> Item | None:
    try:
        item = codecs.decode_item(message.value or b"")
    except Poison:
        return None
    return item if key_of(item.shop, item.product_id).encode() == message.key else None


def product_key(message: Message) -> bytes:
    """The key of the product that a record of items or uploads is of; empty where it does not say."""
    return said_of(message).product


@dataclass(frozen=True, slots=True)
class ItemsSender:
    """Publishes to a generation's own items topic, each record in the partition of the record it was made of.

    Args:
        sender: to the broker.
        topic: the generation's.
        partition: of the record that is made of this one; None: the same number.
        counts: told what was lost.
    """

    sender: Sender
    topic: str
    partition: Callable[[Message], int] | None = None
    counts: Counts = Counts()

    async def publish(self, message: Message, outcome: object) -> Sequence[Awaitable[object]]:
        """`publish` of a pipeline."""
        record = getattr(outcome, "record", outcome)  # `Unchanged` holds what was published before
        if isinstance(record, Item | Deleted):
            value = codecs.encode(record) if isinstance(record, Item) else None
            return [await self._send(message, key_of(record.shop, record.product_id).encode(), value)]
        return []

    async def lost(self, failure: Failure) -> Sequence[Awaitable[object]]:
        """`dead_letter` of a pipeline. The upload is no letter: what `enrich` made of it stands."""
        key = product_key(failure.message)
        log.warning("not thought again", product=key.decode("utf-8", "replace"), cause=str(failure.error))
        self.counts.lost(key.decode("utf-8", "replace"), str(failure.error))
        return [await self._send(failure.message, key, None)] if key else []

    async def _send(self, message: Message, key: bytes, value: bytes | None) -> Awaitable[object]:
        headers = output_headers(message, stage=STAGE, topic=self.topic)
        # Captions may be made of this record: what was asked of the item is asked of it.
        headers = (*headers, *((name, value) for name, value in message.headers if name in _CARRIED))
        place = message.partition
        if self.partition is None:
            headers = (*headers, (REACHED, str(message.offset).encode()))
        else:
            place = self.partition(message)
        return await self.sender.send(self.topic, key=key, value=value, headers=headers, partition=place)
