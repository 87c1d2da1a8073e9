"""What trickles comes together at the broker; what comes after silence is answered at once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from aiokafka.protocol.fetch import FetchRequest, FetchRequest_v4

from streams.kafka.pace import ENOUGH, gather

EAGER = (500, 1)
GATHERED = (20, ENOUGH)


class Fetching:
    """An aiokafka consumer's fetcher: notes how the broker was to wait (ms, bytes), by node. `gives`: what the next answers brought.
    `time`: in seconds, when they come.
    """

    def __init__(self) -> None:
        self._fetcher = self
        self.time = 0.0
        self.gives: list[bool] = []
        self.asked: dict[int, list[tuple[int, int]]] = {}

    async def _proc_fetch_request(self, assignment: Any, node: int, request: FetchRequest) -> bool:
        built = request.build(FetchRequest_v4)
        self.asked.setdefault(node, []).append((built.max_wait_time, built.min_bytes))
        return self.gives.pop(0)

    def now(self) -> float:
        return self.time

    async def fetch(self, node: int, *, gives: bool, after: float = 0.0) -> None:
        self.gives.append(gives)
        self.time += after
        request = FetchRequest(*EAGER, 2**20, 1, [("t", [(0, 7, 2**20)])])
        assert await self._proc_fetch_request(SimpleNamespace(), node, request) is gives


async def test_only_the_fetch_behind_one_that_brought_something_is_held() -> None:
    fetching = Fetching()
    gather(fetching, 0.02, fetching.now)
    for gives in (False, True, True, True, False, False):
        await fetching.fetch(1, gives=gives)
    assert fetching.asked[1] == [EAGER, EAGER, EAGER, GATHERED, GATHERED, EAGER]


async def test_what_comes_once_in_a_while_is_not_waited_for() -> None:
    """One query behind the other, each asked for once its answer was there: nothing comes together, and a fetch that is held for
    nothing is one more.
    """
    fetching = Fetching()
    gather(fetching, 0.02, fetching.now)
    for _ in range(5):
        await fetching.fetch(1, gives=True, after=0.05)
    assert fetching.asked[1] == [EAGER] * 5


async def test_a_stream_is_one_whose_answers_come_within_twice_the_pace() -> None:
    fetching = Fetching()
    gather(fetching, 0.02, fetching.now)
    for after in (0.05, 0.03, 0.03, 0.05, 0.05):
        await fetching.fetch(1, gives=True, after=after)
    assert fetching.asked[1] == [EAGER, EAGER, GATHERED, GATHERED, EAGER]


async def test_each_broker_holds_what_follows_its_own_records() -> None:
    """One that has nothing is no reason to let another wait, and the other way round."""
    fetching = Fetching()
    gather(fetching, 0.02, fetching.now)
    for _ in range(2):
        await fetching.fetch(1, gives=True)
    await fetching.fetch(2, gives=True)
    await fetching.fetch(2, gives=False)
    await fetching.fetch(1, gives=False)
    assert fetching.asked == {1: [EAGER, EAGER, GATHERED], 2: [EAGER, EAGER]}


async def test_without_a_pace_nothing_is_held() -> None:
    fetching = Fetching()
    gather(fetching, 0.0, fetching.now)
    for _ in range(3):
        await fetching.fetch(1, gives=True)
    assert fetching.asked[1] == [EAGER] * 3
