"""A small supervisor of child processes for `weft up`: start, restart with back-off, stop; tell of every change."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Self

from infra import spawn
from processors.errors import Fatal


@dataclass(frozen=True, slots=True)
class ChildState:
    """One child. `pid` None: not running (about to be restarted, or stopped). `last_status`: negative is a signal."""

    name: str
    pid: int | None = None
    restarts: int = 0
    last_status: int | None = None


@dataclass(frozen=True, slots=True)
class Backoff:
    """Wait `first` seconds after a death, twice as long after each further one, at most `longest`.

    A child that lived for `healthy` seconds, or was said to work (`Supervisor.works`), starts over with `first`.
    """

    first: float = 0.5
    longest: float = 30.0
    healthy: float = 60.0

    def delay(self, deaths: int) -> float:
        """Seconds before the restart after `deaths` (1, 2, …) deaths in a row."""
        return float(min(self.longest, self.first * 2 ** min(deaths - 1, 30)))


OnChange = Callable[[Mapping[str, ChildState]], None]
Launch = Callable[[spawn.Command], spawn.Child]
"""Starts a process. Raises `OSError` where it cannot."""


class Supervisor:
    """Keeps children running until `stop`. Use it as an asynchronous context manager, from one event loop.

    Args:
        on_change: called on the loop with all states after each start and each death; must not block.
        backoff: how long to wait before a restart.
        grace_seconds: from SIGTERM to SIGKILL when stopping.
        sleep: waits before a restart.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        on_change: OnChange,
        *,
        backoff: Backoff | None = None,
        grace_seconds: float = 20.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_change = on_change
        self._backoff = backoff or Backoff()
        self._grace_seconds = grace_seconds
        self._sleep = sleep
        self._clock = clock
        self._states: dict[str, ChildState] = {}
        self._processes: dict[str, spawn.Child] = {}
        self._restarts: dict[str, asyncio.Task[None]] = {}
        self._working: set[str] = set()

    @property
    def states(self) -> Mapping[str, ChildState]:
        """A snapshot of all children."""
        return dict(self._states)

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the children that run."""
        return {name: state.pid for name, state in self._states.items() if state.pid is not None}

    def start(self, name: str, command: spawn.Command, launch: Launch = spawn.spawn) -> int:
        """Start a child and keep it running. Returns its first process id. Call it on the loop.

        Args:
            name: of the child.
            command: what it runs.
            launch: starts its process, each time.

        Raises:
            Fatal: the name is taken, or the process cannot be started at all.
        """
        if name in self._restarts:
            raise Fatal(f"a child named {name!r} is running already")
        self._states[name] = ChildState(name)
        try:
            process = self._spawn(name, command, launch)
        except OSError as error:
            raise Fatal(f"cannot start {name}: {error}") from error
        keeping = self._keep(name, command, launch, process)
        self._restarts[name] = asyncio.create_task(keeping, name=f"restarts of {name}")
        return process.pid

    def works(self, name: str, pid: int) -> None:
        """The child of this process id has taken work: whatever ends it now, it is no child that cannot start."""
        if self._states[name].pid == pid:
            self._working.add(name)

    def kill(self, name: str, pid: int) -> bool:
        """SIGKILL the child of this process id, which hangs; it is started again as after any death.

        Returns:
            Whether it was still that process. SIGTERM would wait for one that is suspended for ever.
        """
        process = self._processes.get(name)
        if process is None or process.pid != pid or process.poll() is not None:
            return False
        process.kill()
        return True

    async def wait(self) -> None:
        """Wait until the supervision itself fails (`on_change` raised), and raise that; a child's death is no failure."""
        done, _ = await asyncio.wait(self._restarts.values(), return_when=asyncio.FIRST_EXCEPTION)
        for watcher in done:
            watcher.result()

    async def stop(self) -> None:
        """SIGTERM to all at once, SIGKILL to those that remain after the grace. Afterwards nothing of ours runs."""
        for watcher in self._restarts.values():
            watcher.cancel()
        await asyncio.gather(*self._restarts.values(), return_exceptions=True)
        self._restarts.clear()
        await asyncio.gather(*(self._end(name, process) for name, process in list(self._processes.items())))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # ------------------------------------------------------------------ one child

    async def _keep(self, name: str, command: spawn.Command, launch: Launch, process: spawn.Child | None) -> None:
        """Wait for the death of the child, tell, wait, start it again; for ever."""
        deaths = 0
        while True:
            started = self._clock()
            if process is not None:
                status = await _exit_of(process)
                self._processes.pop(name, None)
                self._change(name, pid=None, last_status=status)
            # A role that is killed twice in a minute must not wait as one that cannot start.
            healthy = name in self._working or self._clock() - started >= self._backoff.healthy
            self._working.discard(name)
            deaths = 1 if healthy else deaths + 1
            await self._sleep(self._backoff.delay(deaths))
            self._states[name] = replace(self._states[name], restarts=self._states[name].restarts + 1)
            try:
                process = self._spawn(name, command, launch)
            except OSError:  # the machine is out of processes or memory for the moment: like a death
                process = None

    def _spawn(self, name: str, command: spawn.Command, launch: Launch) -> spawn.Child:
        process = launch(command)
        self._processes[name] = process
        self._change(name, pid=process.pid)
        return process

    async def _end(self, name: str, process: spawn.Child) -> None:
        status = await asyncio.to_thread(spawn.stop, process, grace_seconds=self._grace_seconds)
        self._processes.pop(name, None)
        self._change(name, pid=None, last_status=status)

    def _change(self, name: str, *, pid: int | None, last_status: int | None = None) -> None:
        state = self._states[name]
        self._states[name] = replace(
            state, pid=pid, last_status=state.last_status if last_status is None else last_status
        )
        self._on_change(self.states)


async def _exit_of(process: spawn.Child) -> int:
    """The exit status, once there is one. A thread of its own waits: the pool's threads are for others."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[int] = loop.create_future()

    def tell(status: int) -> None:
        if not done.done():
            done.set_result(status)

    def wait() -> None:
        status = process.wait()
        try:
            loop.call_soon_threadsafe(tell, status)
        except RuntimeError:  # the loop was closed meanwhile; nobody asks any more
            return

    threading.Thread(target=wait, name=f"waits for {process.pid}", daemon=True).start()
    return await done
