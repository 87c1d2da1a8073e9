"""Faust's consumer with our own reading of a partition: committed records only, every offset given out accounted for.

Its fetching loop hands every message over by `wait_first(callback(message), suspend_flow.wait())`: four futures, and a
wait for the first of them, so that a rebalance can interrupt a hand-over to a full queue. Ours hands over what was fetched together
of a partition; and while the queue is not full and nothing is suspended, the hand-over cannot wait at all, and is simply awaited.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from aiokafka.errors import KafkaError, NoOffsetForPartitionError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types.tuples import ack_lock
from mode.services import WaitResults
from mode.utils.futures import notify

from infra.logs import logger
from processors.errors import Retryable
from streams.engine.backoff import Backoff
from streams.kafka.cluster import high_watermarks, topic_ids
from streams.kafka.faust.buffer import parts_of
from streams.kafka.options import ISOLATION
from streams.kafka.pace import gather
from streams.kafka.producer import classify_kafka
from streams.kafka.starts import Committed, Start, start_of

log = logger(__name__)


class DirectConsumer(Consumer):  # type: ignore[misc]
    """A consumer that hands messages over directly whenever the app (see `app`) has room: nothing would wait.

    What may be committed is counted by the offsets that were given out, not by their arithmetic: Faust forgets a hole
    behind offset 0, and a partition that begins with an aborted transaction would commit nothing until a restart.
    """

    _n_acked: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._given: defaultdict[Any, deque[int]] = defaultdict(deque)
        self._done: defaultdict[Any, set[int]] = defaultdict(set)
        self._reached: dict[Any, int] = {}
        self._ours: set[Any] = set()
        self._dealt = 0

    async def wait_first(self, *coros: Any, timeout: Any = None) -> WaitResults:  # noqa: ASYNC109 - Faust's signature
        """As Faust's; a hand-over (a coroutine first, and a coroutine that waits for suspension) without tasks."""
        if len(coros) != 2 or timeout is not None or not (hasattr(coros[0], "close") and self.app.has_room()):
            return await super().wait_first(*coros, timeout=timeout)
        handing_over, suspension = coros
        suspension.close()
        return WaitResults([handing_over], [await handing_over], stopped=False)

    async def _drain_messages(self, fetcher: Any) -> None:
        """As Faust's, with one hand-over for many records. Ends with the consumer or its fetcher."""
        try:
            while not (self._stopped.is_set() or fetcher._stopped.is_set()):  # noqa: SLF001 - as Faust does
                await asyncio.sleep(0)
                await self._drain_once()
        except self.consumer_stopped_errors:
            if not self.transport.app.should_stop:
                raise
        except asyncio.CancelledError:
            if not self.transport.app.should_stop:
                raise

    async def _drain_once(self) -> None:
        records, active = await self._wait_next_records(1.0)
        if records is None or self.should_stop:
            return
        if not self.flow_active:
            try:
                await self.perform_seek()
            except Exception as error:  # noqa: BLE001 - the next assignment seeks again
                log.warning("consumer.not_sought", cause=repr(error))
            return
        generation = self.app.consumer_generation_id
        for tp, batch in records.items():
            if active is not None and tp not in active and tp not in self._buffered_partitions:
                continue
            read = self._read_offset[tp]
            fetched = [self._to_message(tp, record) for record in batch if read is None or record.offset >= read]
            for part in parts_of(fetched):
                if not self.flow_active or generation != self.app.consumer_generation_id:
                    return  # dealt anew: all of it is read again, by whoever owns the partitions
                await self.wait_first(self.app.hand_over(part), self.suspend_flow.wait())
                self._read_offset[tp] = part[-1].offset
        if self._commit_every is not None and self._n_acked >= self._commit_every:
            self._n_acked = 0
            await self.commit()

    async def on_partitions_revoked(self, revoked: set[Any]) -> None:
        """As Faust's; what was given out of these partitions will be given out again, to whoever owns them next."""
        self._ours, self._dealt = set(), self._dealt + 1
        await super().on_partitions_revoked(revoked)
        self._forget(revoked)

    async def on_partitions_assigned(self, assigned: set[Any], generation_id: int = 0) -> None:
        """As Faust's; a new assignment begins at the committed offsets."""
        self._ours, self._dealt = set(assigned), self._dealt + 1
        self._forget(assigned)
        await super().on_partitions_assigned(assigned, generation_id)

    def _forget(self, places: Iterable[Any]) -> None:
        for place in places:
            self._given.pop(place, None)
            self._done.pop(place, None)
            self._reached.pop(place, None)

    async def _getmany(self, active_partitions: Any, timeout: float) -> Any:  # noqa: ASYNC109 - Faust's signature
        """As Faust's; notes what is given out, and how far the partitions were read with it."""
        generation = self.app.consumer_generation_id
        records = await super()._getmany(active_partitions, timeout)
        # What was read for an earlier assignment says nothing of this one.
        if self.flow_active and generation == self.app.consumer_generation_id:
            for tp, batch in (records or {}).items():
                given = self._given[tp]
                last = given[-1] if given else -1  # what was given out before may be read again
                given.extend(record.offset for record in batch if record.offset > last)
            self._reached = dict(self._thread.positions)
        return records

    async def seek_to_committed(self) -> Mapping[Any, int | None]:
        """Begin each partition where `start_of` says; what is out of the ordinary is told before anything is read.

        Returns:
            The offsets that are committed as they should be; None for the others, which are committed again.
        """
        offsets: dict[Any, int | None] = {}
        dealt = self._dealt
        starts = await self._thread.find_starts()
        for tp, (start, settled) in starts.items():
            if start.text:
                await self.app.told(start)
            offsets[tp] = start.offset if settled else None
            if not settled:
                self._committed_offset.pop(tp, None)  # Faust keeps what it knew, and would commit nothing up to there
        # Faust seeks between a revocation and the next assignment, too, by the assignment that is no more: who looks ahead
        # would go on with partitions of another worker.
        if dealt == self._dealt:
            self.app.begins_at({tp: start.offset for tp, (start, _) in starts.items() if tp in self._ours})
        return offsets

    def ack(self, message: Any) -> bool:
        """As Faust's, remembered beside its own lists, which it empties before the last commit of a revocation."""
        self._done[message.tp].add(message.offset)
        acked: bool = super().ack(message)
        return acked

    def track_together(self, messages: Sequence[Any]) -> None:
        """As `track_message` of each: a rebalance waits for them. No sensor is told; there is none."""
        self._unacked_messages.update(messages)
        for message in messages:
            message.tracked = True

    def ack_together(self, messages: Sequence[Any]) -> None:
        """As `ack` of each, of messages of one partition whose last reference is ours."""
        place = messages[0].tp
        with ack_lock:
            fresh = [message.offset for message in messages if not message.acked]
            for message in messages:
                message.acked = True
            self._done[place].update(fresh)
            self._n_acked += len(fresh)
            self._unacked_messages.difference_update(messages)
            notify(self._waiting_for_ack)

    async def _commit_offsets(self, offsets: Mapping[Any, int], start_new_transaction: bool = True) -> bool:
        """As Faust's, which takes a commit that the group refused for done, and would not commit the same offset again."""
        before = {tp: self._committed_offset[tp] for tp in offsets}
        done: bool = await super()._commit_offsets(offsets, start_new_transaction=start_new_transaction)
        if not done:
            self._committed_offset.update(before)
        return done

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[Any]:
        places = {*self._done, *self._reached}
        return (tp for tp in places if topics is None or tp in topics or tp.topic in topics)

    def _new_offset(self, tp: Any) -> int | None:
        """Where the next reader of the partition begins: behind the last of the records that are all acknowledged.

        With nothing left to acknowledge, that is as far as was read: marks of transactions hold no record, and what
        lags behind them for ever would look like work that is not done, and later like records that were lost.
        """
        done, given, last = self._done[tp], self._given[tp], None
        while given and given[0] in done:
            last = given.popleft()
            done.discard(last)
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        if not given and tp in self._reached:
            return max(self._reached[tp], 0 if last is None else last + 1)
        return None if last is None else last + 1

    async def _add_gap(self, tp: Any, offset_from: int, offset_to: int) -> None:
        """Holes (compaction, aborted transactions) were never given out, so they hold nothing up."""

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return CommittedThread(self, loop=self.loop, beacon=self.beacon)


