"""From what two profiles said of the same data to figures: `weft models compare --json`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.yardsticks import detection, worn
from models.yardsticks.captions import Judged
from models.yardsticks.paired import Better, Compared, Counts, nearest, precision, ratio
from models.yardsticks.photos import UnreadableInput
from models.yardsticks.retrieval import SHARPNESS, K
from models.yardsticks.shop_words import SEEN_FACETS
from processors.values import Garment
from streams.facets.labelled import Labelled
from streams.ops.composed.pairs import EDITED, Pair

LEAST_LABELLED = 20
"""Products that a facet must be labelled on, with two values at least, before its neighbours are counted."""
PARTS = ("detector", "encoder", "facets", "writer")
SEEING = ("detector", "encoder", "facets")
"""The parts that make an item."""


class Part(msgspec.Struct, frozen=True, rename={"other": "with"}):
    """One part of both: fingerprints of what it is made of. `same`: what depends on such parts alone was measured once."""

    profile: str
    other: str
    same: bool


class Memory(msgspec.Struct, frozen=True, rename={"other": "with"}):
    """The most bytes that the process of each has held by the end of the captions, with all of its models loaded."""

    profile: int
    other: int


class Report(msgspec.Struct, frozen=True, rename={"other": "with"}):
    """What `weft models compare --json` prints.

    `neighbours_overlap`: mean share of a product's ten nearest that both find. `without_photo`, `not_comparable`: as of
    `weft eval captions`. `left_out`: yardsticks that were not measured, and why.
    """

    profile: str
    other: str
    parts: dict[str, Part]
    products: int
    brands: int
    seed: int
    yardsticks: tuple[Compared, ...]
    speed: tuple[Compared, ...]
    peak_bytes: Memory
    neighbours_overlap: float
    without_photo: int
    not_comparable: int
    left_out: dict[str, str]
    refused: tuple[UnreadableInput, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a profile saw on a product's photo. `vector`: of the whole photo; `digest`: names the photo."""

    garments: tuple[Garment, ...]
    width: int
    height: int
    vector: NDArray[np.float32]
    digest: str


@dataclass(slots=True)
class Side:
    """What one profile said. Rates: batch → (things, seconds)."""

    seen: dict[str, Seen] = field(default_factory=dict)
    captions: dict[str, Judged] = field(default_factory=dict)
    image_rate: dict[int, tuple[float, float]] = field(default_factory=dict)
    caption_rate: dict[int, tuple[float, float]] = field(default_factory=dict)
    answers: tuple[tuple[str, ...], ...] = ()
    judged: detection.Judged | None = None
    worn: tuple[worn.Answered, ...] = ()
    peak_bytes: int = 0
    near: Near | None = None


@dataclass(frozen=True, slots=True)
class Near:
    """The ten nearest of each of `ids`, as indices into them (-1: none), and their cosines."""

    ids: tuple[str, ...]
    found: NDArray[np.int64]
    cosines: NDArray[np.float32]


def near_of(side: Side, ids: Sequence[str]) -> Near:
    """The neighbours of products among each other."""
    vectors = np.stack([side.seen[one].vector for one in ids])
    found, cosines = nearest(vectors, [side.seen[one].digest for one in ids], min(K, max(1, len(ids) - 1)))
    return Near(tuple(ids), found, cosines)


def overlaps(mine: Near, theirs: Near) -> NDArray[np.float64]:
    """Share of each product's ten nearest that both find, (n,)."""
    shares = []
    for one, two in zip(mine.found, theirs.found, strict=True):
        known = {int(at) for at in one if at >= 0}
        most = max(len(known), sum(at >= 0 for at in two))
        shares.append(len(known & {int(at) for at in two}) / most if most else 1.0)
    return np.array(shares, np.float64)


@dataclass(frozen=True, slots=True)
class Same:
    """Which parts are the same."""

    parts: Mapping[str, bool]

    def of(self, *names: str) -> bool:
        """Whether all of these are."""
        return all(self.parts[name] for name in names)


def speed(mine: Side, theirs: Side, same: Same) -> list[Compared]:
    """Images and captions a second, by the clock of each process, batches in turn. The first batch of three or more is for warming up."""
    found = [
        _rate("images/s", "batches", mine.image_rate, theirs.image_rate, same.of(*SEEING)),
        _rate("captions/s", "batches", mine.caption_rate, theirs.caption_rate, same.of(*PARTS)),
    ]
    return [one for one in found if one is not None]


def _rate(
    name: str, of: str, mine: dict[int, tuple[float, float]], theirs: dict[int, tuple[float, float]], same: bool
) -> Compared | None:
    first = 1 if len(mine) > 2 else 0
    one, two = ({at: pair for at, pair in side.items() if at >= first} for side in (mine, theirs))
    return ratio(name, "more", of, one, two, once=same)


