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
from functools import partial
from time import time

from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError, OffsetOutOfRangeError

from infra.logs import logger
from infra.settings import Settings
from infra.store import ObjectStore
from infra.threads import InThread
from processors.errors import Poison, Retryable
from streams.contract import topics
from streams.contract.cloudevents import origin_ms
from streams.engine.backoff import Backoff
from streams.engine.message import Message
from streams.engine.observer import Observer
from streams.kafka.client import Reader
from streams.kafka.consumer import PartitionId, PlainConsumer, open_consumer
from streams.kafka.key_order import LastSaid
from streams.kafka.names import names_of
from streams.kafka.pace import BESIDE_S
from streams.kafka.predecessor import take_out_predecessor
from streams.kafka.producer import Sender
from streams.kafka.starts import Start, start_of
from streams.roles.index.trouble import Patience, first_of
from streams.roles.matching import compiled, telling
from streams.roles.matching.catching import Catching
from streams.roles.matching.compiling import Compiling
from streams.roles.matching.matcher import Looked, Matcher
from streams.roles.matching.queries import Bounds, Queries, StandingQuery
from streams.roles.matching.readings import Readings
from streams.roles.matching.said import Said

log = logger("weft.standing")

GROUP = "weft-standing"
POLL_S = 0.2
BATCH = 500
WORK = "items"
STUCK_S = 5.0
LAG_S = 5.0
RETRY_S = 30.0


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
        now: seconds since 1970.
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
        bounds: Bounds,
        ready: Callable[[], None] = lambda: None,
        told: Callable[[Start], Awaitable[None]] | None = None,
        held: Callable[[frozenset[int]], None] = lambda _: None,
        now: Callable[[], float] = time,
    ) -> None:
        self._now = now
        self._settings, self._sender, self._matcher, self._observer = settings, sender, matcher, observer
        self._readings = Readings(store, in_thread, compiling)
        self._bounds, self._told, self._tell_held = bounds, told, held
        self._ready: Callable[[], None] | None = ready
        self._patience = Patience(observer, Backoff())
        self._working = ThreadPoolExecutor(1, thread_name_prefix="standing")
        self._said, self._queries, self._last_said = Said(), Queries(bounds.queries), LastSaid()
        self._positions: dict[int, int] = {}  # of the partitions that are read
        self._assigned: frozenset[int] = frozenset()
        self._dealt = 0
        self._topic_id = self._queries_id = ""
        self._queries_are_others = False
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
                    open_consumer(self._settings, client="standing", group=GROUP, start="none", pace_s=BESIDE_S)
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
            if self._queries_are_others:
                await self._patiently("queries", partial(self._learn_queries, items))
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
                messages = await items.poll(POLL_S, max_records=BATCH)
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
        began = asyncio.get_running_loop().time()
        async with self._applying:
            if any(message.partition not in self._positions for message in messages):
                return  # dealt anew meanwhile
            looked = await self._looked(messages, self._queries.watching)
            watching = {query.query_id: query for query in self._queries.of("watching")}
            events, pairs = self._said.events_of(looked, watching)
            await self._publish(events)
            for query_id, product, pair in pairs:
                self._said.put(query_id, product, pair)
            for message in messages:
                self._positions[message.partition] = message.offset + 1
            self._observer.worked(WORK)
            self._tell_done(messages, asyncio.get_running_loop().time() - began)
            await self._bound()
            await self._commit(items)

    async def _publish(self, events: Sequence[telling.Event]) -> None:
        await telling.publish(self._sender, events)
        self._observer.matched(event.match.state for event in events if event.match is not None)

    def _tell_done(self, messages: Sequence[Message], seconds: float) -> None:
        now = self._now()
        for message in messages:
            self._observer.acked(*message.source, seconds)
            self._observer.aged(topics.ITEMS, now - origin_ms(message) / 1000)

    async def _looked(self, messages: Sequence[Message], queries: Sequence[compiled.Compiled]) -> list[Looked]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._working, self._matcher.look, messages, queries)

    async def _bound(self) -> None:
        """Keep the pairs within their number: the query that most products meet is suspended, and says so."""
        while len(self._said.pairs) > self._bounds.pairs:
            query = self._queries.known.get(self._said.pairs.broadest())
            if query is None:
                return
            log.warning(
                "standing query suspended", query_id=query.query_id, products=self._said.pairs.count(query.query_id)
            )
            await self._end(query, query.saved, "suspended")

    async def _end(self, query: StandingQuery, cause: Message, state: str, error: Poison | None = None) -> None:
        """Hold no product against a query any more; nothing stands of its pairs. `state`: "" where it was deleted."""
        query.state = "ended"
        products = self._said.pairs.products(query.query_id)
        await self._publish(self._said.ended(query, cause, state, tuple(self._positions), error))
        for product in products:
            self._said.pairs.drop(query.query_id, product)

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
        self._said = Said()
        async with Reader(self._settings, topics.MATCHES, client="standing") as matches:
            async for raw in matches.to_end():
                self._said.learn(raw, partitions)
        for start in starts:
            if start.reason:
                self._said.pairs.restart(start.partition)
            if start.text and self._told is not None:
                await self._told(start)
        await self._learn_queries(items)
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

    async def _learn_queries(self, items: PlainConsumer) -> None:
        """All standing queries as they are now: those that were watched here before are so from the first record on."""
        self._queries_id, self._queries_are_others = await items.topic_id(topics.STANDING), False
        saved_now: set[str] = set()
        async with Reader(self._settings, topics.STANDING, client="standing") as saved:
            async for raw in saved.to_end():
                query_id = (raw.key or b"").decode(errors="replace")
                (saved_now.add if raw.value is not None else saved_now.discard)(query_id)
                await self._take_in(raw)
        # The topic was created again, or the deletion was compacted away while nobody read it: no record says that they ended.
        for query_id in sorted((self._queries.known.keys() | self._said.queries()) - saved_now):
            log.warning("standing query is not on its topic any more", query_id=query_id)
            await self._forget(query_id, Message(topics.STANDING, 0, 0, query_id.encode()))
        for query in self._queries.known.values():
            state = self._said.state_of(query, self._assigned)
            if state == "ended":
                query.state = "ended"
            elif state == "watching":
                query.compiled = query.compiled or await self._readings.kept(query)
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
        if not self._last_said.counts(raw):
            return
        query_id = (raw.key or b"").decode(errors="replace")
        if raw.value is not None:
            self._queries.save(raw)
            return
        if query_id in self._queries.known or query_id in self._said.queries():
            await self._forget(query_id, raw)

    async def _forget(self, query_id: str, cause: Message) -> None:
        """It was deleted."""
        await self._end(self._queries.known.get(query_id) or StandingQuery(query_id, cause), cause, "")
        self._queries.known.pop(query_id, None)
        await self._readings.forget(query_id)

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
            made = await self._readings.kept(query) or await self._readings.made(query)
        except Poison as error:
            if self._queries.known.get(query.query_id) is query:
                await self._end(query, query.saved, "refused", error)
        else:
            query.compiled, query.state = made, "ready"

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
            events = catching.events(self._said.pairs)
            for query in ready:
                ignored = () if query.compiled is None else query.compiled.ignored
                self._said.speaks(query.query_id, partitions)
                events.append(telling.of_query(query.saved, query.query_id, "watching", partitions, ignored=ignored))
            await self._publish(events)
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
            self._observer.standing(len(self._queries.of("watching")), len(self._said.pairs))
            with suppress(Retryable):
                now = await items.topic_id(topics.STANDING)
                self._queries_are_others = bool(now and self._queries_id) and now != self._queries_id
            with suppress(TimeoutError):
                async with asyncio.timeout(LAG_S):
                    await self._stop.wait()
                    return
