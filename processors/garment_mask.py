"""Which pixels of a box are the garment's own, estimated without a segmentation model.

A loose box holds street, skin and other garments; naming their colours is the classic failure (.17 right on checked
shirts). Two things are known: where in its box a garment of that class usually is (`mask_priors`), and that what
surrounds the box also looks through it. Both are joined by Bayes' rule over a colour histogram, three times over:
the idea of GrabCut (Rother et al. 2004) with a smoothed histogram in place of mixtures and no graph cut, which costs
half a millisecond instead of 10 and agreed better with true masks (`docs/benchmarks.md`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from processors.lab import CELLS, GRID, Cells, Lab, cells_of, to_lab
from processors.mask_priors import MASK_PRIORS
from processors.mask_runs import LEAST, unpacked
from processors.values import Box, GarmentMask, Mask, Pixels

Weights: TypeAlias = NDArray[np.float64]
SeenMask: TypeAlias = GarmentMask | msgspec.UnsetType | None
"""A garment's mask as its detector saw it, where that segments."""

WORK_SIDE = 64
"""Longest side, in pixels, at which colours are measured: of the photo's own pixels, not of means of them, because a
mean of a white and a navy thread is a blue that the cloth does not have."""
MARGIN = 0.18
"""How far around the box the background is looked at, in box sides."""
ROUNDS = 3
OUTSIDE = 0.03
"""Probability that a pixel outside the box is the garment (boxes are a little tight)."""
COVERED = 0.5
"""What is left of the prior where a smaller garment lies on top (a bag before a dress)."""
SKIN_WEIGHT = 0.4
STUDIO_TOLERANCE = 2.0
"""CIELAB distance within which a pixel is of the wall's colour."""
STUDIO_BORDER = 0.5
"""Share of the border that must be of one colour for it to be a wall."""
STUDIO_LEAST = 0.08
"""Share of the box that must be left without the wall."""
STUDIO_PRIOR = 0.003
ALONE = 0.04
"""Of what is not wall, the share outside the box below which there is nothing beside the garment: no head, arms or legs."""
ALONE_PRIOR = 0.95
OPENWORK = frozenset({"shoe", "bag", "sunglass"})
"""Classes with holes in which the wall shows: straps, handles, rims."""
SKIN_LOW, SKIN_HIGH = (61, 139, 81), (255, 174, 124)
"""Y, Cr and Cb of skin: the ranges of Chai and Ngan (1999), a little narrower, and not in deep shadow."""


@dataclass(frozen=True, slots=True)
class GarmentPixels:
    """A garment cut out with a margin, small: its colours, and how much each pixel belongs to it (all (h, w, …))."""

    lab: Lab
    cells: Cells
    """Cell of each pixel's colour, as `processors.lab.cells_of` numbers them."""
    weights: Weights
    inside: Mask
    """Within the box; the rest is the margin."""
    alone: bool = False
    """Before a plain wall, with nothing beside it."""


CutOut: TypeAlias = dict[tuple[tuple[int, int, int, int] | None, bool, bytes], GarmentPixels]
"""What was cut out of one photo: by the part that was looked at, whether holes are filled, and where the garment was expected."""


def garment_pixels(
    pixels: Pixels,
    box: Box,
    category: str = "",
    others: Sequence[Box] = (),
    mask: SeenMask = None,
    cut_out: CutOut | None = None,
) -> GarmentPixels | None:
    """Cut a garment out and weigh its pixels.

    Args:
        pixels: the photo, RGB.
        box: the garment's box in pixels of `pixels`; may reach beyond it.
        category: one of `CATEGORIES`; anything else uses the mean prior of all classes.
        others: boxes of other garments in the photo; the smaller ones within `box` probably lie on top of it.
        mask: as a detector that segments saw it: nothing is estimated then.
        cut_out: of this photo: what is found is kept there, and taken from there where it would be the same.

    Returns:
        None when the box holds no pixel of the photo.
    """
    cut = _cut(pixels, box)
    if cut is None:
        return None
    small, inner = cut
    prior = _spread(_without(_prior(category), box, others), inner, small.shape[:2])
    seen = not (mask is None or isinstance(mask, msgspec.UnsetType))
    if seen or cut_out is None:
        return _weighed(small, inner, category, prior, mask)
    # A box that was rounded since has the same pixels, and mostly the same places in them.
    key = (region_of(pixels.shape, box), category in OPENWORK, prior.tobytes())
    if key not in cut_out:
        cut_out[key] = _weighed(small, inner, category, prior, None)
    return cut_out[key]


