"""What is to be done with the segments of a shard: a pure plan over their statistics, apart from doing it.

After qdrant's optimizers and tantivy's merge policy: segments with dead rows are written anew, small ones are merged as long
as few of them fit into one, and large ones get an index.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

DEAD_SHARE = 0.25
"""A segment with this share of dead rows is written anew."""
FEW = 4
"""So many small segments are merged; fewer only where they fill a large one."""
FULL = 0.75


@dataclass(frozen=True, slots=True)
class SegmentStats:
    """One sealed segment. `settled`: it has an index, or was found to be better off without."""

    uid: int
    rows: int
    live: int
    settled: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """`merge_rows`: of a merged segment; `index_rows`: from which a segment gets an index, 0: none does."""

    merge_rows: int = 131_072
    index_rows: int = 32_768


@dataclass(frozen=True, slots=True)
class Merge:
    """Write the live rows of these segments into one. Of a single one it is a vacuum."""

    uids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Build:
    """Find the best index of a segment."""

    uid: int


def plan(segments: Sequence[SegmentStats], limits: Limits) -> Merge | Build | None:
    """The next thing to do; None where all is well. What it leads to is planned again: no plan is kept.

    Args:
        segments: the sealed ones of a shard.
        limits: see `Limits`. A shard of many rows has larger segments, so that there are about eight of them.
    """
    most = max(limits.merge_rows, sum(one.live for one in segments) // 6)
    dying = [one for one in segments if one.rows - one.live >= DEAD_SHARE * one.rows]
    if dying:
        return Merge(_fitting(dying, most) or (min(dying, key=_size).uid,))
    small = [one for one in segments if 2 * one.live <= most]
    chosen = _fitting(small, most)
    live = sum(one.live for one in small if one.uid in chosen)
    if len(chosen) >= FEW or (len(chosen) > 1 and live >= FULL * most):
        return Merge(chosen)
    if not limits.index_rows:
        return None
    bare = [one for one in segments if not one.settled and one.rows >= limits.index_rows]
    return Build(max(bare, key=_size).uid) if bare else None


def _size(one: SegmentStats) -> tuple[int, int]:
    return one.live, one.uid


def _fitting(segments: Sequence[SegmentStats], most: int) -> tuple[int, ...]:
    """The smallest of them, as many as fit."""
    chosen: list[int] = []
    for one in sorted(segments, key=_size):
        most -= one.live
        if most < 0:
            break
        chosen.append(one.uid)
    return tuple(chosen)
