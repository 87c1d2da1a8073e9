"""What lies behind: studio paper, a wall and a floor, a street, wood, linen, noise. Drawn small, then enlarged."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from processors.drawn.cloth import Plane

Tone: TypeAlias = NDArray[np.float64]


def _tone(rng: np.random.Generator, low: float = 60, high: float = 235, chroma: float = 13) -> Tone:
    return np.asarray(np.clip(rng.uniform(low, high) + rng.normal(0, chroma, 3), 8, 250), np.float64)


def _tuple(tone: Tone) -> tuple[float, float, float]:
    return (float(tone[0]), float(tone[1]), float(tone[2]))


def _cloud(rng: np.random.Generator, side: int, cells: int, amount: float) -> Plane:
    grid = rng.standard_normal((cells, cells), dtype=np.float32) * np.float32(amount)
    return np.asarray(cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC), np.float32)


def _studio(rng: np.random.Generator, side: int) -> Plane:
    tone = _tone(rng, 170, 248, 6) if rng.random() < 0.6 else _tone(rng)
    ends = tone + rng.normal(0, 14, 3)
    t = np.linspace(0, 1, side)[:, None, None]
    fade = (tone * (1 - t) + ends * t).astype(np.float32)
    return np.ascontiguousarray(fade + _cloud(rng, side, 3, 5)[..., None])


def _room(rng: np.random.Generator, side: int) -> Plane:
    image = _studio(rng, side)
    horizon = int(side * rng.uniform(0.55, 0.9))
    floor = _tone(rng, 50, 200, 16)
    fade = np.linspace(0.85, 1.1, max(1, side - horizon))[:, None, None]
    image[horizon:] = np.clip(floor * fade, 0, 255)
    if rng.random() < 0.6:
        cv2.line(image, (0, horizon), (side, horizon), _tuple(_tone(rng, 180, 245, 5)), int(rng.integers(1, 6)))
    for _ in range(int(rng.integers(0, 4))):  # pictures, doors, windows
        x, y = (int(v) for v in rng.uniform(0, 0.9, 2) * side)
        w, h = int(rng.uniform(0.08, 0.35) * side), int(rng.uniform(0.1, 0.5) * side)
        cv2.rectangle(image, (x, min(y, horizon)), (x + w, min(y + h, horizon)), _tuple(_tone(rng)), -1)
    if rng.random() < 0.5:
        image[horizon:] += _planks(rng, side)[horizon:] * 0.6
    return image


def _planks(rng: np.random.Generator, side: int) -> Plane:
    grain = cv2.resize(rng.standard_normal((side // 3, 8), dtype=np.float32), (side, side)) * 9
    count = int(rng.integers(3, 9))
    edge = np.abs((np.arange(side) / side * count) % 1 - 0.5) > 0.48
    steps = np.repeat(rng.normal(0, 9, count + 1), side // count + 1)[:side]
    return np.asarray(grain + (steps - 35 * edge)[:, None], np.float32)[..., None]


def _wood(rng: np.random.Generator, side: int) -> Plane:
    tone = np.array([rng.uniform(110, 205), 0, 0])
    tone[1], tone[2] = tone[0] * rng.uniform(0.68, 0.86), tone[0] * rng.uniform(0.42, 0.7)
    image = tone.astype(np.float32) + _planks(rng, side)
    return np.ascontiguousarray(image.transpose(1, 0, 2)) if rng.random() < 0.5 else np.ascontiguousarray(image)


def _linen(rng: np.random.Generator, side: int) -> Plane:
    """Return a bed sheet or a rug: soft folds, perhaps a weave."""
    tone = _tone(rng, 90, 245, 14)
    image = (
        tone.astype(np.float32) + (_cloud(rng, side, int(rng.integers(3, 9)), 10) + _cloud(rng, side, 22, 4))[..., None]
    )
    if rng.random() < 0.4:
        y, x = np.mgrid[0:side, 0:side].astype(np.float32)
        wave = np.sin(x * rng.uniform(0.1, 0.6) + y * rng.uniform(-0.3, 0.3)) + np.sin(y * rng.uniform(0.1, 0.6))
        image += (wave * rng.uniform(2, 9)).astype(np.float32)[..., None]
    return image


def _speckle(rng: np.random.Generator, side: int) -> Plane:
    tone = _tone(rng, 70, 200, 18)
    coarse = _cloud(rng, side, int(rng.integers(6, 50)), float(rng.uniform(3, 12)))[..., None] * rng.uniform(
        0.4, 1.2, 3
    ).astype(np.float32)
    return np.asarray(tone.astype(np.float32) + coarse + _cloud(rng, side, side // 2, 9)[..., None], np.float32)


def _blobs(rng: np.random.Generator, side: int) -> Plane:
    image = _studio(rng, side)
    for _ in range(int(rng.integers(4, 16))):
        centre = tuple(int(v) for v in rng.uniform(0, side, 2))
        axes = tuple(int(v) for v in rng.uniform(0.03, 0.25, 2) * side)
        cv2.ellipse(image, centre, axes, float(rng.uniform(0, 180)), 0, 360, _tuple(_tone(rng)), -1)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.5, 7))), np.float32)


def _street(rng: np.random.Generator, side: int) -> Plane:
    """Return houses with windows, trees, cars and passers-by, out of focus, over a pavement."""
    horizon = int(side * rng.uniform(0.35, 0.7))
    image = np.empty((side, side, 3), np.float32)
    image[:horizon] = _tone(rng, 190, 250, 8)
    near = np.linspace(0.9, 1.1, side - horizon)[:, None, None]
    image[horizon:] = _tone(rng, 80, 190, 6) * near
    x = 0
    while x < side:
        width, top = int(rng.uniform(0.12, 0.4) * side), int(rng.uniform(-0.1, 0.6) * horizon)
        wall = _tone(rng, 60, 210, 16)
        cv2.rectangle(image, (x, top), (x + width, horizon), _tuple(wall), -1)
        dx, dy = int(rng.integers(12, 26)), int(rng.integers(14, 30))
        pane = _tuple(wall * rng.uniform(0.4, 0.8))
        for wx in range(x + 5, x + width - 5, dx):
            for wy in range(top + 6, horizon - 10, dy):
                cv2.rectangle(image, (wx, wy), (wx + dx // 2, wy + dy // 2), pane, -1)
        x += width
    for _ in range(int(rng.integers(1, 6))):
        _street_thing(image, rng, side, horizon)
    sharp = float(rng.uniform(0.8, 4.5))
    image = cv2.GaussianBlur(image, (0, 0), sharp)
    image[horizon:] += _cloud(rng, side, side // 2, 6)[horizon:, :, None]
    return np.asarray(image, np.float32)


def _street_thing(image: Plane, rng: np.random.Generator, side: int, horizon: int) -> None:
    x, kind, tone = int(rng.uniform(0, side)), rng.random(), _tuple(_tone(rng, 30, 220, 40))
    if kind < 0.35:  # a tree
        cv2.rectangle(image, (x - 3, horizon - side // 4), (x + 3, horizon), (82, 66, 52), -1)
        for _ in range(6):
            spot = (x + int(rng.normal(0, 18)), horizon - side // 4 + int(rng.normal(0, 18)))
            cv2.circle(
                image, spot, int(rng.uniform(10, 24)), (70 + rng.uniform(0, 50), 100 + rng.uniform(0, 50), 50), -1
            )
    elif kind < 0.7:  # a car
        w = int(side * rng.uniform(0.15, 0.3))
        cv2.rectangle(image, (x, horizon - w // 5), (x + w, horizon + w // 8), tone, -1)
        cv2.ellipse(image, (x + w // 2, horizon - w // 5), (w // 3, w // 5), 0, 180, 360, tone, -1)
        cv2.ellipse(image, (x + w // 2, horizon - w // 5), (w // 4, w // 7), 0, 180, 360, (60, 66, 74), -1)
        for wheel in (x + w // 5, x + 4 * w // 5):
            cv2.circle(image, (wheel, horizon + w // 8), w // 11, (30, 30, 32), -1)
    else:  # a pole, a sign
        cv2.rectangle(image, (x - 2, horizon - side // 2), (x + 2, horizon + 8), tone, -1)
        cv2.rectangle(image, (x - 14, horizon - side // 2), (x + 14, horizon - side // 2 + 24), tone, -1)


_FIGURE: tuple[Callable[[np.random.Generator, int], Plane], ...] = (
    _studio,
    _room,
    _room,
    _street,
    _street,
    _street,
    _blobs,
    _speckle,
)
_FLAT: tuple[Callable[[np.random.Generator, int], Plane], ...] = (
    _studio,
    _studio,
    _room,
    _wood,
    _wood,
    _linen,
    _linen,
    _speckle,
    _blobs,
)


def backdrop(rng: np.random.Generator, side: int, *, flat: bool) -> Plane:
    """Return a background (side, side, 3), float32 RGB, for a person or for garments that lie or hang."""
    makers = _FLAT if flat else _FIGURE
    half = max(32, side // 2)
    image = makers[int(rng.integers(len(makers)))](rng, half)
    return np.asarray(cv2.resize(np.clip(image, 4, 252), (side, side), interpolation=cv2.INTER_LINEAR), np.float32)
