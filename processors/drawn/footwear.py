"""Shoes: the pair on a person's feet, and shoes from the side, in body units."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from processors.drawn.body import Placed, Skeleton
from processors.drawn.canvas import Line, Part
from processors.drawn.cloth import Paint, Rgb, plain
from processors.drawn.curves import Points, smooth, tube, turned

_SOLES: tuple[Rgb, ...] = ((240, 238, 232), (40, 36, 34), (150, 110, 70))


def shoes_front(
    shape: str,
    owner: int,
    paint: Paint,
    sk: Skeleton,
    rng: np.random.Generator,
) -> list[Placed]:
    """Return the pair at a standing person's ankles, seen from the front."""
    sole = _SOLES[int(rng.integers(len(_SOLES)))]
    parts: list[Placed] = []
    for i, s in ((0, -1), (1, 1)):
        x, y = sk.ankles[i]
        turn = float(rng.uniform(-0.1, 0.7))
        toe = x + s * turn * 0.035
        up = {
            "boot": float(rng.uniform(0.05, 0.12)),
            "sneaker": 0.008,
            "pump": -0.006,
            "loafer": -0.002,
            "sandal": 0.0,
        }[shape]
        upper = smooth(
            [
                (x - 0.021, y - up),
                (x + 0.021, y - up),
                (x + 0.022, y + 0.015),
                (toe + 0.028, y + 0.04),
                (toe + 0.02, y + 0.056),
                (toe - 0.02, y + 0.056),
                (toe - 0.028, y + 0.04),
                (x - 0.022, y + 0.015),
            ],
            corners=(0, 1),
        )
        base = smooth(
            [(toe - 0.029, y + 0.042), (toe + 0.029, y + 0.042), (toe + 0.025, y + 0.06), (toe - 0.025, y + 0.06)]
        )
        lines = _laces(shape, x, toe, y)
        if shape == "sandal":
            straps = [tube([(toe - 0.026, y + v), (toe + 0.026, y + v)], [0.005, 0.005]) for v in (0.03, 0.044)]
            straps.append(tube([(x - 0.021, y + 0.004), (x + 0.021, y + 0.004)], [0.0045, 0.0045]))
            straps.append(base)
            parts.append((10, Part(owner, tuple(straps), paint, shadow=0.25)))
            continue
        parts.append((9, Part(owner, (base,), plain(sole, 0.02), shadow=0.4)))
        if shape in {"pump", "loafer"}:
            shell = smooth(
                [
                    (x - 0.022, y + 0.012),
                    (toe - 0.027, y + 0.04),
                    (toe - 0.018, y + 0.057),
                    (toe + 0.018, y + 0.057),
                    (toe + 0.027, y + 0.04),
                    (x + 0.022, y + 0.012),
                    (toe, y + (0.036 if shape == "pump" else 0.022)),
                ]
            )
            parts.append((10, Part(owner, (shell,), paint, shadow=0.1)))
        else:
            parts.append((22 if shape == "boot" else 10, Part(owner, (upper,), paint, lines=lines, shadow=0.15)))
    return parts


def _laces(shape: str, x: float, toe: float, y: float) -> tuple[Line, ...]:
    if shape != "sneaker":
        return ()
    rows = np.linspace(0.0, 0.03, 4)
    return tuple(
        Line(
            np.array([(x + (toe - x) * v / 0.05 - 0.01, y + v), (x + (toe - x) * v / 0.05 + 0.01, y + v)]),
            0.003,
            ink=(236, 234, 228),
        )
        for v in rows
    )


def shoes_side(shape: str, owner: int, paint: Paint, rng: np.random.Generator) -> list[Placed]:
    """Return a single shoe (no sandal) or a pair from the side, about 0.2 long, toe to the right."""
    sole = _SOLES[int(rng.integers(len(_SOLES)))]
    count = 1 if rng.random() < 0.4 else 2
    lift = float(rng.uniform(0.05, 0.09)) if count == 2 else 0.0
    skew = float(rng.uniform(-0.25, 0.25))
    rise = float(rng.uniform(0.06, 0.11))
    parts: list[Placed] = []
    for i in range(count):
        pieces = _profile(shape, owner, paint, sole, rise)
        for part in pieces:
            moved = tuple(_shifted(p, i, lift, skew) for p in part.polys)
            lines = tuple(Line(_shifted(v.points, i, lift, skew), v.width, v.tone, v.ink, v.filled) for v in part.lines)
            parts.append((10 + 5 * i, Part(owner, moved, part.paint, 0.0, part.shade, part.volume, part.shadow, lines)))
    return parts


def _shifted(points: Points, i: int, lift: float, skew: float) -> Points:
    return np.asarray(turned(points, skew * i, (0.1, 0.0)) + np.array([0.03 * i, lift * i]), np.float64)


