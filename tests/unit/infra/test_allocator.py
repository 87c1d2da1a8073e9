"""What a process does with memory that it has freed."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping

import pytest

from infra.allocator import APART, KEPT, keep_freed_memory

FAULTS = """
import ctypes, resource, sys, threading
from infra.allocator import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()
SIZE = 56 << 20  # of the largest map of the shipped detector, four pictures at once

library = ctypes.CDLL(None)  # numpy would ask for huge pages, which are few
library.malloc.restype = ctypes.c_void_p

def layers(count):
    for _ in range(count):
        there = ctypes.c_void_p(library.malloc(ctypes.c_size_t(SIZE)))
        ctypes.memset(there, 1, SIZE)
        library.free(there)

def told():
    layers(2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    layers(8)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

threading.Thread(target=told).start()
"""
PAGES = (56 << 20) // os.sysconf("SC_PAGE_SIZE")


def _faults(how: str) -> int:
    plain: Mapping[str, str] = {
        name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_TUNABLES"))
    }
    done = subprocess.run([sys.executable, "-c", FAULTS, how], env=plain, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has its own ways")
@pytest.mark.skipif(os.sysconf("SC_PAGE_SIZE") != 4096, reason="written for pages of 4 KiB")
def test_a_thread_gets_the_memory_back_that_it_freed() -> None:
    assert _faults("plain") > 4 * PAGES  # else this test would show nothing
    assert _faults("keep") < PAGES // 8


def test_what_the_environment_says_of_malloc_holds() -> None:
    asked: list[tuple[int, int]] = []

    def mallopt(name: int, value: int) -> int:
        asked.append((name, value))
        return 1

    assert not keep_freed_memory({"MALLOC_ARENA_MAX": "2"}, mallopt)
    assert not keep_freed_memory({"GLIBC_TUNABLES": "glibc.malloc.arena_max=2"}, mallopt)
    assert not asked
    assert keep_freed_memory({"HOME": "/"}, mallopt)
    assert {value for _, value in asked} == {1, APART, KEPT}


def test_an_older_library_that_refuses_one_takes_the_others() -> None:
    asked: list[int] = []

    def mallopt(name: int, value: int) -> int:
        asked.append(name)
        return int(value != APART)

    assert not keep_freed_memory({}, mallopt)
    assert len(asked) == 3
