"""A shard: the searchable view of one partition of `catalog.items`.

One thread applies changes, any number of threads search. Everything a reader needs hangs on one immutable `State`,
swapped as one reference at the end of a batch: a reader sees a batch wholly or not at all, and the applied offset it
reports belongs to exactly the rows it searched.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from index_sync.columns import encode_payload, rows_of
from index_sync.compaction import Compacted, compact, gathered, live_vectors
from index_sync.entry import (
    DIGEST_BITS,
    Change,
    Entry,
    Half,
    Product,
    RefusedChange,
    ShardHit,
    Viewed,
    Wanted,
    product_mark,
    to_half,
    to_halves,
)
from index_sync.moves import Moves
from index_sync.segment import GrowingSegment, Segment, Window, live_products, sealed
from index_sync.state import State
from index_sync.typed import TypedColumns, Vocabularies, decode_typed
from processors.errors import Code, Poison
from processors.offers import NO_OFFER, Offer
from processors.values import Vector

_PRUNE_FROM = 1024
_CARRIED = 8
"""One live row in so many, or less: a full segment's live rows move on into the next one, in a millisecond or two."""
_MOST_SEGMENTS = 8
_MOST_ROWS = 3
"""Rows in memory are bounded by so many a live one, and so many segments beside: past it the writer merges itself, and waits."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A shard at a batch boundary: all that a snapshot saves. Writes go on beside it."""

    partition: int
    generation: str
    encoder: str
    dimension: int
    state: State
    deletes: dict[str, int]
    typed: bool = True
    """Whether the typed columns are all there (see `Shard.restore`)."""


@dataclass(slots=True)
class _Slot:
    """The writer's side of a window. `shared`, `shown`: a reader may hold `alive`, `typed`, so copy it before a change."""

    segment: Segment
    alive: NDArray[np.bool_]
    typed: TypedColumns
    shared: bool = False
    shown: bool = False


@dataclass(frozen=True, slots=True)
class _Location:
    uid: int
    ordinal: int
    version: int
    mark: int


