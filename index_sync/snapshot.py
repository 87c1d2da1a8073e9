"""Writing snapshots: immutable objects first, then the manifest, then `CURRENT` by compare-and-swap.

Whoever takes a shard over claims it: a new epoch in `CURRENT`. From then on the swap of the previous writer fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import faiss

from index_sync.manifest import (
    FORMAT,
    Current,
    Damaged,
    Manifest,
    ObjectRef,
    SegmentRef,
    SnapshotLocation,
    decode_current,
    encode,
    keys_of,
    ref,
)
from index_sync.part import encode_part, encode_tombstones
from index_sync.segment import Window
from index_sync.shard import Cut
from index_sync.typed import TypedColumns, encode_typed
from infra.store import ETag, NotFound, ObjectStore
from processors import product_words
from processors.errors import Fatal, Retryable

_TRIES = 16
_MOST_PARTS = 32


class Fenced(Fatal):
    """Another worker has claimed the shard: this one must not write snapshots of it any more."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to write snapshots of a shard. `found`: what `CURRENT` said before."""

    current: Current
    etag: ETag
    found: Current | None
    damage: str = ""


def claim(store: ObjectStore, place: SnapshotLocation, owner: str, now: float) -> Claim:
    """Take a shard over: the next epoch, in the name of `owner`.

    Args:
        store: the object store.
        place: which shard.
        owner: unique to this worker and this run of it.
        now: seconds since the epoch; the epoch of a `CURRENT` that cannot be read any more starts here.

    Raises:
        Retryable: the store is away, or too many workers claim at once.
    """
    for _ in range(_TRIES):
        try:
            data, etag = store.get_versioned(place.current)
        except NotFound:
            store.create(place.current, encode(Current(0, "")))
            continue
        found, damage = _read_current(place, data, now)
        mine = Current(found.epoch + 1, owner, found.manifest, found.before)
        swapped = store.swap(place.current, encode(mine), etag)
        if swapped is not None:
            return Claim(mine, swapped, found if found.manifest else None, damage)
    raise Retryable(f"{place.current}: could not be claimed, it changed {_TRIES} times meanwhile")


def _read_current(place: SnapshotLocation, data: bytes, now: float) -> tuple[Current, str]:
    try:
        return decode_current(place.current, data), ""
    except Damaged as damage:
        # Above every epoch counted so far: a writer from before the damage stays fenced.
        return Current(int(now), ""), str(damage)


