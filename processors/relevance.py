"""How likely it is that a hit is what was asked for: scores of photos and of words do not compare, and ten hits there always are.

A curve for each kind of query, fitted for one encoder (`models.relevance`), makes a probability of a score. Beside the score counts what
else is known: a hit of another category than the words ask for is hardly right; and of a photo in which no garment is seen, and of
words of which no list knows any, a score says little.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from processors.vocabulary import base_forms, clean

Kind: TypeAlias = Literal["photo", "product", "words", "composed"]
SURE = 0.5
"""Relevance of the best hit from which a result is confident."""
WRONG = 0.1
"""Factor of a hit of another category than was asked for."""
UNTOLD = 0.7
"""Factor of a hit whose category nobody knows, where the words ask for one: what no detector finds a garment in is likelier another."""
_LONGEST = 3
"""Words of a name that a list may know."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Probability = 1 / (1 + exp(-slope × (score - middle))).

    `blind`: its factor where nothing but the score speaks. `agreeing`: added to the score of a hit of the very category that the words
    ask for: that the shop has one is most of what is asked.
    """

    slope: float
    middle: float
    blind: float = 1.0
    agreeing: float = 0.0

    def at(self, score: float) -> float:
        """The probability at a score."""
        return 1.0 / (1.0 + math.exp(-max(-500.0, min(500.0, self.slope * (score - self.middle)))))


@dataclass(frozen=True, slots=True)
class Relevance:
    """The curves of one encoder.

    Args:
        encoder: fingerprint of whose scores they are; "" where nothing was fitted.
        curves: by kind of query.
    """

    encoder: str = ""
    curves: Mapping[str, Curve] = field(default_factory=dict)

    def of(self, encoder: str, evidence: Evidence) -> Judged | None:
        """What judges the hits of a query; None where no curve was fitted for this encoder and this kind of query."""
        curve = self.curves.get(evidence.kind) if encoder == self.encoder else None
        return None if curve is None else Judged(curve, evidence)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a query.

    Args:
        kind: of query.
        categories: that its words ask for; () is any.
        seen: a garment is seen in its photo, or some of its words are known; True for a product of the catalogue.
    """

    kind: Kind
    categories: Collection[str] = ()
    seen: bool = True


@dataclass(frozen=True, slots=True)
class Judged:
    """Judges hits of one query."""

    curve: Curve
    evidence: Evidence

    def at(self, score: float, category: str) -> float:
        """The relevance, 0..1, of a hit."""
        agrees = bool(category) and category in self.evidence.categories
        chance = self.curve.at(score + self.curve.agreeing * agrees) * self.fits(category)
        if not self.evidence.seen:
            chance *= self.curve.blind
        return round(chance, 4)

    def fits(self, category: str) -> float:
        """The factor of a hit of this category: `WRONG` where the words ask for another, `UNTOLD` where it is not known ("")."""
        asked = self.evidence.categories
        if not asked or category in asked:
            return 1.0
        return WRONG if category else UNTOLD


def knows(text: str) -> bool:
    """Whether some word of a text is in a list of words that are said of clothes."""
    words, forms = clean(text).split(), base_forms()
    return any(
        " ".join(words[at : at + length]) in forms for at in range(len(words)) for length in range(1, _LONGEST + 1)
    )
