"""Standbys: who stands by for what, when a copy answers, and what taking it over owes."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from index_sync.recovery import LogBounds
from index_sync.shard import Shard
from infra.settings import Settings
from processors.errors import Poison
from streams.contract import codecs, topics
from streams.contract.probes import CensusAsk, Found, Hits, LookupProbe, SearchProbe, Standing
from streams.engine.backoff import Backoff
from streams.engine.failures import Failure
from streams.engine.message import Message
from streams.engine.observer import NullObserver
from streams.kafka.producer import MemorySender
from streams.roles.index.probes import ProbeAnswerer
from streams.roles.index.shards import IndexConfig, OwnedShard, ShardOwner, StoodShard
from streams.roles.index.silence import Silence
from streams.roles.index.standbys import MOST_FAILURES, SILENCE_SECONDS, StandbyKeeper, Standbys, stood_by
from streams.roles.index.trouble import Patience
from tests.fakes.index_items import DIMENSION, ENCODER, MemoryObjects, unit
from tests.fixtures.virtual_time import InlineExecutor, run_virtual

CONFIG = IndexConfig("me", ENCODER, DIMENSION, standbys=1)
GENERATION = "g-0001"


# ---------------------------------------------------------------- who


@pytest.mark.parametrize("standbys", [1, 2, 3])
@pytest.mark.parametrize("members", [1, 2, 3, 5])
def test_every_partition_has_its_standbys_and_never_its_owner(members: int, standbys: int) -> None:
    """Each worker finds its part by itself: together they are neither too few nor too many, each of another rank."""
    names = [f"w{number}" for number in range(members)]
    owners = {partition: names[partition % members] for partition in range(12)}
    found = {name: stood_by(range(12), owners, names, name, standbys) for name in names}
    for partition in range(12):
        ranks = {name: of[partition] for name, of in found.items() if partition in of}
        assert owners[partition] not in ranks
        assert sorted(ranks.values()) == list(range(min(standbys, members - 1)))


def test_a_member_that_goes_moves_nothing_of_the_others() -> None:
    """A copy costs a shard's snapshot to read: those who keep their owner and their standby keep the copy."""
    owners = {partition: f"w{partition % 4}" for partition in range(64)}
    before = stood_by(range(64), owners, ["w0", "w1", "w2", "w3"], "w1", 1)
    after = stood_by(range(64), owners, ["w0", "w1", "w2"], "w1", 1)
    assert before.keys() <= after.keys()


# ---------------------------------------------------------------- silence


def heard(query_id: str, *partitions: int, offset: int = 5, standby: str = "") -> bytes:
    first, *others = partitions
    return codecs.encode(
        Hits(
            query_id=query_id,
            partition=first,
            of=3,
            generation=GENERATION,
            applied_offset=offset,
            fresh=True,
            hits=(),
            others=tuple(Standing(one, offset, True) for one in others),
            standby=standby,
        )
    )


def test_silence_is_told_by_answers() -> None:
    """An owner is silent when nobody heard it since; slow is not silent; a standby's answer is no sign of its owner."""
    now = [10.0]
    silence = Silence(lambda: now[0])
    silence.take(heard("q1", 0, 1))
    assert silence.answered("q1", 1)
    assert not silence.answered("q1", 2)
    assert not silence.miss(0, since=9.0), "it answered another question meanwhile"
    assert silence.miss(0, since=11.0)
    assert not silence.miss(0, since=11.0), "known already"
    silence.take(heard("q2", 0, standby="other"))
    assert silence.answered("q2", 0)
    assert silence.silent(0)
    silence.take(heard("q3", 0, offset=9))
    assert not silence.silent(0)
    assert silence.reached(GENERATION, 0) == 9
    for junk in (b"", None, b"\xc1", b"[]"):
        silence.take(junk)


# ---------------------------------------------------------------- answers


