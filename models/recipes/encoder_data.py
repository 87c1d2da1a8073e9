"""Training and evaluation pictures of the encoder, as views: a whole photo or the crop of one garment.

- `phone`: one garment a photo (CC0); its class is given, its colour measured; split by contributor.
- `street`: crops and whole photos (Apache-2.0); class from the mask's label, colour from the mask's pixels.
- `drawn`: scenes of `processors.drawn`, known by construction.
- `products`: evaluation only, by its licence. It never appears in `training_views`.
"""

from __future__ import annotations

import csv
import gzip
import json
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.recipes.encoder_facets import MAX_GARMENTS, Known
from processors.colours import colours_of_mask, dominant_colours
from processors.drawn import GarmentSpec, draw_scene
from processors.values import CATEGORIES, Box, Pixels

HELD_OUT = 5
"""One contributor (or street photo) in this many is held out, by the CRC-32 of its name."""
EVALUATION_SEED = 50_000_000
"""Drawn scenes for evaluation start here, far above the seeds of training."""
_PHONE: dict[str, dict[str, str]] = {
    "t-shirt": {"category": "shirt", "kind": "t-shirt", "sleeve": "short"},
    "longsleeve": {"category": "shirt", "kind": "long sleeve top", "sleeve": "long"},
    "shirt": {"category": "shirt", "kind": "button-up shirt", "neckline": "collar"},
    "polo": {"category": "shirt", "kind": "polo shirt", "neckline": "collar", "sleeve": "short"},
    "undershirt": {"category": "shirt", "kind": "tank top", "sleeve": "sleeveless"},
    "hoodie": {"category": "shirt", "kind": "hoodie", "neckline": "hood", "sleeve": "long"},
    "blouse": {"category": "shirt", "kind": "blouse"},
    "top": {"category": "shirt"},
    "outwear": {"category": "jacket", "kind": "coat", "sleeve": "long"},
    "blazer": {"category": "jacket", "kind": "blazer", "sleeve": "long"},
    "pants": {"category": "pants"},
    "shorts": {"category": "shorts"},
    "skirt": {"category": "skirt"},
    "dress": {"category": "dress"},
    "hat": {"category": "hat"},
    "shoes": {"category": "shoe"},
}
_STREET: dict[str, dict[str, str]] = {
    "sunglasses": {"category": "sunglass"},
    "hat": {"category": "hat"},
    "blazer": {"category": "jacket", "kind": "blazer"},
    "coat": {"category": "jacket", "kind": "coat"},
    "jacket": {"category": "jacket"},
    "blouse": {"category": "shirt", "kind": "blouse"},
    "shirt": {"category": "shirt", "kind": "button-up shirt"},
    "t-shirt": {"category": "shirt", "kind": "t-shirt"},
    "top": {"category": "shirt"},
    "sweater": {"category": "shirt", "kind": "sweater"},
    "sweatshirt": {"category": "shirt", "kind": "sweater"},
    "jumper": {"category": "shirt", "kind": "sweater"},
    "hoodie": {"category": "shirt", "kind": "hoodie"},
    "jeans": {"category": "pants", "kind": "jeans", "fabric": "denim"},
    "leggings": {"category": "pants", "kind": "leggings"},
    "pants": {"category": "pants"},
    "shorts": {"category": "shorts"},
    "skirt": {"category": "skirt"},
    "dress": {"category": "dress"},
    "bag": {"category": "bag"},
    "purse": {"category": "bag"},
    "wallet": {"category": "bag"},
    "shoes": {"category": "shoe"},
    "boots": {"category": "shoe", "kind": "boots"},
    "flats": {"category": "shoe", "kind": "flats"},
    "loafers": {"category": "shoe", "kind": "flats"},
    "heels": {"category": "shoe", "kind": "heels"},
    "pumps": {"category": "shoe", "kind": "heels"},
    "wedges": {"category": "shoe", "kind": "heels"},
    "sandals": {"category": "shoe", "kind": "sandals"},
    "sneakers": {"category": "shoe", "kind": "sneakers"},
}


