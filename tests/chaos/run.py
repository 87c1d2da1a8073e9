"""One run: a stack, the workload, and (unless it is the reference) the schedule; what is left is evidence."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from infra.process import Backoff, Supervisor
from streams.contract import topics
from streams.engine.message import Message
from streams.kafka.client import Client
from streams.kafka.producer import open_producer
from tests.chaos.evidence import Evidence, evidence_of, read_index, read_topics
from tests.chaos.feeder import Feeder, ask_final
from tests.chaos.patience import Patience
from tests.chaos.processes import Ended, Recovery, Trouble, Up, Watch
from tests.chaos.quiet import until_quiet
from tests.chaos.schedule import Step
from tests.chaos.stores import Place
from tests.chaos.workload import Op

PATIENCE_S = 180.0
"""Without any progress for so long, something hangs. Longer than a session, a restart and the longest back-off together."""
BACK_S = 600.0
"""A process that does not take work so long after a blow hangs, however busy the machine."""
SNAPSHOT_S = 10.0
Say = Callable[[str], None]


@dataclass(slots=True)
class Facts:
    """What was done and measured; what went wrong beside the evidence is in `faults`."""

    blows: dict[str, int] = field(default_factory=dict)
    recoveries: list[Recovery] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    struck_while_starting: int = 0
    harmed: int | None = None
    seconds: float = 0.0
    quiet_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How many workers each role has, and after how many seconds no further blow is struck."""

    workers: int = 1
    seconds: float = math.inf


ALONE = Limits()


async def run(
    ops: Sequence[Op],
    steps: Sequence[Step],
    place: Place,
    data_dir: Path,
    partitions: int,
    say: Say,
    limits: Limits = ALONE,
) -> tuple[Evidence, Facts]:
    """Start a stack (and further workers, to have so many of each role), send `ops` while `steps` happen, wait until all is quiet, and gather the evidence.

    Raises:
        Trouble: the harness cannot go on.
        Ended: the stack did not.
    """
    started = time.monotonic()
    environment = {
        "WEFT_STORE_URL": place.url,
        "WEFT_PARTITIONS": str(partitions),
        "WEFT_SNAPSHOT_SECONDS": str(SNAPSHOT_S),
        **place.environment,
    }
    # Undisturbed, one process for all roles does: it costs a quarter to start.
    up, facts = Up(data_dir, environment, () if steps else ("--single-process",)), Facts()
    try:
        await up.start()
        say(f"the stack is up after {time.monotonic() - started:.0f} s")
        async with Supervisor(lambda _: None, backoff=Backoff(healthy=5.0)) as supervisor:
            for number in range(2, limits.workers + 1):
                up.more_workers(supervisor, number)
            records = await _disturb(up, ops, steps, place, facts, say, limits.seconds)
        status = await up.stop()
        if status != 0:
            facts.faults.append(f"weft up ended with {status}")
        index = await asyncio.to_thread(read_index, place.store, partitions)
    finally:
        await up.stop()
    facts.harmed = place.trouble.harmed()
    facts.seconds = time.monotonic() - started
    return evidence_of(records, index), facts


async def _disturb(
    up: Up, ops: Sequence[Op], steps: Sequence[Step], place: Place, facts: Facts, say: Say, seconds: float
) -> dict[str, tuple[Message, ...]]:
    watch = Watch(up)
    async with open_producer(up.settings) as sender:
        feeder = Feeder(ops, place, sender)
        await asyncio.to_thread(feeder.put_photos)
        tasks = [asyncio.create_task(watch.run()), asyncio.create_task(feeder.run())]
        try:
            await _Blows(up, watch, feeder, place, facts, say).all(steps, time.monotonic() + seconds)
            feeder.allow(len(ops))
            await _come_back(watch, facts)
            await _durable(feeder)
            begun = time.monotonic()
            await _quiet(up, place, facts, say)
            facts.quiet_seconds = time.monotonic() - begun
            async with Client(up.settings) as client:
                await ask_final(sender, {k: v for k, v in (await client.end_offsets(topics.ITEMS)).items() if v})
            await _quiet(up, place, facts, say)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    facts.recoveries = watch.recoveries
    facts.struck_while_starting = watch.struck_while_starting
    return await read_topics(up.settings)


