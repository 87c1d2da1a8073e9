"""CIELAB (D65) and the colour difference CIEDE2000."""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from processors.values import Pixels

Lab: TypeAlias = NDArray[np.float32]
"""(…, 3): L 0..100, a and b about −100..100."""
Cells: TypeAlias = NDArray[np.int64]
"""(…): numbers of cells of colour, 0 up to `CELLS`."""

GRID = (12, 20, 20)
"""Cells of colour along L (0..100), a and b (−80..80; beyond is in the last cell)."""
CELLS = GRID[0] * GRID[1] * GRID[2]
_TO_GRID = np.array([GRID[0] / 100, GRID[1] / 160, GRID[2] / 160], dtype=np.float32)
_ORIGIN = np.array([0, GRID[1] / 2, GRID[2] / 2], dtype=np.float32)


def to_lab(pixels: Pixels) -> Lab:
    """RGB of shape (height, width, 3) → CIELAB of the same shape."""
    lab = cv2.cvtColor(np.ascontiguousarray(pixels, dtype=np.float32) / np.float32(255), cv2.COLOR_RGB2LAB)
    return np.asarray(lab, dtype=np.float32)


def cells_of(lab: Lab) -> Cells:
    """The cell of `GRID` that each colour (…, 3) falls into."""
    light, a, b = np.moveaxis((lab * _TO_GRID + _ORIGIN).clip(0, np.subtract(GRID, 1)).astype(np.int64), -1, 0)
    return np.asarray((light * GRID[1] + a) * GRID[2] + b, dtype=np.int64)


def hex_of(lab: Lab) -> str:
    """One CIELAB colour → "#rrggbb"; colours outside sRGB are clipped."""
    rgb = cv2.cvtColor(np.asarray(lab, dtype=np.float32).reshape(1, 1, 3), cv2.COLOR_LAB2RGB).reshape(3)
    red, green, blue = (int(v) for v in np.rint(np.clip(rgb, 0, 1) * 255))
    return f"#{red:02x}{green:02x}{blue:02x}"


def lab_of_hex(code: str) -> Lab:
    """A hex code ("#rrggbb") → one CIELAB colour of shape (3,)."""
    rgb = np.array([[[int(code[i : i + 2], 16) for i in (1, 3, 5)]]], dtype=np.uint8)
    return np.asarray(to_lab(rgb)[0, 0], dtype=np.float32)


def ciede2000(first: Lab, second: Lab, lightness: float = 1.0) -> NDArray[np.float64]:
    """Colour difference of broadcastable arrays (…, 3), as Sharma, Wu and Dalal (2005) write it.

    Args:
        first: CIELAB colours.
        second: CIELAB colours.
        lightness: the parametric factor kL; above 1, differences of lightness (shade, exposure) count less.
    """
    l1, a1, b1 = np.moveaxis(np.asarray(first, dtype=np.float64), -1, 0)
    l2, a2, b2 = np.moveaxis(np.asarray(second, dtype=np.float64), -1, 0)
    stretch = 1.5 - 0.5 * _chroma_term((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2)
    c1, c2 = np.hypot(a1 * stretch, b1), np.hypot(a2 * stretch, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1 * stretch)) % 360, np.degrees(np.arctan2(b2, a2 * stretch)) % 360
    grey = c1 * c2 == 0
    turn = np.where(grey, 0.0, (h2 - h1 + 180) % 360 - 180)
    d_hue = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2))
    hue = np.where(grey, h1 + h2, (h1 + ((h2 - h1 + 180) % 360 - 180) / 2) % 360)
    light, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    weight = (
        1
        - 0.17 * np.cos(np.radians(hue - 30))
        + 0.24 * np.cos(np.radians(2 * hue))
        + 0.32 * np.cos(np.radians(3 * hue + 6))
        - 0.20 * np.cos(np.radians(4 * hue - 63))
    )
    s_light = 1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2)
    s_chroma, s_hue = 1 + 0.045 * chroma, 1 + 0.015 * chroma * weight
    rotation = -np.sin(np.radians(60 * np.exp(-(((hue - 275) / 25) ** 2)))) * 2 * _chroma_term(chroma)
    parts = ((l2 - l1) / (lightness * s_light), (c2 - c1) / s_chroma, d_hue / s_hue)
    squares = parts[0] ** 2 + parts[1] ** 2 + parts[2] ** 2 + rotation * parts[1] * parts[2]
    return np.asarray(np.sqrt(np.maximum(squares, 0.0)), dtype=np.float64)


def _chroma_term(chroma: NDArray[np.float64]) -> NDArray[np.float64]:
    seventh = chroma**7
    return np.asarray(np.sqrt(seventh / (seventh + 25.0**7)), dtype=np.float64)
