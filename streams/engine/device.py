"""The one device thread: batches of several stages and roles, queries before backfill, bad items found by halving."""

from __future__ import annotations

import asyncio
import math
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from processors.errors import Fatal, Poison
from streams.engine.clock import Clock, LoopClock
from streams.engine.failures import classify
from streams.engine.observer import NullObserver, Observer
from streams.engine.stages import DeviceStage, Priority

T = TypeVar("T")
U = TypeVar("U")

LIMIT_S = 600.0
"""Longest run of one batch. A language model without a GPU takes minutes for a full one, on a busy machine; what takes
ten hangs in a driver."""

_RANK: dict[Priority, int] = {"query": 0, "urgent": 1, "backfill": 2}
_LATEST = 0.125
"""Of the mean seconds between two items, what the latest two make."""
_CROWDED, _LONGER = 0.6, 4.0
"""Where items come more often than one in this share of `linger_s`, a batch waits so many times as long: it then holds seven or more, and
all that follows of them goes together as well."""
_PAUSE = 8.0
"""Times `linger_s` that a pause counts for at most: one does not end a steady stream, two do."""
URGENT_IN_A_ROW = 3
"""Urgent batches in a row while backfill waits: a shop that calls everything urgent must not stop all the others."""
HURRIED = 4
"""While something urgent is on its way, backfill runs in batches of so many times fewer items: a batch cannot be interrupted."""
LOOK_S = 0.05
"""How often, during a batch that gives way, it is looked whether the first deadline of something urgent has come."""


@dataclass(slots=True)
class _Waiting:
    item: Any
    cost: int
    deadline: float
    future: asyncio.Future[Any]
    shop: str | None = None


