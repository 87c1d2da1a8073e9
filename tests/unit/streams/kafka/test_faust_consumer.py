"""The shortcut of Faust's hand-over: taken exactly when nothing would wait."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from types import SimpleNamespace
from typing import Any
from weakref import WeakSet

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaTimeoutError

from processors.errors import Retryable
from streams.kafka.faust.buffer import MAX_BYTES, MAX_RECORDS, TOGETHER, TOGETHER_BYTES, Batches, parts_of
from streams.kafka.faust.consumer import AIOKafkaConsumerThread, CommittedThread, Consumer, DirectConsumer
from streams.kafka.faust.reports import TopicsRead
from streams.kafka.starts import Start


class FakeApp:
    def __init__(self, *, room: bool) -> None:
        self.room = room

    def has_room(self) -> bool:
        return self.room


class NeverStops:
    """As much of a mode service as `wait_first` looks at."""

    def is_set(self) -> bool:
        return False

    async def wait(self) -> None:
        await asyncio.Event().wait()


def consumer(*, room: bool) -> Any:
    one = DirectConsumer.__new__(DirectConsumer)
    one.app = FakeApp(room=room)
    one._stopped = one._crashed = NeverStops()
    one._loop = asyncio.get_running_loop()
    return one


async def _turns(one: Any, callback: Any) -> tuple[Any, bool]:
    """What `wait_first` answers, and whether it handed over in the task of its caller."""
    tasks: list[object] = []

    async def hand_over() -> object:
        tasks.append(asyncio.current_task())
        return await callback()

    answer = await one.wait_first(hand_over(), asyncio.Event().wait())
    return answer, tasks == [asyncio.current_task()]


async def _seven() -> int:
    return 7


@pytest.mark.parametrize("room", [True, False])
async def test_the_answer_is_the_same_with_and_without_the_shortcut(room: bool) -> None:
    answer, direct = await _turns(consumer(room=room), _seven)
    assert (answer.results, answer.stopped) == ([7], False)
    assert direct is room


@pytest.mark.parametrize("room", [True, False])
async def test_an_exception_of_the_hand_over_is_raised(room: bool) -> None:
    async def fails() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await _turns(consumer(room=room), fails)


async def test_without_room_a_suspension_interrupts_the_hand_over() -> None:
    suspended = asyncio.Event()
    one = consumer(room=False)
    never = asyncio.Event()
    waiting = asyncio.create_task(one.wait_first(never.wait(), suspended.wait()))
    await asyncio.sleep(0)
    suspended.set()
    answer = await waiting
    assert len(answer.done) == 1
    assert not never.is_set()


class Thread:
    """Finds every partition at its beginning; `meanwhile` happens while it asks."""

    def __init__(self, places: list[str], meanwhile: Any = lambda: None) -> None:
        self.places, self.meanwhile = places, meanwhile

    async def find_starts(self) -> dict[str, tuple[Start, bool]]:
        self.meanwhile()
        return {place: (Start("in", number, 7), True) for number, place in enumerate(self.places)}


def seeking(ours: set[str], thread: Thread) -> tuple[Any, list[dict[str, int]]]:
    one, told = consumer(room=True), []
    one._ours, one._dealt, one._thread = ours, 1, thread
    one.app.begins_at = told.append
    return one, told


async def test_who_looks_ahead_is_told_of_partitions_that_are_ours_only() -> None:
    """Faust seeks once more between a revocation and the next assignment: another worker has them by then."""
    one, told = seeking({"in-0"}, Thread(["in-0", "in-1"]))
    assert await one.seek_to_committed() == {"in-0": 7, "in-1": 7}
    assert told == [{"in-0": 7}]
    one, told = seeking(set(), Thread(["in-0", "in-1"]))
    await one.seek_to_committed()
    assert told == [{}]


async def test_a_start_that_was_found_for_an_earlier_assignment_begins_nothing() -> None:
    """It may lie before what has been done since: that would be done once more, out of its order."""

    def dealt_anew() -> None:
        one._dealt += 1

    one, told = seeking({"in-0"}, Thread(["in-0"], dealt_anew))
    await one.seek_to_committed()
    assert told == []


class Refusing:
    """As much of a commit as `_commit_offsets` looks at: the group refuses the first, and takes the second."""

    def __init__(self) -> None:
        self.asked: list[dict[str, int]] = []

    async def commit(self, offsets: dict[str, int]) -> bool:
        self.asked.append(offsets)
        return len(self.asked) > 1


async def test_a_commit_that_the_group_refused_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faust takes it for done: where nothing came after it, a partition lagged for ever."""
    one, group = consumer(room=True), Refusing()
    one._committed_offset = {"in-0": 3}

    async def of_faust(self: Any, offsets: dict[str, int], start_new_transaction: bool = True) -> bool:
        done = await group.commit(offsets)
        self._committed_offset.update(offsets)
        return done

    monkeypatch.setattr(Consumer, "_commit_offsets", of_faust)
    assert not await one._commit_offsets({"in-0": 7})
    assert one._should_commit("in-0", 7)
    assert await one._commit_offsets({"in-0": 7})
    assert not one._should_commit("in-0", 7)


