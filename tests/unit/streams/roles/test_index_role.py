"""The index role without a broker: what a snapshot may pass, whose fault a bad record is, what ends a process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord
from structlog.testing import capture_logs

from index_sync.census import bucket_of
from index_sync.entry import Change
from index_sync.manifest import SnapshotLocation
from index_sync.recovery import LogBounds, recover
from index_sync.shard import Shard
from index_sync.state import State
from processors.errors import Fatal, Poison, Retryable
from processors.values import Colour, Garment, Metadata
from streams.contract import codecs, topics
from streams.contract.probes import CensusAsk, Found, LookupProbe, SearchProbe
from streams.contract.records import Item, Source, View
from streams.engine.backoff import Backoff
from streams.engine.failures import Failure
from streams.engine.lanes import DeadLetter
from streams.engine.message import Message
from streams.engine.observer import NullObserver
from streams.kafka.consumer import message_of
from streams.kafka.dead_letters import dead_letters
from streams.kafka.producer import MemorySender
from streams.roles.index import probes as probes_module
from streams.roles.index.probes import ProbeAnswerer
from streams.roles.index.shards import IndexConfig, OwnedShard, ShardOwner
from streams.roles.index.trouble import LastingLetters, Patience
from tests.fakes.index_items import DIMENSION, ENCODER, MemoryObjects, entry, unit
from tests.fixtures.virtual_time import InlineExecutor, run_virtual

CONFIG = IndexConfig("worker", ENCODER, DIMENSION)
BOUNDS = LogBounds(0, 100)


def item(product_id: str, seed: int) -> bytes:
    garment = Garment("g0", "dress", (0, 0, 5, 5), 0.9, (Colour("red", "#ff0000", 1.0),))
    views = (View("whole", "dress", unit(seed).tobytes()),)
    source = Source(topics.UPLOADS, 0, 0)
    whole = Item(product_id, "file:///i", 9, 9, (garment,), views, Metadata(), ENCODER, DIMENSION, "d", source, "0")
    return codecs.encode(whole)


def record(offset: int, value: bytes | None, key: bytes = b"p", headers: Any = ()) -> Message:
    """As aiokafka hands it over."""
    return message_of(ConsumerRecord(topics.ITEMS, 0, offset, 1_700_000_000_000, 0, key, value, None, 1, 1, headers))


class Letters:
    """Dead letters that can be told to wait, or to fail."""

    def __init__(self) -> None:
        self.written: list[Failure] = []
        self.trouble: list[Exception] = []
        self.room = asyncio.Event()
        self.room.set()

    async def report(self, failure: Failure) -> None:
        await self.room.wait()
        if self.trouble:
            raise self.trouble.pop(0)
        self.written.append(failure)


def keeper(store: MemoryObjects, letters: Letters) -> ShardOwner:
    return ShardOwner(CONFIG, store, InlineExecutor(), letters.report, NullObserver(), lambda: 1e9, Backoff())


async def taken(of: ShardOwner) -> OwnedShard:
    held = await of.take_over(0, BOUNDS, lambda: True)
    assert held is not None
    return held


def saved_offset(store: MemoryObjects) -> int:
    """Where the next owner of the shard reads on."""
    place = SnapshotLocation("catalog", "g-0001", topics.ITEMS, 0)
    return recover(store, place, lambda: Shard(0, ENCODER, DIMENSION), BOUNDS, owner="next", now=1e9).seek


async def test_a_snapshot_waits_for_the_dead_letter() -> None:
    """While it is being written, saving and releasing wait; afterwards the snapshot is past it."""
    store, letters = MemoryObjects(), Letters()
    k = keeper(store, letters)
    held = await taken(k)
    letters.room.clear()
    applying = asyncio.create_task(k.apply(held, [record(0, item("p", 1)), record(1, b"garbage")], 2))
    saving = asyncio.create_task(k.save(held))
    done, _ = await asyncio.wait([applying, saving], timeout=0.05)
    assert not done
    letters.room.set()
    await applying
    assert await saving
    assert saved_offset(store) == 2
    assert [failure.message.offset for failure in letters.written] == [1]


class Told(NullObserver):
    def __init__(self) -> None:
        self.offsets: list[int] = []
        self.ages: list[float] = []

    def acked(self, topic: str, partition: int, offset: int, seconds: float) -> None:
        self.offsets.append(offset)

    def aged(self, topic: str, seconds: float) -> None:
        self.ages.append(seconds)


async def test_every_record_of_a_batch_is_told() -> None:
    """Its age is its own: of a batch the last one is the youngest."""
    told = Told()
    k = ShardOwner(
        CONFIG, MemoryObjects(), InlineExecutor(), Letters().report, told, lambda: 1_700_000_010.0, Backoff()
    )
    old = replace(record(0, item("p", 1)), timestamp_ms=1_699_999_000_000)
    await k.apply(await taken(k), [old, record(1, item("q", 2)), record(2, None)], 3)
    assert told.offsets == [0, 1, 2]
    assert told.ages == [1010.0, 10.0, 10.0]


async def test_of_a_backlog_the_ages_of_some_are_told() -> None:
    """From all over the batch; every record is counted."""
    told = Told()
    k = ShardOwner(
        CONFIG, MemoryObjects(), InlineExecutor(), Letters().report, told, lambda: 1_700_000_010.0, Backoff()
    )
    records = [replace(record(n, None), timestamp_ms=1_700_000_000_000 + n) for n in range(500)]
    await k.apply(await taken(k), records, 500)
    assert told.offsets == list(range(500))
    assert told.ages == pytest.approx([10 - n / 1000 for n in range(0, 500, 8)])


async def test_shards_that_are_written_together_do_not_wait_for_each_others_dead_letters() -> None:
    """One visit to the writer's thread for all; only the shard that owes a letter is held up, and one that was let go of gets nothing."""
    visits = 0

    class Counting(InlineExecutor):
        def submit(self, *args, **kwargs):
            nonlocal visits
            visits += 1
            return super().submit(*args, **kwargs)

    store, letters = MemoryObjects(), Letters()
    k = ShardOwner(CONFIG, store, Counting(), letters.report, NullObserver(), lambda: 1e9, Backoff())
    helds = [await k.take_over(partition, BOUNDS, lambda: True) for partition in range(3)]
    bad, good, gone = [held for held in helds if held is not None]
    gone.released = True
    letters.room.clear()
    one = record(0, item("p", 1))
    applying = asyncio.create_task(k.apply_all([(bad, [record(0, b"garbage")], 1), (good, [one], 1), (gone, [one], 1)]))
    async with asyncio.timeout(10):
        await good.moved.wait()
        assert await k.save(good)
    assert (bad.owing, good.owing, gone.owing) == (True, False, False)
    assert not applying.done()
    letters.room.set()
    await applying
    assert await k.save(bad)
    assert [held.shard.next_offset for held in (bad, good, gone)] == [1, 1, 0]
    assert visits == 1


