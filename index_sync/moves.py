"""Where products went when their segments were merged: looked up until every product's own place is written down.

A merge of a hundred thousand products is one swap for the readers; to write a new place for each at once would hold up the
writer for as long.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from index_sync.compaction import Compacted


@dataclass(frozen=True, slots=True)
class _Moved:
    uid: int
    ordinals: NDArray[np.int32]


@dataclass(slots=True)
class _Pending:
    """A merge whose products still have their old places: those from number `at` on."""

    ids: list[str]
    sources: tuple[int, ...]
    at: int = 0


class Moves:
    """The merges of one shard that are not written down yet; used under the writer's lock."""

    def __init__(self) -> None:
        self._moved: dict[int, _Moved] = {}
        self._pending: deque[_Pending] = deque()

    def add(self, made: Compacted) -> None:
        """Products of the sources lie in the new segment now."""
        start = 0
        for window, ordinals in made.sources:
            places = np.full(window.products, -1, dtype=np.int32)
            places[ordinals] = np.arange(start, start + len(ordinals), dtype=np.int32)
            self._moved[window.segment.uid] = _Moved(made.segment.uid, places)
            start += len(ordinals)
        uids = tuple(window.segment.uid for window, _ in made.sources)
        self._pending.append(_Pending(made.segment.columns.ids, uids))

    def moved(self, uid: int) -> bool:
        return uid in self._moved

    def follow(self, uid: int, ordinal: int) -> tuple[int, int]:
        """Where a live product lies that lay there."""
        while (moved := self._moved.get(uid)) is not None:
            uid, ordinal = moved.uid, int(moved.ordinals[ordinal])
        return uid, ordinal

    def next_ids(self, count: int) -> list[str]:
        """Products whose places are to be written down now; none when all are."""
        while self._pending:
            first = self._pending[0]
            ids = list(islice(first.ids, first.at, first.at + count))
            first.at += len(ids)
            if ids:
                return ids
            self._pending.popleft()
            for uid in first.sources:
                del self._moved[uid]
        return []
