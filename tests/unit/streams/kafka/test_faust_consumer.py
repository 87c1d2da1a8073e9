"""The shortcut of Faust's hand-over: taken exactly when nothing would wait."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from streams.kafka.faust.consumer import DirectConsumer


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
