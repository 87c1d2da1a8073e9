"""What stands of a product of which no state is kept: it was uploaded before there were states, or the topic of uploads was
made anew since. Its item on `catalog.items` says what the shop said of it, and where its photos lie: a part is merged into that.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

from infra.store import content_digest
from processors.errors import Code, Poison
from processors.product import PhotoPlace, Product, Said, Stamp
from processors.values import Metadata
from streams.contract import codecs, topics
from streams.contract.cloudevents import output_headers
from streams.contract.records import Item
from streams.engine.message import Message
from streams.roles.product_states import Kept

BEFORE_ALL = Stamp(None, 0, -1, -1)
"""What an item says was said before every upload that is still to be taken in."""
_TEXTS = ("title", "description", "brand", "gender", "fabric", "category", "currency", "launched", "group_id")
_END = 2**62


class Overtaken(Exception):
    """The record is delivered again, and no state of its product is kept: its own item was published, and the one that stands is of a
    later record, which has it in it. Merged once more it would undo what came later.
    """


class ItemsLog(Protocol):
    """`catalog.items`, as it is read here (`streams.kafka.key_order.KafkaLog`)."""

    def between(self, partition: int, first: int, end: int) -> AsyncIterator[Message]:
        """The records from `first` up to `end` (exclusive), as far as they are kept. Raises `Retryable`."""
        ...


class EarlierItems:
    """Finds items by their products. A partition is read once; then the place of each product's last record is known, and which
    events lie there.

    Args:
        opening: opens the log, where it is needed for the first time.
        partition: on which a product's items lie; raises `Retryable`.
    """

    def __init__(
        self, opening: Callable[[], Awaitable[ItemsLog]], partition: Callable[[bytes], Awaitable[int]]
    ) -> None:
        self._opening, self._partition = opening, partition
        self._log: ItemsLog | None = None
        self._places: dict[int, dict[int, int]] = {}
        self._events: dict[int, set[int]] = {}
        self._looking = asyncio.Lock()

    async def of(self, product: str) -> Message | None:
        """The record that stands under a product's key; None for none, or a deletion. Raises `Retryable`."""
        key = product.encode()
        number = await self._partition(key)
        async with self._looking:
            log = self._log = self._log or await self._opening()
            for _ in range(2):  # one that was replaced since, and compacted away, is looked for once more
                if number not in self._places:
                    self._places[number], self._events[number] = await _read(log, number)
                offset = self._places[number].get(hash(key))
                if offset is None:
                    return None
                found = [message async for message in log.between(number, offset, offset + 1)]
                if found:
                    [message] = found
                    return message if message.key == key and message.value else None
                del self._places[number]
        return None

    async def has(self, product: str, event: bytes) -> bool:
        """Whether an item with this `ce_id` was published, as far as it is kept and was there when the partition was read."""
        return hash(event) in self._events.get(await self._partition(product.encode()), ())


async def _read(log: ItemsLog, number: int) -> tuple[dict[int, int], set[int]]:
    places: dict[int, int] = {}
    events: set[int] = set()
    async for message in log.between(number, 0, _END):
        places[hash(message.key)] = message.offset
        events.add(hash(message.header("ce_id")))
    return places, events


async def kept_of(earlier: EarlierItems, product: str, record: Message | None = None) -> Kept | None:
    """What is known of a product by its item; None where none stands.

    Args:
        earlier: finds it.
        product: its key.
        record: the upload that is going to be merged into it.

    Raises:
        Overtaken: that is in it already, and later ones too.
        Poison: one stands, and does not say all that must be known.
        Retryable: the broker is away.
    """
    message = await earlier.of(product)
    if message is None or message.value is None:
        return None
    item = codecs.decode_item(message.value)
    if record is not None and _is_of_a_later(item, record) and await earlier.has(product, _own_event(record)):
        raise Overtaken
    photos = _photos(item)
    if photos is None:
        raise Poison(
            "of this product nothing is kept, and its item does not name its photos by their hashes: send it once with its "
            "photo and all its metadata",
            field="image",
            code=Code.MISSING_FIELD,
        )
    return Kept(_product(item.metadata, photos), hashlib.sha256(message.value).digest())


def _is_of_a_later(item: Item, record: Message) -> bool:
    topic, partition, offset = record.first_source
    return (item.source.topic, item.source.partition) == (topic, partition) and item.source.offset > offset


def _own_event(record: Message) -> bytes:
    """The id of the item that is made of a record."""
    return dict(output_headers(record, stage="enrich", topic=topics.ITEMS))["ce_id"]


def _product(metadata: Metadata, photos: tuple[PhotoPlace, ...]) -> Product:
    said = {name: Said(value, BEFORE_ALL) for name, value in said_in(metadata).items()}
    pictured = BEFORE_ALL if photos else None
    return Product(said, photos, replaced=BEFORE_ALL, pictured=pictured, touched=BEFORE_ALL)


def said_in(metadata: Metadata) -> dict[str, Any]:
    """What a shop may have sent to be understood so (`metadata_of`)."""
    found: dict[str, Any] = {name: getattr(metadata, name) for name in _TEXTS if getattr(metadata, name)}
    for name in ("price", "sale_price", "in_stock"):
        if getattr(metadata, name) is not None:
            found[name] = getattr(metadata, name)
    for name in ("sizes", "category_path", "tags"):
        if getattr(metadata, name):
            found[name] = list(getattr(metadata, name))
    return {**metadata.facets, **metadata.more, **found}


def _photos(item: Item) -> tuple[PhotoPlace, ...] | None:
    given = (
        [(photo.image, photo.role) for photo in item.photos]
        if isinstance(item.photos, tuple)
        else [(item.image, "")] * bool(item.image)
    )
    found = [PhotoPlace(address, content_digest(address), role) for address, role in given]
    return tuple(found) if all(place.digest for place in found) else None