def _weighed(small: Pixels, inner: Box, category: str, prior: Weights, mask: SeenMask) -> GarmentPixels:
    """How much each pixel of a cut belongs to the garment of which the box lies there."""
    lab = to_lab(small)
    cells = cells_of(lab)
    seen_weights = _of_mask(mask, inner, lab.shape[:2])
    if seen_weights is not None:
        return GarmentPixels(lab, cells, seen_weights, _spread(np.ones((1, 1)), inner, lab.shape[:2]) > OUTSIDE)
    inside = prior > OUTSIDE
    seen = _not_studio(lab, inside, fill=category not in OPENWORK)
    alone = np.count_nonzero(seen & ~inside) < ALONE * np.count_nonzero(seen & inside)
    if alone:
        # Whatever is not wall is the garment; by its usual place the print in the middle would count more than the cloth.
        prior = np.where(inside, np.maximum(prior, ALONE_PRIOR), prior)
    weights = _posterior(cells, np.where(seen, prior, STUDIO_PRIOR), seen) * (inside & seen)
    skin = skin_of(small)
    # A skin-coloured *majority* is a beige or tan garment; a minority is arms, legs and faces.
    if weights[skin].sum() < 0.5 * weights.sum():
        weights[skin] *= SKIN_WEIGHT
    return GarmentPixels(lab, cells, weights, inside, bool(alone and not seen.all()))


