"""People: a skeleton in a pose, the skin over it, a face and hair.

Units: the body is 1 high, x = 0 at its middle, y = 0 at the crown and 1 at the soles. Nobody is anybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from processors.drawn.canvas import NOBODY, Line, Part
from processors.drawn.cloth import Rgb, plain
from processors.drawn.curves import Pair, ellipse, jitter, smooth, tube

Placed: TypeAlias = tuple[int, Part]
"""A part and its layer: parts are painted in ascending layer."""

_SKIN: tuple[Rgb, ...] = (
    (246, 217, 196),
    (236, 198, 168),
    (224, 180, 146),
    (205, 157, 120),
    (180, 130, 94),
    (146, 100, 70),
    (112, 74, 52),
    (82, 54, 40),
)
_HAIR: tuple[Rgb, ...] = (
    (26, 20, 18),
    (44, 30, 24),
    (78, 50, 32),
    (120, 80, 46),
    (186, 144, 86),
    (222, 192, 138),
    (140, 60, 30),
    (150, 148, 146),
)


@dataclass(frozen=True, slots=True)
class Skeleton:
    """Joints (right ones have positive x) and half widths, in body units. Index 0 is left, 1 right."""

    shoulders: tuple[Pair, Pair]
    elbows: tuple[Pair, Pair]
    wrists: tuple[Pair, Pair]
    hips: tuple[Pair, Pair]
    knees: tuple[Pair, Pair]
    ankles: tuple[Pair, Pair]
    shoulder: float
    waist: float
    hip: float
    build: float
    sway: float
    shoulder_y: float = 0.19
    waist_y: float = 0.40
    hip_y: float = 0.495
    crotch_y: float = 0.535


def standing(rng: np.random.Generator) -> Skeleton:
    """Return a person who stands, walks a step, or has a hand on the hip."""
    build = float(rng.uniform(0.88, 1.18))
    sway = float(rng.normal(0, 0.012))
    arms = [_arm(rng, side, 0.098 * build, 0.19) for side in (-1, 1)]
    legs = [_leg(rng, side, sway) for side in (-1, 1)]
    return Skeleton(
        shoulders=(arms[0][0], arms[1][0]),
        elbows=(arms[0][1], arms[1][1]),
        wrists=(arms[0][2], arms[1][2]),
        hips=(legs[0][0], legs[1][0]),
        knees=(legs[0][1], legs[1][1]),
        ankles=(legs[0][2], legs[1][2]),
        shoulder=0.105 * build + float(rng.normal(0, 0.004)),
        waist=0.074 * build + float(rng.normal(0, 0.004)),
        hip=0.09 * build + float(rng.normal(0, 0.004)),
        build=build,
        sway=sway,
    )


def laid_out(rng: np.random.Generator) -> Skeleton:
    """Return the pose that an empty garment lies or hangs in: nearly symmetrical, sleeves out or down."""
    build = float(rng.uniform(0.95, 1.3))
    spread = float(rng.choice([rng.uniform(0.1, 0.35), rng.uniform(0.5, 1.2)]))
    stance = float(rng.uniform(0.035, 0.085))
    arms = []
    for side in (-1, 1):
        start = (side * 0.098 * build, 0.19)
        first, second = spread + rng.normal(0, 0.06), spread * rng.uniform(0.5, 1.0) + rng.normal(0, 0.1)
        elbow = _step(start, side, float(first), 0.155)
        arms.append((start, elbow, _step(elbow, side, float(second), 0.15)))
    feet = [(s * (0.05 + stance * 0.5), s * (0.05 + stance)) for s in (-1, 1)]
    return Skeleton(
        shoulders=(arms[0][0], arms[1][0]),
        elbows=(arms[0][1], arms[1][1]),
        wrists=(arms[0][2], arms[1][2]),
        hips=((-0.048, 0.5), (0.048, 0.5)),
        knees=((feet[0][0], 0.73), (feet[1][0], 0.73)),
        ankles=((feet[0][1], 0.945), (feet[1][1], 0.945)),
        shoulder=0.105 * build,
        waist=0.084 * build,
        hip=0.092 * build,
        build=build,
        sway=0.0,
    )


def _step(start: Pair, side: int, angle: float, length: float) -> Pair:
    return (start[0] + side * float(np.sin(angle)) * length, start[1] + float(np.cos(angle)) * length)


def _arm(rng: np.random.Generator, side: int, x: float, y: float) -> tuple[Pair, Pair, Pair]:
    start = (side * x, y)
    kind = rng.random()
    if kind < 0.62:  # hanging, more or less
        first, second = rng.uniform(0.05, 0.4), rng.uniform(-0.25, 0.3)
    elif kind < 0.84:  # a hand on the hip, or in a pocket
        first, second = rng.uniform(0.45, 0.85), rng.uniform(-1.1, -0.6)
    elif kind < 0.93:  # raised
        first, second = rng.uniform(0.9, 1.7), rng.uniform(1.6, 3.3)
    else:  # across the body
        first, second = rng.uniform(0.1, 0.3), rng.uniform(-1.7, -1.2)
    elbow = _step(start, side, float(first), 0.155)
    return start, elbow, _step(elbow, side, float(second), 0.145)


def _leg(rng: np.random.Generator, side: int, sway: float) -> tuple[Pair, Pair, Pair]:
    hip = (side * 0.046 + sway, 0.505)
    foot = side * float(rng.uniform(0.028, 0.105))
    bend = float(rng.normal(0, 0.012))
    knee = ((hip[0] + foot) / 2 + bend, 0.735 + float(rng.normal(0, 0.006)))
    return hip, knee, (foot, 0.945 - float(rng.choice([0, 0, 0.012])))


def skin(sk: Skeleton, rng: np.random.Generator, bald: bool) -> list[Placed]:
    """Return the body: skin below every garment, arms above the torso's clothes, head and hair on top."""
    tone = _SKIN[int(rng.integers(len(_SKIN)))]
    paint = plain(tone, folds=0.02)
    b = sk.build
    trunk = smooth(
        [
            (-0.028, 0.17),
            (-sk.shoulder * 0.96, sk.shoulder_y + 0.008),
            (-sk.waist * 0.96, sk.waist_y),
            (-sk.hip * 0.96 + sk.sway, sk.hip_y),
            (sk.sway, sk.crotch_y + 0.01),
            (sk.hip * 0.96 + sk.sway, sk.hip_y),
            (sk.waist * 0.96, sk.waist_y),
            (sk.shoulder * 0.96, sk.shoulder_y + 0.008),
            (0.028, 0.17),
        ]
    )
    parts: list[Placed] = []
    for i in (0, 1):
        leg = tube([sk.hips[i], sk.knees[i], sk.ankles[i]], [0.05 * b, 0.031 * b, 0.019 * b])
        foot = ellipse((sk.ankles[i][0] + 0.01 * (2 * i - 1), sk.ankles[i][1] + 0.025), (0.021, 0.032), count=14)
        parts.append((5, Part(NOBODY, (leg, foot), paint, shadow=0.0, shade=0.97)))
        arm = tube([sk.shoulders[i], sk.elbows[i], sk.wrists[i]], [0.027 * b, 0.022 * b, 0.015 * b], cap=True)
        way = np.array(sk.wrists[i]) - np.array(sk.elbows[i])
        hand = np.array(sk.wrists[i]) + way / (np.linalg.norm(way) + 1e-9) * 0.028
        palm = ellipse((float(hand[0]), float(hand[1])), (0.034, 0.017), float(np.arctan2(way[1], way[0])), 14)
        top = ellipse(
            (sk.shoulders[i][0] - 0.005 * (2 * i - 1), sk.shoulder_y + 0.026), (0.025 * b, 0.025 * b), count=16
        )
        parts.append((40, Part(NOBODY, (arm, palm, top), paint, shadow=0.3)))
    neck = tube([(0, 0.09), (0.0, 0.175)], [0.025 * b, 0.03 * b])
    parts.append((5, Part(NOBODY, (trunk,), paint, shadow=0.0)))
    parts.append((6, Part(NOBODY, (neck,), paint, shade=0.86, shadow=0.15)))
    return parts + _head(tone, rng, bald)


