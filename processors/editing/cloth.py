"""The look of a garment apart from the light it was photographed in: its colour, its texture and its print."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from processors.editing.mask import EditMask, Plane
from processors.lab import Lab, ciede2000, lab_of_hex, to_lab
from processors.palette import PALETTE
from processors.values import Mask, Pixels

CLOTH_SIDE = 640
"""Longest side, in pixels, that is kept of a garment."""
RIM = 0.012
"""In sides: what is left out along the outline, which is half of the ground."""
SLOW = 0.15
"""In sides: lightness that changes over more than this is light, and not print …"""
SHADE = 12.0
"""… as far as it stays within so much of L; a blouse of two colours changes by more."""
STRETCH = 1.6
"""How much more one side may be stretched than the other; beyond, by its root, and the cloth goes on mirrored where it ends."""
OUTER = 0.3
"""Of a cloth: what goes on where it ends; prints are seldom so near its hem and its seams."""
LEAST = 48
"""Pixels that a cloth is made of, at least."""
MIRRORED = (1.0, 0.6, 0.35, 0.2, 0.1, 0.0)
"""Of a place beyond a garment's outline: how far within it, in distances from it, what is seen there is taken from; the first that is garment."""
ALIKE = 16.0
"""CIEDE2000 within which what is seen of a garment is its ground; beyond, it is print, lining or trim."""
NAMED = 28.0
"""Likewise of the colour that words name: "red" is cloth of many reds."""
GROUND = 0.12
"""Of a garment: what must have the named colour, for that to be its ground; else its middle colour is."""
GROUND_ROUNDS = 4
SAMPLE = 9973
"""Pixels that tell a ground."""
PATTERNS = ("striped", "checked", "dotted")
"""Those that words alone can draw."""


@dataclass(frozen=True, slots=True)
class Cloth:
    """A cloth laid flat.

    Attributes:
        lab: (h, w, 3) CIELAB, evenly lit, without holes.
        mean: (3,): the mean colour of the garment as it was photographed: what an edited garment is to have on the whole.
    """

    lab: Lab
    mean: Lab


def of_garment(pixels: Pixels, mask: EditMask) -> Cloth | None:
    """The cloth of a photographed garment; None where too little of it is to be seen."""
    part, inside = pixels[mask.window], mask.inside
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    part, inside = part[window], inside[window]
    factor = min(1.0, CLOTH_SIDE / max(inside.shape))
    if factor < 1:
        size = (max(1, round(inside.shape[1] * factor)), max(1, round(inside.shape[0] * factor)))
        part = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
        inside = np.asarray(cv2.resize(inside.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)) > 0
    inside = _without_rim(inside)
    if np.count_nonzero(inside) < LEAST:
        return None
    lab = to_lab(part)
    mean = np.asarray(lab[inside].mean(axis=0), np.float32)
    whole = _filled(lab, inside)
    whole[..., 0] = _evenly_lit(whole[..., 0], float(mean[0]))
    return Cloth(whole, mean)


