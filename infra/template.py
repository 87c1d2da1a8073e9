"""A process that has imported what others need, and of which they are forked: so they begin where it stands.

Importing torch takes longer than all else that a role does before it loads its models. Where such a process cannot be had (another
system than Linux, it died, it is not ready yet), a command is started the plain way, by `infra.spawn`.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from infra import spawn
from infra.forks_wire import LONGEST, Answer, Request
from infra.logs import logger
from infra.spawn import Child, Command, python_argv

log = logger("weft.template")

ANSWER_S = 5.0
"""For a fork: milliseconds, and more on a machine that swaps."""
AGAIN_S = 120.0
"""One that is started anew has so long to import its modules."""
MOST_STARTS = 4
"""After so many deaths of it, everything is started the plain way."""
_PADDING = " " * 4096
"""Room for the command lines of those that are forked (`infra.forks`)."""
_PR_SET_CHILD_SUBREAPER = 36
_PREFIX = python_argv("")[:-1]
_one_adopts = threading.Lock()


class Template:
    """Starts commands of this interpreter (`python_argv`) by forking. Its methods block, for milliseconds but for `wait`.

    Args:
        modules: to import. None of them may start a thread when it is imported.
        log: file that its own output is appended to.
        env: its environment: that of all its children where a library reads it when it is loaded; None: ours.
        of: another template that has some of the modules already.
        answer_s: how long a fork may take before it is given up.
    """

    def __init__(
        self,
        modules: Sequence[str],
        *,
        log: Path | None = None,
        env: dict[str, str] | None = None,
        of: Template | None = None,
        answer_s: float = ANSWER_S,
    ) -> None:
        self._modules = tuple(modules)
        self._log = log
        self._env = env
        self._of = of
        self._answer_s = answer_s
        self._guard = threading.Lock()
        self._process: Child | None = None
        self._channel: socket.socket | None = None
        self._ready = threading.Event()
        self._starts = 0

    @property
    def pid(self) -> int | None:
        """Process id of the template, None when it does not run."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    @property
    def ready(self) -> bool:
        """It has its modules, and forks."""
        return self._ready.is_set()

    def start(self) -> None:
        """Begin to import. Does nothing where it cannot be done, or was tried too often."""
        with self._guard:
            if self._process is None:
                self._begin()

    def wait(self, timeout: float) -> bool:
        """Wait until it forks; False when it will not within so many seconds."""
        with self._guard:
            channel, process = self._channel, self._process
        if channel is None or process is None or self.ready:
            return self.ready
        answer = _answer(channel, timeout)
        if answer is None or answer.error:
            log.warning("template.failed", cause=answer.error if answer else "no answer", modules=self._modules)
            self._end(process)
            return False
        self._ready.set()
        return True

    def spawn(self, command: Command) -> Child:
        """Start `command` as `infra.spawn.spawn` does: of this template if it is ready, else by that.

        Raises:
            OSError: as there.
        """
        with self._guard:
            forked = self._fork(command)
        return spawn.spawn(command) if forked is None else forked

    def stop(self) -> None:
        """End it. What was forked goes on."""
        with self._guard:
            self._starts = MOST_STARTS
            process = self._process
        if process is not None:
            self._end(process)

    # ------------------------------------------------------------------ within the guard

    def _begin(self) -> None:
        if sys.platform != "linux" or self._starts >= MOST_STARTS or not hasattr(os, "pidfd_open"):
            return
        self._starts += 1
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = Command(
            python_argv("infra.forks", _PADDING, *self._modules), log=self._log, env=self._env, stdin=theirs.fileno()
        )
        with theirs:
            try:
                self._process = spawn.spawn(command) if self._of is None else self._of.spawn(command)
            except OSError as error:
                log.warning("template.failed", cause=str(error), modules=self._modules)
                ours.close()
                return
        self._channel = ours

    def _fork(self, command: Command) -> Child | None:
        if self._channel is None or self._process is None or command.argv[: len(_PREFIX)] != _PREFIX:
            return None
        if self._process.poll() is not None:
            self._anew(self._process, "it died")
            return None
        if not self.ready:
            return None
        try:
            return self._asked(self._channel, command)
        except _NoFork as error:
            self._anew(self._process, str(error))  # what it has in hand is not known
            return None

    def _anew(self, process: Child, why: str) -> None:
        """Another one in its place, in a thread: until it is ready everything is started the plain way."""
        log.warning("template.failed", cause=why, modules=self._modules)
        process.kill()
        self._forget()

        def begin() -> None:
            process.wait()
            self.start()
            self.wait(AGAIN_S)

        threading.Thread(target=begin, name="starts a template", daemon=True).start()

    def _asked(self, channel: socket.socket, command: Command) -> Child:
        with ExitStack() as closing:
            output = spawn.open_log(command)
            if output is not None:
                closing.callback(output.close)
            nothing = os.open(os.devnull, os.O_RDWR)
            closing.callback(os.close, nothing)
            waits, go = os.pipe()
            closing.callback(os.close, go)
            closing.callback(os.close, waits)
            read = nothing if command.stdin is None else command.stdin
            descriptors = [waits, read, nothing if output is None else output.fileno()]
            with _adopting():
                try:
                    socket.send_fds(channel, [_request(command).encoded()], descriptors)
                except OSError as error:
                    raise _NoFork(str(error)) from error
                answer = _answer(channel, self._answer_s)
            if answer is None:
                raise _NoFork("no answer")
            if answer.error:
                raise _NoFork(answer.error)
            if not _is_ours(answer.pid):
                raise _NoFork("it did not become our child")
            child = Forked(answer.pid)
            os.write(go, b"1")
            return child

    def _forget(self) -> None:
        if self._channel is not None:
            self._channel.close()
        self._channel = self._process = None
        self._ready.clear()

    def _end(self, process: Child) -> None:
        spawn.stop(process, grace_seconds=ANSWER_S)
        with self._guard:
            if self._process is process:
                self._forget()


