"""One partition's way out: publish in offset order, deliveries overlapping, acks strictly in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

from processors.errors import Fatal, Poison
from streams.engine.backoff import Backoff
from streams.engine.clock import Clock
from streams.engine.credits import Held
from streams.engine.failures import Classify, Failure, WorkAnew
from streams.engine.message import Message
from streams.engine.observer import Observer

R = TypeVar("R")

Deliveries: TypeAlias = Sequence[Awaitable[object]]
Publish: TypeAlias = Callable[[Message, R], Awaitable[Deliveries]]
"""Called in offset order per partition. Awaiting it hands the records to the producer (in order); it returns their
delivery futures, which the engine awaits while later results are published already. Raises `WorkAnew` where the result is
not true any more: its message goes through the stages, which may look again at what has changed meanwhile."""
PublishAll: TypeAlias = Callable[[Sequence[tuple[Message, R]]], Awaitable[Sequence[Deliveries] | None]]
"""The same for results that follow each other, all at once: the deliveries of each. None, or any exception: they are to be
published one by one; then what was handed over already is handed over once more."""
DeadLetter: TypeAlias = Callable[[Failure], Awaitable[Deliveries]]
"""The same for a failure."""
Ack: TypeAlias = Callable[[], None]


@dataclass(slots=True)
class Run(Generic[R]):
    """Messages of one partition that follow each other, of all of which it is known what becomes of them: they go as one.

    `ack`: of the message of this number. `ack_all`: of all of them, at once. `shares`: shop → how many are of it, and their bytes;
    the pipeline tells it once.
    """

    messages: Sequence[Message]
    results: Sequence[R]
    ack: Callable[[int], None]
    ack_all: Ack
    shares: Mapping[str, tuple[int, int]] | None = None


@dataclass(slots=True, eq=False)
class Entry(Generic[R]):
    """A message on its way. `outcome` is set once: the result, or the `Failure`.

    Or a `run` of them, of which it names the last. `parts`: its messages by themselves, once they cannot go as one any more.
    """

    message: Message
    ack: Ack
    held: Held
    admitted: float
    outcome: asyncio.Future[R | Failure]
    shop: str | None = None
    deliveries: list[asyncio.Future[object]] = field(default_factory=list)
    lane: Lane[R] | None = None
    run: Run[R] | None = None
    parts: list[Entry[R]] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many messages it is of."""
        return 1 if self.run is None else len(self.run.messages)

    @property
    def failed(self) -> bool:
        """Whether it came to a `Failure`: no message of a run did."""
        return self.run is None and isinstance(self.outcome.result(), Failure)

    def results(self) -> Iterable[tuple[Message, Any]]:
        """Each message with what becomes of it."""
        if self.run is None:
            return ((self.message, self.outcome.result()),)
        return zip(self.run.messages, self.run.results, strict=True)

    @property
    def revoked(self) -> bool:
        """Whether its partition is another worker's now: nothing more need be tried for it."""
        return self.lane is not None and self.lane.revoked


@dataclass(frozen=True, slots=True)
class Exit(Generic[R]):
    """What every lane needs: where results go, and how trouble is judged."""

    publish: Publish[R]
    dead_letter: DeadLetter
    classify: Classify
    backoff: Backoff
    clock: Clock
    observer: Observer
    finished: Callable[[Entry[R]], None]
    anew: Callable[[Entry[R]], Awaitable[None]]
    split: Callable[[Entry[R]], list[Entry[R]]]
    publish_all: PublishAll[R] | None = None


MOST_TOGETHER = 2048
"""Results that are published at once."""