async def test_what_recovery_refused_is_in_the_log() -> None:
    """By name, whether the shard came back from the snapshot before or from the topic; nothing where all was whole."""
    store, letters = MemoryObjects(), Letters()
    k = keeper(store, letters)
    held = await taken(k)
    await k.apply(held, [record(0, item("p", 1))], 1)
    assert await k.save(held)
    with capture_logs() as lines:
        await taken(keeper(store, letters))
    assert [(line["event"], line["refused"]) for line in lines] == [("shard restored", ())]
    for key in [key for key in store.objects if "/objects/" in key]:
        store.objects[key] += b"?"
    with capture_logs() as lines:
        await taken(keeper(store, letters))
    [line] = lines
    assert line["event"] == "shard rebuilt from the topic"
    assert any("/objects/" in said for said in line["refused"])


@pytest.mark.parametrize("end", [Fatal("stopped before a dead letter was durable"), TypeError("a fault of ours")])
async def test_no_snapshot_passes_a_failure_that_nobody_saw(end: Exception) -> None:
    """SIGTERM (or a fault) while the letter cannot be written: neither a periodic nor the last snapshot is past it."""
    store, letters = MemoryObjects(), Letters()
    k = keeper(store, letters)
    held = await taken(k)
    await k.apply(held, [record(0, item("p", 1))], 1)
    assert await k.save(held)
    letters.trouble = [end]
    waiting = asyncio.create_task(k.save(held))
    with pytest.raises(type(end)):
        await k.apply(held, [record(1, b"garbage"), record(2, item("q", 2))], 3)
    assert not await waiting
    assert not await k.save(held)
    await k.release(held, patience=1.0)
    assert saved_offset(store) == 1
    # Nor does this worker go on from memory when the partition comes back to it.
    again = await taken(k)
    assert again.shard is not held.shard
    assert again.shard.next_offset == 1


