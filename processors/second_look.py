"""A second look at what a detector found: is this box that garment, another one, or nothing that anybody wears?

The answer is a head's over the features of the encoder's pass, which every box goes through anyway. It knows the photo's whole view beside
the box, and was taught what a detector takes for garments: eyes, short hair, legs, walls, belts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from processors.evidence import DUPLICATE_IOU, iou
from processors.facets import Head, of_garment
from processors.garments import area, main_garment
from processors.lab import to_lab
from processors.values import Box, Garment, Pixels, Vector

CATEGORY = "category"
"""The head that tells the detector's categories, and `NOTHING`, from the features of a garment."""
NOTHING = "nothing"
UNTOLD = ""
"""The category of a box that no detector found: the whole photo, which may show anything."""
TROUSERS, SHORTS = "pants", "shorts"
OVERLOOKED = 0.12
"""Where the largest garment that was found has less than this share of what is not ground, the whole is judged beside it: the detector has
found the print of a shirt, or the eyes of its wearer."""
_SIDE = 96
_ALIKE = 7.0
"""CIELAB distance from the border's colour within which a pixel is ground."""
_AT_EDGE = 0.012
_EDGE = 0.04
"""What is left around the photo where it has no plain ground."""


@dataclass(frozen=True, slots=True)
class Rules:
    """When the second look overrules the first.

    Args:
        nothing: a garment is left out when the head's "nothing" is so probable …
        doubted: … or when its own category has at most this probability, and the detector was less sure than `sure`.
        sure: see `doubted`.
        renamed: another category is taken from this probability on.
        found: in a photo of which the detector found nothing, a garment is told from this probability on.
        short, shorts: what the photo is of, whole in it and less than `short` times as high as wide, is shorts rather than trousers where
            the head gives them this share of the two. Of 30 pairs of shorts that were taken for trousers 25 are such, of 316 pairs of
            trousers 1 (evaluation data).
    """

    nothing: float = 0.75
    doubted: float = 0.05
    sure: float = 0.6
    renamed: float = 0.8
    found: float = 0.5
    short: float = 1.7
    shorts: float = 0.02


RULES = Rules()


@dataclass(frozen=True, slots=True)
class Settled:
    """A garment after the second look, under its new id; `view` is the id that it had before."""

    view: str
    garment: Garment


def settle(
    garments: Sequence[Garment],
    whole: Vector,
    crops: Mapping[str, Vector],
    judge: Head,
    rules: Rules = RULES,
    *,
    bottom: float = math.inf,
) -> tuple[Settled, ...]:
    """The garments that stay, surest first, as "g0", "g1" …

    Args:
        garments: what the detector found, or one of category `UNTOLD`.
        whole: features of the whole photo.
        crops: garment → features of its box.
        judge: the head `CATEGORY`.
        rules: when it counts.
        bottom: the photo's lower edge, in the boxes' pixels: of legs that it cuts off beside the product nobody knows whether they are
            in shorts or trousers.
    """
    main = main_garment(garments)
    stay: list[tuple[str, Garment]] = []
    for garment in garments:
        features = of_garment(crops[garment.id], whole, main=garment is main)
        judged = _judged(garment, judge.probabilities(features), judge.values, rules)
        cut_off = garment is not main and garment.box[3] >= (1 - _AT_EDGE) * bottom
        if judged is not None and garment is main and garment.box[3] < (1 - _AT_EDGE) * bottom:
            judged = _by_length(judged, judge, features, rules)
        if judged is not None and not (cut_off and judged.category == SHORTS):
            stay.append((garment.id, judged))
    stay.sort(key=lambda one: -one[1].confidence)
    kept: list[tuple[str, Garment]] = []
    for view, garment in stay:
        if not any(
            other.category == garment.category and iou(other.box, garment.box) >= DUPLICATE_IOU for _, other in kept
        ):
            kept.append((view, garment))
    return tuple(Settled(view, msgspec.structs.replace(one, id=f"g{n}")) for n, (view, one) in enumerate(kept))


