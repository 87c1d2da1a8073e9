"""A cloth laid onto the garment of a photo: the garment's folds and light stay, its colour and pattern become the cloth's.

Light scales the linear light of a surface; CIELAB's cube root makes that a factor of (L + 16), a and b alike. So the old garment's light,
relative to its mean, multiplies the new cloth. Where the old garment has a pattern of its own, only its slow changes count as light, or
its stripes would show through.
"""

from __future__ import annotations

import cv2
import numpy as np

from processors.editing.cloth import Cloth, blurred, laid
from processors.editing.mask import EditMask, Plane, blended
from processors.lab import Lab, to_lab
from processors.values import Mask, Pixels

DIM, BRIGHT = 0.45, 1.5
"""The least and the most that light multiplies."""
DIM_PATTERN, BRIGHT_PATTERN = 0.75, 1.2
"""Likewise on a garment with a pattern."""
FINE, COARSE, WIDE = 0.003, 0.035, 0.08
"""In sides: what is smoothed away of the light of a plain garment, of a patterned one; and to tell the two."""
PLAIN_CHROMA, PLAIN_LIGHT = 3.0, 7.0
"""Deviation of a plain garment's a, b and L from their surroundings."""
ROUNDS = 2


def transferred(pixels: Pixels, mask: EditMask, cloth: Cloth, seed: int = 0) -> Pixels:
    """The photo with the cloth on the masked garment.

    Args:
        pixels: the photo, RGB; unchanged.
        mask: of the garment: outside `mask.inside` every pixel of the result is that of the photo.
        cloth: what the garment is to be of.
        seed: see `laid`.
    """
    part = pixels[mask.window]
    old, inside = to_lab(part), mask.inside
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    spread = np.empty_like(old)
    spread[:] = cloth.mean
    spread[window] = laid(cloth, int(columns[-1] - columns[0]) + 1, int(rows[-1] - rows[0]) + 1, seed)
    light = lighting(old, inside)[..., None]
    found = part
    shift = cloth.mean - spread[inside].mean(axis=0)
    for _ in range(ROUNDS):
        found = blended(part, _lit(spread + shift, light), mask)
        # What sRGB cannot show, and the border, move the mean: the cloth is moved against them.
        shift = shift + np.clip(cloth.mean - to_lab(found)[inside].mean(axis=0), -15, 15)
    result = pixels.copy()
    result[mask.window] = found
    return result


def lighting(lab: Lab, inside: Mask) -> Plane:
    """How much light falls on each pixel of a garment, relative to its mean; (h, w), `DIM`..`BRIGHT`."""
    side = max(inside.shape)
    pattern = _patterned(lab, inside, WIDE * side)
    fine, coarse = blurred(lab[..., 0], inside, FINE * side), blurred(lab[..., 0], inside, COARSE * side)
    level = (1 - pattern) * fine + pattern * coarse + 16
    mean = float(level[inside].mean())
    # What is left of a large print must not pass for a shadow.
    least, most = DIM + pattern * (DIM_PATTERN - DIM), BRIGHT + pattern * (BRIGHT_PATTERN - BRIGHT)
    return np.clip(level / np.float32(max(mean, 1.0)), least, most).astype(np.float32)


def _patterned(lab: Lab, inside: Mask, sigma: float) -> float:
    """0 of a plain garment, 1 of one with a pattern."""
    spread = [
        float(np.sqrt(np.mean((lab[..., one] - blurred(lab[..., one], inside, sigma))[inside] ** 2)))
        for one in range(3)
    ]
    colour = (float(np.hypot(spread[1], spread[2])) - PLAIN_CHROMA) / (2 * PLAIN_CHROMA)
    light = (spread[0] - PLAIN_LIGHT) / PLAIN_LIGHT
    return float(np.clip(max(colour, light), 0, 1))


def _lit(lab: Lab, light: Plane) -> Lab:
    """RGB, 0..255, of a cloth under a light that multiplies (L + 16), and so with its cube what is linear.

    A saturated red has no lighter red in sRGB: clipped by channel it would turn pink. It keeps its hue, and is as light as it can be.
    """
    rgb = np.asarray(cv2.cvtColor(np.ascontiguousarray(lab, np.float32), cv2.COLOR_LAB2RGB), np.float32).clip(0, 1)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) * light**3
    linear = linear / np.maximum(linear.max(axis=2, keepdims=True), 1)
    shown = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(shown * 255, np.float32)