async def _quiet(up: Up, place: Place, facts: Facts, say: Say) -> None:
    behind = await until_quiet(up.settings, place.store, PATIENCE_S, say)
    if behind:
        facts.faults.append(f"no progress for {PATIENCE_S:.0f} s, still to do: {behind}")
        say(facts.faults[-1])


async def _durable(feeder: Feeder) -> None:
    """The broker has everything that was sent."""
    before, patience = -1, Patience(PATIENCE_S)
    while feeder.durable < len(feeder.ops):
        if feeder.durable != before:
            before = feeder.durable
            patience.progress()
        if patience.over:
            raise Trouble(f"the broker has only {feeder.durable} of {len(feeder.ops)} records")
        await asyncio.sleep(0.1)


async def _come_back(watch: Watch, facts: Facts) -> None:
    """Everybody who was struck is back."""
    for target in list(watch.missing):
        if await watch.until_ready(target, BACK_S) is None and target in watch.missing:
            facts.faults.append(f"{target} did not come back within {watch.missing[target]:.0f} s")


@dataclass(slots=True)
class _Blows:
    """Carries the schedule out."""

    up: Up
    watch: Watch
    feeder: Feeder
    place: Place
    facts: Facts
    say: Say
    _held: set[asyncio.Task[None]] = field(default_factory=set)
    _trouble: asyncio.Task[None] | None = None

    async def all(self, steps: Sequence[Step], until: float) -> None:
        try:
            for step in steps:
                if time.monotonic() > until:
                    self.say(f"the time for blows is over after {step.number} of {len(steps)}")
                    break
                self.feeder.allow(step.sent)
                await asyncio.sleep(step.gap_s)
                await self._one(step)
                self.say(
                    f"{step.number + 1}/{len(steps)} {step} (sent {self.feeder.durable}, "
                    f"away: {', '.join(sorted(self.watch.missing)) or 'none'})"
                )
        finally:
            # Whatever happened: thaw, and end the trouble of the store.
            for task in list(self._held):
                if self.up.alive:
                    await asyncio.gather(task, return_exceptions=True)
                task.cancel()

    async def _one(self, step: Step) -> None:
        if not self.up.alive:
            raise Ended(f"weft up ended by itself before step {step.number}; see {self.up.data_dir / 'up.log'}")
        if step.blow == "store":
            await self._harm(step)
            return
        wait = self.watch.until_there if step.early else self.watch.until_ready
        pid = await wait(step.target, BACK_S)
        if pid is None:
            self.facts.faults.append(f"{step.target} did not come back for step {step.number}: {step}")
            return
        self.facts.blows[f"{step.blow} {step.target}"] = self.facts.blows.get(f"{step.blow} {step.target}", 0) + 1
        if step.blow == "freeze":
            self.watch.freeze(pid)
            self._hold(self._thaw_after(pid, step.hold_s))
        else:
            self.watch.strike(step.target, step.blow, pid)

    async def _harm(self, step: Step) -> None:
        """One trouble at a time."""
        if self._trouble is not None:
            await self._trouble
        name = f"store {step.mode}"
        self.facts.blows[name] = self.facts.blows.get(name, 0) + 1
        await asyncio.to_thread(self.place.trouble.begin, step.mode)
        self._trouble = self._hold(self._end_after(step.hold_s))

    def _hold(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._held.add(task)
        task.add_done_callback(self._held.discard)
        return task

    async def _thaw_after(self, pid: int, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        finally:
            self.watch.thaw(pid)

    async def _end_after(self, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        finally:
            with suppress(OSError):
                self.place.trouble.end()