async def test_what_is_not_committed_for_this_topic_is_committed_again() -> None:
    """What was known of an earlier topic, or of a commit that was never made, does not stand for it."""
    one, _ = seeking({"in-0"}, Thread(["in-0"]))
    one._committed_offset = {"in-0": 7}

    async def unsettled() -> dict[str, tuple[Start, bool]]:
        return {"in-0": (Start("in", 0, 0), False)}

    one._thread.find_starts = unsettled
    assert await one.seek_to_committed() == {"in-0": None}
    assert one._committed_offset == {}


class Tracked:
    """As much of a Faust message as its consumer looks at."""

    def __init__(self, offset: int) -> None:
        self.offset, self.tp, self.topic, self.acked, self.tracked = offset, "in-0", "in", False, False


@pytest.mark.parametrize("done", [range(5), range(3), range(2, 5)])
async def test_records_that_are_acknowledged_together_are_committed_as_if_one_by_one(done: range) -> None:
    """Up to the first that is not, whichever way; and none of them holds a rebalance up any more."""
    found = []
    for together in (True, False):
        one = consumer(room=True)
        one._given, one._done, one._reached = {"in-0": deque(range(5))}, defaultdict(set), {}
        one._acked, one._acked_index, one._committed_offset = defaultdict(list), defaultdict(set), {"in-0": None}
        one._unacked_messages, one._n_acked, one._waiting_for_ack = WeakSet(), 0, None
        one.app.topics = SimpleNamespace(acks_enabled_for=lambda _topic: True)
        records = [Tracked(offset) for offset in range(5)]
        one.track_together(records)
        assert (len(one._unacked_messages), all(record.tracked for record in records)) == (5, True)
        if together:
            one.ack_together([records[offset] for offset in done])
            one.ack_together([records[offset] for offset in done])
        else:
            for offset in done:
                one.ack(records[offset])
        found.append((one._new_offset("in-0"), one._n_acked, len(one._unacked_messages)))
    assert found[0] == found[1] == ({0: done.stop}.get(done.start), len(done), 5 - len(done))


class Record:
    """As much of a fetched record as is looked at."""

    def __init__(self, offset: int, size: int = 10) -> None:
        self.offset, self.value = offset, b"x" * size


def test_records_stay_in_order_whatever_the_parts() -> None:
    """Many small ones go together, large ones by themselves; one larger than a part is a part."""
    batch = [Record(offset, 10 if offset % 7 else TOGETHER_BYTES) for offset in range(3 * TOGETHER)]
    parts = list(parts_of(batch))
    assert [one for part in parts for one in part] == batch
    assert all(len(part) <= TOGETHER for part in parts)
    assert all(len(part) == 1 or sum(len(one.value) for one in part) <= TOGETHER_BYTES for part in parts)
    assert max(map(len, parts_of([Record(offset) for offset in range(3 * TOGETHER)]))) == TOGETHER
    assert list(parts_of([])) == []


@pytest.mark.parametrize(("count", "size"), [(MAX_RECORDS, 1), (1, MAX_BYTES)])
async def test_a_full_queue_makes_fetching_wait_until_half_of_it_is_read(count: int, size: int) -> None:
    """By records and by bytes; nothing overtakes."""
    queue = Batches()
    first = [Record(offset, size) for offset in range(count)]
    await queue.put(first)
    assert queue.full()
    waiting = asyncio.create_task(queue.put([Record(count)]))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert await queue.get() == first
    await waiting
    assert [one.offset for one in await queue.get()] == [count]
    reading = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    assert not reading.done()
    await queue.put(first)
    assert await reading == first


