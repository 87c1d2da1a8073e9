"""Above the waist: shirts, dresses and jackets, cut for a skeleton (worn) or for none (lying flat)."""

from __future__ import annotations

import numpy as np

from processors.drawn.body import Placed, Skeleton
from processors.drawn.bottoms import skirt_outline
from processors.drawn.canvas import Line, Part
from processors.drawn.cloth import Paint
from processors.drawn.curves import Pair, Points, between, ellipse, smooth, tube, wavy
from processors.drawn.spec import GarmentSpec

# neckline: (half width, depth of the opening below the shoulder)
_OPENING: dict[str, tuple[float, float]] = {
    "crew": (0.036, 0.022),
    "v": (0.036, 0.085),
    "scoop": (0.055, 0.068),
    "square": (0.055, 0.05),
    "high": (0.03, -0.012),
    "collar": (0.034, 0.03),
    "lapel": (0.034, 0.1),
    "hood": (0.04, 0.03),
}


def shirt(
    spec: GarmentSpec, owner: int, paint: Paint, sk: Skeleton, rng: np.random.Generator, *, worn: bool
) -> list[Placed]:
    """Return a shirt, T-shirt, blouse, sweater or hoodie, tucked in or hanging over."""
    ease = float(rng.uniform(0.002, 0.02))
    hem = float(rng.uniform(0.46, 0.53)) if not worn or rng.random() < 0.75 else 0.43
    tucked = worn and hem < 0.47 and rng.random() < 0.5
    w, h = sk.waist + ease, sk.hip + ease * 0.8
    side = [(w, sk.waist_y), (h + sk.sway, hem)]
    bottom = wavy(rng, (h + sk.sway, hem), (-h + sk.sway, hem), float(rng.uniform(0.002, 0.016)), 7)
    below = np.array([side[0], *bottom, (-w, sk.waist_y)])
    torso = _torso(spec, sk, ease, below)
    lines = _front(spec, sk, hem, rng)
    if spec.fabric == "knit" or spec.neckline == "hood":
        lines.append(Line(np.array([(-h * 1.1, hem - 0.02), (h * 1.1, hem - 0.02)]), 0.003, 0.75))
    layer = 15 if tucked else 25
    parts: list[Placed] = [(layer, Part(owner, (torso,), paint, lines=tuple(lines)))]
    return parts + _neck(spec, owner, paint, sk, worn) + _sleeves(spec, owner, paint, sk, rng, ease, 41)


def dress(
    spec: GarmentSpec, owner: int, paint: Paint, sk: Skeleton, rng: np.random.Generator, *, worn: bool
) -> list[Placed]:
    """Return a dress: fitted, straight or full below a waist."""
    ease = float(rng.uniform(0.0, 0.012))
    fitted = rng.random() < 0.75
    waist_y = sk.waist_y - float(rng.uniform(0.0, 0.05))
    w = sk.waist * 0.97 + ease if fitted else sk.waist + 0.02
    outline, lines = skirt_outline(spec.length or "knee", sk, waist_y, rng)
    below = np.concatenate([[(w, waist_y)], outline, [(-w, waist_y)]])
    torso = _torso(spec, sk, ease, below)
    if fitted:
        lines.append(Line(np.array([(-w * 1.1, waist_y), (0, waist_y + 0.004), (w * 1.1, waist_y)]), 0.005, 0.68))
    if rng.random() < 0.3:
        belt = (30.0, 24.0, 22.0) if rng.random() < 0.5 else (120.0, 84.0, 52.0)
        lines.append(Line(np.array([(-w * 1.1, waist_y), (w * 1.1, waist_y)]), 0.016, ink=belt))
    lines.extend(_front(spec, sk, waist_y, rng))
    parts: list[Placed] = [(25, Part(owner, (torso,), paint, lines=tuple(lines)))]
    return parts + _neck(spec, owner, paint, sk, worn) + _sleeves(spec, owner, paint, sk, rng, ease, 41)


