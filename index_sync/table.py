"""The products of a shard and where they lie: the writer's side, which readers never look at.

Which record is news, and when readers see it, `index_sync.shard` says. Nothing here takes a lock: its one caller holds the shard's.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import count

import msgspec
import numpy as np
from numpy.typing import NDArray

from index_sync.columns import rows_of
from index_sync.compaction import Compacted, compact, gathered, live_vectors
from index_sync.entry import DIGEST_BITS, Change, Entry, Half, Viewed, product_mark
from index_sync.moves import Moves
from index_sync.pieces import Between, in_pieces
from index_sync.segment import GrowingSegment, Segment, Window, live_products, sealed
from index_sync.typed import TypedColumns, Vocabularies, decode_typed
from processors.offers import NO_OFFER, Offer

_CARRIED = 8
"""One live row in so many, or less: a full segment's live rows move on into the next one, in a millisecond or two."""
_MOST_SEGMENTS = 8
_MOST_ROWS = 3
"""Rows in memory are bounded by so many a live one, and so many segments beside: past it the writer merges itself, and waits."""


@dataclass(slots=True)
class _Slot:
    """The writer's side of a window. `shared`, `shown`: a reader may hold `alive`, `typed`, so copy it before a change.

    `dead`: how many of its rows are.
    """

    segment: Segment
    alive: NDArray[np.bool_]
    typed: TypedColumns
    shared: bool = False
    shown: bool = False
    dead: int = 0


class Location(msgspec.Struct, frozen=True, gc=False):
    """Of a live product: its segment and its place there, its version (source offset) and what it adds to the digest."""

    uid: int
    ordinal: int
    version: int
    mark: int


