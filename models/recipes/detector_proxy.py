"""How a detector may fare on photos of another source, judged without any: held-out photos under shifts.

Photos by the same bloggers lie on both sides of the split, so their mAP flatters. Here the held-out ones are cut
closer, shown smaller, badly lit and compressed, moved to other places, and put beside each other; contributors' phone
photos that no training saw are asked for their one garment, and drawn catalogue photos for theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.ports import Detector
from models.recipes.detection_metrics import DetectionScores
from models.recipes.detector_colour import blended, compressed, emptied
from models.recipes.detector_data import BoxedPhoto
from models.recipes.detector_evaluate import detect, evaluate
from processors.values import CATEGORIES, Pixels

VISIBLE = 0.35
"""A garment of which less is left after a cut is ignored."""


@dataclass(frozen=True, slots=True)
class Named:
    """Photos of one garment each: how many had their surest detection of the right class, and of how many."""

    right: dict[str, int]
    photos: dict[str, int]

    @property
    def share(self) -> float:
        """Over all photos."""
        return sum(self.right.values()) / max(1, sum(self.photos.values()))

    @property
    def mean_of_classes(self) -> float:
        """The mean over classes of the share that is right."""
        return float(np.mean([self.right[name] / count for name, count in self.photos.items()]))


def cut(photo: BoxedPhoto, window: tuple[int, int, int, int]) -> BoxedPhoto:
    """The photo inside (x0, y0, x1, y1); garments of which little is left become ignored regions, others shrink."""
    x0, y0, x1, y1 = window
    inside = np.clip(photo.boxes, (x0, y0, x0, y0), (x1, y1, x1, y1))
    left = np.prod(inside[:, 2:] - inside[:, :2], axis=1)
    share = left / np.maximum(np.prod(photo.boxes[:, 2:] - photo.boxes[:, :2], axis=1), 1)
    there = left > 0
    return replace(
        photo,
        pixels=np.ascontiguousarray(photo.pixels[y0:y1, x0:x1]),
        boxes=(inside - np.array([x0, y0, x0, y0], np.float32))[there].astype(np.float32),
        classes=photo.classes[there],
        ignore=(photo.ignore | (share < VISIBLE))[there],
    )


def closer(photo: BoxedPhoto, *, upper: bool) -> BoxedPhoto:
    """The upper or lower three fifths of what is worn, with a little room beside it."""
    width = photo.pixels.shape[1]
    low, high = photo.boxes[:, :2].min(0), photo.boxes[:, 2:].max(0)
    tall = high[1] - low[1]
    top = low[1] - 0.05 * tall if upper else low[1] + 0.4 * tall
    bottom = low[1] + 0.6 * tall if upper else high[1] + 0.03 * tall
    wide = 0.12 * (high[0] - low[0])
    window = (max(0, int(low[0] - wide)), max(0, int(top)), min(width, int(high[0] + wide)), int(bottom))
    return cut(photo, (*window[:3], min(photo.pixels.shape[0], window[3])))


def smaller(photo: BoxedPhoto) -> BoxedPhoto:
    """The photo at three fifths of its size in a corner of a grey one of its old size."""
    import cv2

    height, width = photo.pixels.shape[:2]
    size = (int(width * 0.6), int(height * 0.6))
    canvas = np.full_like(photo.pixels, 150)
    shift = np.array([width - size[0], height - size[1]]) // 2
    canvas[shift[1] : shift[1] + size[1], shift[0] : shift[0] + size[0]] = cv2.resize(
        photo.pixels, size, interpolation=cv2.INTER_AREA
    )
    return replace(photo, pixels=canvas, boxes=(photo.boxes * 0.6 + np.tile(shift, 2)).astype(np.float32))


def poor(photo: BoxedPhoto) -> BoxedPhoto:
    """Dim, yellow, a little blurred and hard compressed; every other one overexposed instead of dim."""
    import cv2

    gain = 1.6 if photo.id // 5 % 2 else 0.45
    lit = np.clip(photo.pixels * (np.array([1.08, 1.0, 0.8]) * gain), 0, 255).astype(np.uint8)
    return replace(photo, pixels=compressed(np.asarray(cv2.GaussianBlur(lit, (5, 5), 1.2), np.uint8), 30))


def other_colours(photo: BoxedPhoto) -> BoxedPhoto:
    """Red, green and blue change places."""
    return replace(photo, pixels=np.ascontiguousarray(photo.pixels[..., [1, 2, 0]]))


def elsewhere(photos: Sequence[BoxedPhoto], masks: Mapping[int, NDArray[np.uint8]]) -> list[BoxedPhoto]:
    """Each person in the place of the photo before, from which its own person was removed."""
    import cv2

    moved = []
    for index, photo in enumerate(photos):
        place = photos[index - 1]
        size = (photo.pixels.shape[1], photo.pixels.shape[0])
        empty = emptied(place.pixels, masks[place.id])
        hole = cv2.dilate((masks[place.id] > 0).astype(np.uint8), np.ones((9, 9), np.uint8))
        full = cv2.resize(empty, place.pixels.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        ground = np.where(hole[..., None] > 0, full, place.pixels)
        ground = cv2.resize(ground, size, interpolation=cv2.INTER_AREA)[:, ::-1]
        moved.append(replace(photo, pixels=blended(photo.pixels, masks[photo.id], ground)))
    return moved


def together(photos: Sequence[BoxedPhoto]) -> list[BoxedPhoto]:
    """Two people of each three photos beside each other, cut to the middle of their pictures."""
    import cv2

    joined = []
    for first, second in zip(photos[::3], photos[1::3], strict=False):
        parts = [closest(photo) for photo in (first, second)]
        height = 640
        shown: list[Pixels] = []
        boxes: list[NDArray[np.float32]] = []
        offset = 0
        for part in parts:
            scale = height / part.pixels.shape[0]
            width = round(part.pixels.shape[1] * scale)
            shown.append(np.asarray(cv2.resize(part.pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8))
            boxes.append((part.boxes * scale + np.array([offset, 0, offset, 0])).astype(np.float32))
            offset += width
        joined.append(
            BoxedPhoto(
                first.id,
                np.hstack(shown),
                np.concatenate(boxes),
                np.concatenate([p.classes for p in parts]),
                np.concatenate([p.ignore for p in parts]),
            )
        )
    return joined


def closest(photo: BoxedPhoto) -> BoxedPhoto:
    """The whole figure with little room around."""
    height, width = photo.pixels.shape[:2]
    low, high = photo.boxes[:, :2].min(0), photo.boxes[:, 2:].max(0)
    room = 0.08 * (high - low)
    x0, y0 = np.maximum(low - room, 0).astype(int)
    x1, y1 = np.minimum(high + room, (width, height)).astype(int)
    return cut(photo, (int(x0), int(y0), int(x1), int(y1)))


def shifted(photos: Sequence[BoxedPhoto], masks: Mapping[int, NDArray[np.uint8]]) -> dict[str, list[BoxedPhoto]]:
    """The photos under each shift."""
    return {
        "upper body": [closer(photo, upper=True) for photo in photos],
        "lower body": [closer(photo, upper=False) for photo in photos],
        "smaller": [smaller(photo) for photo in photos],
        "poor light": [poor(photo) for photo in photos],
        "other colours": [other_colours(photo) for photo in photos],
        "elsewhere": elsewhere(photos, masks),
        "two people": together(photos),
    }


def read_masks(street: Path, photos: Sequence[BoxedPhoto]) -> dict[int, NDArray[np.uint8]]:
    """The label masks of street photos, by their id."""
    import cv2

    return {
        photo.id: np.asarray(cv2.imread(str(street / "masks" / f"{photo.id:04d}.png"), cv2.IMREAD_GRAYSCALE), np.uint8)
        for photo in photos
    }


def proxy(
    detector: Detector, photos: Sequence[BoxedPhoto], masks: Mapping[int, NDArray[np.uint8]]
) -> dict[str, DetectionScores]:
    """Scores under each shift of a detector that was given the thresholds `EVERYTHING`."""
    return {name: evaluate(detector, pictures) for name, pictures in shifted(photos, masks).items()}


def named(detector: Detector, photos: Sequence[BoxedPhoto]) -> Named:
    """Whether the surest detection has the class of the one garment that the photo is of."""
    right = dict.fromkeys({CATEGORIES[p.category] for p in photos}, 0)
    count = dict(right)
    for photo, found in zip(photos, detect(detector, photos), strict=True):
        own = CATEGORIES[photo.category]
        count[own] += 1
        right[own] += bool(found) and max(found, key=lambda d: d.confidence).category == own
    return Named(right, count)


def report_proxy(scores: Mapping[str, DetectionScores]) -> str:
    """A row a shift: mAP@.5 and every class's AP@.5; the last row is the mean of the mAPs."""
    lines = [f"{'shift':14} mAP@.5 " + " ".join(f"{name[:6]:>6}" for name in CATEGORIES)]
    for name, score in scores.items():
        each = " ".join(f"{score.per_class[c].at_half:6.3f}" for c in CATEGORIES)
        lines.append(f"{name:14} {score.map_half:6.3f} {each}")
    lines.append(f"{'mean':14} {np.mean([s.map_half for s in scores.values()]):6.3f}")
    return "\n".join(lines)
