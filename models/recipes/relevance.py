"""Recipe: the curves of relevance → `models/starter/relevance.json` (`weft eval relevance --fit FILE`).

A logistic curve a kind of query over the best scores of queries that something fits and of queries that nothing fits, both sides of equal
weight. Where the two are far apart the curve's slope has no end: it is held at `STEEPEST`, and the middle lies between them.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.relevance import FittedCurve, RelevanceFile
from models.yardsticks.relevance import Judgement
from processors.errors import Poison

STEEPEST = 60.0
BLIND = 0.4
"""Factor where no garment is seen and no word known: below one half at any score."""
UNSURE_OF_GOOD = 0.02
"""Of good queries, as many at most may fall below one half: the middle is moved down to there."""
_LEAST = 20
_ROUNDS = 500


def fit(judged: Sequence[Judgement]) -> dict[str, FittedCurve]:
    """The curve of each kind. A score that was not better than noise is no reason to trust what was seen, so both count.

    Raises:
        Poison: a kind has too few queries of one side.
    """
    curves = {}
    for kind in dict.fromkeys(one.kind for one in judged):
        good = np.array([one.score for one in judged if one.kind == kind and one.fits])
        none = np.array([one.score for one in judged if one.kind == kind and not one.fits])
        if min(len(good), len(none)) < _LEAST:
            raise Poison(
                f"{kind}: {len(good)} queries that something fits and {len(none)} others are too few to fit a curve"
            )
        slope, middle = _logistic(good, none)
        middle = min(middle, float(np.quantile(good, UNSURE_OF_GOOD)))
        curves[kind] = FittedCurve(round(slope, 2), round(middle, 4), BLIND)
    return curves


def write(curves: dict[str, FittedCurve], encoder: str, recipe: str) -> bytes:
    """The file's bytes."""
    return msgspec.json.format(msgspec.json.encode(RelevanceFile(encoder, curves, recipe)), indent=2) + b"\n"


def _logistic(good: NDArray[np.float64], none: NDArray[np.float64]) -> tuple[float, float]:
    """(slope, middle) by gradient steps on standardised scores, each side of weight one half."""
    scores = np.concatenate([good, none])
    wanted = np.concatenate([np.ones(len(good)), np.zeros(len(none))])
    weights = np.concatenate([np.full(len(good), 0.5 / len(good)), np.full(len(none), 0.5 / len(none))])
    mean, spread = float(scores.mean()), max(float(scores.std()), 1e-6)
    at = (scores - mean) / spread
    slope, offset = 1.0, 0.0
    for _ in range(_ROUNDS):
        chance = 1 / (1 + np.exp(-(slope * at + offset)))
        off = weights * (chance - wanted)
        slope, offset = slope - 4 * float(off @ at), offset - 4 * float(off.sum())
    slope = max(slope, 1e-3)
    return min(slope / spread, STEEPEST), mean - offset / slope * spread
