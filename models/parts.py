"""In how many items at once a network runs fastest, found by a short trial; whatever is found, the results are the same.

The maps of a whole batch fall out of a processor's caches, and are fetched from memory again by each layer; single items
leave a processor of many cores idle. Where the best lies, only the machine at hand can tell.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
Arrays = list[NDArray[np.float32]]

LARGEST = 32
"""No trial goes beyond it: its maps would take gigabytes."""
GAIN = 0.97
"""Twice as many at once must take at most this share of the time of an item, to be worth their memory."""


def parts_of(items: Sequence[T], part: int) -> list[Sequence[T]]:
    """Items cut into runs of `part`, then of the next smaller powers of two, in order; only sizes that were tried.

    >>> [len(one) for one in parts_of(range(11), 4)]
    [4, 4, 2, 1]
    """
    cut, start = [], 0
    while start < len(items):
        while part > len(items) - start:
            part //= 2
        cut.append(items[start : start + part])
        start += part
    return cut


def fastest_part(
    run: Callable[[Sequence[T]], Arrays],
    items: Callable[[int], Sequence[T]],
    *,
    largest: int = LARGEST,
    clock: Callable[[], float] = time.thread_time,
) -> int:
    """Double the number of items that run at once, as long as it pays and no result changes by a bit.

    An event must give the same bytes whatever it shares a batch with: a size whose results differ from those of items
    that run alone is not taken, nor is a larger one. So an unlucky measurement costs time, never a bit.

    Args:
        run: the network over some items at once.
        items: `items(n)` are the first n of a sequence of items that differ.
        largest: at most so many at once.
        clock: seconds. By default those that this thread computed: while a stack starts, its other processes take turns
            with it, and the wall's clock would measure them.

    Returns:
        1, 2, 4 …
    """
    first, second = items(2)
    alone = run([first])  # the first run of a size prepares it
    results, fewest = _timed(run, [second], clock)
    alone += results
    part = 1
    while part * 2 <= largest:
        twice = part * 2
        some = items(2 * twice)
        together = run(some[:twice])
        if any(one.tobytes() != other.tobytes() for one, other in zip(together, alone, strict=True)):
            return part
        more, seconds = _timed(run, some[twice:], clock)
        if seconds > GAIN * fewest:
            return part
        part, fewest, alone = twice, seconds, together + more
    return part


def _timed(run: Callable[[Sequence[T]], Arrays], items: Sequence[T], clock: Callable[[], float]) -> tuple[Arrays, float]:
    """Results, and seconds for each item."""
    started = clock()
    results = run(items)
    return results, (clock() - started) / len(items)
