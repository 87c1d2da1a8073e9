"""Mean average precision of a detector by the rules of COCO, on anybody's photos and boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.guard import Guarded
from models.recipes.detection_metrics import RECALLS, THRESHOLDS, match, overlaps
from models.yardsticks.intervals import Interval, resampled
from models.yardsticks.photos import Photos, Tick, UnreadableInput, in_batches, load_all, quietly
from models.yardsticks.tables import Coco
from processors.errors import Poison
from processors.values import CATEGORIES, Box, Detection, Pixels
from processors.vocabulary import canonical, clean

MAX_DETECTIONS = 100
"""A picture's detections of one class beyond the hundred most confident are dropped, as COCO does."""
ROUNDS = 200


class ClassScore(msgspec.Struct, frozen=True):
    """Average precision of one class, 0..1, and how many there were to find."""

    map50: float
    map50_95: float
    instances: int


class DetectionReport(msgspec.Struct, frozen=True):
    """`weft eval detector --json`. Means are over the classes that occur; intervals are 95 %, over pictures."""

    map50: float
    map50_95: float
    map50_ci: Interval
    map50_95_ci: Interval
    per_class: dict[str, ClassScore]
    images: int
    instances: int
    missing: tuple[str, ...]
    refused: tuple[UnreadableInput, ...]
    other_categories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scene:
    """What is in one picture: boxes (N, 4) as corners in its pixels, classes (N,), which are ignored (N,)."""

    path: str
    boxes: NDArray[np.float64]
    classes: NDArray[np.int64]
    ignore: NDArray[np.bool_]


def bare(path: str) -> Scene:
    """A picture of which only what is found in it is wanted."""
    return Scene(path, np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0, np.bool_))


@dataclass(frozen=True, slots=True)
class Judged:
    """Scenes and what was found in them, in the same order."""

    scenes: tuple[Scene, ...]
    found: tuple[tuple[Detection, ...], ...]
    refused: tuple[UnreadableInput, ...]


@dataclass(frozen=True, slots=True)
class Verdicts:
    """One class: a row a detection of any picture, most confident first.

    `right` (thresholds, detections): 1 true, 0 false, -1 does not count. `picture` (detections,): whose it is.
    `wanted` (pictures,): how many there are to find in each.
    """

    right: NDArray[np.int8]
    picture: NDArray[np.int64]
    confidence: NDArray[np.float64]
    wanted: NDArray[np.float64]


def category_of(name: str) -> str | None:
    """Our category for a name of somebody else's ("Trousers" → "pants"); None when we have none."""
    own = clean(name)
    if own in CATEGORIES:
        return own
    known = canonical("category", name)
    return known if known in CATEGORIES else None


def scenes_of(coco: Coco, photos: Photos) -> tuple[tuple[Scene, ...], tuple[str, ...], tuple[str, ...]]:
    """The pictures of a COCO file that are there, the names of those that are not, and the categories that are not ours.

    Boxes of categories that Weft has no word for are left out, on both sides: nothing is claimed about them.

    Raises:
        Poison: none of the pictures is there, or none of the categories is ours.
    """
    names = {category.id: category_of(category.name) for category in coco.categories}
    others = tuple(sorted(c.name for c in coco.categories if names[c.id] is None))
    if all(name is None for name in names.values()):
        raise Poison(f"none of the categories ({', '.join(others)}) is one of {', '.join(CATEGORIES)}")
    boxes: dict[int | str, list[tuple[Box, int, bool]]] = {}
    for box in coco.annotations:
        name = names[box.category_id]
        if name is not None:
            x, y, width, height = box.bbox
            entry = ((x, y, x + width, y + height), CATEGORIES.index(name), bool(box.iscrowd))
            boxes.setdefault(box.image_id, []).append(entry)
    scenes, missing = [], []
    for image in coco.images:
        path = photos.find(image.file_name)
        if path is None:
            missing.append(image.file_name)
            continue
        own = boxes.get(image.id, [])
        scenes.append(
            Scene(
                path,
                np.array([b for b, _, _ in own], np.float64).reshape(-1, 4),
                np.array([c for _, c, _ in own], np.int64),
                np.array([i for _, _, i in own], np.bool_),
            )
        )
    if not scenes:
        raise Poison(f"{photos.root} holds none of the {len(missing)} images of the file, such as {missing[0]!r}")
    return tuple(scenes), tuple(missing), others


