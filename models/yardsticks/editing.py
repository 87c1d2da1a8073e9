"""How good are edits: garments of photos become what words say, by garments of other photos; and drawn garments, those of each other."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
import numpy as np

from models.guard import Guarded
from models.ports import ImageEncoder
from models.yardsticks import likeness
from models.yardsticks.detection import Scene
from models.yardsticks.likeness import Vectors
from models.yardsticks.photos import Photos, Tick, UnreadableInput, load_all
from processors import crops
from processors.drawn import catalogue
from processors.editing import cloth, mask, transfer
from processors.editing.cloth import Cloth
from processors.editing.mask import EditMask
from processors.lab import ciede2000, to_lab
from processors.values import CATEGORIES, Box, Mask, Pixels, Vector

EDITED = frozenset({"shirt", "jacket", "dress", "skirt", "pants", "shorts"})
COLOURS = ("red", "navy", "white", "black", "green", "yellow", "pink", "beige", "grey", "light blue", "brown", "purple")
"""What is wished for: one of these, drawn by the seed, and the garment's name."""
LEAST = 2500.0
"""Square pixels of a garment's box."""
ENOUGH = 2.0
"""CIEDE2000 below which two colours are one: there is nothing to fall."""


class Edits(Protocol):
    """A way of editing, as the role edits."""

    @property
    def method(self) -> str: ...

    def edit(self, worn: Worn, look: Look, words: str, seed: int) -> Pixels:
        """The photo with the look on its garment."""
        ...


UNSEEDED = 0
"""What a request without a seed is painted with: the seed of the yardstick draws wishes and garments alone."""


@dataclass(frozen=True, slots=True)
class Worn:
    """A garment of a photo."""

    photo: int
    path: str
    category: str
    box: Box
    pixels: Pixels
    mask: EditMask

    @property
    def inside(self) -> Mask:
        """Of the whole photo."""
        return self.mask.whole(*self.pixels.shape[:2])

    def crop(self, pixels: Pixels | None = None) -> Pixels:
        """The garment's box, of its photo or of an edited one."""
        return crops.cut(self.pixels if pixels is None else pixels, self.box)


@dataclass(frozen=True, slots=True)
class Look:
    """A garment that lends its look; `whose`: the photo or product it is of."""

    whose: str
    crop: Pixels
    cloth: Cloth


class Transfer:
    """`"method": "transfer"`."""

    method = "transfer"

    def edit(self, worn: Worn, look: Look, words: str, seed: int) -> Pixels:  # noqa: ARG002 - a diffusion reads the words
        return transfer.transferred(worn.pixels, worn.mask, look.cloth, seed)


@dataclass(frozen=True, slots=True)
class Case:
    """One edit, and what was measured of it. Colours: CIEDE2000 to the look's mean, before and after; scores: cosines likewise."""

    worn: Worn
    look: Look
    words: str
    edited: Pixels
    colour: tuple[float, float]
    ssim_outside: float
    greatest_outside: int
    text: tuple[float, float]
    garment: tuple[float, float]
    paired_distance: float
    paired_ssim: float
    vectors: tuple[Vector, Vector]
    """Of the garment's crop, before and after."""


@dataclass(slots=True)
class Clock:
    """Seconds of processor time by stage."""

    spent: dict[str, list[float]] = field(default_factory=dict)
    _since: float = 0.0

    def begin(self) -> None:
        self._since = time.process_time()

    def end(self, stage: str) -> None:
        now = time.process_time()
        self.spent.setdefault(stage, []).append(now - self._since)
        self._since = now


class EditReport(msgspec.Struct, frozen=True):
    """`weft eval edit --json`. What `_encoder` ends is over the vectors, or features, of the profile's own image encoder (`encoder`), and no
    FID, KID, CLIP score or LPIPS as published.

    `drawn_fell`: of `drawn` drawn garments given the look of the next one, those whose mean colour came nearer to it (or is it).
    `colour_fell`, `colour_before`, `colour_after`: the same, a share and two medians, of the photos' garments.
    `frechet_distance_encoder`, `kernel_distance_encoder`: between every second garment, edited, and the others as they were;
    `…_real_encoder`: the same with none edited, which is what a method is held against (the fewer garments, the larger all of them).
    `text_score_…`: cosine of the garment and the words; `garment_score_…`: of the garment and the retrieved one; before and after.
    `paired_…`: the garment, given its own look again, against what it was: `feature_distance` (1 - cosine of the features), SSIM inside.
    `ssim_outside`: the least of all edits; `greatest_difference_outside`: of 255.
    """

    method: str
    encoder: str
    drawn: int
    drawn_fell: int
    photos: int
    edits: int
    without_mask: int
    colour_fell: float
    colour_before: float
    colour_after: float
    frechet_distance_encoder: float
    frechet_distance_real_encoder: float
    kernel_distance_encoder: float
    kernel_distance_real_encoder: float
    text_score_before_encoder: float
    text_score_encoder: float
    garment_score_before_encoder: float
    garment_score_encoder: float
    paired_feature_distance_encoder: float
    paired_ssim: float
    ssim_outside: float
    greatest_difference_outside: int
    seconds: dict[str, float]
    peak_mb: float
    missing: tuple[str, ...]
    refused: tuple[UnreadableInput, ...]


