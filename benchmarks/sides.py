"""Two commits side by side: each in a checkout and an environment of its own, used from outside as a user uses it.

What is spoken to both is what no release may change: the command line, `stack.json` and the topics.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from infra.settings import Settings
from streams.ops import stack_file
from streams.ops.stack_file import StackFile

READY_S = 300.0
STOP_S = 60.0


@dataclass(frozen=True, slots=True)
class Side:
    """A checkout that is installed. `name` is the column's heading."""

    name: str
    root: Path

    @property
    def python(self) -> Path:
        """Its own interpreter."""
        return self.root / ".venv" / "bin" / "python"

    def command(self, *arguments: str) -> list[str]:
        """`weft ...` of this side. `-P`: the folder that the measurement is started in is not imported."""
        return [str(self.python), "-P", "-m", "streams.cli", *arguments]


@contextmanager
def checkout(ref: str, folder: Path) -> Iterator[Side]:
    """Another commit of this repository, installed as `make install` of that commit does.

    Raises:
        subprocess.CalledProcessError: there is no such commit, or it cannot be installed.
    """
    subprocess.run(["git", "worktree", "add", "--detach", str(folder), ref], check=True, stdout=sys.stderr)
    try:
        subprocess.run(["make", "-s", "install"], cwd=folder, check=True, stdout=sys.stderr)
        yield Side(ref, folder)
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", str(folder)], check=True)


@contextmanager
def running(command: list[str], log: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process, ended by SIGTERM, and by SIGKILL when that takes longer than a minute."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=os.environ | environment)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def until(found: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> float:
    """`time.perf_counter()` when `found` came true.

    Raises:
        RuntimeError: the process ended before, or five minutes went by; with the end of its log.
    """
    end = time.perf_counter() + READY_S
    while not found():
        if process.poll() is not None or time.perf_counter() > end:
            said = await asyncio.to_thread(log.read_text)
            raise RuntimeError(f"{process.args!r} is not ready; its log ends with:\n{said[-3000:]}")
        await asyncio.sleep(0.02)
    return time.perf_counter()


@dataclass(slots=True)
class Stack:
    """A `weft up` of a side; `file` is its `stack.json`, read anew each time."""

    data_dir: Path
    ready_s: float

    @property
    def file(self) -> StackFile:
        """See `StackFile`."""
        return msgspec.json.decode(stack_file.path_of(self.data_dir).read_bytes(), type=StackFile)

    @property
    def settings(self) -> Settings:
        """What a client of ours needs."""
        return stack_file.locate(Settings(data_dir=self.data_dir))


def peak_memory(pid: int) -> float:
    """GiB: the kernel's high-water mark of resident memory."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 2**20