def _torso(spec: GarmentSpec, sk: Skeleton, ease: float, below: Points) -> Points:
    """Return the outline from the neckline over the shoulders to `below` (right waist, hem, left waist)."""
    half, depth = _OPENING[spec.neckline or "crew"]
    bare = spec.sleeve == "sleeveless"
    tip = sk.shoulder - 0.022 if bare else sk.shoulder + ease * 0.3
    y = sk.shoulder_y
    right = [(half, y - 0.022), (tip, y - 0.004), (tip - 0.004, y + 0.03), (sk.shoulder - 0.006 + ease, y + 0.085)]
    if spec.category == "dress" and bare and spec.neckline in {"scoop", "square", "v"}:  # straps
        right = [
            (half + 0.008, y - 0.008),
            (half + 0.022, y - 0.006),
            (half + 0.03, y + 0.04),
            (sk.shoulder - 0.012, y + 0.085),
        ]
        half, depth = half + 0.008, depth + 0.02
    left = [(-x, v) for x, v in right[::-1]]
    if spec.neckline == "v":
        opening = [(0.0, y + depth)]
    elif spec.neckline == "square":
        opening = [(-half, y + depth), (half, y + depth)]
    else:
        opening = [(-half * 0.8, y + depth * 0.6), (0.0, y + depth), (half * 0.8, y + depth * 0.6)]
    points = [*right, *[(float(a), float(b)) for a, b in below], *left, *opening]
    n = len(right) + len(below)
    corners = [0, 1, n + len(left) - 2, n + len(left) - 1]
    if spec.neckline in {"v", "square"}:
        corners += list(range(n + len(left), len(points)))
    return smooth(points, corners=corners, rounds=2)


def _front(spec: GarmentSpec, sk: Skeleton, hem: float, rng: np.random.Generator) -> list[Line]:
    """Return what runs down the front: a placket with buttons, a pocket, the ribbing of a neck, creases."""
    y = sk.shoulder_y
    half, depth = _OPENING[spec.neckline or "crew"]
    lines = []
    if spec.neckline == "collar":
        polo = rng.random() < 0.3
        end = y + 0.12 if polo else hem
        pale = spec.colour in {"black", "navy", "charcoal", "burgundy", "dark green"}
        ink = (222.0, 218.0, 208.0) if pale or rng.random() < 0.5 else (60.0, 52.0, 48.0)
        lines.append(Line(np.array([(0.008, y), (0.009, end)]), 0.003, 0.72))
        lines.extend(
            Line(ellipse((0, v), (0.004, 0.004), count=8), 0, ink=ink, filled=True)
            for v in np.arange(y + 0.04, end, 0.042)
        )
        if not polo and rng.random() < 0.5:
            lines.append(
                Line(
                    np.array([(0.03, 0.26), (0.03, 0.3), (0.046, 0.306), (0.062, 0.3), (0.062, 0.26), (0.03, 0.26)]),
                    0.003,
                    0.76,
                )
            )
    elif spec.neckline in {"crew", "scoop", "v"} and spec.category == "shirt":
        low = [(-half - 0.01, y - 0.018), (-half * 0.8, y + depth * 0.7 + 0.01), (0, y + depth + 0.012)]
        low += [(half * 0.8, y + depth * 0.7 + 0.01), (half + 0.01, y - 0.018)]
        lines.append(
            Line(smooth([low[0], low[2], low[4]] if spec.neckline == "v" else low, rounds=2, closed=False), 0.003, 0.74)
        )
    elif spec.neckline == "hood":
        lines.append(Line(np.array([(-0.05, 0.44), (-0.035, 0.37), (0.035, 0.37), (0.05, 0.44)]), 0.004, 0.7))
        lines.extend(
            Line(np.array([(s * 0.014, y + 0.02), (s * 0.017, y + 0.1)]), 0.004, ink=(225, 222, 215)) for s in (-1, 1)
        )
    for s in (-1, 1):
        start = (s * (sk.shoulder - 0.01), y + 0.08)
        lines.append(Line(np.array([start, (s * sk.waist * 0.5, y + 0.1 + float(rng.uniform(0, 0.05)))]), 0.004, 0.86))
    return lines


def _neck(spec: GarmentSpec, owner: int, paint: Paint, sk: Skeleton, worn: bool) -> list[Placed]:
    """Return collar flaps, a roll neck or a hood, and the inside of the back where no neck fills it."""
    y = sk.shoulder_y
    half, depth = _OPENING[spec.neckline or "crew"]
    parts: list[Placed] = []
    if not worn:
        inside = smooth(
            [(-half - 0.012, y - 0.012), (half + 0.012, y - 0.012), (0, y + max(depth, 0.01))], corners=(0, 1)
        )
        parts.append((1, Part(owner, (inside,), paint, shade=0.6, shadow=0.0)))
    if spec.neckline == "high":
        roll = smooth([(-0.036, y - 0.05), (0.036, y - 0.05), (0.042, y - 0.008), (0, y + 0.008), (-0.042, y - 0.008)])
        parts.append(
            (
                27,
                Part(
                    owner,
                    (roll,),
                    paint,
                    angle=0.0,
                    lines=(Line(np.array([(-0.05, y - 0.02), (0.05, y - 0.02)]), 0.003, 0.8),),
                ),
            )
        )
    elif spec.neckline == "collar":
        for s in (-1, 1):
            flap = np.array(
                [(s * 0.004, y + 0.028), (s * 0.034, y - 0.035), (s * 0.05, y - 0.012), (s * 0.034, y + 0.045)]
            )
            parts.append((28, Part(owner, (flap,), paint, angle=0.7 * s, volume=0.5, shadow=0.3)))
    elif spec.neckline == "hood":
        hood = smooth(
            [
                (-0.075, y + 0.012),
                (-0.07, y - 0.045),
                (0, y - 0.06),
                (0.07, y - 0.045),
                (0.075, y + 0.012),
                (0, y + 0.045),
            ]
        )
        parts.append((3 if worn else 0, Part(owner, (hood,), paint, shade=0.82)))
    return parts