class Shard:
    """Apply changes from one thread; search, look up and cut from any."""

    def __init__(
        self,
        partition: int,
        fingerprint: str,
        dimension: int,
        *,
        generation: str = "g-0001",
        segment_rows: int = 16_384,
        delete_horizon: int = 1_000_000,
    ) -> None:
        """An empty shard.

        Args:
            partition: of `catalog.items`.
            fingerprint: the only encoder whose vectors are taken; "" takes the first that comes, and no other after.
            dimension: of the vectors; 0 takes that of the first entry.
            generation: name of the index generation, for answers and snapshots.
            segment_rows: rows of the growing segment; full, it is sealed.
            delete_horizon: offsets for which a delete remembers its version. What lies further back counts as applied.
        """
        self.partition = partition
        self.generation = generation
        self._encoder = fingerprint
        self._dimension = dimension
        self._segment_rows = segment_rows
        self._delete_horizon = delete_horizon
        self._uids = count()
        self._slots: dict[int, _Slot] = {}
        self._growing: GrowingSegment | None = None
        self._locations: dict[str, _Location] = {}
        self._deletes: dict[str, int] = {}
        self._prune_at = _PRUNE_FROM
        self._digest = 0
        self._writing = threading.Lock()
        self._moves = Moves()
        self._words = Vocabularies()
        self._untyped_to = 0
        self._state = State((), 0, 0, 0, encoder=fingerprint, dimension=dimension)

    # ------------------------------------------------------------------ writing (one thread)

    def apply(self, offset: int, product_id: str, entry: Entry | None) -> bool:
        """Apply one record: an upsert, or (None) a delete. The later offset wins; applying again changes nothing.

        Returns:
            Whether the record was news.

        Raises:
            Poison: the entry is of another encoder or dimension, or its vectors are no unit vectors.
        """
        with self._writing:
            changed = self._apply(Change(offset, product_id, entry))
            self._publish(offset + 1)
        return changed

    def apply_batch(self, changes: Iterable[Change], next_offset: int = 0, newest_ms: int = -1) -> list[RefusedChange]:
        """Apply records in order and publish them at once; what can never be applied is returned, not raised.

        Args:
            changes: records of this partition.
            next_offset: where reading goes on, if beyond the last record (gaps that compaction left).
            newest_ms: the largest timestamp of the records, and of those that were read but could not be decoded.
        """
        refused: list[RefusedChange] = []
        changes = list(changes)
        halves = iter(to_halves([change.entry.vectors for change in changes if change.entry is not None]))
        with self._writing:
            for change in changes:
                half = None if change.entry is None else next(halves)
                try:
                    self._apply(change, half)
                except Poison as error:
                    refused.append(RefusedChange(change, error))
                next_offset = max(next_offset, change.offset + 1)
            if next_offset >= self._untyped_to:
                self._untyped_to = 0
            self._publish(next_offset, newest_ms)
        return refused

    def _apply(self, change: Change, half: Half | None = None) -> bool:
        here = self._located(change.product_id)
        known = here.version if here is not None else self._deletes.get(change.product_id, self._floor())
        again = self._untyped_to and here is not None and change.offset == here.version and change.entry is not None
        if change.offset <= known and not again:
            return False
        if change.columns is not None:
            self._recolumn(change, change.columns)
            return True
        if change.entry is None:
            if here is not None:
                self._forget(change.product_id, here)
            self._deletes[change.product_id] = change.offset
            return True
        half = self._checked(change.entry, half)
        blob = encode_payload(change.entry.payload)
        if here is not None:
            if not self._untyped_to and self._is_as_it_was(here, blob, half):
                self._retype(change, here, change.entry.offer, change.entry.payload, half)
                return True
            self._forget(change.product_id, here)
        self._deletes.pop(change.product_id, None)
        self._insert(change, change.entry, blob, half)
        return True

    def _is_as_it_was(self, here: _Location, blob: bytes, half: Half) -> bool:
        """Whether but for its typed columns nothing of a product changes: no row is written, and none dies."""
        segment = self._slots[here.uid].segment
        columns, ordinal = segment.columns, here.ordinal
        start, stop = columns.first[ordinal], columns.first[ordinal + 1]
        return (
            stop - start == len(half)
            and columns.payloads[ordinal] == blob
            and segment.vectors(start, stop).tobytes() == half.tobytes()
        )

    def essence(self, product_id: str) -> bytes:
        """What stands for a live product's record but its columns, or b"". For the one thread that writes."""
        here = self._located(product_id)
        return b"" if here is None or self._untyped_to else self._slots[here.uid].typed.essence_of(here.ordinal)

    def _recolumn(self, change: Change, offer: Offer) -> None:
        """Other columns for a product whose record is otherwise as it was: nothing of it was decoded.

        Raises:
            Poison: the record that it is like was refused.
        """
        here = self._located(change.product_id)
        if here is None or self.essence(change.product_id) != change.essence:
            raise Poison("is, but for its columns, like the record before it, which was refused", field="views")
        columns = self._slots[here.uid].segment.columns
        rows = self._slots[here.uid].segment.vectors(columns.first[here.ordinal], columns.first[here.ordinal + 1])
        self._retype(change, here, offer, columns.shown(here.ordinal), rows)

    def _retype(self, change: Change, here: _Location, offer: Offer, payload: Viewed, half: Half) -> None:
        """Other typed columns for a product whose rows stay."""
        slot = self._slots[here.uid]
        if slot.shown:
            slot.typed, slot.shown = slot.typed.copy(), False
        slot.typed.put(here.ordinal, change.offset, offer, change.essence)
        mark = product_mark(change.product_id, change.offset, payload, half)
        self._locations[change.product_id] = _Location(here.uid, here.ordinal, change.offset, mark)
        self._digest = (self._digest - here.mark + mark) % (1 << DIGEST_BITS)

    def _floor(self) -> int:
        """Offsets up to this one are long applied; a delete as old as that may have been forgotten."""
        return self._state.next_offset - self._delete_horizon - 1

    def _checked(self, entry: Entry, half: Half | None) -> Half:
        if self._encoder and entry.encoder != self._encoder:
            raise Poison(
                f"vectors of {entry.encoder}, the index holds {self._encoder}",
                field="encoder",
                code=Code.WRONG_ENCODER,
            )
        if half is None or half.shape[1] != (self._dimension or half.shape[1]):
            half = to_half(entry.vectors, self._dimension or entry.vectors.shape[-1])
        if len(half) != len(entry.payload.views):
            raise Poison(f"{len(half)} vectors for {len(entry.payload.views)} views", field="views")
        if len(half) > self._segment_rows:
            raise Poison(f"{len(half)} views, a segment holds {self._segment_rows}", field="views")
        self._encoder, self._dimension = entry.encoder, half.shape[1]
        return half

    def _insert(self, change: Change, entry: Entry, blob: bytes, half: Half) -> None:
        product_id, version, payload = change.product_id, change.offset, entry.payload
        growing = self._growing
        if growing is None or not growing.room(len(half)):
            growing = self._turn_over()
        ordinal = growing.append(product_id, version, payload, half, blob)
        # Behind what was published: in place, whoever reads the columns.
        self._slots[growing.uid].typed.put(ordinal, version, entry.offer, change.essence)
        mark = product_mark(product_id, version, payload, half)
        self._locations[product_id] = _Location(growing.uid, ordinal, version, mark)
        self._digest = (self._digest + mark) % (1 << DIGEST_BITS)

    def _forget(self, product_id: str, here: _Location) -> None:
        slot = self._slots[here.uid]
        if slot.shared:
            slot.alive, slot.shared = slot.alive.copy(), False
        first = slot.segment.columns.first
        slot.alive[first[here.ordinal] : first[here.ordinal + 1]] = False
        del self._locations[product_id]
        self._digest = (self._digest - here.mark) % (1 << DIGEST_BITS)

    def _located(self, product_id: str) -> _Location | None:
        here = self._locations.get(product_id)
        if here is not None and self._moves.moved(here.uid):
            uid, ordinal = self._moves.follow(here.uid, here.ordinal)
            here = self._locations[product_id] = _Location(uid, ordinal, here.version, here.mark)
        return here

    def _turn_over(self) -> GrowingSegment:
        """A new growing segment. The full one is sealed as it stands, or (nearly all dead) its live rows move into the new one."""
        old, uid = self._growing, next(self._uids)
        if old is None:
            self._growing = GrowingSegment(uid, self._dimension, self._segment_rows)
            self._slots[uid] = self._slot(self._growing, TypedColumns(self._segment_rows, self._words))
            return self._growing
        slot = self._slots[old.uid]
        window = _window(slot)
        live = int(np.count_nonzero(window.alive[: window.rows]))
        typed = TypedColumns(self._segment_rows, self._words)
        if _CARRIED * live <= self._segment_rows:
            ordinals = live_products(window)
            columns = gathered([(window, ordinals)], self._segment_rows)
            self._growing = GrowingSegment.begun(uid, self._segment_rows, columns, live_vectors(window))
            typed.write(0, slot.typed.take(ordinals))
            for ordinal, product_id in enumerate(columns.ids):
                here = self._locations[product_id]
                self._locations[product_id] = _Location(uid, ordinal, here.version, here.mark)
            del self._slots[old.uid]
        else:
            self._growing = GrowingSegment(uid, self._dimension, self._segment_rows)
            slot.segment = sealed(old)
            self._bound()
        self._slots[uid] = self._slot(self._growing, typed)
        return self._growing

    @staticmethod
    def _slot(segment: GrowingSegment, typed: TypedColumns) -> _Slot:
        return _Slot(segment, np.ones(segment.capacity, dtype=np.bool_), typed)

    def _bound(self) -> None:
        """Where nobody merges, or not fast enough, the writer does before dead rows fill the memory."""
        windows = [_window(slot) for slot in self._slots.values() if slot.segment.kind == "sealed"]
        live = {window.segment.uid: int(np.count_nonzero(window.alive[: window.rows])) for window in windows}
        rows = sum(window.rows for window in windows)
        if rows <= _MOST_ROWS * sum(live.values()) + _MOST_SEGMENTS * self._segment_rows:
            return
        dying = [window for window in windows if 2 * live[window.segment.uid] < window.rows]
        self._replace(compact(next(self._uids), dying))
        while ids := self._moves.next_ids(len(self._locations)):
            for product_id in ids:
                self._located(product_id)

    # ------------------------------------------------------------------ merging (any one thread beside the writer)

    def merge(self, uids: Collection[int], pause: Callable[[], None] = lambda: None) -> bool:
        """Put the live rows of sealed segments into one new segment, and readers onto it, as one reference.

        Writes and searches go on: the writer waits for the swap (a millisecond or two) and for slices of as much.

        Args:
            uids: of the segments.
            pause: called between slices of some milliseconds.

        Returns:
            Whether it was done; not where one of the segments is not there any more.
        """
        chosen = [window for window in self._state.windows if window.segment.uid in uids]
        if len(chosen) != len(set(uids)) or any(window.segment.kind != "sealed" for window in chosen):
            return False
        made = compact(next(self._uids), chosen, pause)
        with self._writing:
            if not self._replace(made):
                return False
            self._publish(self._state.next_offset)
        while self._settle():
            pause()
        return True

    def _replace(self, made: Compacted) -> bool:
        """The new segment in the place of its sources: what died or changed its columns since they were read has done so in it."""
        slots = [self._slots.get(window.segment.uid) for window, _ in made.sources]
        known = [
            slot
            for slot, (window, _) in zip(slots, made.sources, strict=True)
            if slot is not None and slot.segment is window.segment
        ]
        if len(known) != len(made.sources):
            return False
        columns = made.segment.columns
        alive, typed, start = np.zeros(columns.rows, dtype=np.bool_), TypedColumns(len(columns.ids), self._words), 0
        for slot, (window, ordinals) in zip(known, made.sources, strict=True):
            first = np.array(window.segment.columns.first, dtype=np.int64)
            stop = start + len(ordinals)
            counts = rows_of(columns.first[start : stop + 1])
            alive[columns.first[start] : columns.first[stop]] = np.repeat(slot.alive[first[ordinals]], counts)
            typed.write(start, slot.typed.take(ordinals))
            del self._slots[window.segment.uid]
            start = stop
        self._moves.add(made)
        if alive.any():
            self._slots[made.segment.uid] = _Slot(made.segment, alive, typed)
        return True

    def _settle(self, products: int = 2048) -> bool:
        """Write down the new places of some products that were merged. Returns whether there may be more."""
        with self._writing:
            ids = self._moves.next_ids(products)
            for product_id in ids:
                self._located(product_id)
        return bool(ids)

    def _publish(self, next_offset: int, newest_ms: int = -1) -> None:
        next_offset = max(next_offset, self._state.next_offset)
        for uid in [uid for uid, slot in self._slots.items() if self._is_dead(slot)]:
            del self._slots[uid]
        windows = tuple(_window(slot) for slot in self._slots.values())
        for slot in self._slots.values():
            slot.shared = slot.shown = True
        newest_ms = max(newest_ms, self._state.newest_ms)
        self._state = State(
            windows, next_offset, len(self._locations), self._digest, newest_ms, self._encoder, self._dimension
        )
        if len(self._deletes) >= self._prune_at:
            floor = self._floor()
            self._deletes = {key: version for key, version in self._deletes.items() if version > floor}
            self._prune_at = max(_PRUNE_FROM, 2 * len(self._deletes))

    @staticmethod
    def _is_dead(slot: _Slot) -> bool:
        return slot.segment.kind == "sealed" and not slot.shared and not slot.alive.any()

    # ------------------------------------------------------------------ reading (any thread)

    @property
    def state(self) -> State:
        return self._state

    @property
    def fingerprint(self) -> str:
        """The encoder of what is searchable; "" before the first entry of a shard that takes any."""
        return self._state.encoder

    @property
    def dimension(self) -> int:
        """Of the vectors that are searchable; 0 before the first entry of a shard that takes any."""
        return self._state.dimension

    @property
    def next_offset(self) -> int:
        """Every record below this offset is searchable."""
        return self._state.next_offset

    @property
    def live(self) -> int:
        """Live products."""
        return self._state.live

    @property
    def digest(self) -> str:
        """Order-independent digest over the live (id, version, half-precision vectors): 32 hex digits."""
        return f"{self._state.digest:032x}"

    def search(
        self,
        vector: Vector,
        k: int,
        filters: Wanted | None = None,
        exclude: Wanted | None = None,
        exclude_products: Collection[str] = (),
    ) -> list[ShardHit]:
        """See `State.search`."""
        return self._state.search(vector, k, filters, exclude, exclude_products)

    def lookup(self, product_id: str) -> Product | None:
        """The live product of this id, or None."""
        return self._state.lookup(product_id)

    def versions(self) -> dict[str, int]:
        """Every live product and its version, for verification. Waits for the batch in progress."""
        with self._writing:
            return {product_id: here.version for product_id, here in self._locations.items()}

    def inventory(self) -> tuple[State, dict[str, tuple[int, int]]]:
        """What readers see, and of each live product its version and mark (`product_mark`). Waits for the batch in progress."""
        with self._writing:
            return self._state, {product_id: (here.version, here.mark) for product_id, here in self._locations.items()}

    def cut(self) -> Cut:
        """The shard at a batch boundary. Waits for the batch in progress, then copies nothing but the deletes."""
        with self._writing:
            return Cut(
                self.partition,
                self.generation,
                self._encoder,
                self._dimension,
                self._state,
                dict(self._deletes),
                typed=not self._untyped_to,
            )

    # ------------------------------------------------------------------ restoring

    def restore(
        self,
        parts: Sequence[tuple[Segment, NDArray[np.bool_]]],
        deletes: dict[str, int],
        next_offset: int,
        newest_ms: int = -1,
        *,
        encoder: str = "",
        dimension: int = 0,
        typed: Sequence[bytes | None] = (),
        worded: bool = True,
    ) -> None:
        """Fill an empty shard from a snapshot: segments with their live rows, deletes, and where reading goes on.

        A snapshot of before there were typed columns has none: the shard answers without them, and takes them from the
        records of the topic, which are to be read again from its beginning (`untyped`).

        Args:
            parts: segments in order, each with a boolean mask (rows,) of its live rows; one may be growing, the last.
            typed: of each segment the bytes of `encode_typed`; None, or empty as a whole, where the snapshot has none.
            deletes: product → version of its delete.
            worded: whether its words were read by the rules of now; else they are taken anew from the topic, as the columns.
            next_offset: the manifest's.
            newest_ms: the manifest's.
            encoder: the manifest's; "" keeps the shard's own.
            dimension: the manifest's; 0 keeps the shard's own.
        """
        with self._writing:
            self._encoder, self._dimension = encoder or self._encoder, dimension or self._dimension
            saved = typed or [None] * len(parts)
            if any(data is None for data in saved) or (parts and not worded):
                self._untyped_to = next_offset
            for (segment, alive), data in zip(parts, saved, strict=True):
                if isinstance(segment, GrowingSegment):
                    self._growing = segment
                    spare = np.ones(segment.capacity - len(alive), dtype=np.bool_)
                    alive = np.concatenate([alive, spare])  # noqa: PLW2901 - rows still to come are alive
                slot = self._slots[segment.uid] = _Slot(segment, alive, self._restored(segment, len(alive), data))
                self._locate(segment, alive, slot.typed)
            self._uids = count(1 + max((segment.uid for segment, _ in parts), default=-1))
            self._deletes = dict(deletes)
            self._publish(next_offset, newest_ms)

    @property
    def untyped(self) -> bool:
        """Whether typed columns or words are still to come from the topic's records, which must be read from its beginning."""
        return bool(self._untyped_to)

    def _restored(self, segment: Segment, capacity: int, data: bytes | None) -> TypedColumns:
        products = len(segment.columns.ids)
        if data is not None:
            return decode_typed(data, products, capacity, self._words)
        typed = TypedColumns(capacity, self._words)
        for ordinal, version in enumerate(segment.columns.versions):
            typed.put(ordinal, version, NO_OFFER)
        return typed

    def _locate(self, segment: Segment, alive: NDArray[np.bool_], typed: TypedColumns) -> None:
        columns = segment.columns
        for ordinal, product_id in enumerate(columns.ids):
            start, stop = columns.first[ordinal], columns.first[ordinal + 1]
            if alive[start]:
                version = int(typed.versions[ordinal])
                payload = columns.payload(ordinal)
                mark = product_mark(product_id, version, payload, segment.vectors(start, stop))
                self._locations[product_id] = _Location(segment.uid, ordinal, version, mark)
                self._digest = (self._digest + mark) % (1 << DIGEST_BITS)


def _window(slot: _Slot) -> Window:
    columns = slot.segment.columns
    columns.words.settle_many()  # before anybody looks
    return Window(slot.segment, columns.rows, len(columns.ids), slot.alive, slot.typed)
