"""Which of several garments a product is about."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from processors.label_text import bare
from processors.label_words import FOREIGN
from processors.values import CATEGORIES, Box, Garment
from processors.vocabulary import canonical, clean


def area(box: Box) -> float:
    """Square pixels."""
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


@lru_cache(maxsize=8192)
def kind_of(stated: str) -> str:
    """The detector's class that a shop's category names ("Dresses" → "dress"); "" when it names none ("Apparel").

    Of a path ("Women > Dresses > Maxi") the narrowest category that names one.
    """
    nodes = [clean(node) for node in reversed(stated.split(">"))]
    kinds = (FOREIGN["category"].get(bare(node), canonical("category", node)) for node in nodes)
    return next((kind for kind in kinds if kind in CATEGORIES), "")


def main_garment(garments: Sequence[Garment], stated: str = "") -> Garment | None:
    """The garment the product is named after: the largest of the `stated` category, else the largest; None of none."""
    named = [garment for garment in garments if stated and garment.category in (stated, kind_of(stated))]
    return max(named or garments, key=lambda garment: area(garment.box), default=None)


def is_of_kind(garment: Garment, stated: str) -> bool:
    """Whether what the shop says of a product may be said of this garment: not where it sells another kind of thing.

    A silk top of which only the shoes were found does not make the shoes silk. A stated category that names no class
    of the detector excludes nothing.
    """
    kind = kind_of(stated)
    return not kind or garment.category == kind
