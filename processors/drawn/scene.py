"""Scenes whose truth is known: one to three garments, worn by a drawn person or lying and hanging by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from processors.drawn.accessories import bag, hat, sunglass
from processors.drawn.backdrop import backdrop
from processors.drawn.body import Placed, Skeleton, laid_out, skin, standing
from processors.drawn.bottoms import skirt, trousers
from processors.drawn.canvas import NOBODY, Canvas, Frame, Part
from processors.drawn.cloth import Paint, cloth, plain
from processors.drawn.curves import ellipse, smooth, tube
from processors.drawn.footwear import shoes_front, shoes_side, shoes_top
from processors.drawn.spec import GarmentSpec, outfit, random_shape, random_spec
from processors.drawn.tops import dress, jacket, shirt
from processors.drawn.words import caption
from processors.values import Box, Mask, Pixels

_TOPS = frozenset({"shirt", "dress", "jacket"})
_LEGS = frozenset({"pants", "shorts", "skirt", "dress"})
_MIN_PIXELS = 12  # fewer is no evidence of a garment: it leaves the truth as it left the picture


@dataclass(frozen=True, slots=True)
class DrawnGarment:
    """A garment as it is seen.

    `mask` is (height, width) bool; `box` its tight bounds (x0, y0, x1, y1), x1 and y1 exclusive; `visible` the share
    (0..1, estimated) of its area that neither the frame nor another thing hides.
    """

    spec: GarmentSpec
    box: Box
    mask: Mask
    visible: float


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture (size, size, 3) uint8 RGB and all that is true of it. A pair of shoes is one garment."""

    pixels: Pixels
    garments: tuple[DrawnGarment, ...]
    caption: str
    seed: int


def draw_scene(
    seed: int,
    *,
    size: int = 320,
    garments: Sequence[GarmentSpec] | None = None,
    style: Literal["any", "figure", "flat"] = "any",
) -> Scene:
    """Draw a scene; the same arguments give the same bits.

    Args:
        seed: any integer >= 0.
        size: side of the square picture in pixels, at least 64.
        garments: what to draw; None draws one to three by chance. On a figure two garments of one category overlap.
        style: a person ("figure"), garments by themselves ("flat"), or either.

    Raises:
        ValueError: `size` is too small.
    """
    if size < 64:
        raise ValueError(f"size {size} is too small to show a garment: at least 64")
    rng = np.random.Generator(np.random.PCG64(seed))
    worn = style == "figure" or (style == "any" and rng.random() < 0.6)
    count = int(rng.choice([1, 2, 3], p=[0.15, 0.25, 0.6] if worn else [0.6, 0.25, 0.15]))
    specs = _chosen(rng, count, worn) if garments is None else tuple(garments)
    angle = float(rng.uniform(0, 6.28))
    light = (0.8 * float(np.cos(angle)), -0.7 - 0.5 * abs(float(np.sin(angle))))
    canvas = Canvas(backdrop(rng, 2 * size, flat=not worn), light)
    (_draw_worn if worn else _draw_flat)(canvas, specs, rng)
    pixels = _photographed(canvas.finished(), rng)
    shown = _truth(canvas, specs)
    text = caption([g.spec for g in shown], rng, worn=worn)
    return Scene(pixels, shown, text, seed)


def _chosen(rng: np.random.Generator, count: int, worn: bool) -> tuple[GarmentSpec, ...]:
    if worn:
        return outfit(rng, count)
    return tuple(random_spec(rng) for _ in range(count))


def _truth(canvas: Canvas, specs: Sequence[GarmentSpec]) -> tuple[DrawnGarment, ...]:
    shown = []
    for i, (spec, mask) in enumerate(zip(specs, canvas.masks(len(specs)), strict=True)):
        if int(mask.sum()) < _MIN_PIXELS:
            continue
        columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
        box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
        shown.append(DrawnGarment(spec, box, mask, canvas.visible(i)))
    return tuple(shown)


def _paint_all(canvas: Canvas, parts: list[Placed], frame: Frame, rng: np.random.Generator) -> None:
    for _, part in sorted(parts, key=lambda placed: placed[0]):
        canvas.paint(part, frame, rng)


def _draw_worn(canvas: Canvas, specs: Sequence[GarmentSpec], rng: np.random.Generator) -> None:
    sk = standing(rng)
    kinds = {s.category for s in specs}
    parts = skin(sk, rng, bald=rng.random() < 0.06)
    for i, spec in enumerate(specs):
        parts += _worn_parts(spec, i, cloth(spec, rng), sk, rng, covered=bool(kinds & {"shirt", "dress"}))
    side = canvas.owner.shape[0]
    top, bottom = _framing(specs, kinds, rng)
    scale = side / (bottom - top)
    lean = float(rng.normal(0, 0.04))
    squeeze = float(rng.choice([-1, 1])) * float(rng.uniform(0.78, 1.05))
    x = side * (0.5 + float(np.clip(rng.normal(0, 0.1), -0.22, 0.22)))
    frame = Frame.at((x + np.sin(lean) * scale * 0.5, -top * scale), scale, lean, squeeze)
    _ground(canvas, frame, rng)
    _paint_all(canvas, parts, frame, rng)


