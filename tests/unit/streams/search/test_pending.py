"""Pending queries: answers reach the question they belong to, and nobody waits past a deadline."""

from __future__ import annotations

import asyncio

import pytest

from processors.errors import Retryable
from streams.contract.records import Hits, LookupProbe, Probe
from streams.search import pending as pending_module
from streams.search.pending import PendingQueries, all_answered
from tests.fixtures.virtual_time import run_virtual


class Shards:
    """A hand-written topic: remembers the probes, and lets a test answer them."""

    def __init__(self) -> None:
        self.probes: list[Probe] = []
        self.asked = asyncio.Event()

    async def send(self, probe: Probe) -> None:
        self.probes.append(probe)
        self.asked.set()


def probe(query_id: str, deadline: float) -> LookupProbe:
    return LookupProbe(query_id=query_id, product_id="sku-1", deadline=deadline)


def hits(query_id: str, partition: int, of: int = 2) -> Hits:
    return Hits(query_id, partition, of, "g-0001", applied_offset=partition, fresh=True, hits=())


async def test_an_answer_from_every_shard_ends_the_wait() -> None:
    """The deadline is far away: only the answers can end this."""
    shards, now = Shards(), asyncio.get_running_loop().time
    pending = PendingQueries(shards.send, now)
    asking = asyncio.create_task(pending.ask(probe("q-1", now() + 1e6), all_answered))
    await shards.asked.wait()
    pending.deliver(hits("q-1", 0))
    pending.deliver(hits("q-1", 1))
    assert sorted(await asking) == [0, 1]


async def test_the_deadline_ends_the_wait_with_what_there_is() -> None:
    """A clock that has passed the deadline by the time of the second look."""
    times = iter([0.0, 0.0, 10.0, 10.0])
    shards = Shards()
    pending = PendingQueries(shards.send, lambda: next(times))
    asking = asyncio.create_task(pending.ask(probe("q-1", 5.0), all_answered))
    await shards.asked.wait()
    pending.deliver(hits("q-1", 1))
    assert list(await asking) == [1]


async def test_the_staler_of_two_answers_for_a_shard_does_not_count() -> None:
    """A shard that moved between two workers may be answered for twice, and the old owner come last."""
    shards, now = Shards(), asyncio.get_running_loop().time
    pending = PendingQueries(shards.send, now)
    asking = asyncio.create_task(pending.ask(probe("q-1", now() + 1e6), all_answered))
    await shards.asked.wait()
    fresh = Hits("q-1", 0, 2, "g-0001", applied_offset=7, fresh=True, hits=())
    pending.deliver(fresh)
    pending.deliver(Hits("q-1", 0, 2, "g-0001", applied_offset=6, fresh=False, hits=()))
    pending.deliver(hits("q-1", 1))
    assert (await asking)[0] == fresh


def test_a_query_that_waits_long_is_a_sign_of_life() -> None:
    """Its deadline may be minutes away, and its shard behind: its role must not be taken for one that hangs."""
    signs = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        shards = Shards()
        pending = PendingQueries(shards.send, loop.time, lambda: signs.append(loop.time()))
        assert await pending.ask(probe("q-1", 100.0), all_answered) == {}
        assert loop.time() == 100

    run_virtual(main())
    assert signs == [15, 30, 45, 60, 75, 90, 100]


async def test_answers_to_others_are_dropped() -> None:
    """Every compose process sees every answer."""
    shards, now = Shards(), asyncio.get_running_loop().time
    pending = PendingQueries(shards.send, now)
    asking = asyncio.create_task(pending.ask(probe("q-1", now() + 1e6), all_answered))
    await shards.asked.wait()
    pending.deliver(hits("q-2", 0, of=1))
    pending.deliver(hits("q-1", 3, of=1))
    assert list(await asking) == [3]


async def test_too_many_open_questions_slow_the_role_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is on memory: a flood of queries must not swell the process."""
    monkeypatch.setattr(pending_module, "MAX_OPEN", 1)
    shards, now = Shards(), asyncio.get_running_loop().time
    pending = PendingQueries(shards.send, now)
    asking = asyncio.create_task(pending.ask(probe("q-1", now() + 1e6), all_answered))
    await shards.asked.wait()
    with pytest.raises(Retryable):
        await pending.ask(probe("q-2", now() + 1e6), all_answered)
    pending.deliver(hits("q-1", 0, of=1))
    await asking
