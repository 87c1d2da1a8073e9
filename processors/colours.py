"""The dominant colours of a garment's own pixels, with the names of `processors.palette`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from processors.garment_mask import GarmentPixels, garment_pixels
from processors.lab import Lab, ciede2000, hex_of, lab_of_hex, to_lab
from processors.palette import PALETTE
from processors.values import Box, Colour, Mask, Pixels

CLUSTERS = 4
SURE = 0.6
"""Pixels that are the garment's with less than this probability do not vote."""
MIN_SHARE = 0.12
"""A colour on less of the garment is a shadow, a seam or a print's detail."""
MOST = 2
# k-means and merging see lightness shrunk, because folds and shadows change it and cloth does not.
_SPACE = np.array([0.7, 1.0, 1.0])
_MERGE_SPACE = np.array([0.5, 1.0, 1.0])
_MERGE = 12.0
_ROUNDS = 12
# Naming: see `name_of_lab`.
_LIGHTNESS = 1.4
_TINT, _TINT_WEIGHT = 5.0, 0.8


def name_of(rgb: tuple[int, int, int]) -> str:
    """The palette's name of one sRGB colour (0..255 each)."""
    return name_of_lab(to_lab(np.array([[rgb]], dtype=np.uint8))[0, 0])


def name_of_lab(lab: Lab) -> str:
    """The palette's name nearest to one CIELAB colour.

    Distance is CIEDE2000 with kL 1.4. A neutral name (black … white) is pushed away from tinted colours, by .8 for
    each unit of chroma above 5: people call a washed-out blue "blue" long after it is nearer to grey.
    """
    names, colours, neutral = _palette()
    distance = ciede2000(colours, lab, lightness=_LIGHTNESS)
    tint = max(0.0, float(np.hypot(lab[1], lab[2])) - _TINT)
    return names[int(np.argmin(distance + neutral * (_TINT_WEIGHT * tint)))]


def dominant_colours(pixels: Pixels, box: Box, category: str = "", others: Sequence[Box] = ()) -> tuple[Colour, ...]:
    """The one or two dominant colours of the garment in `box`, the larger first.

    Args:
        pixels: the photo, RGB.
        box: the garment's box in pixels of `pixels`.
        category: its class, which tells where in the box the garment usually is.
        others: boxes of the other garments in the photo.

    Returns:
        Colours of different names; `share` is of the garment's pixels. Empty when the box holds no pixels.
    """
    found = garment_pixels(pixels, box, category, others)
    if found is None:
        return ()
    return _named(*_voters(found))


def colours_of_mask(pixels: Pixels, mask: Mask) -> tuple[Colour, ...]:
    """The same, when the garment's pixels are known; `mask` has the photo's height and width."""
    lab = to_lab(pixels)[mask].astype(np.float64)
    if not len(lab):
        return ()
    lab = lab[:: max(1, len(lab) // 4096)]
    return _named(lab, np.ones(len(lab)))


@cache
def _palette() -> tuple[tuple[str, ...], Lab, NDArray[np.float64]]:
    names = tuple(name for name, _ in PALETTE)
    colours = np.stack([lab_of_hex(code) for _, code in PALETTE])
    return names, colours, (np.hypot(colours[:, 1], colours[:, 2]) < 5).astype(np.float64)


def _voters(found: GarmentPixels) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n, 3) colours and (n,) weights of the pixels that are surely the garment's, or of its best tenth."""
    weights = found.weights.ravel()
    sure = weights > SURE
    if sure.sum() < 20:
        sure = weights >= np.quantile(weights, 0.9)
    # A floor keeps the sum positive when nothing at all looks like the garment.
    return found.lab.reshape(-1, 3)[sure].astype(np.float64), np.maximum(weights[sure], 1e-6)


def _named(lab: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[Colour, ...]:
    groups = _merged(*_k_means(lab, weights))
    shown: dict[str, Colour] = {}
    for centre, share in groups:
        if not shown or (share >= MIN_SHARE and len(shown) < MOST):
            code = hex_of(centre.astype(np.float32))
            # Named from the rounded hex, so that a reader who names the swatch gets the same name.
            name = name_of_lab(lab_of_hex(code))
            shown.setdefault(name, Colour(name=name, hex=code, share=round(share, 3)))
    return tuple(shown.values())


def _k_means(lab: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres (k, 3) and shares (k,). Deterministic: the first centres are heavy, far-apart cells of a histogram."""
    points = lab * _SPACE
    centres = _first_centres(points, weights)
    share = np.ones(len(centres), dtype=np.float64)
    for _ in range(_ROUNDS):
        nearest = ((points[:, None] - centres[None]) ** 2).sum(axis=2).argmin(axis=1)
        share = np.asarray(np.bincount(nearest, weights, len(centres)), dtype=np.float64)
        moved = _means(points, weights, nearest, len(centres))
        moved[share == 0] = centres[share == 0]
        still = float(np.abs(moved - centres).max()) < 0.3
        centres = moved
        if still:
            break
    kept = share > 0
    return centres[kept] / _SPACE, share[kept] / share.sum()


def _first_centres(points: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    cells = np.floor(points / 12).astype(np.int64)
    cells -= cells.min(axis=0)
    _, cell = np.unique((cells[:, 0] * 64 + cells[:, 1]) * 64 + cells[:, 2], return_inverse=True)
    heavy = np.bincount(cell, weights)
    means = _means(points, weights, cell, len(heavy))
    chosen = [int(heavy.argmax())]
    while len(chosen) < min(CLUSTERS, len(heavy)):
        away = ((means[:, None] - means[chosen][None]) ** 2).sum(axis=2).min(axis=1)
        # The cap keeps one odd far pixel from being worth more than a real second colour.
        following = int((heavy * np.minimum(away, 1600)).argmax())
        if away[following] < 1:
            break
        chosen.append(following)
    return means[chosen]


def _means(
    points: NDArray[np.float64], weights: NDArray[np.float64], group: NDArray[np.int64], count: int
) -> NDArray[np.float64]:
    total = np.maximum(np.bincount(group, weights, count), 1e-12)
    return np.stack([np.bincount(group, weights * points[:, i], count) / total for i in range(3)], axis=1)


def _merged(centres: NDArray[np.float64], shares: NDArray[np.float64]) -> list[tuple[NDArray[np.float64], float]]:
    """Join clusters of one name and clusters that differ by shade only; the largest group first."""
    groups = [(centre, float(share)) for centre, share in zip(centres, shares, strict=True)]
    while len(groups) > 1 and (pair := _nearest_pair(groups)) is not None:
        (first, w1), (second, w2) = groups[pair[0]], groups[pair[1]]
        joined = ((first * w1 + second * w2) / (w1 + w2), w1 + w2)
        groups = [group for index, group in enumerate(groups) if index not in pair] + [joined]
    return sorted(groups, key=lambda group: -group[1])


def _nearest_pair(groups: list[tuple[NDArray[np.float64], float]]) -> tuple[int, int] | None:
    names = [name_of_lab(centre.astype(np.float32)) for centre, _ in groups]
    best: tuple[float, int, int] | None = None
    for i in range(len(groups)):
        for j in range(i):
            distance = float(np.linalg.norm((groups[i][0] - groups[j][0]) * _MERGE_SPACE))
            if names[i] == names[j]:
                distance = min(distance, 0.99 * _MERGE)
            if distance < _MERGE and (best is None or distance < best[0]):
                best = (distance, j, i)
    return None if best is None else best[1:]
