"""Attributes that a photo alone does not tell: the shop's own word, or the vote of similar labelled products.

Source: Pixels to Posts (arXiv 2511.19149), section 3: K nearest labelled products by inner product,
score(y) = Σ exp(τ·s) over the neighbours labelled y, confidence = its share, "unknown" below θ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from processors.labels import read_label
from processors.values import Attribute, Metadata
from processors.vocabulary import base_forms, clean

STATED_FACETS: dict[str, tuple[str, ...]] = {
    "fabric": ("fabric", "material", "fabric type", "composition", "fabrics", "materials"),
    "gender": ("gender", "genders"),
    "pattern": ("pattern", "print", "patterns"),
    "sleeve": ("sleeve", "sleeves", "sleeve length"),
    "neckline": ("neckline", "neck", "collar", "necklines"),
    "length": ("length", "dress length", "lengths"),
    "colour": ("colour", "color", "base colour", "base color", "colours", "colors", "colour name", "color name"),
    "origin": ("origin", "country of origin", "made in"),
    "care": ("care", "care instructions", "wash care"),
}
"""Facet → the names, cleaned, under which shops send it."""


class LabelledNeighbour(Protocol):
    """A labelled product near the one that asks."""

    @property
    def product_id(self) -> str: ...
    @property
    def similarity(self) -> float:
        """Inner product of unit vectors."""
        ...

    @property
    def labels(self) -> Mapping[str, str]:
        """Facet → value."""
        ...


@dataclass(frozen=True, slots=True)
class Calibration:
    """How votes are counted; fitted on held-out labelled products and kept with the weights.

    Args:
        tau: sharpness; at 0 every neighbour counts alike.
        theta: smallest share of the votes, 0..1, at which a value is stated.
        k: neighbours asked.
        min_votes: neighbours that must know the facet at all; below it a share says nothing (one neighbour has 100 %).
        floor: smallest inner product, −1..1, of a neighbour that may vote: however few there are, those farther away are
            another thing, and what they agree on says nothing of this one.
    """

    tau: float = 20.0
    theta: float = 0.55
    k: int = 20
    min_votes: int = 3
    floor: float = 0.8

    def of(self, _facet: str, _encoder: str = "") -> Calibration:
        """One calibration for everything."""
        return self


DEFAULT_CALIBRATION = Calibration()


@dataclass(frozen=True, slots=True)
class Calibrations:
    """A calibration for each facet, fitted in one encoder's space: similarities of another mean something else.

    Args:
        encoder: fingerprint of that space.
        facets: facet → its calibration.
        default: for other facets, and for vectors of other encoders.
    """

    encoder: str
    facets: Mapping[str, Calibration]
    default: Calibration = DEFAULT_CALIBRATION

    @property
    def k(self) -> int:
        """Neighbours that must be found for every facet to have its own."""
        return max([self.default.k, *(calibration.k for calibration in self.facets.values())])

    def of(self, facet: str, encoder: str = "") -> Calibration:
        """The calibration of a facet for vectors of `encoder` ("": the one that was calibrated)."""
        return self.facets.get(facet, self.default) if self.fits(encoder) else self.default

    def fits(self, encoder: str) -> bool:
        """Whether vectors of `encoder` are those that were calibrated."""
        return encoder in {"", self.encoder}


def vote(
    neighbours: Sequence[LabelledNeighbour], facet: str, calibration: Calibration = DEFAULT_CALIBRATION
) -> Attribute | None:
    """What the neighbours agree on for a facet, or None: unknown stays unknown.

    Args:
        neighbours: nearest first or in any order; only the `calibration.k` most similar are asked.
        facet: "fabric", "gender" …; spellings are normalised before they are counted ("Ladies" votes for "women").
        calibration: see `Calibration`.

    Returns:
        The winning value with its share as confidence and its voters' ids, most similar first. A tie goes to the
        value whose best voter is nearer, then to the alphabet, so that a replay decides alike.
    """
    near = [neighbour for neighbour in neighbours if neighbour.similarity >= calibration.floor]
    asked = sorted(near, key=lambda n: (-n.similarity, n.product_id))[: calibration.k]
    voters: dict[str, list[LabelledNeighbour]] = {}
    for neighbour in asked:
        value = normalised(facet, neighbour.labels.get(facet, ""))
        if value:
            voters.setdefault(value, []).append(neighbour)
    if sum(len(group) for group in voters.values()) < max(1, calibration.min_votes):
        return None
    # The largest exponent is taken out: exp(τ·s) of a large τ would overflow, and only ratios matter.
    top = max(group[0].similarity for group in voters.values())
    score = {
        value: sum(math.exp(calibration.tau * (n.similarity - top)) for n in group) for value, group in voters.items()
    }
    winner = min(voters, key=lambda value: (-score[value], -voters[value][0].similarity, value))
    confidence = score[winner] / sum(score.values())
    if confidence < calibration.theta:
        return None
    return Attribute(winner, round(confidence, 4), tuple(n.product_id for n in voters[winner]))


def attributes_of(metadata: Metadata) -> dict[str, Attribute]:
    """What the shop itself states of a product: confidence 1, no neighbours. Unstated facets are absent."""
    given = {clean(name): value for name, value in metadata.facets.items()}
    given |= {
        "fabric": metadata.fabric or given.get("fabric", ""),
        "gender": metadata.gender or given.get("gender", ""),
    }
    found: dict[str, Attribute] = {}
    for facet, names in STATED_FACETS.items():
        value = next((v for name in names if (v := normalised(facet, given.get(name, "")))), "")
        if value:
            found[facet] = Attribute(value, 1.0)
    for facet, value in _told_by_words((*metadata.category_path, *metadata.tags)).items():
        found.setdefault(facet, Attribute(value, 1.0))
    if any(normalised("gender", given.get(name, "")) in _CHILDREN for name in _AGES):
        adult = found["gender"].value if "gender" in found else ""
        found["gender"] = Attribute(_CHILD_OF.get(adult, adult or "kids"), 1.0)
    return found


_BY_WORDS = frozenset({"fabric", "gender", "pattern", "sleeve", "neckline", "length"})
_TOO_SHORT = frozenset({"short", "long"})
"""Alone they say nothing of a length: of sleeves, of a season."""


@lru_cache(maxsize=8192)
def _told_by_words(words: tuple[str, ...]) -> dict[str, str]:
    """What categories and tags that are wholly one value of one facet say ("Women", "linen"); two that differ say nothing."""
    told: dict[str, set[str]] = {}
    for word in words:
        claims = base_forms().get(clean(word), ())
        facets = {facet for facet, _ in claims} & _BY_WORDS
        if len(claims) == 1 and facets and clean(word) not in _TOO_SHORT:
            (facet,) = facets
            if value := normalised(facet, word):
                told.setdefault(facet, set()).add(value)
    return {facet: values.pop() for facet, values in told.items() if len(values) == 1}


_AGES = ("age group", "age", "agegroup")
"""The names, cleaned, under which shops send for whom a garment is cut, beside its gender ("female", "kids")."""
_CHILDREN = frozenset({"kids", "girls", "boys"})
_CHILD_OF = {"women": "girls", "men": "boys", "unisex": "kids"}


def normalised(facet: str, value: str) -> str:
    """The value of a label as `processors.labels.read_label` reads it; "" for one that says nothing ("NA")."""
    return read_label(facet, value)
