"""Searches in the one thread for them: whatever waits goes in one visit, because a visit costs more than a small search."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from streams.contract.probes import Answer

VISIT_S = 0.005
"""A visit ends with the first search past this: its answers leave before those that have been waiting behind them. Those of one visit
leave together: at 2 ms the queries that had been embedded together were answered in three records' worth of requests each time."""
MOST_A_VISIT = 64

Job = Callable[[], Answer]


class Searches:
    """Runs jobs in order.

    Args:
        executor: the thread that searches.
        tasks: owns the visits.
        visit_s: see `VISIT_S`.
    """

    def __init__(self, executor: Executor, tasks: asyncio.TaskGroup, visit_s: float = VISIT_S) -> None:
        self._executor, self._tasks, self._visit_s = executor, tasks, visit_s
        self._waiting: deque[tuple[Job, asyncio.Future[Answer]]] = deque()
        self._visiting = False

    async def run(self, job: Job) -> Answer:
        """What `job` returns; raises what it raises."""
        done: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, done))
        if not self._visiting:
            self._visiting = True
            self._tasks.create_task(self._visit_all(), name="index:searches")
        return await done

    async def _visit_all(self) -> None:
        loop = asyncio.get_running_loop()
        batch: list[tuple[Job, asyncio.Future[Answer]]] = []
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_A_VISIT))]
                jobs = [job for job, _ in batch]
                results = await loop.run_in_executor(self._executor, _results, jobs, loop.time, self._visit_s)
                self._waiting.extendleft(reversed(batch[len(results) :]))
                for (_, done), result in zip(batch, results, strict=False):
                    _settle(done, result)
                batch = []
        finally:
            self._visiting = False
            # The thread is gone, or the role ends: nobody may wait for ever.
            for _, done in [*batch, *self._waiting]:
                done.cancel()
            self._waiting.clear()


def _results(jobs: Sequence[Job], clock: Callable[[], float], limit_s: float) -> list[Answer | Exception]:
    """What the first jobs give, until the time is up."""
    until = clock() + limit_s
    results: list[Answer | Exception] = []
    for job in jobs:
        try:
            results.append(job())
        except Exception as error:  # noqa: BLE001  (handed to the waiter, who decides)
            results.append(error)
        if clock() >= until:
            break
    return results


def _settle(done: asyncio.Future[Answer], result: Answer | Exception) -> None:
    if done.done():  # its waiter was cancelled
        return
    if isinstance(result, Exception):
        done.set_exception(result)
    else:
        done.set_result(result)