def _worn_parts(
    spec: GarmentSpec, owner: int, paint: Paint, sk: Skeleton, rng: np.random.Generator, *, covered: bool
) -> list[Placed]:
    shape = random_shape(rng, spec.category)
    match spec.category:
        case "shirt":
            parts = shirt(spec, owner, paint, sk, rng, worn=True)
        case "dress":
            parts = dress(spec, owner, paint, sk, rng, worn=True)
        case "jacket":
            parts = jacket(spec, owner, paint, sk, rng, worn=True, closed=not covered)
        case "pants" | "shorts":
            parts = trousers(spec, owner, paint, sk, rng)
        case "skirt":
            parts = skirt(spec, owner, paint, sk, rng)
        case "shoe":
            parts = shoes_front(shape, owner, paint, sk, rng)
        case "hat":
            parts = hat(shape, owner, paint, rng)
        case "sunglass":
            parts = sunglass(shape, owner, paint, rng, worn=True)
        case _:
            parts = _carried(shape, owner, paint, sk, rng)
    return parts


def _carried(shape: str, owner: int, paint: Paint, sk: Skeleton, rng: np.random.Generator) -> list[Placed]:
    """Return a bag in a lowered hand, or across the body; a raised hand carries nothing."""
    hand = int(rng.integers(2))
    if sk.wrists[hand][1] < 0.36:
        hand = 1 - hand
    wrist = sk.wrists[hand]
    if shape == "crossbody" or wrist[1] < 0.36:
        at = (sk.hip * (1.0 if hand else -1.0) * 0.9, 0.5)
        return bag("crossbody", owner, paint, rng, at, sk.shoulders[1 - hand])
    shape = "tote" if shape == "backpack" else shape
    return bag(shape, owner, paint, rng, (wrist[0], wrist[1] + 0.025), None)


def _framing(specs: Sequence[GarmentSpec], kinds: set[str], rng: np.random.Generator) -> tuple[float, float]:
    """Return the first and last body height in view: never a torso or legs that the outfit leaves bare."""
    slack = float(rng.uniform(0.0, 0.14))
    head = 0.11 if "hat" in kinds else 0.06
    top, bottom = -head - slack * 0.5, 1.04 + slack * 0.5
    if not kinds & _LEGS:
        long = any(s.category == "jacket" and s.length == "long" for s in specs)
        bottom = 0.6 if long else 0.42 if kinds & _TOPS else 0.2
        bottom = 1.04 if "shoe" in kinds else max(bottom, 0.75) if "bag" in kinds else bottom
    elif "shoe" not in kinds and rng.random() < 0.6:
        bottom = float(rng.uniform(0.68, 0.95))
    elif rng.random() < 0.1:
        bottom = float(rng.uniform(0.6, 0.9))
    if not kinds & (_TOPS | {"hat", "sunglass"}):
        top = 0.39 - slack * 0.05 if kinds & _LEGS else 0.3 if "bag" in kinds else 0.72
        bottom = max(bottom, 0.9)
    elif not kinds & {"hat", "sunglass"} and rng.random() < 0.12:
        top = float(rng.uniform(0.02, 0.12))
    return top, bottom


def _ground(canvas: Canvas, frame: Frame, rng: np.random.Generator) -> None:
    """Lay the person's shadow on the floor."""
    spot = ellipse((float(rng.normal(0, 0.03)), 0.995), (float(rng.uniform(0.12, 0.22)), 0.03))
    centre = frame(spot).mean(axis=0)
    if 0 < centre[1] < canvas.owner.shape[0] * 1.05:
        coarse = np.ones((canvas.owner.shape[0] // 8,) * 2, np.float32)
        cv2.fillPoly(coarse, [np.asarray(frame(spot) / 8, np.int32)], 0.55)
        coarse = cv2.GaussianBlur(coarse, (0, 0), 2.0)
        canvas.colour *= cv2.resize(coarse, canvas.owner.shape[::-1])[..., None]


def _draw_flat(canvas: Canvas, specs: Sequence[GarmentSpec], rng: np.random.Generator) -> None:
    cells = _cells(len(specs), rng)
    side = canvas.owner.shape[0]
    for i, (spec, cell) in enumerate(zip(specs, cells, strict=True)):
        parts = _flat_parts(spec, i, cloth(spec, rng), rng)
        points = np.concatenate([p for _, part in parts if part.owner == i for p in part.polys])
        low, high = points.min(axis=0), points.max(axis=0)
        x0, y0, x1, y1 = (v * side for v in cell)
        fill = float(rng.uniform(0.6, 0.98))
        scale = fill * float(min((x1 - x0) / (high[0] - low[0]), (y1 - y0) / (high[1] - low[1])))
        wild = rng.random() < 0.12 and len(specs) == 1
        angle = float(rng.uniform(-1.6, 1.6)) if wild else float(rng.normal(0, 0.12))
        squeeze = float(rng.choice([-1, 1])) * float(rng.uniform(0.9, 1.05))
        slant = np.array([[1.0, float(rng.normal(0, 0.07))], [0.0, 1.0]])
        pose = Frame(slant @ Frame.at((0, 0), scale, angle, squeeze).matrix, np.zeros(2), scale)
        slip = rng.normal(0, 0.03 * side, 2)
        centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2]) + slip - pose(((low + high) / 2)[None])[0]
        frame = Frame(pose.matrix, centre, scale)
        _paint_all(canvas, parts, frame, rng)


