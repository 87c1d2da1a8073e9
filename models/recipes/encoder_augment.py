"""What training does to a picture: another crop each time, and light and colour that are not the garment's own.

Two pictures come of it, of the same crop: one that keeps its hues, for the branch that counts colours, whose truth is the
colour measured on the photo; and one in false colours, blurred or partly covered, for the trunk, which is to know shapes.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from processors.values import Box, Pixels

LABELLED = ("phone", "shop")
"""Origins whose photos show one garment each, under a label of their source's own."""


def crop_of(pixels: Pixels, inner: Box, origin: str, rng: np.random.Generator) -> Pixels:
    """A crop: of a photo of one garment 35 to 100 % of its area at slightly changed proportions, else the box with moved sides."""
    height, width = pixels.shape[:2]
    if origin in LABELLED:
        if rng.random() < 0.25:
            return pixels
        area, aspect = rng.uniform(0.35, 1.0), math.exp(rng.uniform(-0.25, 0.25))
        w, h = min(1.0, math.sqrt(area * aspect)) * width, min(1.0, math.sqrt(area / aspect)) * height
        left, top = rng.uniform(0, width - w), rng.uniform(0, height - h)
        return _cut(pixels, (left, top, left + w, top + h))
    x0, y0, x1, y1 = inner
    most = 0.04 if origin.endswith("whole") else 0.1
    moves = rng.uniform(-most, most, 4) * np.array([x1 - x0, y1 - y0, x1 - x0, y1 - y0])
    return _cut(pixels, (x0 + moves[0], y0 + moves[1], x1 + moves[2], y1 + moves[3]))


def true_hues(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Mirrored, turned a little, exposed otherwise. Never another hue: colour is what is learned from it."""
    seen = pixels[:, ::-1] if rng.random() < 0.5 else pixels
    if rng.random() < 0.3:
        height, width = seen.shape[:2]
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-12, 12), 1.0)
        seen = np.asarray(
            cv2.warpAffine(np.ascontiguousarray(seen), turn, (width, height), borderMode=cv2.BORDER_REFLECT_101),
            np.uint8,
        )
    steps = np.arange(256) / 255
    table = np.clip(255 * (steps * rng.uniform(0.85, 1.15)) ** rng.uniform(0.85, 1.2), 0, 255).astype(np.uint8)
    return table[seen]


def false_colours(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Hue, saturation, contrast and sharpness changed, and at times a part covered, for the trunk alone."""
    seen = np.ascontiguousarray(pixels)
    if rng.random() < 0.7:
        hsv = cv2.cvtColor(seen, cv2.COLOR_RGB2HSV)
        turned = (hsv[..., 0].astype(np.int16) + int(rng.integers(-12, 13))) % 180
        hsv[..., 0] = turned.astype(np.uint8)
        hsv[..., 1] = np.clip(hsv[..., 1] * rng.uniform(0.4, 1.5), 0, 255).astype(np.uint8)
        seen = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
        low, high = rng.uniform(-40, 40), rng.uniform(215, 295)
        seen = np.clip(np.linspace(low, high, 256), 0, 255).astype(np.uint8)[seen]
    if rng.random() < 0.1:
        seen = np.repeat(cv2.cvtColor(seen, cv2.COLOR_RGB2GRAY)[:, :, None], 3, 2)
    chance = rng.random()
    if chance < 0.1:
        seen = cv2.GaussianBlur(seen, (0, 0), rng.uniform(0.5, 1.8))
    elif chance < 0.25:
        _, data = cv2.imencode(".jpg", seen, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 80))])
        seen = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return _covered(np.asarray(seen, np.uint8), rng) if rng.random() < 0.3 else np.asarray(seen, np.uint8)


def _covered(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """A rectangle of up to a fifth of the picture in one random colour."""
    height, width = pixels.shape[:2]
    h, w = (max(1, int(size * rng.uniform(0.15, 0.45))) for size in (height, width))
    top, left = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
    covered: NDArray[np.uint8] = pixels.copy()
    covered[top : top + h, left : left + w] = rng.integers(0, 256, 3, dtype=np.uint8)
    return covered


def _cut(pixels: Pixels, box: tuple[float, float, float, float]) -> Pixels:
    height, width = pixels.shape[:2]
    left, top = max(0, min(width - 8, round(box[0]))), max(0, min(height - 8, round(box[1])))
    right, bottom = max(left + 8, min(width, round(box[2]))), max(top + 8, min(height, round(box[3])))
    return pixels[top:bottom, left:right]
