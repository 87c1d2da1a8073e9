"""What garments are made of: a tile of coloured cloth with its pattern and weave, and how it folds and shines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from processors.drawn.spec import GarmentSpec
from processors.palette import PALETTE

Plane: TypeAlias = NDArray[np.float32]
Rgb: TypeAlias = tuple[float, float, float]

SIDE = 128
_HEX = dict(PALETTE)
# fabric: (depth of folds, gloss)
_FINISH: dict[str, tuple[float, float]] = {
    "": (0.03, 0.3),
    "cotton": (0.10, 0.0),
    "linen": (0.14, 0.0),
    "denim": (0.09, 0.0),
    "wool": (0.05, 0.0),
    "knit": (0.06, 0.0),
    "leather": (0.11, 0.32),
    "silk": (0.16, 0.22),
    "polyester": (0.10, 0.10),
}


@dataclass(frozen=True, slots=True)
class Paint:
    """A tile (side, side, 3; float32 RGB 0..255) that repeats every `period` units, its folds (0..1) and gloss (0..1)."""

    tile: Plane
    period: float
    folds: float
    gloss: float
    ink: Rgb


def rgb(name: str) -> Rgb:
    """Return the RGB (0..255) of a palette name."""
    value = _HEX[name]
    return (float(int(value[1:3], 16)), float(int(value[3:5], 16)), float(int(value[5:7], 16)))


def plain(colour: Rgb, folds: float = 0.03, gloss: float = 0.0) -> Paint:
    """Return an even colour: skin, hair, wood."""
    return Paint(np.full((1, 1, 3), colour, np.float32), 1.0, folds, gloss, colour)


def cloth(spec: GarmentSpec, rng: np.random.Generator) -> Paint:
    """Weave the garment's cloth. The mean of a solid tile is the palette colour, give or take a dye lot (sd 2)."""
    dye = rng.normal(0.0, 2.0, 3)
    ground = np.clip(np.array(rgb(spec.colour)) + dye, 4, 251)
    ink = np.array(rgb(spec.second_colour)) if spec.second_colour else ground
    share = _coverage(spec.pattern, rng)[..., None]
    tile = (ground * (1 - share) + ink * share).astype(np.float32)
    if spec.pattern == "floral":
        tile = _blossoms(tile, ground, ink, rng)
    weave = _weave(spec.fabric, rng)
    tile *= weave[..., None]
    tile += 10 * (weave[..., None] - 1)
    folds, gloss = _FINISH[spec.fabric]
    period = float(rng.uniform(0.11, 0.24)) * (0.5 if spec.category in {"shoe", "bag", "hat"} else 1.0)
    colour = (float(ink[0]), float(ink[1]), float(ink[2]))
    return Paint(np.clip(tile, 0, 255), period, folds * float(rng.uniform(0.6, 1.5)), gloss, colour)


def _coverage(pattern: str, rng: np.random.Generator) -> Plane:
    """Return the share of ink (0..1) at each pixel of the tile."""
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) / SIDE
    count = int(rng.integers(2, 6))
    if pattern == "striped":
        along = [y, x, (x + y)][int(rng.choice(3, p=[0.55, 0.35, 0.1]))]
        return _band(along * count, float(rng.uniform(0.2, 0.5)))
    if pattern == "checked":
        width = float(rng.uniform(0.25, 0.5))
        both = (_band(x * count, width) + _band(y * count, width)) / 2
        if rng.random() < 0.5:  # a tartan has a fine line between its bars
            both = np.maximum(both, np.maximum(_band(x * count + 0.3, 0.06), _band(y * count + 0.3, 0.06)) * 0.9)
        return np.asarray(both, np.float32)
    if pattern == "dotted":
        rows = y * 2 * count
        shift = np.floor(rows) % 2 * 0.5
        dx, dy = (x * count + shift) % 1 - 0.5, (rows % 1 - 0.5) * 0.5
        radius = float(rng.uniform(0.16, 0.24))
        return np.asarray(np.clip((radius - np.sqrt(dx**2 + dy**2)) * SIDE / count / 2 + 0.5, 0, 1), np.float32)
    return np.zeros((SIDE, SIDE), np.float32)