@dataclass(frozen=True, slots=True)
class View:
    """A picture to be embedded, what is known of its garments, where it is from, and the finest label it has."""

    pixels: Pixels
    garments: tuple[Known, ...]
    origin: str
    label: str
    held_out: bool


def training_views(data: Path, *, drawn: int, epochs: int) -> Iterator[View]:
    """All views, augmented for training; held-out ones once, as they are.

    Args:
        data: the folder with `phone` and `street`.
        drawn: how many drawn scenes.
        epochs: how often each phone photo is seen, each time otherwise cropped, mirrored and exposed.
    """
    rng = np.random.default_rng(5)
    for source in (phone(data / "phone", rng, epochs), street(data / "street", rng, 1)):
        yield from source
    yield from drawn_views(0, drawn, rng, held_out=False)
    yield from drawn_views(EVALUATION_SEED, 400, rng, held_out=True)


def phone(folder: Path, rng: np.random.Generator, epochs: int) -> Iterator[View]:
    """Photos of single garments; the colour is measured where the photo's middle differs from its border."""
    with (folder / "labels_full.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["label"] in _PHONE]
    for row in rows:
        pixels = read(folder / "photos" / f"{row['image']}.jpg")
        if pixels is None:
            continue
        height, width = pixels.shape[:2]
        category = _PHONE[row["label"]]["category"]
        colours = dominant_colours(pixels, (0.0, 0.0, float(width), float(height)), category)
        known = Known(_PHONE[row["label"]], tuple(colour.name for colour in colours if colour.share > 0.3))
        held_out = is_held_out(row["sender"])
        for number in range(1 if held_out else epochs):
            seen = (
                pixels if held_out or number == 0 else augment(pixels, _jitter((0, 0, width, height), 0.06, rng), rng)
            )
            yield View(seen, (known,), "phone", row["label"], held_out)


def street(folder: Path, rng: np.random.Generator, epochs: int) -> Iterator[View]:
    """Crops of each annotated garment, and the whole photo with its three largest."""
    document = json.loads((folder / "boxes_10class_coco.json").read_text())
    labels = {name: int(number) for number, name in json.loads((folder / "mask_labels.json").read_text()).items()}
    annotations: dict[int, list[tuple[str, Box]]] = {}
    for found in document["annotations"]:
        if not found["iscrowd"]:
            x, y, w, h = found["bbox"]
            category = CATEGORIES[found["category_id"] - 1]
            annotations.setdefault(found["image_id"], []).append((category, (x, y, x + w, y + h)))
    for image in document["images"]:
        pixels = read(folder / "photos" / image["file_name"])
        mask = cv2.imread(str(folder / "masks" / image["file_name"].replace(".jpg", ".png")), cv2.IMREAD_UNCHANGED)
        if pixels is None or mask is None:
            continue
        held_out = is_held_out(image["file_name"])
        garments = [
            (box, known)
            for category, box in annotations.get(image["id"], [])
            if (known := _street_known(pixels, mask, labels, category, box))
        ]
        for box, known in garments:
            for _ in range(1 if held_out else epochs):
                where = _jitter(box, 0.0 if held_out else 0.08, rng)
                yield View(
                    augment(pixels, where, rng, change=not held_out),
                    (known,),
                    "street",
                    known.facets["category"],
                    held_out,
                )
        largest = sorted(garments, key=lambda garment: -_area(garment[0]))[:MAX_GARMENTS]
        if largest:
            yield View(pixels, tuple(known for _, known in largest), "street-whole", "", held_out)


def drawn_views(first: int, count: int, rng: np.random.Generator, *, held_out: bool) -> Iterator[View]:
    """Each scene's garments as crops, and every third scene whole."""
    for seed in range(first, first + count):
        scene = draw_scene(seed, size=288)
        shown = [garment for garment in scene.garments if garment.visible > 0.4]
        for garment in shown:
            if min(garment.box[2] - garment.box[0], garment.box[3] - garment.box[1]) < 16:
                continue
            where = _jitter(garment.box, 0.0 if held_out else 0.08, rng)
            known = spec_known(garment.spec)
            yield View(
                augment(scene.pixels, where, rng, change=not held_out),
                (known,),
                "drawn",
                known.facets["category"],
                held_out,
            )
        if seed % 3 == 0 and len(shown) == len(scene.garments) and shown:
            yield View(
                scene.pixels, tuple(spec_known(g.spec) for g in shown[:MAX_GARMENTS]), "drawn-whole", "", held_out
            )


def products(folder: Path, every: int = 2) -> Iterator[tuple[Pixels, str, str]]:
    """For evaluation only: catalogue photos with articleType and baseColour."""
    with gzip.open(folder / "products.jsonl.gz", "rt") as file:
        rows = [json.loads(line) for line in file]
    with zipfile.ZipFile(folder / "images_168x224.zip") as archive:
        names = {Path(name).stem: name for name in archive.namelist() if name.endswith(".jpg")}
        for row in rows[::every]:
            name = names.get(str(row["id"]))
            found = cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_COLOR) if name else None
            if found is not None:
                yield (
                    np.asarray(cv2.cvtColor(found, cv2.COLOR_BGR2RGB), np.uint8),
                    row["articleType"],
                    row["baseColour"],
                )


