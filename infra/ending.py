"""Processes that end although something in them does not: a thread in a driver, a loop in a library."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from infra.logs import logger

log = logger("weft.worker")


def leave_for_sure(code: int, seconds: float) -> None:
    """End the process with this exit code in so many seconds, should it not have ended by itself before.

    Python waits for every thread: one that hangs in a driver or in a store's library would keep a process that is of no
    use, and nobody would start it again.
    """

    def leave() -> None:
        time.sleep(seconds)
        os._exit(code)

    threading.Thread(target=leave, name="leaves for sure", daemon=True).start()


@contextmanager
def loop_watched(limit_s: float) -> Iterator[None]:
    """End the process, as a crash would, when its event loop stands still for so long.

    Its partitions go to another worker then. What it would publish once it moves again is theirs, and older.
    """
    loop, done = asyncio.get_running_loop(), threading.Event()
    turned = time.monotonic()

    def turn() -> None:
        nonlocal turned
        turned = time.monotonic()

    def watch() -> None:
        while not done.wait(limit_s / 8):
            still = time.monotonic() - turned
            if still >= limit_s:
                log.error("hangs", cause=f"the event loop has stood still for {still:.0f} s (WEFT_POLL_SECONDS)")
                os._exit(1)
            with suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(turn)

    thread = threading.Thread(target=watch, name="watches the loop", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
