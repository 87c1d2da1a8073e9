"""Bringing a shard back: claim it, load and verify the latest snapshot, and say where reading goes on.

Where an object of the latest snapshot is not as recorded, the one before it is taken. Where that does not do either, the topic
is the truth: the shard is then rebuilt from its beginning, and the reason is told. Records are never skipped silently.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from index_sync.approximate import Approximate
from index_sync.manifest import (
    Current,
    Damaged,
    Manifest,
    ObjectRef,
    SnapshotLocation,
    decode_current,
    decode_manifest,
    fetch,
)
from index_sync.part import decode_segment, decode_tombstones
from index_sync.pieces import Between
from index_sync.retention import DELETE_RETENTION_SECONDS
from index_sync.segment import SealedSegment
from index_sync.shard import Shard
from index_sync.snapshot import SnapshotWriter, claim
from infra.store import NotFound, ObjectStore
from processors import product_words
from processors.errors import Retryable


@dataclass(frozen=True, slots=True)
class LogBounds:
    """The partition as the broker has it now: first offset, next offset to be written, and what tells two logs apart.

    `topic_id`, where the client can ask for it; and `first_since`: the first offset whose record has that timestamp
    (ms since the epoch) or a later one, None if there is none.
    """

    low: int
    end: int
    topic_id: str = ""
    first_since: Callable[[int], int | None] | None = None


@dataclass(frozen=True, slots=True)
class Recovered:
    """A shard ready for replay. `reason` says why it starts empty; "" when it was restored from `manifest`.

    `refused`: what of the snapshots was missing or not as recorded, by name, whether the shard came back without it or not.
    """

    shard: Shard
    seek: int
    writer: SnapshotWriter
    manifest: Manifest | None
    reason: str
    refused: tuple[str, ...] = ()


def recover(
    store: ObjectStore,
    place: SnapshotLocation,
    blank: Callable[[], Shard],
    log: LogBounds,
    *,
    owner: str,
    now: float,
    segment_rows: int = 16_384,
    delete_retention_seconds: float = DELETE_RETENTION_SECONDS,
    between: Between = None,
) -> Recovered:
    """Claim a shard and restore it, or say why it has to be rebuilt from the topic.

    Args:
        store: the object store.
        place: which shard.
        blank: makes an empty shard of the wanted encoder and dimension.
        log: the partition as the broker has it.
        owner: unique to this worker and this run of it.
        now: seconds since the epoch.
        segment_rows: rows of a growing segment.
        delete_retention_seconds: the topic's `delete.retention.ms`. A snapshot older than that may have missed
            deletes whose records are compacted away: replay from its offset could leave dead products alive.
        between: called in this thread between pieces of work of some milliseconds.

    Raises:
        Retryable: the store is away.
    """
    claimed = claim(store, place, owner, now)
    found = _latest(store, place, claimed.found, blank, log, now - delete_retention_seconds, segment_rows, between)
    shard, seek, manifest = found.shard, found.seek, found.manifest
    topic_id = log.topic_id or (manifest.topic_id if manifest else "")
    # Without a manifest, too, the number goes on: manifests are never written twice.
    writer = SnapshotWriter(store, place, claimed, topic_id=topic_id, manifest=manifest, origin=found.origin)
    reason = found.reason if found.manifest else found.told or claimed.damage or "no snapshot yet"
    return Recovered(shard, seek, writer, manifest, reason, found.refused)


@dataclass(frozen=True, slots=True)
class Tailed:
    """A shard as its last snapshot has it, to be kept current beside its owner; `manifest`: that snapshot, None where
    reading begins with the topic.
    """

    shard: Shard
    seek: int
    manifest: Manifest | None
    reason: str
    refused: tuple[str, ...] = ()
    origin: ObjectRef | None = None

    @property
    def told(self) -> str:
        """Why it begins with the topic; what was refused first."""
        return self.refused[0] if self.refused else self.reason


def tail(
    store: ObjectStore,
    place: SnapshotLocation,
    blank: Callable[[], Shard],
    log: LogBounds,
    *,
    now: float,
    segment_rows: int = 16_384,
    delete_retention_seconds: float = DELETE_RETENTION_SECONDS,
    between: Between = None,
) -> Tailed:
    """The shard of the last snapshot, as `recover` would restore it, but nothing is claimed and nothing is written.

    Raises:
        Retryable: the store is away, or the owner replaced the snapshot while it was read (its objects are removed then).
    """
    before = _current(store, place)
    found = _latest(store, place, before, blank, log, now - delete_retention_seconds, segment_rows, between)
    if found.refused and _current(store, place) != before:
        raise Retryable(f"{place.current}: replaced while it was read")
    return found


def _current(store: ObjectStore, place: SnapshotLocation) -> Current | None:
    try:
        found = decode_current(place.current, store.get(place.current))
    except (NotFound, Damaged):
        return None
    return found if found.manifest else None


def _latest(
    store: ObjectStore,
    place: SnapshotLocation,
    current: Current | None,
    blank: Callable[[], Shard],
    log: LogBounds,
    oldest: float,
    segment_rows: int,
    between: Between = None,
) -> Tailed:
    """What the latest snapshot that is whole and fits the topic holds; else an empty shard that begins with the topic."""
    refused: list[str] = []
    reason = ""
    for origin in origins(current):
        try:
            manifest = decode_manifest(origin.key, fetch(store, origin))
            reason = unfit(manifest, place, blank(), log, oldest) or _another_log(manifest, log)
            if reason:
                break
            shard = _restore(store, manifest, blank(), segment_rows, refused, between)
        except Damaged as damage:
            reason = str(damage)
            refused.append(reason)
            continue
        # Without typed columns (an older version wrote the snapshot) they are taken from the records: all are read again.
        seek = log.low if shard.untyped else manifest.next_offset
        return Tailed(shard, seek, manifest, "", tuple(refused), origin)
    shard = blank()
    shard.apply_batch((), log.low)
    return Tailed(shard, log.low, None, reason, tuple(refused))


def origins(found: Current | None) -> list[ObjectRef]:
    """The manifests that `CURRENT` names, the latest first."""
    return [] if found is None else [one for one in (found.manifest, found.before) if one is not None]


def loaded(store: ObjectStore, manifest: Manifest, segment_rows: int = 16_384) -> Shard:
    """The shard of a snapshot, to be read: nothing is claimed, and its writer goes on.

    Raises:
        Damaged: an object is missing, or not as recorded.
        Retryable: the store is away.
    """
    shard = Shard(manifest.partition, manifest.encoder, manifest.dimension, generation=manifest.generation)
    return _restore(store, manifest, shard, segment_rows, [])


def unfit(manifest: Manifest, place: SnapshotLocation, wanted: Shard, log: LogBounds, oldest: float) -> str:
    """Why a snapshot cannot be continued from, or ""."""
    ours = (place.collection, place.generation, place.topic, place.partition)
    theirs = (manifest.collection, manifest.generation, manifest.topic, manifest.partition)
    at = manifest.next_offset
    checks = (
        (ours != theirs, f"the snapshot is of {theirs}, wanted is {ours}"),
        (
            bool(wanted.fingerprint) and bool(manifest.encoder) and manifest.encoder != wanted.fingerprint,
            f"the snapshot holds vectors of {manifest.encoder}, wanted is {wanted.fingerprint}",
        ),
        (
            bool(wanted.dimension) and bool(manifest.dimension) and manifest.dimension != wanted.dimension,
            f"the snapshot has dimension {manifest.dimension}, wanted is {wanted.dimension}",
        ),
        (
            bool(manifest.topic_id) and bool(log.topic_id) and manifest.topic_id != log.topic_id,
            f"the topic was created again ({manifest.topic_id} is now {log.topic_id})",
        ),
        (log.end < at, f"the topic ends at {log.end}, before the snapshot's offset {at}: it was created again"),
        (log.low > at, f"the topic starts at {log.low}, after the snapshot's offset {at}: records are gone"),
        (
            log.end > at and manifest.created_at < oldest,
            "the snapshot is older than the topic keeps deletes: some may have been compacted away",
        ),
    )
    return next((reason for wrong, reason in checks if wrong), "")


def _another_log(manifest: Manifest, log: LogBounds) -> str:
    """Offsets of a topic that was created again may fit; its records are newer than the snapshot says."""
    if log.first_since is None or manifest.newest_ms < 0:
        return ""
    first = log.first_since(manifest.newest_ms + 1)
    if first is None or first >= manifest.next_offset:
        return ""
    return f"record {first} is newer than the snapshot that claims to hold it: the topic was created again"


def _restore(
    store: ObjectStore,
    manifest: Manifest,
    shard: Shard,
    segment_rows: int,
    refused: list[str],
    between: Between = None,
) -> Shard:
    masks, deletes = decode_tombstones(manifest.state.key, fetch(store, manifest.state), manifest.segments)
    segments = [
        decode_segment(
            segment, [fetch(store, part) for part in segment.parts], manifest.dimension, segment_rows, between
        )
        for segment in manifest.segments
    ]
    for segment, wanted in zip(segments, manifest.segments, strict=True):
        if wanted.index is not None and isinstance(segment, SealedSegment):
            segment.index = _index(store, wanted.index, wanted.rows, refused)
    typed = [None if segment.typed is None else fetch(store, segment.typed) for segment in manifest.segments]
    try:
        shard.restore(
            list(zip(segments, masks, strict=True)),
            deletes,
            manifest.next_offset,
            manifest.newest_ms,
            encoder=manifest.encoder,
            dimension=manifest.dimension,
            typed=typed,
            worded=manifest.words == product_words.RULES,
            between=between,
        )
    except (ValueError, msgspec.MsgspecError) as error:
        raise Damaged(f"{manifest.state.key}: {error}") from error
    if shard.digest != manifest.digest or shard.live != manifest.live:
        raise Damaged(
            f"{manifest.state.key}: the restored shard has digest {shard.digest} and {shard.live} products, "
            f"the manifest says {manifest.digest} and {manifest.live}"
        )
    return shard


def _index(store: ObjectStore, wanted: ObjectRef, rows: int, refused: list[str]) -> Approximate | None:
    """The approximate index of a segment; None where it is not as recorded: the rows are there, and it is built again."""
    try:
        found = Approximate.decode(fetch(store, wanted))
        if found.measured.rows != rows:
            raise ValueError(f"is of {found.measured.rows} rows, the segment has {rows}")
    except Damaged as damage:
        refused.append(str(damage))
    except ValueError as error:
        refused.append(f"{wanted.key}: {error}")
    else:
        return found
    return None
