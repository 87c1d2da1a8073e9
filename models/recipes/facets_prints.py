"""Cloth drawn anew on real garments through their masks: plain, striped, checked, dotted, floral, printed, in blocks.

A photo's own pattern is taken off (one colour under the light and the folds of the photo), and another is laid on, so that the
pattern is known and everything around it is as photographed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from processors.drawn import random_spec
from processors.drawn.cloth import cloth, rgb
from processors.palette import PALETTE
from processors.values import Mask, Pixels

Cloth: TypeAlias = NDArray[np.float32]
"""(h, w, 3), RGB 0..255, without light."""
PATTERNS = ("solid", "striped", "checked", "dotted", "floral", "printed", "colourblocked")
_NAMES = tuple(name for name, _ in PALETTE)
_NEUTRAL = ("black", "white", "grey", "navy", "charcoal", "beige", "cream", "light grey")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_SCRIPT_COMPLEX,
)


def redrawn(pixels: Pixels, mask: Mask, pattern: str, rng: np.random.Generator, pictures: Sequence[Pixels]) -> Pixels:
    """The photo with the garment of `mask` in new cloth; light and folds stay. `pictures` are what prints show."""
    x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
    if w < 8 or h < 8:
        return pixels
    part, inside = pixels[y : y + h, x : x + w], mask[y : y + h, x : x + w]
    light = _light(part, inside, rng)
    new = _folded(_DRAWN[pattern]((h, w), rng, pictures), rng) * light[..., None]
    soft = cv2.GaussianBlur(inside.astype(np.float32), (3, 3), 0)[..., None]
    done = pixels.copy()
    done[y : y + h, x : x + w] = np.clip(new * soft + part * (1 - soft), 0, 255).astype(np.uint8)
    return done


def _light(part: Pixels, inside: Mask, rng: np.random.Generator) -> NDArray[np.float32]:
    """How bright each pixel is against the garment's mean, a print of its own taken out: 0.6 to 1.35."""
    level = np.asarray(cv2.cvtColor(part, cv2.COLOR_RGB2LAB)[..., 0], np.float32) + 12
    weight = inside.astype(np.float32)
    sigma = max(part.shape[:2]) * float(rng.uniform(0.02, 0.05))
    wide = cv2.GaussianBlur(level * weight, (0, 0), sigma) / (cv2.GaussianBlur(weight, (0, 0), sigma) + 1e-3)
    mean = float(wide[inside].mean())
    fine = np.clip((level - wide) / (mean + 25), -0.2, 0.2) * float(rng.uniform(0.1, 0.6))
    return np.asarray(np.clip((wide / mean) ** float(rng.uniform(0.3, 0.8)) + fine, 0.6, 1.35), np.float32)


