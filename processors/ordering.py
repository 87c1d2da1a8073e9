"""In which order hits come, one hit a group, and page by page: the same in every shard and where their answers are merged.

A product's place depends on the product alone (its score, its price or day, its id), never on what else was found. So the best
`k` of all shards are among the best `k` of each, and pages neither overlap nor leave anything out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

SORTS = ("price", "-price", "launched", "-launched")
DIGITS = 6
"""Scores are told, and compared, to so many decimals."""

T = TypeVar("T")
Key: TypeAlias = tuple[float, float, float, str]


@dataclass(frozen=True, slots=True)
class Order:
    """By score; or, with `sort`, by a column within bands of scores.

    Args:
        sort: one of `SORTS` ("-": the largest first), or "".
        band: width of a band. Scores from 1 down to 1 - band are the first one, whatever was found.
    """

    sort: str = ""
    band: float = 0.05

    @property
    def column(self) -> str:
        """The column that is sorted by, or ""."""
        return self.sort.removeprefix("-")

    def band_of(self, score: float) -> int:
        """The number of a score's band, 0 the best."""
        return max(0, math.floor((1.0 - score) / self.band + 1e-9))

    def key(self, score: float, product_id: str, value: float | None = None) -> Key:
        """What hits are sorted by, ascending. A product that does not know the column (`value` None) comes last in its band."""
        score = round(score, DIGITS)
        if not self.sort:
            return (0.0, 0.0, -score, product_id)
        told = math.inf if value is None else -value if self.sort.startswith("-") else value
        return (float(self.band_of(score)), told, -score, product_id)


BY_SCORE = Order()


def best(found: Iterable[T], key: Callable[[T], Key], group: Callable[[T], str], k: int) -> list[T]:
    """The first `k` in order, one a group; what has no group ("") stands for itself; of one product the best.

    Merging merged lists gives the same, as long as every step keeps at least `k`.
    """
    taken: set[tuple[str, str]] = set()
    chosen: list[T] = []
    for place, one in sorted(((key(one), one) for one in found), key=lambda pair: pair[0]):
        if len(chosen) >= k:
            break
        product, name = place[-1], group(one)
        mark = ("group", name) if name else ("product", product)
        if mark not in taken:
            taken.add(mark)
            chosen.append(one)
    return chosen
