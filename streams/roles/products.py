"""What is known of each product, and which item of it stands on the topic.

It is written once the broker has the item, before its upload is acknowledged: a process that dies between the two takes the
upload in again, onto the same state. What arrives together is written together (`streams.roles.product_log`), and folded into an
object for each product later. Nobody writes over what another worker has written: who finds it changed begins anew.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from infra.logs import logger
from infra.store import NotFound, ObjectStore
from infra.threads import InThread
from processors.errors import Retryable
from streams.engine.message import Message
from streams.roles.product_logs import ProductLogs
from streams.roles.product_states import Kept, Known, is_as, own_key, read_state

log = logger(__name__)

PREFIX = "products"
PEEKED = 10_000
"""Products that were read for uploads on their way, at most."""
PEEKED_S = 30.0
"""For so long what was read is as good as read now: only who holds the partition writes, and another writer is found out."""
READ_TOGETHER = 32
"""Products that one thread reads, one after the other."""


@dataclass(frozen=True, slots=True)
class Stated:
    """What records make of a product: `before` and `kept`, and the deliveries of its items."""

    product_id: str
    before: Known
    kept: Kept
    deliveries: Sequence[Awaitable[object]] = ()


@dataclass(slots=True, eq=False)
class _Peeked:
    """What was read of a product whose upload is on its way; `at`: when. None: it is being read."""

    known: Known | None = None
    at: float = 0.0


@dataclass(slots=True, eq=False)
class _Flying:
    """A product with records on their way. `known`: as the last of them leaves it; `arrived`: as the last of those leaves it that
    are delivered, with all before them. `last`: done once the last record is delivered, or failed.
    """

    partition: int
    known: Kept
    arrived: Kept
    count: int = 0
    broken: bool = False
    last: asyncio.Future[None] | None = None


class Products:
    """The products of one topic of uploads.

    Args:
        store: keeps them.
        uploads: the id of the topic of uploads: one that is made anew begins anew. Raises `Retryable` while nobody can say it.
        items: the id of the topic of items, likewise.
        in_thread: runs what waits for the store.
        before: what is known by its item of a product that has no state.
        fresh_s: for who only reads: how old what was read of the logs may be. None: nobody else writes to them, until `begin`.
    """

    def __init__(
        self,
        store: ObjectStore,
        uploads: Callable[[], Awaitable[str]],
        items: Callable[[], Awaitable[str]],
        in_thread: InThread,
        before: Callable[[str, Message | None], Awaitable[Kept | None]] | None = None,
        *,
        fresh_s: float | None = None,
    ) -> None:
        self._store, self._uploads, self._items, self._in_thread = store, uploads, items, in_thread
        self._before, self._fresh_s = before, fresh_s
        self._topic = ""
        self._flying: dict[str, _Flying] = {}
        self._peeked: OrderedDict[str, _Peeked] = OrderedDict()
        self._logs = ProductLogs(store, in_thread)
        self._loading = asyncio.Lock()
        self._loaded: float | None = None

    async def topic(self) -> str:
        """The id of the topic of items."""
        if not self._topic:
            self._topic = await self._items()
        return self._topic

    # ------------------------------------------------------------------ what the group tells

    def begin(self) -> None:
        """Partitions are dealt anew: what others have written meanwhile is read before anything else."""
        self._loaded = None
        self._peeked.clear()

    def revoked(self, partitions: Collection[int]) -> None:
        """These are another worker's now: what was worked out from their records here counts no more."""
        for product_id, flying in list(self._flying.items()):
            if flying.partition in partitions:
                flying.broken = True
                del self._flying[product_id]
        self.begin()

    # ------------------------------------------------------------------ reading

    async def now(self, product_id: str, record: tuple[int, int] | None = None) -> Known:
        """What is known of a product, what is on its way among it. Raises `Retryable`: the store is away.

        Args:
            product_id: the product.
            record: partition and offset of the record that is going to be taken in. One that was on its way already, and
                is sent again because something was not delivered, begins with what is durable.
        """
        found = self._at_hand(product_id, record)
        if found is not None:
            return found
        self._peeked.pop(product_id, None)
        return (await self._read_all([product_id]))[product_id]

    async def now_all(self, records: Mapping[str, tuple[int, int]]) -> Mapping[str, Known]:
        """The same of many: product → the first record of it that is going to be taken in."""
        found: dict[str, Known] = {}
        for product_id, record in records.items():
            if (known := self._at_hand(product_id, record)) is not None:
                found[product_id] = known
            else:
                self._peeked.pop(product_id, None)
        found.update(await self._read_all([product_id for product_id in records if product_id not in found]))
        return found

    def _at_hand(self, product_id: str, record: tuple[int, int] | None) -> Known | None:
        """As `now`, where nothing has to be read for it; else None."""
        flying = self._flying.get(product_id)
        if flying is not None and flying.broken and record is not None and flying.known.product.has_seen(*record):
            del self._flying[product_id]
            flying = None
        if flying is not None:
            return Known(flying.known, there=True)
        peeked = self._peeked.get(product_id)
        if peeked is not None and peeked.known is not None and _now() - peeked.at < PEEKED_S:
            del self._peeked[product_id]
            return peeked.known
        return None

    async def peek(self, product_id: str) -> Kept:
        """What is known of a product whose upload is on its way: `now` need not read it again. Raises `Retryable`."""
        return (await self.peek_all([product_id]))[product_id]

    async def peek_all(self, product_ids: Iterable[str]) -> Mapping[str, Kept]:
        """The same of many."""
        found: dict[str, Kept] = {}
        marks: dict[str, _Peeked] = {}
        for product_id in product_ids:
            if (flying := self._flying.get(product_id)) is not None:
                found[product_id] = flying.known
            elif product_id not in marks:
                # What is taken in meanwhile takes the mark away: then what was read is of before.
                marks[product_id] = self._peeked[product_id] = _Peeked()
        while len(self._peeked) > PEEKED:
            self._peeked.popitem(last=False)
        for product_id, known in (await self._read_all(list(marks))).items():
            marks[product_id].known, marks[product_id].at = known, _now()
            found[product_id] = known.kept
        return found

    def is_on_its_way(self, product_id: str) -> bool:
        """Whether records of the product are not delivered, or not kept yet."""
        return product_id in self._flying

    async def earlier(self, product_id: str, record: Message | None = None) -> Kept | None:
        """Of a product without a state: what its item says of it (`streams.roles.earlier`). `record`: what is to be merged into that.

        Raises:
            Overtaken: the item that stands is of a later record, and this one is in it.
            Poison, Retryable: as of `earlier.kept_of`.
        """
        kept = None if self._before is None else await self._before(product_id, record)
        return None if kept is None else msgspec.structs.replace(kept, topic=await self.topic())

    async def _read_all(self, product_ids: Sequence[str]) -> dict[str, Known]:
        if not product_ids:
            return {}
        prefix = await self._load()
        found: dict[str, Known] = {}
        asked: list[str] = []
        for product_id in product_ids:
            if (newest := self._logs.newest(product_id)) is None:
                asked.append(product_id)
            else:
                found[product_id] = read_state(newest.data, product_id)
        parts = [asked[at : at + READ_TOGETHER] for at in range(0, len(asked), READ_TOGETHER)]
        for part in await asyncio.gather(*(self._in_thread(self._read_own, prefix, part) for part in parts)):
            found.update(part)
        return found

    def _read_own(self, prefix: str, product_ids: Sequence[str]) -> dict[str, Known]:
        found = {}
        for product_id in product_ids:
            try:
                found[product_id] = read_state(self._store.get(own_key(prefix, product_id)), product_id)
            except NotFound:
                found[product_id] = Known(Kept())
        return found

    async def _load(self) -> str:
        """Read the logs, where they are not known; the prefix of all that is kept here. Raises `Retryable`."""
        if not self._logs.prefix:
            topic = await self._uploads()
            self._logs.prefix = f"{PREFIX}/{hashlib.sha256(topic.encode()).hexdigest()[:16]}"
        if self._is_loaded():
            return self._logs.prefix
        async with self._loading:
            if not self._is_loaded():
                at, self._loaded = _now(), None
                await self._logs.refresh()
                self._loaded = at
        return self._logs.prefix

    def _is_loaded(self) -> bool:
        if self._loaded is None:
            return False
        return self._fresh_s is None or _now() - self._loaded < self._fresh_s

    # ------------------------------------------------------------------ writing

    def stands(self, partition: int, changes: Sequence[Stated]) -> asyncio.Future[None]:
        """Done once the items of these products are delivered, and their states are kept. Call it in the order of the records of
        a partition, without waiting for anything between `now` and this but the broker's client.
        """
        flying = []
        earlier = []
        arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for change in changes:
            self._peeked.pop(change.product_id, None)
            one = self._flying.get(change.product_id)
            if one is None:
                before = change.before.kept
                one = self._flying[change.product_id] = _Flying(partition, before, before)
            # What an earlier record said is part of this state: it is kept when that one's item is durable.
            if one.last is not None and one.last is not arrived and not one.last.done():
                earlier.append(one.last)
            kept = msgspec.structs.replace(change.kept, number=one.known.number + 1)
            one.known, one.last = kept, arrived
            one.count += 1
            flying.append((change, one, kept))
        return asyncio.ensure_future(self._delivered(partition, flying, earlier, arrived))

    async def _delivered(
        self,
        partition: int,
        flying: Sequence[tuple[Stated, _Flying, Kept]],
        earlier: Sequence[asyncio.Future[None]],
        arrived: asyncio.Future[None],
    ) -> None:
        try:
            for change, _, _ in flying:
                for delivery in change.deliveries:
                    await delivery
            if earlier:
                await asyncio.wait(earlier)
            _check(flying)
            changed = _arrived(flying)
            arrived.set_result(None)
            if changed:
                await self._load()
                await self._logs.keep(partition, changed)
            _check(flying)
        except BaseException:
            # It stays, for the records behind this one: they were worked out from it, and are sent again with it.
            for _, one, _ in flying:
                one.broken = True
            raise
        finally:
            if not arrived.done():
                arrived.set_result(None)
            for change, one, _ in flying:
                one.count -= 1
                if not one.count and not one.broken and self._flying.get(change.product_id) is one:
                    del self._flying[change.product_id]


def _now() -> float:
    return asyncio.get_running_loop().time()


def _arrived(flying: Sequence[tuple[Stated, _Flying, Kept]]) -> dict[str, Kept]:
    """Note that these are delivered; those that have to be kept."""
    changed: dict[str, Kept] = {}
    for change, one, kept in flying:
        if one.count > 1 or not is_as(one.arrived, kept):  # the one before may not be kept yet
            changed[change.product_id] = kept
        one.arrived = kept
    return changed


def _check(flying: Sequence[tuple[Stated, _Flying, Kept]]) -> None:
    if any(one.broken for _, one, _ in flying):
        raise Retryable("an earlier record of the product is sent again")
