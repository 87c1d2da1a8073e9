"""Which pictures of articles show a product's photo: two encoders retrieve, local features decide ("Beyond Vision").

Each encoder names its two nearest; a picture's likeness counts in full at the first rank and by .8 at the second, and it gains .03 for
each further encoder that names it. Geometry then puts another one first where its features agree. What is said of a product rests on the last step
alone: a picture applies where the pixels prove that it is the photo (`processors.geometry`), and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from processors.geometry import Match

TOP = 2
RANK_WEIGHTS = (1.0, 0.8)
AGAIN = 0.03
ALIKE = (0.8, 0.35)
"""Likeness by either encoder (ours, the second) from which on a picture is compared: geometry costs 0.3 s of a core. None of 150 photos of
catalogues was further from its crop, its mirror image, or itself with text over it (.826 and .514 at least); of two that have nothing in common
nine in ten are, by the first.
"""


class Candidate(msgspec.Struct, frozen=True):
    """A picture that an encoder named. `likeness`: of each that did, by its place among the encoders; `score`: of all together."""

    picture: str
    score: float
    likeness: Mapping[int, float]


class Judged(msgspec.Struct, frozen=True):
    """A candidate and how it fits the photo. `swapped`: geometry put it before those that the encoders preferred."""

    candidate: Candidate
    match: Match
    swapped: bool = False


def nearest(
    names: Sequence[str], vectors: NDArray[np.float32], asked: NDArray[np.float32], top: int = TOP
) -> list[tuple[str, float]]:
    """The pictures that one encoder finds the most alike, the nearest first; equal ones by name.

    Args:
        names: of the pictures.
        vectors: of them, (n, d), length 1.
        asked: the photo's, (d,).
        top: how many.
    """
    if not names:
        return []
    scores = vectors @ asked
    order = sorted(range(len(names)), key=lambda n: (-float(scores[n]), names[n]))[:top]
    return [(names[n], float(scores[n])) for n in order]


def together(lists: Sequence[Sequence[tuple[str, float]]]) -> list[Candidate]:
    """What all encoders named, the best first: likeness by its rank, and a little for each further list that it is in."""
    likeness: dict[str, dict[int, float]] = {}
    best: dict[str, float] = {}
    for encoder, found in enumerate(lists):
        for (name, score), weight in zip(found[:TOP], RANK_WEIGHTS, strict=False):
            likeness.setdefault(name, {})[encoder] = round(score, 4)
            best[name] = max(score * weight, best.get(name, -1.0))
    scored = [Candidate(name, round(best[name] + AGAIN * (len(of) - 1), 4), of) for name, of in likeness.items()]
    return sorted(scored, key=lambda one: (-one.score, one.picture))


def judged(candidates: Sequence[Candidate], matches: Sequence[Match]) -> list[Judged]:
    """The candidates with their matches. Where features agree on one (confidence above .4, eight inliers), it comes first; else
    the encoders' order stays.
    """
    both = list(zip(candidates, matches, strict=True))
    fitting = sorted((n for n, (_, match) in enumerate(both) if match.fits), key=lambda n: -both[n][1].confidence)
    order = [*fitting, *(n for n in range(len(both)) if n not in fitting)]
    return [Judged(*both[n], swapped=n in fitting and place < n) for place, n in enumerate(order)]
