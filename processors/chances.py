"""What a garment probably is: for each facet how likely each value is, also where none is sure enough to be stated.

A composed query compares these (`processors.composing`). They are calibrated by the heads' sharpness; what the shop says replaces
what the pixels say; a facet of which nothing is known is not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TypeAlias

import numpy as np

from processors.colour_shares import palette_shares
from processors.colours import MULTICOLOURED
from processors.facets import COLOUR, Head, Heads
from processors.kinds import claims_of
from processors.lab import lab_of_hex
from processors.labels import read_label
from processors.palette import PALETTE
from processors.second_look import NOTHING
from processors.values import CATEGORIES, Attribute, Colour, Vector

Chances: TypeAlias = Mapping[str, Mapping[str, float]]
"""Facet → value → probability; those of a facet sum to at most 1 (what is unlikely is left out)."""
Packed: TypeAlias = dict[str, dict[str, int]]
"""The same in thousandths: how items and indexes keep it."""

CATEGORY, KIND, GENDER = "category", "kind", "gender"
FACETS: tuple[str, ...] = (CATEGORY, KIND, COLOUR, "pattern", "sleeve", "neckline", "length", GENDER, "fabric")
"""What is compared."""
LEAST, MOST = 0.004, 12
"""A value below the one, or behind the other, is left out."""
SUITS = 0.2
"""A facet that a garment of its category cannot have (sleeves of a shoe) has less than this on the values that it may have."""
STATED = 0.94
"""What a value has that the shop says: its tables are sometimes wrong."""


def read(
    heads: Heads | None,
    judge: Head | None,
    features: Vector,
    shares: Vector | None,
    category: str,
    colours: Sequence[Colour] = (),
) -> Packed:
    """Of one garment.

    Args:
        heads: that are live.
        judge: the head of the detector's categories (`processors.second_look`).
        features: of the encoder's pass (`processors.facets.of_garment`).
        shares: what colour heads read (`processors.colour_shares`); None: the garment has no pixels of its own.
        category: the detector's, after the second look.
        colours: that were named; where a head reads the shop's colour words, both count.
    """
    found: dict[str, dict[str, float]] = {}
    if category:
        found[CATEGORY] = _categories(judge, features, category)
    probable = {} if heads is None else heads.probabilities(features, shares)
    for facet, head in ({} if heads is None else heads.heads).items():
        if facet in FACETS and facet not in (CATEGORY, COLOUR):
            chances = dict(zip(head.values, probable[facet].tolist(), strict=True))
            allowed = dict(zip(head.values, head.categories, strict=True))
            suiting = {v: p for v, p in chances.items() if not allowed[v] or category in allowed[v]}
            total = sum(suiting.values())
            if total >= SUITS:
                found[facet] = {value: p / total for value, p in suiting.items()}
    seen = _seen(of_colours(colours), shares)
    words = None if heads is None else heads.heads.get(COLOUR)
    if words is not None and shares is not None:
        told = dict(zip(words.values, probable[COLOUR].tolist(), strict=True))
        found[COLOUR] = _half(_named(COLOUR, told), seen)
    elif seen:
        found[COLOUR] = seen
    return pack(found)


def _half(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    """Both with half the say each: a head knows the shop's words, the palette what such a word is near to."""
    if not other:
        return dict(one)
    return {name: (one.get(name, 0.0) + other.get(name, 0.0)) / 2 for name in dict.fromkeys((*one, *other))}


def _seen(named: Mapping[str, float], shares: Vector | None) -> dict[str, float]:
    """Of a garment's colours: half the say is that of the one or two that were named, half that of all of its pixels."""
    if shares is None or not named:
        return dict(named)
    return _half(named, palette_shares(shares))


def _named(facet: str, chances: Mapping[str, float]) -> dict[str, float]:
    """Under the names in which a query is read: a shop's "maroon" and "burgundy" are one colour."""
    if facet != COLOUR:
        return dict(chances)
    found: dict[str, float] = {}
    for word, p in chances.items():
        name = canonical_colour(word)
        found[name] = found.get(name, 0.0) + p
    return found


def _categories(judge: Head | None, features: Vector, category: str) -> dict[str, float]:
    if judge is None:
        return {category: STATED}
    chances = dict(zip(judge.values, judge.probabilities(features).tolist(), strict=True))
    chances.pop(NOTHING, None)
    total = sum(chances.values())
    # As unsure as the judge is: had the settled category the larger say, a tunic boxed as a dress would be compared with dresses only.
    return {value: p / total for value, p in chances.items()} if total > 0 else {category: STATED}


def of_colours(colours: Sequence[Colour]) -> dict[str, float]:
    """Of a garment whose colours were named."""
    total = sum(colour.share for colour in colours)
    return {colour.name: colour.share / total for colour in colours if total and colour.name != MULTICOLOURED}


def of_attributes(attributes: Mapping[str, Attribute], colours: Sequence[Colour], category: str) -> Packed:
    """Of a garment of which only what is sure was kept: items from before there were chances."""
    found: dict[str, dict[str, float]] = {}
    for facet, attribute in attributes.items():
        if facet in FACETS and facet != CATEGORY:
            sure = min(max(attribute.confidence, 0.5), STATED)
            both = {attribute.value: sure}
            if attribute.second and attribute.second != attribute.value:
                both[attribute.second] = (1 - sure) / 2
            found[facet] = _named(facet, both)
    if COLOUR not in found and (named := of_colours(colours)):
        found[COLOUR] = named
    if category:
        found[CATEGORY] = {category: STATED}
    return pack(found)


def with_stated(chances: Packed, stated: Mapping[str, str]) -> Packed:
    """With what the shop says in place of what the pixels say; of the kind that it names the category too."""
    found = dict(chances)
    for facet, value in stated.items():
        if facet in FACETS and value:
            found[facet] = {canonical_colour(value) if facet == COLOUR else value: round(1000 * STATED)}
    kind = stated.get(KIND)
    if kind and CATEGORY not in stated:
        named = [v for facet, values in claims_of(kind) if facet == CATEGORY for v in values if v in CATEGORIES]
        if named:
            found[CATEGORY] = {named[0]: round(1000 * STATED)}
    return found


def mean(several: Iterable[Packed]) -> Packed:
    """Of one garment in several photos: of each facet the mean of those that know it."""
    many = list(several)
    if len(many) == 1:
        return many[0]
    found: dict[str, dict[str, float]] = {}
    for facet in FACETS:
        known = [one[facet] for one in many if one.get(facet)]
        values = dict.fromkeys(value for one in known for value in one)
        if known:
            found[facet] = {v: sum(one.get(v, 0) for one in known) / len(known) / 1000 for v in values}
    return pack(found)


def pack(chances: Chances) -> Packed:
    """In thousandths, the likeliest values of each facet."""
    packed: Packed = {}
    for facet in FACETS:
        given = chances.get(facet)
        if given:
            order = sorted(given.items(), key=lambda pair: (-pair[1], pair[0]))[:MOST]
            kept = {value: round(1000 * p) for value, p in order if p >= LEAST}
            if kept:
                packed[facet] = kept
    return packed


def unpacked(packed: Packed) -> dict[str, dict[str, float]]:
    """As probabilities."""
    return {facet: {value: number / 1000 for value, number in given.items()} for facet, given in packed.items()}


def canonical_colour(word: str) -> str:
    """The palette's name of a shop's word ("navy blue" → "navy"), or the word."""
    return read_label(COLOUR, word) or word


@cache
def swatches() -> dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Palette's names → CIELAB."""
    return {name: np.asarray(lab_of_hex(code), np.float64) for name, code in PALETTE}
