"""Threads of one purpose."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest

from infra.memory_store import MemoryStore
from infra.threads import STORE_THREADS, threads
from streams.roles.memo import Memo


async def test_as_many_calls_run_at_once_as_there_are_threads() -> None:
    """Sixteen reads of a role are sixteen reads, on a machine with two cores as well: asyncio's own threads are six there."""
    meeting = threading.Barrier(STORE_THREADS)
    with threads(STORE_THREADS, "store") as in_thread:
        calls = [in_thread(meeting.wait, timeout=20) for _ in range(STORE_THREADS)]
        assert sorted(await asyncio.gather(*calls)) == list(range(STORE_THREADS))


async def test_a_store_that_hangs_holds_up_nothing_else() -> None:
    """All threads of the store wait; what runs in asyncio's own (DNS) goes on."""
    release = threading.Event()
    with threads(2, "store") as in_thread:
        waiting = [asyncio.ensure_future(in_thread(release.wait, 20)) for _ in range(4)]
        assert await asyncio.to_thread(lambda: "looked up") == "looked up"
        assert not any(call.done() for call in waiting)
        release.set()
        assert await asyncio.gather(*waiting) == [True] * 4


async def test_errors_and_context_come_through() -> None:
    """What a call raises reaches its caller; a log line in it knows the caller's context."""
    who = contextvars.ContextVar("who", default="nobody")
    who.set("the caller")
    with threads(1, "store") as in_thread:
        assert await in_thread(who.get) == "the caller"
        with pytest.raises(ZeroDivisionError):
            await in_thread(divmod, 1, 0)


async def test_a_memo_uses_the_threads_it_is_given() -> None:
    """Named after what they are for, so that a stack trace of a hung process says what it waits for."""
    names: list[str] = []

    class Watched(MemoryStore):
        def get(self, key: str, *, limit: int | None = None) -> bytes:
            names.append(threading.current_thread().name)
            return super().get(key, limit=limit)

    with threads(1, "store") as in_thread:
        assert await Memo(Watched(), "enrich", "f", in_thread=in_thread).get("ab") is None
    assert names == ["store_0"]
