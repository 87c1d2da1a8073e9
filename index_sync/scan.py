"""Inner products of one query with half-precision rows, wherever they lie: FAISS's own scan over memory that is ours.

An index object of FAISS owns its rows, and adding while it is searched crashes. Its scanner only reads the memory that
it is given: the buffer of a growing segment up to the published row, many segments one after the other into one heap.
Half precision in all segments: half the memory traffic of float32 on every processor, and half the memory.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any, TypeAlias

import faiss
import numpy as np
from numpy.typing import NDArray

from index_sync.entry import Half
from processors.values import Vector

Rows: TypeAlias = NDArray[np.int64]
Codes: TypeAlias = Any
"""A pointer to half-precision rows."""
FEW = 128

_thread = threading.local()
_LOW = (1 << 32) - 1


def nearest(parts: Sequence[Half], query: Vector, k: int) -> tuple[Vector, Rows, Rows]:
    """The `k` best rows of all `parts` together.

    Args:
        parts: each float16 of shape (rows, dimension), contiguous, fewer than 2³² rows. Rows behind those given may be
            written meanwhile.
        query: float32 of shape (dimension,), contiguous.
        k: at most the number of all rows.

    Returns:
        Inner products (float32, descending), and for each the number of its part and its row there. The sums are
        FAISS's, in float32: they tell candidates, and their exact scores are for the caller.
    """
    scores = np.full(k, -np.inf, dtype=np.float32)
    found = np.full(k, -1, dtype=np.int64)
    heap, labels = faiss.swig_ptr(scores), faiss.swig_ptr(found)
    scanner = _scanner(len(query))
    scanner.set_query(faiss.swig_ptr(query))
    for number, rows in enumerate(parts):
        scanner.set_list(number, 0.0)
        scanner.scan_codes(len(rows), faiss.swig_ptr(rows.reshape(-1).view(np.uint8)), None, heap, labels, k)
    order = np.argsort(-scores, kind="stable")
    if len(order) and found[order[-1]] < 0:  # fewer than k rows compare with anything (a query that is not finite)
        order = order[found[order] >= 0]
    labels_found = found[order]
    return scores[order], labels_found >> 32, labels_found & _LOW


def few(parts: Sequence[tuple[Codes, int]], query: Vector, k: int) -> list[tuple[float, int, int]]:
    """`nearest` for few rows, as numbers: in a large shard each call of numpy finds its code out of the caches after the scan.

    Args:
        parts: where each one's rows lie (`codes_of`), and how many of them there are.
        query: as `nearest`.
        k: `FEW` at most.

    Returns:
        Inner product, number of the part and row there; descending.
    """
    scores, found, heap, labels = _heap()
    scores.fill(-math.inf)
    found.fill(-1)
    scanner = _scanner(len(query))
    scanner.set_query(faiss.swig_ptr(query))
    for number, (codes, rows) in enumerate(parts):
        scanner.set_list(number, 0.0)
        scanner.scan_codes(rows, codes, None, heap, labels, k)
    best = sorted([(-score, label) for score, label in zip(scores.tolist()[:k], found.tolist()[:k], strict=True)])
    return [(-score, label >> 32, label & _LOW) for score, label in best if label >= 0]


def codes_of(rows: Half) -> Codes:
    """What `few` reads; `rows` (contiguous) must be kept for as long."""
    return faiss.swig_ptr(rows.reshape(-1).view(np.uint8))


def every(parts: Sequence[Half], query: Vector) -> Vector:
    """The inner products of all rows of all `parts`, one part after the other; -inf where a row does not compare.

    Args: as `nearest`. For many rows a third cheaper than the best thousands of them: nothing is kept in order.
    """
    rows = sum(map(len, parts))
    result = faiss.RangeSearchResult(1)
    partial: Any = faiss.RangeSearchPartialResult(result)  # type: ignore[attr-defined]  # its stubs leave it out
    found = partial.new_result(0)
    scanner = _scanner(len(query))
    scanner.set_query(faiss.swig_ptr(query))
    starts = np.cumsum([0, *map(len, parts)])
    for number, part in enumerate(parts):
        scanner.set_list(number, 0.0)
        codes = faiss.swig_ptr(part.reshape(-1).view(np.uint8))
        scanner.scan_codes_range(len(part), codes, None, -math.inf, found)
    partial.finalize()
    count = int(faiss.rev_swig_ptr(result.lims, 2)[1])
    if count == 0:
        return np.full(rows, -np.inf, dtype=np.float32)
    scores: Vector = faiss.rev_swig_ptr(result.distances, count).copy()
    if count == rows:  # as they lie
        return scores
    labels = faiss.rev_swig_ptr(result.labels, count)
    whole = np.full(rows, -np.inf, dtype=np.float32)
    whole[starts[labels >> 32] + (labels & _LOW)] = scores
    return whole


def _heap() -> tuple[Vector, Rows, Any, Any]:
    """This thread's arrays of `FEW` scores and labels, and pointers to them."""
    known: tuple[Vector, Rows, Any, Any] | None = getattr(_thread, "heap", None)
    if known is None:
        scores, found = np.empty(FEW, dtype=np.float32), np.empty(FEW, dtype=np.int64)
        known = _thread.heap = scores, found, faiss.swig_ptr(scores), faiss.swig_ptr(found)
    return known


def _scanner(dimension: int) -> Any:
    """This thread's scanner. Kept: FAISS gives it away without a destructor, so that each new one would stay for ever."""
    known: dict[int, Any] | None = getattr(_thread, "scanners", None)
    if known is None:
        known = _thread.scanners = {}
    if dimension not in known:
        quantizer: Any = faiss.ScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_fp16)
        # With store_pairs the label of a row is (part, row) in the two halves of an int64.
        scanner = quantizer.select_InvertedListScanner(faiss.METRIC_INNER_PRODUCT, None, True, None)
        known[dimension] = scanner, quantizer
    return known[dimension][0]