class _NoFork(Exception):
    """The template cannot do it now; the plain way can."""


class Forked:
    """A process that a template forked, and that is our child. As `subprocess.Popen`; safe to use from many threads."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._handle = os.pidfd_open(pid)
        self._guard = threading.Lock()
        self._status: int | None = None

    @property
    def pid(self) -> int:
        """The process id."""
        return self._pid

    def poll(self) -> int | None:
        """The exit status, None while it runs."""
        with self._guard:
            if self._status is None:
                pid, status = os.waitpid(self._pid, os.WNOHANG)
                if pid:
                    self._status = os.waitstatus_to_exitcode(status)
                    os.close(self._handle)
            return self._status

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, once there is one. Raises `subprocess.TimeoutExpired`."""
        waiting = select.poll()
        with self._guard:
            if self._status is not None:
                return self._status
            handle = os.dup(self._handle)
        try:
            waiting.register(handle, select.POLLIN)
            if not waiting.poll(None if timeout is None else timeout * 1000):
                raise subprocess.TimeoutExpired(f"process {self._pid}", timeout or 0.0)
        finally:
            os.close(handle)
        status = self.poll()
        assert status is not None
        return status

    def terminate(self) -> None:
        """SIGTERM, unless it has ended."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, unless it has ended."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with self._guard:
            if self._status is None:  # not waited for, so the number is still its own
                with suppress(ProcessLookupError):
                    os.kill(self._pid, number)


def _request(command: Command) -> Request:
    module, *arguments = command.argv[len(_PREFIX) :]
    return Request(
        module=module,
        arguments=tuple(arguments),
        environment=None if command.env is None else dict(command.env),
        folder=None if command.cwd is None else str(command.cwd),
        death_signal=int(command.death_signal),
        parent=os.getpid(),
    )


def _answer(channel: socket.socket, timeout: float) -> Answer | None:
    """What it says; None when it says nothing, or has died."""
    channel.settimeout(timeout)
    try:
        data = channel.recv(LONGEST)
    except OSError:
        return None
    return Answer.decoded(data) if data else None


@contextmanager
def _adopting() -> Iterator[None]:
    """Be the parent of what a descendant leaves behind; not for longer: what others leave is for init to collect.

    One at a time: it is a state of the whole process, and the first to end would end it for the other.
    """
    libc = ctypes.CDLL(None)
    with _one_adopts:
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        try:
            yield
        finally:
            libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def _is_ours(pid: int) -> bool:
    """Whether we are told when it ends, and it has not: it waits for its go."""
    try:
        return os.waitpid(pid, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return False