class Draining(DirectConsumer):
    """Fetches what it is given."""

    def __init__(self, records: dict[str, list[Record]], *, active: set[str] | None = None) -> None:
        self.records, self.active = records, active
        self.handed: list[list[int]] = []
        self.app = self
        self.consumer_generation_id = 1
        self.flow_active, self.should_stop = True, False
        self.suspend_flow = asyncio.Event()
        self._buffered_partitions: set[str] = set()
        self._read_offset: dict[str, int | None] = dict.fromkeys(records)
        self._commit_every, self._n_acked, self.committed = 5, 0, 0

    flow_active = should_stop = None  # plain attributes here

    def has_room(self) -> bool:
        return True

    async def _wait_next_records(self, _timeout: float) -> Any:
        return self.records, self.active

    def _to_message(self, tp: Any, record: Any) -> Any:
        return record

    async def hand_over(self, records: Any) -> None:
        self.handed.append([one.offset for one in records])
        self._n_acked += len(records)

    async def commit(self, *_: Any, **__: Any) -> bool:
        self.committed += 1
        return True


async def test_what_was_fetched_of_a_partition_is_handed_over_at_once() -> None:
    """What was handed over before is not, nor what is of a partition that is not read now."""
    one = Draining({"a": [Record(3), Record(4)], "b": [Record(9)], "c": [Record(1)]}, active={"a", "c"})
    one._read_offset["a"] = 4
    await one._drain_once()
    assert one.handed == [[4], [1]]
    assert (one._read_offset["a"], one._read_offset["c"], one._read_offset["b"]) == (4, 1, None)
    assert one.committed == 0
    one.records = {"a": [Record(offset) for offset in range(5, 9)]}
    await one._drain_once()
    assert one.handed[-1] == [5, 6, 7, 8]
    assert one.committed == 1


async def test_records_of_an_assignment_that_is_no_more_are_not_handed_over() -> None:
    """The partitions were dealt anew while the first was handed over: the next owner reads the others again."""
    one = Draining({"a": [Record(1)], "b": [Record(2)]})

    async def dealt(records: Any) -> None:
        one.handed.append([record.offset for record in records])
        one.consumer_generation_id = 2

    one.hand_over = dealt  # type: ignore[method-assign]
    await one._drain_once()
    assert one.handed == [[1]]


async def test_the_reading_thread_lets_the_broker_gather(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the pace of its app, as soon as there is something that fetches."""
    paces: list[tuple[Any, float]] = []
    monkeypatch.setattr("streams.kafka.faust.consumer.gather", lambda of, seconds: paces.append((of, seconds)))

    async def started(self: Any) -> None:
        self._consumer = "what fetches"

    monkeypatch.setattr(AIOKafkaConsumerThread, "on_start", started)
    thread = CommittedThread.__new__(CommittedThread)
    thread.consumer = SimpleNamespace(app=SimpleNamespace(pace_s=0.25))
    await thread.on_start()
    assert paces == [("what fetches", 0.25)]


class Reappeared:
    """As much of an aiokafka consumer as finding starts asks, of a topic whose second partition may be gone for good."""

    _client = None

    def __init__(self) -> None:
        self.gone = True
        self.sought: list[tuple[Any, int]] = []
        self._coordinator = self
        self._places = [TopicPartition("uploads", 0), TopicPartition("uploads", 1)]

    def assignment(self) -> list[TopicPartition]:
        return self._places

    async def fetch_committed_offsets(self, _places: object) -> dict[TopicPartition, object]:
        return {}

    async def beginning_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        if self.gone:
            raise KafkaTimeoutError("no offsets of a partition that there is not")
        return dict.fromkeys(places, 0)

    def seek(self, place: TopicPartition, offset: int) -> None:
        self.sought.append((place, offset))


async def test_a_topic_that_came_back_smaller_is_known_for_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of partitions that are gone no offset is ever told: the role asked on and on, took the new topic for its own, and stood still."""

    async def now(*_: object) -> dict[str, str]:
        return {"uploads": "new"}

    async def ends(_client: object, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, 3)

    monkeypatch.setattr("streams.kafka.faust.consumer.topic_ids", now)
    monkeypatch.setattr("streams.kafka.faust.consumer.high_watermarks", ends)
    monkeypatch.setattr("streams.kafka.faust.reports.METADATA_MS", 0)
    thread: Any = CommittedThread.__new__(CommittedThread)
    known = Reappeared()
    thread._ensure_consumer, thread.ids_now, thread.topic_ids = lambda: known, now, {"uploads": "old"}
    with pytest.raises(KafkaTimeoutError):
        await thread._find_starts()
    app = SimpleNamespace(started=True, consumer=SimpleNamespace(_thread=thread))
    with pytest.raises(Retryable, match="uploads was created again"):
        await TopicsRead(["uploads"]).watch(app)
    known.gone = False
    await thread._find_starts()
    assert (thread.topic_ids, [offset for _, offset in known.sought]) == ({"uploads": "new"}, [0, 0])