async def test_a_batch_that_was_cancelled_half_way_is_not_saved() -> None:
    """The letter was on its way when the role was aborted."""
    store, letters = MemoryObjects(), Letters()
    k = keeper(store, letters)
    held = await taken(k)
    letters.room.clear()
    applying = asyncio.create_task(k.apply(held, [record(0, b"garbage")], 1))
    await asyncio.sleep(0)
    applying.cancel()
    await asyncio.gather(applying, return_exceptions=True)
    assert not await k.save(held)
    assert saved_offset(store) == 0


class Tripping(bytes):
    """A key that makes our own code raise."""

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise KeyError("a fault of ours")


async def test_a_record_that_trips_our_own_code_harms_itself_only() -> None:
    """Whatever it makes us raise before the shard has changed: one letter, and its neighbours are searchable."""
    letters = Letters()
    k = keeper(MemoryObjects(), letters)
    held = await taken(k)
    keys = [b"p0", Tripping(b"p1"), b"p2"]
    await k.apply(held, [record(n, item(f"p{n}", n), key) for n, key in enumerate(keys)], 3)
    assert [type(failure.cause) for failure in letters.written] == [KeyError]
    assert set(held.shard.versions()) == {"p0", "p2"}
    assert not held.owing


def test_null_headers_and_no_time_are_one_form_for_all_readers() -> None:
    """A client may leave out a header's value, and the time; no reader of ours hands on a None."""
    read = record(4, None, headers=(("a", None), ("b", b"1")))
    assert read.headers == (("a", b""), ("b", b"1"))
    assert (read.size, read.header("a")) == (4, b"")

    class OfFaust:
        topic, partition, offset, key, value = topics.ITEMS, 0, 4, b"p", None
        headers = None
        timestamp = None

    assert message_of(OfFaust(), timestamp_ms=0.0) == Message(topics.ITEMS, 0, 4, b"p", None, (), 0)


def lasting(dead_letter: DeadLetter) -> LastingLetters:
    """The letters of a role."""
    return LastingLetters(dead_letter, Patience(NullObserver(), Backoff()))


async def test_the_letter_of_a_null_header_can_be_written() -> None:
    """It once ended all indexing: writing its letter raised a TypeError, which was tried again for ever."""
    sender = MemorySender()
    async with asyncio.timeout(60):
        await lasting(dead_letters(sender)).report(
            Failure(record(1, b"\xc1", headers=(("x", None),)), "index", Poison("bad"), 1)
        )
    [letter] = sender.sent
    assert ("x", b"") in letter.headers


@pytest.mark.parametrize("fault", [TypeError("ours"), AttributeError("ours"), KeyError("ours"), Poison("too large")])
async def test_a_fault_of_ours_is_not_tried_again(fault: Exception) -> None:
    """It ends the process at once, with its cause, instead of being waited for as if the broker were away."""

    async def broken(_failure: Failure) -> Sequence[Awaitable[object]]:
        raise fault

    with pytest.raises(Fatal, match=r"ours|too large") as ended:
        await lasting(broken).report(Failure(record(1, b""), "index", Poison("bad"), 1))
    assert ended.value.__cause__ is fault


def test_a_broker_that_is_away_is_waited_for_and_after_a_stop_not_for_long() -> None:
    """Its producer never gives up, and never answers; the process ends, and says that the letter is not lost."""

    async def main() -> None:
        attempts = 0

        async def away(_failure: Failure) -> Sequence[Awaitable[object]]:
            nonlocal attempts
            attempts += 1
            if attempts < 3:
                raise Retryable("broker away")
            return [asyncio.get_running_loop().create_future()]

        one = lasting(away)
        reporting = asyncio.create_task(one.report(Failure(record(1, b""), "index", Poison("bad"), 1)))
        await asyncio.sleep(600)
        assert attempts == 3
        assert not reporting.done()
        one.stop.set()
        with pytest.raises(Fatal, match="written after the next start"):
            await reporting
        assert asyncio.get_running_loop().time() < 610

    run_virtual(main())


# ---------------------------------------------------------------- probes


class Hits(MemorySender):
    """Tells when both shards have answered."""

    def __init__(self) -> None:
        super().__init__()
        self.answered = asyncio.Event()

    async def send(self, topic: str, **record: Any) -> Awaitable[object]:
        delivery = await super().send(topic, **record)
        if len(self.sent) >= 2:
            self.answered.set()
        return delivery


