"""Faust's consumer with our own reading of a partition: committed records only, every offset given out accounted for.

Its fetching loop hands every message over by `wait_first(callback(message), suspend_flow.wait())`: four futures, and a
wait for the first of them, so that a rebalance can interrupt a hand-over to a full queue. While no queue is full and
nothing is suspended, the hand-over cannot wait at all, and is simply awaited.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from typing import Any

from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from mode.services import WaitResults

from streams.kafka.options import ISOLATION


class DirectConsumer(Consumer):  # type: ignore[misc]
    """A consumer that hands messages over directly whenever the app (see `app`) has room: nothing would wait.

    What may be committed is counted by the offsets that were given out, not by their arithmetic: Faust forgets a hole
    behind offset 0, and a partition that begins with an aborted transaction would commit nothing until a restart.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._given: defaultdict[Any, deque[int]] = defaultdict(deque)
        self._done: defaultdict[Any, set[int]] = defaultdict(set)

    async def wait_first(self, *coros: Any, timeout: Any = None) -> WaitResults:  # noqa: ASYNC109 - Faust's signature
        """As Faust's; a hand-over (a coroutine first, and a coroutine that waits for suspension) without tasks."""
        if len(coros) != 2 or timeout is not None or not (hasattr(coros[0], "close") and self.app.has_room()):
            return await super().wait_first(*coros, timeout=timeout)
        handing_over, suspension = coros
        suspension.close()
        return WaitResults([handing_over], [await handing_over], stopped=False)

    async def on_partitions_revoked(self, revoked: set[Any]) -> None:
        """As Faust's; what was given out of these partitions will be given out again, to whoever owns them next."""
        await super().on_partitions_revoked(revoked)
        self._forget(revoked)

    async def on_partitions_assigned(self, assigned: set[Any], generation_id: int = 0) -> None:
        """As Faust's; a new assignment begins at the committed offsets."""
        self._forget(assigned)
        await super().on_partitions_assigned(assigned, generation_id)

    def _forget(self, places: Iterable[Any]) -> None:
        for place in places:
            self._given.pop(place, None)
            self._done.pop(place, None)

    def _to_message(self, tp: Any, record: Any) -> Any:
        given = self._given[tp]
        if not given or record.offset > given[-1]:  # else it was given out before, and is read again
            given.append(record.offset)
        return super()._to_message(tp, record)

    def ack(self, message: Any) -> bool:
        """As Faust's, remembered beside its own lists, which it empties before the last commit of a revocation."""
        self._done[message.tp].add(message.offset)
        acked: bool = super().ack(message)
        return acked

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[Any]:
        return (tp for tp in list(self._done) if topics is None or tp in topics or tp.topic in topics)

    def _new_offset(self, tp: Any) -> int | None:
        """Where the next reader of the partition begins: behind the last of the records that are all acknowledged."""
        done, given, last = self._done[tp], self._given[tp], None
        while given and given[0] in done:
            last = given.popleft()
            done.discard(last)
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        return None if last is None else last + 1

    async def _add_gap(self, tp: Any, offset_from: int, offset_to: int) -> None:
        """Holes (compaction, aborted transactions) were never given out, so they hold nothing up."""

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return CommittedThread(self, loop=self.loop, beacon=self.beacon)


class CommittedThread(AIOKafkaConsumerThread):  # type: ignore[misc]
    """The thread that reads: Faust reads committed records only where it runs transactions itself."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Read by `start`, which comes after this.
        consumer._isolation_level = ISOLATION  # noqa: SLF001
        return consumer


class DirectTransport(Transport):  # type: ignore[misc]
    """Faust's aiokafka transport with a `DirectConsumer`."""

    Consumer = DirectConsumer
