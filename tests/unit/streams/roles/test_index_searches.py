"""The thread that searches: order, bounds, and that nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from streams.contract.probes import Answer, Found
from streams.roles.index.searches import Searches
from tests.fixtures.virtual_time import InlineExecutor


def _found(query_id: str) -> Found:
    return Found(query_id, 0, 1, "g", 0, fresh=True)


class Counting(InlineExecutor):
    """Counts visits."""

    def __init__(self) -> None:
        self.visits = 0

    def submit(self, *args: object, **kwargs: object):
        self.visits += 1
        return super().submit(*args, **kwargs)  # type: ignore[arg-type]


async def _run(searches: Searches, jobs: list[Callable[[], Answer]]) -> list[object]:
    return await asyncio.gather(*(searches.run(job) for job in jobs), return_exceptions=True)


@pytest.mark.parametrize(("visit_s", "visits"), [(60.0, 1), (0.0, 5)])
async def test_what_waits_goes_in_one_visit_for_as_long_as_it_may_last(visit_s: float, visits: int) -> None:
    """Past the limit the answers that are there leave, and the rest comes in the next visit, in order."""
    executor, order = Counting(), []

    def job(number: int) -> Callable[[], Answer]:
        def run() -> Answer:
            order.append(number)
            return _found(str(number))

        return run

    async with asyncio.TaskGroup() as tasks:
        results = await _run(Searches(executor, tasks, visit_s), [job(number) for number in range(5)])
    assert [found.query_id for found in results] == list("01234")  # type: ignore[attr-defined]
    assert order == list(range(5))
    assert executor.visits == visits


async def test_a_job_that_raises_harms_itself_only() -> None:
    """The others of its visit are answered."""

    def broken() -> Answer:
        raise KeyError("a fault of ours")

    async with asyncio.TaskGroup() as tasks:
        results = await _run(Searches(InlineExecutor(), tasks), [lambda: _found("a"), broken, lambda: _found("b")])
    assert [type(result) for result in results] == [Found, KeyError, Found]


async def test_a_thread_that_is_gone_leaves_nobody_waiting() -> None:
    """The executor was shut down: every waiter ends, and the role hears of it."""
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    waiting: list[asyncio.Future[object]] = []

    async def ask() -> None:
        async with asyncio.TaskGroup() as tasks:
            searches = Searches(executor, tasks)
            waiting.extend(asyncio.ensure_future(searches.run(lambda: _found("a"))) for _ in range(3))
            await asyncio.wait(waiting)

    with pytest.raises(BaseExceptionGroup):
        await ask()
    assert all(one.cancelled() for one in waiting)
