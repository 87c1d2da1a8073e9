"""Augmentation: warps, pasted people and garments, plain backgrounds, colour. Boxes are measured after all of it.

Pasting follows "Simple Copy-Paste" (arXiv 2012.07177): here whole garments and dressed people cut out by mask.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.recipes.detector_colour import blended, dye, light, other_ground, plain_ground
from models.recipes.detector_data import SLOT, BoxedPhoto, Photo
from processors.values import CATEGORIES, Pixels

LOOSE = (0, 1, 5, 6, 7, 8, 9)
"""Classes that are pasted alone: the small and the rare ones."""
MIN_PIXELS = 24
MIN_VISIBLE = 0.3


@dataclass(frozen=True, slots=True)
class Settings:
    """`scale` of the person against a fitting one; `rotate` in degrees; `light` 1 is full strength (see `light`);
    the others are probabilities.
    """

    scale: tuple[float, float]
    rotate: float
    second_person: float
    loose_garments: float
    plain_background: float
    solo: float
    other_ground: float = 0.0
    dye: float = 0.0
    light: float = 1.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Pixels (H, W, 3); boxes (N, 4) in pixels; classes (N,); ignored [(box, class)]; label map (H, W), 255 unknown;
    `category` of the one garment that the picture is of, -1 where there is no such.
    """

    pixels: Pixels
    boxes: NDArray[np.float32]
    classes: NDArray[np.int64]
    ignored: tuple[tuple[NDArray[np.float32], int], ...]
    labels: NDArray[np.uint8]
    category: int = -1


def street_sample(
    photo: Photo, photos: list[Photo], canvas: tuple[int, int], settings: Settings, rng: np.random.Generator
) -> Sample:
    """One augmented street photo on a canvas of (height, width)."""
    import cv2

    if rng.random() < settings.solo:
        solo = _solo(photo, photos, canvas, settings, rng)
        if solo is not None:
            return solo
    height, width = canvas
    matrix, scale = _affine(photo.pixels.shape[:2], canvas, settings, rng)
    flat = int(rng.integers(60, 200))
    pixels = cv2.warpAffine(
        photo.pixels, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=(flat, flat, flat)
    )
    labels = cv2.warpAffine(photo.labels, matrix, (width, height), flags=cv2.INTER_NEAREST)
    _dress(pixels, labels, photo, settings, rng)
    pixels = _grounded(pixels, labels, photos, settings, rng)
    owners = [(photo, scale)]
    instances = labels.astype(np.int32)
    if rng.random() < settings.second_person:
        for _ in range(int(rng.integers(1, 3))):
            _paste(pixels, instances, owners, photos, settings, rng, whole=True)
    if rng.random() < settings.loose_garments:
        for _ in range(int(rng.integers(1, 4))):
            _paste(pixels, instances, owners, photos, settings, rng, whole=False)
    boxes, classes, ignored = _measure(instances, owners)
    shown = light(pixels, rng, settings.light)
    return Sample(shown, boxes, classes, ignored, (instances % SLOT).astype(np.uint8))


def _dress(
    pixels: Pixels, labels: NDArray[np.uint8], photo: Photo, settings: Settings, rng: np.random.Generator
) -> None:
    """Now and then some of the garments take another colour, in place."""
    if rng.random() < settings.dye:
        for target in photo.targets:
            for label in target.labels:
                if rng.random() < 0.6:
                    dye(pixels, labels, label, rng)


def _grounded(
    pixels: Pixels, labels: NDArray[np.uint8], photos: list[Photo], settings: Settings, rng: np.random.Generator
) -> Pixels:
    """The person where it was, in a studio, or in the place of another photo."""
    chance = rng.random()
    if chance < settings.plain_background:
        return plain_ground(pixels, labels, rng)
    if chance < settings.plain_background + settings.other_ground:
        place = photos[int(rng.integers(len(photos)))]
        if place.empty is not None:
            return other_ground(pixels, labels, place, place.empty, rng)
    return pixels


def boxed_sample(scene: BoxedPhoto, canvas: tuple[int, int], settings: Settings, rng: np.random.Generator) -> Sample:
    """One augmented picture that has boxes only (or a category only): scaled, shifted, flipped, never rotated.

    A picture with a category and no box is ignored everywhere for every class: it teaches by its category alone.
    """
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
    if scene.category >= 0 and not len(scene.boxes):
        everywhere = np.array([0, 0, width, height], np.float32)
        ignored = tuple((everywhere, c) for c in range(len(CATEGORIES)))
    unknown = np.full((height, width), 255, np.uint8)
    shown = light(pixels, rng, settings.light)
    return Sample(shown, boxes[keep], scene.classes[keep], ignored, unknown, scene.category)


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
    _dress(warped, labels, other, settings, rng)
    np.copyto(pixels, blended(warped, labels, pixels))
    put = labels > 0
    instances[put] = labels[put].astype(np.int32) + SLOT * len(owners)
    owners.append((other, area))


def _solo(
    photo: Photo, photos: list[Photo], canvas: tuple[int, int], settings: Settings, rng: np.random.Generator
) -> Sample | None:
    """One garment alone, filling much of the canvas, before a plain ground as shops photograph it or in some place;
    None without one.
    """
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
    _dress(pixels, labels, photo, settings, rng)
    boxes, classes, ignored = _measure(labels.astype(np.int32), [(photo, scale * scale)])
    place = photos[int(rng.integers(len(photos)))]
    if place.empty is not None and rng.random() < settings.other_ground:
        pixels = other_ground(pixels, labels, place, place.empty, rng)
    else:
        pixels = plain_ground(pixels, labels, rng)
    category = int(classes[0]) if len(classes) else -1
    return Sample(light(pixels, rng, settings.light), boxes, classes, ignored, labels, category)


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