class Search:
    """Two shards, and probes for them."""

    def __init__(self, tasks: asyncio.TaskGroup, letters: Letters) -> None:
        self.sender = Hits()
        self.clock = 1000.0
        self.executor = ThreadPoolExecutor(1)
        self.admin = ProbeAnswerer(
            CONFIG, self.executor, self.sender, letters.report, NullObserver(), lambda: self.clock, tasks
        )
        self.held = [OwnedShard(Shard(n, ENCODER, DIMENSION), None, 0) for n in (0, 1)]  # type: ignore[arg-type]

    async def ask(self, probe: Any) -> None:
        value = probe if isinstance(probe, bytes) else codecs.encode(probe)
        await self.admin.take(Message(topics.PROBES, 0, 7, b"q", value), self.held)

    def answered(self) -> list[int]:
        return sorted(codecs.decode_answer(sent.value or b"").partition for sent in self.sender.sent)


def search_probe(**more: Any) -> SearchProbe:
    return SearchProbe("q", unit(1).tobytes(), ENCODER, 3, more.pop("deadline", 1010.0), **more)


async def test_a_bad_probe_whose_letter_cannot_be_written_ends_no_search() -> None:
    """Rubbish on search.probes while the dead letters are away: the probes behind it are answered."""
    letters = Letters()
    letters.room.clear()
    async with asyncio.TaskGroup() as tasks:
        search = Search(tasks, letters)
        for _ in range(probes_module.MOST_REPORTS + 10):
            await search.ask(b"\xc1")
        await search.ask(search_probe())
        async with asyncio.timeout(60):
            await search.sender.answered.wait()
        letters.room.set()
    assert len(letters.written) == probes_module.MOST_REPORTS, "letters under way are bounded"


class WatchedShard(Shard):
    """Calls `looked` before each search."""

    def __init__(self, partition: int, looked: Callable[[], None]) -> None:
        self._looked: Callable[[], None] = lambda: None
        super().__init__(partition, ENCODER, DIMENSION)
        self._looked = looked

    @property
    def state(self) -> State:
        self._looked()
        return super().state


async def test_a_probe_that_trips_our_own_code_harms_itself_only() -> None:
    """It gets no answer and a letter; the next one is answered."""
    letters = Letters()
    faults = [AttributeError("a fault of ours")]

    def trip() -> None:
        if faults:
            raise faults.pop()

    async with asyncio.TaskGroup() as tasks:
        search = Search(tasks, letters)
        search.held[0].shard = WatchedShard(0, trip)
        await search.ask(LookupProbe("bad", "p", 1010.0))
        await search.ask(search_probe())
    assert search.answered() == [0, 1, 1]
    assert [type(failure.cause) for failure in letters.written] == [AttributeError]


@pytest.mark.parametrize("deadline", [1e300, float("inf"), float("nan")])
async def test_a_probe_that_asks_for_ever_holds_its_place_for_the_longest_deadline_only(deadline: float) -> None:
    """Else a few forged ones, for an offset that never comes, would take every place there is."""
    letters = Letters()
    async with asyncio.TaskGroup() as tasks:
        search = Search(tasks, letters)
        await search.ask(search_probe(deadline=deadline, min_offsets={"catalog.items-0": 2**60}))
        [(_, kept)] = search.admin._open.values()
        assert kept.deadline == 1600.0
        for held in search.held:
            held.released = True
            held.wake()


async def test_a_shard_that_was_given_away_while_it_was_searched_does_not_answer() -> None:
    """The new owner's answer may be the fresher, and the last one counts."""
    async with asyncio.TaskGroup() as tasks:
        search = Search(tasks, Letters())

        def revoked_meanwhile() -> None:
            search.held[0].released = True

        search.held[0].shard = WatchedShard(0, revoked_meanwhile)
        await search.ask(search_probe())
    assert search.answered() == [1]


def _answers(search: Search) -> list[Any]:
    return [codecs.decode_answer(sent.value or b"") for sent in search.sender.sent]


async def test_who_understands_it_gets_one_answer_for_all_shards_that_are_fresh() -> None:
    """The one that is behind answers by itself, when it is there; and an asker of an earlier version is told each by each."""
    for joined, told in ((True, [[0, 1]]), (False, [[0], [1]])):
        async with asyncio.TaskGroup() as tasks:
            search = Search(tasks, Letters())
            for held, name in zip(search.held, "ab", strict=True):
                held.shard.apply(0, name, entry(1))
            await search.ask(search_probe(joined=joined))
        answers = _answers(search)
        assert sorted([one.partition, *(o.partition for o in one.others)] for one in answers) == told
        assert sorted(hit.product_id for one in answers for hit in one.hits) == ["a", "b"]
    async with asyncio.TaskGroup() as tasks:
        search = Search(tasks, Letters())
        await search.ask(search_probe(joined=True, min_offsets={"catalog.items-1": 1}))
        await asyncio.sleep(0)  # it looks which of them are fresh
        search.held[1].shard.apply(0, "b", entry(1))
        search.held[1].wake()
    assert [(one.partition, one.others) for one in _answers(search)] == [(0, ()), (1, ())]


