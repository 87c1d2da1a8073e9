"""Pending queries: answers reach the question they belong to, and nobody waits past a deadline."""

from __future__ import annotations

import asyncio

import pytest

from processors.errors import Retryable
from streams.contract.records import Hits, LookupProbe, Probe
from streams.search import pending as pending_module
from streams.search.pending import PendingQueries, all_answered


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
