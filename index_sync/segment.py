"""Segments: a growing one that takes writes, and sealed ones that never change.

Both hold their vectors as half-precision rows in memory of their own, which `index_sync.scan` reads as they lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from index_sync.approximate import Approximate
from index_sync.columns import Columns
from index_sync.entry import Half, Payload
from index_sync.pieces import Between
from index_sync.scan import Codes, codes_of
from index_sync.typed import TypedColumns
from processors.offers import NO_OFFER, Offer

Kind: TypeAlias = Literal["growing", "sealed"]
Rows: TypeAlias = NDArray[np.int64]
Ordinals: TypeAlias = NDArray[np.int64]


class Segment(Protocol):
    """Rows of one partition that readers may search at any time, up to the row count they were given."""

    @property
    def uid(self) -> int:
        """Unique in the shard, never used again."""
        ...

    @property
    def kind(self) -> Kind: ...

    @property
    def columns(self) -> Columns: ...

    @property
    def index(self) -> Approximate | None:
        """Beside the rows of a sealed one, where there is one."""
        ...

    @property
    def codes(self) -> Codes:
        """Where its rows lie, for `index_sync.scan.few`."""
        ...

    def gather(self, rows: Rows) -> Half:
        """These rows, float16 of shape (len(rows), dimension), a copy."""
        ...

    def vectors(self, start: int, stop: int) -> Half:
        """Rows `start` to `stop`, float16 of shape (rows, dimension), as they lie. Do not write into it."""
        ...


class GrowingSegment:
    """A preallocated half-precision buffer with one writer. Readers never see past the row count published to them."""

    kind: Kind = "growing"
    index: Approximate | None = None
    __slots__ = ("_buffer", "codes", "columns", "uid")

    def __init__(self, uid: int, dimension: int, capacity: int) -> None:
        self.uid = uid
        self.columns = Columns(capacity)
        self._keep(np.zeros((capacity, dimension), dtype=np.float16))

    @classmethod
    def begun(cls, uid: int, capacity: int, columns: Columns, vectors: Half) -> GrowingSegment:
        """One that holds some products already; `columns` have room for `capacity` rows."""
        made = cls(uid, vectors.shape[1], 0)
        made.columns = columns
        made._keep(np.zeros((capacity, vectors.shape[1]), dtype=np.float16))
        made._buffer[: len(vectors)] = vectors
        return made

    def _keep(self, buffer: Half) -> None:
        self._buffer = buffer
        self.codes = codes_of(buffer)

    @property
    def rows(self) -> int:
        """Rows written so far (the writer's view)."""
        return self.columns.rows

    @property
    def capacity(self) -> int:
        return len(self._buffer)

    def room(self, rows: int) -> bool:
        return self.columns.rows + rows <= len(self._buffer)

    def append(self, product_id: str, version: int, payload: Payload, vectors: Half, blob: bytes | None = None) -> int:
        """Write one product (the caller has asked for `room`; `blob`: its payload, encoded). Returns its ordinal."""
        start = self.columns.rows
        self._buffer[start : start + len(vectors)] = vectors
        return self.columns.append(product_id, version, payload, blob)

    def extend(
        self,
        ids: Sequence[str],
        versions: Sequence[int],
        payloads: Sequence[bytes],
        vectors: Half,
        between: Between = None,
    ) -> None:
        """Write many products with encoded payloads; `vectors` holds all their rows, one after the other."""
        start = self.columns.rows
        self._buffer[start : start + len(vectors)] = vectors
        self.columns.extend_encoded(ids, versions, payloads, between)

    def gather(self, rows: Rows) -> Half:
        taken: Half = self._buffer[rows]
        return taken

    def vectors(self, start: int, stop: int) -> Half:
        return self._buffer[start:stop]


class SealedSegment:
    """An immutable exact segment, as it grew or as a merge made it."""

    kind: Kind = "sealed"
    __slots__ = ("_rows", "codes", "columns", "index", "uid")

    def __init__(self, uid: int, columns: Columns, vectors: Half, index: Approximate | None = None) -> None:
        """Args: uid; columns, complete and never written again; vectors, float16 of shape (rows, dimension), kept.

        `index` may come later: a reader sees one or none, and finds the same products but for what its recall says.
        """
        self.uid = uid
        self.columns = columns
        self.index = index
        self._rows: Half = np.ascontiguousarray(vectors)
        self.codes: Codes = codes_of(self._rows)

    def gather(self, rows: Rows) -> Half:
        taken: Half = self._rows[rows]
        return taken

    def vectors(self, start: int, stop: int) -> Half:
        return self._rows[start:stop]


@dataclass(frozen=True, slots=True)
class Window:
    """What readers may see of a segment: its first `rows` rows (`products` products) less the dead ones."""

    segment: Segment
    rows: int
    products: int
    alive: NDArray[np.bool_]  # (at least rows,), copied before every change
    typed: TypedColumns | None = None
    """The products' versions and typed columns, copied before every change; None: versions as they came, and no columns."""
    live: int | None = None
    """How many of the rows are not dead; None: nobody counted."""

    def version(self, ordinal: int) -> int:
        """Of a product (its source offset)."""
        typed = self.typed
        return self.segment.columns.versions[ordinal] if typed is None else typed.versions.item(ordinal)

    def offer(self, ordinal: int) -> Offer:
        """The typed columns of a product."""
        return NO_OFFER if self.typed is None else self.typed.offer(ordinal)


def live_products(window: Window) -> Ordinals:
    """The ordinals of the live products of a window."""
    first = np.array(window.segment.columns.first[: window.products], dtype=np.int64)
    return np.flatnonzero(window.alive[first])


def sealed(segment: GrowingSegment) -> SealedSegment:
    """A growing segment that takes no more rows, as it stands, under its uid: no row is copied, dead ones stay until a merge."""
    return SealedSegment(segment.uid, segment.columns, segment.vectors(0, segment.rows))
