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
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.recipes.encoder_facets import COLOURS, MAX_GARMENTS, Known
from processors.colours import colours_of_mask, dominant_colours
from processors.drawn import GarmentSpec, draw_scene, outfit, random_spec
from processors.values import CATEGORIES, Box, Colour, Pixels

HELD_OUT = 5
"""One contributor (or street photo) in this many is held out, by the CRC-32 of its name."""
EVALUATION_SEED = 50_000_000
"""Drawn scenes for evaluation start here, far above the seeds of training."""
FIRST_VERSION = 2200
"""The first version of the encoder, whose weights the second went on from, was shown scenes of seeds below this."""
MARGIN = 0.12
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
    """A picture to be embedded, what is known of its garments, where it is from, and the finest label it has.

    `inner` is the garment's box where the picture holds some of its surroundings, for training to crop anew each time.
    """

    pixels: Pixels
    garments: tuple[Known, ...]
    origin: str
    label: str
    held_out: bool
    inner: Box = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Product:
    """Title, brand and facets (type, gender, colour, fabric; "" is unknown) of a catalogue photo."""

    title: str
    brand: str
    facets: dict[str, str]


def training_views(data: Path, *, drawn: int, street_every: int = 1) -> Iterator[View]:
    """All pictures to train on, as they are; crops with `MARGIN` around them. Held-out ones are left out.

    Args:
        data: the folder with `phone` and `street`.
        drawn: how many drawn scenes; those with a held-out combination of facets are not shown.
        street_every: use one street photo in so many.
    """
    yield from phone(data / "phone", held_out=False)
    yield from street(data / "street", margin=MARGIN, every=street_every, held_out=False)
    yield from drawn_views(range(drawn), margin=MARGIN)


def phone(folder: Path, *, held_out: bool) -> Iterator[View]:
    """Photos of single garments; the colour is measured where the photo's middle differs from its border."""
    with (folder / "labels_full.csv").open() as file:
        rows = [
            row for row in csv.DictReader(file) if row["label"] in _PHONE and is_held_out(row["sender"]) == held_out
        ]
    for row in rows:
        pixels = read(folder / "photos" / f"{row['image']}.jpg")
        if pixels is None:
            continue
        height, width = pixels.shape[:2]
        small = _thumbnail(pixels)
        box = (0.0, 0.0, float(small.shape[1]), float(small.shape[0]))
        colours = dominant_colours(small, box, _PHONE[row["label"]]["category"])
        known = Known(_PHONE[row["label"]], taught(colours, 0.3))
        whole = (0.0, 0.0, float(width), float(height))
        yield View(pixels, (known,), "phone", row["label"], held_out, whole)


def street(folder: Path, *, held_out: bool, margin: float = 0.0, every: int = 1) -> Iterator[View]:
    """Crops of each annotated garment with `margin` of its size on each side, and the whole photo with its three largest."""
    document = json.loads((folder / "boxes_10class_coco.json").read_text())
    labels = {name: int(number) for number, name in json.loads((folder / "mask_labels.json").read_text()).items()}
    annotations: dict[int, list[tuple[str, Box]]] = {}
    for found in document["annotations"]:
        if not found["iscrowd"]:
            x, y, w, h = found["bbox"]
            category = CATEGORIES[found["category_id"] - 1]
            annotations.setdefault(found["image_id"], []).append((category, (x, y, x + w, y + h)))
    chosen = [image for image in document["images"] if is_held_out(image["file_name"]) == held_out]
    for image in chosen[::every]:
        pixels = read(folder / "photos" / image["file_name"])
        mask = cv2.imread(str(folder / "masks" / image["file_name"].replace(".jpg", ".png")), cv2.IMREAD_UNCHANGED)
        if pixels is None or mask is None:
            continue
        garments = [
            (box, known)
            for category, box in annotations.get(image["id"], [])
            if (known := _street_known(pixels, mask, labels, category, box))
        ]
        for box, known in garments:
            crop, inner = cut(pixels, box, margin)
            yield View(crop, (known,), "street", known.facets["category"], held_out, inner)
        largest = sorted(garments, key=lambda garment: -_area(garment[0]))[:MAX_GARMENTS]
        if largest:
            height, width = pixels.shape[:2]
            whole = (0.0, 0.0, float(width), float(height))
            yield View(pixels, tuple(known for _, known in largest), "street-whole", "", held_out, whole)


def drawn_views(seeds: Iterable[int], *, margin: float = 0.0, unseen: bool = False) -> Iterator[View]:
    """Scenes of known truth: each garment as a crop with `margin` around it, and every third scene whole.

    Scenes that show a held-out combination of facets (`is_unseen`) are skipped, unless `unseen`.
    """
    for seed in seeds:
        scene = draw_scene(seed, size=288)
        if not unseen and any(is_unseen(garment.spec) for garment in scene.garments):
            continue
        shown = [garment for garment in scene.garments if garment.visible > 0.4]
        for garment in shown:
            if min(garment.box[2] - garment.box[0], garment.box[3] - garment.box[1]) >= 16:
                crop, inner = cut(scene.pixels, garment.box, margin)
                known = spec_known(garment.spec)
                yield View(crop, (known,), "drawn", known.facets["category"], unseen, inner)
        if seed % 3 == 0 and len(shown) == len(scene.garments) and shown:
            garments = tuple(spec_known(g.spec) for g in shown[:MAX_GARMENTS])
            whole = (0.0, 0.0, float(scene.pixels.shape[1]), float(scene.pixels.shape[0]))
            yield View(scene.pixels, garments, "drawn-whole", "", unseen, whole)


