"""How what another profile says of a product agrees with what was published of it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from processors.evidence import iou
from processors.facets import COLOUR
from processors.values import Garment, Vector
from streams.contract.records import Caption, Item
from streams.roles.caption.neighbours import vector_of
from streams.roles.items import WHOLE
from streams.roles.sold import sold_garment

SAME_BOX = 0.5
"""IoU from which two boxes are of one garment."""
TOP = 10
LEAST_KNOWN = 100
"""Products that neighbours must be looked for among: of fewer, any two answers are alike."""
MOST_KNOWN = 2000
"""Products whose vectors are kept, of both profiles."""

Score = tuple[float, float]
"""What agrees, of how many."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of one product. `agreed`: by what was compared; `facts`, `refused`: statements, and drafts not used, live and in shadow."""

    agreed: dict[str, Score] = field(default_factory=dict)
    facts: tuple[int, int] = (0, 0)
    refused: tuple[int, int] = (0, 0)


def agreement(live: Item, other: Item, published: Caption, written: Caption, near: Score | None) -> Agreement:
    """Compare. `near`: neighbours that both found, of how many; None where there are too few products."""
    one, two = sold_garment(live), sold_garment(other)
    same = (one.category if one else "") == (two.category if two else "")
    scores: dict[str, Score] = {"category": (float(same), 1.0), "boxes": boxes(live.garments, other.garments)}
    if near is not None:
        scores["neighbours"] = near
    said, also = facts(published), facts(written)
    both = said.keys() & also.keys()
    scores["facts"] = (float(sum(said[facet] == also[facet] for facet in both)), float(len(both)))
    return Agreement(scores, (len(said), len(also)), (_refused(published), _refused(written)))


def boxes(live: Sequence[Garment], other: Sequence[Garment]) -> Score:
    """Garments that both found in one place, of all that either found; what a box is called is compared elsewhere."""
    free, matched = list(other), 0
    for garment in live:
        best = max(
            (one for one in free if one.photo == garment.photo),
            key=lambda one: iou(one.box, garment.box),
            default=None,
        )
        if best is not None and iou(best.box, garment.box) >= SAME_BOX:
            free.remove(best)
            matched += 1
    return float(matched), float(len(live) + len(other) - matched)


def facts(caption: Caption) -> dict[str, str]:
    """Facet → value that a caption states, of the first garment that it states one of."""
    garments = {garment.id: garment for garment in caption.evidence.garments}
    first = next((span.garment for span in caption.spans if span.garment in garments), "")
    return {
        span.facet: value
        for span in caption.spans
        if span.garment == first and (value := _value(garments[first], span.facet))
    }


def _value(garment: Garment, facet: str) -> str:
    if facet == "category":
        return garment.category
    stated = garment.attributes.get(facet)
    if stated is not None:
        return stated.value
    return garment.colours[0].name if facet == COLOUR and garment.colours else ""


def _refused(caption: Caption) -> int:
    return 0 if caption.provenance is None else len(caption.provenance.refused)


class Neighbours:
    """The latest products of the share, with the vectors of both profiles: each is compared within its own space.

    Args:
        most: products; of two vectors of 384 floats each, 3 KB a product.
        least: of fewer nothing is said.
    """

    def __init__(self, most: int = MOST_KNOWN, least: int = LEAST_KNOWN) -> None:
        self._most, self._least = most, least
        self._known: OrderedDict[str, tuple[Vector, Vector]] = OrderedDict()
        self._makers = ("", "")

    def forget(self, product: str) -> None:
        """The product is gone."""
        self._known.pop(product, None)

    def agree(self, product: str, live: Item, other: Item) -> Score | None:
        """Of the ten nearest, those that both find; then it is known itself. None of too few products, or of an item without a vector."""
        one, two = vector_of(live, WHOLE), vector_of(other, WHOLE)
        if one is None or two is None:
            return None
        if self._makers != (live.encoder, other.encoder):
            self._known.clear()  # another encoder: another space
            self._makers = (live.encoder, other.encoder)
        self._known.pop(product, None)
        found = None
        if len(self._known) >= self._least:
            mine, theirs = (self._nearest(side, vector) for side, vector in ((0, one), (1, two)))
            found = (float(len(mine & theirs)), float(TOP))
        self._known[product] = (one.copy(), two.copy())
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        return found

    def _nearest(self, side: int, vector: Vector) -> set[int]:
        rows: NDArray[np.float32] = np.stack([pair[side] for pair in self._known.values()])
        return {int(at) for at in np.argsort(-(rows @ vector), kind="stable")[:TOP]}