class Bench:
    """A worker that owns partition 0 and holds copies of 1 and 2."""

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        self.sender = MemorySender()
        self.stop = asyncio.Event()

        def now() -> float:
            return 1000.0 + loop.time()

        async def report(_failure: Failure) -> None:
            raise AssertionError("no letters here")

        self.now = now
        self.answerer = ProbeAnswerer(CONFIG, InlineExecutor(), self.sender, report, NullObserver(), now, tasks)
        self.answerer.partitions = 3
        self.owned = OwnedShard(Shard(0, ENCODER, DIMENSION), None, 0)
        self.leaving: list[OwnedShard] = []
        self.standbys = Standbys(
            CONFIG,
            Settings(),
            lambda _: pytest.fail("no generation here"),
            Patience(NullObserver(), Backoff()),
            dict,
            lambda: self.leaving,
            now,
        )
        self.copies = [StoodShard(Shard(n, ENCODER, DIMENSION), None, 0) for n in (1, 2)]
        self.leaving += self.copies
        self.answerer.beside = self.standbys.take
        self.answering = tasks.create_task(self.standbys.answer(self.answerer, self.stop))

    async def ask(self, probe: Any) -> None:
        await self.answerer.take(Message(topics.PROBES, 0, 7, b"q", codecs.encode(probe)), [self.owned])

    def hear(self, data: bytes) -> None:
        self.standbys._silence.take(data)

    def answers(self) -> list[tuple[int, str]]:
        decoded = [codecs.decode_answer(sent.value or b"") for sent in self.sender.sent]
        return sorted((one.partition, answer.standby) for answer in decoded for one in (answer, *answer.others))


def probe(query_id: str = "q", seconds: float = 10.0, **more: Any) -> SearchProbe:
    return SearchProbe(query_id, unit(1).tobytes(), ENCODER, 3, 1000.0 + seconds, joined=True, **more)


def with_bench(act: Any) -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            bench = Bench(tasks)
            await act(bench)
            bench.stop.set()

    run_virtual(main())


def test_a_copy_answers_where_its_owner_is_silent_and_only_there() -> None:
    """Half a second the first time, at once while the silence lasts, and not any more once the owner is heard."""

    async def act(bench: Bench) -> None:
        await bench.ask(probe("q1", 100))
        bench.hear(heard("q1", 2))
        await asyncio.sleep(SILENCE_SECONDS * 0.9)
        assert bench.answers() == [(0, "")]
        await asyncio.sleep(SILENCE_SECONDS)
        assert bench.answers() == [(0, ""), (1, "me")]
        bench.sender.sent.clear()

        await bench.ask(probe("q2", 100))
        bench.hear(heard("q2", 2))
        await asyncio.sleep(0.01)
        assert bench.answers() == [(0, ""), (1, "me")]
        bench.sender.sent.clear()

        bench.hear(heard("q2", 1))
        await bench.ask(probe("q3", 100))
        bench.hear(heard("q3", 1, 2))
        await asyncio.sleep(5)
        assert bench.answers() == [(0, "")]

    with_bench(act)


def test_a_short_deadline_leaves_half_of_it() -> None:
    """A query that waits three tenths of a second is not answered after five."""

    async def act(bench: Bench) -> None:
        await bench.ask(probe("q1", 0.3))
        await asyncio.sleep(0.2)
        assert bench.answers() == [(0, ""), (1, "me"), (2, "me")]

    with_bench(act)


def test_a_copy_does_not_answer_behind_what_its_owner_said() -> None:
    """Reads would go back in time; it waits until it has read as far."""

    async def act(bench: Bench) -> None:
        bench.hear(heard("before", 1, offset=1))
        bench.hear(heard("before", 2, offset=0))
        await bench.ask(probe("q1", 100))
        await asyncio.sleep(3)
        assert bench.answers() == [(0, ""), (2, "me")]
        bench.copies[0].shard.apply_batch((), 1)
        bench.copies[0].wake()
        await asyncio.sleep(0.1)
        assert bench.answers() == [(0, ""), (1, "me"), (2, "me")]

    with_bench(act)


