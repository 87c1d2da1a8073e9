"""Exact top-k over the windows of a shard, with filters applied after the distances.

A selector inside FAISS is not trusted (`bounded_queue=False` ignores it, HNSW loses recall under it): every mask is
applied here. Scores of what is returned are summed in double from half-precision vectors, so that an answer is a
function of the topic alone, whichever segments hold the rows.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index_sync.entry import Facets
from index_sync.segment import Rows, Segment, Window
from processors.values import Vector

_SCAN_BELOW = 0.08  # share of kept rows under which scanning just those is faster than over-fetching
_BLOCK = 4096
_EPSILON = 2e-5  # more than float32 sums of 512 products of unit vectors can be off (about 1e-6)


@dataclass(frozen=True, slots=True)
class Ask:
    """One search. `wanted` and `refused` are folded (`index_sync.entry.fold_wanted`)."""

    query: Vector
    k: int
    wanted: Facets
    refused: Facets
    exclude_products: AbstractSet[str]


@dataclass(frozen=True, slots=True)
class Candidate:
    """The best row of a product in one window."""

    score: float
    product_id: str
    window: Window
    ordinal: int
    row: int


def search(windows: tuple[Window, ...], ask: Ask) -> list[Candidate]:
    """The `k` best products of all windows, by score descending, then product id."""
    found = [candidate for window in windows for candidate in _search_window(window, ask)]
    found.sort(key=lambda candidate: (-candidate.score, candidate.product_id))
    return found[: ask.k]


def _search_window(window: Window, ask: Ask) -> list[Candidate]:
    mask = _kept(window, ask)
    kept = int(np.count_nonzero(mask))
    if kept == 0:
        return []
    need = ask.k + len(ask.exclude_products)
    rows = None
    if kept >= _SCAN_BELOW * window.rows:
        # As many rows as `need` products have on average, the share that the mask takes, and a little more.
        likely = need * (window.rows / window.products) * (window.rows / kept)
        rows = _by_distance(window, ask.query, need, mask, int(1.25 * likely) + 16)
    if rows is None:
        rows = _by_scan(window, ask.query, need, mask)
    return _best(window, rows, ask)


def _kept(window: Window, ask: Ask) -> NDArray[np.bool_]:
    mask = window.alive[: window.rows]
    columns = window.segment.columns
    if ask.wanted:
        mask = mask & columns.matching(window.rows, ask.wanted)
    if ask.refused:
        mask = mask & ~columns.showing(window.rows, ask.refused)
    return mask


def _by_distance(window: Window, query: Vector, need: int, mask: NDArray[np.bool_], fetch: int) -> Rows | None:
    """Over-fetch nearest rows until `need` kept products are certain; None where a scan is the better way."""
    slack = _slack(query)
    while True:
        fetch = min(fetch, window.rows)
        scores, ids = window.segment.nearest(query, fetch, window.rows)
        keep = mask[ids]
        if fetch == window.rows:
            return ids[keep]
        _, first = np.unique(window.segment.columns.owner[ids[keep]], return_index=True)
        if len(first) >= need:
            # Rows that were not fetched score at most scores[-1]: the need-th product must beat that clearly.
            last = scores[keep][np.sort(first)[need - 1]]
            if last > scores[-1] + slack:
                return ids[keep]
        fetch *= 4
        if fetch > window.rows // 2:
            return None


def _by_scan(window: Window, query: Vector, need: int, mask: NDArray[np.bool_]) -> Rows:
    """Score every kept row and keep those that can be among the `need` best products."""
    rows = np.flatnonzero(mask)
    rough = _rough(window.segment, rows, query)
    order = np.argsort(-rough, kind="stable")
    _, first = np.unique(window.segment.columns.owner[rows[order]], return_index=True)
    if len(first) <= need:
        return rows
    last = rough[order[np.sort(first)[need - 1]]]
    near: Rows = rows[rough >= last - _slack(query)]
    return near


def _rough(segment: Segment, rows: Rows, query: Vector) -> NDArray[np.float32]:
    blocks = [segment.gather(rows[i : i + _BLOCK]) @ query for i in range(0, len(rows), _BLOCK)]
    return np.concatenate(blocks)


def _best(window: Window, rows: Rows, ask: Ask) -> list[Candidate]:
    """Score rows exactly and keep the best row a product; of equal rows, the first."""
    columns = window.segment.columns
    query = ask.query.astype(np.float64)
    best: dict[int, tuple[float, int]] = {}
    for start in range(0, len(rows), _BLOCK):
        block = np.sort(rows[start : start + _BLOCK])
        # In double: BLAS sums in an order that depends on where a row stands in its block.
        scores = np.einsum("ij,j->i", window.segment.gather(block).astype(np.float64), query).astype(np.float32)
        for score, row, owner in zip(scores.tolist(), block.tolist(), columns.owner[block].tolist(), strict=True):
            seen = best.get(owner)
            if seen is None or (-score, row) < (-seen[0], seen[1]):
                best[owner] = (score, row)
    found = [
        Candidate(score, columns.ids[owner], window, owner, row)
        for owner, (score, row) in best.items()
        if columns.ids[owner] not in ask.exclude_products
    ]
    found.sort(key=lambda candidate: (-candidate.score, candidate.product_id))
    return found[: ask.k]


def _slack(query: Vector) -> float:
    return _EPSILON * max(1.0, float(np.linalg.norm(query)))
