"""What is known of a training picture, what a training text claims, and which texts are true of which pictures.

A facet of a garment is known or unknown; a text states some facets. A text is *true* of a garment when every facet it
states is known to agree, *false* when one is known to differ, else *open*: an open pair teaches nothing, so a photo
without a known fabric is never pushed away from "linen". Near colours ("charcoal" on a "black" garment) are open too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from processors.drawn import FABRICS, LENGTHS, NECKLINES, PATTERNS, SLEEVES
from processors.lab import ciede2000, lab_of_hex
from processors.palette import PALETTE
from processors.values import CATEGORIES

COLOURS: tuple[str, ...] = tuple(name for name, _ in PALETTE)
KINDS: dict[str, tuple[str, ...]] = {
    "shirt": ("t-shirt", "button-up shirt", "long sleeve top", "polo shirt", "tank top", "hoodie", "sweater", "blouse"),
    "jacket": ("blazer", "coat"),
    "pants": ("jeans", "leggings"),
    "shoe": ("boots", "heels", "sneakers", "sandals", "flats"),
}
ALL_KINDS: tuple[str, ...] = tuple(kind for kinds in KINDS.values() for kind in kinds)
VALUES: dict[str, tuple[str, ...]] = {
    "category": CATEGORIES,
    "kind": ALL_KINDS,
    "pattern": PATTERNS,
    "sleeve": SLEEVES,
    "neckline": NECKLINES,
    "length": LENGTHS,
    "fabric": FABRICS,
}
FACETS: tuple[str, ...] = tuple(VALUES)
MAX_GARMENTS = 3
UNKNOWN = -1
NOBODY = -2
"""In a picture's unused garment slots: differs from everything."""
MAIN, SECOND = 1, 2
"""In a picture's colours: the garment's main colour, and that of its print ("a white shirt" is open for white on navy)."""
NEAR = 13.0
"""CIEDE2000 below which another colour's name is open instead of false."""


@dataclass(frozen=True, slots=True)
class Known:
    """The known facets of one garment. `colours` are all its true colour names, main colour first; () is unknown."""

    facets: dict[str, str]
    colours: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Claim:
    """What a text states."""

    facets: dict[str, str] = field(default_factory=dict)
    colours: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pictures:
    """`facets` (n, MAX_GARMENTS, FACETS) of value numbers; `colours` (n, MAX_GARMENTS, COLOURS): MAIN, SECOND, −1 open, 0 not."""

    facets: NDArray[np.int8]
    colours: NDArray[np.int8]

    def take(self, rows: NDArray[np.int64]) -> Pictures:
        return Pictures(self.facets[rows], self.colours[rows])


@dataclass(frozen=True, slots=True)
class Claims:
    """`facets` (m, FACETS) of value numbers, −1 not stated; `colours` (m, 2) of colour numbers, −1 not stated."""

    facets: NDArray[np.int8]
    colours: NDArray[np.int8]

    def take(self, rows: NDArray[np.int64]) -> Claims:
        return Claims(self.facets[rows], self.colours[rows])


def encode_pictures(pictures: Sequence[Sequence[Known]]) -> Pictures:
    """Number the facets of each picture's garments; garments past `MAX_GARMENTS` are refused (ValueError)."""
    facets = np.full((len(pictures), MAX_GARMENTS, len(FACETS)), NOBODY, np.int8)
    colours = np.zeros((len(pictures), MAX_GARMENTS, len(COLOURS)), np.int8)
    near = near_colours()
    for row, garments in enumerate(pictures):
        if len(garments) > MAX_GARMENTS:
            raise ValueError(f"{len(garments)} garments in one picture")
        for slot, known in enumerate(garments):
            for number, facet in enumerate(FACETS):
                value = known.facets.get(facet)
                facets[row, slot, number] = UNKNOWN if value is None else VALUES[facet].index(value)
            colours[row, slot] = _colour_row(known.colours, near)
    return Pictures(facets, colours)


def encode_claims(claims: Sequence[Claim]) -> Claims:
    """Number what each text states."""
    facets = np.full((len(claims), len(FACETS)), UNKNOWN, np.int8)
    colours = np.full((len(claims), 2), UNKNOWN, np.int8)
    for row, claim in enumerate(claims):
        for facet, value in claim.facets.items():
            facets[row, FACETS.index(facet)] = VALUES[facet].index(value)
        for slot, name in enumerate(claim.colours[:2]):
            colours[row, slot] = COLOURS.index(name)
    return Claims(facets, colours)


def truth(pictures: Pictures, claims: Claims) -> NDArray[np.int8]:
    """(n, m): 1 where the text is true of some garment of the picture, −1 where it is open, 0 where it is false."""
    stated = claims.facets[None, None] >= 0
    known = pictures.facets[:, :, None]
    false = (stated & (known != UNKNOWN) & (known != claims.facets[None, None])).any(-1)
    unknown = (stated & (known == UNKNOWN)).any(-1)
    alone = claims.colours[None, None, :, 1] < 0
    for slot in range(2):
        wanted = claims.colours[:, slot]
        found = np.where(wanted[None, None] >= 0, pictures.colours[:, :, np.maximum(wanted, 0)], MAIN)
        false |= found == 0
        unknown |= (found == UNKNOWN) | ((found == SECOND) & alone)
    garment = np.where(false, 0, np.where(unknown, UNKNOWN, 1))
    return np.where((garment == 1).any(1), 1, np.where((garment == UNKNOWN).any(1), UNKNOWN, 0)).astype(np.int8)


def near_colours() -> NDArray[np.bool_]:
    """(COLOURS, COLOURS): which names lie so near that a photo does not decide between them."""
    points = np.stack([lab_of_hex(code) for _, code in PALETTE])
    return np.asarray(ciede2000(points[:, None], points[None]) < NEAR)


def _colour_row(names: tuple[str, ...], near: NDArray[np.bool_]) -> NDArray[np.int8]:
    if not names:
        return np.full(len(COLOURS), UNKNOWN, np.int8)
    numbers = [COLOURS.index(name) for name in names]
    row = np.where(near[numbers].any(0), UNKNOWN, 0).astype(np.int8)
    row[numbers] = SECOND
    row[numbers[0]] = MAIN
    return row
