"""What a process gives up before it reads a file that nobody trusts. The standard library alone: it is loaded before all else.

Four fences, each of which holds where the kernel has it, and each of which says whether it does (`Fence`):

    network   an empty network namespace (Linux, where unprivileged ones are allowed), and seccomp
    programs  seccomp: no fork, no exec, no tracing, no sockets (Linux, x86-64 and arm64)
    files     Landlock: nothing but Python's own files can be read, and only the folder of the process written (Linux 5.13)
    limits    memory, time, size of a file (POSIX; the memory on Linux alone)

Everywhere an audit hook refuses sockets, programs and writing elsewhere: it stops Python code, not machine code.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

CLONE_NEWUSER, CLONE_NEWNET, CLONE_THREAD = 0x10000000, 0x40000000, 0x00010000
_NO_NEW_PRIVS, _SET_SECCOMP, _FILTER = 38, 22, 2
_LANDLOCK = (444, 445, 446)
"""The numbers of create_ruleset, add_rule and restrict_self: the same on every architecture."""
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_EXECUTE = 1
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_EPERM, _ENOSYS = 1, 38

_X86: Final = {
    "arch": 0xC000003E, "clone": 56, "clone3": 435, "none": (
        41, 42, 43, 44, 46, 49, 50, 53, 57, 58, 59, 62, 101, 155, 161, 165, 166, 175, 241, 246, 248, 249, 250, 272, 288, 298,
        304, 307, 308, 310, 311, 313, 321, 322, 323, 425, 426, 427,
    ),
}  # fmt: skip
"""socket connect accept sendto sendmsg bind listen socketpair fork vfork execve kill ptrace pivot_root chroot mount umount2
init_module, … kexec_load, add_key request_key keyctl, unshare accept4 perf_event_open open_by_handle_at sendmmsg setns
process_vm_readv process_vm_writev finit_module bpf execveat userfaultfd io_uring_*."""
_ARM: Final = {
    "arch": 0xC00000B7, "clone": 220, "clone3": 435, "none": (
        39, 40, 41, 51, 97, 104, 105, 117, 129, 198, 199, 200, 201, 202, 203, 206, 211, 217, 218, 219, 221, 241, 242, 265, 268,
        269, 270, 271, 273, 280, 281, 282, 425, 426, 427,
    ),
}  # fmt: skip
"""The same in arm64's numbers."""


@dataclass(frozen=True, slots=True)
class Fence:
    """One fence, and whether it stands. `why` not, in a few words."""

    name: str
    stands: bool
    why: str = ""


def without_network() -> Fence:
    """Leave the machine's network for an empty one. Call it before any thread is there: a new user namespace takes one alone."""
    name = "an empty network namespace"
    if not sys.platform.startswith("linux"):
        return Fence(name, stands=False, why=f"{sys.platform} has none")
    libc = _libc()
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 or libc.unshare(CLONE_NEWNET) == 0:
        return Fence(name, stands=True)
    return Fence(name, stands=False, why=os.strerror(ctypes.get_errno()))


def limited(memory: int, seconds: int, file_bytes: int) -> Fence:
    """Set limits: bytes of address space beyond today's, seconds of processor, bytes of a file that is written."""
    name = "limits of memory, time and file size"
    try:
        import resource
    except ImportError:
        return Fence(name, stands=False, why=f"{sys.platform} has none")
    wanted = [
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 256),
    ]
    used = _address_space()
    if used:
        wanted.append((resource.RLIMIT_AS, used + memory))
    for which, value in wanted:
        hard = resource.getrlimit(which)[1]
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (most, most))
    return Fence(name, stands=bool(used), why="" if used else "no limit of memory here")


def files_fenced(read: Sequence[Path], write: Path) -> Fence:
    """Let this thread read below `read` and `write` alone, and write below `write` alone. Files that are open stay so."""
    name = "Landlock over files"
    if not sys.platform.startswith("linux"):
        return Fence(name, stands=False, why=f"{sys.platform} has none")
    libc = _libc()
    version = libc.syscall(_LANDLOCK[0], None, 0, 1)
    if version < 1:
        return Fence(name, stands=False, why=os.strerror(ctypes.get_errno()))
    handled = (1 << (13 + min(version, 3) - 1)) - 1
    if version >= 5:
        handled |= 1 << 15
    attributes = struct.pack("=Q", handled)
    ruleset = libc.syscall(_LANDLOCK[0], attributes, len(attributes), 0)
    if ruleset < 0:
        return Fence(name, stands=False, why=os.strerror(ctypes.get_errno()))
    try:
        for path in read:
            _allow(libc, ruleset, path, _READ_FILE | _READ_DIR | _EXECUTE)
        _allow(libc, ruleset, write, handled)
        _no_new_privileges(libc)
        done = libc.syscall(_LANDLOCK[2], ruleset, 0)
    finally:
        os.close(ruleset)
    return Fence(name, stands=done == 0, why="" if done == 0 else os.strerror(ctypes.get_errno()))