def _head(tone: Rgb, rng: np.random.Generator, bald: bool) -> list[Placed]:
    wide = float(rng.uniform(0.042, 0.05))
    oval = smooth(
        [
            (-wide * 0.7, 0.0),
            (-wide, 0.045),
            (-wide * 0.92, 0.09),
            (-0.012, 0.133),
            (0.012, 0.133),
            (wide * 0.92, 0.09),
            (wide, 0.045),
            (wide * 0.7, 0.0),
        ]
    )
    dark: Rgb = (tone[0] * 0.35, tone[1] * 0.28, tone[2] * 0.28)
    lips: Rgb = (min(255, tone[0] * 0.82 + 20), tone[1] * 0.55, tone[2] * 0.55)
    lines = [
        Line(
            np.array([(0.003, 0.07), (0.007, 0.085), (0, 0.087)]),
            0.003,
            ink=(tone[0] * 0.8, tone[1] * 0.75, tone[2] * 0.7),
        )
    ]
    smile = float(rng.uniform(-0.002, 0.006))
    lines.append(Line(np.array([(-0.014, 0.103 - smile), (0, 0.105), (0.014, 0.103 - smile)]), 0.005, ink=lips))
    for s in (-1, 1):
        lines.append(Line(ellipse((s * 0.019, 0.064), (0.0075, 0.004), count=10), 0, ink=(238, 234, 230), filled=True))
        lines.append(Line(ellipse((s * 0.019, 0.064), (0.0038, 0.0042), count=8), 0, ink=(40, 28, 24), filled=True))
        brow = np.array([(s * 0.01, 0.054), (s * 0.02, 0.051), (s * 0.029, 0.055)])
        lines.append(Line(brow, 0.0035, ink=dark))
    ears = tuple(ellipse((s * wide * 0.97, 0.072), (0.007, 0.013), count=10) for s in (-1, 1))
    parts: list[Placed] = [(50, Part(NOBODY, (oval, *ears), plain(tone, 0.01), lines=tuple(lines), shadow=0.3))]
    return parts if bald else parts + _hair(wide, rng)


