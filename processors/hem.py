"""What is below a dress's hem: over trousers or leggings of another cloth it is no dress but a long top (a tunic, a kurta).

A detector that looks at a box sees both alike; what tells them is whether legs below are bare or clothed, and that is read from the photo's
own pixels. Only before a plain ground, where legs can be told from what is behind them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from processors.garment_mask import skin_of
from processors.lab import Lab, to_lab
from processors.values import Box, Garment, Mask, Pixels

DRESS, TOP, SHOE = "dress", "shirt", "shoe"
HEIGHT = 64
"""Rows of a garment that are looked at."""
INSET = 0.1
"""Share of the box's width that is left out on each side: hands hang there."""
UPPER, LOWER = 0.35, 0.8
"""Between these shares of the box's height its pixels are the cloth that is compared with: above are head, hair and arms, and below may be
what is under the hem."""
REACH = 0.35
"""How far below the hem legs are looked at, in heights of the garment …"""
LEAST = 0.03
"""… and how much of them must be in the photo."""
PLAIN, ALIKE = 0.5, 6.0
"""Share of the photo's border that is of one colour where the ground is plain, and the CIELAB distance that is one colour."""
SAME_CLOTH = 8.0
LEGS, CLOTHED = 0.3, 0.5
"""Shares: of the place below the hem that is not ground, and of that what is neither skin nor the garment's cloth."""
NARROWER = 0.75
"""Of a hem that is looked for inside the box: legs are narrower than this share of the garment, and a border of other cloth is not."""
AGAIN = 2
"""Rows of other cloth from which the garment has ended there: a seam or a line of a print is one."""
_MOST = 80


def worn_over(garments: Sequence[Garment], pixels: Pixels, scale: float = 1.0) -> tuple[Garment, ...]:
    """The garments, with the category of a top for each dress that is worn over trousers.

    Args:
        garments: boxes in pixels of the photo as it was sent.
        pixels: the photo, RGB.
        scale: pixels of `pixels` to one of the photo as it was sent.
    """
    if not any(garment.category == DRESS for garment in garments):
        return tuple(garments)
    ground = _plain_ground(pixels)
    if ground is None:
        return tuple(garments)
    feet = [one.box[1] * scale for one in garments if one.category == SHOE]
    return tuple(_judged(one, pixels, scale, ground, feet) for one in garments)


def _judged(one: Garment, pixels: Pixels, scale: float, ground: Lab, feet: Sequence[float]) -> Garment:
    if one.category != DRESS:
        return one
    x0, y0, x1, y1 = (value * scale for value in one.box)
    floor = min((top for top in feet if top > y1 - 0.1 * (y1 - y0)), default=float(pixels.shape[0]))
    over = clothed_below(pixels, (x0, y0, x1, y1), ground, floor)
    return msgspec.structs.replace(one, category=TOP) if over else one


def clothed_below(pixels: Pixels, box: Box, ground: Lab, floor: float) -> bool:
    """Whether the legs below a garment are in another cloth.

    Args:
        pixels: the photo, RGB.
        box: the garment's.
        ground: (3,) CIELAB of the plain ground.
        floor: the row at which legs end: of shoes, or the photo's last.
    """
    x0, y0, x1, y1 = box
    height, width = y1 - y0, x1 - x0
    left, right = max(0, round(x0 + INSET * width)), min(pixels.shape[1], round(x1 - INSET * width))
    top, bottom = max(0, round(y0 + UPPER * height)), min(pixels.shape[0], round(floor))
    if right - left < 4 or bottom - top < 4:
        return False
    factor = min(1.0, HEIGHT / height)
    size = (max(4, round((right - left) * factor)), max(4, round((bottom - top) * factor)))
    small = np.asarray(cv2.resize(pixels[top:bottom, left:right], size, interpolation=cv2.INTER_NEAREST), np.uint8)
    lab = to_lab(small)
    seen = np.linalg.norm(lab - ground, axis=2) > ALIKE
    skin = skin_of(small) & seen
    rows = size[1] / (bottom - top) * height  # rows of `small` to a height of the garment
    hem = max(1, round((y1 - top) / (bottom - top) * size[1]))
    inner = max(1, round((LOWER - UPPER) / (1 - UPPER) * hem))
    cloth = lab[:inner][seen[:inner] & ~skin[:inner]]
    if not len(cloth):
        return False
    own = _alike(lab, cloth[:: max(1, len(cloth) // _MOST)]) & seen & ~skin
    place = _Place(seen, skin, own, rows)
    after = hem + round(0.02 * rows)
    if place.clothed(after + _end_of_cloth(own[after:], seen[after:])):
        return True
    # Boxes often reach down to the photo's edge, over hem and legs alike.
    within = inner + _end_of_cloth(own[inner:], seen[inner:], AGAIN)
    wide = float(np.median((seen & ~skin)[max(0, inner - round(0.25 * rows)) : inner].sum(1)))
    return within < hem - 1 and place.clothed(within, NARROWER * wide)


@dataclass(frozen=True, slots=True)
class _Place:
    """A garment's lower part and what is below it: (h, w) what is not ground, what of it is skin, and what the garment's cloth.

    `rows`: to a height of the garment.
    """

    seen: Mask
    skin: Mask
    own: Mask
    rows: float

    def clothed(self, start: int, widest: float = math.inf) -> bool:
        """Whether from this row on there are legs in other cloth, whose median row is no wider than `widest` pixels."""
        end = min(len(self.seen), start + round(REACH * self.rows))
        if end - start < max(1.0, LEAST * self.rows):
            return False
        legs, bare, own = self.seen[start:end], self.skin[start:end], self.own[start:end]
        if float(np.median(legs.sum(1))) > widest:
            return False
        return bool(legs.mean() >= LEGS and (legs & ~bare & ~own).sum() >= CLOTHED * legs.sum())


def _end_of_cloth(same: Mask, seen: Mask, ahead: int = 1) -> int:
    """The first row that is not mostly of the garment's own cloth, nor is one of the `ahead` from it on: boxes often end above the hem."""
    mostly = same.sum(1) > 0.5 * seen.sum(1)
    row = 0
    while row < len(seen) and seen[row].any() and mostly[row : row + ahead].any():
        row += 1
    return row


def _alike(lab: Lab, cloth: Lab) -> Mask:
    """(h, w): within `SAME_CLOTH` of one of the colours (n, 3)."""
    apart: NDArray[np.float32] = ((lab[:, :, None] - cloth) ** 2).sum(3).min(2)
    return np.asarray(apart < SAME_CLOTH**2)


def _plain_ground(pixels: Pixels) -> Lab | None:
    """(3,) CIELAB of the photo's border; None where that is not of one colour."""
    height, width = pixels.shape[:2]
    rows, columns = np.linspace(0, height - 1, 64).astype(int), np.linspace(0, width - 1, 64).astype(int)
    ring = np.concatenate([pixels[0, columns], pixels[-1, columns], pixels[rows, 0], pixels[rows, -1]])[None]
    lab = to_lab(np.asarray(ring, np.uint8))[0]
    ground = np.median(lab, axis=0)
    plain = float((np.linalg.norm(lab - ground, axis=1) <= ALIKE).mean())
    return np.asarray(ground, np.float32) if plain >= PLAIN else None
