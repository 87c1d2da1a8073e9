"""FashionIQ (Wu et al. 2021), its validation split to the letter: who asks, in which gallery, and what counts.

Both galleries that papers use: "split" has every photo of the split file; "val" has those that are the reference or the target of some
query. The reference stays in the gallery. Recall is the share of queries whose target is among the first k; the figure of papers is the
mean over the three categories.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
import numpy as np

from models.yardsticks import intervals
from models.yardsticks.intervals import Interval
from processors.errors import Poison
from processors.values import Vector

QUERIES: Mapping[str, int] = {"dress": 2017, "shirt": 2038, "toptee": 1961}
"""Category → queries of its validation split; another number is another data set, and no figure of it compares."""
KS = (10, 50)
GalleryName: TypeAlias = Literal["split", "val"]


class Asked(msgspec.Struct, frozen=True):
    """One query: two sentences about what differs."""

    target: str
    candidate: str
    captions: tuple[str, ...]

    @property
    def text(self) -> str:
        """The sentences as one."""
        return " and ".join(caption.strip(" .?,!").lower() for caption in self.captions)


class Category(msgspec.Struct, frozen=True):
    """The validation split of one category."""

    name: str
    asked: tuple[Asked, ...]
    split: tuple[str, ...]

    def gallery(self, which: GalleryName) -> tuple[str, ...]:
        """The ids that a query is answered from, its own reference among them."""
        if which == "split":
            return self.split
        return tuple(dict.fromkeys(name for one in self.asked for name in (one.candidate, one.target)))


class Recall(msgspec.Struct, frozen=True):
    """Of one category ("all": the mean of the three) in one gallery; `at`: k → share, `interval`: 95 % of it."""

    category: str
    gallery: GalleryName
    photos: int
    queries: int
    at: dict[int, float]
    interval: dict[int, Interval]


def read(folder: Path) -> tuple[Category, ...]:
    """The validation split in a folder of `cap.CATEGORY.val.json` and `split.CATEGORY.val.json`, also with `.gz`.

    Raises:
        Poison: a file is missing or is none, or it has another number of queries than FashionIQ.
    """
    found = []
    for name, count in QUERIES.items():
        asked = _decoded(folder, f"cap.{name}.val.json", tuple[Asked, ...])
        if len(asked) != count:
            raise Poison(f"{folder}: cap.{name}.val.json has {len(asked)} queries, FashionIQ has {count}")
        split = _decoded(folder, f"split.{name}.val.json", tuple[str, ...])
        category = Category(name, asked, tuple(dict.fromkeys(split)))
        if missing := set(category.gallery("val")) - set(split):
            raise Poison(
                f"{folder}: {len(missing)} photos of cap.{name} are not in its split, {min(missing)} among them"
            )
        found.append(category)
    return tuple(found)


def _decoded(folder: Path, name: str, kind: type) -> tuple:  # type: ignore[type-arg]
    path = next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)
    if path is None:
        raise Poison(f"{folder} has no {name}")
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        found: tuple = msgspec.json.decode(data, type=kind)  # type: ignore[type-arg]
    except (msgspec.DecodeError, gzip.BadGzipFile, EOFError) as error:
        raise Poison(f"{path} is no file of FashionIQ: {error}") from error
    return found


def recalls(
    categories: Sequence[Category],
    features: Mapping[str, Vector],
    queries: Mapping[str, Sequence[Vector]] | None = None,
) -> tuple[Recall, ...]:
    """Recall of all categories in both galleries, and the mean over them.

    Args:
        categories: `read`.
        features: id of a photo → its vector; every photo of the galleries needs one.
        queries: category → a vector for each of its queries, in their order; None: the reference's own (the photo alone).

    Raises:
        Poison: a photo has no vector, or there is another number of queries.
    """
    found: list[Recall] = []
    galleries: tuple[GalleryName, ...] = ("split", "val")
    for which in galleries:
        own = []
        for category in categories:
            wanted = [features_of(features, one.candidate) for one in category.asked]
            asked = wanted if queries is None else list(queries.get(category.name, ()))
            if len(asked) != len(category.asked):
                raise Poison(f"{len(asked)} vectors for the {len(category.asked)} queries of {category.name}")
            own.append(_recall(category, which, features, np.stack(asked)))
        mean = {k: float(np.mean([one.at[k] for one in own])) for k in KS}
        nothing: dict[int, Interval] = {}
        every = Recall("all", which, sum(r.photos for r in own), sum(r.queries for r in own), mean, nothing)
        found += [*own, every]
    return tuple(found)


def features_of(features: Mapping[str, Vector], name: str) -> Vector:
    """The vector of a photo. Raises `Poison` where there is none."""
    if name not in features:
        raise Poison(f"there is no vector of the photo {name}")
    return features[name]


def _recall(category: Category, which: GalleryName, features: Mapping[str, Vector], asked: Vector) -> Recall:
    gallery = category.gallery(which)
    places = {name: number for number, name in enumerate(gallery)}
    shown = np.stack([features_of(features, name) for name in gallery])
    scores = asked @ shown.T
    targets = np.array([places[one.target] for one in category.asked])
    own = scores[np.arange(len(targets)), targets][:, None]
    # Of two that are alike the first in the gallery comes first, whatever sorts.
    earlier = np.arange(len(gallery))[None, :] < targets[:, None]
    ranks = (scores > own).sum(axis=1) + ((scores == own) & earlier).sum(axis=1)
    hits = {k: (ranks < k).astype(np.float64) for k in KS}
    at = {k: float(values.mean()) for k, values in hits.items()}
    return Recall(
        category.name, which, len(gallery), len(targets), at, {k: intervals.of_mean(v) for k, v in hits.items()}
    )