def _judged(garment: Garment, chances: NDArray[np.float32], values: Sequence[str], rules: Rules) -> Garment | None:
    if "kind" in garment.attributes:
        return (
            garment  # a detector that names kinds is one's own, and the head was fitted against the faults of another
        )
    chance = dict(zip(values, chances.tolist(), strict=True))
    nothing = chance.pop(NOTHING, 0.0)
    best = max(chance, key=lambda value: chance[value])
    if garment.category == UNTOLD:
        if chance[best] < rules.found:
            return None
        return msgspec.structs.replace(garment, category=best, confidence=round(chance[best], 4))
    if chance[best] >= rules.renamed and best != garment.category:
        return msgspec.structs.replace(
            garment, category=best, confidence=round(min(garment.confidence, chance[best]), 4)
        )
    doubted = chance.get(garment.category, 1.0) <= rules.doubted and garment.confidence < rules.sure
    return None if nothing >= rules.nothing or doubted else garment


def _by_length(garment: Garment, judge: Head, features: Vector, rules: Rules) -> Garment:
    """Shorts in place of trousers that are as short as shorts, where the head does not rule them out."""
    left, top, right, bottom = garment.box
    if garment.category != TROUSERS or SHORTS not in judge.values or bottom - top >= rules.short * (right - left):
        return garment
    chance = dict(zip(judge.values, judge.probabilities(features).tolist(), strict=True))
    likely = chance[SHORTS] >= rules.shorts * (chance[SHORTS] + chance.get(TROUSERS, 0.0))
    return msgspec.structs.replace(garment, category=SHORTS) if likely else garment


def overlooked(garments: Sequence[Garment], pixels: Pixels, scale: float = 1.0) -> bool:
    """Whether what was found is so small that the photo must show something else.

    Args:
        garments: boxes in pixels of the photo as it was sent; none is nothing found.
        pixels: the photo, RGB.
        scale: pixels of `pixels` to one of the photo as it was sent.
    """
    largest = max((area(garment.box) for garment in garments), default=0.0) * scale**2
    height, width = pixels.shape[:2]
    return largest < OVERLOOKED * height * width and largest < OVERLOOKED * area(subject_box(pixels))


def subject_box(pixels: Pixels) -> Box:
    """Where a photo is not its plain ground, in pixels; of one without, the photo but for its edge."""
    height, width = pixels.shape[:2]
    far, plain = _ground(pixels)
    rows, columns = np.flatnonzero(far.mean(1) > 0.03), np.flatnonzero(far.mean(0) > 0.03)
    if not plain or len(rows) < 0.1 * far.shape[0] or len(columns) < 0.1 * far.shape[1]:
        return (_EDGE * width, _EDGE * height, (1 - _EDGE) * width, (1 - _EDGE) * height)
    across, along = width / far.shape[1], height / far.shape[0]
    left, right, top, bottom = (int(v) for v in (columns[0], columns[-1] + 1, rows[0], rows[-1] + 1))
    return (left * across, top * along, right * across, bottom * along)


def on_plain_ground(pixels: Pixels) -> bool:
    """Whether the photo's border is of one colour, as in a shop's own photos."""
    return _ground(pixels)[1]


def _ground(pixels: Pixels) -> tuple[NDArray[np.bool_], bool]:
    """Of a small copy, which pixels are not of the border's colour; and whether the border has one."""
    import cv2

    height, width = pixels.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    size = (max(4, round(width * scale)), max(4, round(height * scale)))
    lab = to_lab(np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8))
    ring = np.concatenate([lab[0], lab[-1], lab[:, 0], lab[:, -1]])
    ground = np.median(ring, axis=0)
    far = np.sqrt(((lab - ground) ** 2).sum(2)) > _ALIKE
    return far, float((np.sqrt(((ring - ground) ** 2).sum(1)) <= _ALIKE).mean()) > 0.6