class Batcher(Generic[T, U]):
    """The items of one `DeviceStage` that wait for the device."""

    def __init__(self, stage: DeviceStage[T, U], rank: int, device: Device, observer: Observer) -> None:
        self.stage = stage
        self.observer = observer
        self.rank = rank
        self._device = device
        self._waiting: deque[_Waiting] = deque()
        self._coming = 0
        self._last = -math.inf  # when an item came
        self._gap = math.inf  # seconds between two, of late

    async def submit(self, item: T, shop: str | None = None) -> U:
        """Wait for a batch and its turn; the result of this item, or the exception that it alone raises.

        `shop`: whom it is for, where that is told.
        """
        future: asyncio.Future[U] = asyncio.get_running_loop().create_future()
        self._device.check()
        now = self._device.clock.now()
        if self.stage.linger_s:
            self._note(now)
        self._waiting.append(_Waiting(item, self.stage.cost(item), now + self._longest, future, shop))
        self._tell_depth()
        self._device.wake()
        return await future

    def expect(self) -> None:
        """One more item is on its way: an idle device may wait for it, up to the deadline of the first."""
        self._coming += 1

    def arrived(self) -> None:
        """An expected item has come, or never will."""
        self._coming -= 1
        if self._coming == 0:
            self._device.wake()

    @property
    def urgent(self) -> bool:
        """Whether it is of a pipeline whose messages are done before their turn."""
        return self.rank == _RANK["urgent"]

    @property
    def busy(self) -> bool:
        """Whether something waits, or is on its way."""
        return self._coming > 0 or bool(self._waiting)

    def deadline(self) -> float | None:
        """Deadline of the first waiting item, or None."""
        self._forget_cancelled()
        return self._waiting[0].deadline if self._waiting else None

    def closed(self, now: float) -> bool:
        """Whether the batch need not wait any longer for more (asked only when the device is idle)."""
        deadline = self.deadline()
        if deadline is None:
            return False
        return (self._coming <= 0 and not self._steady) or deadline <= now or self._full()

    def _note(self, now: float) -> None:
        """An item has come: how often they do. One after a pause says nothing of how long that was."""
        gap = min(now - self._last, _PAUSE * self.stage.linger_s)
        self._last = now
        self._gap = gap if math.isinf(self._gap) else self._gap + (gap - self._gap) * _LATEST

    @property
    def _steady(self) -> bool:
        """Whether the next item is likely to come before a batch that lingers has to go."""
        return self._gap < self.stage.linger_s

    @property
    def _longest(self) -> float:
        """Seconds that the first item waits at most."""
        if not self._steady:
            return self.stage.wait_s
        longer = _LONGER if self._gap < _CROWDED * self.stage.linger_s else 1.0
        return max(self.stage.wait_s, longer * self.stage.linger_s)

    def take(self, *, hurried: bool = False) -> list[_Waiting]:
        """The next batch: never empty, within `max_items` (`hurried`: a part of it), within `max_cost` unless its only item
        is larger.
        """
        batch = [self._waiting.popleft()]
        total = batch[0].cost
        most = max(1, self.stage.max_items // HURRIED) if hurried else self.stage.max_items
        while self._waiting and len(batch) < most:
            total += self._waiting[0].cost
            if self.stage.max_cost and total > self.stage.max_cost:
                break
            batch.append(self._waiting.popleft())
        self._tell_depth()
        return [waiting for waiting in batch if not waiting.future.done()]

    def fail(self, error: BaseException) -> None:
        """Nobody waits for a device that is gone."""
        while self._waiting:
            _settle(self._waiting.popleft(), error=error)

    def _tell_depth(self) -> None:
        if not self.urgent:  # the pipeline beside it tells: one number a stage
            self.observer.queue_depth(self.stage.name, len(self._waiting))

    def _full(self) -> bool:
        if len(self._waiting) >= self.stage.max_items:
            return True
        if not self.stage.max_cost:
            return False
        return sum(waiting.cost for waiting in self._waiting) >= self.stage.max_cost

    def _forget_cancelled(self) -> None:
        while self._waiting and self._waiting[0].future.done():
            self._waiting.popleft()


def _tell_done(batcher: Batcher[Any, Any], chunk: Sequence[_Waiting], seconds: float) -> None:
    """A batch is done: what it cost, and for whom."""
    name, cost = batcher.stage.name, sum(waiting.cost for waiting in chunk)
    batcher.observer.batch_done(name, len(chunk), cost, seconds)
    shares: Counter[str] = Counter()
    for waiting in chunk:
        if waiting.shop is not None:
            shares[waiting.shop] += waiting.cost
    for shop, share in shares.items():
        batcher.observer.shop_charged(shop, name, seconds * share / max(cost, 1))


def _settle(waiting: _Waiting, *, result: Any = None, error: BaseException | None = None) -> None:
    if waiting.future.done():  # its message was cancelled meanwhile
        return
    if error is None:
        waiting.future.set_result(result)
    elif isinstance(error, StopIteration):
        # A future refuses StopIteration, and its waiter would wait for ever.
        waiting.future.set_exception(RuntimeError("the device stage raised StopIteration"))
    else:
        waiting.future.set_exception(error)


class Device:
    """Runs batches one after the other; share one per process. Use as `async with Device() as device:`.

    Args:
        executor: where batches run; one thread (default: its own).
        clock: time, for deadlines.
        observer: batch sizes, seconds, queue depths.
        limit_s: longest run of one batch; past it the device ends with `Fatal`, and so does everybody who waits for it:
            a thread cannot be killed, so only another process gets a device that works.
    """

    def __init__(
        self,
        *,
        executor: Executor | None = None,
        clock: Clock | None = None,
        observer: Observer | None = None,
        limit_s: float = LIMIT_S,
    ) -> None:
        self._limit_s = limit_s
        self._hung: Fatal | None = None
        self.clock: Clock = clock or LoopClock()
        self.observer: Observer = observer or NullObserver()
        self._owns_executor = executor is None
        self._executor: Executor = executor or ThreadPoolExecutor(1, thread_name_prefix="device")
        self._batchers: list[Batcher[Any, Any]] = []
        self._urgent_in_a_row = 0
        # Urgent batches for the thread that runs another one; and those that failed there, to be run by themselves.
        self._express: deque[tuple[Batcher[Any, Any], list[_Waiting]]] = deque()
        self._again: deque[tuple[Batcher[Any, Any], list[_Waiting]]] = deque()
        self._giving_way = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def attach(self, stage: DeviceStage[T, U], priority: Priority, observer: Observer | None = None) -> Batcher[T, U]:
        """A queue for one stage of one pipeline, which may be told of its batches by an observer of its own."""
        batcher: Batcher[T, U] = Batcher(stage, _RANK[priority], self, observer or self.observer)
        self._batchers.append(batcher)
        return batcher

    def detach(self, batcher: Batcher[Any, Any]) -> None:
        """The pipeline of this batcher has ended."""
        if batcher in self._batchers:
            self._batchers.remove(batcher)
        batcher.fail(Fatal("the pipeline has ended"))

    def wake(self) -> None:
        """Something changed: look again."""
        self._wake.set()

    def check(self) -> None:
        """Raise `Fatal` when the device does not run: its queue would never be served."""
        if self._task is None or self._task.done():
            raise self._hung or Fatal("the device is not running")

    def give_way(self) -> None:
        """Run what is urgent and waits. Called by a model between two steps of a batch, in the device's thread."""
        if self._giving_way or self._loop is None:
            return
        self._giving_way = True
        try:
            while self._express:
                batcher, chunk = self._express.popleft()
                # The loop's own time: the clock is asked on the loop only.
                started, error, results = self._loop.time(), None, []
                try:
                    results = batcher.stage.run([waiting.item for waiting in chunk])
                except Exception as raised:  # noqa: BLE001  (handed to the waiter, who decides)
                    error = raised
                seconds = self._loop.time() - started
                self._loop.call_soon_threadsafe(self._gave_way, batcher, chunk, results, error, seconds)
        finally:
            self._giving_way = False

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="device")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._owns_executor:
            # Not waited for: a batch that hangs in a driver must not keep the loop from ending.
            self._executor.shutdown(wait=False, cancel_futures=True)

    async def _run(self) -> None:
        try:
            while True:
                self._wake.clear()
                batcher = self._next()
                if batcher is None:
                    await self._wait()
                    continue
                batch = batcher.take(hurried=self._hurried(batcher))
                if batch:
                    await self._execute(batcher, batch)
                del batch  # its pixels would live on while the device waits
                while self._hung is None and (self._express or self._again):
                    await self._execute(*(self._express or self._again).popleft())
                if self._hung is not None:
                    return
        finally:
            for waiting in [w for _, chunk in (*self._express, *self._again) for w in chunk]:
                _settle(waiting, error=self._hung or Fatal("the device has stopped"))
            for batcher in self._batchers:
                batcher.fail(self._hung or Fatal("the device has stopped"))

    def _next(self) -> Batcher[Any, Any] | None:
        now = self.clock.now()
        closed = [batcher for batcher in self._batchers if batcher.closed(now)]
        behind = [batcher for batcher in closed if batcher.rank > _RANK["urgent"]]
        if behind and self._urgent_in_a_row >= URGENT_IN_A_ROW:
            closed = [batcher for batcher in closed if not batcher.urgent]
        first = min(closed, key=lambda batcher: (batcher.rank, batcher.deadline() or now), default=None)
        if first is not None and first.rank >= _RANK["urgent"]:
            self._urgent_in_a_row = self._urgent_in_a_row + 1 if first.urgent and behind else 0
        return first

    def _hurried(self, batcher: Batcher[Any, Any]) -> bool:
        late = batcher.rank > _RANK["urgent"] and not batcher.stage.gives_way
        return late and any(other.urgent and other.busy for other in self._batchers)

    def _offer(self, running: Batcher[Any, Any]) -> None:
        """Hand what is urgent and ready to the thread that runs a batch which gives way."""
        if running.rank <= _RANK["urgent"] or not running.stage.gives_way:
            return
        for batcher in self._batchers:
            if batcher.urgent and batcher.closed(self.clock.now()) and (chunk := batcher.take()):
                self._express.append((batcher, chunk))

    def _gave_way(
        self,
        batcher: Batcher[Any, Any],
        chunk: list[_Waiting],
        results: list[Any],
        error: Exception | None,
        seconds: float,
    ) -> None:
        if error is not None or len(results) != len(chunk):
            self._again.append((batcher, chunk))  # by itself: there it is found out whose fault it is
            return
        for waiting, result in zip(chunk, results, strict=True):
            _settle(waiting, result=result)
        _tell_done(batcher, chunk, seconds)

    async def _wait(self) -> None:
        deadlines = [deadline for batcher in self._batchers if (deadline := batcher.deadline()) is not None]
        timer = self.clock.call_at(min(deadlines), self._wake.set) if deadlines else None
        try:
            await self._wake.wait()
        finally:
            if timer is not None:
                timer.cancel()

    async def _execute(self, batcher: Batcher[Any, Any], batch: Sequence[_Waiting]) -> None:
        """Run, and halve what fails by an item's fault, until exactly the bad items are alone with their exception.

        Trouble that passes is nobody's fault: halving would only ask a device that is away again and again.
        """
        todo = [list(batch)]
        try:
            while todo:
                chunk = todo[0]
                batcher.observer.batch_started(batcher.stage.name)
                error = await self._run_batch(batcher, chunk)
                batcher.observer.batch_ended(batcher.stage.name)
                todo.pop(0)
                if error is None:
                    continue
                if len(chunk) == 1 or not isinstance(classify(error, "device"), Poison):
                    for waiting in chunk:
                        _settle(waiting, error=error)
                else:
                    middle = len(chunk) // 2
                    todo[:0] = [chunk[:middle], chunk[middle:]]
        finally:
            for waiting in (waiting for chunk in todo for waiting in chunk):
                _settle(waiting, error=Fatal("the device has stopped"))

    async def _watch(self, batcher: Batcher[Any, Any], running: asyncio.Future[Any]) -> None:
        """Wait for a batch, at most `limit_s`; meanwhile offer it what is urgent, where it gives way."""
        if not batcher.stage.gives_way:
            await asyncio.wait([running], timeout=self._limit_s)
            return
        end = self.clock.now() + self._limit_s
        while not running.done() and (left := end - self.clock.now()) > 0:
            self._wake.clear()
            self._offer(batcher)
            waker = asyncio.ensure_future(self._wake.wait())
            look = LOOK_S if any(other.urgent and other.busy for other in self._batchers) else left
            try:
                await asyncio.wait([running, waker], timeout=min(look, left), return_when=asyncio.FIRST_COMPLETED)
            finally:
                waker.cancel()

    async def _run_batch(self, batcher: Batcher[Any, Any], chunk: list[_Waiting]) -> Exception | None:
        stage, started = batcher.stage, self.clock.now()
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._executor, stage.run, [waiting.item for waiting in chunk])
        try:
            await self._watch(batcher, running)
            if not running.done():
                running.add_done_callback(lambda late: late.cancelled() or late.exception())
                self._hung = Fatal(
                    f"{stage.name} has held the device for {self._limit_s:.0f} s with {len(chunk)} items: it hangs "
                    "(WEFT_DEVICE_SECONDS is the limit)"
                )
                return self._hung
            results = running.result()
        except Exception as error:  # noqa: BLE001  (handed to the waiter, who decides)
            return error
        if len(results) != len(chunk):
            # Results would be handed to the wrong products.
            return Fatal(f"{stage.name} returned {len(results)} results for {len(chunk)} items")
        for waiting, result in zip(chunk, results, strict=True):
            _settle(waiting, result=result)
        _tell_done(batcher, chunk, self.clock.now() - started)
        return None