def _allow(libc: Any, ruleset: int, path: Path, rights: int) -> None:
    try:
        opened = os.open(path, getattr(os, "O_PATH", 0) | os.O_CLOEXEC)
    except OSError:
        return  # nothing there that could be read
    try:
        if not path.is_dir():
            rights &= _READ_FILE | _EXECUTE | 1 << 1
        libc.syscall(_LANDLOCK[1], ruleset, 1, struct.pack("=Qi", rights, opened), 0)
    finally:
        os.close(opened)


def calls_fenced() -> Fence:
    """Refuse sockets, programs, other processes and the like to every thread, for good."""
    name = "seccomp over system calls"
    numbers = {"x86_64": _X86, "aarch64": _ARM}.get(platform.machine())
    if not sys.platform.startswith("linux") or numbers is None:
        return Fence(name, stands=False, why=f"not on {sys.platform} {platform.machine()}")
    program = _program(numbers["arch"], numbers["clone"], numbers["clone3"], numbers["none"])  # type: ignore[arg-type]
    instructions = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(instructions))
    libc = _libc()
    _no_new_privileges(libc)
    call = 317 if numbers is _X86 else 277
    # 1: of every thread; an older kernel takes the one that asks.
    done = libc.syscall(call, 1, 1, header) == 0 or libc.prctl(_SET_SECCOMP, _FILTER, header, 0, 0) == 0
    return Fence(name, stands=done, why="" if done else os.strerror(ctypes.get_errno()))


def _program(arch: int, clone: int, clone3: int, none: Sequence[int]) -> bytes:
    """The filter, in classic BPF: (code, jump if true, jump if false, operand) each."""

    def one(code: int, true: int, false: int, operand: int) -> bytes:
        return struct.pack("=HBBI", code, true, false, operand)

    load, equal, larger, some_bits, end = 0x20, 0x15, 0x35, 0x45, 0x06
    refuse, absent, allow = _ERRNO | _EPERM, _ERRNO | _ENOSYS, _ALLOW
    parts = [one(load, 0, 0, 4), one(equal, 1, 0, arch), one(end, 0, 0, refuse), one(load, 0, 0, 0)]
    # The numbers of x32 begin here: the same calls by other names.
    parts += [one(larger, 0, 1, 0x40000000), one(end, 0, 0, refuse)]
    for number in none:
        parts += [one(equal, 0, 1, number), one(end, 0, 0, refuse)]
    # clone3's flags lie behind a pointer, which a filter cannot follow: without it libc asks for clone.
    parts += [one(equal, 0, 1, clone3), one(end, 0, 0, absent)]
    parts += [one(equal, 0, 3, clone), one(load, 0, 0, 16), one(some_bits, 1, 0, CLONE_THREAD), one(end, 0, 0, refuse)]
    return b"".join([*parts, one(end, 0, 0, allow)])


def audited(write: Path) -> Fence:
    """Refuse to Python code, for good, what the kernel's fences refuse to all: sockets, programs, writing elsewhere."""
    sys.addaudithook(_hook(os.path.realpath(write)))
    return Fence("an audit hook over Python", stands=True)


def _hook(folder: str) -> Callable[[str, tuple[Any, ...]], None]:
    refused: tuple[str, ...] = (
        "socket.",
        "subprocess.",
        "os.exec",
        "os.system",
        "os.fork",
        "os.posix_spawn",
        "os.startfile",
        "pty.",
        "ftplib.",
    )
    refused += (
        "urllib.",
        "http.",
        "smtplib.",
        "ctypes.dlopen",
        "webbrowser.",
        "os.kill",
        "syslog.",
        "os.remove",
        "os.rmdir",
    )
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(refused):
            raise PermissionError(f"{event} is refused to a process that reads a checkpoint")
        if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            mode, flags = arguments[1], arguments[2]
            writes = any(c in "wax+" for c in mode) if isinstance(mode, str) else bool(int(flags or 0) & writing)
            if writes and not os.path.realpath(os.fsdecode(arguments[0])).startswith((folder + os.sep, os.devnull)):
                raise PermissionError("writing elsewhere is refused to a process that reads a checkpoint")

    return hook


def _address_space() -> int:
    """Bytes of address space of this process; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _no_new_privileges(libc: Any) -> None:
    libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)
