"""Snapshots of a generation in an object store in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from index_sync.entry import Change
from index_sync.manifest import SnapshotLocation
from index_sync.recovery import LogBounds, recover
from index_sync.shard import Shard
from streams.contract import topics
from streams.contract.records import Generation
from streams.search.generations import COLLECTION, FIRST, key_of
from tests.fakes.index_items import DIMENSION, ENCODER, MemoryObjects

GENERATION = Generation(key_of(FIRST), FIRST, "building", items=topics.ITEMS, ready=True)


def snapshots(shards: Mapping[int, Sequence[Change]], encoders: Mapping[int, str] | None = None) -> MemoryObjects:
    """A store with a snapshot of each shard, in segments of eight rows."""
    store = MemoryObjects()
    for partition, changes in shards.items():
        place = SnapshotLocation(COLLECTION, FIRST, topics.ITEMS, partition)
        encoder = (encoders or {}).get(partition, ENCODER)
        found = recover(
            store,
            place,
            lambda p=partition, e=encoder: Shard(p, e, DIMENSION, segment_rows=8),
            LogBounds(0, 1000),
            owner="w",
            now=1e9,
        )
        assert found.shard.apply_batch(changes) == []
        found.writer.save(found.shard.cut(), 1e9)
    return store
