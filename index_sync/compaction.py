"""The live rows of sealed segments as one new segment, beside writers and readers: nothing of the old ones is changed.

Columns are put together by arrays: to decode each payload again took twenty times as long, under the interpreter's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index_sync.columns import Columns, Part
from index_sync.entry import Half
from index_sync.segment import Ordinals, SealedSegment, Window, live_products

_BLOCK = 8192


def _no_pause() -> None:
    return None


@dataclass(frozen=True, slots=True)
class Compacted:
    """A new segment, and what it is made of: windows, and of each the ordinals of the products that it took, in order."""

    segment: SealedSegment
    sources: tuple[tuple[Window, Ordinals], ...]


def compact(uid: int, windows: Sequence[Window], pause: Callable[[], None] = _no_pause) -> Compacted:
    """The live products of sealed windows of one state.

    Args:
        uid: of the new segment.
        windows: at least one.
        pause: called every few milliseconds: other threads may want the interpreter.
    """
    sources = tuple((window, live_products(window)) for window in windows)
    columns = gathered(sources, pause=pause)
    dimension = windows[0].segment.vectors(0, 0).shape[1]
    vectors = np.empty((columns.rows, dimension), dtype=np.float16)
    start = 0
    for window in windows:
        rows = np.flatnonzero(window.alive[: window.rows])
        for at in range(0, len(rows), _BLOCK):
            block = rows[at : at + _BLOCK]
            vectors[start : start + len(block)] = window.segment.gather(block)
            start += len(block)
            pause()
    return Compacted(SealedSegment(uid, columns, vectors), sources)


def gathered(
    sources: Sequence[tuple[Window, Ordinals]], capacity: int = 0, pause: Callable[[], None] = _no_pause
) -> Columns:
    """The columns of some products, with room for `capacity` rows, or just for theirs."""
    parts = [Part(window.segment.columns, ordinals, _versions(window, ordinals)) for window, ordinals in sources]
    return Columns.gathered(parts, capacity, pause)


def live_vectors(window: Window) -> Half:
    """The live rows of a window, a copy."""
    return window.segment.gather(np.flatnonzero(window.alive[: window.rows]))


def _versions(window: Window, ordinals: Ordinals) -> NDArray[np.int64]:
    if window.typed is not None:
        return window.typed.versions[ordinals]
    return np.array(window.segment.columns.versions, dtype=np.int64)[ordinals]
