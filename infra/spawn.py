"""Start child processes that cannot outlive this process, even when it is killed with `kill -9`.

Linux: the child asks the kernel for a signal when its parent dies (prctl PR_SET_PDEATHSIG). Elsewhere there is no such
call, and only an orderly stop ends the children.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

# Runs in the fresh interpreter, then becomes the command by exec; the wish to be signalled survives exec.
# The parent may have died before prctl was called, so its pid is compared once more afterwards.
_LEASH = """\
import ctypes, os, sys
parent, number = int(sys.argv[1]), int(sys.argv[2])
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, number, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(143)
try:
    os.execvp(sys.argv[3], sys.argv[3:])
except OSError as error:
    sys.exit(f"cannot start {sys.argv[3]}: {error.strerror}")
"""


@dataclass(frozen=True, slots=True)
class Command:
    """What to run. `env` None: the environment of this process. `log`: file that stdout and stderr are appended to. `stdin`: an open
    descriptor, which stays the caller's; None: nothing to read.
    """

    argv: tuple[str, ...]
    log: Path | None = None
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    death_signal: signal.Signals = signal.SIGTERM
    stdin: int | None = None


class Child(Protocol):
    """A process of ours: what `subprocess.Popen` and `infra.template.Forked` have in common. Statuses are negative for a signal."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


def spawn(command: Command) -> subprocess.Popen[bytes]:
    """Start `command` in a session of its own (a Ctrl-C in the terminal reaches us only, and we stop the child).

    Raises:
        OSError: the log file cannot be written. A command that does not exist exits at once, with a line in its log.
    """
    return _Spawner.get().submit(lambda: _popen(command))


def single_threaded() -> dict[str, str]:
    """The environment of this process for a child whose libraries are to start no threads of their own."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def stop(process: Child, *, grace_seconds: float) -> int:
    """SIGTERM, wait up to `grace_seconds`, then SIGKILL. Returns the exit status (negative: the signal)."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


def _popen(command: Command) -> subprocess.Popen[bytes]:
    leash = [sys.executable, "-I", "-S", "-c", _LEASH, str(os.getpid()), str(int(command.death_signal))]
    output = open_log(command)
    try:
        return subprocess.Popen(  # noqa: S603 - the caller's argv, no shell
            [*leash, *command.argv],
            stdin=subprocess.DEVNULL if command.stdin is None else command.stdin,
            stdout=subprocess.DEVNULL if output is None else output,
            stderr=subprocess.STDOUT,
            env=None if command.env is None else dict(command.env),
            cwd=command.cwd,
            start_new_session=True,
        )
    finally:
        if output is not None:
            output.close()


def open_log(command: Command) -> IO[bytes] | None:
    """The file of `command.log`, to append to; the caller closes it. Raises `OSError` where it cannot be written."""
    if command.log is None:
        return None
    command.log.parent.mkdir(parents=True, exist_ok=True)
    return command.log.open("ab")


class _Spawner:
    """One thread that starts all children and lives as long as the process.

    The kernel sends the death signal when the *thread* that forked the child ends: a child started from a pool thread
    (`asyncio.to_thread`) would be killed while its parent process is well.
    """

    _instance: _Spawner | None = None
    _pid = 0
    _guard = threading.Lock()

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], subprocess.Popen[bytes]], Future[subprocess.Popen[bytes]]]] = (
            queue.SimpleQueue()
        )
        threading.Thread(target=self._run, name="weft-spawner", daemon=True).start()

    @classmethod
    def get(cls) -> _Spawner:
        with cls._guard:
            if cls._instance is None or cls._pid != os.getpid():  # threads do not survive a fork
                cls._instance, cls._pid = cls(), os.getpid()
            return cls._instance

    def submit(self, job: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        done: Future[subprocess.Popen[bytes]] = Future()
        self._jobs.put((job, done))
        return done.result()

    def _run(self) -> None:
        while True:
            job, done = self._jobs.get()
            try:
                done.set_result(job())
            except OSError as error:
                done.set_exception(error)


def python_argv(module: str, *arguments: str) -> tuple[str, ...]:
    """The command line that runs a module in this interpreter.

    `-P`: the folder in which the user stands is not on the path. A shop's own `models/` or `infra/` would be imported
    instead of ours.
    """
    return (sys.executable, "-P", "-m", module, *arguments)


__all__: Sequence[str] = ("Child", "Command", "python_argv", "spawn", "stop")