@dataclass(frozen=True, slots=True)
class Embeds:
    """The profile's encoders, as the yardstick asks them."""

    images: ImageEncoder
    texts: Guarded[str, Vector]

    def photos(self, pictures: Sequence[Pixels], batch: int = 16) -> tuple[Vectors, Vectors]:
        """(n, d) vectors and (n, f) features."""
        vectors, features = [], []
        for start in range(0, len(pictures), batch):
            part = pictures[start : start + batch]
            for one, raw in zip(part, self.images.forward([self.images.prepare(one) for one in part]), strict=True):
                vectors.append(self.images.finish(one, raw))
                features.append(self.images.features(raw))
        return np.stack(vectors).astype(np.float32), np.stack(features).astype(np.float32)

    def words(self, texts: Sequence[str]) -> Vectors:
        """(n, d)."""
        return np.stack(self.texts.run(texts)).astype(np.float32)


def worn_in(
    scenes: Sequence[Scene], photos: Photos, refused: list[UnreadableInput], clock: Clock
) -> tuple[list[Worn], int]:
    """The main garment of each photo, by its annotated box, with its mask; and how many had none."""
    found: list[Worn] = []
    without = 0
    for number, picture in load_all(photos, [scene.path for scene in scenes], refused):
        scene, pixels = scenes[number], picture.decoded.pixels
        boxes = list(_boxes(scene))
        if not boxes:
            continue
        category, box = max(boxes, key=lambda one: (one[1][2] - one[1][0]) * (one[1][3] - one[1][1]))
        clock.begin()
        region = mask.garment(pixels, box, category, [other for _, other in boxes if other != box])
        region = None if region is None else mask.matted(pixels, region)
        clock.end("mask")
        if region is None:
            without += 1
            continue
        found.append(Worn(number, scene.path, category, box, pixels, region))
    return found, without


def _boxes(scene: Scene) -> Iterator[tuple[str, Box]]:
    for box, kind, ambiguous in zip(scene.boxes, scene.classes, scene.ignore, strict=True):
        x0, y0, x1, y1 = (float(side) for side in box)
        if not ambiguous and CATEGORIES[int(kind)] in EDITED and (x1 - x0) * (y1 - y0) >= LEAST:
            yield CATEGORIES[int(kind)], (x0, y0, x1, y1)


def look_of(worn: Worn, clock: Clock) -> Look | None:
    """What a garment lends; None where hardly anything of it is to be seen."""
    clock.begin()
    found = cloth.of_garment(worn.pixels, worn.mask)
    clock.end("cloth")
    return None if found is None else Look(worn.path, worn.crop(), found)


def measured(
    edits: Edits, things: Sequence[Worn], embeds: Embeds, clock: Clock, *, seed: int, tick: Tick
) -> list[Case]:
    """Each garment edited by words that the seed draws, with the look of another photo's garment that is most like them."""
    looks = [look_of(one, clock) for one in things]
    before, features = embeds.photos([one.crop() for one in things])
    rng = np.random.default_rng(seed)
    cases: list[Case] = []
    for at, worn in enumerate(things):
        tick(1)
        words = f"a {COLOURS[int(rng.integers(len(COLOURS)))]} {worn.category}"
        [wished] = embeds.words([words])
        own, others = looks[at], [k for k, one in enumerate(looks) if one is not None and things[k].photo != worn.photo]
        alike = [k for k in others if things[k].category == worn.category] or others
        if own is None or not alike:
            continue
        best = max(alike, key=lambda k: float(before[k] @ wished))
        look = looks[best]
        assert look is not None
        clock.begin()
        edited = edits.edit(worn, look, words, UNSEEDED)
        clock.end("edit")
        again = edits.edit(worn, own, words, UNSEEDED)
        (after, _), (_, paired_features) = embeds.photos([worn.crop(edited), worn.crop(again)])
        inside = worn.inside
        cases.append(
            Case(
                worn,
                look,
                words,
                edited,
                (_apart(worn.pixels, inside, look.cloth), _apart(edited, inside, look.cloth)),
                likeness.ssim(worn.pixels, edited, ~inside),
                likeness.greatest_difference(worn.pixels, edited, ~inside),
                (float(before[at] @ wished), float(after @ wished)),
                (float(before[at] @ before[best]), float(after @ before[best])),
                likeness.feature_distance(features[at], paired_features),
                likeness.ssim(worn.pixels, again, inside),
                (before[at], after),
            )
        )
    return cases


