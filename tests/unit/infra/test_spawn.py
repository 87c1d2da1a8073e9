"""Children cannot outlive their parent."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from infra import spawn

FOREVER = "import signal; signal.pause()"

_PARENT = """
import sys
from infra.spawn import Command, spawn
child = spawn(Command((sys.executable, "-c", "import signal; signal.pause()")))
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's death")
def test_a_killed_parent_takes_its_child_along() -> None:
    """SIGKILL gives the parent no chance to clean up; the kernel does it."""
    with subprocess.Popen([sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
    child.wait(60)  # raises if it still runs


def test_a_child_outlives_the_thread_that_started_it() -> None:
    """The kernel's death signal follows the forking thread: a short-lived one must not be it."""
    started: list[subprocess.Popen[bytes]] = []
    command = spawn.Command((sys.executable, "-c", "print('alive', flush=True); import signal; signal.pause()"))
    thread = threading.Thread(target=lambda: started.append(spawn.spawn(command)))
    thread.start()
    thread.join()
    with pytest.raises(subprocess.TimeoutExpired):
        started[0].wait(0.3)
    assert spawn.stop(started[0], grace_seconds=10) == -signal.SIGTERM


def test_stop_is_safe_for_a_dead_child() -> None:
    """A child that ended by itself keeps its exit status."""
    child = spawn.spawn(spawn.Command((sys.executable, "-c", "raise SystemExit(7)")))
    child.wait(30)
    assert spawn.stop(child, grace_seconds=1) == 7


def test_environment_folder_and_log_are_as_asked(tmp_path: Path) -> None:
    """The child sees the given environment and folder, and its output is in the log."""
    code = "import os; print(os.environ['COLOUR'], os.getcwd())"
    log = tmp_path / "deep" / "log"
    child = spawn.spawn(spawn.Command((sys.executable, "-c", code), log=log, env={"COLOUR": "navy"}, cwd=tmp_path))
    assert child.wait(30) == 0
    assert log.read_text().split() == ["navy", str(tmp_path)]
