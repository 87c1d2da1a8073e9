"""Does the encoder put like beside like: the nearest photo's class, and the vote of the ten nearest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.guard import Guarded
from models.yardsticks.intervals import Interval, of_mean
from models.yardsticks.photos import Photos, Tick, UnreadableInput, in_batches, load_all, quietly
from models.yardsticks.tables import Labelled
from processors import crops
from processors.errors import Poison
from processors.values import Pixels, Vector

K = 10
SHARPNESS = 12.0
"""A neighbour at cosine s votes with weight exp(12 · s), as in the encoder's own evaluation."""


class RetrievalReport(msgspec.Struct, frozen=True):
    """`weft eval encoder --json`: shares of the queries, 0..1; intervals are 95 %, over queries.

    `r1`: the nearest photo of the gallery has the query's class. `knn10`: so does the vote of the ten nearest.
    """

    r1: float
    knn10: float
    queries: int
    gallery: int
    classes: int
    r1_ci: Interval
    knn10_ci: Interval
    per_class: dict[str, float]
    unanswerable: int
    missing: tuple[str, ...]
    refused: tuple[UnreadableInput, ...]


@dataclass(frozen=True, slots=True)
class Embedded:
    """Unit vectors (n, dimension) of the photos that could be read, with what they show and the hash of their file."""

    vectors: NDArray[np.float32]
    items: tuple[Labelled, ...]
    digests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answers:
    """For each query its nearest photo (index into the gallery), its cosine, and the class that ten neighbours vote for."""

    nearest: NDArray[np.int64]
    similarity: NDArray[np.float32]
    voted: tuple[str, ...]


def embed(
    encoder: Guarded[Pixels, Vector],
    photos: Photos,
    items: Sequence[Labelled],
    refused: list[UnreadableInput],
    *,
    batch: int = 32,
    tick: Tick = quietly,
) -> Embedded:
    """Embed whole photos, or the boxes that are meant, as the engine does. Raises `Poison` when none can be read."""
    vectors: list[Vector] = []
    kept: list[Labelled] = []
    digests: list[str] = []
    for group in in_batches(load_all(photos, [item.path for item in items], refused), batch):
        views = []
        for index, picture in group:
            item, scale = items[index], picture.decoded.scale
            try:
                views.append(_view(picture.decoded.pixels, item, scale))
            except Poison as error:
                refused.append(UnreadableInput(item.path, str(error)))
                continue
            kept.append(item)
            digests.append(picture.digest if item.box is None else f"{picture.digest} {item.box}")
        vectors += encoder.run(views)
        tick(len(group))
    if not kept:
        raise Poison(f"{photos.root}: none of {len(items)} photos can be read, such as {refused[0].cause}")
    return Embedded(np.stack(vectors), tuple(kept), tuple(digests))


def _view(pixels: Pixels, item: Labelled, scale: float) -> Pixels:
    if item.box is None:
        return pixels
    x0, y0, x1, y1 = item.box
    return crops.cut(pixels, (x0 * scale, y0 * scale, x1 * scale, y1 * scale))


def answer(queries: Embedded, gallery: Embedded) -> Answers:
    """Ask for the neighbours of every query. A photo in both (the same bytes) never finds itself.

    Raises:
        Poison: a query has no photo but itself in the gallery.
    """
    labels = [item.label for item in gallery.items]
    twins: dict[str, list[int]] = {}
    for index, digest in enumerate(gallery.digests):
        twins.setdefault(digest, []).append(index)
    nearest, similarity, voted = [], [], []
    for vector, digest, item in zip(queries.vectors, queries.digests, queries.items, strict=True):
        cosines = gallery.vectors @ vector
        own = twins.get(digest, [])
        cosines[own] = -np.inf
        if len(own) == len(labels):
            raise Poison(f"{item.path} is the only photo of the gallery: nothing is left for it to find")
        top = np.argsort(-cosines, kind="stable")[: min(K, len(labels) - len(own))]
        nearest.append(int(top[0]))
        similarity.append(float(cosines[top[0]]))
        votes: dict[str, float] = {}
        for at in top:
            votes[labels[at]] = votes.get(labels[at], 0.0) + float(np.exp(SHARPNESS * cosines[at]))
        voted.append(max(votes, key=lambda label: votes[label]))
    return Answers(np.array(nearest), np.array(similarity, np.float32), tuple(voted))


def report(
    queries: Embedded, gallery: Embedded, answers: Answers, missing: Sequence[str], refused: Sequence[UnreadableInput]
) -> RetrievalReport:
    """Count. Queries whose class the gallery lacks stay in, as wrong; `unanswerable` says how many."""
    labels = np.array([item.label for item in gallery.items])
    true = np.array([item.label for item in queries.items])
    first = (labels[answers.nearest] == true).astype(np.float64)
    ten = (np.array(answers.voted) == true).astype(np.float64)
    return RetrievalReport(
        r1=float(first.mean()),
        knn10=float(ten.mean()),
        queries=len(true),
        gallery=len(labels),
        classes=len(set(true.tolist())),
        r1_ci=of_mean(first),
        knn10_ci=of_mean(ten),
        per_class={name: float(ten[true == name].mean()) for name in sorted(set(true.tolist()))},
        unanswerable=int(sum(label not in set(labels.tolist()) for label in true)),
        missing=tuple(missing),
        refused=tuple(refused),
    )
