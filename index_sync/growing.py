"""An array of int32 that grows under its readers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class GrowingInts:
    """An append-only array of int32. Readers take `view()`; the count is published after the value is there."""

    __slots__ = ("_buffer", "_count")

    def __init__(self) -> None:
        self._buffer = np.empty(8, dtype=np.int32)
        self._count = 0

    @classmethod
    def of(cls, values: NDArray[np.int32]) -> GrowingInts:
        """These values, copied, to be added to."""
        made = cls()
        if len(values):
            made._buffer, made._count = values.copy(), len(values)
        return made

    def append(self, value: int) -> None:
        count = self._count
        if count == len(self._buffer):
            grown = np.empty(2 * count, dtype=np.int32)
            grown[:count] = self._buffer
            self._buffer = grown
        self._buffer[count] = value
        self._count = count + 1

    def extend(self, values: NDArray[np.int32]) -> None:
        """`append` of many."""
        count = self._count
        if count + len(values) > len(self._buffer):
            grown = np.empty(count + len(values), dtype=np.int32)
            grown[:count] = self._buffer[:count]
            self._buffer = grown
        self._buffer[count : count + len(values)] = values
        self._count = count + len(values)

    def __len__(self) -> int:
        return self._count

    def view(self) -> NDArray[np.int32]:
        # Count first: a buffer read later can only be larger.
        count = self._count
        return self._buffer[:count]
