"""Waiting that ends, but counts only the time in which this process could look."""

from __future__ import annotations

import time
from collections.abc import Callable

_LONGEST_LOOK_S = 5.0


class Patience:
    """So many seconds without progress. A machine that stood still, with all of us on it, does not use them up.

    Args:
        seconds: until `over`.
        clock: monotonic seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._used = 0.0
        self._last = clock()

    def progress(self) -> None:
        """Begin anew."""
        self._used, self._last = 0.0, self._clock()

    @property
    def over(self) -> bool:
        """Whether it is used up. Ask it at every look."""
        now = self._clock()
        self._used += min(now - self._last, _LONGEST_LOOK_S)
        self._last = now
        return self._used > self._seconds
