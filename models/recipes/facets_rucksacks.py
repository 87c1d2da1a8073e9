"""Rucksacks, drawn: a rounded body with a lid, pockets, zips, a handle and straps, on a packshot's ground.

No source of ours has one, and a rucksack alone on white was taken for a hat or a jacket.
"""

from __future__ import annotations

import cv2
import numpy as np

from models.recipes.detector_colour import blended
from models.recipes.facets_frames import Sample, cut_at, ground_of, scaled_box, shadowed, sized, window_of
from models.recipes.facets_prints import redrawn
from models.recipes.facets_truth import Allowed
from processors.second_look import CATEGORY
from processors.values import Mask, Pixels

BAG: Allowed = {CATEGORY: ("bag",), "kind": ("bag",)}


def rucksack_sample(seed: int) -> Sample:
    """A drawn rucksack on a packshot's ground."""
    rng = np.random.default_rng(seed)
    drawn, own = rucksack(rng)
    ground = ground_of(own.shape, rng)
    picture = blended(shadowed(drawn, own, ground, rng), own.astype(np.uint8), ground)
    x, y, w, h = cv2.boundingRect(own.astype(np.uint8))
    box = (float(x), float(y), float(x + w), float(y + h))
    cut, inner = cut_at(picture, box, window_of(box, picture.shape, rng, near=True))
    return Sample(sized(cut, rng), scaled_box(inner, cut, rng), BAG, "rucksack")


def rucksack(rng: np.random.Generator, side: int = 320) -> tuple[Pixels, Mask]:
    """A drawn rucksack on white and its mask: a rounded body with a lid, pockets, zips, a handle and straps."""
    canvas = np.full((side, side, 3), 255, np.uint8)
    wide = float(rng.uniform(0.4, 0.66)) * side
    high = min(0.88 * side, wide * float(rng.uniform(1.05, 1.6)))
    x0, y0 = (side - wide) / 2, (side - high) / 2 + 0.03 * side
    mask = np.zeros((side, side), np.uint8)
    taper = float(rng.uniform(0.0, 0.16)) * wide
    bend = np.linspace(0, np.pi, 20)
    crown = float(rng.uniform(0.08, 0.3)) * high
    top = np.stack([x0 + wide / 2 - (wide / 2 - taper) * np.cos(bend), y0 + crown - crown * np.sin(bend)], 1)
    foot = 0.06 * wide
    body = np.concatenate(
        [
            top,
            [
                (x0 + wide, y0 + 0.6 * high),
                (x0 + wide - foot, y0 + high),
                (x0 + foot, y0 + high),
                (x0, y0 + 0.6 * high),
            ],
        ]
    )
    cv2.fillPoly(mask, [np.round(body).astype(np.int32)], 1)
    if rng.random() < 0.7:  # straps that show beside the body
        for edge, out in ((x0, -1), (x0 + wide, 1)):
            loop = np.array(
                [
                    (edge - out * 0.1 * wide, y0 + 0.2 * high),
                    (edge + out * float(rng.uniform(0.03, 0.16)) * wide, y0 + 0.55 * high),
                    (edge - out * 0.05 * wide, y0 + 0.92 * high),
                ]
            )
            cv2.polylines(mask, [np.round(loop).astype(np.int32)], False, 1, max(3, round(0.05 * wide)))
    own = mask > 0
    pattern = str(rng.choice(["solid", "colourblocked", "printed", "checked"], p=[0.72, 0.14, 0.08, 0.06]))
    grain = np.clip(rng.normal(150, 18, (side, side, 1)) * np.ones((1, 1, 3)), 0, 255).astype(np.uint8)
    ramp = np.linspace(1.15, 0.75, side)[None, :, None] * np.linspace(1.1, 0.85, side)[:, None, None]
    real = redrawn(np.clip(grain * ramp, 0, 255).astype(np.uint8), own, pattern, rng, [])
    bag = np.where(own[..., None], real, canvas).astype(np.uint8)
    base = bag[own].mean(0)
    dark, other = (
        tuple(float(v) for v in base * 0.55),
        tuple(float(v) for v in (base * 0.8 if rng.random() < 0.7 else rng.uniform(0, 255, 3))),
    )
    thin = max(1, round(0.012 * wide))
    for at in sorted(rng.uniform(0.22, 0.9, int(rng.integers(1, 4)))):  # zips and seams across
        sag = float(rng.uniform(-0.06, 0.02)) * high
        line = np.array(
            [
                (x0 + 0.06 * wide, y0 + at * high),
                (x0 + wide / 2, y0 + at * high + sag),
                (x0 + 0.94 * wide, y0 + at * high),
            ]
        )
        cv2.polylines(bag, [np.round(line).astype(np.int32)], False, dark, thin, cv2.LINE_AA)
    inset = float(rng.uniform(0.08, 0.2)) * wide
    pocket = (
        (round(x0 + inset), round(y0 + float(rng.uniform(0.45, 0.6)) * high)),
        (round(x0 + wide - inset), round(y0 + 0.93 * high)),
    )
    if rng.random() < 0.6:
        cv2.rectangle(bag, *pocket, other, -1)
    cv2.rectangle(bag, *pocket, dark, thin, cv2.LINE_AA)
    cv2.ellipse(
        bag,
        (round(x0 + wide / 2), round(y0 + 0.01 * high)),
        (round(0.13 * wide), round(0.09 * high)),
        0,
        180,
        360,
        dark,
        max(2, round(0.03 * wide)),
        cv2.LINE_AA,
    )
    shown = (bag < 250).any(2) | own
    blurred = cv2.GaussianBlur(bag, (3, 3), 0)
    return np.asarray(blurred, np.uint8), shown