async def test_many_rows_are_not_searched_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards above the limit are searched, and answered for, one after the other: short queries get between them."""
    monkeypatch.setattr(probes_module, "ROWS_TOGETHER", 1)
    async with asyncio.TaskGroup() as tasks:
        search = Search(tasks, Letters())
        for held, name in zip(search.held, "ab", strict=True):
            held.shard.apply(0, name, entry(1))
        await search.ask(search_probe(joined=True))
    assert search.answered() == [0, 1]


async def test_a_shard_given_away_meanwhile_is_no_part_of_the_joined_answer() -> None:
    """The others answer without it."""
    async with asyncio.TaskGroup() as tasks:
        search = Search(tasks, Letters())
        search.held[1].shard = WatchedShard(1, lambda: setattr(search.held[0], "released", True))
        await search.ask(search_probe(joined=True))
    assert [(one.partition, one.others) for one in _answers(search)] == [(1, ())]


async def test_a_probe_is_answered_by_the_generation_and_the_partition_that_it_names() -> None:
    """Two generations of the same partitions in one worker: never an answer of the other, and none of another shard."""
    async with asyncio.TaskGroup() as tasks:
        search = Search(tasks, Letters())
        search.held += [
            OwnedShard(Shard(n, ENCODER, DIMENSION, generation="g-bar"), None, 0)  # type: ignore[arg-type]
            for n in (0, 1)
        ]
        await search.ask(search_probe(generation="g-bar"))
        await search.ask(LookupProbe("look", "p", 1010.0, generation="g-bar", partition=1))
        await search.ask(search_probe())  # of an earlier version: it names none
    answers = [codecs.decode_answer(sent.value or b"") for sent in search.sender.sent]
    assert sorted((a.query_id, a.generation, a.partition) for a in answers) == [
        ("look", "g-bar", 1),
        ("q", "g-0001", 0),
        ("q", "g-0001", 1),
        ("q", "g-bar", 0),
        ("q", "g-bar", 1),
    ]


async def test_a_census_says_what_a_shard_holds() -> None:
    """Counts, digest, segments, the products of a bucket, and a sample: all at the offset that it names."""
    async with asyncio.TaskGroup() as tasks:
        search = Search(tasks, Letters())
        shard = search.held[0].shard
        shard.apply_batch([Change(n, f"p{n}", entry(n)) for n in range(5)])
        shard.apply_batch([Change(5, "p0", None)])
        ask = CensusAsk(members=(bucket_of("p3"),), sample=1, buckets=True, segments=True)
        await search.ask(LookupProbe("count", "", 1010.0, partition=0, census=ask))
    [sent] = search.sender.sent
    found = codecs.decode_answer(sent.value or b"")
    assert isinstance(found, Found)
    assert found.census is not None
    assert (found.applied_offset, found.census.live, found.census.digest) == (6, 4, shard.digest)
    assert "p3" in {one.product_id for one in found.census.members}
    assert sum(int(mark, 16) for mark in found.census.buckets) % 2**128 == int(shard.digest, 16)
    assert [(s.rows, s.dead_rows, s.recall) for s in found.census.segments] == [(5, 1, 1.0)]


async def test_a_shard_with_items_of_its_own_says_how_far_the_catalogue_is_in() -> None:
    """`min_offsets` and `applied_offset` name `catalog.items`, whatever topic the generation reads."""
    async with asyncio.TaskGroup() as tasks:
        search = Search(tasks, Letters())
        search.held = [OwnedShard(Shard(0, ENCODER, DIMENSION), None, 0, source_next=41)]  # type: ignore[arg-type]
        search.held[0].shard.apply_batch([Change(2, "p", entry(1))])
        await search.ask(search_probe(min_offsets={"catalog.items-0": 41}))
    [sent] = search.sender.sent
    found = codecs.decode_answer(sent.value or b"")
    assert (found.applied_offset, found.fresh) == (41, True)