def _cells(count: int, rng: np.random.Generator) -> list[Box]:
    """Return a cell (shares of the side) for each garment."""
    if count == 1:
        return [(0.04, 0.04, 0.96, 0.96)]
    columns = count if count < 4 else int(np.ceil(np.sqrt(count)))
    if count == 3 and rng.random() < 0.6:
        return [(0.02, 0.03, 0.56, 0.97), (0.56, 0.03, 0.98, 0.5), (0.56, 0.5, 0.98, 0.97)]
    rows = int(np.ceil(count / columns))
    if count == 2 and rng.random() < 0.3:
        columns, rows = 1, 2
    wide, high = 0.96 / columns, 0.96 / rows
    at = [(0.02 + wide * (i % columns), 0.02 + high * (i // columns)) for i in range(count)]
    return [(x, y, x + wide, y + high) for x, y in at]


def _flat_parts(spec: GarmentSpec, owner: int, paint: Paint, rng: np.random.Generator) -> list[Placed]:
    sk = laid_out(rng)
    shape = random_shape(rng, spec.category)
    match spec.category:
        case "shirt":
            parts = _hung(shirt(spec, owner, paint, sk, rng, worn=False), sk, rng)
        case "dress":
            parts = _hung(dress(spec, owner, paint, sk, rng, worn=False), sk, rng)
        case "jacket":
            parts = _hung(jacket(spec, owner, paint, sk, rng, worn=False, closed=rng.random() < 0.6), sk, rng)
        case "pants" | "shorts":
            parts = trousers(spec, owner, paint, sk, rng)
        case "skirt":
            parts = skirt(spec, owner, paint, sk, rng)
        case "shoe":
            if shape != "sandal" and rng.random() < 0.65:
                parts = shoes_side(shape, owner, paint, rng)
            else:
                parts = shoes_top(shape, owner, paint, rng)
        case "hat":
            parts = hat(shape, owner, paint, rng)
        case "sunglass":
            parts = sunglass(shape, owner, paint, rng, worn=False)
        case _:
            parts = bag(shape, owner, paint, rng, (0.0, 0.0), None)
    return parts


def _hung(parts: list[Placed], sk: Skeleton, rng: np.random.Generator) -> list[Placed]:
    """Put a hanger into two garments of five."""
    if rng.random() > 0.4:
        return parts
    tone = ((172.0, 128.0, 84.0), (40.0, 40.0, 42.0), (205.0, 205.0, 208.0))[int(rng.integers(3))]
    y = sk.shoulder_y
    bar = tube(
        [(-sk.shoulder, y + 0.015), (-0.05, y - 0.014), (0, y - 0.022), (0.05, y - 0.014), (sk.shoulder, y + 0.015)],
        [0.006] * 5,
    )
    hook = smooth(
        [(0, y - 0.02), (0, y - 0.05), (0.02, y - 0.062), (0.018, y - 0.085), (-0.004, y - 0.086), (-0.012, y - 0.075)],
        closed=False,
    )
    wire = tube(hook[:: len(hook) // 10], [0.0028] * len(hook[:: len(hook) // 10]))
    return [
        *parts,
        (2, Part(NOBODY, (wire,), plain((190, 190, 192)), shadow=0.2)),
        (2, Part(NOBODY, (bar,), plain(tone), shadow=0.1)),
    ]


def _photographed(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Light the scene unevenly, then let a lens, a sensor and JPEG have their way with it."""
    side = pixels.shape[0]
    image = pixels.astype(np.float32)
    corner = rng.uniform(0.9, 1.08, (2, 2)).astype(np.float32)
    gain = rng.normal(1.0, 0.02, 3) * rng.uniform(0.9, 1.06)
    glow = cv2.resize(corner, (side, side), interpolation=cv2.INTER_LINEAR)
    image = cv2.multiply(image, cv2.merge([glow * np.float32(g) for g in gain]))
    if rng.random() < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.0)) * side / 320)
    grain = rng.standard_normal((side, side), dtype=np.float32) * np.float32(rng.uniform(0.5, 6.0))
    done = cv2.add(image, cv2.merge((grain, grain, grain)), dtype=cv2.CV_8U)
    quality = int(rng.integers(60, 97))
    _, data = cv2.imencode(".jpg", cv2.cvtColor(done, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), np.uint8)
