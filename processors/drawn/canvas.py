"""The canvas: parts of garments and bodies, painted back to front at twice the final size, and who owns each pixel."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from processors.drawn.cloth import Paint, Plane, Rgb
from processors.drawn.curves import Points, smooth
from processors.values import Mask, Pixels

NOBODY = -1
_COARSE = 4  # shading is soft, so it is computed on every fourth pixel


@dataclass(frozen=True, slots=True)
class Line:
    """A seam, button row or crease inside a part. `tone` multiplies what lies below, `ink` (RGB) covers it."""

    points: Points
    width: float
    tone: float = 0.7
    ink: Rgb | None = None
    filled: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """One piece, the union of `polys`, in the units of its frame.

    `angle` turns the cloth's pattern (radians), `shade` darkens the whole, `volume` rounds it, `shadow` falls on what
    lies behind it; `owner` is the garment's number or NOBODY.
    """

    owner: int
    polys: tuple[Points, ...]
    paint: Paint
    angle: float = 0.0
    shade: float = 1.0
    volume: float = 1.0
    shadow: float = 0.35
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True)
class Frame:
    """Where units lie on the canvas: pixels = points @ matrix.T + origin; `scale` is pixels a unit."""

    matrix: NDArray[np.float64]
    origin: NDArray[np.float64]
    scale: float

    @classmethod
    def at(cls, origin: tuple[float, float], scale: float, angle: float = 0.0, squeeze: float = 1.0) -> Frame:
        """Place a frame: `angle` in radians, `squeeze` scales x alone (negative mirrors)."""
        c, s = np.cos(angle) * scale, np.sin(angle) * scale
        return cls(np.array([[c * squeeze, -s], [s * squeeze, c]]), np.array(origin, np.float64), scale)

    def __call__(self, points: Points) -> Points:
        """Map (n, 2) points to canvas pixels."""
        return np.asarray(points, np.float64) @ self.matrix.T + self.origin


@dataclass(slots=True)
class Canvas:
    """RGB float32 (side, side, 3) and the owner of each pixel, int8 (side, side)."""

    colour: Plane
    light: tuple[float, float]
    owner: NDArray[np.int8] = field(init=False)
    _whole: dict[int, Mask] = field(default_factory=dict)  # each garment as if nothing lay over it
    _areas: dict[int, tuple[float, float]] = field(default_factory=dict)  # drawn on the canvas, and in all

    def __post_init__(self) -> None:
        self.owner = np.full(self.colour.shape[:2], NOBODY, np.int8)

    def paint(self, part: Part, frame: Frame, rng: np.random.Generator) -> None:
        """Paint a part over what is there; pixels outside the canvas are cut off."""
        outlines = [frame(poly) for poly in part.polys]
        box = self._roi(outlines, pad=0.05 * frame.scale * (part.shadow > 0) + 3)
        if box is None:
            return
        x0, y0, x1, y1 = box
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        for outline in outlines:
            cv2.fillPoly(mask, [_fixed(outline - (x0, y0))], 255, cv2.LINE_8, 4)
        region = self.colour[y0:y1, x0:x1]
        shade, cast = self._shading(mask, part, frame, rng)
        if cast is not None:
            cv2.multiply(region, cast, region)
        colour = _dyed(part, frame, (x0, y0), mask.shape)
        for line in part.lines:
            _draw(colour, line, frame, (x0, y0))
        lit = _lit(colour, shade, part.paint.gloss)
        cv2.copyTo(lit, mask, region)
        inside = mask > 0
        self.owner[y0:y1, x0:x1][inside] = part.owner
        if part.owner != NOBODY:
            self._remember(part.owner, (slice(y0, y1), slice(x0, x1)), inside, outlines)

    def _remember(self, owner: int, where: tuple[slice, slice], inside: Mask, outlines: list[Points]) -> None:
        whole = self._whole.setdefault(owner, np.zeros(self.owner.shape, np.bool_))
        whole[where] |= inside
        drawn, meant = self._areas.get(owner, (0.0, 0.0))
        area = sum(abs(float(cv2.contourArea(o.astype(np.float32)))) for o in outlines)
        self._areas[owner] = (drawn + float(inside.sum()), meant + area)

    def visible(self, owner: int) -> float:
        """Return the share of a garment that the frame and the things before it leave to see (an estimate)."""
        whole = self._whole.get(owner)
        if whole is None or not whole.any():
            return 0.0
        drawn, meant = self._areas[owner]
        framed = min(1.0, drawn / max(meant * 0.92, 1.0))  # the pieces of a part overlap by about this
        return min(1.0, framed * float((self.owner == owner).sum()) / float(whole.sum()))

    def _roi(self, outlines: list[Points], pad: float) -> tuple[int, int, int, int] | None:
        low = np.min([o.min(axis=0) for o in outlines], axis=0) - pad
        high = np.max([o.max(axis=0) for o in outlines], axis=0) + pad
        height, width = self.owner.shape
        x0, y0 = max(0, int(low[0])), max(0, int(low[1]))
        x1, y1 = min(width, int(high[0]) + 1), min(height, int(high[1]) + 1)
        return (x0, y0, x1, y1) if x1 - x0 > 2 and y1 - y0 > 2 else None

    def _shading(
        self, mask: NDArray[np.uint8], part: Part, frame: Frame, rng: np.random.Generator
    ) -> tuple[Plane, Plane | None]:
        """Return light on the part (mean `part.shade`) and what its shadow leaves of the light behind, or None."""
        height, width = mask.shape
        small = (max(4, width // _COARSE), max(4, height // _COARSE))
        coarse = cv2.resize(mask, small, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        rows, columns = np.nonzero(coarse > 0.5)
        extent = min(np.ptp(rows), np.ptp(columns)) if len(rows) else 4
        sigma = float(np.clip(extent * 0.16, 0.8, 9.0))
        soft = cv2.GaussianBlur(coarse, (0, 0), sigma)
        slope_x, slope_y = cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1)
        lit = (slope_x * self.light[0] + slope_y * self.light[1]) * (-0.11 * sigma)
        shade = 1 + part.volume * (lit - 0.2 * (1 - soft)) + _folds(small, part.paint.folds, frame, rng)
        weight = float(coarse.sum()) + 1e-6
        shade = shade + (1 - float((shade * coarse).sum()) / weight)
        shade = np.clip(shade, 0.4, 1.5) * part.shade
        cast = None
        if part.shadow > 0:
            reach = max(1.0, 0.012 * frame.scale / _COARSE)
            move = np.array([[1, 0, -self.light[0] * reach], [0, 1, -self.light[1] * reach]], np.float32)
            fallen = cv2.warpAffine(cv2.GaussianBlur(coarse, (0, 0), reach), move, small)
            left = cv2.resize(1 - part.shadow * fallen, (width, height), interpolation=cv2.INTER_LINEAR)
            cast = cv2.merge((left, left, left))
        return cv2.resize(shade.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR), cast

    def masks(self, count: int) -> list[Mask]:
        """Return the visible mask of each of `count` garments at the final size (half the canvas)."""
        small = self.owner[::2, ::2]
        return [small == i for i in range(count)]

    def finished(self) -> Pixels:
        """Return the picture at the final size, (side / 2, side / 2, 3) uint8."""
        side = self.owner.shape[0] // 2
        small = cv2.resize(self.colour, (side, side), interpolation=cv2.INTER_AREA)
        return np.asarray(np.clip(small, 0, 255), np.uint8)


def _lit(colour: Plane, shade: Plane, gloss: float) -> Plane:
    """Return the colour in its light: shade multiplies it, lifts blacks a little, and gleams where cloth is glossy."""
    lift = 12 * (shade - 1)
    if gloss > 0:
        lift += np.clip(shade - 1.08, 0, 0.4) * np.float32(gloss * 600)
    lit = cv2.multiply(colour, cv2.merge((shade, shade, shade)))
    return np.asarray(cv2.add(lit, cv2.merge((lift, lift, lift))), np.float32)


def _folds(small: tuple[int, int], depth: float, frame: Frame, rng: np.random.Generator) -> Plane:
    """Return creases: noise that is long across the short side, sharpened."""
    width, height = small
    unit = 0.05 * frame.scale / _COARSE
    across, along = int(np.clip(width / unit, 3, 12)), int(np.clip(height / unit / 3, 3, 9))
    if width > 1.6 * height:
        across, along = max(3, across // 3), min(12, along * 2)
    grid = rng.standard_normal((along, across), dtype=np.float32)
    fine = cv2.resize(grid, small, interpolation=cv2.INTER_CUBIC)
    creases = np.zeros((height, width), np.float32)
    upright = height > 0.8 * width
    for _ in range(int(rng.integers(2, 7)) if depth > 0.04 else 0):
        start = rng.uniform(0, 1, 2) * (width, height)
        turn = rng.normal(np.pi / 2 if upright else 0.0, 0.5)
        reach = rng.uniform(0.15, 0.5) * max(width, height)
        end = start + reach * np.array([np.cos(turn), np.sin(turn)])
        bow = (start + end) / 2 + rng.normal(0, 0.06, 2) * reach
        path = smooth([tuple(start), tuple(bow), tuple(end)], rounds=2, closed=False)
        cv2.polylines(creases, [_fixed(path)], False, -1.6, 1, cv2.LINE_8, 4)
        cv2.polylines(creases, [_fixed(path + np.array([1.6, 0.8]))], False, 1.2, 1, cv2.LINE_8, 4)
    creases = cv2.GaussianBlur(creases, (0, 0), max(0.7, 0.008 * frame.scale / _COARSE))
    return np.asarray(depth * (np.tanh(1.5 * fine) + 1.6 * creases), np.float32)


def _fixed(points: Points) -> NDArray[np.int32]:
    """Return points in OpenCV's fixed point, four fractional bits."""
    return np.asarray(np.round(points * 16), np.int32)