def unseen_views(count: int) -> Iterator[View]:
    """Crops of single drawn garments whose combination training never shows, nor did the first version's."""
    rng = np.random.default_rng(EVALUATION_SEED)
    before = {_combination(spec) for seed in range(FIRST_VERSION) for spec in specs_of(seed)}
    for number in range(count):
        spec = next(s for s in iter(lambda: random_spec(rng), None) if is_unseen(s) and _combination(s) not in before)
        scene = draw_scene(2 * EVALUATION_SEED + number, size=288, garments=(spec,), style="flat")
        for garment in scene.garments:
            crop, inner = cut(scene.pixels, garment.box, 0.0)
            yield View(crop, (spec_known(spec),), "drawn", spec.category, True, inner)


def specs_of(seed: int) -> tuple[GarmentSpec, ...]:
    """What `draw_scene(seed)` shows, without drawing it."""
    rng = np.random.Generator(np.random.PCG64(seed))
    worn = rng.random() < 0.6
    count = int(rng.choice([1, 2, 3], p=[0.15, 0.25, 0.6] if worn else [0.6, 0.25, 0.15]))
    return outfit(rng, count) if worn else tuple(random_spec(rng) for _ in range(count))


def is_unseen(spec: GarmentSpec) -> bool:
    """Whether this combination of category, colour, pattern and sleeve is one of the fifth that training never shows."""
    return is_held_out(_combination(spec))


def _combination(spec: GarmentSpec) -> str:
    return f"{spec.category} {spec.colour} {spec.pattern} {spec.sleeve}"


def cut(pixels: Pixels, box: Box, margin: float) -> tuple[Pixels, Box]:
    """The box with `margin` of its size on each side, as far as there is picture, and where the box lies in it."""
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = box
    w, h = (x1 - x0) * margin, (y1 - y0) * margin
    left, top = max(0, round(x0 - w)), max(0, round(y0 - h))
    right, bottom = min(width, max(left + 8, round(x1 + w))), min(height, max(top + 8, round(y1 + h)))
    return pixels[top:bottom, left:right].copy(), (x0 - left, y0 - top, x1 - left, y1 - top)


def products(folder: Path, every: int = 2) -> Iterator[tuple[Pixels, Product]]:
    """For evaluation only: catalogue photos with the shops' own words."""
    with gzip.open(folder / "products.jsonl.gz", "rt") as file:
        rows = [json.loads(line) for line in file]
    with zipfile.ZipFile(folder / "images_168x224.zip") as archive:
        names = {Path(name).stem: name for name in archive.namelist() if name.endswith(".jpg")}
        for row in rows[::every]:
            name = names.get(str(row["id"]))
            found = cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_COLOR) if name else None
            if found is not None:
                words = row.get("articleAttributes") or {}
                facets = {"type": row["articleType"], "gender": row["gender"], "colour": row["baseColour"]}
                yield (
                    np.asarray(cv2.cvtColor(found, cv2.COLOR_BGR2RGB), np.uint8),
                    Product(row["productDisplayName"], row["brandName"], facets | {"fabric": words.get("Fabric", "")}),
                )


def taught(colours: Sequence[Colour], share: float) -> tuple[str, ...]:
    """The names of a garment's measured colours that have more than `share` of it; none, which leaves its colour open, where
    it is "multicoloured": no text that is taught says that.
    """
    names = tuple(colour.name for colour in colours if colour.share > share)
    return names if set(names) <= set(COLOURS) else ()


def spec_known(spec: GarmentSpec) -> Known:
    """All facets of a drawn garment."""
    facets = {"category": spec.category, "pattern": spec.pattern}
    named = {"sleeve": spec.sleeve, "neckline": spec.neckline, "length": spec.length, "fabric": spec.fabric}
    facets |= {facet: value for facet, value in named.items() if value}
    return Known(facets, (spec.colour, spec.second_colour) if spec.second_colour else (spec.colour,))


def _thumbnail(pixels: Pixels) -> Pixels:
    """At most 128 pixels long: the names of the colours come out the same, at a quarter of the time."""
    scale = 128 / max(pixels.shape[:2])
    return (
        np.asarray(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
        if scale < 1
        else pixels
    )


def read(path: Path) -> Pixels | None:
    """Decode a JPEG to RGB; None when OpenCV cannot."""
    found = cv2.imread(str(path))
    return None if found is None else np.asarray(cv2.cvtColor(found, cv2.COLOR_BGR2RGB), np.uint8)


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
    return Known(_STREET[label], taught(colours, 0.25))


def is_held_out(name: str) -> bool:
    """Which side of the split a contributor or a photo is on."""
    return zlib.crc32(name.encode()) % HELD_OUT == 0


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
