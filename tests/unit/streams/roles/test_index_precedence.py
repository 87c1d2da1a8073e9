"""Queries before a backfill."""

from __future__ import annotations

import asyncio
import time

import pytest

from streams.engine.message import Message
from streams.roles.index.precedence import ASKED_S, MOST_S, PIECE_S, SLICE, Precedence, in_slices
from tests.fixtures.virtual_time import run_virtual


async def took(precedence: Precedence, worked_s: float) -> float:
    """Virtual seconds for which a backfill gives way."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    await precedence.give_way(worked_s)
    return loop.time() - started


def made() -> Precedence:
    return Precedence(lambda: asyncio.get_running_loop().time())


def test_a_backfill_that_nobody_asks_beside_does_not_wait():
    """Neither before the first search, nor a while after the last."""

    async def main():
        precedence = made()
        assert await took(precedence, 0.01) == 0
        precedence.begin()
        precedence.end()
        await asyncio.sleep(ASKED_S + 0.1)
        assert await took(precedence, 0.01) == 0

    run_virtual(main())


def test_a_backfill_takes_half_of_its_time_while_queries_come():
    """It rests as long as it worked, and no longer than a bound."""

    async def main():
        precedence = made()
        precedence.begin()
        precedence.end()
        assert await took(precedence, 0.01) == pytest.approx(0.01)
        assert await took(precedence, 60) == pytest.approx(MOST_S)

    run_virtual(main())


def test_a_backfill_waits_for_the_searches_under_way():
    """For all of them; under searches without end it goes on after a bound."""

    async def main():
        precedence = made()
        precedence.begin()
        precedence.begin()
        assert precedence.searching
        loop = asyncio.get_running_loop()
        loop.call_later(0.05, precedence.end)
        loop.call_later(0.1, precedence.end)
        assert await took(precedence, 0.01) == pytest.approx(0.1)
        assert not precedence.searching
        precedence.begin()
        assert await took(precedence, 0.01) == pytest.approx(0.01 + MOST_S)

    run_virtual(main())


def test_a_thread_that_restores_pauses_while_somebody_asks(monkeypatch):
    """From any thread, without a loop: for a piece's time within a second of a search, not at all before and after."""
    now, slept = [100.0], []
    monkeypatch.setattr(time, "sleep", slept.append)
    precedence = Precedence(lambda: now[0])
    precedence.give_way_in_thread()
    assert slept == []
    asyncio.run(asked(precedence))
    now[0] += ASKED_S
    precedence.give_way_in_thread()
    assert slept == [PIECE_S]
    now[0] += 0.1
    precedence.give_way_in_thread()
    assert slept == [PIECE_S]


async def asked(precedence: Precedence) -> None:
    """One search."""
    precedence.begin()
    precedence.end()


@pytest.mark.parametrize("records", [0, 1, SLICE, SLICE + 1, 5 * SLICE - 1])
@pytest.mark.parametrize("gives_way", [True, False])
def test_records_are_applied_once_in_order_whatever_the_slices(records, gives_way):
    """Every slice says how far it is; the last one how far the batch is, past a gap at its end."""

    async def main():
        batch = [Message("t", 0, 10 + 2 * number, b"k", b"v") for number in range(records)]
        applied, ends, waited = [], [], []

        async def apply(part, next_offset):
            applied.extend(part)
            ends.append(next_offset)
            await asyncio.sleep(0.5)

        async def give_way(worked_s):
            waited.append(worked_s)

        await in_slices(apply, batch, 10_000, give_way if gives_way else None)
        assert applied == batch
        assert ends == sorted(ends)
        assert ends[-1] == 10_000
        slices = -(-records // SLICE) if records and gives_way else 1
        assert len(ends) == slices
        assert waited == [0.5] * (slices - 1)

    run_virtual(main())
