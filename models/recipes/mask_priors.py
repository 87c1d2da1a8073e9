"""Recipe: where inside its box a garment of each class is, averaged over annotated masks → `processors/mask_priors.py`.

    python -m models.recipes.mask_priors STREET_FOLDER [--split odd] > table.txt

STREET_FOLDER holds `masks/*.png`, `mask_labels.json` and `boxes_59label_coco.json` (Clothing Co-Parsing,
Apache-2.0). Every mask is cut to its box, scaled to GRID × GRID, mirrored (left and right are alike on average) and
averaged. `--split odd` uses the odd photos only: the figures in `docs/benchmarks.md` are measured on the even ones.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

GRID = 12
LEVELS = "0123456789abcdef"
# Labels of the masks that are one of our classes beyond doubt.
CLASSES: dict[str, str] = {
    "sunglass": "sunglasses",
    "hat": "hat",
    "jacket": "blazer coat jacket cardigan cape",
    "shirt": "blouse shirt t-shirt top sweater sweatshirt jumper hoodie",
    "pants": "jeans leggings pants",
    "shorts": "shorts",
    "skirt": "skirt",
    "dress": "dress romper",
    "bag": "bag purse",
    "shoe": "shoes boots clogs flats heels loafers pumps sandals sneakers wedges",
}


def garments(folder: Path) -> list[tuple[str, str, int, tuple[int, int, int, int]]]:
    """(photo stem, class, mask value, box) of every garment of at least 24 pixels a side and 500 of area."""
    coco: dict[str, Any] = json.loads((folder / "boxes_59label_coco.json").read_text())
    values = {name: int(value) for value, name in json.loads((folder / "mask_labels.json").read_text()).items()}
    class_of = {label: name for name, labels in CLASSES.items() for label in labels.split()}
    label_of = {c["id"]: c["name"] for c in coco["categories"]}
    stem_of = {i["id"]: Path(i["file_name"]).stem for i in coco["images"]}
    found = []
    for row in coco["annotations"]:
        label, (x, y, w, h) = label_of[row["category_id"]], row["bbox"]
        if label in class_of and row["area"] >= 500 and min(w, h) >= 24:
            box = (max(0, round(x)), max(0, round(y)), round(x + w), round(y + h))
            found.append((stem_of[row["image_id"]], class_of[label], values[label], box))
    return found


def average_masks(folder: Path, *, odd_only: bool) -> dict[str, NDArray[np.float32]]:
    """Class → (GRID, GRID) share of garments that cover each cell of their box, 0..1."""
    cells: dict[str, list[NDArray[np.float32]]] = defaultdict(list)
    for stem, name, value, (x0, y0, x1, y1) in garments(folder):
        if odd_only and int(stem) % 2 == 0:
            continue
        mask = np.asarray(Image.open(folder / "masks" / f"{stem}.png"))[y0:y1, x0:x1] == value
        cell = cv2.resize(mask.astype(np.float32), (GRID, GRID), interpolation=cv2.INTER_AREA)
        cells[name].append(np.asarray((cell + cell[:, ::-1]) / 2, dtype=np.float32))
    return {name: np.mean(stack, axis=0) for name, stack in cells.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--split", choices=("all", "odd"), default="all")
    arguments = parser.parse_args()
    for name, mask in average_masks(arguments.folder, odd_only=arguments.split == "odd").items():
        print(f'    "{name}": (')
        for row in np.rint(mask * (len(LEVELS) - 1)).astype(int):
            print(f'        "{"".join(LEVELS[v] for v in row)}",')
        print("    ),")


if __name__ == "__main__":
    main()