def drawn(edits: Edits, count: int, seed: int, tick: Tick) -> tuple[int, int]:
    """Of drawn garments given the look of the next one: how many there were, and of how many the mean colour came nearer to it."""
    things = []
    for number, product in enumerate(catalogue(seed, count)):
        tick(1)
        garment = max(product.scene.garments, key=lambda g: (g.box[2] - g.box[0]) * (g.box[3] - g.box[1]))
        others = [one.box for one in product.scene.garments if one is not garment]
        region = mask.garment(product.pixels, garment.box, garment.spec.category, others)
        if region is not None:
            region = mask.matted(product.pixels, region)
            things.append(Worn(number, product.product_id, garment.spec.category, garment.box, product.pixels, region))
    fell = cases = 0
    for worn, other in zip(things, things[1:] + things[:1], strict=True):
        look = look_of(other, Clock())
        if look is None:
            continue
        edited = edits.edit(worn, look, f"a {other.category}", UNSEEDED)
        before, after = (_apart(pixels, worn.inside, look.cloth) for pixels in (worn.pixels, edited))
        cases, fell = cases + 1, fell + (after < before or after < ENOUGH)
    return cases, fell


def _apart(pixels: Pixels, inside: Mask, wanted: Cloth) -> float:
    return float(ciede2000(to_lab(pixels)[inside].mean(axis=0), wanted.mean))


def report(
    edits: Edits,
    embeds: Embeds,
    cases: Sequence[Case],
    of_drawn: tuple[int, int],
    clock: Clock,
    *,
    without: int = 0,
    missing: Sequence[str] = (),
    refused: Sequence[UnreadableInput] = (),
) -> EditReport:
    """The figures; those that need photos are nan where there are fewer than four edits."""
    enough = len(cases) >= 4
    nan = float("nan")
    if enough:
        half, rest = np.stack([one.vectors[0] for one in cases[::2]]), np.stack([one.vectors[0] for one in cases[1::2]])
        edited = np.stack([one.vectors[1] for one in cases[::2]])

    def mean(values: Sequence[float]) -> float:
        return float(np.mean(values)) if values else nan

    def median(values: Sequence[float]) -> float:
        return float(np.median(values)) if values else nan

    return EditReport(
        method=edits.method,
        encoder=embeds.images.fingerprint,
        drawn=of_drawn[0],
        drawn_fell=of_drawn[1],
        photos=len({one.worn.photo for one in cases}),
        edits=len(cases),
        without_mask=without,
        colour_fell=mean([one.colour[1] < one.colour[0] or one.colour[1] < ENOUGH for one in cases]),
        colour_before=median([one.colour[0] for one in cases]),
        colour_after=median([one.colour[1] for one in cases]),
        frechet_distance_encoder=likeness.frechet(edited, rest) if enough else nan,
        frechet_distance_real_encoder=likeness.frechet(half, rest) if enough else nan,
        kernel_distance_encoder=likeness.kernel(edited, rest) if enough else nan,
        kernel_distance_real_encoder=likeness.kernel(half, rest) if enough else nan,
        text_score_before_encoder=mean([one.text[0] for one in cases]),
        text_score_encoder=mean([one.text[1] for one in cases]),
        garment_score_before_encoder=mean([one.garment[0] for one in cases]),
        garment_score_encoder=mean([one.garment[1] for one in cases]),
        paired_feature_distance_encoder=mean([one.paired_distance for one in cases]),
        paired_ssim=mean([one.paired_ssim for one in cases]),
        ssim_outside=min((one.ssim_outside for one in cases), default=nan),
        greatest_difference_outside=max((one.greatest_outside for one in cases), default=0),
        seconds={stage: mean(spent) for stage, spent in clock.spent.items()},
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10),
        missing=tuple(missing),
        refused=tuple(refused),
    )
