"""Confidence intervals by the bootstrap (Efron 1979): what the figure would have been on other samples of this size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Interval: TypeAlias = tuple[float, float]
ROUNDS = 1000


def of_mean(values: Sequence[float] | NDArray[np.float64], *, rounds: int = ROUNDS, seed: int = 0) -> Interval:
    """The middle 95 % of the means of resampled `values`; (nan, nan) of none."""
    array = np.asarray(values, np.float64)
    return resampled(len(array), lambda counts: float(array @ counts / len(array)), rounds=rounds, seed=seed)


def resampled(
    items: int, figure: Callable[[NDArray[np.float64]], float], *, rounds: int = ROUNDS, seed: int = 0
) -> Interval:
    """The middle 95 % of `figure` over resamples.

    Args:
        items: how many independent items there are (pictures, products).
        figure: takes how often each item was drawn, float64 (items,), and gives the figure; NaN rounds are left out.
        rounds: resamples.
        seed: the same seed gives the same interval.
    """
    if not items:
        return (float("nan"), float("nan"))
    rng = np.random.default_rng(seed)
    drawn = (np.bincount(rng.integers(items, size=items), minlength=items).astype(np.float64) for _ in range(rounds))
    found = np.array([figure(counts) for counts in drawn])
    found = found[~np.isnan(found)]
    if not len(found):
        return (float("nan"), float("nan"))
    low, high = np.quantile(found, (0.025, 0.975))
    return (float(low), float(high))
