"""Plain aiokafka for the roles that keep their own place: the index (assign and seek) and the tails of broadcasts.

Faust costs about a hundred microseconds an event, `getmany` about six: nothing beside a model, everything in a replay.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from infra.settings import Settings
from processors.errors import Fatal, Retryable
from streams.engine.message import Message
from streams.kafka.names import AS_THEY_ARE, Names, names_of
from streams.kafka.options import ISOLATION, METADATA_MS, client_options, patient, prepare
from streams.kafka.pace import gather
from streams.kafka.starts import Committed

if TYPE_CHECKING:
    from streams.kafka.members import Members

PartitionId: TypeAlias = tuple[str, int]
"""Topic and partition."""


MAX_FETCH_BYTES = 4 * 2**20
FETCH_WAIT_MS = 100
"""For so long the broker holds a request that it has nothing for. A seek, and whatever else is asked of it, waits for that."""
QUIET_WAIT_MS = 500
"""The same of a consumer to which nothing has come for `QUIET_S`, and of which nobody asked anything else: what comes is answered
at once all the same. The roles of an idle stack asked ninety times a second, which cost a quarter of a core."""
QUIET_S = 2.0
METADATA_ATTEMPTS = 20
METADATA_PAUSE_S = 1.0


class PlainConsumer:
    """Reads partitions from where it is told to. It commits nothing by itself. Topics go by their names in EVENTS.md."""

    def __init__(self, consumer: Any, names: Names = AS_THEY_ARE, fetch_wait_ms: int = FETCH_WAIT_MS) -> None:
        self._consumer, self._fetch_wait_ms = consumer, fetch_wait_ms
        self.names = names
        self.failure: Exception | None = None
        """What a call of `assigned` or `revoked` raised: aiokafka only logs it, and goes on as if it had been done."""
        self._topic_ids: dict[str, str] = {}
        self._stirred = time.monotonic()

    def _address(self, topic: str, partition: int) -> Any:
        from aiokafka import TopicPartition

        return TopicPartition(self.names.topic(topic), partition)

    async def partitions(self, topic: str) -> list[int]:
        """The topic's partitions.

        Raises:
            Retryable: there is no such topic (yet).
            Fatal: the broker does not show it to us.
        """
        there = self.names.topic(topic)
        for attempt in range(METADATA_ATTEMPTS):
            # There is no public way to ask again.
            answered = await self._consumer._client.force_metadata_update()  # noqa: SLF001
            found = self._consumer.partitions_for_topic(there)
            if answered and not found:
                # Once something is assigned, the consumer knows the topics of its assignment only.
                everything = await self._consumer._client.fetch_all_metadata()  # noqa: SLF001
                found = everything.partitions_for_topic(there)
            if found:
                return sorted(found)
            if answered and attempt:
                # Asked twice: a broker that has just come back may answer before it knows its topics.
                # Asked for all topics, a broker leaves out those that it does not show us: asked for this one, it says so.
                with suppress(Retryable):
                    await self.topic_id(topic)
                raise Retryable(f"there is no topic {there}; `weft topics create` makes it")
            await asyncio.sleep(METADATA_PAUSE_S)
        raise Retryable(f"no broker answers for the topic {there}")

    async def assign(self, positions: Mapping[PartitionId, int]) -> None:
        """Read exactly these partitions, each from its offset on. Without a group."""
        self._stirred = time.monotonic()
        self._consumer.assign([self._address(*place) for place in positions])
        for place, offset in positions.items():
            self._consumer.seek(self._address(*place), offset)

    async def topic_id(self, topic: str) -> str:
        """What tells a topic from one of the same name that was created later; "" where the broker does not say.

        Raises:
            Retryable: the broker is away, or does not know the topic (yet).
            Fatal: it does not show it to us.
        """
        from aiokafka.errors import KafkaError

        from streams.kafka.cluster import topic_ids
        from streams.kafka.producer import classify_kafka

        there = self.names.topic(topic)
        try:
            return (await topic_ids(self._consumer._client, [there])).get(there, "")  # noqa: SLF001
        except (KafkaError, OSError) as error:
            verdict = classify_kafka(error, "io")
            if not isinstance(verdict, Retryable):
                raise verdict from error
            raise Retryable(f"the broker does not say which topic {there} is: {error!r}") from error

    async def missing(self, topics: Iterable[str]) -> set[str]:
        """Those of the topics that there are not, as far as the broker says.

        Raises:
            Retryable: the broker is away.
        """
        from aiokafka.errors import KafkaError

        from streams.kafka.cluster import topics_missing

        there = {self.names.topic(topic): topic for topic in topics}
        try:
            return {there[name] for name in await topics_missing(self._consumer._client, there)}  # noqa: SLF001
        except (KafkaError, OSError) as error:
            raise Retryable(f"the broker does not say which topics there are: {error!r}") from error

    async def check_shown(self, topics: Iterable[str]) -> None:
        """That the broker shows us these topics, where there are such.

        Raises:
            Fatal: it does not; names them.
            Retryable: the broker is away.
        """
        from aiokafka.errors import KafkaError

        from streams.kafka.cluster import topics_hidden
        from streams.kafka.producer import ASK_THE_DOCTOR

        try:
            hidden = await topics_hidden(self._consumer._client, map(self.names.topic, topics))  # noqa: SLF001
        except (KafkaError, OSError) as error:
            raise Retryable(f"the broker does not say which topics there are: {error!r}") from error
        if hidden:
            raise Fatal(f"TopicAuthorizationFailed: {', '.join(sorted(hidden))}; {ASK_THE_DOCTOR}")

    async def look_again(self, topic: str) -> bool:
        """Read partitions that were added, and a topic that was created again, from their beginnings.

        Of the topic that is assigned; returns whether anything changed.

        Raises:
            Retryable: there is no such topic now, or the broker is away.
        """
        partitions = await self.partitions(topic)
        before, now = self._topic_ids.get(topic, ""), await self.topic_id(topic)
        self._topic_ids[topic] = now
        known = {address.partition for address in self._consumer.assignment()}
        again = bool(before and now and before != now)
        if not again and known >= set(partitions):
            return False
        kept = {} if again else {(topic, p): await self.position((topic, p)) for p in known}
        added = [self._address(topic, p) for p in partitions if (topic, p) not in kept]
        low = await self._consumer.beginning_offsets(added)
        await self.assign(kept | {(topic, place.partition): offset for place, offset in low.items()})
        return True

    def partitions_read(self) -> list[int]:
        """The partitions that are assigned."""
        return sorted(address.partition for address in self._consumer.assignment())

    async def start_over(self, topic: str) -> None:
        """Read what is kept of the assigned partitions whose position is not kept any more, or lies behind the end."""
        positions: dict[PartitionId, int] = {}
        for partition, (low, end) in (await self.watermarks(topic)).items():
            at = await self.position((topic, partition)) if partition in self.partitions_read() else low
            positions[topic, partition] = at if low <= at <= end else low
        await self.assign(positions)

    async def tail(self, topic: str) -> dict[int, int]:
        """Read every partition of `topic` from its end on; returns the offsets. What comes later is not missed."""
        ends = {partition: high for partition, (_, high) in (await self.watermarks(topic)).items()}
        await self.assign({(topic, partition): offset for partition, offset in ends.items()})
        return ends

    async def read_since(self, topic: str, timestamp_ms: int) -> None:
        """Read every partition of `topic` from its first record of that time on. Without a group."""
        places = [self._address(topic, partition) for partition in await self.partitions(topic)]
        # The ends first: a record that comes between the two calls is then read, not jumped over.
        ends = await self._consumer.end_offsets(places)
        found = await self._consumer.offsets_for_times(dict.fromkeys(places, timestamp_ms))
        starts = {place: ends[place] if (at := found.get(place)) is None else at.offset for place in places}
        await self.assign({(topic, place.partition): offset for place, offset in starts.items()})

    def subscribe(
        self,
        topics: Iterable[str],
        *,
        assigned: Callable[[Sequence[PartitionId]], None],
        revoked: Callable[[Sequence[PartitionId]], Awaitable[None]],
    ) -> None:
        """Share the partitions of `topics` with the other members of the group.

        Args:
            topics: names.
            assigned: these are ours now. Nothing is read of them before `read_from` says where: a member's own
                manifest does, not the group.
            revoked: all that was ours is not any more; the group waits for it.
        """
        there = [self.names.topic(topic) for topic in topics]
        self._consumer.subscribe(topics=there, listener=_listener(self, assigned, revoked))

    def hold(self, place: PartitionId) -> None:
        """Read nothing of an assigned partition until `read_from`."""
        self._consumer.pause(self._address(*place))
        # Without a position the consumer would look for the group's offset, which is no truth of ours.
        self._consumer.seek(self._address(*place), 0)

    def read_from(self, place: PartitionId, offset: int) -> None:
        """Read an assigned partition from this offset on."""
        self._stirred = time.monotonic()
        self._consumer.seek(self._address(*place), offset)
        self._consumer.resume(self._address(*place))

    async def poll(self, timeout_s: float, *, max_records: int = 500) -> list[Message]:
        """What has come, in order per partition; waits up to `timeout_s` when there is nothing.

        Raises:
            aiokafka's OffsetOutOfRangeError: an assigned offset is not kept any more (never skipped silently).
            Fatal: `assigned` or `revoked` raised something, or the group is not asked any more.
        """
        if self.failure is not None:
            raise Fatal(f"a change of the assignment failed: {self.failure!r}") from self.failure
        if (ended := coordination_error(self._consumer)) is not None:
            raise Fatal(f"the group is not asked any more: {ended}") from ended
        quiet = time.monotonic() - self._stirred > QUIET_S
        # There is no public way to change it; None while the consumer is being started or stopped.
        if (fetcher := self._consumer._fetcher) is not None:  # noqa: SLF001
            fetcher._fetch_max_wait_ms = max(self._fetch_wait_ms, QUIET_WAIT_MS * quiet)  # noqa: SLF001
        records = await self._consumer.getmany(timeout_ms=int(timeout_s * 1000), max_records=max_records)
        if records:
            self._stirred = time.monotonic()
        return [message_of(record, self.names) for batch in records.values() for record in batch]

    async def watermarks(self, topic: str) -> dict[int, tuple[int, int]]:
        """Per partition: the first offset kept, and the end: every record below it is committed or was aborted.

        Behind the end may lie the records of a transaction that is still open. Just below it there may be none that is
        ever read (the mark of a transaction's end): wait for `position`, not for a last record.
        """
        self._stirred = time.monotonic()
        places = [self._address(topic, partition) for partition in await self.partitions(topic)]
        low = await self._consumer.beginning_offsets(places)
        high = await self._consumer.end_offsets(places)
        return {place.partition: (low[place], high[place]) for place in places}

    async def bounds(self, place: PartitionId) -> tuple[int, int]:
        """Of one partition: the first offset kept, and the next to be written."""
        self._stirred = time.monotonic()
        address = self._address(*place)
        low, high = await self._consumer.beginning_offsets([address]), await self._consumer.end_offsets([address])
        return low[address], high[address]

    async def first_since(self, place: PartitionId, timestamp_ms: int) -> int | None:
        """The offset of the first record of that time or later; None when there is none."""
        address = self._address(*place)
        found = (await self._consumer.offsets_for_times({address: timestamp_ms}))[address]
        return None if found is None else int(found.offset)

    async def first_time(self, place: PartitionId) -> int | None:
        """The timestamp (ms since the epoch) of the earliest record that is kept; None when there is none."""
        address = self._address(*place)
        found = (await self._consumer.offsets_for_times({address: 0}))[address]
        return None if found is None else int(found.timestamp)

    def known_partitions(self, topic: str) -> int:
        """How many partitions the topic has, as far as this consumer knows; it asks nobody."""
        return len(self._consumer.partitions_for_topic(self.names.topic(topic)) or ())

    def known_end(self, place: PartitionId) -> int | None:
        """The end of an assigned partition as the last fetch told it; None before the first. It asks nobody.

        Of committed records, as `watermarks`: behind it may lie those of a transaction that is still open.
        """
        address = self._address(*place)
        if address not in self._consumer.assignment():
            return None  # a change of the assignment is under way
        end: int | None = self._consumer.last_stable_offset(address)
        return end

    async def high_watermarks(self, topic: str) -> dict[int, int]:
        """Per partition: the next offset to be written, transactions that are still open included."""
        from streams.kafka.cluster import high_watermarks

        places = [self._address(topic, partition) for partition in await self.partitions(topic)]
        found = await high_watermarks(self._consumer._client, places)  # noqa: SLF001
        return {place.partition: end for place, end in found.items()}

    async def members(self, topic: str) -> Members | None:
        """Who is in the group of this consumer, and who has which partition of `topic` (`streams.kafka.members`)."""
        from streams.kafka.members import members_of

        return await members_of(self._consumer, self.names.topic(topic))

    async def position(self, place: PartitionId) -> int:
        """The next offset that is read of an assigned partition."""
        position: int = await self._consumer.position(self._address(*place))
        return position

    async def commit(self, positions: Mapping[PartitionId, int], topic_id: str = "") -> None:
        """Tell the group where we are; `topic_id`: kept beside it, so that a topic that is created again is told from this one."""
        await self._consumer.commit({self._address(*place): (offset, topic_id) for place, offset in positions.items()})

    async def committed(self, place: PartitionId) -> Committed | None:
        """What the group has committed of an assigned partition; None for nothing."""
        address = self._address(*place)
        # The public call leaves out the metadata.
        found = await self._consumer._coordinator.fetch_committed_offsets([address])  # noqa: SLF001
        known = found.get(address)
        return None if known is None or known.offset < 0 else Committed.of(known.offset, known.metadata)


def coordination_error(consumer: Any) -> BaseException | None:
    """Why an aiokafka consumer asks its group no more, for good; None while it does.

    Its task ends by an assertion when a broker that comes back knows no broker yet, itself included. Every poll after
    that raises the same, and who polls nothing is never told.
    """
    task = getattr(getattr(consumer, "_coordinator", None), "_coordination_task", None)
    return task.exception() if task is not None and task.done() and not task.cancelled() else None


@asynccontextmanager
async def open_consumer(
    settings: Settings,
    *,
    client: str = "tool",
    group: str | None = None,
    start: Literal["none", "earliest"] | None = None,
    fetch_wait_ms: int = FETCH_WAIT_MS,
    pace_s: float = 0.0,
) -> AsyncIterator[PlainConsumer]:
    """A started consumer.

    Args:
        settings: where Kafka is.
        client: the role that reads, or "tool": part of the client id.
        group: for `subscribe`; None for `assign` and `tail`.
        start: where to read when the offset asked for is gone; "none" raises. Default: "none" without a group.
        fetch_wait_ms: how long the broker holds a request when there is nothing; what comes meanwhile it answers at once.
        pace_s: how long it gathers what comes right behind other records (`streams.kafka.pace`).
    """
    from aiokafka import AIOKafkaConsumer

    from streams.kafka.lenient_records import read_any_header_name

    read_any_header_name()
    names = names_of(settings)
    await prepare(settings)
    consumer = AIOKafkaConsumer(
        **client_options(settings, client),
        group_id=None if group is None else names.group(group),
        isolation_level=ISOLATION,
        enable_auto_commit=False,
        auto_offset_reset=start or ("none" if group is None else "earliest"),
        session_timeout_ms=10_000,
        heartbeat_interval_ms=2_500,
        fetch_max_wait_ms=fetch_wait_ms,
        # The largest record that there can be: a role that holds many partitions must not buffer megabytes of each.
        max_partition_fetch_bytes=MAX_FETCH_BYTES,
        metadata_max_age_ms=METADATA_MS,
    )
    patient(consumer._client)  # noqa: SLF001
    try:
        await consumer.start()
    except BaseException:
        await _stop(consumer)  # or its connections are left to the garbage collector, which complains of them
        raise
    gather(consumer, pace_s)
    try:
        yield PlainConsumer(consumer, names, fetch_wait_ms)
    finally:
        await _stop(consumer)


async def _stop(consumer: Any) -> None:
    try:
        await consumer.stop()
    except asyncio.CancelledError:
        # Stopped right after `assign`, or during a fetch, aiokafka lets the cancellation of its own task escape; ours must
        # go on, and its connections must not stay open.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        fetches = list(getattr(consumer._fetcher, "_pending_tasks", ()))  # noqa: SLF001
        for fetch in fetches:
            fetch.cancel()
        await asyncio.gather(*fetches, return_exceptions=True)
        await consumer._client.close()  # noqa: SLF001


def message_of(record: Any, names: Names = AS_THEY_ARE, *, timestamp_ms: float | None = None) -> Message:
    """A record as a `Message`, whoever read it: aiokafka, or (`timestamp_ms` given) Faust, which counts in seconds.

    Its topic by the name in EVENTS.md. Any client may leave out a header's value, and the time: they read as empty and
    as 0, and never as None.
    """
    at = record.timestamp if timestamp_ms is None else timestamp_ms
    return Message(
        names.name_of(record.topic),
        record.partition,
        record.offset,
        record.key,
        record.value,
        tuple([(name, value or b"") for name, value in record.headers]) if record.headers else (),
        round(at or 0),
    )


def _listener(
    consumer: PlainConsumer,
    assigned: Callable[[Sequence[PartitionId]], None],
    revoked: Callable[[Sequence[PartitionId]], Awaitable[None]],
) -> Any:
    from aiokafka import ConsumerRebalanceListener

    class Listener(ConsumerRebalanceListener):  # type: ignore[misc]
        async def on_partitions_assigned(self, now: Iterable[Any]) -> None:
            places = sorted((consumer.names.name_of(place.topic), place.partition) for place in now)
            try:
                for place in places:
                    consumer.hold(place)
                assigned(places)
            except Exception as error:
                consumer.failure = consumer.failure or error
                raise

        async def on_partitions_revoked(self, before: Iterable[Any]) -> None:
            try:
                await revoked(sorted((consumer.names.name_of(place.topic), place.partition) for place in before))
            except Exception as error:
                consumer.failure = consumer.failure or error
                raise

    return Listener()
