"""Which garments of a photo get a vector of their own, and the pixels it is made from."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from processors.errors import Poison
from processors.values import Box, Detection, Pixels

MAX_GARMENTS = 8
"""Garments kept of one photo, the surest first: a shop window of forty boxes must not cost forty vectors."""
MIN_SIDE = 8.0
"""Shorter side, in pixels, below which a box holds nothing that an encoder could tell apart."""
MIN_AREA = 160.0
PADDING = 0.06
"""Share of the box added on each side: detectors cut sleeves and hems."""


def worth_keeping(detections: Sequence[Detection], shape: tuple[int, ...]) -> tuple[Detection, ...]:
    """The detections that become garments: clipped to the photo, large enough, the surest `MAX_GARMENTS` of them.

    Args:
        detections: in pixels of the photo, any order.
        shape: (height, width, …) of the photo.
    """
    height, width = shape[:2]
    kept = []
    for detection in sorted(detections, key=lambda d: -d.confidence):
        x0, y0, x1, y1 = detection.box
        if not all(map(math.isfinite, detection.box)):  # a diverged detector; clipping would make a box of it
            continue
        box = (max(0.0, x0), max(0.0, y0), min(float(width), x1), min(float(height), y1))
        if _large_enough(box):
            # A mask lies over the box that it came with.
            mask = detection.mask if box == detection.box else None
            kept.append(msgspec.structs.replace(detection, box=box, mask=mask))
    return tuple(kept[:MAX_GARMENTS])


def padded(box: Box, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """The whole pixels (left, top, right, bottom) of a box with `PADDING` around it, within the photo."""
    height, width = shape[:2]
    pad_x, pad_y = PADDING * (box[2] - box[0]), PADDING * (box[3] - box[1])
    return (
        max(0, math.floor(box[0] - pad_x)),
        max(0, math.floor(box[1] - pad_y)),
        min(width, math.ceil(box[2] + pad_x)),
        min(height, math.ceil(box[3] + pad_y)),
    )


def cut(pixels: Pixels, box: Box) -> Pixels:
    """The pixels of a garment with a little of what surrounds it; a copy, so that the photo can be freed.

    Raises:
        Poison: the box lies outside the photo or has no area.
    """
    left, top, right, bottom = padded(box, pixels.shape)
    if right <= left or bottom <= top:
        raise Poison(f"the box {box} holds no pixel of a photo of {pixels.shape[1]}x{pixels.shape[0]}", field="box")
    return np.ascontiguousarray(pixels[top:bottom, left:right].copy())


def _large_enough(box: Box) -> bool:
    width, height = box[2] - box[0], box[3] - box[1]
    return width >= MIN_SIDE and height >= MIN_SIDE and width * height >= MIN_AREA
