"""What is known of each product, and which item of it stands on the topic: one object in the store for each.

It is written once the broker has the item, before its upload is acknowledged: a process that dies between the two takes the
upload in again, onto the same state. Nobody writes over what another worker has written: who finds it changed begins anew.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import msgspec
import structlog

from infra.store import ETag, NotFound, ObjectStore
from infra.threads import InThread
from processors.errors import Retryable
from processors.product import Product
from streams.contract.records import Source

log = structlog.get_logger(__name__)

PREFIX = "products"
NOTHING = Product()
PEEKED = 10_000
"""Products that were read for uploads on their way, at most."""
PEEKED_S = 30.0
"""For so long what was read is as good as read now: only who holds the partition writes, and another writer is found out."""


class Kept(msgspec.Struct, frozen=True):
    """What is known of a product, and of its item on the topic: the hash of its bytes, and the id of the topic.

    `made`: by which models and rules (`Items.maker`); `source`: the upload that it was made for.
    """

    product: Product = NOTHING
    digest: bytes = b""
    topic: str = ""
    made: str = ""
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What was read. `tag`: of the object; None: there was none."""

    kept: Kept
    tag: ETag | None = None


@dataclass(slots=True, eq=False)
class _Peeked:
    """What was read of a product whose upload is on its way; `at`: when. None: it is being read."""

    known: Known | None = None
    at: float = 0.0


@dataclass(slots=True)
class _Flying:
    """A product with records on their way, numbered in their order.

    `known`: as the last of them leaves it; `arrived`: as the last of those leaves it that are delivered, with all before them;
    `written`: what the store has. `last`: done once the last record is delivered, or failed.
    """

    known: Kept
    written: Kept
    tag: ETag | None
    arrived: tuple[int, Kept]
    number: int = 0
    written_number: int = 0
    count: int = 0
    broken: bool = False
    last: asyncio.Future[None] | None = None
    data: bytes = field(default=b"")
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)