def _sleeves(
    spec: GarmentSpec,
    owner: int,
    paint: Paint,
    sk: Skeleton,
    rng: np.random.Generator,
    ease: float,
    layer: int,
) -> list[Placed]:
    if spec.sleeve in {None, "sleeveless"}:
        return []
    b, flare = sk.build, float(rng.choice([0.0, 0.0, 0.008]))
    share = float(rng.uniform(0.45, 0.75))
    parts: list[Placed] = []
    for i, s in ((0, -1), (1, 1)):
        start = (sk.shoulders[i][0] - s * 0.016, sk.shoulders[i][1] + 0.012)
        if spec.sleeve == "short":
            end = between(sk.shoulders[i], sk.elbows[i], share)
            spine, widths = [start, end], [0.036 * b + ease * 0.5, 0.031 * b + ease + flare]
        else:
            end = sk.wrists[i]
            spine = [start, sk.elbows[i], end]
            widths = [0.036 * b + ease * 0.5, 0.028 * b + ease * 0.8, 0.021 * b + ease * 0.5 + flare]
        cap = ellipse((sk.shoulders[i][0] - s * 0.012, sk.shoulder_y + 0.026), (widths[0], widths[0]), count=18)
        parts.append((layer, _sleeve(owner, paint, spine, widths, cap)))
    return parts


def _sleeve(owner: int, paint: Paint, spine: list[Pair], widths: list[float], cap: Points) -> Part:
    way = np.array(spine[-1]) - np.array(spine[-2])
    length = float(np.linalg.norm(way)) + 1e-9
    across = np.array([-way[1], way[0]]) / length * widths[-1] * 1.2
    cuff = np.array(spine[-1]) - way / length * 0.014
    lines = [Line(np.array([cuff - across, cuff + across]), 0.003, 0.75)]
    if len(spine) > 2:
        bend = np.array(spine[1])
        lines += [Line(np.array([bend + across * k, bend - across * 0.2 * k]), 0.004, 0.82) for k in (0.9, -0.8)]
    angle = float(np.arctan2(way[1], way[0])) - np.pi / 2
    return Part(owner, (tube(spine, widths), cap), paint, angle=angle, lines=tuple(lines))


def jacket(
    spec: GarmentSpec, owner: int, paint: Paint, sk: Skeleton, rng: np.random.Generator, *, worn: bool, closed: bool
) -> list[Placed]:
    """Return a jacket or coat of two front panels, closed, or open over what is worn below."""
    ease = float(rng.uniform(0.012, 0.026))
    hem = {"cropped": 0.42, "hip": 0.52, "long": float(rng.uniform(0.62, 0.76))}[spec.length or "hip"]
    gap = -0.006 if closed else float(rng.uniform(0.012, 0.04))
    parts: list[Placed] = []
    if not worn:
        parts.append((1, Part(owner, (_lining(sk, hem, ease),), paint, shade=0.55, shadow=0.2)))
    for s in (-1, 1):
        outline = _panel(spec, sk, s, ease, hem, gap, rng)
        lines = _panel_lines(spec, sk, s, hem, gap)
        parts.append((30 + (s > 0), Part(owner, (outline,), paint, lines=tuple(lines), shadow=0.4)))
    parts += _jacket_neck(spec, owner, paint, sk, gap)
    return parts + _sleeves(spec, owner, paint, sk, rng, ease, 42)


def _lining(sk: Skeleton, hem: float, ease: float) -> Points:
    top, h = sk.shoulder_y - 0.02, sk.hip + ease
    return smooth(
        [
            (-0.045, top),
            (0.045, top),
            (sk.waist, 0.3),
            (h * 0.9, hem - 0.005),
            (-h * 0.9, hem - 0.005),
            (-sk.waist, 0.3),
        ]
    )


