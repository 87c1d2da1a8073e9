"""`standing`: what meets a saved query is told when it comes. Read it from top to bottom:

    dealt → learn the queries and what was said of each pair → read items from the committed offsets on
    items → hold each product against all queries → publish what changed → commit
    a query is saved → read it → hold it against what is there already → from then on against what comes

An offset is committed once the broker has all that its record changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial

import structlog
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError, OffsetOutOfRangeError

from infra.settings import Settings
from infra.store import ObjectStore
from infra.threads import InThread
from processors.errors import Poison, Retryable
from streams.contract import codecs, topics
from streams.contract.records import Source
from streams.engine.backoff import Backoff
from streams.engine.message import Message
from streams.engine.observer import Observer
from streams.kafka.client import Reader
from streams.kafka.consumer import PartitionId, PlainConsumer, open_consumer
from streams.kafka.names import names_of
from streams.kafka.pace import BESIDE_S, Pace
from streams.kafka.predecessor import take_out_predecessor
from streams.kafka.producer import Sender
from streams.kafka.starts import Start, start_of
from streams.roles.index.trouble import Patience, first_of
from streams.roles.matching import compiled, telling
from streams.roles.matching.catching import Catching
from streams.roles.matching.compiling import Compiling
from streams.roles.matching.matcher import Looked, Matcher
from streams.roles.matching.pairs import Change, Pair, Pairs, pair_key, query_key
from streams.roles.matching.queries import Queries, StandingQuery
from streams.roles.matching.telling import Event

log = structlog.get_logger("weft.standing")

GROUP = "weft-standing"
POLL_S = 0.2
BATCH = 500
WORK = "items"
STUCK_S = 5.0
LAG_S = 5.0
RETRY_S = 30.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is held in memory.

    Args:
        queries: standing queries; what comes beyond is refused.
        pairs: products that meet one, over all queries and the partitions of one worker; beyond, the broadest query is suspended.
    """

    queries: int = 1000
    pairs: int = 500_000


