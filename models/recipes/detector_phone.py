"""Phone photos of single garments (CC0): the class is known, the box is not.

At first they teach by their class alone. Later the detector in training boxes them itself (pseudo-labels): its surest
box of the photo's own class, where it is sure and no other class is surer. The rest go on without a box.
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from models.recipes.detector_data import BoxedPhoto, read_photo
from processors.values import CATEGORIES, Detection, Pixels

CLASS_OF: dict[str, str] = {
    **dict.fromkeys(("t-shirt", "longsleeve", "shirt", "polo", "blouse", "top", "undershirt", "hoodie"), "shirt"),
    **dict.fromkeys(("outwear", "blazer"), "jacket"),
    "pants": "pants",
    "shorts": "shorts",
    "skirt": "skirt",
    "dress": "dress",
    "hat": "hat",
    "shoes": "shoe",
}
"""Their labels as our classes; "body" (of a baby) and the rest are left out."""
HELD_OUT_MODULUS = 5
NONE = (np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.bool_))


def load_phone(folder: Path, *, longest_side: int, held_out: bool) -> list[BoxedPhoto]:
    """The photos of one side of the split by contributor (CRC-32 % 5, as the encoder's), shrunk, without boxes."""
    import cv2

    photos = []
    with (folder / "labels_full.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["label"] in CLASS_OF]
    for number, row in enumerate(rows):
        if (zlib.crc32(row["sender"].encode()) % HELD_OUT_MODULUS == 0) != held_out:
            continue
        try:
            pixels = read_photo(folder / "photos" / f"{row['image']}.jpg")
        except FileNotFoundError:
            continue
        scale = longest_side / max(pixels.shape[:2])
        if scale < 1:
            size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
            pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
        photos.append(BoxedPhoto(number, pixels, *NONE, category=CATEGORIES.index(CLASS_OF[row["label"]])))
    return photos


def boxed(
    photos: Sequence[BoxedPhoto], find: Callable[[Pixels], Sequence[Detection]], *, confidence: float
) -> list[BoxedPhoto]:
    """The photos, with a box where `find` (surest first) is sure enough and right about the class."""
    return [with_box(photo, find(photo.pixels), confidence=confidence) for photo in photos]


def with_box(photo: BoxedPhoto, found: Sequence[Detection], *, confidence: float) -> BoxedPhoto:
    """The surest box if it has the photo's class, `confidence`, and a tenth of the picture; else none.

    Other boxes of the class (a second shoe, another shirt on the rail) are ignored regions, not background.
    """
    height, width = photo.pixels.shape[:2]
    own = CATEGORIES[photo.category]
    if not found or found[0].category != own or found[0].confidence < confidence:
        return replace(photo, boxes=NONE[0], classes=NONE[1], ignore=NONE[2])
    x0, y0, x1, y1 = found[0].box
    if (x1 - x0) * (y1 - y0) < 0.1 * height * width:
        return replace(photo, boxes=NONE[0], classes=NONE[1], ignore=NONE[2])
    return replace(
        photo,
        boxes=np.array([found[0].box], np.float32),
        classes=np.array([photo.category], np.int64),
        ignore=np.zeros(1, np.bool_),
    )
