"""Measure a detector: mAP by the rules of COCO, precision and recall at a serving confidence, and pictures to look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.detector.yolo_detector import Thresholds
from models.ports import Detector
from models.recipes.detection_metrics import DetectionScores, Found, Truth, match, overlaps, score
from models.recipes.detector_data import BoxedPhoto
from processors.values import CATEGORIES, Detection

EVERYTHING = Thresholds(confidence=0.001, iou=0.6, duplicate_iou=1.0)
"""The integral of average precision wants every detection, however unsure."""
COLOURS = ((230, 25, 75), (60, 180, 75), (255, 225, 25), (0, 130, 200), (245, 130, 48)) * 2


@dataclass(frozen=True, slots=True)
class Operating:
    """Precision and recall (IoU .5, ignored truths as COCO has them) of all detections at `confidence`."""

    confidence: float
    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def detect(detector: Detector, photos: Sequence[BoxedPhoto]) -> list[tuple[Detection, ...]]:
    """What `detector` finds in each photo, one at a time."""
    answers = []
    for photo in photos:
        raw = detector.forward([detector.prepare(photo.pixels)])
        answers.append(detector.finish(photo.pixels, raw[0]))
    return answers


def as_found(detections: Sequence[Detection]) -> Found:
    """Detections as the metrics want them."""
    return Found(
        np.array([d.box for d in detections], np.float32).reshape(-1, 4),
        np.array([CATEGORIES.index(d.category) for d in detections], np.int64),
        np.array([d.confidence for d in detections], np.float32),
    )


def as_truth(photo: BoxedPhoto) -> Truth:
    """A photo's annotation as the metrics want it."""
    return Truth(photo.boxes, photo.classes, photo.ignore)


def evaluate(detector: Detector, photos: Sequence[BoxedPhoto]) -> DetectionScores:
    """Mean average precision of a detector that was given the thresholds `EVERYTHING`."""
    founds = [as_found(found) for found in detect(detector, photos)]
    return score([as_truth(photo) for photo in photos], founds, CATEGORIES)


def operating_points(
    photos: Sequence[BoxedPhoto], answers: Sequence[Sequence[Detection]], confidences: Sequence[float]
) -> Iterator[Operating]:
    """Precision and recall, pooled over classes, when detections below each confidence are dropped."""
    for confidence in confidences:
        right = wrong = wanted = 0
        for photo, answer in zip(photos, answers, strict=True):
            found = as_found([d for d in answer if d.confidence >= confidence])
            for category in range(len(CATEGORIES)):
                mine, true = found.classes == category, photo.classes == category
                ignore = photo.ignore[true]
                verdict = match(overlaps(found.boxes[mine], photo.boxes[true], ignore), ignore, 0.5)
                right += int((verdict == 1).sum())
                wrong += int((verdict == 0).sum())
                wanted += int((~ignore).sum())
        yield Operating(confidence, right / max(1, right + wrong), right / max(1, wanted))


def report(scores: DetectionScores) -> str:
    """One line: mAP, and AP@.5 of each class with the number of its instances."""
    each = " ".join(f"{name} {ap.at_half:.3f} ({ap.instances})" for name, ap in scores.per_class.items())
    return f"mAP@.5 {scores.map_half:.4f} mAP@.5:.95 {scores.map_mean:.4f} | {each}"


def sheet(photos: Sequence[BoxedPhoto], answers: Sequence[Sequence[Detection]], path: Path, *, columns: int) -> None:
    """A contact sheet (PNG): each photo within 300 by 400 pixels, with its detections."""
    import cv2

    tiles = []
    for photo, answer in zip(photos, answers, strict=True):
        scale = min(400 / photo.pixels.shape[0], 300 / photo.pixels.shape[1])
        size = (round(photo.pixels.shape[1] * scale), round(photo.pixels.shape[0] * scale))
        tile = np.full((404, 304, 3), 255, np.uint8)
        tile[: size[1], : size[0]] = cv2.resize(photo.pixels, size, interpolation=cv2.INTER_AREA)
        for found in answer:
            colour = COLOURS[CATEGORIES.index(found.category)]
            x0, y0, x1, y1 = (round(value * scale) for value in found.box)
            cv2.rectangle(tile, (x0, y0), (x1, y1), colour, 2)
            text = f"{found.category} {found.confidence:.2f}"
            cv2.putText(tile, text, (x0 + 2, max(10, y0 + 12)), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 3)
            cv2.putText(tile, text, (x0 + 2, max(10, y0 + 12)), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1)
        tiles.append(tile)
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    cv2.imwrite(str(path), cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))
