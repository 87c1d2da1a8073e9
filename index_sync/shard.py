"""A shard: the searchable view of one partition of `catalog.items`.

One thread applies changes, any number of threads search. Everything a reader needs hangs on one immutable `State`,
swapped as one reference at the end of a batch: a reader sees a batch wholly or not at all, and the applied offset it
reports belongs to exactly the rows it searched.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index_sync.columns import encode_payload
from index_sync.compaction import compact
from index_sync.entry import (
    Change,
    Entry,
    Half,
    Product,
    RefusedChange,
    ShardHit,
    Wanted,
    to_half,
    to_halves,
)
from index_sync.pieces import Between
from index_sync.segment import Segment
from index_sync.state import State
from index_sync.table import Table
from processors.errors import Code, Poison
from processors.offers import Offer
from processors.values import Vector

_PRUNE_FROM = 1024


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
        self._segment_rows = segment_rows
        self._delete_horizon = delete_horizon
        self._table = Table(dimension, segment_rows)
        self._deletes: dict[str, int] = {}
        self._prune_at = _PRUNE_FROM
        self._writing = threading.Lock()
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
        here = self._table.located(change.product_id)
        known = here.version if here is not None else self._deletes.get(change.product_id, self._floor())
        again = self._untyped_to and here is not None and change.offset == here.version and change.entry is not None
        if change.offset <= known and not again:
            return False
        if change.columns is not None:
            self._recolumn(change, change.columns)
            return True
        if change.entry is None:
            if here is not None:
                self._table.forget(change.product_id, here)
            self._deletes[change.product_id] = change.offset
            return True
        half = self._checked(change.entry, half)
        blob = encode_payload(change.entry.payload)
        if here is not None:
            if not self._untyped_to and self._table.is_as_it_was(here, blob, half):
                self._table.retype(change, here, change.entry.offer, change.entry.payload, half)
                return True
            self._table.forget(change.product_id, here)
        self._deletes.pop(change.product_id, None)
        self._table.insert(change, change.entry, blob, half)
        return True

    def essence(self, product_id: str) -> bytes:
        """What stands for a live product's record but its columns, or b"". For the one thread that writes."""
        here = self._table.located(product_id)
        return b"" if here is None or self._untyped_to else self._table.essence(here)

    def _recolumn(self, change: Change, offer: Offer) -> None:
        """Other columns for a product whose record is otherwise as it was: nothing of it was decoded.

        Raises:
            Poison: the record that it is like was refused.
        """
        here = self._table.located(change.product_id)
        if here is None or self.essence(change.product_id) != change.essence:
            raise Poison("is, but for its columns, like the record before it, which was refused", field="views")
        self._table.retype(change, here, offer, *self._table.shown(here))

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
        if half is None or half.shape[1] != (self._table.dimension or half.shape[1]):
            half = to_half(entry.vectors, self._table.dimension or entry.vectors.shape[-1])
        if len(half) != len(entry.payload.views):
            raise Poison(f"{len(half)} vectors for {len(entry.payload.views)} views", field="views")
        if len(half) > self._segment_rows:
            raise Poison(f"{len(half)} views, a segment holds {self._segment_rows}", field="views")
        self._encoder, self._table.dimension = entry.encoder, half.shape[1]
        return half

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
        made = compact(self._table.next_uid(), chosen, pause)
        with self._writing:
            if not self._table.replace(made):
                return False
            self._publish(self._state.next_offset)
        while self._settle():
            pause()
        return True

    def _settle(self, products: int = 2048) -> bool:
        """Write down the new places of some products that were merged. Returns whether there may be more."""
        with self._writing:
            return self._table.settle(products)

    def _publish(self, next_offset: int, newest_ms: int = -1) -> None:
        next_offset = max(next_offset, self._state.next_offset)
        windows = self._table.windows()
        newest_ms = max(newest_ms, self._state.newest_ms)
        self._state = State(
            windows, next_offset, len(self._table), self._table.digest, newest_ms, self._encoder, self._table.dimension
        )
        if len(self._deletes) >= self._prune_at:
            floor = self._floor()
            self._deletes = {key: version for key, version in self._deletes.items() if version > floor}
            self._prune_at = max(_PRUNE_FROM, 2 * len(self._deletes))

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
            return {product_id: here.version for product_id, here in self._table.items()}

    def inventory(self) -> tuple[State, dict[str, tuple[int, int]]]:
        """What readers see, and of each live product its version and mark (`product_mark`). Waits for the batch in progress."""
        with self._writing:
            return self._state, {product_id: (here.version, here.mark) for product_id, here in self._table.items()}

    def cut(self) -> Cut:
        """The shard at a batch boundary. Waits for the batch in progress, then copies nothing but the deletes."""
        with self._writing:
            return Cut(
                self.partition,
                self.generation,
                self._encoder,
                self._table.dimension,
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
        between: Between = None,
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
            between: called between pieces of some milliseconds, in this thread.
        """
        with self._writing:
            self._encoder, self._table.dimension = encoder or self._encoder, dimension or self._table.dimension
            saved = typed or [None] * len(parts)
            if any(data is None for data in saved) or (parts and not worded):
                self._untyped_to = next_offset
            self._table.restore(parts, saved, between)
            self._deletes = dict(deletes)
            self._publish(next_offset, newest_ms)

    @property
    def untyped(self) -> bool:
        """Whether typed columns or words are still to come from the topic's records, which must be read from its beginning."""
        return bool(self._untyped_to)