def detect(
    detector: Guarded[Pixels, tuple[Detection, ...]],
    scenes: Sequence[Scene],
    photos: Photos,
    *,
    batch: int = 16,
    tick: Tick = quietly,
) -> Judged:
    """Run the detector over the pictures that can be read; boxes come back in pixels of the original."""
    refused: list[UnreadableInput] = []
    kept: list[Scene] = []
    found: list[tuple[Detection, ...]] = []
    for group in in_batches(load_all(photos, [scene.path for scene in scenes], refused), batch):
        pictures = [picture.decoded for _, picture in group]
        answers = detector.run([picture.pixels for picture in pictures])
        kept += [scenes[index] for index, _ in group]
        found += [_enlarged(a, 1 / picture.scale) for a, picture in zip(answers, pictures, strict=True)]
        tick(len(group))
    if not kept:
        raise Poison(f"{photos.root}: none of {len(scenes)} photos can be read, such as {refused[0].cause}")
    return Judged(tuple(kept), tuple(found), tuple(refused))


def _enlarged(found: Sequence[Detection], by: float) -> tuple[Detection, ...]:
    return tuple(
        Detection(d.category, (d.box[0] * by, d.box[1] * by, d.box[2] * by, d.box[3] * by), d.confidence) for d in found
    )


def verdicts(judged: Judged, index: int) -> Verdicts:
    """Match the detections of class `index` (in `CATEGORIES`) at every IoU threshold of COCO."""
    name = CATEGORIES[index]
    right, picture, confidence = [], [], []
    wanted = np.zeros(len(judged.scenes), np.float64)
    for number, (scene, found) in enumerate(zip(judged.scenes, judged.found, strict=True)):
        mine = sorted((d for d in found if d.category == name), key=lambda d: -d.confidence)[:MAX_DETECTIONS]
        boxes, ignore = scene.boxes[scene.classes == index], scene.ignore[scene.classes == index]
        wanted[number] = (~ignore).sum()
        if not mine:
            continue
        corners = np.array([d.box for d in mine], np.float64)
        # float64 throughout: an IoU of exactly .5 must not fall to either side by rounding.
        iou = overlaps(corners, boxes, ignore)  # type: ignore[arg-type]
        right.append(np.stack([match(iou, ignore, threshold) for threshold in THRESHOLDS]))
        picture += [number] * len(mine)
        confidence += [d.confidence for d in mine]
    order = np.argsort(-np.array(confidence, np.float64), kind="stable")
    joined = np.concatenate(right, axis=1) if right else np.zeros((len(THRESHOLDS), 0), np.int8)
    return Verdicts(joined[:, order], np.array(picture, np.int64)[order], np.array(confidence)[order], wanted)


