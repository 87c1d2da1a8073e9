"""Merges, vacuums and indexes of the shards that a worker holds, one at a time, beside writing and searching.

What is to be done is planned (`index_sync.planning`). Rows are merged in a thread that lets the others go first; an index is
built by a process of its own (`index_sync.builder`), which dies with this one. Whatever fails is tried again later: until
then the rows are scanned, and answers are the same.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from index_sync.approximate import Approximate, ApproximateKind
from index_sync.builder import Job, read_result, write_job
from index_sync.planning import Build, Limits, Merge, SegmentStats, plan
from index_sync.segment import SealedSegment
from index_sync.shard import Shard
from infra import spawn
from infra.logs import logger
from infra.threads import InThread
from streams.engine.backoff import Backoff
from streams.engine.observer import Observer

STAGE = "upkeep"
IDLE_SECONDS = 1.0
BUILD_SECONDS = 900.0
"""A builder that takes longer is ended; a graph of a large segment takes some minutes at the lowest priority."""
_POLL_SECONDS = 0.1
_PAUSE_SECONDS = 0.001
log = logger("weft.index")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What indexes are to be: `recall` of the nearest rows at least, 1: none are built; of these `kinds`.

    `folder`: where jobs of builders lie; what an earlier process left there is removed.
    """

    recall: float
    kinds: tuple[ApproximateKind, ...]
    folder: Path


class Upkeep:
    """Keeps shards in shape until it is stopped.

    Args:
        wanted: of the indexes.
        shards: those that are held now.
        observer: told of what failed.
        in_thread: runs merges.
        limits: of the plan.
    """

    def __init__(
        self,
        wanted: Wanted,
        shards: Callable[[], Collection[Shard]],
        observer: Observer,
        in_thread: InThread = asyncio.to_thread,
        limits: Limits | None = None,
    ) -> None:
        self._wanted, self._shards, self._observer, self._in_thread = wanted, shards, observer, in_thread
        self._limits = limits or Limits()
        if wanted.recall >= 1:
            self._limits = Limits(self._limits.merge_rows, 0)
        self._backoff = Backoff()
        self._flat: dict[tuple[int, int], SealedSegment] = {}  # found to be better off without an index
        self._failures = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; a builder at work is ended then."""
        while not stop.is_set():
            try:
                done = await self.once(stop)
            except (OSError, ValueError, MemoryError) as error:
                self._failures += 1
                self._observer.retried(STAGE, type(error).__name__)
                log.warning("upkeep of the index failed, rows are scanned meanwhile", cause=str(error))
                await _pause(stop, self._backoff.delay(self._failures))
                continue
            self._failures = 0
            if not done:
                await _pause(stop, IDLE_SECONDS)

    async def once(self, stop: asyncio.Event) -> bool:
        """The next thing that any shard needs. Returns whether there was one."""
        shards = list(self._shards())
        self._flat = {key: one for key, one in self._flat.items() if any(key[0] == id(shard) for shard in shards)}
        for shard in shards:
            segments = sealed_of(shard)
            step = plan([self._stats(shard, one, live) for one, live in segments], self._limits)
            if isinstance(step, Merge):
                started = time.monotonic()
                if await self._in_thread(shard.merge, step.uids, _let_others):
                    seconds = round(time.monotonic() - started, 3)
                    log.info("segments merged", partition=shard.partition, segments=len(step.uids), seconds=seconds)
                return True
            if isinstance(step, Build):
                await self._build(shard, next(one for one, _ in segments if one.uid == step.uid), stop)
                return True
        return False

    def _stats(self, shard: Shard, segment: SealedSegment, live: int) -> SegmentStats:
        settled = segment.index is not None or self._flat.get((id(shard), segment.uid)) is segment
        return SegmentStats(segment.uid, segment.columns.rows, live, settled)

    async def _build(self, shard: Shard, segment: SealedSegment, stop: asyncio.Event) -> None:
        vectors = segment.vectors(0, segment.columns.rows)
        job = Job(len(vectors), vectors.shape[1], self._wanted.recall, self._wanted.kinds)
        await self._in_thread(self._wanted.folder.mkdir, parents=True, exist_ok=True)
        folder = Path(await self._in_thread(tempfile.mkdtemp, dir=self._wanted.folder))
        started = time.monotonic()
        try:
            await self._in_thread(write_job, folder, job, vectors)
            if not await _built(folder, stop):
                return
            found = await self._in_thread(read_result, folder, job)
        finally:
            await self._in_thread(shutil.rmtree, folder, ignore_errors=True)
        if found is None:
            self._flat[id(shard), segment.uid] = segment
        segment.index = found
        _tell(shard, job.rows, found, time.monotonic() - started)


def sealed_of(shard: Shard) -> list[tuple[SealedSegment, int]]:
    """The sealed segments of a shard, and how many rows of each are live."""
    return [
        (window.segment, int(np.count_nonzero(window.alive[: window.rows])))
        for window in shard.state.windows
        if isinstance(window.segment, SealedSegment)
    ]


def clear_folder(folder: Path) -> None:
    """Remove what builders of an earlier process left."""
    shutil.rmtree(folder, ignore_errors=True)


async def _built(folder: Path, stop: asyncio.Event) -> bool:
    """Run a builder; False where it was ended because the role stops. Raises `ValueError` where it failed."""
    said = folder / "builder.log"
    command = spawn.Command(
        (sys.executable, "-m", "index_sync.builder", str(folder)), log=said, env=spawn.single_threaded()
    )
    process = await asyncio.to_thread(spawn.spawn, command)
    until = time.monotonic() + BUILD_SECONDS
    try:
        while (status := process.poll()) is None:
            await _pause(stop, _POLL_SECONDS)
            if stop.is_set():
                return False
            if time.monotonic() > until:
                raise ValueError(f"the builder took longer than {BUILD_SECONDS:.0f} s")
    finally:
        await asyncio.shield(asyncio.to_thread(_end, process))
    if status:
        raise ValueError(f"the builder ended with {status}: {said.read_text(errors='replace')[-400:]}")
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    spawn.stop(process, grace_seconds=0.0)


def _let_others() -> None:
    time.sleep(_PAUSE_SECONDS)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


def _tell(shard: Shard, rows: int, found: Approximate | None, seconds: float) -> None:
    log.info(
        "segment indexed" if found else "segment stays flat",
        partition=shard.partition,
        rows=rows,
        kind=found.measured.kind if found else "flat",
        recall=round(found.measured.recall, 4) if found else 1.0,
        seconds=round(seconds, 3),
    )
