"""What trickles comes together; what comes after silence, and what is a backlog, does not wait."""

from __future__ import annotations

from streams.kafka.pace import TRICKLE, Pace


class Time:
    """A clock that is moved by waiting."""

    def __init__(self) -> None:
        self.at = 100.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.at += seconds


async def test_the_poll_after_a_few_records_waits_for_more() -> None:
    """From the end of the poll that brought them; what the work between took counts."""
    time = Time()
    pace = Pace(0.02, now=time.now, sleep=time.sleep)
    pace.came(1)
    await pace.rest()
    pace.came(TRICKLE - 1)
    time.at += 0.015
    await pace.rest()
    pace.came(1)
    time.at += 0.5
    await pace.rest()
    assert time.slept == [0.02, 0.005]


async def test_silence_and_a_backlog_are_polled_at_once() -> None:
    """Whoever sends one record alone is answered as before, and who is behind catches up as fast as he can."""
    time = Time()
    pace = Pace(0.02, now=time.now, sleep=time.sleep)
    await pace.rest()
    for records in (0, TRICKLE, 500):
        pace.came(1)
        pace.came(records)
        await pace.rest()
    assert time.slept == []
