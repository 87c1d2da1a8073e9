"""Segments: a growing one that takes writes, and sealed ones that never change.

`Segment` is the door for further sealed kinds (IVF, RaBitQ, HNSW chosen by measured recall): whatever `nearest` says
is scored again from `gather`, exactly, and a search that finds too little scans all kept rows (`index_sync.search`).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import faiss
import numpy as np
from numpy.typing import NDArray

from index_sync.columns import Columns
from index_sync.entry import Half, Payload
from processors.values import Vector

Kind: TypeAlias = Literal["growing", "sealed"]
Rows: TypeAlias = NDArray[np.int64]

_thread = threading.local()


def one_thread() -> None:
    """Keep FAISS on the calling thread: two builder threads raised query p99 from 0.6 to 12.8 ms (INDEX.md).

    OpenMP keeps this setting per calling thread, so every thread that searches has to say it.
    """
    if not getattr(_thread, "single", False):
        faiss.omp_set_num_threads(1)
        _thread.single = True


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

    def nearest(self, query: Vector, k: int, rows: int) -> tuple[Vector, Rows]:
        """The (about) `k` ≤ `rows` best of the first `rows` rows: float32 inner products, descending, and row ids."""
        ...

    def gather(self, rows: Rows) -> NDArray[np.float32]:
        """These rows, float32 of shape (len(rows), dimension), a copy."""
        ...

    def vectors(self, start: int, stop: int) -> Half:
        """Rows `start` to `stop`, float16 of shape (rows, dimension). Do not write into it."""
        ...


_BLOCK = 4096


class GrowingSegment:
    """A preallocated float32 buffer with one writer. Readers never see past the row count published to them."""

    kind: Kind = "growing"
    __slots__ = ("_buffer", "columns", "uid")

    def __init__(self, uid: int, dimension: int, capacity: int) -> None:
        self.uid = uid
        self.columns = Columns(capacity)
        self._buffer = np.zeros((capacity, dimension), dtype=np.float32)

    @property
    def rows(self) -> int:
        """Rows written so far (the writer's view)."""
        return self.columns.rows

    @property
    def capacity(self) -> int:
        return len(self._buffer)

    def room(self, rows: int) -> bool:
        return self.columns.rows + rows <= len(self._buffer)

    def append(self, product_id: str, version: int, payload: Payload, vectors: Half) -> int:
        """Write one product (the caller has asked for `room`). Returns its ordinal."""
        start = self.columns.rows
        self._buffer[start : start + len(vectors)] = vectors
        return self.columns.append(product_id, version, payload)

    def extend(self, ids: Sequence[str], versions: Sequence[int], payloads: Sequence[bytes], vectors: Half) -> None:
        """Write many products with encoded payloads; `vectors` holds all their rows, one after the other."""
        start = self.columns.rows
        self._buffer[start : start + len(vectors)] = vectors
        for product_id, version, blob in zip(ids, versions, payloads, strict=True):
            self.columns.append_encoded(product_id, version, blob)

    def nearest(self, query: Vector, k: int, rows: int) -> tuple[Vector, Rows]:
        one_thread()
        # Adding to a FAISS index while searching it crashes (9 of 12 runs); a plain buffer does not.
        scores, ids = faiss.knn(query[None], self._buffer[:rows], k, metric=faiss.METRIC_INNER_PRODUCT)
        return scores[0], ids[0]

    def gather(self, rows: Rows) -> NDArray[np.float32]:
        taken: NDArray[np.float32] = self._buffer[rows]
        return taken

    def vectors(self, start: int, stop: int) -> Half:
        return self._buffer[start:stop].astype(np.float16)


class SealedSegment:
    """An immutable exact segment: half-precision codes in FAISS, half the memory of the growing one."""

    kind: Kind = "sealed"
    __slots__ = ("_codes", "_index", "columns", "uid")

    def __init__(self, uid: int, columns: Columns, vectors: Half) -> None:
        """Args: uid; columns, complete and never written again; vectors, float16 of shape (rows, dimension)."""
        one_thread()
        rows, dimension = vectors.shape
        self.uid = uid
        self.columns = columns
        self._index = faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        self._index.train(np.zeros((1, dimension), dtype=np.float32))
        for start in range(0, rows, _BLOCK):
            self._index.add(vectors[start : start + _BLOCK].astype(np.float32))
        # The codes are the vectors: look at FAISS's own memory (kept alive by self._index) instead of a copy.
        raw = faiss.rev_swig_ptr(self._index.codes.data(), rows * dimension * 2)
        self._codes: Half = raw.view(np.float16).reshape(rows, dimension)

    def nearest(self, query: Vector, k: int, rows: int) -> tuple[Vector, Rows]:
        one_thread()
        scores, ids = self._index.search(query[None], min(k, rows))
        return scores[0], ids[0]

    def gather(self, rows: Rows) -> NDArray[np.float32]:
        return self._codes[rows].astype(np.float32)

    def vectors(self, start: int, stop: int) -> Half:
        return self._codes[start:stop]


@dataclass(frozen=True, slots=True)
class Window:
    """What readers may see of a segment: its first `rows` rows (`products` products) less the dead ones."""

    segment: Segment
    rows: int
    products: int
    alive: NDArray[np.bool_]  # (at least rows,), copied before every change


def live_rows(window: Window) -> tuple[list[str], list[int], list[bytes], Half]:
    """Ids, versions, encoded payloads and rows of the live products of a window, in order."""
    columns = window.segment.columns
    kept = [ordinal for ordinal in range(window.products) if window.alive[columns.first[ordinal]]]
    rows = np.flatnonzero(window.alive[: window.rows])
    return (
        [columns.ids[ordinal] for ordinal in kept],
        [columns.versions[ordinal] for ordinal in kept],
        [columns.payloads[ordinal] for ordinal in kept],
        window.segment.vectors(0, window.rows)[rows],
    )


def seal(uid: int, window: Window) -> SealedSegment:
    """The live rows of a window as an immutable segment."""
    ids, versions, payloads, vectors = live_rows(window)
    columns = Columns(len(vectors))
    for product_id, version, blob in zip(ids, versions, payloads, strict=True):
        columns.append_encoded(product_id, version, blob)
    return SealedSegment(uid, columns, vectors)