class SnapshotWriter:
    """Writes the snapshots of one claimed shard, from one thread. What is already stored is not sent again."""

    def __init__(
        self,
        store: ObjectStore,
        place: SnapshotLocation,
        claim: Claim,
        *,
        topic_id: str = "",
        manifest: Manifest | None = None,
        origin: ObjectRef | None = None,
        stored: Sequence[SegmentRef] | None = None,
    ) -> None:
        """A writer.

        Args:
            store: the object store.
            place: which shard.
            claim: from `claim`.
            topic_id: of the topic, where the broker tells it.
            manifest: the one the shard was restored from, so that its objects are used again.
            origin: where that lies; None: where the claim says.
            stored: the segments of the shard in memory that are in the store, where these are others than the manifest's.
        """
        origin = (origin or claim.current.manifest) if manifest else None
        self._store = store
        self._place = place
        self._current = claim.current
        self._etag = claim.etag
        self._topic_id = topic_id
        self._number = manifest.number if manifest else 0
        known = stored if stored is not None else manifest.segments if manifest else ()
        self._stored: dict[int, SegmentRef] = {segment.uid: segment for segment in known}
        self._typed: dict[int, tuple[TypedColumns, int, ObjectRef]] = {}
        self._saved: tuple[int, str, bool] | None = (
            (manifest.next_offset, manifest.digest, all(segment.typed for segment in manifest.segments))
            if manifest and stored is None
            else None
        )
        self._layout = {(one.uid, one.index is not None) for one in manifest.segments} if manifest else set()
        self._before = origin  # what is known to be whole
        self._kept = [keys_of(manifest)] if manifest else []  # objects of the latest two snapshots
        if origin:
            self._kept[0].add(origin.key)
        self._garbage: set[str] = set()
        self._swept = False

    @property
    def epoch(self) -> int:
        return self._current.epoch

    def changed(self, cut: Cut) -> bool:
        """Whether this cut says anything that the last snapshot does not, or says it by other segments."""
        if self._saved != (cut.state.next_offset, f"{cut.state.digest:032x}", cut.typed):
            return True
        return self._layout != _layout(cut)

    def save(self, cut: Cut, now: float) -> Manifest:
        """Store a snapshot.

        Args:
            cut: the shard at a batch boundary.
            now: seconds since the epoch, for the manifest.

        Raises:
            Fenced: another worker has claimed the shard.
            Retryable: the store is away; call again later, with a newer cut.
        """
        # Counted before the attempt: a lost answer may have left a manifest of this number behind.
        self._number += 1
        segments = tuple(self._store_segment(window, typed=cut.typed) for window in cut.state.windows)
        tombstones = self._store_object(encode_tombstones(cut.state.windows, cut.deletes))
        manifest = Manifest(
            format=FORMAT,
            collection=self._place.collection,
            generation=self._place.generation,
            epoch=self.epoch,
            number=self._number,
            topic=self._place.topic,
            topic_id=self._topic_id,
            partition=cut.partition,
            next_offset=cut.state.next_offset,
            segments=segments,
            state=tombstones,
            encoder=cut.encoder,
            dimension=cut.dimension,
            metric="inner_product",
            dtype="float16",
            faiss=faiss.__version__,
            live=cut.state.live,
            digest=f"{cut.state.digest:032x}",
            created_at=now,
            newest_ms=cut.state.newest_ms,
            words=product_words.RULES,
        )
        self._point_to(manifest)
        self._stored = {segment.uid: segment for segment in segments}
        self._typed = {uid: known for uid, known in self._typed.items() if uid in self._stored}
        self._saved, self._layout = (manifest.next_offset, manifest.digest, cut.typed), _layout(cut)
        self._keep(keys_of(manifest) | {self._place.manifest(manifest.epoch, manifest.number)})
        return manifest

    def collect(self) -> int:
        """Delete what neither the latest snapshot nor the one before needs. Returns how many objects.

        Call it after `save`. What a crash or an earlier epoch left behind goes too, the first time.

        Raises:
            Retryable: the store is away; the rest is deleted by a later call.
        """
        if not self._swept and self._kept:
            # Only earlier epochs: a later writer may be storing objects right now.
            kept = set().union(*self._kept)
            found = [
                *self._store.list(f"{self._place.root}/objects/"),
                *self._store.list(f"{self._place.root}/manifests/"),
            ]
            self._garbage |= {key for key in found if self._place.epoch_of(key) < self.epoch} - kept
            self._swept = True
        count = len(self._garbage)
        while self._garbage:
            key = self._garbage.pop()
            try:
                self._store.delete(key)
            except Retryable:
                self._garbage.add(key)
                raise
        return count

    def _keep(self, keys: set[str]) -> None:
        self._kept.append(keys)
        if len(self._kept) > 2:
            oldest = self._kept.pop(0)
            self._garbage |= oldest - set().union(*self._kept)
        # A tombstone file may come to be as it was before.
        self._garbage -= keys

    def mine(self) -> bool:
        """Whether `CURRENT` still names this writer."""
        try:
            return self._read()[0].owner == self._current.owner
        except Fenced:
            return False

    def _store_segment(self, window: Window, *, typed: bool) -> SegmentRef:
        segment = window.segment
        known = self._stored.get(segment.uid)
        parts = known.parts if known else ()
        start = known.products if known else 0
        if len(parts) >= _MOST_PARTS:
            parts, start = (), 0
        if start < window.products:
            parts = (*parts, self._store_object(encode_part(segment, start, window.products)))
        columns = self._store_typed(window) if typed else None
        index = known.index if known else None
        if index is None and segment.index is not None:
            index = self._store_object(segment.index.encode())
        return SegmentRef(segment.uid, segment.kind, window.rows, window.products, parts, columns, index)

    def _store_typed(self, window: Window) -> ObjectRef | None:
        """The typed columns of a segment; those that were not changed since are not encoded again."""
        uid, columns = window.segment.uid, window.typed
        if columns is None:
            return None
        known = self._typed.get(uid)
        before = self._stored.get(uid)
        if before is not None and before.typed is not None and columns.restored == window.products:
            return before.typed
        if known is None or known[0] is not columns or known[1] != window.products:
            stored = self._store_object(encode_typed(columns, window.products))
            known = self._typed[uid] = (columns, window.products, stored)
        return known[2]

    def _store_object(self, data: bytes) -> ObjectRef:
        digest = ref("", data).sha256
        wanted = ref(self._place.content(self.epoch, digest), data)
        if not self._store.create(wanted.key, data) and not self._holds(wanted.key, data):
            # The name says these bytes: whatever else lies there is damage, and would fail every recovery.
            self._store.put(wanted.key, data)
        return wanted

    def _holds(self, key: str, data: bytes) -> bool:
        """Whether just these bytes lie there. A clean-up may have removed what a writer that is fenced was about to use again."""
        try:
            return self._store.get(key) == data
        except NotFound:
            return False

    def _point_to(self, manifest: Manifest) -> None:
        data = encode(manifest)
        wanted = ref(self._place.manifest(manifest.epoch, manifest.number), data)
        if not self._store.create(wanted.key, data):
            raise Fenced(f"{wanted.key}: another writer has used this epoch and number")
        following = Current(self.epoch, self._current.owner, wanted, self._before)
        for _ in range(_TRIES):
            etag = self._store.swap(self._place.current, encode(following), self._etag)
            if etag is not None:
                self._current, self._etag, self._before = following, etag, wanted
                return
            # Either fenced, or an earlier swap of ours went through and its answer was lost.
            found, seen = self._read()
            if found.owner != self._current.owner:
                raise Fenced(
                    f"{self._place.current}: claimed by {found.owner or 'another worker'} in epoch {found.epoch}, "
                    f"this writer has epoch {self.epoch}"
                )
            self._etag = seen
        raise Retryable(f"{self._place.current}: could not be swapped")

    def _read(self) -> tuple[Current, ETag]:
        try:
            data, etag = self._store.get_versioned(self._place.current)
        except NotFound:
            raise Fenced(f"{self._place.current}: gone") from None
        return _read_current(self._place, data, 0.0)[0], etag


def _layout(cut: Cut) -> set[tuple[int, bool]]:
    return {(window.segment.uid, window.segment.index is not None) for window in cut.state.windows}
