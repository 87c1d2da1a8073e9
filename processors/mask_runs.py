"""A garment's mask as a segmentation model saw it, small enough to travel with the garment: a grid over its box, in runs."""

from __future__ import annotations

import numpy as np

from processors.values import GarmentMask, Mask

MOST_SIDE = 256
"""Cells along a side, beyond which a record is damaged: ours have 64."""
LEAST = 12
"""Cells of the garment below which a mask says nothing."""


def packed(mask: Mask) -> GarmentMask | None:
    """(height, width), laid over the garment's box, in runs; None where hardly a cell is the garment's."""
    if np.count_nonzero(mask) < LEAST:
        return None
    flat = np.concatenate([[False], mask.ravel(), [not mask.ravel()[-1]]])
    ends = np.flatnonzero(flat[1:] != flat[:-1])
    return GarmentMask(mask.shape[0], mask.shape[1], tuple(np.diff(ends, prepend=0).tolist()))


def unpacked(mask: GarmentMask) -> Mask | None:
    """The grid, (height, width); None of a record whose runs do not fill it."""
    sides = (mask.height, mask.width)
    if not all(0 < side <= MOST_SIDE for side in sides) or min(mask.runs, default=0) < 0:
        return None
    if sum(mask.runs) != mask.height * mask.width:
        return None
    inside = np.arange(len(mask.runs)) % 2 == 1
    return np.repeat(inside, mask.runs).reshape(sides)