def test_a_copy_that_is_taken_out_answers_nothing() -> None:
    """The owner that it became answers."""

    async def act(bench: Bench) -> None:
        await bench.ask(probe("q1", 100))
        for copy in bench.copies:
            copy.released = True
        await asyncio.sleep(3)
        assert bench.answers() == [(0, "")]

    with_bench(act)


def test_a_census_asks_owners_or_those_that_stand_by() -> None:
    """`weft index verify` must count no copy, and `weft index status` names them."""

    async def act(bench: Bench) -> None:
        await bench.ask(LookupProbe("c1", "", bench.now() + 100, generation=GENERATION, census=CensusAsk()))
        await asyncio.sleep(0)
        await bench.ask(
            LookupProbe("c2", "", bench.now() + 100, generation=GENERATION, census=CensusAsk(standbys=True))
        )

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            bench = Bench(tasks)
            await act(bench)
            async with asyncio.timeout(20):
                while len(bench.sender.sent) < 3:  # noqa: ASYNC110 - its sender tells nobody
                    await asyncio.sleep(0.01)
            found = [codecs.decode_answer(sent.value or b"") for sent in bench.sender.sent]
            told = sorted((one.query_id, one.partition, one.standby) for one in found if isinstance(one, Found))
            assert told == [("c1", 0, ""), ("c2", 1, "me"), ("c2", 2, "me")]
            bench.stop.set()

    asyncio.run(main())


# ---------------------------------------------------------------- taking over


def failure(offset: int) -> Failure:
    return Failure(Message(topics.ITEMS, 0, offset, b"p", b"junk"), "index", Poison("is no item", field="value"), 1)


async def test_what_the_owner_may_not_have_reported_is_reported_at_the_take_over() -> None:
    """Its snapshot ends at 3: the letter of 2 is durable, that of 4 perhaps not."""
    store, letters = MemoryObjects(), []

    async def report(one: Failure) -> None:
        letters.append(one.message.offset)

    held = StoodShard(Shard(0, ENCODER, DIMENSION), None, 0, failures=[failure(2), failure(4)])
    held.shard.apply_batch((), 5)
    out: dict[int, StoodShard] = {0: held}

    async def take_out(_generation: str, partition: int) -> StoodShard | None:
        return out.pop(partition, None)

    def owner(name: str, take: Any) -> ShardOwner:
        config = IndexConfig(name, ENCODER, DIMENSION)
        return ShardOwner(
            config, store, InlineExecutor(), report, NullObserver(), lambda: 1e9, Backoff(), take_out=take
        )

    first = owner("first", None)
    old = await first.take_over(0, LogBounds(0, 5), lambda: True)
    assert old is not None
    old.shard.apply_batch((), 3)
    assert await first.save(old)

    taken = await owner("second", take_out).take_over(0, LogBounds(0, 5), lambda: True)
    assert taken is not None
    assert taken.shard is held.shard
    assert letters == [4]
    # With too many of them nobody knows all: the snapshot is opened instead, and the topic read again.
    out[0] = StoodShard(Shard(0, ENCODER, DIMENSION), None, 0, owing=True)
    again = await owner("third", take_out).take_over(0, LogBounds(0, 5), lambda: True)
    assert again is not None
    assert again.shard.next_offset == 3


async def test_failures_of_a_copy_are_bounded() -> None:
    """A topic full of junk: the copy answers, and is not taken over."""
    config = CONFIG
    with ThreadPoolExecutor(1) as writing:
        keeper = StandbyKeeper(
            config, MemoryObjects(), writing, NullObserver(), lambda: 1e9, Backoff(), asyncio.to_thread, lambda _: False
        )
        held = await keeper.take_over(0, LogBounds(0, 5000), lambda: True)
        assert held is not None
        junk = [Message(topics.ITEMS, 0, n, b"p", b"junk") for n in range(MOST_FAILURES + 1)]
        await keeper.apply(held, junk[:-1], MOST_FAILURES)
        assert not held.owing
        await keeper.apply(held, junk[-1:], MOST_FAILURES + 1)
        assert (held.owing, len(held.failures)) == (True, MOST_FAILURES)