class StandingRole:
    """A worker of the role. `run` returns after `stop` is set; it raises what must end the process.

    Args:
        settings: where Kafka is.
        store: keeps what queries were read as.
        sender: for events.
        matcher: holds products against queries.
        compiling: reads queries; asked for once the first one is there, as it loads models.
        observer: metrics.
        bounds: of memory.
        in_thread: runs what waits for the store.
        ready: called once the first partitions are read.
        told: of records that were deleted unread, and of topics that were created again.
        held: told which partitions of `catalog.items` this worker holds.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        store: ObjectStore,
        sender: Sender,
        matcher: Matcher,
        compiling: Callable[[], Awaitable[Compiling]],
        observer: Observer,
        in_thread: InThread,
        bounds: Bounds = Bounds(),
        ready: Callable[[], None] = lambda: None,
        told: Callable[[Start], Awaitable[None]] | None = None,
        held: Callable[[frozenset[int]], None] = lambda _: None,
    ) -> None:
        self._settings, self._store, self._sender = settings, store, sender
        self._matcher, self._compiling, self._observer = matcher, compiling, observer
        self._in_thread, self._bounds, self._told, self._tell_held = in_thread, bounds, told, held
        self._ready: Callable[[], None] | None = ready
        self._patience = Patience(observer, Backoff())
        self._working = ThreadPoolExecutor(1, thread_name_prefix="standing")
        self._pairs, self._queries = Pairs(), Queries(bounds.queries)
        self._status: dict[str, set[str]] = {}  # query -> keys under which something is said of it
        self._positions: dict[int, int] = {}  # of the partitions that are read
        self._assigned: frozenset[int] = frozenset()
        self._dealt = 0
        self._pace = Pace(BESIDE_S)
        self._topic_id = ""
        self._stop, self._applying = asyncio.Event(), asyncio.Lock()
        self._changed: asyncio.Queue[Message] = asyncio.Queue(1000)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set."""
        self._stop = stop
        await take_out_predecessor(self._settings, names_of(self._settings).group(GROUP), "standing")
        try:
            async with AsyncExitStack() as opened:
                items = await self._opened(opened)
                if items is not None:
                    await self._serve(items)
        except BaseExceptionGroup as group:
            raise first_of(group) from group
        finally:
            self._working.shutdown(wait=False, cancel_futures=True)

    async def _opened(self, opened: AsyncExitStack) -> PlainConsumer | None:
        attempt = 0
        while not self._stop.is_set():
            try:
                return await opened.enter_async_context(
                    open_consumer(self._settings, client="standing", group=GROUP, start="none")
                )
            except KafkaError as error:
                attempt += 1
                await self._patience.wait_or_raise("connect", error, attempt)
        return None

    async def _serve(self, items: PlainConsumer) -> None:
        async def revoked(_places: Sequence[PartitionId]) -> None:
            async with self._applying:  # what is under way is published and committed before another worker goes on
                await self._commit(items)
                self._assigned, self._positions = frozenset(), {}
                self._dealt += 1
            self._tell_held(self._assigned)

        def assigned(places: Sequence[PartitionId]) -> None:
            self._assigned = frozenset(partition for _, partition in places)
            self._dealt += 1

        items.subscribe([topics.ITEMS], assigned=assigned, revoked=revoked)
        async with asyncio.TaskGroup() as tasks:
            beside = [
                tasks.create_task(self._follow_queries(), name="standing:queries"),
                tasks.create_task(self._read_queries(), name="standing:read"),
                tasks.create_task(self._tell_lag(items), name="standing:lag"),
            ]
            try:
                await self._work(items)
            finally:
                for task in beside:
                    task.cancel()

    # ------------------------------------------------------------------ items

    async def _work(self, items: PlainConsumer) -> None:
        dealt = 0
        while not self._stop.is_set():
            if dealt != self._dealt:
                now = self._dealt
                if await self._patiently("take-over", lambda: self._take_over(items)):
                    dealt = now
                continue
            messages = await self._poll(items)
            if dealt != self._dealt:
                continue  # of partitions that may be another's by now
            await self._patiently("items", partial(self._apply, items, messages))
            await self._take_in_changes()
            if self._queries.of("ready"):
                await self._patiently("queries", lambda: self._catch_up(items))

    async def _patiently(self, what: str, step: Callable[[], Awaitable[None]]) -> bool:
        """Do it until it is done; whether it was, when the role is not stopped and the partitions are the same."""
        dealt, attempt = self._dealt, 0
        while not self._stop.is_set() and self._dealt == dealt:
            try:
                await step()
            except (KafkaError, Retryable, OSError, IllegalStateError) as error:
                attempt += 1
                await self._patience.wait_or_raise(what, error, attempt)
            else:
                return True
        return False

    async def _poll(self, items: PlainConsumer) -> list[Message]:
        try:
            # Without the limit a group that is never dealt (broker away) would hold up the shutdown.
            async with asyncio.timeout(STUCK_S):
                await self._pace.rest()
                messages = await items.poll(POLL_S, max_records=BATCH)
                self._pace.came(len(messages))
        except (TimeoutError, IllegalStateError):
            return []
        except OffsetOutOfRangeError as error:
            log.warning("offsets out of range", cause=str(error))
            self._dealt += 1  # taken over anew: `start_of` says what became of the records
            return []
        except KafkaError as error:
            await self._patience.wait_or_raise("items", error, 1)
            return []
        return [message for message in messages if message.partition in self._positions]

    async def _apply(self, items: PlainConsumer, messages: Sequence[Message]) -> None:
        """Hold records against all queries, publish what changed, and commit."""
        if not messages:
            return
        async with self._applying:
            if any(message.partition not in self._positions for message in messages):
                return  # dealt anew meanwhile
            looked = await self._looked(messages, self._queries.watching)
            events, pairs = self._events_of(looked)
            await telling.publish(self._sender, events)
            for query_id, product, pair in pairs:
                self._put(query_id, product, pair)
            for message in messages:
                self._positions[message.partition] = message.offset + 1
            self._observer.worked(WORK)
            self._observer.matched(event.match.state for event in events if event.match is not None)
            await self._bound()
            await self._commit(items)

    async def _looked(self, messages: Sequence[Message], queries: Sequence[compiled.Compiled]) -> list[Looked]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._working, self._matcher.look, messages, queries)

    def _events_of(self, looked: Sequence[Looked]) -> tuple[list[Event], list[tuple[str, str, Pair | None]]]:
        """What records change, in their order: the events, and the pairs as they are then (None: nothing stands any more)."""
        watching = {query.query_id: query for query in self._queries.of("watching")}
        events: list[Event] = []
        found: list[tuple[str, str, Pair | None]] = []
        known: dict[str, dict[str, Pair]] = {}
        for one in looked:
            source = Source(*one.message.source)
            own = known.setdefault(one.product, dict(self._pairs.of(one.product)))
            for query_id, change in list(self._pairs.changes(own, one.met, watching.keys(), source)):
                saved, meets = watching[query_id].saved, change is Change.MET
                reason = "" if meets else "deleted" if one.gone else "changed"
                hit, pair = one.met.get(query_id), Pair(meets, source.partition, source.offset)
                events.append(telling.of_product(one.message, saved, query_id, one.product, change.value, hit, reason))
                own[query_id] = pair
                if one.gone:  # of a product that is gone the topic keeps nothing
                    events.append(telling.gone(one.message, pair_key(query_id, one.product)))
                    del own[query_id]
                found.append((query_id, one.product, None if one.gone else pair))
        return events, found

    def _put(self, query_id: str, product: str, pair: Pair | None) -> None:
        if pair is None:
            self._pairs.drop(query_id, product)
        else:
            self._pairs.put(query_id, product, pair)

    async def _bound(self) -> None:
        """Keep the pairs within their number: the query that most products meet is suspended, and says so."""
        while len(self._pairs) > self._bounds.pairs:
            query = self._queries.known.get(self._pairs.broadest())
            if query is None:
                return
            log.warning("standing query suspended", query_id=query.query_id, products=self._pairs.count(query.query_id))
            await self._end(query, query.saved, "suspended")

    async def _end(self, query: StandingQuery, cause: Message, state: str, error: Poison | None = None) -> None:
        """Hold no product against a query any more; nothing stands of its pairs. `state`: "" where it was deleted."""
        query.state = "ended"
        products = self._pairs.products(query.query_id)
        events = [telling.gone(cause, pair_key(query.query_id, product)) for product in products]
        if state:
            own = query_key(query.query_id, min(self._positions, default=0))
            self._status.setdefault(query.query_id, set()).add(own)
            events.append(telling.of_query(query.saved, query.query_id, state, tuple(self._positions), error=error))
        else:
            events += [telling.gone(cause, key) for key in sorted(self._status.pop(query.query_id, ()))]
        await telling.publish(self._sender, events)
        for product in products:
            self._pairs.drop(query.query_id, product)

    async def _commit(self, items: PlainConsumer) -> None:
        """For lag, and for where the next one begins; one that is refused is made with the next."""
        if not self._positions:
            return
        try:
            async with asyncio.timeout(STUCK_S):
                places = {(topics.ITEMS, partition): offset for partition, offset in self._positions.items()}
                await items.commit(places, self._topic_id)
        except (TimeoutError, CommitFailedError, IllegalStateError, KafkaError) as error:
            self._observer.retried("commit", type(error).__name__)

    # ------------------------------------------------------------------ partitions

    async def _take_over(self, items: PlainConsumer) -> None:
        """Learn all that was said of the partitions that were dealt, and read them from where the group is."""
        partitions = self._assigned
        starts = [await self._start(items, partition) for partition in sorted(partitions)]
        self._pairs, self._status = Pairs(), {}
        async with Reader(self._settings, topics.MATCHES, client="standing") as matches:
            async for raw in matches.to_end():
                self._learn(raw, partitions)
        for start in starts:
            if start.reason:
                self._pairs.restart(start.partition)
            if start.text and self._told is not None:
                await self._told(start)
        await self._learn_queries()
        if partitions != self._assigned:
            return
        self._positions = {start.partition: start.offset for start in starts}
        for start in starts:
            items.read_from((topics.ITEMS, start.partition), start.offset)
        self._tell_held(partitions)
        if self._ready is not None and partitions:
            self._ready()
            self._ready = None

    async def _start(self, items: PlainConsumer, partition: int) -> Start:
        place = (topics.ITEMS, partition)
        self._topic_id = await items.topic_id(topics.ITEMS)
        low, end = await items.bounds(place)
        return start_of(*place, await items.committed(place), low=low, end=end, topic_id=self._topic_id)

    def _learn(self, raw: Message, partitions: frozenset[int]) -> None:
        key = (raw.key or b"").decode(errors="replace")
        if raw.value is None:
            self._pairs.forget(key)
            for keys in self._status.values():
                keys.discard(key)
            return
        try:
            match = codecs.decode_match(raw.value)
        except Poison:
            return  # not one of ours
        self._pairs.learn(match, partitions)
        if not match.product_id:
            self._status.setdefault(match.query_id, set()).add(key)

    async def _learn_queries(self) -> None:
        """All standing queries as they are now: those that were watched here before are so from the first record on."""
        async with Reader(self._settings, topics.STANDING, client="standing") as saved:
            async for raw in saved.to_end():
                await self._take_in(raw)
        for query in self._queries.known.values():
            said = self._pairs.watched.get(query.place, {})
            ended = {state for states in said.values() for state in states} & {"refused", "suspended"}
            if ended:
                query.state = "ended"
            elif all("watching" in said.get(partition, ()) for partition in self._assigned):
                query.compiled = query.compiled or await self._kept(query)
                query.state = "new" if query.compiled is None else "watching"
            elif query.state == "watching":
                query.state = "ready"

    # ------------------------------------------------------------------ queries

    async def _follow_queries(self) -> None:
        attempt = 0
        while True:
            try:
                async with Reader(self._settings, topics.STANDING, client="standing") as saved:
                    async for raw in saved.follow():
                        await self._changed.put(raw)
            except (KafkaError, Retryable, OSError) as error:
                attempt += 1
                await self._patience.wait_or_raise("queries", error, attempt)

    async def _take_in_changes(self) -> None:
        """Take in what was saved and deleted meanwhile. What a new deal interrupts is read again by it."""
        while not self._changed.empty():
            raw = self._changed.get_nowait()
            await self._patiently("queries", partial(self._take_in, raw))

    async def _take_in(self, raw: Message) -> None:
        query_id = (raw.key or b"").decode(errors="replace")
        if raw.value is not None:
            self._queries.save(raw)
            return
        known = self._queries.known.get(query_id)
        if known is not None and known.saved.partition == raw.partition and known.saved.offset > raw.offset:
            return
        if known is not None or query_id in self._status or self._pairs.count(query_id):
            await self._end(known or StandingQuery(query_id, raw), raw, "")
            self._queries.known.pop(query_id, None)
            await self._in_thread(compiled.forget, self._store, query_id)

    async def _read_queries(self) -> None:
        """Read what was saved, beside everything else: a photo that does not come delays its own query only."""
        attempts: dict[tuple[str, int, int], int] = {}
        while True:
            for query in self._queries.of("new"):
                if not self._positions:
                    break
                try:
                    await self._read(query)
                    attempts.pop(query.place, None)
                except (KafkaError, Retryable, OSError) as error:
                    attempts[query.place] = attempts.get(query.place, 0) + 1
                    log.warning("standing query waits", query_id=query.query_id, cause=str(error))
                    self._observer.retried("read", type(error).__name__)
            await asyncio.sleep(POLL_S if not attempts else min(RETRY_S, POLL_S * 2 ** min(attempts.values())))

    async def _read(self, query: StandingQuery) -> None:
        """What a query says. One that can never be read is refused."""
        try:
            if self._queries.too_many(query):
                raise Poison(f"{self._bounds.queries} standing queries are held already (WEFT_STANDING_QUERIES)")
            made = await self._kept(query) or await self._compiled(query)
        except Poison as error:
            if self._queries.known.get(query.query_id) is query:
                await self._end(query, query.saved, "refused", error)
        else:
            query.compiled, query.state = made, "ready"

    async def _kept(self, query: StandingQuery) -> compiled.Compiled | None:
        """As it was read before, where that is of the same encoder."""
        kept = await self._in_thread(compiled.read, self._store, query.query_id, query.saved.value or b"")
        if kept is None or not kept.compiled.encoder:
            return None if kept is None else kept.compiled
        compiling = await self._compiling()
        return kept.compiled if kept.compiled.encoder == compiling.encoder else None

    async def _compiled(self, query: StandingQuery) -> compiled.Compiled:
        record = query.saved.value or b""
        kept = await self._in_thread(compiled.read, self._store, query.query_id, record)
        compiling = await self._compiling()
        made = await compiling.compiled(query.saved, b"" if kept is None else kept.photo)
        await self._in_thread(compiled.write, self._store, query.query_id, record, made)
        return made.compiled

    async def _catch_up(self, items: PlainConsumer) -> None:
        """Hold queries that were read against what is there, and watch for them from then on."""
        async with self._applying:
            ready, partitions = self._queries.of("ready"), tuple(self._positions)
            if not ready or not partitions:
                return
            bounds = await items.watermarks(topics.ITEMS)
            catching = Catching(ready, {p: bounds[p][0] for p in partitions if p in bounds})
            self._observer.working(WORK, waiting=True, doing=f"holds {len(ready)} queries against what is there")
            await self._read_through(catching)
            if self._stop.is_set():
                return
            events = catching.events(self._pairs)
            for query in ready:
                ignored = () if query.compiled is None else query.compiled.ignored
                self._status.setdefault(query.query_id, set()).add(query_key(query.query_id, min(partitions)))
                events.append(telling.of_query(query.saved, query.query_id, "watching", partitions, ignored=ignored))
            await telling.publish(self._sender, events)
            self._observer.matched(event.match.state for event in events if event.match is not None)
            for query in ready:
                if query.state == "ready":
                    query.state = "watching"
            await self._bound()

    async def _read_through(self, catching: Catching) -> None:
        """Everything up to where this worker is."""
        wanted = [query.compiled for query in catching.queries if query.compiled is not None]
        ends = {p: end for p, end in self._positions.items() if catching.positions.get(p, end) < end}
        if not ends:
            return
        limits = dict(ends)
        async with open_consumer(self._settings, client="standing", start="earliest") as consumer:
            await consumer.assign({(topics.ITEMS, p): catching.positions[p] for p in ends})
            while ends and not self._stop.is_set():
                messages = await consumer.poll(POLL_S, max_records=BATCH)
                before = [message for message in messages if message.offset < limits[message.partition]]
                catching.take(await self._looked(before, wanted))
                self._observer.worked(WORK)
                for partition in list(ends):
                    if await consumer.position((topics.ITEMS, partition)) >= ends[partition]:
                        del ends[partition]

    # ------------------------------------------------------------------ health

    async def _tell_lag(self, items: PlainConsumer) -> None:
        while True:
            behind = {
                partition: max(0, (items.known_end((topics.ITEMS, partition)) or 0) - offset)
                for partition, offset in self._positions.items()
            }
            self._observer.lag(topics.ITEMS, behind)
            self._observer.working(WORK, waiting=any(behind.values()))
            self._observer.standing(len(self._queries.of("watching")), len(self._pairs))
            with suppress(TimeoutError):
                async with asyncio.timeout(LAG_S):
                    await self._stop.wait()
                    return