class Lane(Generic[R]):
    """The entries of one partition, in the order in which they were submitted."""

    def __init__(self, way_out: Exit[R], capacity: int) -> None:
        self._exit = way_out
        # One place more than can be admitted: for the None that ends a revoked lane.
        self._submitted: asyncio.Queue[Entry[R] | None] = asyncio.Queue(capacity + 1)
        self._published: asyncio.Queue[Entry[R] | None] = asyncio.Queue(capacity + 1)
        self._unacked: deque[Entry[R]] = deque()
        # Held while records are handed to the producer: a repeat must not overtake, or be overtaken.
        self._order = asyncio.Lock()
        self._revoked = False
        self._gone = asyncio.Event()
        self._handing: asyncio.Task[Any] | None = None  # the task that hands a record to the producer right now
        self._taken_back = False

    @property
    def revoked(self) -> bool:
        """Whether the partition is another worker's now."""
        return self._revoked

    async def gone(self) -> None:
        """Wait until the partition is another worker's."""
        await self._gone.wait()

    def append(self, entry: Entry[R]) -> None:
        """The next entry. Raises `QueueFull` only if admission let in more than the capacity: a bug."""
        entry.lane = self
        self._submitted.put_nowait(entry)

    def revoke(self) -> None:
        """The partition is another worker's now: publish nothing more, acknowledge nothing more.

        What was not published yet is delivered again to the new owner; a late publish from here could put an older
        value after the new owner's newer one. The lane's tasks end with its last entry.
        """
        if not self._revoked:
            self._revoked = True
            self._gone.set()
            self._submitted.put_nowait(None)
            if self._handing is not None:
                # It waits for metadata, or for room in the producer, and would publish when that comes.
                self._taken_back = True
                self._handing.cancel()

    async def publish_all(self) -> None:
        """Hand outcomes to the producer in order, until revoked."""
        waiting: Entry[R] | None = None
        while (entry := waiting or await self._submitted.get()) is not None:
            await entry.outcome
            together, waiting, ended = self._together(entry)
            async with self._order:
                self._unacked.extend(await self._send_all(together))
            for one in together:
                self._published.put_nowait(one)
            if ended:
                break
        self._published.put_nowait(None)

    def _together(self, first: Entry[R]) -> tuple[list[Entry[R]], Entry[R] | None, bool]:
        """What is published at once: an entry, and those behind it that are done. Also the one behind these, where it was taken
        from the queue already, and whether that was the end.
        """
        together, count = [first], first.count
        if self._exit.publish_all is None or first.failed:
            return together, None, False
        while count < MOST_TOGETHER and not self._submitted.empty():
            entry = self._submitted.get_nowait()
            if entry is None:
                return together, None, True
            if not entry.outcome.done() or entry.failed:
                return together, entry, False
            together.append(entry)
            count += entry.count
        return together, None, False

    async def ack_all(self) -> None:
        """Acknowledge in order what is durable, until revoked."""
        while (entry := await self._published.get()) is not None:
            await self._acknowledge(entry)

    async def _acknowledge(self, entry: Entry[R]) -> None:
        if entry.parts or not await self._delivered(entry):
            for part in entry.parts:
                await self._acknowledge(part)
            return
        self._unacked.popleft()
        if not self._revoked:
            entry.ack()
            seconds = self._exit.clock.now() - entry.admitted
            if entry.run is None:
                self._exit.observer.acked(*entry.message.source, seconds)
            else:
                topic, partition, _ = entry.message.source
                self._exit.observer.acked_all(topic, partition, [one.offset for one in entry.run.messages], seconds)
        self._exit.finished(entry)

    async def _send_all(self, entries: Sequence[Entry[R]]) -> Sequence[Entry[R]]:
        """Hand them over: as they are, or, where that cannot be, message by message. Returns what was handed over."""
        if self._revoked:
            return entries
        together = len(entries) > 1 or entries[0].run is not None
        found = await self._published_together(entries) if together else None
        if found is None:
            entries = [part for entry in entries for part in self._parts(entry)]
            for entry in entries:
                await self._send(entry)
            return entries
        left = iter(found)
        for entry in entries:
            # Messages of one product, or of all that were kept together, have the same delivery.
            deliveries = dict.fromkeys(delivery for _ in range(entry.count) for delivery in next(left))
            entry.deliveries = [asyncio.ensure_future(delivery) for delivery in deliveries]
        return entries

    def _parts(self, entry: Entry[R]) -> Sequence[Entry[R]]:
        """The messages of a run by themselves; of whoever is none, itself. What was handed over as one is nobody's news any more."""
        if entry.run is None:
            return (entry,)
        if not entry.parts:
            _ignore(entry.deliveries)
            entry.parts = self._exit.split(entry)
        return entry.parts

    async def _published_together(self, entries: Sequence[Entry[R]]) -> Sequence[Deliveries] | None:
        """None: they are to be published one by one, and each meets again what went wrong."""
        if self._exit.publish_all is None:
            return None
        self._handing = asyncio.current_task()
        results: Any = [result for entry in entries for result in entry.results()]
        try:
            return await self._exit.publish_all(results)
        except asyncio.CancelledError:
            if not self._was_taken_back():
                raise
            return None  # nor are they sent one by one: the lane is revoked
        except Exception as error:  # noqa: BLE001
            self._exit.observer.retried("publish", type(error).__name__)
            return None
        finally:
            self._handing = None

    async def _send(self, entry: Entry[R]) -> None:
        attempt = 0
        while not self._revoked:
            attempt += 1
            outcome = entry.outcome.result()
            self._handing = asyncio.current_task()
            try:
                if isinstance(outcome, Failure):
                    deliveries = await self._exit.dead_letter(outcome)
                else:
                    deliveries = await self._exit.publish(entry.message, outcome)
            except asyncio.CancelledError:
                if not self._was_taken_back():
                    raise
                return
            except WorkAnew:
                self._handing = None
                await self._exit.anew(entry)
            except Exception as error:  # noqa: BLE001  (classified)
                self._handing = None
                await self._recover(entry, error, attempt)
            else:
                entry.deliveries = [asyncio.ensure_future(delivery) for delivery in deliveries]
                return
            finally:
                self._handing = None

    def _was_taken_back(self) -> bool:
        """Whether it was `revoke` that cancelled, and nobody else did: then the lane's task goes on."""
        taken_back, self._taken_back = self._taken_back, False
        task = asyncio.current_task()
        return taken_back and task is not None and task.uncancel() == 0

    async def _delivered(self, entry: Entry[R]) -> bool:
        """Whether it is, or need not be any more. Not, of a run: its messages were sent again, each by itself."""
        attempt = 0
        while True:
            error = await _first_error(entry.deliveries)
            if error is None or self._revoked:
                return True
            attempt += 1
            async with self._order:
                # Which message of a run it was nobody knows: each meets again by itself what went wrong.
                await (self._recover(entry, error, attempt) if entry.run is None else self._pause(error, attempt))
                # Go back: everything after it is sent again too. Sending only the lost record would put an older
                # value of a product behind a newer one in a compacted topic.
                self._unacked = deque(part for one in self._unacked for part in self._parts(one))
                for later in self._unacked:
                    _ignore(later.deliveries)
                    await self._send(later)
            if entry.parts:
                return False

    async def _pause(self, error: Exception, attempt: int) -> None:
        verdict = self._exit.classify(error, "io")
        if isinstance(verdict, Fatal):
            raise verdict
        self._exit.observer.retried("publish", type(error).__name__)
        await self._exit.clock.sleep(self._exit.backoff.delay(attempt))

    async def _recover(self, entry: Entry[R], error: Exception, attempt: int) -> None:
        """Wait for the next attempt, or make the entry a failure. Raises what must end the process."""
        verdict = self._exit.classify(error, "io")
        if not isinstance(verdict, Poison):
            await self._pause(error, attempt)
            return
        if isinstance(entry.outcome.result(), Failure):
            raise Fatal(f"a dead letter cannot be written: {verdict}") from error
        self._exit.observer.failed("publish", type(error).__name__)
        failed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        failed.set_result(Failure(entry.message, "publish", verdict, attempt))
        entry.outcome = failed


async def _first_error(deliveries: Iterable[asyncio.Future[object]]) -> Exception | None:
    """Wait for all; the first exception, or None. (Not `gather`: it costs more than all the rest of a delivery.)"""
    error: Exception | None = None
    for delivery in deliveries:
        try:
            await delivery
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # The producer was closed under us: not delivered.
            error = error or ConnectionError("the delivery was cancelled")
        except Exception as failed:  # noqa: BLE001  (classified by the caller)
            error = error or failed
    return error


def _ignore(deliveries: Iterable[asyncio.Future[object]]) -> None:
    """Nobody awaits these any more; their exceptions are not news."""
    for delivery in deliveries:
        delivery.add_done_callback(lambda done: done.cancelled() or done.exception())
