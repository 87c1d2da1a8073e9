"""Which type of index a segment gets: the fastest of those that find enough, measured on the segment's own vectors.

Tables of which type suits which size are true of the vectors that they were made with. On vectors without structure every
approximate type needs more time than a scan; then the segment stays flat.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from index_sync import scan
from index_sync.approximate import KINDS, Approximate, ApproximateKind, Level, Measured, look
from index_sync.bank import one_thread
from index_sync.entry import Half
from processors.values import Vector

LEVELS = (32, 256)
"""Rows that a search may need of a segment: ten products of up to three views; and pages, or filters that keep a sixth."""
FEWEST = 1024
"""Rows under which nothing is tried: k-means needs some dozens a cell."""
_QUERIES = 48
_EFFORTS = (2, 4, 8, 16, 32, 64, 128, 256)
_DEPTHS = {"ivf-sq8": (2.0,), "hnsw-sq8": (2.0,), "ivf-rabitq": (8.0, 16.0, 32.0, 64.0)}
"""Candidates for each row that is wanted: codes of one bit a dimension order rows roughly."""
_WORTH = 0.7
"""An index that takes more than this share of a scan's time is not worth its memory."""
_HNSW_ABOVE = 1 / 8
"""HNSW takes a hundred times as long to build: it is tried where the others take more than this share of a scan."""
_CHUNK = 16_384
_FAISS: Any = faiss  # its stubs know less than it has
_TRAIN_PER_CELL = 40


@dataclass(frozen=True, slots=True)
class Budget:
    """What is asked of an index: `recall`, the least share of the nearest rows; 1: only scans are exact. `kinds`: allowed ones.

    `hnsw_seconds`: processor time that building a graph may take.
    """

    recall: float
    kinds: tuple[ApproximateKind, ...] = KINDS
    hnsw_seconds: float = 180.0


@dataclass(frozen=True, slots=True)
class _Questions:
    """Queries, float32 (queries, dimension), and of each the nearest rows by an exact search, (queries, max(LEVELS))."""

    vectors: NDArray[np.float32]
    nearest: NDArray[np.int64]
    seconds: float  # of an exact scan, a query


def choose(vectors: Half, budget: Budget, clock: Callable[[], float] = time.process_time) -> Approximate | None:
    """Build what is allowed, and return the fastest that meets the budget; None where a scan is the better index.

    Args:
        vectors: float16 of shape (rows, dimension), of norm 1; may be memory-mapped.
        budget: what is asked.
        clock: processor time in seconds.
    """
    if budget.recall >= 1 or len(vectors) < FEWEST:
        return None
    one_thread()
    questions = _questions(vectors, clock)
    best: Approximate | None = None
    for kind in (kind for kind in KINDS if kind in budget.kinds):
        least = _WORTH * questions.seconds if best is None else best.measured.seconds
        if kind == "hnsw-sq8" and best is not None and best.measured.seconds < _HNSW_ABOVE * questions.seconds:
            continue
        index = _built(kind, vectors, budget, clock)
        found = None if index is None else _measured(index, kind, vectors, questions, budget.recall, clock)
        if found is not None and found.seconds < least:
            best = Approximate(index, found)
    return best


def _questions(vectors: Half, clock: Callable[[], float]) -> _Questions:
    """Rows of the segment, and midpoints of two: those lie where a composed query does, between the segment's own."""
    random = np.random.default_rng(0)
    picked = vectors[np.sort(random.choice(len(vectors), 3 * _QUERIES, replace=False))].astype(np.float32)
    random.shuffle(picked)
    asked = np.concatenate([picked[:_QUERIES], picked[_QUERIES : 2 * _QUERIES] + picked[2 * _QUERIES :]])
    asked /= np.maximum(np.linalg.norm(asked, axis=1, keepdims=True), 1e-6)
    k = min(LEVELS[-1], len(vectors))
    nearest = np.empty((len(asked), k), dtype=np.int64)
    started = clock()
    for number, query in enumerate(asked):
        nearest[number] = scan.nearest([vectors], np.ascontiguousarray(query), k)[2]
    return _Questions(asked, nearest, (clock() - started) / len(asked))