def _band(phase: Plane, width: float) -> Plane:
    inside = width / 2 - np.abs(phase % 1 - 0.5)
    return np.asarray(np.clip(inside * 24 + 0.5, 0, 1), np.float32)


def _blossoms(tile: Plane, ground: NDArray[np.float64], ink: NDArray[np.float64], rng: np.random.Generator) -> Plane:
    """Stamp flowers in the ink, with leaves between ground and ink, so that the tile still wraps."""
    image = np.ascontiguousarray(tile)
    leaf = tuple(float(v) for v in 0.45 * ground + 0.25 * ink + 0.3 * np.array([70, 110, 60]))
    flower, heart = (
        tuple(float(v) for v in ink),
        tuple(float(v) for v in np.clip(0.5 * ink + 0.5 * ground + 30, 0, 255)),
    )
    petals = int(rng.integers(4, 7))
    cells = [(i, j) for i in range(3) for j in range(3)]
    for i, j in cells:
        cx, cy = (np.array([i, j]) + rng.uniform(0.2, 0.8, 2)) * SIDE / 3
        radius, turn = rng.uniform(10, 19), rng.uniform(0, 6.28)
        for ox in (-SIDE, 0, SIDE):
            for oy in (-SIDE, 0, SIDE):
                if -40 < cx + ox < SIDE + 40 and -40 < cy + oy < SIDE + 40:
                    _blossom(image, (cx + ox, cy + oy), radius, turn, petals, (leaf, flower, heart))
    return image


def _blossom(
    image: Plane,
    centre: tuple[float, float],
    radius: float,
    turn: float,
    petals: int,
    colours: tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]],
) -> None:
    leaf, flower, heart = colours
    at = np.array(centre)
    for k, angle in enumerate(turn + np.arange(petals) * 2 * np.pi / petals):
        way = np.array([np.cos(angle), np.sin(angle)])
        if k % 2 == 0:
            tip = at + way * radius * 1.35
            cv2.ellipse(
                image, _ints(tip), _ints((radius * 0.45, radius * 0.16)), float(np.degrees(angle)), 0, 360, leaf, -1
            )
        spot = at + way * radius * 0.55
        cv2.ellipse(
            image, _ints(spot), _ints((radius * 0.52, radius * 0.3)), float(np.degrees(angle)), 0, 360, flower, -1
        )
    cv2.circle(image, _ints(at), int(radius * 0.25), heart, -1)


def _ints(pair: NDArray[np.float64] | tuple[float, float]) -> tuple[int, int]:
    return (round(float(pair[0])), round(float(pair[1])))


def _weave(fabric: str, rng: np.random.Generator) -> Plane:
    """Return the brightness (mean about 1) of the fabric's own surface."""
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    noise = rng.standard_normal((SIDE, SIDE), dtype=np.float32)
    if fabric == "denim":
        twill = np.sin((x + y) * (2 * np.pi / 8))
        fade = cv2.resize(noise[:6, :6], (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        return np.asarray(1 + 0.09 * twill + 0.05 * noise + 0.05 * fade, np.float32)
    if fabric == "knit":
        ribs = np.sin(x * (2 * np.pi / 16))
        stitch = np.sin(y * (2 * np.pi / 8) + np.abs((x % 16) - 8) * 0.5)
        return np.asarray(1 + 0.11 * ribs + 0.05 * stitch + 0.02 * noise, np.float32)
    if fabric == "linen":
        slub = cv2.blur(noise, (25, 1)) * 0.3 + cv2.blur(noise[::-1].copy(), (1, 25)) * 0.3
        return np.asarray(1 + slub + 0.04 * noise, np.float32)
    if fabric == "wool":
        fuzz = cv2.GaussianBlur(noise, (0, 0), 1.6)
        flecks = (noise > 2.4) * 0.14
        return np.asarray(1 + 0.35 * fuzz + flecks, np.float32)
    if fabric == "leather":
        grain = cv2.GaussianBlur(noise, (0, 0), 2.2)
        return np.asarray(1 + 0.25 * grain, np.float32)
    fine = 0.0 if fabric in {"silk", "polyester", ""} else 0.03
    return np.asarray(1 + fine * noise, np.float32)
