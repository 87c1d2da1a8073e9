"""A value that is stated by what several heads and the garment's own pixels say together, and not by its own probability alone.

The head of patterns takes finely checked cloth for plain and plain cloth for printed, and is the surer the less it sees; one colour all over,
and how dark it is, tell the two apart as well. What is known is added up, as log odds, and becomes one probability.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from processors.errors import Fatal

Known: TypeAlias = Mapping[str, Mapping[str, float]]
"""Facet → value → probability; and under `LOOK` what the garment's own pixels say."""
LOOK, GARMENT = "look", "garment"
"""What a term may read beside facets: `LOOK` a number of `processors.colour_shares.look_of`, `GARMENT` whether its category is one of those named."""
CERTAINTY, LIGHT = "certainty", "light"
"""Numbers of `LOOK`: how certain the first colour is (`processors.values.Colour.certainty`), and how light the lightest part is (`processors.colour_shares.lightest`)."""
LEAST = 1e-3
"""What every probability is raised by: the logarithm of one that is near zero would outweigh all else."""


@dataclass(frozen=True, slots=True)
class Term:
    """One thing that counts.

    Args:
        facet: whose probability, or `LOOK` or `GARMENT`.
        values: whose probabilities are added before the logarithm is taken; of `LOOK` the one number; of `GARMENT` categories.
        weight: of log odds, for each unit.
    """

    facet: str
    values: tuple[str, ...]
    weight: float

    def __post_init__(self) -> None:
        if not self.values or (self.facet == LOOK and self.values not in {(CERTAINTY,), (LIGHT,)}):
            raise Fatal(f"nothing can be weighed by {self.facet} {self.values}")

    def amount(self, category: str, known: Known) -> float | None:
        """What it adds; None where what it asks is not known."""
        if self.facet == GARMENT:
            return self.weight * (category in self.values)
        told = known.get(self.facet)
        if told is None:
            return None
        if self.facet == LOOK:
            number = told.get(self.values[0])
            return None if number is None else self.weight * number
        return self.weight * math.log(sum(told.get(value, 0.0) for value in self.values) + LEAST)


@dataclass(frozen=True, slots=True)
class Weighed:
    """A value of a head that is stated from a probability of its own on, where no other value of the head is stated.

    Args:
        value: of the head.
        threshold: the probability from which it is stated.
        bias: log odds of a garment of which nothing else counts.
        terms: what counts.
    """

    value: str
    threshold: float
    bias: float
    terms: tuple[Term, ...]

    def chance(self, category: str, known: Known) -> float | None:
        """How likely it is; None where something that counts is not known."""
        odds = self.bias
        for term in self.terms:
            amount = term.amount(category, known)
            if amount is None:
                return None
            odds += amount
        return 1 / (1 + math.exp(-min(60.0, max(-60.0, odds))))
