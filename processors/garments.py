"""Which of several garments a product is about."""

from __future__ import annotations

from collections.abc import Sequence

from processors.values import Box, Garment


def area(box: Box) -> float:
    """Square pixels."""
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def main_garment(garments: Sequence[Garment], stated: str = "") -> Garment | None:
    """The garment the product is named after: the largest of the `stated` category, else the largest; None of none."""
    named = [garment for garment in garments if stated and garment.category == stated]
    return max(named or garments, key=lambda garment: area(garment.box), default=None)