def of_words(colours: tuple[str, ...], pattern: str = "", seed: int = 0) -> Cloth | None:
    """A cloth as words describe it; None where they name no colour of the palette.

    Args:
        colours: names of the palette, the ground first.
        pattern: one of `PATTERNS`; anything else is plain.
        seed: where the pattern begins.
    """
    known = dict(PALETTE)
    swatches = [lab_of_hex(known[name]) for name in colours if name in known]
    if not swatches:
        return None
    ground = swatches[0]
    ink = swatches[1] if len(swatches) > 1 else _contrast(ground)
    side = 320
    cover = _coverage(pattern, side, seed)[..., None]
    if pattern not in PATTERNS and len(swatches) > 1:
        cover = np.zeros((side, side, 1), np.float32)
        cover[:, side // 2 :] = 1
    lab = np.asarray(ground * (1 - cover) + ink * cover, np.float32)
    return Cloth(lab, np.asarray(lab.reshape(-1, 3).mean(axis=0), np.float32))


def laid(cloth: Cloth, width: int, height: int, seed: int = 0) -> Lab:
    """The cloth spread over a box, (height, width, 3).

    It is warped to the box; where that would stretch one side more than `STRETCH` times as much as the other, it fits the narrower one,
    and goes on along the other, below or to both sides, as the mirror image of its outer part, to and fro: so a print stays where it was, whole and
    once. A seed other than 0 begins elsewhere, and mirrors all of it.
    """
    across, down = width / cloth.lab.shape[1], height / cloth.lab.shape[0]
    if max(across, down) <= STRETCH * min(across, down):
        return np.asarray(cv2.resize(cloth.lab, (width, height), interpolation=_how(max(across, down))), np.float32)
    least = min(across, down) * float(np.sqrt(STRETCH))
    across, down = min(across, least), min(down, least)
    size = (max(2, round(cloth.lab.shape[1] * across)), max(2, round(cloth.lab.shape[0] * down)))
    tile = np.asarray(cv2.resize(cloth.lab, size, interpolation=_how(max(across, down))), np.float32)
    if seed:
        start = np.random.default_rng(seed).integers(0, (tile.shape[0], tile.shape[1]))
        rows, columns = _mirrored(height, tile.shape[0], int(start[0])), _mirrored(width, tile.shape[1], int(start[1]))
    else:
        rows = _going_on(height, tile.shape[0], 0)
        columns = _going_on(width, tile.shape[1], (tile.shape[1] - width) // 2)
    return np.ascontiguousarray(tile[rows][:, columns])


def dyed(cloth: Cloth, colour: Lab) -> Cloth:
    """A cloth in another colour: its weave and its print stay as light and dark of that one.

    Args:
        cloth: in any colours.
        colour: (3,), the new mean. A white print on green, moved as a whole from green to grey, would be pink.
    """
    lab = np.empty_like(cloth.lab)
    lab[..., 0] = np.clip(cloth.lab[..., 0] - cloth.mean[0] + colour[0], 0, 100)
    lab[..., 1:] = colour[1:]
    return Cloth(lab, np.asarray(colour, np.float32))


def plain(cloth: Cloth, colour: str = "") -> Cloth:
    """A cloth without its print: what is not of its ground is of the ground's mean.

    Args:
        cloth: in any colours.
        colour: of the palette, which words name: the ground is what is most like it, where there is enough of that; "" or no such part: what is
            like the middle colour of the cloth. A red shirt with a white cat lends its red to "a red coat", and no cat.
    """
    whole = cloth.lab.reshape(-1, 3)
    flat = whole[:: max(1, len(whole) // SAMPLE)]
    middle, named = np.asarray(np.median(flat, axis=0), np.float32), dict(PALETTE).get(colour)
    if named is not None:
        near = ciede2000(flat, lab_of_hex(named)) < NAMED
        if np.count_nonzero(near) >= GROUND * len(flat):
            middle = np.asarray(np.median(flat[near], axis=0), np.float32)
    for _ in range(GROUND_ROUNDS):
        alike = np.asarray(ciede2000(flat, middle) < ALIKE, np.bool_)
        if not alike.any():  # the median of each channel by itself may be a colour that the cloth has nowhere
            return Cloth(np.broadcast_to(middle, cloth.lab.shape).astype(np.float32), middle)
        middle = np.asarray(flat[alike].mean(axis=0), np.float32)
    printed = ciede2000(whole, middle) >= ALIKE
    lab = np.where(printed[:, None], middle, whole).astype(np.float32)
    return Cloth(lab.reshape(cloth.lab.shape), np.asarray(lab.mean(axis=0), np.float32))


def blurred(plane: Plane, inside: Mask, sigma: float) -> Plane:
    """A Gaussian mean of the pixels inside alone, (h, w); computed small, where it is wide."""
    factor = min(1.0, 4.0 / max(sigma, 1e-6))
    size = (max(1, round(plane.shape[1] * factor)), max(1, round(plane.shape[0] * factor)))
    weight = inside.astype(np.float32)
    both = [plane * weight, weight]
    if factor < 1:
        both = [np.asarray(cv2.resize(one, size, interpolation=cv2.INTER_AREA), np.float32) for one in both]
    reach = max(sigma * factor, 0.3)
    total, share = (
        np.asarray(cv2.GaussianBlur(one, (0, 0), reach, borderType=cv2.BORDER_CONSTANT), np.float32) for one in both
    )
    level = float(plane[inside].mean()) if inside.any() else 0.0
    small = np.where(share > 1e-4, total / np.maximum(share, 1e-4), level).astype(np.float32)
    if factor < 1:
        small = np.asarray(
            cv2.resize(small, (plane.shape[1], plane.shape[0]), interpolation=cv2.INTER_LINEAR), np.float32
        )
    return np.asarray(small, np.float32)


def _without_rim(inside: Mask) -> Mask:
    depth = max(1, round(RIM * max(inside.shape)))
    kernel = np.ones((2 * depth + 1, 2 * depth + 1), np.uint8)
    shrunk = np.asarray(cv2.erode(inside.astype(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)) > 0
    return shrunk if np.count_nonzero(shrunk) >= max(LEAST, 0.3 * np.count_nonzero(inside)) else inside


def _filled(lab: Lab, inside: Mask) -> Lab:
    """Where the garment does not reach, its mirror image beyond the outline, so that stripes and prints go on; else what lies nearest to it."""
    whole, known = np.where(inside[..., None], lab, np.float32(0)).astype(np.float32), inside.copy()
    here = np.indices(inside.shape, dtype=np.int32)
    _, found = cv2.distanceTransformWithLabels(
        (~inside).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    labels = np.asarray(found).astype(np.int32)
    places = np.zeros((int(labels.max()) + 1, 2), np.int32)
    places[labels[inside]] = here[:, inside].T
    nearest = places[labels]
    for share in MIRRORED:
        there = [
            np.clip(np.rint((1 + share) * nearest[..., axis] - share * here[axis]).astype(np.int32), 0, side - 1)
            for axis, side in enumerate(inside.shape)
        ]
        fresh = ~known & inside[there[0], there[1]]
        whole[fresh] = lab[there[0][fresh], there[1][fresh]]
        known |= fresh
    whole[~known] = lab[inside].mean(axis=0)
    return whole


def _evenly_lit(light: Plane, level: float) -> Plane:
    slow = blurred(light, np.ones(light.shape, np.bool_), SLOW * max(light.shape)) - np.float32(level)
    return np.asarray(light - np.clip(slow, -SHADE, SHADE), np.float32)


def _how(scale: float) -> int:
    return cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC


def _mirrored(count: int, period: int, start: int) -> NDArray[np.int64]:
    places = (np.arange(count, dtype=np.int64) + start) % (2 * period)
    return np.where(places < period, places, 2 * period - 1 - places)


def _going_on(count: int, size: int, start: int) -> NDArray[np.int64]:
    """Places of a cloth of `size` for `count` pixels from `start` on, which may be below 0."""
    part = max(1, round(OUTER * size))
    places = np.arange(count, dtype=np.int64) + start
    beyond = np.where(places < 0, -1 - places, places - size) % (2 * part)
    depth = np.where(beyond < part, beyond, 2 * part - 1 - beyond)
    return np.where(places < 0, depth, np.where(places < size, places, size - 1 - depth))


def _contrast(ground: Lab) -> Lab:
    known = dict(PALETTE)
    return lab_of_hex(known["white"] if ground[0] < 60 else known["navy"])


def _coverage(pattern: str, side: int, seed: int) -> Plane:
    """How far each pixel is of the second colour, (side, side)."""
    rng = np.random.default_rng(seed)
    period, phase = 32.0, rng.uniform(0, 1, 2)
    across = (np.arange(side) / period + phase[0]) % 1
    down = (np.arange(side) / period + phase[1]) % 1
    bars, rows = (across < 0.5).astype(np.float32), (down < 0.5).astype(np.float32)
    if pattern == "striped":
        found = np.repeat(rows[:, None], side, axis=1)
    elif pattern == "checked":
        found = 0.5 * (bars[None, :] + rows[:, None])
    elif pattern == "dotted":
        found = ((across[None, :] - 0.5) ** 2 + (down[:, None] - 0.5) ** 2 < 0.22**2).astype(np.float32)
    else:
        return np.zeros((side, side), np.float32)
    return np.asarray(cv2.GaussianBlur(found.astype(np.float32), (0, 0), 0.8), np.float32)
