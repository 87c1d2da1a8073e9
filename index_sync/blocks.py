"""What each product of a segment probably is, in columns: for a composed query's inner product over facets.

One column a value of a facet, one byte a product: the square root of its probability. One writer, readers without locks: a byte is
written before its product is published, and a column that comes later has nothing of earlier products.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from processors.chances import Packed
from processors.composing import UNKNOWN, Blocks

_FULL = 255.0
_ROOTS = tuple(round(_FULL * (thousandths / 1000) ** 0.5) for thousandths in range(1001))
_LEAST = 1e-4
"""A weight below it moves no product."""


class BlockColumns:
    """By ordinal. `put` is the writer's."""

    __slots__ = ("_capacity", "_columns")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._columns: dict[tuple[str, str], NDArray[np.uint8]] = {}

    def put(self, ordinal: int, chances: Packed) -> None:
        """Write one product, in no other order than that of the ordinals."""
        columns = self._columns
        for facet, values in chances.items():
            known = columns.get((facet, UNKNOWN))
            (self._column(facet, UNKNOWN) if known is None else known)[ordinal] = 1
            for value, thousandths in values.items():
                column = columns.get((facet, value))
                if column is None:
                    column = self._column(facet, value)
                column[ordinal] = _ROOTS[min(max(thousandths, 0), 1000)]

    def take(self, start: int, other: BlockColumns, ordinals: NDArray[np.int64]) -> None:
        """Write some products of another segment, that stand there under `ordinals`, from ordinal `start` on."""
        for (facet, value), column in list(other._columns.items()):
            taken = column[ordinals]
            if taken.any():
                self._column(facet, value)[start : start + len(taken)] = taken

    def _column(self, facet: str, value: str) -> NDArray[np.uint8]:
        found = self._columns.get((facet, value))
        if found is None:
            found = self._columns[facet, value] = np.zeros(self._capacity, dtype=np.uint8)
        return found

    def sums(self, ordinals: NDArray[np.int64] | slice, count: int, asked: Blocks) -> NDArray[np.float32]:
        """(count,) of so many products: Σ weight · √p. Summed in one order, so that it depends on no neighbour."""
        total = np.zeros(count, dtype=np.float32)
        for facet in sorted(asked):
            weights = asked[facet]
            neutral = np.float32(weights.get(UNKNOWN, 0.0))
            known = self._columns.get((facet, UNKNOWN))
            if known is None:
                total += neutral
                continue
            if neutral:
                total += neutral * (1 - known[ordinals].astype(np.float32))
            for value in sorted(weights):
                column = self._columns.get((facet, value))
                if value != UNKNOWN and column is not None and abs(weights[value]) >= _LEAST:
                    total += np.float32(weights[value] / _FULL) * column[ordinals]
        return total

    def meets(self, ordinal: int, wishes: Mapping[str, tuple[str, ...]], least: float = 0.5) -> dict[str, bool]:
        """Facet → whether the product probably is as wished; of a facet that it does not know, nothing."""
        found = {}
        for facet, values in wishes.items():
            known = self._columns.get((facet, UNKNOWN))
            if known is None or not known[ordinal]:
                continue
            columns = [self._columns.get((facet, value)) for value in dict.fromkeys(values)]
            chance = sum((float(column[ordinal]) / _FULL) ** 2 for column in columns if column is not None)
            found[facet] = chance >= least
        return found
