"""Two models on the same items: each figure with its interval, their difference with its own, and whether that is beyond noise.

Both sides are resampled together (a paired bootstrap): an item that is hard for both moves neither the difference nor its interval.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.yardsticks import detection
from models.yardsticks.intervals import ROUNDS, Interval, resampled
from processors.values import CATEGORIES

Counts: TypeAlias = Mapping[Any, tuple[float, float]]
"""Item → (what counts, of how many): the figure of some items is the sum of the first over the sum of the second."""
Better: TypeAlias = Literal["more", "less"]


class Figure(msgspec.Struct, frozen=True):
    """A value with the middle 95 % of a bootstrap."""

    value: float
    ci: Interval


class Compared(msgspec.Struct, frozen=True, rename={"other": "with"}):
    """One yardstick of two profiles. `difference`: of the profile less the one it is compared with.

    `beyond_noise`: the interval of the difference does not hold 0: of twenty equal ones one looks so. `once`: the parts that it
    depends on are the same in both, and it was measured once. `better`: whether more of it is better, or less.
    """

    name: str
    better: Better
    items: int
    of: str
    profile: Figure
    other: Figure
    difference: Figure
    beyond_noise: bool
    verdict: Literal["better", "worse", "level"]
    once: bool = False


def ratio(
    name: str, better: Better, of: str, mine: Counts, theirs: Counts, *, once: bool = False, rounds: int = ROUNDS
) -> Compared | None:
    """Compare sums over sums of the items that both have; None where there is nothing to be counted.

    Args:
        name: of the figure.
        better: see `Compared`.
        of: what the items are.
        mine: of the profile.
        theirs: of the one it is compared with.
        once: see `Compared`.
        rounds: of the bootstrap.
    """
    keys = [key for key in mine if key in theirs]
    one, two = (np.array([side[key] for key in keys], np.float64).reshape(-1, 2) for side in (mine, theirs))
    if not keys or not one[:, 1].sum() or not two[:, 1].sum():
        return None

    def figure(table: NDArray[np.float64]) -> Callable[[NDArray[np.float64]], float]:
        def of_sample(counts: NDArray[np.float64]) -> float:
            right, all_ = counts @ table
            return float(right / all_) if all_ else float("nan")

        return of_sample

    return compare(name, better, of, len(keys), figure(one), figure(two), once=once, rounds=rounds)


def compare(
    name: str,
    better: Better,
    of: str,
    items: int,
    mine: Callable[[NDArray[np.float64]], float],
    theirs: Callable[[NDArray[np.float64]], float],
    *,
    once: bool = False,
    rounds: int = ROUNDS,
) -> Compared:
    """Compare two figures of the same `items`; each takes how often each item counts, float64 (items,)."""
    all_ = np.ones(items)
    first, second = mine(all_), theirs(all_)
    kept: dict[bytes, tuple[float, float]] = {}

    def both(counts: NDArray[np.float64]) -> tuple[float, float]:
        key = counts.tobytes()  # the three intervals draw the same samples
        if key not in kept:
            kept[key] = (mine(counts), theirs(counts))
        return kept[key]

    profile = Figure(first, resampled(items, lambda counts: both(counts)[0], rounds=rounds))
    other = Figure(second, resampled(items, lambda counts: both(counts)[1], rounds=rounds))
    apart = Figure(first - second, resampled(items, lambda counts: both(counts)[0] - both(counts)[1], rounds=rounds))
    beyond = apart.ci[0] > 0 or apart.ci[1] < 0
    good = (apart.value > 0) == (better == "more")
    verdict: Literal["better", "worse", "level"] = "level" if not beyond else "better" if good else "worse"
    return Compared(name, better, items, of, profile, other, apart, beyond, verdict, once)


def precision(mine: detection.Judged, theirs: detection.Judged, *, once: bool = False) -> list[Compared]:
    """Mean average precision by COCO's rules, of two detectors on the same photos; empty where there is no box to find."""

    def of(judged: detection.Judged) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
        every = [detection.verdicts(judged, index) for index in range(len(CATEGORIES))]
        drawn = [one for one in every if one.wanted.sum()]
        return lambda counts: np.stack([detection.average_precision(one, counts) for one in drawn])

    if not any((~scene.ignore).any() for scene in mine.scenes):
        return []
    sides = (of(mine), of(theirs))
    kept: tuple[dict[bytes, tuple[float, float]], ...] = ({}, {})

    def figure(side: int, column: int) -> Callable[[NDArray[np.float64]], float]:
        def of_sample(counts: NDArray[np.float64]) -> float:
            key = counts.tobytes()
            if key not in kept[side]:
                scores = sides[side](counts)
                kept[side][key] = (float(np.nanmean(scores[:, 0])), float(np.nanmean(scores)))
            return kept[side][key][column]

        return of_sample

    names = ("detection: mAP@.5", "detection: mAP@.5:.95")
    return [
        compare(
            name,
            "more",
            "photos",
            len(mine.scenes),
            figure(0, column),
            figure(1, column),
            once=once,
            rounds=detection.ROUNDS,
        )
        for column, name in enumerate(names)
    ]


def nearest(
    vectors: NDArray[np.float32], digests: Sequence[str], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The `k` nearest others of every photo, nearest first, and their cosines. A copy of its bytes is nobody's neighbour.

    Args:
        vectors: (n, dimension) of length 1.
        digests: of the photos' bytes, (n,).
        k: at most n - 1.

    Returns:
        (n, k) indices, -1 where there are fewer; (n, k) cosines.
    """
    _, same = np.unique(np.array(digests), return_inverse=True)
    n = len(vectors)
    found = np.full((n, k), -1, np.int64)
    cosines = np.full((n, k), -1.0, np.float32)
    for start in range(0, n, _ROWS):
        scores = vectors[start : start + _ROWS] @ vectors.T
        scores[same[start : start + _ROWS, None] == same[None, :]] = -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        best = np.take_along_axis(scores, order, axis=1)
        there = np.isfinite(best)
        found[start : start + _ROWS, : order.shape[1]] = np.where(there, order, -1)
        cosines[start : start + _ROWS, : order.shape[1]] = np.where(there, best, -1.0)
    return found, cosines


_ROWS = 256
"""Photos whose scores with all others are held at once."""
