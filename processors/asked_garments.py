"""Which boxes of a shopper's photo are searched for: those that a product's photo would keep, and fainter ones where none of them lies.

What the detector is unsure of would make wrong captions, so `enrich` leaves it out. In a photo that asks it costs one list of hits too
many, and what it misses is never found.
"""

from __future__ import annotations

from collections.abc import Sequence

from processors.crops import worth_keeping
from processors.evidence import iou
from processors.values import Detection

SURE = 0.3
"""Confidence from which a box is a garment without further evidence (docs/models/detector.md)."""
COVERED = 0.5
"""Intersection over union with a surer box from which a fainter one is another name for the same pixels."""


def searched(detections: Sequence[Detection], shape: tuple[int, ...], most: int) -> tuple[Detection, ...]:
    """The boxes that get a vector of their own, the surest first.

    Args:
        detections: in pixels of the photo, any order, faint ones among them.
        shape: (height, width, …) of the photo.
        most: at most so many.
    """
    chosen: list[Detection] = []
    for one in sorted(detections, key=lambda detection: -detection.confidence):
        if one.confidence >= SURE or all(iou(one.box, other.box) < COVERED for other in chosen):
            chosen.append(one)
    return worth_keeping(chosen, shape)[:most]


def sure(detections: Sequence[Detection]) -> tuple[Detection, ...]:
    """Those of which the detector is sure."""
    return tuple(one for one in detections if one.confidence >= SURE)
