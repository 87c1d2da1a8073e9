"""`weft up` as a process of its own, the processes under it, and how long each takes to come back."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import psutil

from infra import spawn
from infra.broker_probe import probe
from infra.process import Supervisor
from infra.settings import Settings
from streams.ops import stack_file
from streams.worker import Announcement
from tests.chaos.patience import Patience
from tests.chaos.schedule import ROLES, TARGETS

POLL_S = 0.25
START_S = 900.0
STOP_S = 180.0


class Trouble(Exception):
    """The harness itself cannot go on; it says nothing about the product."""


class Ended(Exception):
    """The product ended by itself: a violation before anything is judged."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """From a SIGKILL or SIGTERM of `target` until a new process took work (roles), or answered (broker)."""

    target: str
    blow: str
    seconds: float


@dataclass(slots=True)
class Up:
    """A `weft up` over `data_dir`. What it says goes to `up.log` there."""

    data_dir: Path
    environment: Mapping[str, str]
    arguments: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it; returns when `stack.json` is there."""
        self._spawn()
        patience = Patience(START_S)
        while stack_file.read(self.data_dir) is None:
            if not self.alive or patience.over:
                raise Trouble(f"weft up did not start: {(self.data_dir / 'up.log').read_text()[-2000:]}")
            await asyncio.sleep(POLL_S)

    def _spawn(self) -> None:
        environment = {**os.environ, "WEFT_PROFILE": "fake", **self.environment}
        command = spawn.python_argv("streams.cli", "up", "--data-dir", str(self.data_dir), *self.arguments)
        # Leashed: a harness that is killed leaves no stack behind.
        self.process = spawn.spawn(spawn.Command(command, log=self.data_dir / "up.log", env=environment))

    async def stop(self) -> int:
        """SIGTERM; its exit status. SIGKILL, and -9, if it does not end."""
        if self.process is None:
            return 0
        process, self.process = self.process, None
        try:
            if process.poll() is None:
                process.terminate()
            return await asyncio.to_thread(process.wait, STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def more_workers(self, supervisor: Supervisor, number: int) -> None:
        """A further worker of every role beside that of `weft up`, called `role-number`; the supervisor keeps it."""
        settings = self.settings
        environment = {
            **os.environ,
            "WEFT_PROFILE": "fake",
            **self.environment,
            "WEFT_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
            "WEFT_DATA_DIR": str(self.data_dir),
            "WEFT_THREADS": "1",
        }
        for role in ROLES:
            name = f"{role}-{number}"
            announce = str(self._announcement(name))
            command = spawn.python_argv("streams.cli", "worker", role, "--announce", announce)
            supervisor.start(name, spawn.Command(command, log=self.data_dir / "logs" / f"{name}.log", env=environment))

    @property
    def settings(self) -> Settings:
        """What a client needs; valid once it is started."""
        return stack_file.locate(Settings(data_dir=self.data_dir))

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    # ------------------------------------------------------------------ who runs

    def ready_pid(self, target: str) -> int | None:
        """The process of a role that takes work, or of a broker that answers; None when there is none."""
        if target == "broker":
            pid = self._broker_pid()
            return pid if pid is not None and _answers(self.settings.bootstrap_servers) else None
        try:
            found = msgspec.json.decode(self._announcement(target).read_bytes(), type=Announcement)
        except (OSError, msgspec.DecodeError):
            return None
        return found.pid if _runs(found.pid) else None

    def any_pid(self, target: str) -> int | None:
        """The process of a role, ready or not."""
        name = str(self._announcement(target))
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                if name in child.cmdline():
                    return child.pid
        return None

    def _announcement(self, target: str) -> Path:
        return self.data_dir / "run" / f"{target}.json"

    def _broker_pid(self) -> int | None:
        try:
            pid = int((self.data_dir / "kafka" / "broker.pid").read_text())
        except (OSError, ValueError):
            return None
        return pid if _runs(pid) else None


def _runs(pid: int) -> bool:
    """Not a zombie either."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _answers(address: str) -> bool:
    try:
        return bool(probe(address, timeout=1.0).brokers)
    except (OSError, ValueError):
        return False


@dataclass(slots=True)
class Watch:
    """Strikes processes and measures how long they take to come back."""

    up: Up
    recoveries: list[Recovery] = field(default_factory=list)
    struck_while_starting: int = 0
    _open: dict[str, tuple[str, float, int]] = field(default_factory=dict)  # target -> blow, since, pid

    async def run(self) -> None:
        """Watch for those that come back, for ever."""
        while True:
            for target in list(self._open):
                await self._look(target)
            await asyncio.sleep(POLL_S)

    async def _look(self, target: str) -> None:
        pid = await asyncio.to_thread(self.up.ready_pid, target)
        now = time.monotonic()
        entry = self._open.get(target)
        if entry is not None and pid is not None and pid != entry[2]:
            del self._open[target]
            self.recoveries.append(Recovery(target, entry[0], now - entry[1]))

    @property
    def missing(self) -> dict[str, float]:
        """Who is not back yet, and since when: seconds."""
        return {target: time.monotonic() - since for target, (_, since, _) in self._open.items()}

    async def until_ready(self, target: str, patience_s: float) -> int | None:
        """The process of a target that takes work; None when it does not within `patience_s`."""
        patience = Patience(patience_s)
        while not patience.over:
            pid = await asyncio.to_thread(self.up.ready_pid, target)
            entry = self._open.get(target)
            if pid is not None and (entry is None or pid != entry[2]):
                await self._look(target)
                return pid
            await asyncio.sleep(POLL_S)
        return None

    async def until_there(self, target: str, patience_s: float) -> int | None:
        """The process of a target, ready or not, that has not been struck yet."""
        patience = Patience(patience_s)
        while not patience.over:
            pid = await asyncio.to_thread(self.up.any_pid, target)
            entry = self._open.get(target)
            if pid is not None and (entry is None or pid != entry[2]):
                return pid
            await asyncio.sleep(POLL_S)
        return None

    def strike(self, target: str, blow: str, pid: int) -> None:
        """SIGKILL or SIGTERM."""
        self.struck_while_starting += target in self._open
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL if blow == "kill" else signal.SIGTERM)
        self._open[target] = (blow, time.monotonic(), pid)

    def freeze(self, pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)

    def thaw(self, pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def spread(recoveries: list[Recovery]) -> dict[str, dict[str, float]]:
    """For each target: how many recoveries after a SIGKILL, and their median and longest, in seconds."""
    found = {}
    for target in TARGETS:
        ours = [r for r in recoveries if r.target.partition("-")[0] == target and r.blow == "kill"]
        seconds = sorted(r.seconds for r in ours)
        if seconds:
            middle = seconds[len(seconds) // 2]
            found[target] = {"count": len(seconds), "p50": round(middle, 1), "max": round(seconds[-1], 1)}
    return found
