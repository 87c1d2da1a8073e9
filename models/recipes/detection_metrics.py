"""Average precision by the rules of COCO (cocodataset.org/#detection-eval), in numpy.

Per class and IoU threshold, detections are matched in descending confidence to the free truth they overlap most; a
truth marked `ignore` (COCO's `iscrowd`) absorbs any number of detections, which then count neither way, and its overlap
is measured against the detection's own area. Precision is made monotone and read at 101 recalls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

THRESHOLDS: tuple[float, ...] = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
RECALLS = np.linspace(0, 1, 101)
MAX_DETECTIONS = 100
"""A picture's detections beyond the hundred most confident are dropped, as COCO does."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What is in one picture: boxes (N, 4) as corners, classes (N,), ignore (N,)."""

    boxes: NDArray[np.float32]
    classes: NDArray[np.int64]
    ignore: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Found:
    """What was detected in one picture: boxes (M, 4) as corners, classes (M,), confidences (M,)."""

    boxes: NDArray[np.float32]
    classes: NDArray[np.int64]
    confidences: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class AveragePrecision:
    """AP of one class: at IoU .5, and the mean over .5:.95; NaN where the pictures hold no such thing."""

    at_half: float
    mean: float
    instances: int


@dataclass(frozen=True, slots=True)
class DetectionScores:
    """mAP over the classes that occur, and each class's own."""

    map_half: float
    map_mean: float
    per_class: dict[str, AveragePrecision] = field(default_factory=dict)


def overlaps(found: NDArray[np.float32], truth: NDArray[np.float32], ignore: NDArray[np.bool_]) -> NDArray[np.float64]:
    """IoU (M, N) of corner boxes; for ignored truths the intersection over the detection's own area."""
    low = np.maximum(found[:, None, :2], truth[None, :, :2])
    high = np.minimum(found[:, None, 2:], truth[None, :, 2:])
    both = np.prod(np.clip(high - low, 0, None).astype(np.float64), axis=2)
    own = np.prod((found[:, 2:] - found[:, :2]).astype(np.float64), axis=1)[:, None]
    other = np.prod((truth[:, 2:] - truth[:, :2]).astype(np.float64), axis=1)[None]
    union = np.where(ignore[None], own, own + other - both)
    iou: NDArray[np.float64] = np.divide(both, union, out=np.zeros_like(both), where=union > 0)
    return iou


def match(iou: NDArray[np.float64], ignore: NDArray[np.bool_], threshold: float) -> NDArray[np.int8]:
    """Greedy matching of detections (rows, most confident first): 1 true, 0 false, -1 does not count."""
    verdict = np.zeros(len(iou), np.int8)
    if not iou.shape[1]:
        return verdict
    taken = np.zeros(iou.shape[1], np.bool_)
    for row, ious in enumerate(iou):
        free = np.where(taken | ignore, -1.0, ious)
        best = int(free.argmax())
        if free[best] >= threshold:
            taken[best] = True
            verdict[row] = 1
        elif ignore.any() and ious[ignore].max() >= threshold:
            verdict[row] = -1
    return verdict


def average_precision(verdicts: NDArray[np.int8], confidences: NDArray[np.float32], positives: int) -> float:
    """101-point AP of one class at one threshold; NaN when there is nothing to find."""
    if not positives:
        return float("nan")
    order = np.argsort(-confidences, kind="stable")
    counted = verdicts[order][verdicts[order] >= 0]
    if not len(counted):
        return 0.0
    true = np.cumsum(counted)
    recall = true / positives
    precision = np.maximum.accumulate((true / np.arange(1, len(counted) + 1))[::-1])[::-1]
    at = np.searchsorted(recall, RECALLS, side="left")
    return float(np.where(at < len(precision), precision[np.minimum(at, len(precision) - 1)], 0.0).mean())


def score(truths: Sequence[Truth], founds: Sequence[Found], classes: Sequence[str]) -> DetectionScores:
    """Scores of `founds[i]` against `truths[i]`; `classes[k]` names class k.

    Raises:
        ValueError: when the two lists differ in length.
    """
    per_class = {}
    for index, name in enumerate(classes):
        rows = [_one_class(t, f, index) for t, f in zip(truths, founds, strict=True)]
        confidences = np.concatenate([c for _, c, _ in rows]) if rows else np.zeros(0, np.float32)
        positives = sum(int(n) for _, _, n in rows)
        each = [
            average_precision(np.concatenate([v[k] for v, _, _ in rows]), confidences, positives)
            if rows
            else float("nan")
            for k in range(len(THRESHOLDS))
        ]
        per_class[name] = AveragePrecision(each[0], float(np.mean(each)), positives)
    present = [ap for ap in per_class.values() if ap.instances]
    if not present:
        return DetectionScores(float("nan"), float("nan"), per_class)
    return DetectionScores(
        float(np.mean([ap.at_half for ap in present])), float(np.mean([ap.mean for ap in present])), per_class
    )


def _one_class(truth: Truth, found: Found, index: int) -> tuple[list[NDArray[np.int8]], NDArray[np.float32], int]:
    """One picture, one class: the verdicts at every threshold, the confidences, and how many there are to find."""
    top = np.argsort(-found.confidences, kind="stable")[:MAX_DETECTIONS]
    mine = top[found.classes[top] == index]
    wanted = truth.classes == index
    ignore = truth.ignore[wanted]
    iou = overlaps(found.boxes[mine], truth.boxes[wanted], ignore)
    return [match(iou, ignore, t) for t in THRESHOLDS], found.confidences[mine], int((~ignore).sum())
