"""The supervisor: restarts what dies, tells the truth, stops everything."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil
import pytest

from infra.process import Backoff, ChildState, Supervisor
from infra.spawn import Command
from processors.errors import Fatal
from tests.fakes.clock import FakeClock

FOREVER = "import signal; signal.pause()"
# Ignores SIGTERM, and says so through a named pipe.
DEAF = """
import signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1], "w").write("deaf")
while True:
    signal.pause()
"""


def _python(code: str, log: Path | None = None) -> Command:
    return Command((sys.executable, "-c", code), log=log)


class Changes:
    """Records what the supervisor tells, and lets a test wait for a state."""

    def __init__(self) -> None:
        self.seen: list[Mapping[str, ChildState]] = []
        self._arrived = asyncio.Event()

    def __call__(self, states: Mapping[str, ChildState]) -> None:
        self.seen.append(states)
        self._arrived.set()

    async def until(self, condition: Callable[[Mapping[str, ChildState]], bool]) -> Mapping[str, ChildState]:
        async with asyncio.timeout(30):
            while not (self.seen and condition(self.seen[-1])):
                self._arrived.clear()
                await self._arrived.wait()
        return self.seen[-1]


async def test_a_child_that_dies_is_started_again_and_the_pids_stay_true() -> None:
    """After a SIGKILL the child runs with a new pid; the change in between is told too."""
    changes, clock = Changes(), FakeClock()
    async with Supervisor(changes, sleep=clock.sleep, clock=clock) as supervisor:
        first = supervisor.start("role", _python(FOREVER))
        os.kill(first, signal.SIGKILL)
        states = await changes.until(lambda s: s["role"].restarts == 1 and s["role"].pid is not None)
        second = states["role"].pid
        assert second != first
        assert supervisor.pids == {"role": second}
        assert states["role"].last_status == -signal.SIGKILL
        assert [s["role"].pid for s in changes.seen] == [first, None, second]
        assert psutil.pid_exists(second or 0)
    assert supervisor.pids == {}
    assert not psutil.pid_exists(second or 0)


async def test_a_child_that_is_suspended_is_killed_and_started_again() -> None:
    """SIGTERM would wait for it for ever. A process id of its past kills nothing."""
    changes, clock = Changes(), FakeClock()
    async with Supervisor(changes, sleep=clock.sleep, clock=clock) as supervisor:
        first = supervisor.start("role", _python(FOREVER))
        os.kill(first, signal.SIGSTOP)
        assert supervisor.kill("role", first)
        states = await changes.until(lambda s: s["role"].restarts == 1 and s["role"].pid is not None)
        assert states["role"].last_status == -signal.SIGKILL
        assert not supervisor.kill("role", first)
        assert not supervisor.kill("nobody", first)
        assert supervisor.pids == {"role": states["role"].pid}


async def test_a_child_that_was_seen_to_work_is_started_again_at_once_however_often_it_is_killed() -> None:
    """The chaos harness killed a role every half minute, and it was away for another half: it was taken for a child
    that cannot start.
    """
    changes, clock = Changes(), FakeClock()
    async with Supervisor(changes, backoff=Backoff(first=1, longest=30), sleep=clock.sleep, clock=clock) as supervisor:
        pid = supervisor.start("role", _python(FOREVER))
        for death in range(1, 5):
            supervisor.works("role", pid)
            os.kill(pid, signal.SIGKILL)
            died, times = pid, death
            states = await changes.until(lambda s: s["role"].pid not in {None, died} and s["role"].restarts == times)  # noqa: B023
            pid = states["role"].pid or 0
        assert clock.slept == [1, 1, 1, 1]
        # Said of an earlier process, it says nothing of this one.
        supervisor.works("role", died)
        os.kill(pid, signal.SIGKILL)
        await changes.until(lambda s: s["role"].restarts == 5)
        assert clock.slept[-1] == 2


async def test_back_off_grows_to_a_bound_and_forgets_after_a_long_life() -> None:
    """A child that dies at once is restarted ever more slowly, up to the longest wait."""
    changes, clock = Changes(), FakeClock()
    backoff = Backoff(first=1, longest=5, healthy=60)
    async with Supervisor(changes, backoff=backoff, sleep=clock.sleep, clock=clock) as supervisor:
        supervisor.start("role", _python("raise SystemExit(3)"))
        states = await changes.until(lambda s: s["role"].restarts >= 5)
        assert clock.slept[:5] == [1, 2, 4, 5, 5]
        assert states["role"].last_status == 3
    clock = FakeClock()
    changes = Changes()
    async with Supervisor(changes, backoff=backoff, sleep=clock.sleep, clock=clock) as supervisor:
        for life in (1, 1, 61, 1):
            states = await changes.until(lambda s: s["role"].pid is not None) if changes.seen else None
            pid = states["role"].pid if states else supervisor.start("role", _python(FOREVER))
            clock.advance(life)
            before = len(clock.slept)
            os.kill(pid or 0, signal.SIGKILL)
            await changes.until(lambda s, before=before: len(clock.slept) > before)  # type: ignore[misc]
        assert clock.slept == [1, 2, 1, 2]


async def test_stop_ends_even_the_deaf(tmp_path: Path) -> None:
    """A child that ignores SIGTERM is killed after the grace; the others end by SIGTERM."""
    changes = Changes()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    supervisor = Supervisor(changes, grace_seconds=0.5)
    supervisor.start("willing", _python(FOREVER))
    deaf = supervisor.start("deaf", Command((sys.executable, "-c", DEAF, str(pipe))))
    assert await asyncio.to_thread(pipe.read_text) == "deaf"
    await supervisor.stop()
    assert {name: state.last_status for name, state in supervisor.states.items()} == {
        "willing": -signal.SIGTERM,
        "deaf": -signal.SIGKILL,
    }
    assert not psutil.pid_exists(deaf)


async def test_stop_while_a_restart_is_due_starts_nothing() -> None:
    """Stopping in the middle of a back-off leaves no late child."""
    changes = Changes()
    waiting = asyncio.Event()

    async def sleep(_: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    async with Supervisor(changes, sleep=sleep) as supervisor:
        supervisor.start("role", _python("raise SystemExit(1)"))
        await waiting.wait()
    assert supervisor.states["role"] == ChildState("role", None, 0, 1)


async def test_output_goes_to_the_log(tmp_path: Path) -> None:
    """Both streams are appended to the file, across restarts."""
    changes, clock = Changes(), FakeClock()
    log = tmp_path / "role.log"
    async with Supervisor(changes, sleep=clock.sleep, clock=clock) as supervisor:
        supervisor.start("role", _python("import sys; print('out'); print('err', file=sys.stderr)", log))
        await changes.until(lambda s: s["role"].restarts >= 1 and s["role"].pid is None)
    assert log.read_text().count("out") >= 2
    assert "err" in log.read_text()


async def test_a_name_twice_is_refused_and_a_missing_program_says_so(tmp_path: Path) -> None:
    """Mistakes of the caller are told, not retried in silence."""
    changes = Changes()
    log = tmp_path / "log"
    async with Supervisor(changes, sleep=FakeClock().sleep) as supervisor:
        supervisor.start("role", _python(FOREVER))
        with pytest.raises(Fatal, match="running already"):
            supervisor.start("role", _python(FOREVER))
        supervisor.start("missing", Command(("no-such-program-of-weft",), log=log))
        await changes.until(lambda s: "missing" in s and s["missing"].last_status == 1)
    assert "cannot start no-such-program-of-weft" in log.read_text()


async def test_trouble_of_the_supervision_itself_is_raised() -> None:
    """If the change cannot be told (a full disk), `wait` raises: nobody supervises in silence."""
    calls = 0

    def on_change(_: Mapping[str, ChildState]) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError("disk full")

    async with Supervisor(on_change) as supervisor:
        os.kill(supervisor.start("role", _python(FOREVER)), signal.SIGKILL)
        with pytest.raises(OSError, match="disk full"):
            await supervisor.wait()