def _folded(drawn: Cloth, rng: np.random.Generator) -> Cloth:
    """The cloth a little turned, and pulled about as cloth on a body is."""
    height, width = drawn.shape[:2]
    field = rng.normal(0, 1, (2, 5, 5)).astype(np.float32) * max(height, width) * float(rng.uniform(0.0, 0.03))
    dx, dy = (cv2.resize(one, (width, height), interpolation=cv2.INTER_CUBIC) for one in field)
    angle = float(rng.normal(0, 0.12))
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    u, v = columns - width / 2, rows - height / 2
    at_x = u * np.cos(angle) - v * np.sin(angle) + width / 2 + dx
    at_y = u * np.sin(angle) + v * np.cos(angle) + height / 2 + dy
    moved = cv2.remap(
        drawn, at_x.astype(np.float32), at_y.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(moved, np.float32)


def _colour(rng: np.random.Generator) -> NDArray[np.float64]:
    name = str(rng.choice(_NEUTRAL if rng.random() < 0.4 else _NAMES))
    return np.clip(np.array(rgb(name)) + rng.normal(0, 8, 3), 6, 250)


def _colours(count: int, rng: np.random.Generator) -> list[NDArray[np.float64]]:
    """Colours that can be told from the first."""
    found = [_colour(rng)]
    for _ in range(200):
        other = _colour(rng)
        if np.abs(other - found[0]).sum() > 110:
            found.append(other)
        if len(found) == count:
            break
    return found


def _plain(shape: tuple[int, int], rng: np.random.Generator, _pictures: Sequence[Pixels]) -> Cloth:
    return np.broadcast_to(_colour(rng), (*shape, 3)).astype(np.float32)


def _bands(length: int, colours: Sequence[NDArray[np.float64]], rng: np.random.Generator) -> Cloth:
    """(length, 3): bands of the colours, repeated; the first colour is the widest."""
    period = max(4.0, length / float(rng.uniform(2.5, 22)))
    shares = rng.uniform(0.15, 1, 2 * (len(colours) - 1))
    order = [colours[0] if n % 2 == 0 else colours[1 + n // 2 % (len(colours) - 1)] for n in range(len(shares))]
    shares[::2] *= float(rng.uniform(0.8, 3))
    ends = np.cumsum(shares) / shares.sum()
    place = np.searchsorted(ends, (np.arange(length) / period) % 1.0).clip(0, len(order) - 1)
    return np.asarray(np.stack(order)[place], np.float32)


def _striped(shape: tuple[int, int], rng: np.random.Generator, _pictures: Sequence[Pixels]) -> Cloth:
    colours = _colours(int(rng.choice([2, 3], p=[0.7, 0.3])), rng)
    if rng.random() < 0.65:
        return np.broadcast_to(_bands(shape[0], colours, rng)[:, None], (*shape, 3)).copy()
    return np.broadcast_to(_bands(shape[1], colours, rng)[None], (*shape, 3)).copy()


def _checked(shape: tuple[int, int], rng: np.random.Generator, _pictures: Sequence[Pixels]) -> Cloth:
    colours = _colours(int(rng.choice([2, 3, 4], p=[0.5, 0.3, 0.2])), rng)
    state = int(rng.integers(1 << 30))
    side = max(shape)
    across = _bands(side, colours, np.random.default_rng(state))[: shape[1]]
    along = _bands(side, colours, np.random.default_rng(state))[: shape[0]]
    drawn = (across[None] + along[:, None]) / 2
    return np.asarray(cv2.GaussianBlur(drawn.astype(np.float32), (0, 0), 0.6), np.float32)


def _tiled(pattern: str, shape: tuple[int, int], rng: np.random.Generator) -> Cloth:
    """The drawn catalogue's own cloth of this pattern, repeated."""
    spec = next(one for one in iter(lambda: random_spec(rng, "shirt"), None) if one.pattern == pattern)
    if rng.random() < 0.5:
        spec = replace(spec, fabric="cotton")
    tile = cloth(spec, rng).tile
    side = int(np.clip(max(shape) / float(rng.uniform(1.5, 7)), 12, 400))
    small = cv2.resize(tile, (side, side), interpolation=cv2.INTER_AREA if side < tile.shape[0] else cv2.INTER_LINEAR)
    wide = np.tile(small, (shape[0] // side + 2, shape[1] // side + 2, 1))
    top, left = (int(rng.integers(side)) for _ in range(2))
    return np.asarray(wide[top : top + shape[0], left : left + shape[1]], np.float32)


def _dotted(shape: tuple[int, int], rng: np.random.Generator, _pictures: Sequence[Pixels]) -> Cloth:
    return _tiled("dotted", shape, rng)


def _floral(shape: tuple[int, int], rng: np.random.Generator, _pictures: Sequence[Pixels]) -> Cloth:
    if rng.random() < 0.5:
        return _tiled("floral", shape, rng)
    drawn = _plain(shape, rng, ()).copy()
    size = max(shape) * float(rng.uniform(0.02, 0.08))
    inks = _colours(4, rng)[1:] or [_colour(rng)]
    for _ in range(int(np.clip(shape[0] * shape[1] / (size * size * float(rng.uniform(3, 12))), 8, 400))):
        centre = rng.uniform(0, 1, 2) * (shape[1], shape[0])
        radius = size * float(rng.uniform(0.5, 1.2))
        petals, turn, ink = int(rng.integers(4, 8)), rng.uniform(0, 6.28), inks[int(rng.integers(len(inks)))]
        for angle in turn + np.arange(petals) * 2 * np.pi / petals:
            at = centre + np.array([np.cos(angle), np.sin(angle)]) * radius * 0.5
            axes = (max(1, round(radius * 0.45)), max(1, round(radius * 0.25)))
            cv2.ellipse(
                drawn,
                (round(at[0]), round(at[1])),
                axes,
                float(np.degrees(angle)),
                0,
                360,
                _tuple(ink),
                -1,
                cv2.LINE_AA,
            )
        cv2.circle(drawn, (round(centre[0]), round(centre[1])), max(1, round(radius * 0.2)), _tuple(_colour(rng)), -1)
    return drawn


def _printed(shape: tuple[int, int], rng: np.random.Generator, pictures: Sequence[Pixels]) -> Cloth:
    """A picture or words on the chest, or all over."""
    chance = rng.random()
    if chance < 0.3:
        return _blotched(shape, rng)
    if chance < 0.42 and pictures:
        return _picture(shape, rng, pictures)
    drawn = _plain(shape, rng, ()).copy()
    for _ in range(int(rng.choice([1, 2], p=[0.7, 0.3]))):
        _emblem(drawn, rng, pictures)
    return drawn


def _blotched(shape: tuple[int, int], rng: np.random.Generator) -> Cloth:
    """Blots of several colours, as of camouflage, animal prints and watercolours."""
    colours = _colours(int(rng.integers(2, 6)), rng)
    cells = float(rng.uniform(5, 30))
    grid = (max(3, round(cells * shape[0] / max(shape))), max(3, round(cells * shape[1] / max(shape))))
    planes = [
        cv2.resize(rng.normal(0, 1, grid).astype(np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC)
        for _ in colours
    ]
    planes[0] += float(rng.uniform(0, 1))
    return np.asarray(np.stack(colours)[np.argmax(np.stack(planes), axis=0)], np.float32)


def _picture(shape: tuple[int, int], rng: np.random.Generator, pictures: Sequence[Pixels]) -> Cloth:
    """A part of a photo, in few or in false colours."""
    source = pictures[int(rng.integers(len(pictures)))]
    height, width = source.shape[:2]
    share = float(rng.uniform(0.3, 0.9))
    h, w = max(8, int(height * share)), max(8, int(width * share))
    y, x = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
    part = cv2.resize(source[y : y + h, x : x + w], shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
    if rng.random() < 0.6:
        levels = int(rng.integers(2, 5))
        grey = cv2.cvtColor(part.astype(np.uint8), cv2.COLOR_RGB2GRAY).astype(np.float32)
        edges = np.quantile(grey, np.linspace(0, 1, levels + 1)[1:-1])
        colours = np.stack([_colour(rng) for _ in range(levels)])
        part = colours[np.digitize(grey, edges)].astype(np.float32)
    return np.asarray(part, np.float32)


def _emblem(drawn: Cloth, rng: np.random.Generator, pictures: Sequence[Pixels]) -> None:
    """A print on the upper middle of the garment, in place."""
    height, width = drawn.shape[:2]
    w, h = (
        max(10, int(width * float(rng.uniform(0.15, 0.6)))),
        max(8, int(height * float(rng.uniform(0.08, 0.5)))),
    )
    x = int(np.clip(width * float(rng.normal(0.5, 0.08)) - w / 2, 0, width - w))
    y = int(np.clip(height * float(rng.uniform(0.2, 0.6)) - h / 3, 0, height - h))
    chance = rng.random()
    if chance < 0.45 and pictures:
        patch = _picture((h, w), rng, pictures)
        form = np.zeros((h, w), np.float32)
        if rng.random() < 0.5:
            cv2.ellipse(form, (w // 2, h // 2), (w // 2, h // 2), 0, 0, 360, 1.0, -1)
        else:
            form[:] = 1
        if rng.random() < 0.5:  # worn off, or only the dark parts
            form *= (patch.mean(2) < np.quantile(patch.mean(2), rng.uniform(0.4, 0.9))).astype(np.float32)
        view = drawn[y : y + h, x : x + w]
        view[:] = patch * form[..., None] + view * (1 - form[..., None])
    elif chance < 0.8:
        _words(drawn, (x, y, w, h), rng)
    else:
        for _ in range(int(rng.integers(3, 14))):
            points = np.stack([rng.integers(x, x + w, 5), rng.integers(y, y + h, 5)], 1).astype(np.int32)
            cv2.fillPoly(drawn, [cv2.convexHull(points)], _tuple(_colour(rng)), cv2.LINE_AA)


def _words(drawn: Cloth, box: tuple[int, int, int, int], rng: np.random.Generator) -> None:
    x, y, w, h = box
    ink = _ink(drawn[y, x], rng)
    form = np.zeros(drawn.shape[:2], np.uint8)
    lines = int(rng.integers(1, 4))
    font = int(rng.choice(_FONTS))
    for line in range(lines):
        text = "".join(rng.choice(list(_LETTERS), int(rng.integers(1, 9))))
        (wide, high), _ = cv2.getTextSize(text, font, 1.0, 2)
        scale = min(w / max(wide, 1), h / lines / max(high, 1) * 0.85)
        at = (int(x + (w - wide * scale) / 2), int(y + h * (line + 0.8) / lines))
        thick = max(1, round(scale * float(rng.uniform(1, 5))))
        cv2.putText(form, text, at, font, scale, 255, thick, cv2.LINE_AA)
    share = form.astype(np.float32)[..., None] / 255
    drawn[:] = drawn * (1 - share) + np.array(ink, np.float32) * share


def _ink(ground: NDArray[np.floating], rng: np.random.Generator) -> tuple[float, float, float]:
    """A colour that can be read on the ground."""
    return _tuple(max((_colour(rng) for _ in range(6)), key=lambda one: min(150.0, float(np.abs(one - ground).sum()))))


def _blocked(shape: tuple[int, int], rng: np.random.Generator, _pictures: Sequence[Pixels]) -> Cloth:
    """Two or three large fields of colour."""
    height, width = shape
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    along = rows / height if rng.random() < 0.6 else np.abs(columns / width - 0.5) * 2
    if rng.random() < 0.2:
        along = (rows / height + columns / width) / 2
    colours = _colours(int(rng.choice([2, 3], p=[0.6, 0.4])), rng)
    edges = np.sort(rng.uniform(0.22, 0.8, len(colours) - 1))
    return np.asarray(np.stack(colours)[np.digitize(along, edges)], np.float32)


def _tuple(colour: NDArray[np.floating]) -> tuple[float, float, float]:
    return (float(colour[0]), float(colour[1]), float(colour[2]))


_DRAWN: dict[str, Callable[[tuple[int, int], np.random.Generator, Sequence[Pixels]], Cloth]] = {
    "solid": _plain,
    "striped": _striped,
    "checked": _checked,
    "dotted": _dotted,
    "floral": _floral,
    "printed": _printed,
    "colourblocked": _blocked,
}
