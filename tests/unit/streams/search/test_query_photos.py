"""Photos that shoppers asked with: how long they stay."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.memory_store import MemoryStore
from processors.errors import Retryable
from streams.search import query_photos

HOUR = 3600.0
TIMES = st.floats(0, 4e9)


@given(asked=TIMES, later=st.floats(0, 1000 * HOUR), hours=st.floats(0, 100))
def test_a_photo_stays_for_its_hours_and_at_most_one_more(asked: float, later: float, hours: float) -> None:
    """Never shorter than promised, whatever minute it was asked in."""
    key = query_photos.key_for(b"photo", ".jpg", asked)
    gone = query_photos.has_run_out(key, asked + later, hours)
    if later <= hours * HOUR:
        assert not gone
    if later > (hours + 1) * HOUR + 1:
        assert gone


def test_only_what_has_run_out_is_removed() -> None:
    """Photos of products, and whatever else lies there under another name, stay."""
    store, now = MemoryStore(), 1_800_000_000.0
    old = query_photos.key_for(b"old", ".jpg", now - 8 * HOUR)
    new = query_photos.key_for(b"new", ".jpg", now - HOUR)
    others = ["images/ab/cd/x.jpg", "queries/notes.txt", "queries/2026-99-99/77-x.jpg"]
    for key in (old, new, *others):
        store.put(key, b"1")
    assert query_photos.sweep(store, now, 6.0) == 1
    assert set(store.list()) == {new, *others}


async def test_the_house_is_kept_while_the_role_runs_and_over_troubles() -> None:
    """A store that is away is swept the next time; nothing ends the role for it."""

    class Away(MemoryStore):
        troubles = 1

        def delete(self, key: str) -> None:
            self.troubles -= 1
            if self.troubles >= 0:
                raise Retryable("away")
            super().delete(key)

    store, sleeps = Away(), []
    store.put(query_photos.key_for(b"old", ".jpg", 0.0), b"old")

    async def sleep(seconds: float) -> None:
        sleeps.append(seconds)
        if len(sleeps) == 2:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await query_photos.keep_house(
            store, hours=1.0, now=lambda: 100 * HOUR, sleep=sleep, in_thread=asyncio.to_thread
        )
    assert sleeps == [query_photos.SWEEP_S] * 2
    assert list(store.list()) == []
