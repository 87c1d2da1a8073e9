"""Is a garment's colour named from its box the colour of its true mask? And how fast.

    python benchmarks/colours.py ../shared/data/street

Priors are averaged over the odd photos and measured on the even ones. "Whole box" names the box's pixels as they are.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from models.recipes.mask_priors import LEVELS, average_masks, garments
from processors.colours import colours_of_mask, dominant_colours
from processors.mask_priors import MASK_PRIORS
from processors.values import Box, Colour, Mask, Pixels

Namer = Callable[[Pixels, Box, str, list[Box]], tuple[Colour, ...]]


def whole_box(pixels: Pixels, box: Box, _category: str, _others: list[Box]) -> tuple[Colour, ...]:
    return colours_of_mask(pixels, inside(pixels, box))


def from_box(pixels: Pixels, box: Box, category: str, others: list[Box]) -> tuple[Colour, ...]:
    return dominant_colours(pixels, box, category, others)


def inside(pixels: Pixels, box: Box) -> Mask:
    mask = np.zeros(pixels.shape[:2], np.bool_)
    mask[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])] = True
    return mask


def measure(folder: Path, name: Namer) -> dict[str, float]:
    """Share of held-out garments whose first colour agrees with the mask's, and CPU milliseconds a garment."""
    by_photo: dict[str, list[tuple[str, int, Box]]] = {}
    for stem, category, value, (x0, y0, x1, y1) in garments(folder):
        if int(stem) % 2 == 0:
            by_photo.setdefault(stem, []).append((category, value, (float(x0), float(y0), float(x1), float(y1))))
    counts: Counter[str] = Counter()
    seconds = 0.0
    for stem, found in by_photo.items():
        pixels = np.asarray(Image.open(folder / "photos" / f"{stem}.jpg").convert("RGB"))
        labels = np.asarray(Image.open(folder / "masks" / f"{stem}.png"))
        for category, value, box in found:
            others = [other for _, _, other in found if other != box]
            mask = (labels == value) & inside(pixels, box)
            if mask.sum() > 600:  # the annotators' outlines take in a pixel or two of what is behind
                mask = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
            truth = [colour.name for colour in colours_of_mask(pixels, mask)]
            started = time.process_time()
            named = [colour.name for colour in name(pixels, box, category, others)]
            seconds += time.process_time() - started
            if truth and named:
                counts.update(n=1, first=named[0] == truth[0], either=named[0] in truth, found=truth[0] in named)
    total = counts["n"]
    shares = {key: counts[key] / total for key in ("first", "either", "found")}
    return {"garments": float(total), **shares, "ms": 1000 * seconds / total}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    cv2.setNumThreads(1)
    # Held out: the shipped priors have seen every photo.
    for category, mask in average_masks(folder, odd_only=True).items():
        rows = np.rint(mask * (len(LEVELS) - 1)).astype(int)
        MASK_PRIORS[category] = tuple("".join(LEVELS[v] for v in row) for row in rows)
    print("| pixels | garments | first = first | first in the mask's two | mask's first in the two | CPU ms |")
    print("|---|---|---|---|---|---|")
    namers: dict[str, Namer] = {"whole box": whole_box, "garment_mask": from_box}
    for label, name in namers.items():
        r = measure(folder, name)
        print(
            f"| {label} | {r['garments']:.0f} | {r['first']:.3f} | {r['either']:.3f} | {r['found']:.3f} | {r['ms']:.1f} |"
        )


if __name__ == "__main__":
    main()
