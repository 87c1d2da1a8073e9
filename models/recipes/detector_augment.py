"""Augmentation: warps, pasted people and garments, plain backgrounds, colour. Boxes are measured after all of it.

Pasting follows "Simple Copy-Paste" (arXiv 2012.07177): here whole garments and dressed people cut out by mask.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.recipes.detector_data import SLOT, BoxedPhoto, Photo
from processors.values import Pixels

LOOSE = (0, 1, 5, 6, 7, 8, 9)
"""Classes that are pasted alone: the small and the rare ones."""
MIN_PIXELS = 24
MIN_VISIBLE = 0.3


@dataclass(frozen=True, slots=True)
class Settings:
    """`scale` of the person against a fitting one; `rotate` in degrees; the others are probabilities."""

    scale: tuple[float, float]
    rotate: float
    second_person: float
    loose_garments: float
    plain_background: float
    solo: float


@dataclass(frozen=True, slots=True)
class Sample:
    """Pixels (H, W, 3); boxes (N, 4) in pixels; classes (N,); ignored [(box, class)]; label map (H, W), 255 unknown."""

    pixels: Pixels
    boxes: NDArray[np.float32]
    classes: NDArray[np.int64]
    ignored: tuple[tuple[NDArray[np.float32], int], ...]
    labels: NDArray[np.uint8]


def street_sample(
    photo: Photo, photos: list[Photo], canvas: tuple[int, int], settings: Settings, rng: np.random.Generator
) -> Sample:
    """One augmented street photo on a canvas of (height, width)."""
    import cv2

    height, width = canvas
    matrix, scale = _affine(photo.pixels.shape[:2], canvas, settings, rng)
    flat = int(rng.integers(60, 200))
    pixels = cv2.warpAffine(
        photo.pixels, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=(flat, flat, flat)
    )
    labels = cv2.warpAffine(photo.labels, matrix, (width, height), flags=cv2.INTER_NEAREST)
    if rng.random() < settings.plain_background:
        pixels = _plain(pixels, labels, rng)
    owners = [(photo, scale)]
    instances = labels.astype(np.int32)
    if rng.random() < settings.solo:
        solo = _solo(photo, canvas, rng)
        if solo is not None:
            return solo
    if rng.random() < settings.second_person:
        _paste(pixels, instances, owners, photos, settings, rng, whole=True)
    if rng.random() < settings.loose_garments:
        for _ in range(int(rng.integers(1, 4))):
            _paste(pixels, instances, owners, photos, settings, rng, whole=False)
    boxes, classes, ignored = _measure(instances, owners)
    return Sample(_colour(pixels, rng), boxes, classes, ignored, (instances % SLOT).astype(np.uint8))


def boxed_sample(scene: BoxedPhoto, canvas: tuple[int, int], settings: Settings, rng: np.random.Generator) -> Sample:
    """One augmented picture that has boxes only: scaled, shifted, flipped, never rotated."""
    import cv2

    height, width = canvas
    still = Settings(settings.scale, 0.0, 0.0, 0.0, 0.0, 0.0)
    matrix, _ = _affine(scene.pixels.shape[:2], canvas, still, rng)
    pixels = cv2.warpAffine(scene.pixels, matrix, (width, height), borderValue=(128, 128, 128))
    linear, shift = matrix[:, :2], matrix[:, 2]
    first, second = scene.boxes[:, :2] @ linear.T + shift, scene.boxes[:, 2:] @ linear.T + shift
    whole = np.concatenate([np.minimum(first, second), np.maximum(first, second)], axis=1)
    boxes = np.clip(whole, 0, (width, height, width, height)).astype(np.float32)
    visible = _areas(boxes) / np.maximum(_areas(whole), 1)
    keep = (visible > MIN_VISIBLE) & (_areas(boxes) > MIN_PIXELS)
    gone = ~keep & (_areas(boxes) > 0)
    ignored = tuple((box, int(c)) for box, c in zip(boxes[gone], scene.classes[gone], strict=True))
    unknown = np.full((height, width), 255, np.uint8)
    return Sample(_colour(pixels, rng), boxes[keep], scene.classes[keep], ignored, unknown)


def _areas(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _affine(
    shape: tuple[int, ...], canvas: tuple[int, int], settings: Settings, rng: np.random.Generator
) -> tuple[NDArray[np.float64], float]:
    """A random similarity (a little stretched) from a picture of `shape` to `canvas`, and its area scale."""
    height, width = canvas
    low, high = np.log(settings.scale)
    fit = min(height / shape[0], width / shape[1])
    scale = fit * float(np.exp(rng.uniform(low, high)))
    stretch = float(np.exp(rng.uniform(-0.12, 0.12)))
    angle = np.deg2rad(rng.uniform(-settings.rotate, settings.rotate))
    flip = -1.0 if rng.random() < 0.5 else 1.0
    linear = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = linear @ np.diag([scale * stretch * flip, scale / stretch])
    # The centre may wander by half of what the picture leaves free, or half of what it overhangs.
    spare = np.abs(np.array([width - shape[1] * scale, height - shape[0] * scale])) / 2 + 0.05 * np.array(canvas[::-1])
    centre = np.array([width, height]) / 2 + rng.uniform(-1, 1, 2) * spare
    shift = centre - linear @ (np.array([shape[1], shape[0]]) / 2)
    return np.concatenate([linear, shift[:, None]], axis=1), scale * scale


def _paste(
    pixels: Pixels,
    instances: NDArray[np.int32],
    owners: list[tuple[Photo, float]],
    photos: list[Photo],
    settings: Settings,
    rng: np.random.Generator,
    *,
    whole: bool,
) -> None:
    """Cut a dressed person (or one garment) out of another photo and put it down, in place."""
    import cv2

    other = photos[int(rng.integers(len(photos)))]
    if whole:
        cut = other.labels > 0
    else:
        loose = [t for t in other.targets if not t.ignore and t.classes[0] in LOOSE]
        if not loose:
            return
        cut = np.isin(other.labels, loose[int(rng.integers(len(loose)))].labels)
    x, y, w, h = cv2.boundingRect(cut.astype(np.uint8))
    if w * h < MIN_PIXELS:
        return
    height, width = instances.shape
    # A whole person fits the canvas; a garment keeps the size it had on its wearer, give or take.
    matrix, area = _affine(other.labels.shape, (height, width), settings, rng)
    target = rng.uniform(0.1, 0.9, 2) * (width, height)
    matrix[:, 2] = target - matrix[:, :2] @ (x + w / 2, y + h / 2)
    warped = cv2.warpAffine(other.pixels, matrix, (width, height), flags=cv2.INTER_LINEAR)
    labels = cv2.warpAffine(np.where(cut, other.labels, 0), matrix, (width, height), flags=cv2.INTER_NEAREST)
    soft = cv2.GaussianBlur((labels > 0).astype(np.float32), (3, 3), 0)[..., None]
    np.copyto(pixels, (warped * soft + pixels * (1 - soft)).astype(np.uint8))
    put = labels > 0
    instances[put] = labels[put].astype(np.int32) + SLOT * len(owners)
    owners.append((other, area))


def _solo(photo: Photo, canvas: tuple[int, int], rng: np.random.Generator) -> Sample | None:
    """One garment alone before a plain ground, filling much of the canvas, as shops photograph it; None without one."""
    import cv2

    garments = [t for t in photo.targets if not t.ignore]
    if not garments:
        return None
    target = garments[int(rng.integers(len(garments)))]
    cut = np.isin(photo.labels, target.labels)
    x, y, w, h = cv2.boundingRect(cut.astype(np.uint8))
    height, width = canvas
    scale = min(width / max(w, 1), height / max(h, 1)) * float(rng.uniform(0.35, 0.97))
    if scale > 8:  # sunglasses blown up to the whole picture are a smear
        return None
    free = np.array([width - w * scale, height - h * scale])
    shift = free * rng.uniform(0, 1, 2) - scale * np.array([x, y])
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    pixels = cv2.warpAffine(photo.pixels, matrix, (width, height), flags=cv2.INTER_LINEAR)
    labels = cv2.warpAffine(np.where(cut, photo.labels, 0), matrix, (width, height), flags=cv2.INTER_NEAREST)
    boxes, classes, ignored = _measure(labels.astype(np.int32), [(photo, scale * scale)])
    return Sample(_colour(_plain(pixels, labels, rng), rng), boxes, classes, ignored, labels)


def _measure(
    instances: NDArray[np.int32], owners: list[tuple[Photo, float]]
) -> tuple[NDArray[np.float32], NDArray[np.int64], tuple[tuple[NDArray[np.float32], int], ...]]:
    """Boxes of all targets that are still there; hardly visible ones are ignored instead of learnt."""
    import cv2

    boxes: list[NDArray[np.float32]] = []
    classes: list[int] = []
    ignored: list[tuple[NDArray[np.float32], int]] = []
    for slot, (photo, area) in enumerate(owners):
        counts = np.bincount(photo.labels.ravel(), minlength=SLOT)
        for target in photo.targets:
            mask = np.isin(instances, [slot * SLOT + label for label in target.labels])
            x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
            seen = int(mask.sum())
            if seen < 6 or min(w, h) < 2:
                continue
            box = np.array([x, y, x + w, y + h], np.float32)
            before = sum(int(counts[label]) for label in target.labels) * area
            if target.ignore or seen < MIN_PIXELS or seen < MIN_VISIBLE * before:
                ignored += [(box, c) for c in target.classes]
            else:
                boxes.append(box)
                classes.append(target.classes[0])
    return np.array(boxes, np.float32).reshape(-1, 4), np.array(classes, np.int64), tuple(ignored)


def _plain(pixels: Pixels, labels: NDArray[np.uint8], rng: np.random.Generator) -> Pixels:
    """The person before a studio background: one colour with a gradient, mostly light."""
    import cv2

    height, width = labels.shape
    top, bottom = (rng.uniform(120, 255, 3) if rng.random() < 0.7 else rng.uniform(20, 255, 3) for _ in range(2))
    if rng.random() < 0.6:
        bottom = top * rng.uniform(0.85, 1.0)
    ramp = np.linspace(0, 1, height)[:, None, None]
    ground = np.broadcast_to(top * (1 - ramp) + bottom * ramp, (height, width, 3))
    soft = cv2.GaussianBlur((labels > 0).astype(np.float32), (3, 3), 0)[..., None]
    mixed: NDArray[np.float64] = pixels * soft + ground * (1 - soft) + rng.normal(0, 2, (height, width, 1))
    return np.clip(mixed, 0, 255).astype(np.uint8)


def _colour(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Hue, saturation, brightness, contrast, and now and then grey, blur or noise."""
    import cv2

    hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV).astype(np.int16)
    gains = 1 + rng.uniform(-1, 1, 2) * (0.5, 0.35)
    hue = (hsv[..., 0] + int(rng.integers(-6, 7))) % 180
    rest = np.clip(hsv[..., 1:] * gains, 0, 255)
    pixels = cv2.cvtColor(np.dstack([hue, rest]).astype(np.uint8), cv2.COLOR_HSV2RGB)
    if rng.random() < 0.25:  # a cast of colour, as indoor light gives
        pixels = np.clip(pixels * (1 + rng.uniform(-0.12, 0.12, 3)), 0, 255).astype(np.uint8)
    if rng.random() < 0.05:
        pixels = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if rng.random() < 0.12:
        pixels = cv2.GaussianBlur(pixels, (3, 3), float(rng.uniform(0.4, 1.2)))
    if rng.random() < 0.08:
        noisy = pixels + rng.normal(0, float(rng.uniform(2, 8)), pixels.shape)
        pixels = np.clip(noisy, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(pixels)
