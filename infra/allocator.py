"""How the C library handles the memory that a process has freed. Nothing at import; other C libraries than glibc stay as they are."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Mapping

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Of `mallopt`, as glibc's malloc.h has them."""
KEPT = 512 << 20
"""Bytes: so much that is free at the end of the heap is kept."""
APART = 128 << 20
"""Bytes: what is as large has pages of its own, and gives them back. More than any map of the shipped networks has."""
_SAID = ("MALLOC_", "GLIBC_TUNABLES")


def keep_freed_memory(
    environment: Mapping[str, str] = os.environ, mallopt: Callable[[int, int], int] | None = None
) -> bool:
    """Let the process keep the memory that a network's maps are in, from one layer to the next; before it starts a thread.

    By default glibc gives a map's pages back when the layer behind it is done, and gets them anew, each filled with zeros by the
    kernel, for the next one: a third of what the starter's detector cost on a processor, and most of it where several threads
    compute, since only the first thread's heap may be as large as a map. So all threads share that heap, and it keeps what is
    freed (`KEPT`).

    Args:
        environment: of the process: where it says something about malloc, that holds, and nothing is done.
        mallopt: glibc's, by default.

    Returns:
        Whether it is so now.
    """
    if any(name.startswith(_SAID) for name in environment):
        return False
    set_to = mallopt or _mallopt()
    if set_to is None:
        return False
    # All of them are tried: an older glibc refuses only the second.
    done = [set_to(*one) for one in ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, APART), (_TRIM_THRESHOLD, KEPT))]
    return all(done)


def _mallopt() -> Callable[[int, int], int] | None:
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return None
    found = library.mallopt
    found.argtypes, found.restype = [ctypes.c_int, ctypes.c_int], ctypes.c_int
    return lambda name, value: int(found(name, value))