def _profile(shape: str, owner: int, paint: Paint, sole: Rgb, rise: float) -> list[Part]:
    """Return the pieces of one shoe in profile: heel at x = 0, toe at 0.2, ground at y = 0."""
    dark = plain(sole, 0.02)
    if shape == "pump":
        heel = np.array([(0.0, -rise - 0.02), (0.028, -rise * 0.75), (0.012, 0.0), (0.002, 0.0)])
        upper = smooth(
            [
                (-0.002, -rise - 0.035),
                (0.01, -rise - 0.045),
                (0.05, -rise - 0.005),
                (0.12, -0.035),
                (0.15, -0.042),
                (0.2, -0.008),
                (0.198, 0.0),
                (0.13, 0.0),
                (0.06, -rise * 0.55),
                (0.0, -rise * 0.8),
            ],
            rounds=2,
        )
        return [Part(owner, (heel,), paint, shade=0.8), Part(owner, (upper,), paint, shadow=0.2)]
    top = {"boot": -0.105 - rise, "sneaker": -0.082, "loafer": -0.062}[shape]
    throat = 0.075 if shape == "boot" else 0.07
    upper = smooth(
        [
            (0.002, -0.008),
            (-0.002, -0.05),
            (0.0, top),
            (throat, top + (0.0 if shape == "boot" else 0.012)),
            (throat + 0.012, -0.075),
            (0.14, -0.052),
            (0.19, -0.04),
            (0.203, -0.02),
            (0.2, -0.008),
        ],
        corners=(0, 2, 3, 8),
        rounds=2,
    )
    thick = 0.026 if shape == "sneaker" else 0.014
    under = [(-0.004, -thick), (0.206, -thick * 0.8), (0.204, 0.0), (-0.002, 0.0)]
    if shape == "boot":
        under = [(-0.004, -thick), (0.206, -thick), (0.202, -0.002), (0.075, -0.006), (0.07, 0.014), (0.0, 0.014)]
    lines = [Line(smooth([(0.13, -0.056), (0.15, -0.035), (0.15, -0.01)], closed=False), 0.003, 0.72)]
    if shape == "sneaker":
        lines += [
            Line(
                np.array([(0.082 + 0.016 * k, -0.066 + 0.006 * k), (0.07 + 0.016 * k, -0.05 + 0.006 * k)]),
                0.004,
                ink=(238, 236, 230),
            )
            for k in range(4)
        ]
        lines.append(Line(smooth([(0.02, -0.03), (0.06, -0.045), (0.1, -0.028)], closed=False), 0.008, 0.6))
    elif shape == "boot":
        lines.append(Line(np.array([(0.04, top), (0.045, -0.05)]), 0.006, 0.6))
    else:
        lines.append(Line(smooth([(0.07, -0.05), (0.1, -0.075), (0.13, -0.05)], closed=False), 0.008, 0.6))
    return [Part(owner, (upper,), paint, lines=tuple(lines)), Part(owner, (smooth(under, rounds=1),), dark, shadow=0.1)]


def shoes_top(shape: str, owner: int, paint: Paint, rng: np.random.Generator) -> list[Placed]:
    """Return a pair that stands on the floor, seen from above, toes up; each about 0.2 long."""
    sole = _SOLES[int(rng.integers(len(_SOLES)))]
    gap = float(rng.uniform(0.042, 0.06))
    parts: list[Placed] = []
    for s in (-1, 1):
        turn, slip = float(rng.normal(0.06 * s, 0.08)), float(rng.normal(0, 0.008))
        for part in _from_above(shape, owner, paint, sole, s):
            polys = tuple(_stood(p, turn, s * gap, slip) for p in part.polys)
            lines = tuple(replace(v, points=_stood(v.points, turn, s * gap, slip)) for v in part.lines)
            parts.append((10, replace(part, polys=polys, lines=lines)))
    return parts


def _stood(points: Points, turn: float, x: float, y: float) -> Points:
    return np.asarray(turned(points, turn) + np.array([x, y]), np.float64)


def _from_above(shape: str, owner: int, paint: Paint, sole: Rgb, s: int) -> list[Part]:
    """Return the pieces of a left (-1) or right (1) shoe from above: toe at y = -0.1, heel at 0.1."""
    slim = 0.85 if shape == "pump" else 1.0
    half = [(0.004, -0.104), (0.03, -0.085), (0.036, -0.045), (0.026, 0.01), (0.026, 0.07), (0.014, 0.1)]
    other = [(-0.014, 0.1), (-0.025, 0.07), (-0.026, 0.01), (-0.032, -0.05), (-0.022, -0.088)]
    foot = smooth([(s * x * slim, y) for x, y in [*half, *other]], rounds=2)
    under = Part(owner, (foot * np.array([1.1, 1.03]),), plain(sole, 0.02), shadow=0.4)
    dark = tuple(0.35 * v for v in paint.ink)
    ink: Rgb = (dark[0], dark[1], dark[2])
    if shape == "sandal":
        spans = [
            ((-0.033, -0.06), (0.036, -0.05)),
            ((-0.03, -0.035), (0.034, -0.025)),
            ((-0.027, 0.055), (0.027, 0.055)),
        ]
        straps = [tube([(s * a[0], a[1]), (s * b[0], b[1])], [0.008, 0.008]) for a, b in spans]
        footbed = Part(owner, (foot,), paint, shade=0.72, shadow=0.4)
        return [footbed, Part(owner, tuple(straps), paint, shadow=0.3)]
    start = -0.035 if shape == "pump" else 0.012
    wide = 0.02 * slim
    mouth = smooth(
        [
            (-wide * 0.7, start),
            (wide * 0.7, start),
            (wide, 0.05),
            (wide * 0.7, 0.088),
            (-wide * 0.7, 0.088),
            (-wide, 0.05),
        ],
        rounds=2,
    )
    lines = [Line(mouth, 0, ink=ink, filled=True)]
    if shape in {"sneaker", "boot"}:
        rows = np.linspace(-0.04, 0.004, 5)
        lines += [Line(np.array([(-0.013, v), (0.013, v + 0.002)]), 0.004, ink=(236, 234, 228)) for v in rows]
    toe = smooth([(-0.026, -0.055), (0, -0.07), (0.03, -0.055)], closed=False)
    lines.append(Line(toe * np.array([s, 1.0]), 0.003, 0.72))
    return [under, Part(owner, (foot,), paint, lines=tuple(lines), shadow=0.1)]