def of_captions(mine: Side, theirs: Side, same: Same) -> list[Compared]:
    """Captions against the shop's words."""
    once = same.of(*PARTS)

    def row(name: str, better: Better, of: Callable[[Judged], tuple[float, float] | None]) -> Compared | None:
        sides = [{i: pair for i, one in s.captions.items() if (pair := of(one))} for s in (mine, theirs)]
        return ratio(f"captions: {name}", better, "products", sides[0], sides[1], once=once)

    rows = [
        row("coverage", "more", lambda one: (len(one.right.intersection(one.known)), len(one.known))),
        row("wrong claims", "less", lambda one: (len(one.wrong), 1)),
        row("category found", "more", lambda one: (float(_category_found(one)), 1)),
        row("written by rule", "less", lambda one: (float(one.captioned.writer == "template"), 1)),
        *(row(f"{facet} right", "more", _right(facet)) for facet in SEEN_FACETS),
    ]
    return [one for one in rows if one is not None]


def _right(facet: str) -> Callable[[Judged], tuple[float, float] | None]:
    return lambda one: (float(facet in one.right), 1) if facet in one.captioned.product.truth else None


def _category_found(one: Judged) -> bool:
    return any(garment.category in one.captioned.product.truth["category"] for garment in one.captioned.garments)


def of_retrieval(mine: Side, theirs: Side, labelled: Mapping[str, Labelled], same: Same) -> list[Compared]:
    """Do the ten nearest products vote for the shop's own label? Those without a label of the facet do not vote."""
    rows: list[Compared | None] = []
    for facet in ("kind", *EDITED, "length"):
        labels = {name: one.labels[facet] for name, one in labelled.items() if facet in one.labels}
        sides = [_votes(side.near, labels) for side in (mine, theirs) if side.near is not None]
        if len(sides) < 2 or len(sides[0]) < LEAST_LABELLED or len(set(labels.values())) < 2:
            continue
        once = same.of(*SEEING)
        if facet == "kind":
            firsts: list[Counts] = [{name: (float(first), 1.0) for name, (first, _) in side.items()} for side in sides]
            rows.append(ratio("retrieval: nearest of kind", "more", "products", *firsts, once=once))
        tens: list[Counts] = [{name: (float(ten), 1.0) for name, (_, ten) in side.items()} for side in sides]
        rows.append(ratio(f"retrieval: 10-NN of {facet}", "more", "products", *tens, once=once))
    return [one for one in rows if one is not None]


def _votes(near: Near, labels: Mapping[str, str]) -> dict[str, tuple[bool, bool]]:
    """Of each labelled product whether the nearest labelled one, and the vote of the ten, has its label."""
    found = {}
    for name, others, cosines in zip(near.ids, near.found, near.cosines, strict=True):
        if name not in labels:
            continue
        votes: dict[str, float] = {}
        for at, cosine in zip(others, cosines, strict=True):
            label = labels.get(near.ids[at]) if at >= 0 else None
            if label is not None:
                votes[label] = votes.get(label, 0.0) + float(np.exp(SHARPNESS * cosine))
        first = next((labels[near.ids[at]] for at in others if at >= 0 and near.ids[at] in labels), None)
        ten = max(votes, key=lambda label: votes[label]) if votes else None
        found[name] = (first == labels[name], ten == labels[name])
    return found


def of_composed(mine: Side, theirs: Side, pairs: Sequence[Pair], same: Same) -> list[Compared]:
    """Is a right product first, in ten? Queries of one reference are drawn together."""
    once = same.of(*SEEING)

    def row(name: str, k: int, facet: str = "") -> Compared | None:
        sides: list[Counts] = []
        for side in (mine, theirs):
            counted: dict[str, tuple[float, float]] = {}
            for pair, ids in zip(pairs, side.answers, strict=True):
                if facet in {"", pair.facet}:
                    right, of = counted.get(pair.reference, (0.0, 0.0))
                    counted[pair.reference] = (right + bool(pair.right.intersection(ids[:k])), of + 1)
            sides.append(dict(counted))
        return ratio(f"composed: {name}", "more", "references", *sides, once=once)

    rows = [row("R@1", 1), row("R@10", 10), *(row(f"R@10, {facet}", 10, facet) for facet in EDITED)]
    return [one for one in rows if one is not None]


def of_scenes(mine: Side, theirs: Side, catalogue: Sequence[worn.Garment], same: Same) -> list[Compared]:
    """Where boxes are given: how well they are found, and whether what is worn in them is found again."""
    rows: list[Compared | None] = []
    if mine.judged is not None and theirs.judged is not None:
        rows += precision(mine.judged, theirs.judged, once=same.of("detector"))
    sides = [worn.counted(catalogue, side.worn) for side in (mine, theirs)]
    whole: tuple[tuple[str, Callable[[worn.Counted], tuple[float, float]]], ...] = (
        ("a garment of the photo is first", lambda one: (float(one.first), 1)),
        ("garment first", lambda one: (sum(one.alone_first), len(one.alone_first))),
        ("garment in ten", lambda one: (sum(one.alone_ten), len(one.alone_ten))),
    )
    for name, of in whole:
        counts: list[Counts] = [{photo: of(one) for photo, one in side.items()} for side in sides]
        rows.append(ratio(f"worn: {name}", "more", "photos", *counts, once=same.of(*SEEING)))
    return [one for one in rows if one is not None]