def _of_mask(mask: SeenMask, inner: Box, shape: tuple[int, int]) -> Weights | None:
    """A mask's grid laid over the box within the cut, 0 in the margin; None where there is no mask, or none that says anything here."""
    grid = None if mask is None or isinstance(mask, msgspec.UnsetType) else unpacked(mask)
    if grid is None:
        return None
    x0, y0, x1, y1 = inner
    # From the middle of each pixel of the cut to the middle of a cell of the grid.
    across = ((np.arange(shape[1]) + 0.5 - x0) / (x1 - x0) * grid.shape[1] - 0.5).astype(np.float32)
    along = ((np.arange(shape[0]) + 0.5 - y0) / (y1 - y0) * grid.shape[0] - 0.5).astype(np.float32)
    place = np.meshgrid(across, along)
    found = cv2.remap(grid.astype(np.float32), place[0], place[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    weights = np.asarray(found, np.float64)
    return weights if np.count_nonzero(weights > 0.5) >= LEAST else None


def _not_studio(lab: Lab, inside: Mask, *, fill: bool = True) -> Mask:
    """False where the plain wall of a studio shows: what is of the border's colour, and joined to the border.

    Joined, because a white shirt before a white wall is of its colour too; and it is left out of both histograms, or
    that shirt's white would be taken for wall wherever it lies. Where its outline is lost in the light, the wall flows into
    it: with `fill`, what has something else than wall on all four sides is the garment's all the same, or only the print
    and the shadows of a white shirt would be left. All True where the border is not plain, or where hardly anything
    would be left.
    """
    everything = np.ones(inside.shape, np.bool_)
    if min(inside.shape) < 8:
        return everything
    ring = np.concatenate([lab[0], lab[-1], lab[1:-1, 0], lab[1:-1, -1]])
    wall = np.median(ring, axis=0)
    if (((ring - wall) ** 2).sum(axis=1) < STUDIO_TOLERANCE**2).mean() < STUDIO_BORDER:
        return everything
    # One pixel more on each side is of the wall's colour, so that the flood reaches every stretch of the border.
    alike = np.pad((((lab - wall) ** 2).sum(axis=2) < STUDIO_TOLERANCE**2).astype(np.uint8), 1, constant_values=1)
    cv2.floodFill(alike, None, (0, 0), 2)
    # The rim of a garment is half wall.
    seen = np.asarray(cv2.dilate((alike == 2).astype(np.uint8), np.ones((3, 3), np.uint8)))[1:-1, 1:-1] == 0
    if fill:
        seen |= _enclosed((alike != 2)[1:-1, 1:-1] & inside)
    return seen if (inside & seen).sum() >= STUDIO_LEAST * inside.sum() else everything


def _enclosed(garment: Mask) -> Mask:
    """Where there is garment to the left and to the right, above and below."""
    across = np.logical_or.accumulate(garment, axis=1) & np.logical_or.accumulate(garment[:, ::-1], axis=1)[:, ::-1]
    along = np.logical_or.accumulate(garment, axis=0) & np.logical_or.accumulate(garment[::-1], axis=0)[::-1]
    return np.asarray(across & along)


def _clipped(shape: tuple[int, ...], box: Box) -> Box:
    return max(0.0, box[0]), max(0.0, box[1]), min(float(shape[1]), box[2]), min(float(shape[0]), box[3])


def region_of(shape: tuple[int, ...], box: Box) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom of the part of a photo of `shape` that `garment_pixels` looks at; None: no pixel of it."""
    x0, y0, x1, y1 = _clipped(shape, box)
    if not (x1 - x0 >= 1 and y1 - y0 >= 1):
        return None
    pad_x, pad_y = MARGIN * (x1 - x0), MARGIN * (y1 - y0)
    left, top = max(0, math.floor(x0 - pad_x)), max(0, math.floor(y0 - pad_y))
    return left, top, min(shape[1], math.ceil(x1 + pad_x)), min(shape[0], math.ceil(y1 + pad_y))


def _cut(pixels: Pixels, box: Box) -> tuple[Pixels, Box] | None:
    """The box with its margin at `WORK_SIDE`, and where the box lies in it."""
    region = region_of(pixels.shape, box)
    if region is None:
        return None
    left, top, right, bottom = region
    x0, y0, x1, y1 = _clipped(pixels.shape, box)
    part = pixels[top:bottom, left:right]
    factor = min(1.0, WORK_SIDE / max(part.shape[:2]))
    size = (max(1, round(part.shape[1] * factor)), max(1, round(part.shape[0] * factor)))
    if factor < 1:
        part = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_NEAREST), dtype=np.uint8)
    sx, sy = size[0] / (right - left), size[1] / (bottom - top)
    return part, ((x0 - left) * sx, (y0 - top) * sy, (x1 - left) * sx, (y1 - top) * sy)


@cache
def _prior(category: str) -> Weights:
    if category in MASK_PRIORS:
        return np.array([[int(digit, 16) for digit in row] for row in MASK_PRIORS[category]]) / 15
    return np.asarray(np.mean([_prior(name) for name in MASK_PRIORS], axis=0))


def _without(prior: Weights, box: Box, others: Sequence[Box]) -> Weights:
    """Lower the prior where a smaller garment lies within this one."""
    grid = prior.shape[0]
    width, height = box[2] - box[0], box[3] - box[1]
    lowered = prior.copy()
    for other in others:
        area = (other[2] - other[0]) * (other[3] - other[1])
        overlap_x = min(box[2], other[2]) - max(box[0], other[0])
        overlap_y = min(box[3], other[3]) - max(box[1], other[1])
        if overlap_x <= 0 or overlap_y <= 0 or area >= 0.8 * width * height or overlap_x * overlap_y <= 0.5 * area:
            continue
        rows = slice(
            max(0, round((other[1] - box[1]) / height * grid)), max(0, round((other[3] - box[1]) / height * grid))
        )
        columns = slice(
            max(0, round((other[0] - box[0]) / width * grid)), max(0, round((other[2] - box[0]) / width * grid))
        )
        lowered[rows, columns] *= COVERED
    return lowered


def _spread(prior: Weights, inner: Box, shape: tuple[int, int]) -> Weights:
    """The prior's grid laid over the box within the cut; `OUTSIDE` in the margin, slightly more within the box."""
    x0, y0, x1, y1 = inner
    grid = prior.shape[0]
    v = (np.arange(shape[0]) + 0.5 - y0) / (y1 - y0)
    u = (np.arange(shape[1]) + 0.5 - x0) / (x1 - x0)
    rows, columns = np.clip((v * grid).astype(int), 0, grid - 1), np.clip((u * grid).astype(int), 0, grid - 1)
    inside = ((v >= 0) & (v < 1))[:, None] & ((u >= 0) & (u < 1))[None, :]
    return np.where(inside, np.clip(prior, 2 * OUTSIDE, 0.97)[rows][:, columns], OUTSIDE)


def _posterior(cells: Cells, prior: Weights, seen: Mask) -> Weights:
    """P(garment | colour, place), after `ROUNDS` of re-estimating both histograms over the pixels `seen`."""
    numbers, counted = cells.ravel(), seen.ravel().astype(np.float64)
    total = _smooth(np.asarray(np.bincount(numbers, counted, CELLS), dtype=np.float64))
    pixels = float(total.sum())
    weights, against = prior, 1 - prior
    for _ in range(ROUNDS):
        own = _smooth(np.asarray(np.bincount(numbers, weights.ravel() * counted, CELLS), dtype=np.float64))
        mass = float(own.sum())
        # Smoothing is linear, so no second histogram is needed; rounding may leave a hair below zero.
        rest = np.maximum(total - own, 0)
        ratio = (own / max(mass, 1e-9) + 1e-5) / (rest / max(pixels - mass, 1e-9) + 1e-5)
        odds = prior * ratio[cells]
        weights = odds / (odds + against)
        weights = 0.5 * (weights + np.asarray(cv2.blur(weights, (3, 3)), dtype=np.float64))
    return weights


@cache
def _spreads() -> tuple[Weights, ...]:
    """For each axis of the grid of colours, the matrix of [1 2 1]/4: a colour on the edge of a cell counts for both."""
    return tuple(0.5 * np.eye(n) + 0.25 * (np.eye(n, k=1) + np.eye(n, k=-1)) for n in GRID)


def _smooth(histogram: Weights) -> Weights:
    """Spread (`CELLS`,) counts to their neighbours along each axis."""
    light, a, b = _spreads()
    return np.asarray(a @ (light @ histogram.reshape(GRID[0], -1)).reshape(GRID) @ b, dtype=np.float64).ravel()


def skin_of(pixels: Pixels) -> Mask:
    """Where pixels are of skin's colour, (h, w)."""
    return np.asarray(cv2.inRange(cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb), SKIN_LOW, SKIN_HIGH)) > 0
