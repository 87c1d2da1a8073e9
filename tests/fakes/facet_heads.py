"""Facet heads small enough to be read by eye."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.facets import facet_heads
from models.facets.facet_heads import Card
from processors.facets import Head


def head(
    values: Sequence[str],
    weight: Sequence[Sequence[float]],
    *,
    thresholds: Sequence[float] | None = None,
    categories: Sequence[Sequence[str]] | None = None,
) -> Head:
    """A head without bias; stated from .5, of any garment, unless said otherwise."""
    return Head(
        tuple(values),
        np.array(weight, np.float32),
        np.zeros(len(values), np.float32),
        tuple(thresholds or [0.5] * len(values)),
        tuple(map(tuple, categories or [()] * len(values))),
    )


def file_of(maker: str, heads: dict[str, Head], made: str = "2026-01-01T00:00:00+00:00") -> bytes:
    """The bytes of a version."""
    return facet_heads.encode(maker, heads, Card(made, "shop", 10, 2, "by brand", 1.0, ()))
