"""The shortcut of Faust's hand-over: taken exactly when nothing would wait."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from streams.kafka.faust.consumer import Consumer, DirectConsumer
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
