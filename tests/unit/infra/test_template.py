"""Processes that are forked of one that has their modules; and what becomes of them when that, or we, are killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from infra import spawn
from infra.process import Supervisor
from infra.spawn import Command, python_argv
from infra.template import Template

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere everything is started the plain way")

_TOLD = """
import json, os, sys
told = {
    "argv": sys.argv[1:], "command": open("/proc/self/cmdline").read().rstrip("\\0").split("\\0"), "folder": os.getcwd(),
    "colour": os.environ.get("COLOUR"), "secret": os.environ.get("SECRET"), "slow": hasattr(sys, "slow"),
    "session": os.getsid(0) == os.getpid(), "input": sys.stdin.read(),
}
print(json.dumps(told), flush=True)
raise SystemExit(7)
"""
_SLOW = "import sys; sys.slow = True"
_PARENT = """
import os, sys
from pathlib import Path
from infra.spawn import Command, python_argv
from infra.template import Template
template = Template(["json"], env=dict(os.environ))
template.start()
assert template.wait(60)
child = template.spawn(Command(python_argv("forever"), env=dict(os.environ)))
print(child.pid, template.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def modules(tmp_path: Path) -> dict[str, str]:
    """The environment of an interpreter that finds the modules of these tests."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "told.py").write_text(_TOLD)
    (folder / "slow.py").write_text(_SLOW)
    (folder / "forever.py").write_text("import signal\nsignal.pause()\n")
    (folder / "threads.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
    )
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


@pytest.fixture
def template(modules: dict[str, str]) -> Iterator[Template]:
    """One that has the module `slow`."""
    found = Template(["slow", "no_such_module"], env=modules, answer_s=20)
    found.start()
    assert found.wait(60)
    yield found
    found.stop()


def parent_of(pid: int) -> int:
    return psutil.Process(pid).ppid()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_forked_process_is_as_one_started_the_plain_way(
    template: Template, modules: dict[str, str], tmp_path: Path
) -> None:
    """Its command line, environment, folder, session, input and output are its own, and its status is ours to read; only the
    module is there already.
    """
    told = []
    command = python_argv("told", "one", "two words")
    for number, start in enumerate((template.spawn, spawn.spawn)):
        log = tmp_path / str(number) / "log"
        child = start(Command(command, log=log, env=modules | {"COLOUR": "navy"}, cwd=tmp_path))
        assert child.wait(60) == 7 == child.poll()
        told.append(json.loads(log.read_text()))
    forked, plain = told
    assert forked.pop("slow")
    assert not plain.pop("slow")
    assert forked == plain
    assert forked["command"] == list(command)


def test_what_the_template_has_in_its_environment_is_not_handed_on(modules: dict[str, str], tmp_path: Path) -> None:
    """A command's environment is all of it."""
    template = Template(["slow"], env=modules | {"SECRET": "1"})
    template.start()
    try:
        assert template.wait(60)
        template.spawn(Command(python_argv("told"), log=tmp_path / "log", env=modules)).wait(60)
    finally:
        template.stop()
    assert json.loads((tmp_path / "log").read_text())["secret"] is None


def test_a_forked_process_outlives_its_template_and_the_next_starts_the_plain_way(
    template: Template, modules: dict[str, str], tmp_path: Path
) -> None:
    """It is our child; and the template is started anew behind the plain one."""
    first = template.spawn(Command(python_argv("forever"), env=modules))
    assert parent_of(first.pid) == os.getpid()
    before = template.pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    until(lambda: template.pid is None)
    assert template.ready  # nobody has looked yet
    plain = template.spawn(Command(python_argv("told"), log=tmp_path / "plain", env=modules))
    assert isinstance(plain, subprocess.Popen)
    assert plain.wait(60) == 7
    assert not json.loads((tmp_path / "plain").read_text())["slow"]
    until(lambda: template.ready)
    assert template.pid not in {None, before}
    assert template.spawn(Command(python_argv("told"), log=tmp_path / "forked", env=modules)).wait(60) == 7
    assert json.loads((tmp_path / "forked").read_text())["slow"]
    assert first.poll() is None
    assert spawn.stop(first, grace_seconds=20) == -signal.SIGTERM


def test_a_template_that_hangs_is_given_up(modules: dict[str, str], tmp_path: Path) -> None:
    """The process is started the plain way, once: what the template may still fork ends at once."""
    template = Template(["slow"], env=modules, answer_s=0.1)
    template.start()
    try:
        assert template.wait(60)
        hangs = template.pid
        assert hangs is not None
        os.kill(hangs, signal.SIGSTOP)
        assert template.spawn(Command(python_argv("told"), log=tmp_path / "log", env=modules)).wait(60) == 7
        assert len((tmp_path / "log").read_text().splitlines()) == 1
        until(lambda: not psutil.pid_exists(hangs))
    finally:
        template.stop()


def test_nothing_is_forked_of_a_process_with_threads(modules: dict[str, str], tmp_path: Path) -> None:
    """A lock that another thread holds would stay locked for ever."""
    template = Template(["threads"], env=modules)
    template.start()
    assert not template.wait(60)
    child = template.spawn(Command(python_argv("told"), log=tmp_path / "log", env=modules))
    assert isinstance(child, subprocess.Popen)
    assert child.wait(60) == 7
    template.stop()


def test_a_template_of_a_template_has_the_modules_of_both(template: Template, modules: dict[str, str]) -> None:
    """Neither is the other's child: what is forked of the second lives on when the first dies."""
    second = Template(["slow", "told_not"], env=modules, of=template)
    second.start()
    try:
        assert second.wait(60)
        child = second.spawn(Command(python_argv("forever"), env=modules))
        assert second.pid is not None
        assert parent_of(second.pid) == os.getpid() == parent_of(child.pid)
        template.stop()
        assert second.pid is not None
        assert child.poll() is None
        child.kill()
        assert child.wait(60) == -signal.SIGKILL
    finally:
        second.stop()
    assert second.pid is None


def test_templates_that_fork_at_once_do_not_take_each_others_children(
    template: Template, modules: dict[str, str]
) -> None:
    """Whose child a process becomes is a state of us all for a moment: one that another thread ends too early leaves it to init."""
    second = Template(["slow"], env=modules, of=template, answer_s=20)
    second.start()
    try:
        assert second.wait(60)
        with ThreadPoolExecutor(2) as pool:
            ways = [template.spawn, second.spawn] * 6
            started = list(pool.map(lambda way: way(Command(python_argv("forever"), env=modules)), ways))
        assert [parent_of(child.pid) for child in started] == [os.getpid()] * 12
        assert not any(isinstance(child, subprocess.Popen) for child in started)
        for child in started:
            assert spawn.stop(child, grace_seconds=20) == -signal.SIGTERM
    finally:
        second.stop()


def test_a_log_that_cannot_be_written_is_told_as_by_the_plain_way(
    template: Template, modules: dict[str, str], tmp_path: Path
) -> None:
    """And the template goes on."""
    with pytest.raises(OSError, match="Is a directory"):
        template.spawn(Command(python_argv("told"), log=tmp_path, env=modules))
    assert template.spawn(Command(python_argv("told"), env=modules)).wait(60) == 7


def test_a_killed_parent_takes_template_and_forked_along(modules: dict[str, str]) -> None:
    """SIGKILL gives it no chance to clean up; the kernel does it."""
    argv = [sys.executable, "-c", _PARENT]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=modules) as parent:
        assert parent.stdout is not None
        children = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        assert len(children) == 2
        parent.send_signal(signal.SIGKILL)
    for child in children:
        child.wait(60)  # raises if it still runs


async def test_a_supervised_process_that_is_killed_comes_back_of_the_template(
    template: Template, modules: dict[str, str]
) -> None:
    """It is told as any other; at the end nothing runs."""
    restarted = asyncio.Event()
    async with Supervisor(
        lambda states: restarted.set() if any(s.restarts and s.pid for s in states.values()) else None,
        sleep=lambda _: asyncio.sleep(0),
    ) as supervisor:
        first = supervisor.start("role", Command(python_argv("forever"), env=modules), template.spawn)
        os.kill(first, signal.SIGKILL)
        async with asyncio.timeout(60):
            await restarted.wait()
        second = supervisor.pids["role"]
        assert second != first
        assert supervisor.states["role"].last_status == -signal.SIGKILL
        until(lambda: psutil.Process(second).cmdline()[:4] == list(python_argv("forever")))
    assert not psutil.pid_exists(second)
