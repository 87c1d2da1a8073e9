"""Credits, back-off, and what an exception means."""

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.errors import Fatal, Poison, Retryable
from streams.engine.backoff import Backoff
from streams.engine.credits import Credits
from streams.engine.failures import Failure, classify
from streams.engine.message import Message
from tests.fixtures.virtual_time import Deadlock, run_virtual


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


def test_first_come_first_served():
    """A small request does not overtake a large one that has waited longer: it would starve."""

    async def main():
        budgeted = Credits(100)
        first = await budgeted.acquire(80)
        order = []

        async def take(name, amount):
            held = await budgeted.acquire(amount)
            order.append(name)
            return held

        large = asyncio.create_task(take("large", 90))
        await settle()
        small = asyncio.create_task(take("small", 5))
        await settle()
        assert order == []
        budgeted.release(first)
        await settle()
        assert order == ["large", "small"]
        budgeted.release(await large)
        budgeted.release(await small)
        assert (budgeted.held, budgeted.items) == (0, 0)

    run_virtual(main())


def test_a_giant_is_admitted_alone():
    """Larger than the whole budget: it waits until nothing else is held, and nothing joins it."""

    async def main():
        budgeted = Credits(100)
        small = await budgeted.acquire(1)
        giant = asyncio.create_task(budgeted.acquire(1000))
        await settle()
        assert not giant.done()
        budgeted.release(small)
        held = await giant
        next_one = asyncio.create_task(budgeted.acquire(1))
        await settle()
        assert not next_one.done()
        budgeted.release(held)
        await next_one

    run_virtual(main())


def test_resize_overdraws_and_frees():
    """Pixels larger than the bytes overdraw; pixels smaller than the estimate let the next one in."""

    async def main():
        budgeted = Credits(100)
        one = await budgeted.acquire(50)
        budgeted.resize(one, 300)
        assert budgeted.held == 300
        waiting = asyncio.create_task(budgeted.acquire(60))
        await settle()
        assert not waiting.done()
        budgeted.resize(one, 40)
        await waiting
        budgeted.release(one)
        budgeted.resize(one, 999)  # too late: it holds nothing any more
        budgeted.release(one)
        assert budgeted.held == 60

    run_virtual(main())


def test_the_number_of_messages_is_bounded_too():
    """A million empty messages are a gigabyte of tasks."""

    async def main():
        budgeted = Credits(10**9, items=2)
        held = [await budgeted.acquire(0) for _ in range(2)]
        third = asyncio.create_task(budgeted.acquire(0))
        await settle()
        assert not third.done()
        budgeted.release(held[0])
        await third

    run_virtual(main())


def test_cancelled_waiters_lose_nothing():
    """Withdrawn before the grant: the next goes. Cancelled just after the grant: the credits come back."""

    async def main():
        budgeted = Credits(100)
        held = await budgeted.acquire(100)
        gone = asyncio.create_task(budgeted.acquire(50))
        stays = asyncio.create_task(budgeted.acquire(60))
        await settle()
        gone.cancel()
        budgeted.release(held)
        second = await stays
        late = asyncio.create_task(budgeted.acquire(100))
        await settle()
        budgeted.release(second)  # grants `late`, which has not run yet …
        late.cancel()  # … and never takes it
        await asyncio.gather(late, return_exceptions=True)
        assert (budgeted.held, budgeted.items) == (0, 0)

    run_virtual(main())


@given(st.lists(st.tuples(st.integers(0, 200), st.floats(0, 5, allow_nan=False)), max_size=30), st.integers(1, 200))
def test_the_budget_holds(wishes, budget):
    """At no moment is more held than the budget, unless by one alone; everybody is served."""

    async def main():
        budgeted = Credits(budget, items=4)
        served = []

        async def use(amount, seconds):
            held = await budgeted.acquire(amount)
            assert budgeted.items == 1 or budgeted.held <= budget
            assert budgeted.items <= 4
            await asyncio.sleep(seconds)
            budgeted.release(held)
            served.append(amount)

        await asyncio.gather(*(use(*wish) for wish in wishes))
        assert len(served) == len(wishes)
        assert (budgeted.held, budgeted.items) == (0, 0)

    run_virtual(main())


def test_a_budget_without_room_is_refused():
    """It would wait for ever."""
    with pytest.raises(ValueError, match="for ever"):
        Credits(0)


def test_back_off_grows_to_its_maximum_and_never_overflows():
    """Delays double up to the maximum, lie within half and whole, and survive a year of attempts."""
    backoff = Backoff(initial=0.1, maximum=5, rng=random.Random(1))
    for attempt in (1, 2, 3, 6, 7, 100, 10**9):
        exact = min(5, 0.1 * 2.0 ** min(attempt - 1, 64))
        assert exact / 2 <= backoff.delay(attempt) <= exact


@pytest.mark.parametrize(
    ("error", "place", "kind"),
    [
        (Poison("x"), "io", Poison),
        (Retryable("x"), "cpu", Retryable),
        (Fatal("x"), "device", Fatal),
        (MemoryError(), "cpu", Retryable),
        (MemoryError(), "device", Poison),
        (ConnectionRefusedError(), "cpu", Retryable),
        (TimeoutError(), "device", Retryable),
        (OSError("odd"), "io", Retryable),
        (OSError("image file is truncated"), "cpu", Poison),
        (OSError(28, "no space left"), "cpu", Retryable),
        (ValueError("x"), "io", Poison),
        (RuntimeError("CUDA error: device-side assert"), "device", Poison),
        (AssertionError(), "cpu", Poison),
    ],
    ids=repr,
)
def test_what_an_exception_means(error, place, kind):
    """The item's fault, the machine's, or the end."""
    assert isinstance(classify(error, place), kind)


def test_a_failure_knows_its_cause():
    """The class that was raised, even where the text is empty."""
    error = classify(AssertionError(), "cpu")
    failure = Failure(Message("t", 0, 0), "decode", error, 1)
    assert isinstance(failure.cause, AssertionError)
    assert str(error) == "AssertionError"


def test_the_virtual_loop_reports_a_deadlock():
    """The tests of this folder would hang otherwise."""

    async def main():
        await asyncio.Event().wait()

    with pytest.raises(Deadlock):
        run_virtual(main())
