"""Hats, sunglasses, bags and shoes, in body units at the place where a body wears them."""

from __future__ import annotations

import numpy as np

from processors.drawn.body import Placed, Skeleton
from processors.drawn.canvas import Line, Part
from processors.drawn.cloth import Paint, Rgb, plain
from processors.drawn.curves import Pair, Points, ellipse, jitter, smooth, tube, turned

_SOLES: tuple[Rgb, ...] = ((240, 238, 232), (40, 36, 34), (150, 110, 70))


def hat(shape: str, owner: int, paint: Paint, rng: np.random.Generator) -> list[Placed]:
    """Return a cap, fedora, beanie, bucket or sun hat on a head whose crown is at (0, 0)."""
    side = float(rng.choice([-1, 1]))
    if shape == "beanie":
        dome = smooth(
            [(-0.052, 0.04), (-0.054, 0.0), (-0.03, -0.04), (0.0, -0.05), (0.03, -0.04), (0.054, 0.0), (0.052, 0.04)],
            (0, 6),
        )
        cuff = smooth([(-0.056, 0.015), (0.056, 0.015), (0.057, 0.045), (0, 0.05), (-0.057, 0.045)], rounds=2)
        parts = [Part(owner, (dome,), paint), Part(owner, (cuff,), paint, shade=0.93, shadow=0.25)]
        if rng.random() < 0.4:
            parts.append(Part(owner, (jitter(rng, ellipse((0, -0.06), (0.02, 0.019)), 0.001),), paint))
    elif shape == "cap":
        dome = smooth(
            [(-0.053, 0.035), (-0.052, -0.005), (-0.026, -0.038), (0.026, -0.038), (0.052, -0.005), (0.053, 0.035)],
            (0, 5),
        )
        peak = smooth(
            [
                (-0.04 + side * 0.012, 0.024),
                (0.04 + side * 0.012, 0.024),
                (0.05 + side * 0.035, 0.046),
                (side * 0.03, 0.058),
                (-0.05 + side * 0.035, 0.046),
            ]
        )
        seam = (
            Line(np.array([(0, -0.035), (side * 0.006, 0.03)]), 0.002, 0.75),
            Line(ellipse((0, -0.035), (0.004, 0.003)), 0, 0.7, filled=True),
        )
        parts = [Part(owner, (dome,), paint, lines=seam), Part(owner, (peak,), paint, shade=0.88, shadow=0.4)]
    else:
        brim = {"fedora": 0.088, "bucket": 0.07, "sun": float(rng.uniform(0.11, 0.14))}[shape]
        drop = {"fedora": 0.012, "bucket": 0.028, "sun": 0.024}[shape]
        top = -0.05 if shape != "bucket" else -0.036
        crown = [
            (-0.052, 0.025),
            (-0.045, top + 0.012),
            (-0.02, top - 0.004),
            (0, top + (0.01 if shape == "fedora" else -0.003)),
        ]
        crown += [(-x, y) for x, y in crown[:-1][::-1]]
        wide = smooth(
            [
                (-brim, 0.024 + drop * 0.4),
                (-0.05, 0.012),
                (0.05, 0.012),
                (brim, 0.024 + drop * 0.4),
                (0.05, 0.026 + drop),
                (0, 0.03 + drop),
                (-0.05, 0.026 + drop),
            ]
        )
        band = Line(smooth([(-0.06, 0.013), (0, 0.02), (0.06, 0.013)], closed=False), 0.011, 0.45)
        parts = [
            Part(owner, (wide,), paint, shade=0.92, shadow=0.4),
            Part(owner, (smooth(crown, (0, len(crown) - 1)),), paint, lines=(band,) if shape != "bucket" else ()),
        ]
    return [(57 + i, p) for i, p in enumerate(parts)]


def sunglass(shape: str, owner: int, paint: Paint, rng: np.random.Generator, *, worn: bool) -> list[Placed]:
    """Return sunglasses over eyes at (±0.019, 0.064); folded out, with arms, when nobody wears them."""
    big = float(rng.uniform(0.9, 1.25))
    outlines = {
        "square": [(-1, -0.8), (1, -0.85), (0.95, 0.6), (0.6, 0.85), (-0.6, 0.85), (-0.95, 0.6)],
        "round": [(float(np.cos(t)), float(np.sin(t))) for t in np.linspace(0, 6.28, 9)[:-1]],
        "aviator": [(-0.9, -0.7), (0.9, -0.85), (1.05, 0.2), (0.4, 1.1), (-0.5, 0.9), (-0.95, 0.1)],
        "cat-eye": [(-0.95, -0.5), (1.35, -1.05), (1.0, 0.4), (0.3, 0.9), (-0.6, 0.8)],
    }[shape]
    parts: list[Placed] = []
    rim = float(rng.uniform(1.15, 1.3))
    if not worn:
        for s in (-1, 1):
            ear = tube([(s * 0.04, 0.058), (s * 0.045, 0.03), (s * 0.036, 0.008)], [0.0022, 0.0022, 0.0032], cap=True)
            parts.append((55, Part(owner, (ear,), paint, shadow=0.3)))
    bridge = tube([(-0.012, 0.06), (0, 0.0565), (0.012, 0.06)], [0.002, 0.002, 0.002])
    rims: list[Points] = [bridge]
    glint: list[Line] = []
    for s in (-1, 1):
        centre, size = np.array([s * 0.0225, 0.064]), np.array([s * 0.0165, 0.0135]) * big
        lens = smooth(np.array(outlines) * size, rounds=2)
        rims.append(lens * rim + centre)
        ink = tuple(float(v) for v in np.array(paint.ink) * 0.62)
        glint.append(Line(lens + centre, 0, ink=(ink[0], ink[1], ink[2]), filled=True))
        shine = np.array([(-0.5, 0.25), (0.1, -0.6), (0.35, -0.6), (-0.25, 0.3)]) * size + centre
        soft = tuple(float(v) for v in np.array(paint.ink) * 0.5 + 70)
        glint.append(Line(shine, 0, ink=(soft[0], soft[1], soft[2]), filled=True))
    parts.append((56, Part(owner, tuple(rims), paint, lines=tuple(glint), shadow=0.3, volume=0.4)))
    return parts


