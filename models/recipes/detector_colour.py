"""What augmentation does to pixels in place: light, compression, cloth dyed anew, and other grounds behind a person.

A detector that saw eight hundred photos by a few bloggers knows their cameras, walls and wardrobes. All of these are
there so that it cannot lean on them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from processors.values import Pixels

if TYPE_CHECKING:
    from models.recipes.detector_data import Photo


def light(pixels: Pixels, rng: np.random.Generator, strength: float = 1.0) -> Pixels:
    """Hue, saturation, brightness, gamma, a cast, and now and then grey, blur, noise, few pixels or hard compression."""
    import cv2

    level = np.arange(256)
    turn = 18 if rng.random() < 0.3 * strength else 5
    turned = (level + int(rng.integers(-turn, turn + 1))) % 180
    gains = 1 + rng.uniform(-1, 1, 2) * (0.5 * strength, 0.35 * strength)
    hsv = cv2.LUT(cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV), _table(turned, level * gains[0], level * gains[1]))
    pixels = np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)
    if rng.random() < 0.5 * strength:  # gamma, and a cast of colour as indoor light gives
        ramp = (level / 255) ** np.exp(rng.uniform(-0.45, 0.45)) * 255
        casts = 1 + rng.uniform(-0.12, 0.12, 3)
        pixels = np.asarray(cv2.LUT(pixels, _table(*(ramp * cast for cast in casts))), np.uint8)
    chance = rng.random(5)
    if chance[0] < 0.05 * strength:
        pixels = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if chance[1] < 0.15 * strength:
        pixels = cv2.GaussianBlur(pixels, (3, 3), float(rng.uniform(0.4, 1.3)))
    elif chance[2] < 0.15 * strength:
        height, width = pixels.shape[:2]
        few = cv2.resize(pixels, None, fx=(f := float(rng.uniform(0.45, 0.8))), fy=f, interpolation=cv2.INTER_AREA)
        pixels = cv2.resize(few, (width, height), interpolation=cv2.INTER_LINEAR)
    if chance[3] < 0.1 * strength:
        pixels = np.clip(pixels + rng.normal(0, float(rng.uniform(2, 10)), pixels.shape), 0, 255).astype(np.uint8)
    if chance[4] < 0.25 * strength:
        pixels = compressed(pixels, int(rng.integers(25, 80)))
    return np.ascontiguousarray(pixels)


def _table(*channels: NDArray[np.generic]) -> NDArray[np.uint8]:
    """What OpenCV looks each byte of each channel up in, (1, 256, channels)."""
    return np.clip(np.stack(channels, axis=-1), 0, 255).astype(np.uint8)[None]


def compressed(pixels: Pixels, quality: int) -> Pixels:
    """The picture as JPEG of this quality would keep it."""
    import cv2

    _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def dye(pixels: Pixels, labels: NDArray[np.uint8], label: int, rng: np.random.Generator) -> None:
    """Give the cloth of one mask label another colour, in place; folds, prints and shadows stay."""
    import cv2

    x, y, w, h = cv2.boundingRect((labels == label).astype(np.uint8))
    if w < 2 or h < 2:
        return
    part, mask = pixels[y : y + h, x : x + w], labels[y : y + h, x : x + w] == label
    lab = cv2.cvtColor(part, cv2.COLOR_RGB2LAB).astype(np.float32)
    lab[..., 0] = lab[..., 0] * rng.uniform(0.7, 1.25) + rng.uniform(-30, 30)
    angle = rng.uniform(0, 2 * np.pi)
    rows = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float32)
    lab[..., 1:] = (lab[..., 1:] - 128) @ rows * rng.uniform(0.5, 1.5) + 128 + rng.uniform(-22, 22, 2)
    part[mask] = cv2.cvtColor(np.clip(lab, 0, 255).astype(np.uint8), cv2.COLOR_LAB2RGB)[mask]


def emptied(pixels: Pixels, labels: NDArray[np.uint8]) -> Pixels:
    """The place without its person, a quarter as wide: the hole is filled from its rim (Telea), which blurs it."""
    import cv2

    size = (max(8, pixels.shape[1] // 4), max(8, pixels.shape[0] // 4))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    hole = cv2.resize((labels > 0).astype(np.uint8), size, interpolation=cv2.INTER_AREA)
    hole = cv2.dilate((hole > 0).astype(np.uint8), np.ones((5, 5), np.uint8))
    return np.asarray(cv2.inpaint(small, hole, 3, cv2.INPAINT_TELEA), np.uint8)


def other_ground(
    pixels: Pixels, labels: NDArray[np.uint8], photo: Photo, empty: Pixels, rng: np.random.Generator
) -> Pixels:
    """The person of `pixels` in the place of `photo`: its own pixels where nobody stood, `empty`'s where somebody did."""
    import cv2

    height, width = labels.shape
    there = photo.pixels.shape[:2]
    scale = max(height / there[0], width / there[1]) * float(rng.uniform(1.0, 1.8))
    shift = (np.array([width, height]) - scale * np.array([there[1], there[0]])) * rng.random(2)
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    if rng.random() < 0.5:
        matrix = np.array([[-1, 0, width - 1], [0, 1, 0], [0, 0, 1]])[:2, :2] @ matrix
        matrix[0, 2] += width - 1
    ground = cv2.warpAffine(photo.pixels, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
    hole = cv2.warpAffine((photo.labels > 0).astype(np.uint8), matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
    if hole.any():
        to_full = matrix.copy()
        to_full[:, :2] = matrix[:, :2] * (there[1] / empty.shape[1])
        full = cv2.warpAffine(empty, to_full, (width, height), borderMode=cv2.BORDER_REFLECT)
        soft = cv2.GaussianBlur(cv2.dilate(hole, np.ones((5, 5), np.uint8)).astype(np.float32), (5, 5), 0)[..., None]
        ground = (full * soft + ground * (1 - soft)).astype(np.uint8)
    return blended(pixels, labels, ground)


def plain_ground(pixels: Pixels, labels: NDArray[np.uint8], rng: np.random.Generator) -> Pixels:
    """The person before a studio background: one colour with a gradient, mostly light."""
    height, width = labels.shape
    top, bottom = (rng.uniform(120, 255, 3) if rng.random() < 0.7 else rng.uniform(20, 255, 3) for _ in range(2))
    if rng.random() < 0.6:
        bottom = top * rng.uniform(0.85, 1.0)
    ramp = np.linspace(0, 1, height)[:, None, None]
    ground = np.broadcast_to(top * (1 - ramp) + bottom * ramp, (height, width, 3))
    return blended(pixels, labels, ground + rng.normal(0, 2, (height, width, 1)))


def blended(pixels: Pixels, labels: NDArray[np.uint8], ground: NDArray[np.generic]) -> Pixels:
    """`pixels` where there is a label, `ground` elsewhere, with an edge of a pixel or two."""
    import cv2

    soft = cv2.GaussianBlur((labels > 0).astype(np.float32), (3, 3), 0)[..., None]
    mixed: NDArray[np.float64] = pixels * soft + ground * (1 - soft)
    return np.clip(mixed, 0, 255).astype(np.uint8)