def _dyed(part: Part, frame: Frame, corner: tuple[int, int], shape: tuple[int, ...]) -> Plane:
    """Return the cloth of the part's region, its pattern turned by `part.angle` and pulled a little by the folds."""
    tile = part.paint.tile
    height, width = shape[:2]
    if tile.shape[0] == 1:
        return np.asarray(cv2.resize(tile, (width, height), interpolation=cv2.INTER_NEAREST), np.float32)
    density = tile.shape[0] / (part.paint.period * frame.scale)
    density = max(density, 0.25)
    base = part.polys[0]
    ox, oy = frame(base[:1])[0] - corner
    c, s = float(np.cos(part.angle)) * density, float(np.sin(part.angle)) * density
    x = np.arange(width, dtype=np.float32) - np.float32(ox)
    y = np.arange(height, dtype=np.float32)[:, None] - np.float32(oy)
    pull = np.float32(0.012 * frame.scale * density)
    u = (c * x + pull * np.sin(x / np.float32(0.07 * frame.scale))) + (
        s * y + pull * np.sin(y / np.float32(0.06 * frame.scale))
    )
    v = (pull * np.sin(x / np.float32(0.05 * frame.scale)) - s * x) + c * y
    side = np.float32(tile.shape[0])
    u -= side * np.floor(u * (1 / side))  # remap is slow outside its source
    v -= side * np.floor(v * (1 / side))
    return np.asarray(cv2.remap(tile, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP), np.float32)


def _draw(colour: Plane, line: Line, frame: Frame, corner: tuple[int, int]) -> None:
    points = _fixed(frame(line.points) - corner)
    if line.ink is not None:
        ink = line.ink
    else:
        spot = np.clip((points // 16).mean(axis=0).astype(int), 0, (colour.shape[1] - 1, colour.shape[0] - 1))
        below = colour[spot[1], spot[0]] * line.tone + 26 * (line.tone - 1)
        ink = (float(below[0]), float(below[1]), float(below[2]))
    if line.filled:
        cv2.fillPoly(colour, [points], ink, cv2.LINE_8, 4)
    else:
        thick = max(1, round(line.width * frame.scale))
        cv2.polylines(colour, [points], False, ink, thick, cv2.LINE_8, 4)
