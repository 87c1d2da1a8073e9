"""Pictures of `weft eval detector`: precision-recall curves, what was taken for what, and the worst photos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from models.yardsticks import charts
from models.yardsticks.detection import (
    NOTHING,
    DetectionReport,
    Judged,
    confusion,
    curve,
    verdicts,
    worst_first,
)
from models.yardsticks.photos import Photos
from processors.values import CATEGORIES

WORST = 12


def draw(unsure: Judged, served: Judged, found: DetectionReport, photos: Photos, out: Path) -> list[Path]:
    """Write three PNGs.

    Args:
        unsure: what the detector gave at a confidence near zero.
        served: what it gives at the serving thresholds, on the same pictures.
        found: the figures of `unsure`.
        photos: where the pictures are.
        out: an existing folder.
    """
    table, errors = confusion(served)
    worst = worst_first(errors)[:WORST]
    paths = [
        charts.picture(out / "detector-curves.png", (7.5, 5.5), lambda figure: _curves(figure, unsure, found)),
        charts.picture(out / "detector-confusion.png", (8.0, 6.8), lambda figure: _confusion(figure, table)),
    ]
    if worst:
        size = charts.tile_size(len(worst), 4, 2.9, 4.1)
        paths.append(
            charts.picture(
                out / "detector-worst.png", size, lambda figure: _worst(figure, served, worst, errors, photos)
            )
        )
    return paths


def _curves(figure: Any, unsure: Judged, found: DetectionReport) -> None:
    axes = figure.subplots()
    for index, name in enumerate(CATEGORIES):
        if name not in found.per_class:
            continue
        recall, precision = curve(verdicts(unsure, index))
        score = found.per_class[name]
        label = f"{name} {score.map50:.2f} ({score.instances})"
        # A curve begins at recall 0 with the precision of its surest detection, and ends where recall does.
        axes.plot([0, *recall], [*precision[:1], *precision], color=charts.LINES[index], label=label, linewidth=1.6)
    axes.set(xlabel="recall", ylabel="precision at IoU .5", xlim=(0, 1.005), ylim=(0, 1.02))
    axes.grid(color="#eeeeee")
    low, high = found.map50_ci
    axes.set_title(
        f"mAP@.5 {found.map50:.3f} ({low:.3f} to {high:.3f}), mAP@.5:.95 {found.map50_95:.3f}, {found.images} photos"
    )
    figure.legend(loc="outside right upper", fontsize=8, title="AP@.5 (instances)", title_fontsize=8)


def _confusion(figure: Any, table: np.ndarray[Any, np.dtype[np.int64]]) -> None:
    axes = figure.subplots()
    right = np.eye(len(CATEGORIES) + 1, dtype=np.bool_)
    right[-1, -1] = False
    charts.matrix(axes, table, [*CATEGORIES, NOTHING], [*CATEGORIES, NOTHING], right=right)
    axes.set(xlabel="called", ylabel="is")
    axes.set_title("What was taken for what, as served (IoU .5; last row: invented, last column: missed)")


def _worst(figure: Any, served: Judged, worst: list[int], errors: list[dict[str, int]], photos: Photos) -> None:
    from matplotlib.patches import Rectangle

    figure.suptitle(
        "Most errors, as served. Dashed: what is there; solid: what was found", x=0.01, ha="left", fontsize=11
    )
    for axes, index in zip(charts.tiles(figure, len(worst), 4), worst, strict=True):
        scene = served.scenes[index]
        decoded = photos.load(scene.path).decoded
        axes.imshow(decoded.pixels, aspect="equal")
        for box, kind, ignore in zip(scene.boxes, scene.classes, scene.ignore, strict=True):
            x0, y0, x1, y1 = box * decoded.scale
            edge = "#888888" if ignore else charts.LINES[kind]
            axes.add_patch(
                Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, linestyle="--", edgecolor=edge, linewidth=1.3)
            )
        for one in served.found[index]:
            x0, y0, x1, y1 = (value * decoded.scale for value in one.box)
            colour = charts.LINES[CATEGORIES.index(one.category)]
            axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=1.6))
            label = {"facecolor": colour, "edgecolor": "none", "pad": 1.2}
            axes.text(
                x0, y0, f"{one.category} {one.confidence:.2f}", fontsize=6, color="white", va="bottom", bbox=label
            )
        counts = errors[index]
        said = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        axes.set_title(f"{Path(scene.path).name}: {said}", fontsize=8)