def _panel(
    spec: GarmentSpec, sk: Skeleton, s: int, ease: float, hem: float, gap: float, rng: np.random.Generator
) -> Points:
    y, flare = sk.shoulder_y, max(0.0, hem - 0.5) * 0.12
    h, w = sk.hip + ease + flare, sk.waist + ease * 1.2
    neck = 0.085 if spec.neckline == "lapel" else 0.0
    points = [(0.034, y - 0.026), (sk.shoulder + ease * 0.5, y - 0.006), (sk.shoulder - 0.002 + ease, y + 0.08)]
    points += [(w, sk.waist_y)] if hem > 0.43 else []
    points += [(h if hem > 0.45 else w, hem)]
    front = (max(gap, -0.006) * float(rng.uniform(0.8, 1.5)), hem + float(rng.normal(0, 0.004)))
    points += wavy(rng, points[-1], front, 0.006, 5)[1:]
    points += [(gap, y + neck + 0.02), (max(gap, 0.016), y + 0.01)]
    n = len(points)
    moved = np.array([(s * x, v) for x, v in points])
    return smooth(moved, corners=(0, 1, n - 3), rounds=2)


def _panel_lines(spec: GarmentSpec, sk: Skeleton, s: int, hem: float, gap: float) -> list[Line]:
    y, g = sk.shoulder_y, max(gap, 0.0)
    pocket_y = min(hem - 0.05, 0.43)
    metal = (206.0, 204.0, 198.0)
    ink = (196.0, 142.0, 72.0) if spec.fabric == "denim" else None
    lines = [Line(np.array([(s * (g + 0.03), pocket_y), (s * (g + 0.068), pocket_y + 0.008)]), 0.005, 0.66, ink)]
    lines.append(Line(np.array([(s * (g + 0.005), y + 0.1), (s * (g + 0.007), hem)]), 0.003, 0.72))
    if spec.fabric == "denim":
        lines.append(Line(np.array([(s * (g + 0.024), 0.27), (s * (g + 0.066), 0.27)]), 0.003, ink=(196, 142, 72)))
        lines.append(Line(np.array([(s * (g + 0.045), 0.27), (s * (g + 0.04), hem)]), 0.003, ink=(196, 142, 72)))
    if spec.fabric == "polyester":  # quilted
        lines += [Line(np.array([(0, v), (s * 0.16, v + 0.006)]), 0.004, 0.74) for v in np.arange(y + 0.05, hem, 0.04)]
    if spec.fabric in {"leather", "polyester"} or spec.neckline == "hood":
        lines.append(Line(np.array([(s * (g + 0.001), y + 0.03), (s * (g + 0.002), hem)]), 0.004, ink=metal))
    elif s > 0:
        start = y + (0.12 if spec.neckline == "lapel" else 0.04)
        dark = (
            (52.0, 44.0, 38.0) if spec.colour not in {"black", "charcoal", "navy", "brown"} else (150.0, 140.0, 126.0)
        )
        rows = np.arange(start, min(hem, 0.56), 0.052)
        lines += [Line(ellipse((g + 0.012, v), (0.0055, 0.0055), count=9), 0, ink=dark, filled=True) for v in rows]
    return lines


def _jacket_neck(spec: GarmentSpec, owner: int, paint: Paint, sk: Skeleton, gap: float) -> list[Placed]:
    y, g = sk.shoulder_y, max(gap, 0.0)
    parts: list[Placed] = []
    for s in (-1, 1):
        if spec.neckline == "lapel":
            points = [
                (0.03, y - 0.036),
                (0.052, y - 0.006),
                (0.062, y + 0.03),
                (0.05, y + 0.034),
                (0.058, y + 0.05),
                (g + 0.002, y + 0.125),
                (max(g, 0.012), y + 0.03),
            ]
            parts.append(
                (
                    33,
                    Part(
                        owner,
                        (np.array([(s * x, v) for x, v in points]),),
                        paint,
                        angle=0.5 * s,
                        volume=0.5,
                        shadow=0.3,
                    ),
                )
            )
        elif spec.neckline == "collar":
            points = [(0.03, y - 0.04), (0.056, y - 0.012), (0.054, y + 0.034), (max(g, 0.008), y + 0.024)]
            parts.append(
                (
                    33,
                    Part(
                        owner,
                        (np.array([(s * x, v) for x, v in points]),),
                        paint,
                        angle=0.6 * s,
                        volume=0.5,
                        shadow=0.3,
                    ),
                )
            )
    if spec.neckline == "hood":
        hood = smooth(
            [(-0.085, y + 0.015), (-0.08, y - 0.05), (0, y - 0.07), (0.08, y - 0.05), (0.085, y + 0.015), (0, y + 0.04)]
        )
        parts.append((3, Part(owner, (hood,), paint, shade=0.8)))
    return parts
