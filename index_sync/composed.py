"""The nearest products of a composed query: the sum over facets and the inner product of the embeddings, exactly.

The sums over facets cost a byte a product and value. An embedding adds at most its weight, so only products whose sum is within that of
the k-th best are looked at: usually some hundreds, whatever kind of segment holds them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from index_sync import scan
from index_sync.segment import Rows, Window
from processors.composing import Blocks
from processors.values import Vector

_SLACK = 1e-4
"""Scores are told with six decimals, and products alike in those are in the order of their ids."""
_MARGIN = 1e-3
"""More than half precision makes of a unit vector's inner product."""
_MANY = 4
"""Times the rows that were looked at first, from which on a scan of all embeddings costs less than looking at so many."""
_NEAR = 4
"""Times so many rows are told by the scan: what it did not tell is farther than the last of them."""


class Part(Protocol):
    """A window of which rows are kept: all of them where `mask` is None."""

    @property
    def window(self) -> Window: ...

    @property
    def mask(self) -> NDArray[np.bool_] | None: ...


def sums_of(part: Part, blocks: Blocks) -> NDArray[np.float32]:
    """(products,) of a window."""
    products = part.window.products
    return part.window.segment.columns.blocks.sums(slice(products), products, blocks)


def sums_at(parts: Sequence[Part], numbers: Rows, rows: Rows, blocks: Blocks) -> NDArray[np.float32]:
    """The sums of these rows' products; `numbers` are those of their parts."""
    found = np.empty(len(rows), dtype=np.float32)
    for number in np.unique(numbers).tolist():
        here = numbers == number
        columns = parts[number].window.segment.columns
        owners = columns.owner[rows[here]].astype(np.int64)
        found[here] = columns.blocks.sums(owners, len(owners), blocks)
    return found


def candidates(parts: Sequence[Part], query: Vector, need: int, blocks: Blocks) -> tuple[Vector, Rows, Rows]:
    """Rows that may be among those of the `need` best products: rough scores, numbers of their parts, and rows.

    Args:
        parts: windows with the rows that count.
        query: float32 of shape (dimension,), of any length.
        need: products.
        blocks: weights.
    """
    if not parts:
        return np.empty(0, np.float32), np.empty(0, np.int64), np.empty(0, np.int64)
    reach = float(np.linalg.norm(query)) * (1 + _MARGIN)
    rows = [np.arange(p.window.rows) if p.mask is None else np.flatnonzero(p.mask) for p in parts]
    sums = [
        sums_of(part, blocks)[part.window.segment.columns.owner[kept]] for part, kept in zip(parts, rows, strict=True)
    ]
    numbers = np.repeat(np.arange(len(parts)), [len(kept) for kept in rows])
    every, base = np.concatenate(rows), np.concatenate(sums)
    if not len(base):
        return base, numbers, every
    # By the sums alone the `need` best; with their embeddings they set what the others must reach.
    several = min(len(base), 8 * need + 64)
    chosen = np.argpartition(-base, several - 1)[:several]
    floor = _least(
        parts, numbers[chosen], every[chosen], base[chosen] + _inner(parts, numbers[chosen], every[chosen], query), need
    )
    if floor is not None:
        found = np.flatnonzero(base >= floor - reach - _SLACK)
        if len(found) > _MANY * several:
            found = _nearer(parts, query, need, _Kept(rows, base), chosen, floor)
        chosen = found
    elif len(chosen) < len(base):
        chosen = np.arange(len(base))
    return base[chosen] + _inner(parts, numbers[chosen], every[chosen], query), numbers[chosen], every[chosen]


class _Kept:
    """The kept rows of all parts, one part after the other, and their sums."""

    __slots__ = ("base", "rows", "starts")

    def __init__(self, rows: Sequence[Rows], base: Vector) -> None:
        self.rows = rows
        self.base = base
        self.starts = np.cumsum([0, *(len(kept) for kept in rows)])

    def places(self, numbers: Rows, rows: Rows) -> Rows:
        """Where these rows of these parts stand; those that are not kept are left out."""
        found = []
        for number in np.unique(numbers).tolist():
            asked, kept = rows[numbers == number], self.rows[number]
            at = np.minimum(np.searchsorted(kept, asked), max(len(kept) - 1, 0))
            found.append(self.starts[number] + at[kept[at] == asked] if len(kept) else at[:0])
        return np.concatenate(found) if found else np.empty(0, np.int64)


def _nearer(parts: Sequence[Part], query: Vector, need: int, kept: _Kept, first: Rows, floor: float) -> Rows:
    """Where the sums tell products hardly apart: the nearest rows by their embeddings, and those whose sum makes up for being farther."""
    codes = [part.window.segment.vectors(0, part.window.rows) for part in parts]
    total = sum(len(rows) for rows in codes)
    scores, numbers, rows = scan.nearest(codes, query, min(total, _NEAR * len(first)))
    unseen = (
        float(scores[-1]) + _MARGIN * float(np.linalg.norm(query))
        if len(scores) == min(total, _NEAR * len(first))
        else np.inf
    )
    near = np.union1d(kept.places(numbers, rows), first)
    at = np.searchsorted(kept.starts, near, side="right") - 1
    own = np.concatenate(kept.rows)[near]
    sums = kept.base[near] + _inner(parts, at, own, query)
    floor = _least(parts, at, own, sums, need) or floor
    return np.union1d(near[sums >= floor - _SLACK], np.flatnonzero(kept.base >= floor - unseen - _SLACK))


def _least(parts: Sequence[Part], numbers: Rows, rows: Rows, scores: Vector, need: int) -> float | None:
    """The score of the `need`-th best product of these; None where they are fewer."""
    best: dict[str, float] = {}
    for number, row, score in zip(numbers.tolist(), rows.tolist(), scores.tolist(), strict=True):
        columns = parts[number].window.segment.columns
        name = columns.ids[columns.owner[row]]
        best[name] = max(best.get(name, score), score)
    return sorted(best.values(), reverse=True)[need - 1] if len(best) >= need else None


def _inner(parts: Sequence[Part], numbers: Rows, rows: Rows, query: Vector) -> Vector:
    found = np.empty(len(rows), dtype=np.float32)
    for number in np.unique(numbers).tolist():
        here = np.flatnonzero(numbers == number)
        segment = parts[number].window.segment
        for start in range(0, len(here), 4096):
            block = here[start : start + 4096]
            found[block] = segment.gather(rows[block]).astype(np.float32) @ query
    return found