class CommittedThread(AIOKafkaConsumerThread):  # type: ignore[misc]
    """The thread that reads: committed records only, and from where `streams.kafka.starts` says.

    `positions`: the next offset of each partition, as of the last `getmany`. `topic_ids`: as of the assignment.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.positions: dict[Any, int] = {}
        self.topic_ids: dict[str, str] = {}

    async def on_start(self) -> None:
        await super().on_start()
        gather(self._consumer, self.consumer.app.pace_s)

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust reads committed records only where it runs transactions itself. `start` looks at this, and comes later.
        consumer._isolation_level = ISOLATION  # noqa: SLF001
        plain = consumer.commit

        async def commit(offsets: Mapping[Any, OffsetAndMetadata]) -> None:
            ids = self.topic_ids
            await plain({p: OffsetAndMetadata(meta.offset, ids.get(p.topic, "")) for p, meta in offsets.items()})

        consumer.commit = commit  # with the id of the topic beside each offset
        return consumer

    async def _fetch_records(self, consumer: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            records = await super()._fetch_records(consumer, *args, **kwargs)
        except NoOffsetForPartitionError:
            return {}  # fetched before `find_starts` has sought
        subscription = consumer._subscription.subscription  # noqa: SLF001
        assignment = None if subscription is None else subscription.assignment
        states = {} if assignment is None else {tp: assignment.state_value(tp) for tp in assignment.tps}
        self.positions = {tp: state.position for tp, state in states.items() if state.has_valid_position}
        return records

    async def find_starts(self) -> dict[Any, tuple[Start, bool]]:
        """Seek every assigned partition; its start, and whether that is committed for this very topic."""
        attempt, backoff = 0, Backoff(maximum=2.0)
        while True:
            try:
                found: dict[Any, tuple[Start, bool]] = await self.call_thread(self._find_starts)
            except (KafkaError, OSError) as error:
                verdict = classify_kafka(error, "io")
                if not isinstance(verdict, Retryable):
                    raise
                # A broker that comes back deals the group before all its partitions have leaders.
                attempt += 1
                log.warning("starts.unknown", attempt=attempt, cause=f"{type(error).__name__}: {error}")
                await asyncio.sleep(backoff.delay(attempt))
            else:
                return found

    async def _find_starts(self) -> dict[Any, tuple[Start, bool]]:
        consumer = self._ensure_consumer()
        places = list(consumer.assignment())
        if not places:
            return {}
        client = consumer._client  # noqa: SLF001
        ids = await topic_ids(client, {place.topic for place in places})
        commits = await consumer._coordinator.fetch_committed_offsets(places)  # noqa: SLF001
        low = await consumer.beginning_offsets(places)
        end = await high_watermarks(client, places)
        found: dict[Any, tuple[Start, bool]] = {}
        for place in places:
            commit, topic_id = commits.get(place), ids.get(place.topic, "")
            known = None if commit is None else Committed.of(commit.offset, commit.metadata)
            start = start_of(place.topic, place.partition, known, low=low[place], end=end[place], topic_id=topic_id)
            found[place] = (start, known == Committed(start.offset, topic_id))
            if place in consumer.assignment():  # else the group was dealt anew meanwhile, and this is asked again
                consumer.seek(place, start.offset)
        # Only now: a topic that came back with fewer partitions has no offsets for those that the group still dealt. To ask for
        # them never ends, and by the ids of before `TopicsRead` sees that the role must start over.
        self.topic_ids = ids
        self.positions = {}
        return found

    async def ids_now(self, topics: Iterable[str]) -> dict[str, str]:
        """The ids of these topics, by their names on the cluster.

        Asked beside the thread's queue: a commit for a topic that is gone, and offsets of it, wait there without end.

        Raises:
            aiokafka's errors, when the broker is away, or does not know one of the topics.
        """
        client = self._ensure_consumer()._client  # noqa: SLF001
        asked = asyncio.run_coroutine_threadsafe(topic_ids(client, topics), self.thread_loop)
        return await asyncio.wrap_future(asked)


class DirectTransport(Transport):  # type: ignore[misc]
    """Faust's aiokafka transport with a `DirectConsumer`."""

    Consumer = DirectConsumer
