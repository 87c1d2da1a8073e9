"""Runs a program of this package in a process of its own: no settings, no home, no credentials, a folder that goes away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO

from processors.errors import Fatal, Poison

SECONDS = 300.0
_START = "import sys, json; sys.path[:] = json.loads(sys.argv.pop(1)); from {module} import main; main()"
_NEEDED = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
"""Of the environment, what Python itself may need to find its libraries; all else stays here."""
_REFUSED, _KILLED_FOR_TIME = 3, -signal.SIGXCPU if hasattr(signal, "SIGXCPU") else -24


def run_apart(module: str, file: IO[bytes], folder: Path, *, name: Path, seconds: float = SECONDS) -> None:
    """Run `module.main` with `file` as its standard input; it finds the folder and the file's size in its arguments.

    Args:
        module: of this package; its exit code 3 says that it refuses the file, and its output why.
        file: open at its beginning; the program gets no path.
        folder: empty, the program's home, and the one place where it may write.
        name: how messages call the file.
        seconds: after which it is ended.

    Raises:
        Poison: it refuses the file, was ended for its limits, or broke on it.
        Fatal: it could not be started.
    """
    size = os.fstat(file.fileno()).st_size
    paths = [str(Path(one).resolve()) for one in sys.path if one]
    command = [
        sys.executable,
        "-I",
        "-B",
        "-c",
        _START.format(module=module),
        json.dumps(paths),
        str(folder),
        str(size),
    ]
    try:
        process = subprocess.Popen(  # noqa: S603 - this very Python and a constant program
            command,
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=_environment(folder),
            close_fds=True,
            start_new_session=True,
        )
    except OSError as error:
        raise Fatal(f"a process to read {name} in cannot be started ({error.strerror})") from error
    with process:
        try:
            said, trouble = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired as error:
            raise Poison(f"{name}: reading it took longer than {seconds:.0f} s, so it was ended") from error
        finally:
            _end(process)
    code = process.returncode
    if code == _REFUSED:
        raise Poison(f"{name}: {said.decode(errors='replace')[:1000]}")
    if code in {_KILLED_FOR_TIME, -signal.SIGKILL}:
        raise Poison(f"{name}: reading it passed the limits of time or memory, so it was ended")
    if code:
        last = trouble.decode(errors="replace").strip().splitlines()[-1:] or [f"exit code {code}"]
        raise Poison(f"{name}: reading it failed ({last[0][:300]})")


def _environment(folder: Path) -> dict[str, str]:
    here = str(folder)
    own = {"HOME": here, "TMPDIR": here, "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"}
    # One thread: torch's own would outlive the fences.
    own |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    own |= {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    return own | {key: os.environ[key] for key in _NEEDED if key in os.environ}


def _end(process: subprocess.Popen[bytes]) -> None:
    """Whatever it has left running goes with it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
