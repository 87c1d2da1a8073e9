"""Training pictures of the shipped heads: one garment each, with its box and what its label allows.

- `street` (Apache-2.0): garments cut out by mask, or their wearer, on packshot grounds, or the photo as it is; dyed, or in new cloth
  of a known pattern (`facets_prints`). Faces, legs, walls, belts and watches teach what is no garment.
- `phone` (CC0): single garments at home; the label is given.
- `drawn`: scenes of `processors.drawn`, known by construction, and plain things that nobody wears.

`products` is for evaluation only, by its licence. It never appears here.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.recipes.detector_colour import blended, dye, light
from models.recipes.encoder_data import is_held_out, read
from models.recipes.facets_frames import (
    CANVAS,
    LEAST,
    Sample,
    cut_at,
    cut_out,
    ground_of,
    mirrored,
    scaled_box,
    shadowed,
    sized,
    turned,
    window_of,
)
from models.recipes.facets_prints import PATTERNS, redrawn
from models.recipes.facets_truth import BESIDE, NO_GARMENT, PHONE, STREET, Allowed, of_drawn
from processors.drawn import GarmentSpec, draw_scene, outfit, random_spec
from processors.second_look import CATEGORY
from processors.values import Box, Mask, Pixels

DRAWN_SEEDS = 9_500_000
"""Scenes of these recipes start here; tests, benchmarks and the other recipes draw other seeds."""
_CLOTHES = frozenset({"shirt", "dress", "jacket", "skirt", "shorts", "pants"})
_NEW_CLOTH = {
    "shirt": 0.7,
    "dress": 0.65,
    "jacket": 0.5,
    "skirt": 0.5,
    "shorts": 0.4,
    "pants": 0.35,
    "bag": 0.15,
    "hat": 0.1,
}
"""How often a garment of a category gets new cloth."""


@dataclass(frozen=True, slots=True)
class Names:
    """Which photos the sources have: names of `street`, and (file, label) of `phone`; one side of the split."""

    street: tuple[str, ...]
    phone: tuple[tuple[str, str], ...]
    labels: dict[str, int]


def names_of(data: Path, *, modulus: int, held_out: bool) -> Names:
    """The photos of one side: of `street` those whose id is (not) a multiple of `modulus`, of `phone` by contributor."""
    document: dict[str, Any] = json.loads((data / "street" / "boxes_10class_coco.json").read_text())
    labels = {
        name: int(number) for number, name in json.loads((data / "street" / "mask_labels.json").read_text()).items()
    }
    street = [one["file_name"] for one in document["images"] if (one["id"] % modulus == 0) == held_out]
    with (data / "phone" / "labels_full.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["label"] in PHONE and is_held_out(row["sender"]) == held_out]
    return Names(tuple(street), tuple((row["image"], row["label"]) for row in rows), labels)


def street_samples(
    data: Path, name: str, labels: dict[str, int], rng: np.random.Generator, copies: int
) -> list[Sample]:
    """`copies` pictures of each garment of a street photo, and some of what is no garment."""
    pixels = read(data / "street" / "photos" / name)
    mask = cv2.imread(str(data / "street" / "masks" / name.replace(".jpg", ".png")), cv2.IMREAD_GRAYSCALE)
    if pixels is None or mask is None:
        return []
    mask = np.asarray(mask, np.uint8)
    present = {int(value) for value in np.unique(mask)}
    found: list[Sample] = []
    for label, allowed in STREET.items():
        own = mask == labels[label]
        if labels[label] not in present or int(own.sum()) < LEAST:
            continue
        category = allowed[CATEGORY][0]
        for _ in range(copies if category in _CLOTHES else max(1, copies // 2)):
            one = _of_garment(pixels, mask, labels[label], allowed, rng)
            if one is not None:
                found.append(one)
    return found + _no_garments(pixels, mask, labels, rng)


def phone_sample(data: Path, image: str, label: str, rng: np.random.Generator) -> Sample | None:
    """A phone photo; its garment fills most of it, so the box is a little less than the photo, by chance."""
    pixels = read(data / "phone" / "photos" / f"{image}.jpg")
    if pixels is None:
        return None
    height, width = pixels.shape[:2]
    trims = rng.uniform(0, 0.16, 4)
    box = (width * trims[0], height * trims[1], width * (1 - trims[2]), height * (1 - trims[3]))
    if rng.random() < 0.5:
        pixels, box = mirrored(pixels, box)
    return Sample(pixels, box, PHONE[label], "phone")


def phone_cut_samples(data: Path, image: str, label: str, rng: np.random.Generator, copies: int) -> list[Sample]:
    """The garment of a phone photo cut out onto packshot grounds, most often in new cloth; none where it cannot be cut out."""
    pixels = read(data / "phone" / "photos" / f"{image}.jpg")
    own = None if pixels is None else cut_out(pixels)
    if pixels is None or own is None:
        return []
    category = PHONE[label][CATEGORY][0]
    found = []
    for _ in range(copies):
        known = dict(PHONE[label])
        picture = pixels
        if category in _CLOTHES and rng.random() < 0.75:
            pattern = _pattern(rng)
            picture = redrawn(picture, own, pattern, rng, [pixels])
            known["pattern"] = (pattern,)
        ground = ground_of(own.shape, rng)
        picture = blended(shadowed(picture, own, ground, rng), own.astype(np.uint8), ground)
        x, y, w, h = cv2.boundingRect(own.astype(np.uint8))
        box = (float(x), float(y), float(x + w), float(y + h))
        cut, inner = cut_at(picture, box, window_of(box, picture.shape, rng, near=True))
        sample = Sample(sized(cut, rng), scaled_box(inner, cut, rng), known, "phone cut out")
        found.append(sample if rng.random() < 0.5 else turned(sample))
    return found


def worn_samples(data: Path, name: str, labels: dict[str, int], rng: np.random.Generator, copies: int) -> list[Sample]:
    """Tops and dresses of a street photo with the sleeves that bare or covered arms tell; dresses over covered legs as tunics."""
    pixels = read(data / "street" / "photos" / name)
    mask = cv2.imread(str(data / "street" / "masks" / name.replace(".jpg", ".png")), cv2.IMREAD_GRAYSCALE)
    if pixels is None or mask is None:
        return []
    mask = np.asarray(mask, np.uint8)
    found = []
    for label in ("dress", "top", "blouse", "shirt", "t-shirt"):
        own = mask == labels[label]
        if int(own.sum()) < 8 * LEAST:
            continue
        allowed = dict(STREET[label])
        sleeve = sleeve_of(own, mask, labels)
        if sleeve and label != "t-shirt":
            allowed["sleeve"] = (sleeve,)
        for _ in range(copies if label == "dress" or sleeve else 0):
            picture, told = pixels, allowed
            if label == "dress" and rng.random() < 0.6:
                covered = _covered_legs(pixels, own, mask, labels, rng)
                if covered is not None:
                    picture, told = covered, {**allowed, CATEGORY: ("shirt",), "kind": ("tunic",)}
            one = _of_garment(picture, mask, labels[label], told, rng, alone=False)
            if one is not None:
                found.append(replace(one, source=f"worn: {one.source}"))
    return found


def sleeve_of(own: Mask, mask: NDArray[np.uint8], labels: dict[str, int]) -> str:
    """Sleeveless where skin lies beside the upper part of a garment on both sides, long where cloth does down to its middle, else ""."""
    x, y, w, h = cv2.boundingRect(own.astype(np.uint8))
    reach = round(0.2 * w)
    rows = slice(y + round(0.08 * h), y + round(0.5 * min(h, 1.6 * w)))
    skin = mask == labels["skin"]
    shares = []
    for columns in (slice(max(0, x - reach), x + round(0.22 * w)), slice(x + round(0.78 * w), x + w + reach)):
        bare, cloth = int(skin[rows, columns].sum()), int(own[rows, columns].sum())
        other = int(((mask[rows, columns] > 0) & ~skin[rows, columns] & ~own[rows, columns]).sum())
        if bare + cloth < 60 or other > 0.6 * (bare + cloth):
            return ""
        shares.append(bare / (bare + cloth))
    if min(shares) > 0.5:
        return "sleeveless"
    return "long" if max(shares) < 0.04 else ""


def _covered_legs(
    pixels: Pixels, own: Mask, mask: NDArray[np.uint8], labels: dict[str, int], rng: np.random.Generator
) -> Pixels | None:
    """The photo with trousers drawn onto the legs below a dress; None where no legs are seen."""
    hem = int(np.flatnonzero(own.any(1))[-1])
    legs = np.isin(mask, [labels[name] for name in ("skin", "tights", "stockings", "leggings")])
    legs[: max(0, hem - int(0.25 * (hem - np.flatnonzero(own.any(1))[0])))] = False
    x, _, w, _ = cv2.boundingRect(own.astype(np.uint8))
    legs[:, : max(0, x + w // 6)] = False
    legs[:, x + w - w // 6 :] = False
    if int(legs.sum()) < 3 * LEAST:
        return None
    wide = cv2.dilate(legs.astype(np.uint8), np.ones((3, int(rng.integers(3, 13))), np.uint8)) > 0
    wide &= np.isin(mask, [0, labels["skin"], labels["tights"], labels["stockings"], labels["leggings"]])
    return redrawn(pixels, wide, "solid", rng, [])


def _pattern(rng: np.random.Generator) -> str:
    return str(rng.choice(PATTERNS, p=[0.3, 0.16, 0.14, 0.06, 0.1, 0.2, 0.04]))


def drawn_sample(seed: int, wanted: GarmentSpec | None = None) -> Sample | None:
    """One garment of a drawn scene; tops most often, or `wanted`."""
    rng = np.random.default_rng(seed)
    category = str(
        rng.choice(
            ["shirt", "dress", "jacket", "skirt", "pants", "shorts", "bag", "shoe", "hat", "sunglass"],
            p=[0.42, 0.16, 0.12, 0.07, 0.05, 0.05, 0.04, 0.03, 0.03, 0.03],
        )
    )
    spec = random_spec(rng, category) if wanted is None else wanted
    category = spec.category
    worn = category in _CLOTHES and rng.random() < 0.6
    specs: tuple[GarmentSpec, ...] = (spec,)
    if worn and rng.random() < 0.7:
        specs = (spec, *(one for one in outfit(rng, 3) if one.category not in {category, "dress", "jacket"}))
    scene = draw_scene(seed, size=256, garments=specs, style="figure" if worn else "flat")
    shown = next((one for one in scene.garments if one.spec == spec and one.visible > 0.4), None)
    if shown is None or min(shown.box[2] - shown.box[0], shown.box[3] - shown.box[1]) < 24:
        return None
    pixels = scene.pixels
    if rng.random() < 0.5 and category in _CLOTHES:
        pixels = blended(pixels, shown.mask.astype(np.uint8), ground_of(pixels.shape[:2], rng))
    window = window_of(shown.box, pixels.shape, rng)
    cut, box = cut_at(pixels, shown.box, window)
    return Sample(cut, box, of_drawn(spec), "drawn")


def thing_sample(seed: int) -> Sample:
    """A plain thing that nobody wears, or nothing at all, on a packshot's ground."""
    rng = np.random.default_rng(seed)
    size = (CANVAS, int(CANVAS * rng.uniform(0.7, 1.0)))
    pixels = ground_of(size, rng).astype(np.uint8)
    height, width = size
    centre = (int(width * rng.uniform(0.4, 0.6)), int(height * rng.uniform(0.4, 0.6)))
    reach = int(min(size) * rng.uniform(0.12, 0.42))
    box = (
        float(max(0, centre[0] - reach)), float(max(0, centre[1] - reach)),
        float(min(width, centre[0] + reach)), float(min(height, centre[1] + reach)),
    )  # fmt: skip
    colours = [tuple(int(v) for v in rng.integers(10, 245, 3)) for _ in range(4)]
    what = int(rng.integers(6))
    if what == 0:  # a ball with seams
        cv2.circle(pixels, centre, reach, colours[0], -1, cv2.LINE_AA)
        for _ in range(int(rng.integers(0, 4))):
            axes = (max(1, int(reach * rng.uniform(0.1, 1))), reach)
            cv2.ellipse(pixels, centre, axes, float(rng.uniform(0, 180)), 0, 360, colours[1], 2, cv2.LINE_AA)
    elif what == 1:  # a carton, a bottle, a book
        corner = (int(reach * rng.uniform(0.3, 1)), reach)
        ends = ((centre[0] - corner[0], centre[1] - corner[1]), (centre[0] + corner[0], centre[1] + corner[1]))
        cv2.rectangle(pixels, *ends, colours[0], -1)
        label = ((ends[0][0] + 4, centre[1] - reach // 4), (ends[1][0] - 4, centre[1] + reach // 4))
        cv2.rectangle(pixels, *label, colours[1], -1)
    elif what == 2:  # a watch: a dial on a strap
        cv2.line(pixels, (centre[0], centre[1] - reach), (centre[0], centre[1] + reach), colours[0], max(3, reach // 3))
        cv2.circle(pixels, centre, max(3, reach // 2), colours[1], -1, cv2.LINE_AA)
        cv2.circle(pixels, centre, max(2, reach // 3), colours[2], -1, cv2.LINE_AA)
    elif what == 3:  # a pile of shapes
        for _ in range(int(rng.integers(3, 12))):
            points = (np.array(centre) + rng.integers(-reach, reach + 1, (4, 2))).astype(np.int32)
            cv2.fillPoly(pixels, [cv2.convexHull(points)], colours[int(rng.integers(4))], cv2.LINE_AA)
    elif what == 4:  # noise
        patch = rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)
        x0, y0, x1, y1 = (int(v) for v in box)
        pixels[y0:y1, x0:x1] = cv2.resize(patch, (x1 - x0, y1 - y0), interpolation=cv2.INTER_CUBIC)
    return Sample(light(pixels, rng, 0.4), box, NO_GARMENT, "thing")


def _of_garment(
    pixels: Pixels,
    mask: NDArray[np.uint8],
    label: int,
    allowed: Allowed,
    rng: np.random.Generator,
    *,
    alone: bool = True,
) -> Sample | None:
    """One picture of a garment; `alone`: now and then cut out without its wearer."""
    own = mask == label
    category = allowed[CATEGORY][0]
    known = dict(allowed)
    picture = pixels.copy()
    if rng.random() < _NEW_CLOTH.get(category, 0.0):
        pattern = _pattern(rng)
        picture = redrawn(picture, own, pattern, rng, [pixels])
        known["pattern"] = (pattern,)
    elif rng.random() < 0.4:
        dye(picture, mask, label, rng)
    chance = rng.random() if alone else rng.uniform(0.36, 1.0)
    shown = own if chance < 0.35 else (mask > 0)
    if chance < 0.8 and own.sum() > 4 * LEAST:
        ground = ground_of(mask.shape, rng)
        picture = blended(shadowed(picture, shown, ground, rng), shown.astype(np.uint8), ground)
        source = "street cut out" if chance < 0.35 else "street on a plain ground"
    else:
        source = "street"
    x, y, w, h = cv2.boundingRect(own.astype(np.uint8))
    box = (float(x), float(y), float(x + w), float(y + h))
    cut, inner = cut_at(picture, box, window_of(box, picture.shape, rng))
    if min(cut.shape[:2]) < 24:
        return None
    return Sample(sized(cut, rng), scaled_box(inner, cut, rng), known, source, main=source != "street")


def _no_garments(
    pixels: Pixels, mask: NDArray[np.uint8], labels: dict[str, int], rng: np.random.Generator
) -> list[Sample]:
    """Bare eyes, short hair, legs, walls, belts: where a detector sees garments that are none."""
    boxes: list[Box] = []
    hair, skin = mask == labels["hair"], mask == labels["skin"]
    covered = np.isin(mask, [labels[name] for name in ("hat", "sunglasses", "glasses", "accessories")])
    if hair.sum() > 100:
        x, y, w, h = cv2.boundingRect(hair.astype(np.uint8))
        face = skin.copy()
        face[: max(0, y)] = False
        face[y + max(h, w) :] = False
        face[:, : max(0, x - w // 4)] = False
        face[:, x + w + w // 4 :] = False
        around = covered[max(0, y - h) : y + h, max(0, x - w) : x + 2 * w]
        if not around.any():
            boxes.append((float(x), float(y), float(x + w), float(y + min(h, int(w * rng.uniform(0.5, 1.1))))))
            if face.sum() > 100:
                fx, fy, fw, fh = cv2.boundingRect(face.astype(np.uint8))
                at = fy + fh * float(rng.uniform(0.2, 0.45))
                boxes.append((float(fx), at, float(fx + fw), at + fw * float(rng.uniform(0.25, 0.5))))
                boxes.append((float(fx), float(fy), float(fx + fw), float(fy + min(fh, int(1.4 * fw)))))
    legs = skin.copy()
    legs[: mask.shape[0] // 2] = False
    if legs.sum() > 4 * LEAST:
        x, y, w, h = cv2.boundingRect(legs.astype(np.uint8))
        boxes.append((float(x), float(y), float(x + w), float(y + h * rng.uniform(0.4, 0.9))))
    boxes += _walls(mask > 0, rng)
    beside = [labels[name] for name in BESIDE]
    for label in beside:
        if int((mask == label).sum()) > LEAST:
            x, y, w, h = cv2.boundingRect((mask == label).astype(np.uint8))
            boxes.append((float(x), float(y), float(x + w), float(y + h)))
    found = []
    for box in boxes:
        if min(box[2] - box[0], box[3] - box[1]) < 10:
            continue
        cut, inner = cut_at(pixels, box, window_of(box, pixels.shape, rng))
        found.append(
            Sample(sized(cut, rng), scaled_box(inner, cut, rng), NO_GARMENT, "no garment", main=rng.random() < 0.3)
        )
    return found


def _walls(person: Mask, rng: np.random.Generator) -> Iterator[Box]:
    """Two boxes in which hardly anybody stands."""
    height, width = person.shape
    for _ in range(2):
        for _ in range(12):
            w, h = width * rng.uniform(0.1, 0.5), height * rng.uniform(0.08, 0.4)
            x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
            if person[int(y) : int(y + h), int(x) : int(x + w)].mean() < 0.03:
                yield (x, y, x + w, y + h)
                break