class Products:
    """The products of one topic of uploads.

    Args:
        store: keeps them.
        uploads: the id of the topic of uploads: one that is made anew begins anew. Raises `Retryable` while nobody can say it.
        items: the id of the topic of items, likewise.
        in_thread: runs what waits for the store.
        before: what is known by its item of a product that has no state.
    """

    def __init__(
        self,
        store: ObjectStore,
        uploads: Callable[[], Awaitable[str]],
        items: Callable[[], Awaitable[str]],
        in_thread: InThread,
        before: Callable[[str], Awaitable[Kept | None]] | None = None,
    ) -> None:
        self._store, self._uploads, self._items, self._in_thread = store, uploads, items, in_thread
        self._before = before
        self._prefix = ""
        self._topic = ""
        self._flying: dict[str, _Flying] = {}
        self._peeked: OrderedDict[str, _Peeked] = OrderedDict()

    async def topic(self) -> str:
        """The id of the topic of items."""
        if not self._topic:
            self._topic = await self._items()
        return self._topic

    async def now(self, product_id: str, record: tuple[int, int] | None = None) -> Known:
        """What is known of a product, what is on its way among it. Raises `Retryable`: the store is away.

        Args:
            product_id: the product.
            record: partition and offset of the record that is going to be taken in. One that was on its way already, and
                is sent again because something was not delivered, begins with what is durable.
        """
        flying = self._flying.get(product_id)
        if flying is not None and flying.broken and record is not None and flying.known.product.has_seen(*record):
            del self._flying[product_id]
            flying = None
        if flying is not None:
            return Known(flying.known, flying.tag)
        peeked = self._peeked.pop(product_id, None)
        if peeked is not None and peeked.known is not None and _now() - peeked.at < PEEKED_S:
            return peeked.known
        return await self._in_thread(self._read, await self._key(product_id))

    async def peek(self, product_id: str) -> Kept:
        """What is known of a product whose upload is on its way: `now` need not read it again. Raises `Retryable`."""
        flying = self._flying.get(product_id)
        if flying is not None:
            return flying.known
        # What is taken in meanwhile takes the mark away: then what was read is of before.
        mark = self._peeked[product_id] = _Peeked()
        while len(self._peeked) > PEEKED:
            self._peeked.popitem(last=False)
        known = await self._in_thread(self._read, await self._key(product_id))
        mark.known, mark.at = known, _now()
        return known.kept

    def is_on_its_way(self, product_id: str) -> bool:
        """Whether records of the product are not delivered, or not kept yet."""
        return product_id in self._flying

    async def earlier(self, product_id: str) -> Kept | None:
        """Of a product without a state: what its item says of it (`streams.roles.earlier`). Raises `Poison`, `Retryable`."""
        kept = None if self._before is None else await self._before(product_id)
        return None if kept is None else msgspec.structs.replace(kept, topic=await self.topic())

    def stands(
        self, product_id: str, before: Known, kept: Kept, delivery: Awaitable[object] | None
    ) -> Awaitable[object]:
        """The delivery of a product's item (None: nothing was sent), done once the state is kept. Call it in the order of
        the records, without waiting for anything between `now` and this but the broker's client.
        """
        self._peeked.pop(product_id, None)
        flying = self._flying.get(product_id)
        if flying is None:
            flying = self._flying[product_id] = _Flying(before.kept, before.kept, before.tag, (0, before.kept))
        flying.known = kept
        flying.count += 1
        flying.number += 1
        earlier, flying.last = flying.last, asyncio.get_running_loop().create_future()
        work = self._delivered(product_id, flying, (flying.number, kept), delivery, earlier, flying.last)
        return asyncio.ensure_future(work)

    async def _delivered(
        self,
        product_id: str,
        flying: _Flying,
        record: tuple[int, Kept],
        delivery: Awaitable[object] | None,
        earlier: asyncio.Future[None] | None,
        arrived: asyncio.Future[None],
    ) -> None:
        try:
            if delivery is not None:
                await delivery
            if earlier is not None:
                # What an earlier record said is part of this state: it is kept when that one's item is durable.
                await asyncio.wait([earlier])
            _check(flying)
            flying.arrived = record
            arrived.set_result(None)
            async with flying.writing:
                # Prices of one product may come faster than states are written: one write keeps all that have arrived.
                if flying.written_number < record[0]:
                    _check(flying)
                    number, kept = flying.arrived
                    await self._keep(product_id, flying, kept)
                    flying.written_number = number
        except BaseException:
            # It stays, for the records behind this one: they were worked out from it, and are sent again with it.
            flying.broken = True
            raise
        finally:
            if not arrived.done():
                arrived.set_result(None)
            flying.count -= 1
            if not flying.count and not flying.broken and self._flying.get(product_id) is flying:
                del self._flying[product_id]

    async def _keep(self, product_id: str, flying: _Flying, kept: Kept) -> None:
        written = flying.written
        same = (kept.digest, kept.topic, kept.made) == (written.digest, written.topic, written.made)
        if same and kept.product.says_the_same(written.product):
            return
        data = msgspec.msgpack.encode(kept)
        tag = await self._in_thread(self._write, await self._key(product_id), data, flying.tag, flying.data)
        flying.written, flying.tag, flying.data = kept, tag, data

    async def _key(self, product_id: str) -> str:
        if not self._prefix:
            topic = await self._uploads()
            self._prefix = f"{PREFIX}/{hashlib.sha256(topic.encode()).hexdigest()[:16]}"
        name = hashlib.sha256(product_id.encode()).hexdigest()
        return f"{self._prefix}/{name[:2]}/{name}"

    def _read(self, key: str) -> Known:
        try:
            found = self._store.get_versioned(key)
        except NotFound:
            return Known(Kept())
        try:
            return Known(msgspec.msgpack.decode(found.data, type=Kept), found.etag)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            # As if it were not there: a full upload makes it good.
            log.warning("product.unreadable", key=key, cause=str(error))
            return Known(Kept(), found.etag)

    def _write(self, key: str, data: bytes, tag: ETag | None, last: bytes) -> ETag | None:
        """The tag of what was written (None: not known). Raises `Retryable`: another worker has written meanwhile."""
        if tag is None and last:
            found = self._store.get_versioned(key)
            tag = found.etag if found.data == last else None
            if tag is None:
                raise Retryable(f"{key} was changed by another worker")
        if tag is None:
            if self._store.create(key, data):
                return None
        else:
            swapped = self._store.swap(key, data, tag)
            if swapped is not None:
                return swapped
        try:
            found = self._store.get_versioned(key)
        except NotFound:
            raise Retryable(f"{key} has just been deleted") from None
        if found.data != data:  # else it was written by an attempt whose answer did not come
            raise Retryable(f"{key} was changed by another worker")
        return found.etag


def _now() -> float:
    return asyncio.get_running_loop().time()


def _check(flying: _Flying) -> None:
    if flying.broken:
        raise Retryable("an earlier record of the product is sent again")