def average_precision(of: Verdicts, counts: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """AP at each IoU threshold (10,), by the integral over 101 recalls; NaN where nothing is to be found.

    Args:
        of: the class.
        counts: how often each picture counts (pictures,); None: once.
    """
    weights = np.ones(len(of.wanted)) if counts is None else counts
    positives = float(of.wanted @ weights)
    if positives <= 0:
        return np.full(len(THRESHOLDS), np.nan)
    weight = weights[of.picture]
    found = np.zeros(len(THRESHOLDS), np.float64)
    for row, right in enumerate(of.right):
        recall, precision = _curve(right, weight, positives)
        if len(recall):
            at = np.searchsorted(recall, RECALLS, side="left")
            found[row] = np.where(at < len(recall), precision[np.minimum(at, len(recall) - 1)], 0.0).mean()
    return found


def curve(of: Verdicts, threshold: float = 0.5) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(recall, precision made monotone) of one class as confidence falls."""
    return _curve(of.right[THRESHOLDS.index(threshold)], np.ones(len(of.picture)), float(of.wanted.sum()))


def _curve(
    right: NDArray[np.int8], weight: NDArray[np.float64], positives: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    counted = np.where(right >= 0, weight, 0.0)
    true = np.cumsum(np.where(right == 1, weight, 0.0))
    all_ = np.cumsum(counted)
    kept = counted > 0
    if not kept.any() or positives <= 0:
        return np.zeros(0), np.zeros(0)
    precision = np.maximum.accumulate((true[kept] / all_[kept])[::-1])[::-1]
    return true[kept] / positives, precision


def report(judged: Judged, missing: Sequence[str] = (), others: Sequence[str] = ()) -> DetectionReport:
    """Score what `detect` gave of a detector that keeps nearly everything (confidence about .001)."""
    of = [verdicts(judged, index) for index in range(len(CATEGORIES))]
    each = {name: average_precision(v) for name, v in zip(CATEGORIES, of, strict=True) if v.wanted.sum()}
    if not each:
        raise Poison("the file has no box of our categories to find (iscrowd boxes do not count)")
    drawn = [v for v in of if v.wanted.sum()]

    def mean(counts: NDArray[np.float64]) -> NDArray[np.float64]:
        scores = np.stack([average_precision(v, counts) for v in drawn])
        return np.array([np.nanmean(scores[:, 0]), np.nanmean(scores)])

    pairs: dict[bytes, NDArray[np.float64]] = {}

    def figure(column: int, counts: NDArray[np.float64]) -> float:
        key = counts.tobytes()  # both intervals draw the same samples: score each once
        if key not in pairs:
            pairs[key] = mean(counts)
        return float(pairs[key][column])

    pictures = len(judged.scenes)
    per_class = {
        name: ClassScore(float(ap[0]), float(ap.mean()), int(v.wanted.sum()))
        for (name, ap), v in zip(each.items(), drawn, strict=True)
    }
    return DetectionReport(
        map50=float(np.mean([ap[0] for ap in each.values()])),
        map50_95=float(np.mean([ap.mean() for ap in each.values()])),
        map50_ci=resampled(pictures, lambda counts: figure(0, counts), rounds=ROUNDS),
        map50_95_ci=resampled(pictures, lambda counts: figure(1, counts), rounds=ROUNDS),
        per_class=per_class,
        images=pictures,
        instances=sum(score.instances for score in per_class.values()),
        missing=tuple(missing),
        refused=judged.refused,
        other_categories=tuple(others),
    )


NOTHING = "nothing"


def confusion(judged: Judged) -> tuple[NDArray[np.int64], list[dict[str, int]]]:
    """What each garment was called at the serving threshold, and the errors of each picture.

    Boxes are matched regardless of class, surest detection first, at IoU .5. Rows are truths, columns answers, in the
    order of `CATEGORIES` and then "nothing" (a truth not found; a detection where nothing is).

    Returns:
        (11, 11) counts, and for each scene {"missed", "misnamed", "invented"}.
    """
    last = len(CATEGORIES)
    table = np.zeros((last + 1, last + 1), np.int64)
    errors = []
    for scene, found in zip(judged.scenes, judged.found, strict=True):
        mine = sorted(found, key=lambda d: -d.confidence)
        corners = np.array([d.box for d in mine], np.float64).reshape(-1, 4)
        iou = overlaps(corners, scene.boxes, scene.ignore)  # type: ignore[arg-type]
        free = ~scene.ignore
        counts = {"missed": 0, "misnamed": 0, "invented": 0}
        for row, detection in enumerate(mine):
            said = CATEGORIES.index(detection.category)
            best = _best(iou[row], free, scene.classes == said)
            if best is not None:
                free[best] = False
                true = int(scene.classes[best])
                table[true, said] += 1
                counts["misnamed"] += true != said
            elif not (scene.ignore.any() and iou[row][scene.ignore].max() >= 0.5):
                table[last, said] += 1
                counts["invented"] += 1
        for true in scene.classes[free]:
            table[true, last] += 1
            counts["missed"] += 1
        errors.append(counts)
    return table, errors


def _best(ious: NDArray[np.float64], free: NDArray[np.bool_], same: NDArray[np.bool_]) -> int | None:
    """The free truth that a detection is: of its own class if one overlaps enough, else any."""
    for allowed in (free & same, free):
        if allowed.any():
            masked = np.where(allowed, ious, -1.0)
            if masked.max() >= 0.5:
                return int(masked.argmax())
    return None


def worst_first(errors: Sequence[dict[str, int]]) -> list[int]:
    """Indices of the pictures with errors, most errors first."""
    wrong = [index for index, counts in enumerate(errors) if sum(counts.values())]
    return sorted(wrong, key=lambda index: -sum(errors[index].values()))
