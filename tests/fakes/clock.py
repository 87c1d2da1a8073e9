"""A clock that moves only when it is told to."""

from __future__ import annotations

import asyncio


class FakeClock:
    """`clock()` tells the time; `sleep` records what it was asked for and lets the time pass at once."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)
