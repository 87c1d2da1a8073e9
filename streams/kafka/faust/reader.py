"""Takes records from a group's consumer to a pipeline, and acknowledgements back: by what arrived together, where that can be."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, Protocol

from infra.logs import logger
from streams.contract.cloudevents import origin_ms
from streams.engine.failures import PipelineClosed, Revoked
from streams.engine.lanes import Run
from streams.engine.message import Message
from streams.engine.observer import Observer
from streams.engine.pipeline import Pipeline
from streams.engine.stages import Done
from streams.kafka.consumer import message_of
from streams.kafka.names import Names

log = logger(__name__)


class Watcher(Protocol):
    """Told which partitions are ours (`streams.kafka.look_ahead`)."""

    def begin(self, starts: Mapping[tuple[str, int], int]) -> None:
        """These are, and are read from these offsets on. Told again of those that stay."""
        ...

    def revoked(self, places: Iterable[tuple[str, int]]) -> None:
        """These are not any more."""
        ...


class GroupReader:
    """Takes records from the consumer to the pipeline, and acknowledgements back."""

    def __init__(
        self, app: Any, pipeline: Pipeline[Any], names: Names, observer: Observer, watcher: Watcher | None
    ) -> None:
        self._app = app
        self._watcher = watcher
        self._observer = observer
        self._names = names
        self._pipeline = pipeline
        self._closed = False

    def subscribe(self, topics: Sequence[str]) -> None:
        """Make the app's one agent. Concurrency is 1: overlap belongs into the pipeline."""
        from mode.supervisors import CrashingSupervisor

        there = [self._names.topic(name) for name in topics]
        topic = self._app.topic(*there, key_serializer="raw", value_serializer="raw")

        async def read(_stream: Any) -> None:
            await self._read()  # its channel stays empty: `DirectConsumer` hands over beside it

        self._app.agent(topic, name="read", concurrency=1, supervisor_strategy=CrashingSupervisor)(read)

        async def forget(_app: Any, revoked: Iterable[Any], **_: Any) -> None:
            self._forget(revoked)

        async def tell(_app: Any, assigned: Iterable[Any], **_: Any) -> None:
            log.info("group.assigned", partitions=sorted(tp.partition for tp in assigned))

        self._app.on_partitions_revoked.connect(forget, weak=False)
        self._app.on_partitions_assigned.connect(tell, weak=False)

    def close(self) -> None:
        """Take no more records."""
        self._closed = True

    def give_up(self) -> None:
        """A rebalance has waited long enough: neither publish nor acknowledge what is in flight."""
        log.warning("rebalance.gave_up", in_flight=self._pipeline.in_flight)
        self._forget(self._app.consumer.assignment())
        self._app.consumer.unacked.clear()

    def begins_at(self, offsets: Mapping[Any, int]) -> None:
        """These partitions are ours, from these offsets on."""
        if self._watcher is not None:
            self._watcher.begin({(self._names.name_of(tp.topic), tp.partition): at for tp, at in offsets.items()})

    def _forget(self, partitions: Iterable[Any]) -> None:
        places = self._places(partitions)
        self._pipeline.forget(places)
        if self._watcher is not None:
            self._watcher.revoked(places)

    async def _read(self) -> None:
        while True:
            await self._take(await self._app.batches.get())

    async def _take(self, records: Sequence[Any]) -> None:
        """Records of one partition, in their order."""
        # Not acknowledged: the next owner of their partition, or we after the rebalance, get them again.
        records = [record for record in records if not self._is_left(record)]
        # Faust counts in seconds, and knows no record without a time.
        messages = [message_of(one, self._names, timestamp_ms=(one.timestamp or 0.0) * 1000) for one in records]
        known = await self._pipeline.look(messages)
        if len(records) > 1 and all(known):  # as nearly always, where thousands come a second
            await self._submit_run(records, messages, [done.result for done in known if done is not None])
            return
        for is_known, numbers in groupby(range(len(records)), lambda number: known[number] is not None):
            part = list(numbers)
            if is_known and len(part) > 1:
                results = [done.result for number in part if (done := known[number]) is not None]
                await self._submit_run([records[n] for n in part], [messages[n] for n in part], results)
                continue
            for number in part:
                await self._submit(records[number], messages[number], known[number])

    async def _submit(self, record: Any, message: Message, done: Done[Any] | None) -> None:
        if self._is_left(record):
            return
        self._app.consumer.track_message(record)
        record.tracked = True
        with self._untaken([record]):
            await self._pipeline.submit(message, self._ack(record, message), done)

    async def _submit_run(self, records: Sequence[Any], messages: Sequence[Message], results: Sequence[Any]) -> None:
        if self._is_left(records[0]):  # of one fetch, so of one generation
            return
        self._app.consumer.track_together(records)

        def ack(number: int) -> None:
            self._ack(records[number], messages[number])()

        with self._untaken(records):
            await self._pipeline.submit_run(Run(messages, results, ack, self._ack_all(records, messages)))

    @contextmanager
    def _untaken(self, records: Sequence[Any]) -> Iterator[None]:
        """What the pipeline did not take stays unacknowledged."""
        try:
            yield
        except Revoked:
            self._app.consumer.unacked.difference_update(records)
        except PipelineClosed:
            self._closed = True  # the owner of the pipeline raises what closed it
            self._app.consumer.unacked.difference_update(records)

    def _is_left(self, record: Any) -> bool:
        return self._closed or self._stale(record)

    def _places(self, partitions: Iterable[Any]) -> list[tuple[str, int]]:
        return [(self._names.name_of(tp.topic), tp.partition) for tp in partitions]

    def _stale(self, message: Any) -> bool:
        """Fetched before a rebalance: the partition may be another worker's now."""
        return message.generation_id != self._app.consumer_generation_id or not self._app.flow_control.is_active()

    def _ack_all(self, records: Sequence[Any], messages: Sequence[Message]) -> Callable[[], None]:
        def ack() -> None:
            now = time.time()
            self._observer.aged_all(messages[0].topic, [now - origin_ms(one) / 1000 for one in messages])
            if records[0].generation_id == self._app.consumer_generation_id:
                self._app.consumer.ack_together(records)
            else:
                self._app.consumer.unacked.difference_update(records)

        return ack

    def _ack(self, record: Any, message: Message) -> Callable[[], None]:
        topic, origin = message.topic, origin_ms(message)

        def ack() -> None:
            self._observer.aged(topic, time.time() - origin / 1000)
            # Faust's ack does not look at the generation: an old one would count as progress of the new assignment.
            if record.generation_id == self._app.consumer_generation_id:
                record.ack(self._app.consumer)
            else:
                self._app.consumer.unacked.discard(record)

        return ack
