"""Pictures of `weft eval encoder`: what was taken for what, and the surest mistakes beside what was found for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from models.yardsticks import charts
from models.yardsticks.photos import Photos
from models.yardsticks.retrieval import Answers, Embedded, RetrievalReport
from models.yardsticks.tables import Labelled

WORST = 10
MOST_CLASSES = 24
"""Classes in a confusion matrix; of more, the most frequent."""


def draw(
    queries: Embedded,
    gallery: Embedded,
    answers: Answers,
    found: RetrievalReport,
    photos: tuple[Photos, Photos],
    out: Path,
) -> list[Path]:
    """Write up to two PNGs; `photos` are those of the queries and those of the gallery."""
    size = 3.5 + 0.42 * min(MOST_CLASSES, found.classes)
    paths = [
        charts.picture(
            out / "encoder-confusion.png",
            (size + 1.2, size),
            lambda figure: _confusion(figure, queries, answers, found),
        )
    ]
    wrong = [n for n, at in enumerate(answers.nearest) if gallery.items[at].label != queries.items[n].label]
    wrong = sorted(wrong, key=lambda n: -answers.similarity[n])[:WORST]
    if wrong:
        size_of = charts.tile_size(2 * len(wrong), 4, 2.3, 2.7)
        path = out / "encoder-worst.png"
        paths.append(
            charts.picture(path, size_of, lambda figure: _worst(figure, queries, gallery, answers, wrong, photos))
        )
    return paths


def _confusion(figure: Any, queries: Embedded, answers: Answers, found: RetrievalReport) -> None:
    true = [item.label for item in queries.items]
    names = sorted(found.per_class, key=lambda name: -true.count(name))[:MOST_CLASSES]
    table = np.zeros((len(names), len(names) + 1), np.int64)
    for label, voted in zip(true, answers.voted, strict=True):
        if label in names:
            table[names.index(label), names.index(voted) if voted in names else len(names)] += 1
    others = bool(table[:, -1].any())
    table = table if others else table[:, :-1]
    axes = figure.subplots()
    charts.matrix(
        axes, table, names, [*names, *(["others"] if others else [])], right=np.eye(*table.shape, dtype=np.bool_)
    )
    axes.set(xlabel="ten neighbours vote for", ylabel="is")
    axes.set_title(f"10-NN {found.knn10:.3f}, R@1 {found.r1:.3f}\n{found.queries} queries, gallery of {found.gallery}")


def _worst(
    figure: Any, queries: Embedded, gallery: Embedded, answers: Answers, wrong: list[int], photos: tuple[Photos, Photos]
) -> None:
    figure.suptitle("The surest mistakes: each query and the photo it found", x=0.01, ha="left", fontsize=11)
    grid = charts.tiles(figure, 2 * len(wrong), 4)
    for place, n in enumerate(wrong):
        near = gallery.items[answers.nearest[n]]
        _tile(grid[2 * place], photos[0], queries.items[n], f"{queries.items[n].label} (query)", charts.INK)
        _tile(grid[2 * place + 1], photos[1], near, f"→ {near.label}, cosine {answers.similarity[n]:.2f}", charts.WRONG)


def _tile(axes: Any, photos: Photos, item: Labelled, title: str, colour: str) -> None:
    pixels, _ = charts.small(photos, item.path, item.box, photos.load(item.path).decoded.scale)
    axes.imshow(pixels)
    axes.set_title(title, fontsize=9, color=colour)
