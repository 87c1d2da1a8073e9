"""Below the waist: trousers, shorts and skirts, cut for a skeleton (worn) or for none (lying flat)."""

from __future__ import annotations

import numpy as np

from processors.drawn.body import Placed, Skeleton
from processors.drawn.canvas import Line, Part
from processors.drawn.cloth import Paint, Rgb
from processors.drawn.curves import Pair, Points, between, smooth, tube, wavy
from processors.drawn.spec import GarmentSpec

HEM: dict[str, float] = {"mini": 0.615, "knee": 0.725, "midi": 0.82, "maxi": 0.925}
_STITCH: Rgb = (196, 142, 72)


def trousers(spec: GarmentSpec, owner: int, paint: Paint, sk: Skeleton, rng: np.random.Generator) -> list[Placed]:
    """Return pants ("full", "cropped") or shorts ("mini", "knee")."""
    ease, flare = float(rng.uniform(0.004, 0.016)), float(rng.choice([0.0, 0.006, 0.016, 0.028]))
    top = sk.waist_y + float(rng.uniform(-0.015, 0.04))
    legs, hems = [], []
    for i in (0, 1):
        leg, hem = _leg(spec, sk, i, ease, flare)
        legs.append(leg)
        hems.append(hem)
    w, h, s = sk.waist + 0.004, sk.hip + ease * 0.6, sk.sway
    pelvis = smooth(
        [
            (-w, top),
            (-h + s, sk.hip_y),
            (-h + s, sk.hip_y + 0.03),
            (s, sk.crotch_y + 0.012),
            (h + s, sk.hip_y + 0.03),
            (h + s, sk.hip_y),
            (w, top),
            *wavy(rng, (w, top), (-w, top), 0.006, 3)[1:-1],
        ],
        corners=(0, 6),
    )
    lines = _seams(spec, sk, top, w, h, hems)
    return [(20, Part(owner, (pelvis, *legs), paint, lines=lines, shadow=0.25))]


def _leg(spec: GarmentSpec, sk: Skeleton, i: int, ease: float, flare: float) -> tuple[Points, Points]:
    """Return a trouser leg and its hem line."""
    b, hip, knee, ankle = sk.build, sk.hips[i], sk.knees[i], sk.ankles[i]
    thigh, calf, foot = 0.05 * b + ease * 0.6, 0.034 * b + ease + flare * 0.6, 0.022 * b + ease + flare
    if spec.category == "shorts":
        share = 0.42 if spec.length == "mini" else 0.86
        end = between(hip, knee, share)
        spine, widths = [hip, end], [thigh, thigh * (1.02 - 0.2 * share) + ease + flare * 0.4]
    else:
        end = between(knee, ankle, 0.62 if spec.length == "cropped" else 1.02)
        spine, widths = [hip, knee, end], [thigh, calf, foot if spec.length != "cropped" else (foot + calf) / 2]
    outline = tube(spine, widths)
    wide = widths[-1]
    hem = np.array([(end[0] - wide, end[1] - 0.012), (end[0] + wide, end[1] - 0.012)])
    return outline, hem


def _seams(spec: GarmentSpec, sk: Skeleton, top: float, w: float, h: float, hems: list[Points]) -> tuple[Line, ...]:
    denim = spec.fabric == "denim"
    ink = _STITCH if denim and spec.colour not in {"black", "white"} else None
    s, mid = sk.sway, sk.crotch_y
    inner = np.array(
        [(s, mid - 0.005), between((s, mid), _middle(sk.knees), 0.5), _middle(sk.knees), _middle(sk.ankles)]
    )
    lines = [
        Line(np.array([(-w * 1.1, top + 0.022), (w * 1.1, top + 0.022)]), 0.003, 0.75),
        Line(np.array([(s * 0.4, top + 0.02), (s, mid - 0.02)]), 0.003, 0.72),
        Line(inner, 0.005, 0.55),
        Line(np.array([(s - 0.004, top + 0.008), (s + 0.006, top + 0.014)]), 0.006, ink=(170, 160, 140)),
    ]
    for side in (-1, 1):
        pocket = np.array(
            [(side * w * 0.55, top + 0.024), (side * w * 0.72, top + 0.055), (side * h * 1.0, top + 0.07)]
        )
        lines.append(Line(pocket, 0.003, 0.72, ink))
        crease = np.array([(s + side * 0.012, mid + 0.004), (s + side * 0.045, mid - 0.016)])
        lines.append(Line(crease, 0.003, 0.8))
    lines.extend(Line(hem, 0.003, 0.75, ink) for hem in hems)
    return tuple(lines)


def _middle(pair: tuple[Pair, Pair]) -> Pair:
    return ((pair[0][0] + pair[1][0]) / 2, (pair[0][1] + pair[1][1]) / 2)


def skirt(spec: GarmentSpec, owner: int, paint: Paint, sk: Skeleton, rng: np.random.Generator) -> list[Placed]:
    """Return a skirt: pencil, straight, flared or pleated."""
    top = sk.waist_y + float(rng.uniform(-0.01, 0.03))
    outline, lines = skirt_outline(spec.length or "knee", sk, top, rng)
    w = sk.waist
    band = Line(np.array([(-w * 1.15, top + 0.02), (w * 1.15, top + 0.02)]), 0.004, 0.72)
    if spec.fabric == "denim":
        lines += [Line(np.array([(0, top), (0, top + 0.09)]), 0.003, ink=_STITCH)]
        lines += [Line(np.array([(s * w * 0.5, top + 0.02), (s * w, top + 0.06)]), 0.003, ink=_STITCH) for s in (-1, 1)]
    shape = np.concatenate([np.array([(-w, top), (w, top)]), outline])
    return [(20, Part(owner, (smooth(shape, corners=(0, 1)),), paint, lines=(band, *lines), shadow=0.3))]


def skirt_outline(length: str, sk: Skeleton, top: float, rng: np.random.Generator) -> tuple[Points, list[Line]]:
    """Return the sides and hem below the waist, from right to left, and the folds that hang from it."""
    hem = HEM[length] + float(rng.normal(0, 0.008))
    drop = hem - sk.waist_y
    flare = float(rng.choice([-0.008, 0.01, 0.035, 0.08])) * (0.6 + drop * 2.2)
    hip, end, s = sk.hip + 0.008 + max(0.0, flare) * 0.3, sk.hip + 0.012 + flare, sk.sway
    stance = max(abs(k[0]) for k in sk.knees) + 0.035
    end = max(end, stance * 0.9) if drop > 0.3 else end
    right = [(hip + s, max(sk.hip_y, top + 0.04)), (end + s, hem)]
    left = [(-end + s, hem), (-hip + s, max(sk.hip_y, top + 0.04))]
    ripple = wavy(rng, right[-1], left[0], 0.012 + max(0.0, flare) * 0.15, 9)
    count = int(rng.choice([3, 5, 9])) if flare > 0.0 else 2
    lines = []
    for t in np.linspace(0.12, 0.88, count) + rng.normal(0, 0.02, count):
        above = (sk.waist * (2 * t - 1) * 0.9, top + 0.03 + float(rng.uniform(0, 0.05)))
        below = (end * (2 * t - 1) + s, hem - 0.004)
        lines.append(Line(np.array([above, between(above, below, 0.5), below]), 0.004, float(rng.uniform(0.74, 0.88))))
    return np.array([right[0], *ripple, left[1]]), lines
