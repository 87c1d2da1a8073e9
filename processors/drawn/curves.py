"""Outlines: smooth closed curves, tubes along limbs, and plane transforms. Points are (n, 2) arrays, y down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Points: TypeAlias = NDArray[np.float64]
Pair: TypeAlias = tuple[float, float]


def smooth(
    points: Sequence[Pair] | Points, corners: Sequence[int] = (), rounds: int = 3, closed: bool = True
) -> Points:
    """Cut the corners of a polygon `rounds` times (Chaikin 1974), keeping those whose index stands in `corners`."""
    pts = np.asarray(points, np.float64)
    keep = np.ones(len(pts), np.int64)
    keep[list(corners)] = 3  # a point three times over stays where it is
    pts = np.repeat(pts, keep, axis=0)
    for _ in range(rounds):
        nxt = np.roll(pts, -1, axis=0) if closed else pts[1:]
        cur = pts if closed else pts[:-1]
        cut = np.stack([0.75 * cur + 0.25 * nxt, 0.25 * cur + 0.75 * nxt], axis=1).reshape(-1, 2)
        pts = cut if closed else np.concatenate([pts[:1], cut, pts[-1:]])
    return pts


def tube(spine: Sequence[Pair] | Points, half_widths: Sequence[float], cap: bool = False) -> Points:
    """Return the outline of a limb: `spine` joints with a half width each; the joint bends round.

    Args:
        spine: two or more points.
        half_widths: as many, in the unit of the points.
        cap: whether the far end is rounded (a hand) or cut straight (a hem).
    """
    joints = np.asarray(spine, np.float64)
    at = np.linspace(0, 1, len(joints))
    fine = np.linspace(0, 1, 4 * len(joints) + 1)
    bent = smooth(np.stack([np.interp(fine, at, joints[:, i]) for i in (0, 1)], axis=1), rounds=1, closed=False)
    widths = np.interp(np.linspace(0, 1, len(bent)), at, np.asarray(half_widths, np.float64))
    step = np.gradient(bent, axis=0)
    normal = np.stack([-step[:, 1], step[:, 0]], axis=1) / (np.linalg.norm(step, axis=1, keepdims=True) + 1e-9)
    left, right = bent + normal * widths[:, None], bent - normal * widths[:, None]
    if not cap:
        return np.concatenate([left, right[::-1]])
    end = np.linspace(np.pi / 2, -np.pi / 2, 7)[1:-1]
    ahead = step[-1] / (np.linalg.norm(step[-1]) + 1e-9)
    round_end = bent[-1] + widths[-1] * (np.outer(np.sin(end), normal[-1]) + np.outer(np.cos(end), ahead))
    return np.concatenate([left, round_end, right[::-1]])


def ellipse(centre: Pair, radii: Pair, angle: float = 0.0, count: int = 28) -> Points:
    """Return an ellipse; `angle` in radians."""
    t = np.linspace(0, 2 * np.pi, count, endpoint=False)
    flat = np.stack([radii[0] * np.cos(t), radii[1] * np.sin(t)], axis=1)
    return np.asarray(turned(flat, angle) + np.asarray(centre), np.float64)


def turned(points: Points, angle: float, about: Pair = (0.0, 0.0)) -> Points:
    """Rotate by `angle` radians (clockwise on screen, since y points down) about a point."""
    c, s = np.cos(angle), np.sin(angle)
    pivot = np.asarray(about, np.float64)
    return np.asarray((points - pivot) @ np.array([[c, s], [-s, c]]) + pivot, np.float64)


def jitter(rng: np.random.Generator, points: Sequence[Pair] | Points, amount: float) -> Points:
    """Move every point a little (normal, standard deviation `amount`): no two hems are alike."""
    pts = np.asarray(points, np.float64)
    return pts + rng.normal(0.0, amount, pts.shape)


def between(a: Pair | Points, b: Pair | Points, t: float) -> Pair:
    """Return the point a share `t` of the way from `a` to `b`."""
    return (float(a[0] + (b[0] - a[0]) * t), float(a[1] + (b[1] - a[1]) * t))


def wavy(rng: np.random.Generator, a: Pair, b: Pair, depth: float, count: int = 7) -> list[Pair]:
    """Return a line from `a` to `b` that sags and waves by about `depth`: a hem."""
    t = np.linspace(0, 1, count)
    phase, waves = rng.uniform(0, 6.28), rng.uniform(1.0, 3.5)
    off = depth * (np.sin(np.pi * t) + 0.35 * np.sin(2 * np.pi * waves * t + phase) * np.sin(np.pi * t))
    return [(float(a[0] + (b[0] - a[0]) * u), float(a[1] + (b[1] - a[1]) * u + o)) for u, o in zip(t, off, strict=True)]