def bag(shape: str, owner: int, paint: Paint, rng: np.random.Generator, at: Pair, strap: Pair | None) -> list[Placed]:
    """Return a bag whose handle is held at `at`; `strap` is the far shoulder when it hangs across the body."""
    wide, high = {
        "tote": (0.085, 0.15),
        "handbag": (0.082, 0.095),
        "crossbody": (0.065, 0.075),
        "clutch": (0.085, 0.07),
        "backpack": (0.085, 0.16),
    }[shape]
    wide, high = wide * float(rng.uniform(0.85, 1.2)), high * float(rng.uniform(0.85, 1.15))
    handle = {"tote": 0.075, "handbag": 0.055, "crossbody": 0.0, "clutch": -0.03, "backpack": 0.02}[shape]
    x, y = at[0], at[1] + handle
    taper = float(rng.uniform(0.85, 1.05)) if shape != "backpack" else 0.9
    body = smooth(
        jitter(
            rng,
            [
                (x - wide * taper, y),
                (x + wide * taper, y),
                (x + wide, y + high * 0.95),
                (x + wide * 0.9, y + high),
                (x - wide * 0.9, y + high),
                (x - wide, y + high * 0.95),
            ],
            0.002,
        ),
        corners=(0, 1) if shape != "backpack" else (),
        rounds=2,
    )
    metal: Rgb = (208, 178, 104) if rng.random() < 0.6 else (200, 200, 202)
    lines = [Line(np.array([(x - wide * 0.9, y + 0.008), (x + wide * 0.9, y + 0.008)]), 0.002, 0.75)]
    parts: list[Placed] = []
    if strap is not None and shape == "crossbody":
        cord = tube([strap, ((strap[0] + x) / 2, (strap[1] + y) / 2), (x, y + 0.01)], [0.004, 0.004, 0.004])
        parts.append((46, Part(owner, (cord,), paint, shade=0.9)))
    elif shape in {"tote", "handbag", "backpack", "crossbody"}:
        rise = handle + 0.012 if shape != "crossbody" else 0.08
        arch = smooth(
            [
                (x - wide * 0.5, y + 0.02),
                (x - wide * 0.4, y - rise),
                (x + wide * 0.4, y - rise),
                (x + wide * 0.5, y + 0.02),
            ],
            closed=False,
        )
        parts.append(
            (
                36,
                Part(
                    owner,
                    (tube(arch[:: max(1, len(arch) // 9)], [0.005] * len(arch[:: max(1, len(arch) // 9)])),),
                    paint,
                    shade=0.9,
                ),
            )
        )
    if shape in {"handbag", "crossbody", "clutch"}:
        flap = [
            (x - wide * taper, y),
            (x - wide * 0.9, y + high * 0.5),
            (x, y + high * 0.62),
            (x + wide * 0.9, y + high * 0.5),
            (x + wide * taper, y),
        ]
        lines.append(Line(smooth(flap, corners=(0, 4), closed=False, rounds=2), 0.004, 0.62))
        lines.append(Line(ellipse((x, y + high * 0.58), (0.007, 0.006)), 0, ink=metal, filled=True))
    elif shape == "backpack":
        pocket = [
            (x - wide * 0.65, y + high * 0.5),
            (x + wide * 0.65, y + high * 0.5),
            (x + wide * 0.6, y + high * 0.9),
            (x - wide * 0.6, y + high * 0.9),
            (x - wide * 0.65, y + high * 0.5),
        ]
        lines.append(Line(np.array(pocket), 0.004, 0.68))
        lines.append(
            Line(
                smooth([(x - wide, y + high * 0.35), (x, y + high * 0.2), (x + wide, y + high * 0.35)], closed=False),
                0.004,
                ink=metal,
            )
        )
    else:
        for s in (-1, 1):
            lines.append(Line(np.array([(x + s * wide * 0.5, y), (x + s * wide * 0.5, y + high * 0.25)]), 0.006, 0.75))
    parts.append((47, Part(owner, (body,), paint, lines=tuple(lines), shadow=0.4)))
    return parts


def shoes_front(shape: str, owner: int, paint: Paint, sk: Skeleton, rng: np.random.Generator) -> list[Placed]:
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
    """Return a single shoe or a pair from the side, about 0.2 long, toe to the right."""
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
    return turned(points, skew * i, (0.1, 0.0)) + np.array([0.03 * i, lift * i])


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
    if shape == "sandal":
        base = smooth(
            [(-0.002, -0.02), (0.06, -0.028), (0.13, -0.014), (0.2, -0.016), (0.203, 0.0), (0.0, 0.0)], rounds=2
        )
        straps = [
            tube([(0.13, -0.012), (0.15, -0.05), (0.18, -0.012)], [0.012, 0.012, 0.012]),
            tube([(0.0, -0.02), (0.012, -0.075), (0.06, -0.02)], [0.006, 0.007, 0.006]),
            tube([(0.05, -0.02), (0.08, -0.062), (0.11, -0.016)], [0.009, 0.009, 0.009]),
        ]
        return [Part(owner, tuple(straps), paint), Part(owner, (base,), paint, shade=0.85, shadow=0.2)]
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
