"""`python -m infra.forks PADDING MODULE[:FUNCTION]...`: import the modules (and call the functions, which import more), then fork a process for each request on standard input.

The other end is `infra.template`. A process that is forked here has the modules already; it becomes the child of the process that asked
(a subreaper for that moment), takes over its own output, environment and folder, and runs a module as `python -m` would.

Nothing here or in the modules' imports may start a thread or use a parallel library: a lock that another thread holds at the fork
stays locked in the child for ever. It is looked at, and with a thread nothing is forked. (OpenBLAS starts threads when it is loaded, and
ends them itself before a fork: hence the fork before the look.)
"""

from __future__ import annotations

import ctypes
import gc
import os
import runpy
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from infra.forks_wire import LONGEST, Answer, Request

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def main() -> None:
    """Serve until the other end is closed. In a forked process: run what was asked for."""
    own = [sys.executable, "-P", "-m", "infra.forks", *sys.argv[2:]]
    _title(own)
    channel = socket.socket(fileno=os.dup(0))
    _nothing_to_read()
    for wanted in sys.argv[2:]:
        module, _, function = wanted.partition(":")
        # What cannot be imported is met, and told, by the process that needs it.
        with suppress(ImportError):
            found = import_module(module)
            if function:
                getattr(found, function)()
    _fork_nothing()
    threads = _threads()
    channel.send(Answer(pid=os.getpid(), error=f"{threads} threads run" if threads > 1 else "").encoded())
    if threads > 1:
        return
    gc.collect()
    gc.freeze()  # a collection in a child would write to every page that it shares with the others
    asked = _serve(channel)
    if asked is not None:
        runpy.run_module(asked, run_name="__main__", alter_sys=True)


def _serve(channel: socket.socket) -> str | None:
    """Fork for each request. Returns None at the end, and in each forked process the module that it is to run."""
    while True:
        data, descriptors, _, _ = socket.recv_fds(channel, LONGEST, 3)
        if not data:
            return None
        request = Request.decoded(data)
        reading, writing = os.pipe()
        try:
            between = os.fork()
        except OSError as error:
            _close(reading, writing, *descriptors)
            channel.send(Answer(error=str(error)).encoded())
            continue
        if between == 0:
            _fork_again(writing)
            _close(reading, writing, channel.detach())
            _become(request, *descriptors)
            return request.module
        _close(writing, *descriptors)
        os.waitpid(between, 0)  # from now on the child is that of whoever asked
        told = os.read(reading, 32)
        _close(reading)
        channel.send((Answer(pid=int(told)) if told else Answer(error="no process could be forked")).encoded())


def _fork_again(writing: int) -> None:
    """Leave the process between; returns in the child only."""
    try:
        child = os.fork()
    except OSError:
        os._exit(1)
    if child:
        os.write(writing, str(child).encode())
        os._exit(0)


def _become(request: Request, go: int, read: int, output: int) -> None:
    """Wait until the other end knows this process, then be what it asked for; it may have given up, or died."""
    if os.read(go, 1) != b"1":
        os._exit(143)
    _libc.prctl(_PR_SET_PDEATHSIG, request.death_signal, 0, 0, 0)
    if os.getppid() != request.parent:
        os._exit(143)
    os.setsid()
    os.dup2(read, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    _close(go, read, output)
    if request.folder is not None:
        os.chdir(request.folder)
    if request.environment is not None:
        for name in os.environ.keys() - request.environment.keys():
            del os.environ[name]
        os.environ.update(request.environment)
    sys.argv = [request.module, *request.arguments]
    _title([sys.executable, "-P", "-m", request.module, *request.arguments])


def _fork_nothing() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def _nothing_to_read() -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def _close(*descriptors: int) -> None:
    for one in descriptors:
        os.close(one)


def _title(argv: Sequence[str]) -> None:
    """Let `ps` and whoever reads `/proc/PID/cmdline` see this command line; as much of it as there is room for."""
    try:
        # Behind the name in brackets, which may hold spaces: fields 3 and so on of proc(5); 48 and 49 are wanted.
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        first, last = int(fields[45]), int(fields[46])
    except (OSError, ValueError, IndexError):
        return
    text = b"\0".join(os.fsencode(part) for part in argv)[: last - first - 1]
    if 0 < first < last:
        ctypes.memmove(first, text.ljust(last - first, b"\0"), last - first)


if __name__ == "__main__":
    main()
