"""The nearest products where something is added to the inner product of each: what facets and words are to it, exactly.

What is added costs a byte a product and value. An embedding adds at most its length, so only products to which about as much is
added as to the k-th best are looked at: some hundreds, whatever kind of segment holds them. Where that tells products hardly
apart (words alone, which weigh less than their vector), all embeddings are scanned as they lie.
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
"""Scores are told with six decimals, and products alike in those are in the order of their ids; float32 sums are off by less."""
_MARGIN = 1e-3
"""More than half precision makes of a unit vector's inner product."""
_APART = 12
"""A row that is picked from its segment costs as much as so many that are scanned as they lie."""

_SAMPLED = 64
"""One row of so many is looked at before the largest are picked out of all."""


class Part(Protocol):
    """A window of which rows are kept: all of them where `mask` is None."""

    @property
    def window(self) -> Window: ...

    @property
    def mask(self) -> NDArray[np.bool_] | None: ...


def sums_of(part: Part, blocks: Blocks) -> NDArray[np.float32]:
    """What facets add, (products,) of a window."""
    products = part.window.products
    return part.window.segment.columns.blocks.sums(slice(products), products, blocks)


def sums_at(parts: Sequence[Part], numbers: Rows, rows: Rows, sums: Sequence[Vector]) -> NDArray[np.float32]:
    """What facets add to these rows' products; `numbers` are those of their parts, `sums` the `sums_of` each part."""
    found = np.empty(len(rows), dtype=np.float32)
    for number in np.unique(numbers).tolist():
        here = numbers == number
        found[here] = sums[number][parts[number].window.segment.columns.owner[rows[here]]]
    return found


def candidates(parts: Sequence[Part], query: Vector, need: int, more: Sequence[Vector]) -> tuple[Vector, Rows, Rows]:
    """Rows that may be among those of the `need` best products: rough scores, numbers of their parts (ascending), and rows.

    Args:
        parts: windows with the rows that count.
        query: float32 of shape (dimension,), of any length.
        need: products.
        more: for each part what is added to the inner product of each of its products, float32 (products,).
    """
    if not parts:
        return np.empty(0, np.float32), np.empty(0, np.int64), np.empty(0, np.int64)
    rows = _Rows(parts, query, more)
    chosen = rows.promising(need)
    if chosen is None:
        return rows.best(rows.base + rows.every(), rows.kept(), need)
    scores = np.full(len(rows.base), -np.inf, dtype=np.float32)
    scores[chosen] = rows.base[chosen] + rows.inner(chosen)
    return rows.best(scores, chosen, need)


class _Rows:
    """The rows of all parts, one part after the other. `base`: what is added to each; -inf for those that are not kept."""

    __slots__ = ("_parts", "_query", "_starts", "base")

    def __init__(self, parts: Sequence[Part], query: Vector, more: Sequence[Vector]) -> None:
        self._parts, self._query = parts, query
        self._starts = np.cumsum([0, *(part.window.rows for part in parts)])
        self.base: Vector = np.concatenate([_added(part, added) for part, added in zip(parts, more, strict=True)])

    def kept(self) -> Rows:
        return np.flatnonzero(np.isfinite(self.base))

    def promising(self, need: int) -> Rows | None:
        """Those whose embeddings can make up for what is added to others; None where they are too many to be picked."""
        first = _largest(self.base, 8 * need + 64)
        first = first[np.isfinite(self.base[first])]
        reach = float(np.linalg.norm(self._query)) * (1 + _MARGIN) + _SLACK
        # With embeddings the first of them reach something more than this, but seldom much.
        likely = float(self.base[first[min(need, len(first)) - 1]]) - reach if len(first) else 0.0
        if not self._few(int(np.count_nonzero(self.base >= likely))):
            return None
        floor = self._least(self.base[first] + self.inner(first), first, need)
        found = self.kept() if floor is None else np.flatnonzero(self.base >= floor - reach)
        return found if self._few(len(found)) else None

    def best(self, scores: Vector, chosen: Rows, need: int) -> tuple[Vector, Rows, Rows]:
        """Of the chosen rows those that are among the best by `scores` (of all rows, -inf for others), or near enough to them."""
        several, floor = 4 * need + 16, None
        while floor is None and several < 4 * len(chosen):
            top = _largest(scores, several)
            floor = self._least(scores[top], top, need)
            several *= 8
        if floor is not None:
            chosen = np.flatnonzero(scores >= floor - 2 * _SLACK)
        numbers, rows = self._places(chosen)
        return scores[chosen], numbers, rows

    def inner(self, chosen: Rows) -> Vector:
        """The inner products of some rows, ascending or not."""
        order = np.argsort(chosen, kind="stable")
        numbers, rows = self._places(chosen[order])
        picked = [
            self._parts[number].window.segment.gather(rows[numbers == number]) for number in np.unique(numbers).tolist()
        ]
        found = np.empty(len(chosen), dtype=np.float32)
        found[order] = scan.every(picked, self._query)
        return found

    def every(self) -> Vector:
        """Those of all rows."""
        return scan.every([part.window.segment.vectors(0, part.window.rows) for part in self._parts], self._query)

    def _few(self, rows: int) -> bool:
        return rows * _APART <= len(self.base)

    def _places(self, chosen: Rows) -> tuple[Rows, Rows]:
        numbers = np.searchsorted(self._starts, chosen, side="right") - 1
        return numbers, chosen - self._starts[numbers]

    def _least(self, scores: Vector, chosen: Rows, need: int) -> float | None:
        """The score of the `need`-th best product of these; None where they are fewer."""
        seen: set[str] = set()
        numbers, rows = self._places(chosen)
        for place in np.argsort(-scores, kind="stable").tolist():
            columns = self._parts[numbers[place]].window.segment.columns
            # By id: a product whose key moved to another partition may lie in two shards.
            seen.add(columns.ids[columns.owner[rows[place]]])
            if len(seen) == need:
                return float(scores[place])
        return None


def _added(part: Part, more: Vector) -> Vector:
    base: Vector = more[part.window.segment.columns.owner[: part.window.rows]]
    if part.mask is not None:
        base[~part.mask] = -np.inf
    return base


def _largest(values: Vector, count: int) -> Rows:
    """Where the largest stand, descending; of many alike no matter which."""
    count = min(count, len(values))
    if count == 0:
        return np.empty(0, np.int64)
    # A sample says which are certainly too small: what facets add is the same for many, and to part those takes long.
    sample = np.sort(values[::_SAMPLED])
    rank = 4 * count // _SAMPLED + 4
    least = sample[-rank] if rank <= len(sample) else -np.inf
    found = np.flatnonzero(values >= least)
    if len(found) < count:
        found = np.arange(len(values))
    own = values[found]
    least = np.partition(own, len(own) - count)[len(own) - count]
    above = np.flatnonzero(own > least)
    chosen = np.concatenate([above, np.flatnonzero(own == least)[: count - len(above)]])
    largest: Rows = found[chosen[np.argsort(-own[chosen], kind="stable")]]
    return largest