def _built(kind: ApproximateKind, vectors: Half, budget: Budget, clock: Callable[[], float]) -> Any:
    rows, dimension = vectors.shape
    if kind == "hnsw-sq8":
        index: Any = _FAISS.IndexHNSWSQ(dimension, faiss.ScalarQuantizer.QT_8bit, 16, faiss.METRIC_L2)
        index.hnsw.efConstruction = 100
        index.train(_some(vectors, 2 * _CHUNK))
    else:
        cells = int(min(2 * rows**0.5, rows / 39))
        quantizer = faiss.IndexFlatL2(dimension)
        if kind == "ivf-sq8":
            sq8 = faiss.ScalarQuantizer.QT_8bit
            index = faiss.IndexIVFScalarQuantizer(quantizer, dimension, cells, sq8, faiss.METRIC_L2, True)
        else:
            # The variant that scans one row at a time took ten times as long, with more than one bit a hundred times.
            index = faiss.IndexIVFRaBitQFastScan(quantizer, dimension, cells, faiss.METRIC_L2)
        index.cp.seed = 1
        index.train(_some(vectors, _TRAIN_PER_CELL * cells))
    started = clock()
    for start in range(0, rows, _CHUNK):
        index.add(vectors[start : start + _CHUNK].astype(np.float32))
        done = min(rows, start + _CHUNK)
        if kind == "hnsw-sq8" and (clock() - started) * rows / done > budget.hnsw_seconds:
            return None
    return index


def _some(vectors: Half, count: int) -> NDArray[np.float32]:
    if count >= len(vectors):
        return vectors.astype(np.float32)
    picked = np.sort(np.random.default_rng(1).choice(len(vectors), count, replace=False))
    return vectors[picked].astype(np.float32)


def _measured(
    index: Any,
    kind: ApproximateKind,
    vectors: Half,
    questions: _Questions,
    wanted: float,
    clock: Callable[[], float],
) -> Measured | None:
    """The least effort for each level that meets the budget; None where the first level has none that is worth it."""
    levels: list[Level] = []
    first: tuple[float, float] | None = None
    for rows in (rows for rows in LEVELS if rows <= len(vectors)):
        for level in _tried(index, kind, rows):
            recall, ten, seconds = _of_level(index, kind, level, vectors, questions, clock)
            if seconds > _WORTH * questions.seconds:
                continue
            if recall >= wanted and ten >= wanted:
                levels.append(Level(rows, level.effort, level.fetch, recall))
                first = first or (ten, seconds)
                break
        else:
            break
    if first is None:
        return None
    size, dimension = vectors.shape
    return Measured(kind, size, dimension, first[0], first[1], questions.seconds, tuple(levels), faiss.__version__)


def _tried(index: Any, kind: ApproximateKind, rows: int) -> Sequence[Level]:
    """Levels to be tried, those that cost least first."""
    efforts = [effort for effort in _EFFORTS if effort <= getattr(index, "nlist", _EFFORTS[-1])]
    found = [Level(rows, effort, int(rows * depth), 0.0) for effort in efforts for depth in _DEPTHS[kind]]
    return sorted(found, key=lambda level: (level.effort * level.fetch, level.effort))


def _of_level(
    index: Any,
    kind: ApproximateKind,
    level: Level,
    vectors: Half,
    questions: _Questions,
    clock: Callable[[], float],
) -> tuple[float, float, float]:
    """(recall of the level's rows, recall of the nearest ten, seconds a query with re-ranking).

    Of each, that of the worse half of the queries: rows of the segment, or midpoints.
    """
    found = []
    started = clock()
    for query in questions.vectors:
        rows = look(index, kind, query, level)
        scores: Vector = vectors[rows].astype(np.float32) @ query
        found.append(rows[np.argsort(-scores, kind="stable")[: level.rows]])
    seconds = (clock() - started) / len(found)
    return _share(found, questions.nearest, level.rows), _share(found, questions.nearest, 10), seconds


def _share(found: Sequence[NDArray[np.int64]], nearest: NDArray[np.int64], k: int) -> float:
    shares = [len(np.intersect1d(one[:k], exact[:k])) / k for one, exact in zip(found, nearest, strict=True)]
    half = len(shares) // 2
    return float(min(np.mean(shares[:half]), np.mean(shares[half:])))
