"""The head of a composed query's second stage: the query's several vectors against a product's several ones, and facets that must all fit.

Two things that one inner product over an index cannot say (docs/models/composer.md has what each is worth):

- *Late interaction* (after ColBERT, arXiv 2004.12832, with views for tokens): the reference's whole photo is compared with the product's whole photo, its
  garment with the product's garment, and the query's vector with the best of all views. The first stage has the last alone.
- A facet adds log(ε + share) in place of the share itself, so that what fails one wish entirely does not make up for it with the others. What
  the words refuse counts as it did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log, sqrt

import numpy as np
from numpy.typing import NDArray

from models.ports import SecondLook, Several
from models.weights.hashes import fingerprint
from processors.chances import CATEGORY
from processors.composing import UNKNOWN

NAME = "late-interaction"
WHOLE = "whole"
VERSION = "1"


@dataclass(frozen=True, slots=True)
class Weights:
    """Of the parts; the first three as shares of what the embedding counts in the first stage, where it is 1.

    Args:
        best: the query's vector and the nearest view.
        whole: both whole photos.
        garment: both garments.
        soft: ε of the logarithm; the larger, the nearer to the plain sum.
    """

    best: float = 0.5
    whole: float = 0.5
    garment: float = 1.0
    soft: float = 0.35


class LateInteraction:
    """A `models.ports.Reranker`. It needs the reference's views; without them the first order stays."""

    def __init__(self, weights: Weights | None = None) -> None:
        self._weights = weights or Weights()

    @property
    def fingerprint(self) -> str:
        w = self._weights
        return fingerprint(NAME, VERSION, *map(repr, (w.best, w.whole, w.garment, w.soft)))

    def scores(self, query: SecondLook, products: Sequence[Several], /) -> NDArray[np.float32]:
        """(products,), on the scale of the first stage."""
        if query.reference is None or query.image is None:
            return np.array(query.first, np.float32)
        w, scale = self._weights, query.scale
        whole, garment = view_of(query.reference, WHOLE), garment_of(query.reference)
        found = np.empty(len(products), np.float64)
        for number, one in enumerate(products):
            alike = w.best * float((one.vectors @ query.image).max())
            alike += w.whole * float(view_of(one, WHOLE) @ whole) + w.garment * float(garment_of(one) @ garment)
            facets = sum(_facet(block, one.chances.get(facet), w.soft) for facet, block in query.blocks.items())
            found[number] = scale * alike + facets
        return found.astype(np.float32)


def view_of(product: Several, name: str) -> NDArray[np.float32]:
    """The vector of a view, or of the first one."""
    number = product.views.index(name) if name in product.views else 0
    vector: NDArray[np.float32] = product.vectors[number]
    return vector


def garment_of(product: Several) -> NDArray[np.float32]:
    """The vector of the garment that is sold: the first view of the category that it probably is; where none is, of the first garment, or the whole."""
    chances = product.chances.get(CATEGORY, {})
    likely = max(chances, key=lambda value: chances[value], default="")
    garments = [number for number, view in enumerate(product.views) if view != WHOLE]
    number = next((n for n in garments if product.categories[n] == likely), garments[0] if garments else 0)
    vector: NDArray[np.float32] = product.vectors[number]
    return vector


def _facet(block: Mapping[str, float], chances: Mapping[str, float] | None, soft: float) -> float:
    """What a facet adds: as in the first stage where something of it is refused, else by its logarithm."""
    known = chances or {UNKNOWN: 1.0}
    total = sum(block.get(value, 0.0) * sqrt(p) for value, p in known.items())
    best = max((weight for value, weight in block.items() if value != UNKNOWN), default=0.0)
    if best <= 0 or min(block.values()) < 0:
        return total
    # 0 where the wish is met in full, where it rises as the sum does.
    return best * (1 + soft) * (log(max(total, 0.0) / best + soft) - log(1 + soft))