def spec_known(spec: GarmentSpec) -> Known:
    """All facets of a drawn garment."""
    facets = {"category": spec.category, "pattern": spec.pattern}
    named = {"sleeve": spec.sleeve, "neckline": spec.neckline, "length": spec.length, "fabric": spec.fabric}
    facets |= {facet: value for facet, value in named.items() if value}
    return Known(facets, (spec.colour, spec.second_colour) if spec.second_colour else (spec.colour,))


def read(path: Path) -> Pixels | None:
    """Decode a JPEG to RGB; None when OpenCV cannot."""
    found = cv2.imread(str(path))
    return None if found is None else np.asarray(cv2.cvtColor(found, cv2.COLOR_BGR2RGB), np.uint8)


def augment(pixels: Pixels, box: Box, rng: np.random.Generator, *, change: bool = True) -> Pixels:
    """Crop, and when `change`: mirror, expose otherwise, lose detail. Never another hue: colour is what is learned."""
    x0, y0, x1, y1 = (round(v) for v in box)
    crop = pixels[y0 : max(y0 + 8, y1), x0 : max(x0 + 8, x1)]
    if not change:
        return crop
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    gain = rng.uniform(0.85, 1.15)
    exposed = np.clip(255 * (crop.astype(np.float32) / 255 * gain) ** rng.uniform(0.85, 1.2), 0, 255)
    seen = exposed.astype(np.uint8)
    if rng.random() < 0.3:
        quality = int(rng.integers(30, 80))
        _, data = cv2.imencode(".jpg", seen, [cv2.IMWRITE_JPEG_QUALITY, quality])
        seen = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return seen


def _street_known(
    pixels: Pixels, mask: NDArray[np.uint8], labels: dict[str, int], category: str, box: Box
) -> Known | None:
    """The finest label under the box that belongs to its class, and the colours of that label's pixels."""
    inside = np.zeros(mask.shape, bool)
    x0, y0, x1, y1 = (round(v) for v in box)
    inside[y0:y1, x0:x1] = True
    counts = {
        name: int(((mask == labels[name]) & inside).sum())
        for name, known in _STREET.items()
        if known["category"] == category
    }
    label = max(counts, key=lambda name: counts[name])
    if counts[label] < 60:
        return None
    colours = colours_of_mask(pixels, (mask == labels[label]) & inside)
    return Known(_STREET[label], tuple(colour.name for colour in colours if colour.share > 0.25))


def _jitter(box: Box, most: float, rng: np.random.Generator) -> Box:
    """Widen the box by 4 % as a detector's is, and move each side by up to `most` of its length; never outside 0."""
    x0, y0, x1, y1 = box
    w, h = x1 - x0, y1 - y0
    moves = rng.uniform(-most, most, 4) + np.array([-0.04, -0.04, 0.04, 0.04]) * (most > 0)
    return (max(0.0, x0 + w * moves[0]), max(0.0, y0 + h * moves[1]), x1 + w * moves[2], y1 + h * moves[3])


def is_held_out(name: str) -> bool:
    """Which side of the split a contributor or a photo is on."""
    return zlib.crc32(name.encode()) % HELD_OUT == 0


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
