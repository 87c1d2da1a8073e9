"""Hats, sunglasses and bags, in body units at the place where a body wears them."""

from __future__ import annotations

import numpy as np

from processors.drawn.body import Placed
from processors.drawn.canvas import Line, Part
from processors.drawn.cloth import Paint, Rgb
from processors.drawn.curves import Pair, Points, ellipse, jitter, smooth, tube


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
        tabs = (np.array([(x + s * wide * 0.5, y), (x + s * wide * 0.5, y + high * 0.25)]) for s in (-1, 1))
        lines.extend(Line(tab, 0.006, 0.75) for tab in tabs)
    parts.append((47, Part(owner, (body,), paint, lines=tuple(lines), shadow=0.4)))
    return parts