def _hair(wide: float, rng: np.random.Generator) -> list[Placed]:
    paint = plain(_HAIR[int(rng.integers(len(_HAIR)))], folds=0.16, gloss=0.05)
    length = float(rng.choice([0.06, 0.09, 0.15, 0.2, 0.27]))
    puff = float(rng.uniform(1.12, 1.5))
    fringe = float(rng.uniform(0.022, 0.045))
    side = float(rng.uniform(-0.6, 0.6)) * wide
    back = smooth(
        jitter(
            rng,
            [
                (-wide * 0.8, -0.01),
                (-wide * puff, 0.04),
                (-wide * puff, 0.05 + length * 0.5),
                (-wide * 0.9, 0.05 + length),
                (0, 0.045 + length),
                (wide * 0.9, 0.05 + length),
                (wide * puff, 0.05 + length * 0.5),
                (wide * puff, 0.04),
                (wide * 0.8, -0.01),
                (0, -0.018),
            ],
            0.004,
        )
    )
    top = smooth(
        jitter(
            rng,
            [
                (-wide * 1.06, 0.062),
                (-wide * 1.12, 0.02),
                (-wide * 0.6, -0.014),
                (0, -0.02),
                (wide * 0.6, -0.014),
                (wide * 1.12, 0.02),
                (wide * 1.06, 0.062),
                (wide * 0.85, 0.03),
                (side, fringe),
                (-wide * 0.85, 0.03),
            ],
            0.0025,
        )
    )
    layer = 52 if length > 0.12 and rng.random() < 0.25 else 2
    parts: list[Placed] = [(55, Part(NOBODY, (top,), paint, shadow=0.25))]
    if layer == 2:
        parts.append((2, Part(NOBODY, (back,), paint, shade=0.85, shadow=0.0)))
        return parts
    for s in (-1, 1):  # long hair that falls over the shoulders
        lock = tube([(s * wide, 0.02), (s * wide * 1.15, 0.1), (s * wide * 1.2, 0.05 + length)], [0.012, 0.02, 0.012])
        parts.append((52, Part(NOBODY, (lock,), paint, shadow=0.25)))
    return parts
