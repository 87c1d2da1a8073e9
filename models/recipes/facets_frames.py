"""How a garment is shown in a training picture of the facet heads: on which ground, how near, how large, in what light."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from models.recipes.detector_colour import light
from models.recipes.facets_truth import Allowed
from processors.values import Box, Mask, Pixels

CANVAS = 320
"""Longest side of a picture, in pixels."""
LEAST = 250
"""Pixels of a mask below which a garment is too small to learn from."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture, the box of its garment, what its label allows, and where it is from. `main`: it is what the picture is about."""

    pixels: Pixels
    box: Box
    allowed: Allowed
    source: str
    main: bool = True


def turned(sample: Sample) -> Sample:
    """The picture mirrored."""
    pixels, box = mirrored(sample.pixels, sample.box)
    return replace(sample, pixels=pixels, box=box)


def cut_out(pixels: Pixels) -> Mask | None:
    """What fills the middle of a photo, by GrabCut (Rother et al. 2004) on a thumbnail; None where it is hardly told from the ground."""
    height, width = pixels.shape[:2]
    scale = 128 / max(height, width)
    small = cv2.resize(pixels, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    rows, columns = small.shape[:2]
    marks = np.full((rows, columns), cv2.GC_PR_BGD, np.uint8)
    marks[round(0.06 * rows) : round(0.94 * rows), round(0.06 * columns) : round(0.94 * columns)] = cv2.GC_PR_FGD
    marks[: round(0.025 * rows)] = marks[round(0.975 * rows) :] = cv2.GC_BGD
    marks[:, : round(0.025 * columns)] = marks[:, round(0.975 * columns) :] = cv2.GC_BGD
    own, other = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(1)
    cv2.grabCut(small, marks, None, own, other, 3, cv2.GC_INIT_WITH_MASK)
    mask = np.isin(marks, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, parts, sizes, _ = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return None
    best = 1 + int(sizes[1:, cv2.CC_STAT_AREA].argmax())
    mask = cv2.morphologyEx((parts == best).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    share = float(mask.mean())
    edge = np.concatenate([mask[3], mask[-4], mask[:, 3], mask[:, -4]]).mean()
    x, y, w, h = cv2.boundingRect(mask)
    if not 0.15 < share < 0.8 or edge > 0.12 or mask[y : y + h, x : x + w].mean() < 0.4:
        return None
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.0)
    return np.asarray(cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR) > 0.5)


def ground_of(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """A packshot's ground: white most often, else grey or a colour, with a gradient."""
    height, width = shape[:2]
    chance = rng.random()
    if chance < 0.5:
        top = np.full(3, 255.0)
    elif chance < 0.8:
        top = np.full(3, rng.uniform(200, 254)) + rng.normal(0, 3, 3)
    else:
        top = rng.uniform(60, 255, 3)
    bottom = top if chance < 0.4 else top * rng.uniform(0.82, 1.0)
    ramp = np.linspace(0, 1, height)[:, None, None]
    noise = rng.normal(0, float(rng.uniform(0, 1.5)), (height, width, 1))
    return np.clip(top * (1 - ramp) + bottom * ramp + noise, 0, 255).astype(np.float32)


def shadowed(pixels: Pixels, shown: Mask, ground: NDArray[np.float32], rng: np.random.Generator) -> Pixels:
    """Lay a soft shadow of what is shown on the ground (in place), as lamps do; the pixels are given back."""
    if rng.random() < 0.5:
        sigma = max(shown.shape) * float(rng.uniform(0.01, 0.03))
        shade = cv2.GaussianBlur(shown.astype(np.float32), (0, 0), sigma)
        ground *= 1 - float(rng.uniform(0.05, 0.25)) * shade[..., None]
    return pixels


def window_of(box: Box, shape: tuple[int, ...], rng: np.random.Generator, *, near: bool = False) -> Box:
    """What a catalogue photo shows around a garment: a little, or (unless `near`) most of its wearer."""
    width, height = box[2] - box[0], box[3] - box[1]
    reach = 0.2 if near else float(rng.choice([0.12, 0.35, 0.8], p=[0.35, 0.4, 0.25]))
    left, right = rng.uniform(0.02, reach, 2) * width
    above, below = rng.uniform(0.02, reach, 2) * height
    return (
        max(0.0, box[0] - left), max(0.0, box[1] - above),
        min(float(shape[1]), box[2] + right), min(float(shape[0]), box[3] + below),
    )  # fmt: skip


def cut_at(pixels: Pixels, box: Box, window: Box) -> tuple[Pixels, Box]:
    x0, y0, x1, y1 = (round(v) for v in window)
    return pixels[y0:y1, x0:x1].copy(), (box[0] - x0, box[1] - y0, box[2] - x0, box[3] - y0)


def sized(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """At most `CANVAS` long, in the light of another lamp, and now and then as small as a thumbnail."""
    scale = min(CANVAS / max(pixels.shape[:2]), 3.0)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    smaller = np.asarray(cv2.resize(pixels, _side(pixels, scale), interpolation=how), np.uint8)
    return light(smaller, rng, 0.35)


def _side(pixels: Pixels, scale: float) -> tuple[int, int]:
    return (max(8, round(pixels.shape[1] * scale)), max(8, round(pixels.shape[0] * scale)))


def scaled_box(box: Box, pixels: Pixels, rng: np.random.Generator) -> Box:
    """The box in the picture as `sized` makes it, as loose or tight as a detector's."""
    scale = min(CANVAS / max(pixels.shape[:2]), 3.0)
    width, height = _side(pixels, scale)
    across, along = width / pixels.shape[1], height / pixels.shape[0]
    slips = rng.normal(0, 0.035, 4)
    w, h = (box[2] - box[0]) * across, (box[3] - box[1]) * along
    return (
        float(np.clip(box[0] * across + slips[0] * w, 0, width - 4)), float(np.clip(box[1] * along + slips[1] * h, 0, height - 4)),
        float(np.clip(box[2] * across + slips[2] * w, 4, width)), float(np.clip(box[3] * along + slips[3] * h, 4, height)),
    )  # fmt: skip


def mirrored(pixels: Pixels, box: Box) -> tuple[Pixels, Box]:
    width = pixels.shape[1]
    return np.ascontiguousarray(pixels[:, ::-1]), (width - box[2], box[1], width - box[0], box[3])
