"""Pending queries: answers reach the question they belong to, and nobody waits past a deadline."""

from __future__ import annotations

import asyncio

import pytest

from processors.errors import Retryable
from streams.contract.probes import Found, Hits, LookupProbe, Probe, SearchProbe, Standing
from streams.contract.records import Hit
from streams.search import pending as pending_module
from streams.search.pending import PendingQueries, all_answered, apart
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


async def test_a_standbys_answer_and_the_owners_are_one_answer() -> None:
    """The first one stands where it is as fresh as was asked: its hits came with those of other shards. A stale one gives way."""
    shards, now = Shards(), asyncio.get_running_loop().time
    pending = PendingQueries(shards.send, now)

    def both(*, fresh: bool) -> Hits:
        other = Standing(1, 4, fresh)
        found = (Hit("a", 0.9, "", "dress"), Hit("b", 0.8, "", "dress"))
        return Hits("q", 0, 3, "g-0001", 4, fresh, found, others=(other,), partitions=(0, 1), standby="me")

    owners = Hits("q", 0, 3, "g-0001", applied_offset=9, fresh=True, hits=(Hit("c", 0.9, "", "dress"),))
    for fresh, expected in ((True, ["a"]), (False, ["c"])):
        search = SearchProbe("q", b"", "e", 2, now() + 1e6)
        asking = asyncio.create_task(pending.ask(search, all_answered))
        await shards.asked.wait()
        shards.asked.clear()
        pending.deliver(both(fresh=fresh))
        pending.deliver(owners)
        pending.deliver(Hits("q", 2, 3, "g-0001", 1, True, ()))
        answers = await asking
        assert [hit.product_id for hit in answers[0].hits] == expected  # type: ignore[union-attr]
        assert answers[1].fresh == fresh
        assert len(answers) == 3


async def test_answers_that_overlap_are_put_together_of_whole_ones() -> None:
    """An owner answers for one shard, then a standby for this and another: its hits of both count, and nothing is missing."""
    shards, now = Shards(), asyncio.get_running_loop().time
    pending = PendingQueries(shards.send, now)
    asking = asyncio.create_task(pending.ask(SearchProbe("q", b"", "e", 2, now() + 1e6), all_answered))
    await shards.asked.wait()
    own = (Hit("a", 0.9, "", "dress"), Hit("c", 0.1, "", "dress"))
    pending.deliver(Hits("q", 0, 2, "g-0001", 4, True, own))
    both = (Hit("a", 0.9, "", "dress"), Hit("b", 0.8, "", "dress"))
    others = (Standing(1, 4, True),)
    pending.deliver(Hits("q", 0, 2, "g-0001", 4, True, both, others=others, partitions=(0, 1), standby="me"))
    answers = await asking
    assert all(answer.fresh for answer in answers.values())
    assert {p: [hit.product_id for hit in answer.hits] for p, answer in answers.items()} == {0: ["a"], 1: ["b"]}  # type: ignore[union-attr]


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


def joined(*standings: Standing, hits: tuple[tuple[int, str], ...] = (), of: int = 3) -> Hits:
    """One worker's answer for many shards; `hits`: partition and product."""
    own, *others = standings
    found = tuple(Hit(product_id, 0.5, "", "") for _, product_id in hits)
    partitions = tuple(partition for partition, _ in hits)
    return Hits("q-1", own.partition, of, "g", own.applied_offset, own.fresh, found, "", (), tuple(others), partitions)


def test_an_answer_for_many_shards_is_that_of_each() -> None:
    """Hits go to their partition; offset, freshness, error and unknown facets to theirs."""
    one = joined(Standing(4, 9, True), Standing(2, 7, False, "broken", ("season",)), hits=((2, "b"), (4, "a")))
    assert [(a.partition, a.applied_offset, a.fresh) for a in apart(one)] == [(4, 9, True), (2, 7, False)]
    own, other = apart(one)
    assert isinstance(own, Hits)
    assert isinstance(other, Hits)
    assert [hit.product_id for hit in own.hits] == ["a"]
    assert [hit.product_id for hit in other.hits] == ["b"]
    assert (other.error, other.unknown_facets) == ("broken", ("season",))
    found = Found("q-1", 4, 3, "g", 9, fresh=True, vector=b"v", others=(Standing(2, 7, True),))
    assert [(a.partition, a.applied_offset, getattr(a, "vector", None)) for a in apart(found)] == [
        (4, 9, b"v"),
        (2, 7, None),
    ]


@pytest.mark.parametrize(("top_k", "fresh"), [(2, False), (3, True)])
async def test_hits_that_were_cut_beside_those_of_a_shard_that_moved_may_be_too_few(top_k: int, fresh: bool) -> None:
    """Shard 1 is answered for by its new owner. Of shard 0 more may lie behind the cut: said, and not passed over."""
    shards, now = Shards(), asyncio.get_running_loop().time
    pending = PendingQueries(shards.send, now)
    asked = SearchProbe("q-1", b"", "e", top_k, now() + 1e6)
    asking = asyncio.create_task(pending.ask(asked, all_answered))
    await shards.asked.wait()
    pending.deliver(joined(Standing(0, 5, True), Standing(1, 5, True), hits=((1, "old"), (0, "a"))))
    pending.deliver(joined(Standing(1, 6, True), Standing(2, 5, True), hits=((1, "new"),)))
    answers = await asking
    assert [hit.product_id for p in (0, 1, 2) for hit in answers[p].hits] == ["a", "new"]  # type: ignore[union-attr]
    assert [answers[p].fresh for p in (0, 1, 2)] == [fresh, True, True]


async def test_workers_of_two_versions_answer_one_question() -> None:
    """During a rolling upgrade one tells of all its shards at once, the other of each."""
    shards, now = Shards(), asyncio.get_running_loop().time
    pending = PendingQueries(shards.send, now)
    asking = asyncio.create_task(pending.ask(SearchProbe("q-1", b"", "e", 1, now() + 1e6), all_answered))
    await shards.asked.wait()
    pending.deliver(joined(Standing(0, 5, True), Standing(2, 5, True), hits=((2, "a"),)))
    pending.deliver(hits("q-1", 1, of=3))
    assert {partition: answer.fresh for partition, answer in (await asking).items()} == {0: True, 1: True, 2: True}
