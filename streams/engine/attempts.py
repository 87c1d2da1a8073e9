"""One stage for one message, tried until it succeeds, turns out to be hopeless, or is another worker's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

from processors.errors import Fatal, Poison, Retryable
from streams.engine.backoff import Backoff
from streams.engine.clock import Clock, LoopClock
from streams.engine.credits import Credits
from streams.engine.device import Batcher, Device
from streams.engine.failures import Classify, Failure, StageKind, classify
from streams.engine.lanes import Entry
from streams.engine.message import message_bytes
from streams.engine.observer import NullObserver, Observer
from streams.engine.stages import CpuStage, DeviceStage, Done, IoStage, Priority, Stage


@dataclass(frozen=True, slots=True)
class Engine:
    """What the pipelines of one process share.

    Args:
        device: the one device.
        cpu: threads for `CpuStage`s.
        cpu_threads: how many of them one stage may use at once.
        backoff: waiting times between attempts.
        clock: time.
        observer: metrics.
        classify: what an exception means (the Kafka side knows more exceptions than the engine).
    """

    device: Device
    cpu: Executor
    cpu_threads: int = 2
    backoff: Backoff = field(default_factory=Backoff)
    clock: Clock = field(default_factory=LoopClock)
    observer: Observer = field(default_factory=NullObserver)
    classify: Classify = classify


class Failed(Exception):
    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.stage)
        self.failure = failure


class Abandoned(Exception):
    """The message's partition was revoked while its stage waited for a further attempt."""


async def _unless_gone(work: Coroutine[Any, Any, Any], entry: Entry[Any]) -> Any:
    """What `work` gives; it is cancelled when the partition of its message is another worker's. Raises `Retryable` then."""
    assert entry.lane is not None  # it was appended before its task was started
    working, gone = asyncio.ensure_future(work), asyncio.ensure_future(entry.lane.gone())
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise Retryable("its partition is another worker's")  # who tries again finds it revoked
    finally:
        # Whoever cancels us, too: neither may go on without an owner.
        for task in (working, gone):
            task.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)


class StageRunner:
    """A stage in its place: its slots, or its batcher.

    Args:
        stage: what is run.
        engine: what is shared with other pipelines.
        priority: at the device.
        resize: told how many credits a message needs from now on.
        moved: called whenever something went on: a stage was done, or is tried again.
    """

    def __init__(
        self,
        stage: Stage,
        engine: Engine,
        priority: Priority,
        resize: Callable[[Entry[Any], int], None],
        moved: Callable[[], None],
    ) -> None:
        self.stage = stage
        self._engine, self._resize, self._moved = engine, resize, moved
        self.batcher: Batcher[Any, Any] | None = None
        self.kind: StageKind = "cpu"
        self.abandons = isinstance(stage, IoStage) and stage.abandons
        if isinstance(stage, DeviceStage):
            self.kind = "device"
            self.batcher = engine.device.attach(stage, priority, engine.observer)
        self._slots = asyncio.Semaphore(stage.concurrency if isinstance(stage, IoStage) else engine.cpu_threads)
        if isinstance(stage, IoStage):
            self.kind = "io"
        # Weighed where a few items may be as heavy as hundreds (a decoder's pixels).
        self._costs = Credits(stage.max_cost) if isinstance(stage, CpuStage) and stage.max_cost else None

    async def run(self, item: Any, shop: str | None = None) -> Any:
        """One attempt at one item of this shop."""
        if self.batcher is not None:
            known = None if self.batcher.stage.known is None else self.batcher.stage.known(item)
            return known if known is not None else await self.batcher.submit(item, shop)
        assert not isinstance(self.stage, DeviceStage)
        if self.stage.known is not None:
            known = self.stage.known(item)
            if known is not None:
                return known
        async with self._slots:
            if isinstance(self.stage, IoStage):
                return await self.stage.run(item)
            if self._costs is None:
                return await asyncio.get_running_loop().run_in_executor(self._engine.cpu, self.stage.run, item)
            held = await self._costs.acquire(self.stage.cost(item))
            try:
                return await asyncio.get_running_loop().run_in_executor(self._engine.cpu, self.stage.run, item)
            finally:
                self._costs.release(held)

    async def attempts(self, item: Any, entry: Entry[Any]) -> Any:
        """The stage for one item, until it succeeds or turns out to be hopeless."""
        stage, clock, observer = self.stage, self._engine.clock, self._engine.observer
        started, attempt, counted = clock.now(), 0, self.batcher is None
        while True:
            attempt += 1
            try:
                work = self.run(item, entry.shop)
                if self.batcher is not None and not counted:
                    counted = True
                    self.batcher.arrived()
                value = await (_unless_gone(work, entry) if self.abandons else work)
            except Exception as error:
                verdict = self._engine.classify(error, self.kind)
                if isinstance(verdict, Fatal):
                    raise verdict  # noqa: B904  (it is the error, or has it as its cause)
                if isinstance(verdict, Poison):
                    raise Failed(Failure(entry.message, stage.name, verdict, attempt)) from error
                observer.retried(stage.name, type(error).__name__)
                self._moved()
                if entry.revoked:
                    raise Abandoned from error
            else:
                if isinstance(value, Done):
                    # What was reserved for a photo is not needed: a memoised answer would hold up those that need it.
                    self._resize(entry, message_bytes(entry.message))
                elif stage.size is not None:
                    self._resize(entry, stage.size(value) + message_bytes(entry.message))
                self._moved()
                observer.stage_done(stage.name, clock.now() - started)
                return value
            await clock.sleep(self._engine.backoff.delay(attempt))