class Table:
    """Where each live product lies.

    Args:
        dimension: of the vectors; 0: of those that come first. `insert` needs it.
        segment_rows: rows of the growing segment; full, it is sealed.

    Attributes:
        digest: Σ of the live products' marks (`index_sync.entry.product_mark`).
    """

    def __init__(self, dimension: int, segment_rows: int) -> None:
        self.dimension = dimension
        self.digest = 0
        self._segment_rows = segment_rows
        self._uids = count()
        self._slots: dict[int, _Slot] = {}
        self._growing: GrowingSegment | None = None
        self._locations: dict[str, Location] = {}
        self._moves = Moves()
        self._words = Vocabularies()

    def __len__(self) -> int:
        """Live products."""
        return len(self._locations)

    def items(self) -> Collection[tuple[str, Location]]:
        """Every live product and where it lies; not to be kept beyond the next change."""
        return self._locations.items()

    def next_uid(self) -> int:
        """For a segment that is made elsewhere."""
        return next(self._uids)

    def windows(self) -> tuple[Window, ...]:
        """What readers may see from now on: nothing of it is changed in place after this."""
        for uid in [uid for uid, slot in self._slots.items() if _is_dead(slot)]:
            del self._slots[uid]
        found = tuple(_window(slot) for slot in self._slots.values())
        for slot in self._slots.values():
            slot.shared = slot.shown = True
        return found

    # ------------------------------------------------------------------ one product

    def is_as_it_was(self, here: Location, blob: bytes, half: Half) -> bool:
        """Whether but for its typed columns nothing of a product changes: no row is written, and none dies."""
        segment = self._slots[here.uid].segment
        columns, ordinal = segment.columns, here.ordinal
        start, stop = columns.first[ordinal], columns.first[ordinal + 1]
        return (
            stop - start == len(half)
            and columns.payloads[ordinal] == blob
            and segment.vectors(start, stop).tobytes() == half.tobytes()
        )

    def essence(self, here: Location) -> bytes:
        """What stands for its record but its columns."""
        return self._slots[here.uid].typed.essence_of(here.ordinal)

    def shown(self, here: Location) -> tuple[Viewed, Half]:
        """What it shows, and its rows."""
        segment = self._slots[here.uid].segment
        first = segment.columns.first
        return segment.columns.shown(here.ordinal), segment.vectors(first[here.ordinal], first[here.ordinal + 1])

    def retype(self, change: Change, here: Location, offer: Offer, payload: Viewed, half: Half) -> None:
        """Other typed columns for a product whose rows stay."""
        slot = self._slots[here.uid]
        if slot.shown:
            slot.typed, slot.shown = slot.typed.copy(), False
        slot.typed.put(here.ordinal, change.offset, offer, change.essence)
        mark = product_mark(change.product_id, change.offset, payload, half)
        self._locations[change.product_id] = Location(here.uid, here.ordinal, change.offset, mark)
        self.digest = (self.digest - here.mark + mark) % (1 << DIGEST_BITS)

    def insert(self, change: Change, entry: Entry, blob: bytes, half: Half) -> None:
        """Write a product that is not there; `half`: its rows."""
        product_id, version, payload = change.product_id, change.offset, entry.payload
        growing = self._growing
        if growing is None or not growing.room(len(half)):
            growing = self._turn_over()
        ordinal = growing.append(product_id, version, payload, half, blob)
        # Behind what was published: in place, whoever reads the columns.
        self._slots[growing.uid].typed.put(ordinal, version, entry.offer, change.essence)
        mark = product_mark(product_id, version, payload, half)
        self._locations[product_id] = Location(growing.uid, ordinal, version, mark)
        self.digest = (self.digest + mark) % (1 << DIGEST_BITS)

    def forget(self, product_id: str, here: Location) -> None:
        """A product is no more; its rows stay, dead."""
        slot = self._slots[here.uid]
        if slot.shared:
            slot.alive, slot.shared = slot.alive.copy(), False
        first = slot.segment.columns.first
        start, stop = first[here.ordinal], first[here.ordinal + 1]
        slot.alive[start:stop] = False
        slot.dead += stop - start
        del self._locations[product_id]
        self.digest = (self.digest - here.mark) % (1 << DIGEST_BITS)

    def located(self, product_id: str) -> Location | None:
        """Where a live product lies, or None."""
        here = self._locations.get(product_id)
        if here is not None and self._moves.moved(here.uid):
            uid, ordinal = self._moves.follow(here.uid, here.ordinal)
            here = self._locations[product_id] = Location(uid, ordinal, here.version, here.mark)
        return here

    def _turn_over(self) -> GrowingSegment:
        """A new growing segment. The full one is sealed as it stands, or (nearly all dead) its live rows move into the new one."""
        old, uid = self._growing, next(self._uids)
        if old is None:
            self._growing = GrowingSegment(uid, self.dimension, self._segment_rows)
            self._slots[uid] = self._slot(self._growing, TypedColumns(self._segment_rows, self._words))
            return self._growing
        slot = self._slots[old.uid]
        window = _window(slot)
        typed = TypedColumns(self._segment_rows, self._words)
        if _CARRIED * (window.rows - slot.dead) <= self._segment_rows:
            ordinals = live_products(window)
            columns = gathered([(window, ordinals)], self._segment_rows)
            self._growing = GrowingSegment.begun(uid, self._segment_rows, columns, live_vectors(window))
            typed.write(0, slot.typed.take(ordinals))
            for ordinal, product_id in enumerate(columns.ids):
                here = self._locations[product_id]
                self._locations[product_id] = Location(uid, ordinal, here.version, here.mark)
            del self._slots[old.uid]
        else:
            self._growing = GrowingSegment(uid, self.dimension, self._segment_rows)
            slot.segment = sealed(old)
            self._bound()
        self._slots[uid] = self._slot(self._growing, typed)
        return self._growing

    @staticmethod
    def _slot(segment: GrowingSegment, typed: TypedColumns) -> _Slot:
        return _Slot(segment, np.ones(segment.capacity, dtype=np.bool_), typed)

    def _bound(self) -> None:
        """Where nobody merges, or not fast enough, the writer does before dead rows fill the memory."""
        slots = [slot for slot in self._slots.values() if slot.segment.kind == "sealed"]
        windows = [_window(slot) for slot in slots]
        live = {slot.segment.uid: slot.segment.columns.rows - slot.dead for slot in slots}
        rows = sum(window.rows for window in windows)
        if rows <= _MOST_ROWS * sum(live.values()) + _MOST_SEGMENTS * self._segment_rows:
            return
        dying = [window for window in windows if 2 * live[window.segment.uid] < window.rows]
        self.replace(compact(next(self._uids), dying))
        while self.settle(len(self._locations)):
            pass

    # ------------------------------------------------------------------ merging

    def replace(self, made: Compacted) -> bool:
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
            dead = len(alive) - int(np.count_nonzero(alive))
            self._slots[made.segment.uid] = _Slot(made.segment, alive, typed, dead=dead)
        return True

    def settle(self, products: int) -> bool:
        """Write down the new places of so many products that were merged. Returns whether there may be more."""
        ids = self._moves.next_ids(products)
        for product_id in ids:
            self.located(product_id)
        return bool(ids)

    # ------------------------------------------------------------------ restoring

    def restore(
        self,
        parts: Sequence[tuple[Segment, NDArray[np.bool_]]],
        saved: Sequence[bytes | None],
        between: Between = None,
    ) -> None:
        """Fill an empty table: segments with their live rows, one growing at most; of each the bytes of `encode_typed`, or None.

        `between` is called between pieces of some milliseconds.
        """
        for (segment, alive), data in zip(parts, saved, strict=True):
            dead = len(alive) - int(np.count_nonzero(alive))
            if isinstance(segment, GrowingSegment):
                self._growing = segment
                spare = np.ones(segment.capacity - len(alive), dtype=np.bool_)
                alive = np.concatenate([alive, spare])  # noqa: PLW2901 - rows still to come are alive
            typed = self._restored(segment, len(alive), data)
            slot = self._slots[segment.uid] = _Slot(segment, alive, typed, dead=dead)
            self._locate(segment, alive, slot.typed, between)
        self._uids = count(1 + max((segment.uid for segment, _ in parts), default=-1))

    def _restored(self, segment: Segment, capacity: int, data: bytes | None) -> TypedColumns:
        products = len(segment.columns.ids)
        if data is not None:
            return decode_typed(data, products, capacity, self._words)
        typed = TypedColumns(capacity, self._words)
        for ordinal, version in enumerate(segment.columns.versions):
            typed.put(ordinal, version, NO_OFFER)
        return typed

    def _locate(self, segment: Segment, alive: NDArray[np.bool_], typed: TypedColumns, between: Between) -> None:
        columns = segment.columns
        for ordinal, product_id in enumerate(in_pieces(columns.ids, between)):
            start, stop = columns.first[ordinal], columns.first[ordinal + 1]
            if alive[start]:
                version = int(typed.versions[ordinal])
                payload = columns.payload(ordinal)
                mark = product_mark(product_id, version, payload, segment.vectors(start, stop))
                self._locations[product_id] = Location(segment.uid, ordinal, version, mark)
                self.digest = (self.digest + mark) % (1 << DIGEST_BITS)


def _is_dead(slot: _Slot) -> bool:
    return slot.segment.kind == "sealed" and not slot.shared and slot.dead == slot.segment.columns.rows


def _window(slot: _Slot) -> Window:
    columns = slot.segment.columns
    columns.words.settle_many()  # before anybody looks
    return Window(slot.segment, columns.rows, len(columns.ids), slot.alive, slot.typed, columns.rows - slot.dead)
