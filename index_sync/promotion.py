"""Taking over a shard of which this worker already holds a copy in memory: the copy goes on, nothing is opened again."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from index_sync.manifest import (
    Current,
    Damaged,
    Manifest,
    ObjectRef,
    SegmentRef,
    SnapshotLocation,
    decode_manifest,
    fetch,
    keys_of,
)
from index_sync.recovery import LogBounds, origins, unfit
from index_sync.retention import DELETE_RETENTION_SECONDS
from index_sync.shard import Shard
from index_sync.snapshot import SnapshotWriter, claim
from infra.store import ObjectStore


@dataclass(frozen=True, slots=True)
class Promoted:
    """The right to write snapshots of a shard that is in memory already. `since`: the owner's last snapshot ends there."""

    writer: SnapshotWriter
    since: int


def promote(
    store: ObjectStore,
    place: SnapshotLocation,
    shard: Shard,
    base: Manifest | None,
    log: LogBounds,
    *,
    owner: str,
    now: float,
    delete_retention_seconds: float = DELETE_RETENTION_SECONDS,
) -> Promoted | None:
    """Claim a shard of which a standby's memory goes on.

    None where the memory may not be used: it lies behind the owner's last snapshot, or that snapshot is of something else
    than the topic of now. It has been claimed even so; `recover` claims it again.

    Args:
        store: the object store.
        place: which shard.
        shard: the memory: `base` and what the topic said since.
        base: the snapshot that it began with.
        log: the partition as the broker has it.
        owner: unique to this worker and this run of it.
        now: seconds since the epoch.
        delete_retention_seconds: see `recover`.

    Raises:
        Retryable: the store is away.
    """
    claimed = claim(store, place, owner, now)
    latest, origin = _latest(store, claimed.found)
    if not log.low <= shard.next_offset <= log.end or shard.untyped:
        return None
    if latest is None:
        return Promoted(SnapshotWriter(store, place, claimed, topic_id=log.topic_id), 0)
    if latest.next_offset > shard.next_offset:
        return None
    if unfit(latest, place, shard, log, now - delete_retention_seconds):
        return None
    topic_id = log.topic_id or latest.topic_id
    # Of the snapshots before, the store has only what the two latest name: the rest is written anew from memory.
    writer = SnapshotWriter(
        store,
        place,
        claimed,
        topic_id=topic_id,
        manifest=latest,
        origin=origin,
        stored=_still_stored(base, keys_of(latest)),
    )
    return Promoted(writer, latest.next_offset)


def _latest(store: ObjectStore, found: Current | None) -> tuple[Manifest | None, ObjectRef | None]:
    for origin in origins(found):
        try:
            return decode_manifest(origin.key, fetch(store, origin)), origin
        except Damaged:
            continue
    return None, None


def _still_stored(base: Manifest | None, keys: set[str]) -> tuple[SegmentRef, ...]:
    """The segments of `base` whose rows are still in the store, with what else of them is there."""
    found = [] if base is None else [one for one in base.segments if {part.key for part in one.parts} <= keys]
    return tuple(
        msgspec.structs.replace(one, typed=_kept(one.typed, keys), index=_kept(one.index, keys)) for one in found
    )


def _kept(one: ObjectRef | None, keys: set[str]) -> ObjectRef | None:
    return one if one is not None and one.key in keys else None
