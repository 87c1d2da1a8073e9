"""Upkeep: what is planned is done, by a real builder; one that fails costs nothing but its index."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from index_sync.entry import Change
from index_sync.planning import Limits
from index_sync.shard import Shard
from streams.engine.observer import NullObserver
from streams.roles.index.upkeep import Upkeep, Wanted, sealed_of
from tests.fakes.index_items import DIMENSION, ENCODER, entry


def _shard() -> Shard:
    shard = Shard(0, ENCODER, DIMENSION, segment_rows=256)
    shard.apply_batch(Change(n, f"p{n}", entry(n)) for n in range(1800))
    return shard


async def test_segments_are_merged_and_a_builder_looks_for_an_index(tmp_path: Path) -> None:
    """Until nothing is left to be done; digest and products stay, and no file of a job does."""
    shard, stop = _shard(), asyncio.Event()
    digest = shard.digest
    upkeep = Upkeep(
        Wanted(0.5, ("ivf-sq8",), tmp_path / "work"), lambda: [shard], NullObserver(), limits=Limits(4000, 1024)
    )
    async with asyncio.timeout(120):
        while await upkeep.once(stop):
            pass
    assert [one.columns.rows for one, _ in sealed_of(shard)] == [1792]
    assert (shard.digest, shard.live) == (digest, 1800)
    assert list((tmp_path / "work").iterdir()) == []


async def test_a_job_that_cannot_be_laid_out_is_an_error_and_harms_no_shard(tmp_path: Path) -> None:
    """The folder is a file, as on a disk that refuses; and where only scans are wanted, nothing is built at all."""
    (tmp_path / "work").write_text("")
    shard, stop = _shard(), asyncio.Event()
    wanted = Wanted(0.5, ("ivf-sq8",), tmp_path / "work")
    upkeep = Upkeep(wanted, lambda: [shard], NullObserver(), limits=Limits(4000, 1024))
    assert await upkeep.once(stop), "the merge needs no file"
    with pytest.raises(OSError, match="work"):
        await upkeep.once(stop)
    assert shard.live == 1800
    exact = Upkeep(
        Wanted(1.0, ("ivf-sq8",), tmp_path / "work"), lambda: [shard], NullObserver(), limits=Limits(4000, 1024)
    )
    assert not await exact.once(stop)
