"""The dominant colours of a garment's own pixels, with the names of `processors.palette`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from processors.garment_mask import GarmentPixels, garment_pixels
from processors.lab import CELLS, Cells, Lab, cells_of, ciede2000, hex_of, lab_of_hex, to_lab
from processors.palette import COMMON, PALETTE
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
_ROUNDS = 8
# Naming: see `names_of_labs`.
_LIGHTNESS = 1.4
_TINT, _TINT_WEIGHT = 4.0, 1.0


class Group(NamedTuple):
    """Pixels of one colour: their mean (3,), their share of the garment, and the palette's name of the mean."""

    centre: NDArray[np.float64]
    share: float
    name: str


def name_of(rgb: tuple[int, int, int]) -> str:
    """The palette's name of one sRGB colour (0..255 each)."""
    return names_of_labs(to_lab(np.array([[rgb]], dtype=np.uint8))[0])[0]


def names_of_labs(labs: Lab) -> list[str]:
    """The palette's names nearest to CIELAB colours (n, 3).

    Distance is CIEDE2000 with kL 1.4, less what `palette.COMMON` gives to everyday names. A neutral name (black …
    white) is pushed away from tinted colours, by each unit of chroma above 4: people call a washed-out blue "blue" long
    after it is nearer to grey.
    """
    names, colours, neutral, common = _palette()
    distance = ciede2000(colours, labs[:, None], lightness=_LIGHTNESS) - common
    tint = np.maximum(0.0, np.hypot(labs[:, 1], labs[:, 2]) - _TINT)
    return [names[nearest] for nearest in (distance + neutral * (_TINT_WEIGHT * tint)[:, None]).argmin(axis=1)]


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
    lab = to_lab(pixels)[mask]
    if not len(lab):
        return ()
    lab = lab[:: max(1, len(lab) // 4096)]
    return _named(lab, cells_of(lab), np.ones(len(lab)))


@cache
def _palette() -> tuple[tuple[str, ...], Lab, NDArray[np.float64], NDArray[np.float64]]:
    """Names, their swatches (n, 3), which of them are neutral (0 or 1), and what common use gives them."""
    names = tuple(name for name, _ in PALETTE)
    colours = np.stack([lab_of_hex(code) for _, code in PALETTE])
    neutral = (np.hypot(colours[:, 1], colours[:, 2]) < 5).astype(np.float64)
    return names, colours, neutral, np.array([COMMON.get(name, 0.0) for name in names])


def _voters(found: GarmentPixels) -> tuple[Lab, Cells, NDArray[np.float64]]:
    """(n, 3) colours, their (n,) cells and weights: pixels that are surely the garment's, or its best tenth."""
    weights = found.weights.ravel()
    sure = weights > SURE
    if np.count_nonzero(sure) < 20:
        sure = weights >= np.quantile(weights, 0.9)
    # A floor keeps the sum positive when nothing at all looks like the garment.
    return found.lab.reshape(-1, 3)[sure], found.cells.ravel()[sure], np.maximum(weights[sure], 1e-6)


def _named(lab: Lab, cells: Cells, weights: NDArray[np.float64]) -> tuple[Colour, ...]:
    groups = _merged(*_k_means(*_histogram(lab, cells, weights)))
    shown = [group for index, group in enumerate(groups) if index == 0 or group.share >= MIN_SHARE]
    codes = [hex_of(group.centre.astype(np.float32)) for group in shown]
    # Named from the rounded hex, so that a reader who names the swatch gets the same name.
    names = names_of_labs(np.stack([lab_of_hex(code) for code in codes]))
    found: dict[str, Colour] = {}
    for name, code, group in zip(names, codes, shown, strict=True):
        found.setdefault(name, Colour(name=name, hex=code, share=round(group.share, 3)))
    return tuple(found.values())[:MOST]


def _histogram(lab: Lab, cells: Cells, weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean colours (cells in use, 3) and weights: a hundred points instead of thousands, so that clustering is cheap."""
    heavy = np.asarray(np.bincount(cells, weights, CELLS), dtype=np.float64)
    used = np.flatnonzero(heavy)
    sums = [np.bincount(cells, weights * lab[:, channel], CELLS)[used] for channel in range(3)]
    return np.stack(sums, axis=1) / heavy[used, None], heavy[used]


def _k_means(
    colours: NDArray[np.float64], heavy: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres (k, 3) and shares (k,) of weighted colours. Deterministic: it starts from heavy, far-apart colours."""
    points = colours * _SPACE
    centres = points[_first_centres(points, heavy)]
    share = np.ones(len(centres))
    last = np.full(len(points), -1)
    for _ in range(_ROUNDS):
        # |p − c|² without |p|², which is the same for every centre.
        nearest = ((centres**2).sum(axis=1)[:, None] - 2 * centres @ points.T).argmin(axis=0)
        if np.array_equal(nearest, last):
            break
        last = nearest
        mine = (nearest == np.arange(len(centres))[:, None]) * heavy
        share = mine.sum(axis=1)
        centres = np.where(share[:, None] > 0, (mine @ points) / np.maximum(share, 1e-12)[:, None], centres)
    kept = share > 0
    return centres[kept] / _SPACE, np.asarray(share[kept] / share.sum(), dtype=np.float64)


def _first_centres(points: NDArray[np.float64], heavy: NDArray[np.float64]) -> list[int]:
    chosen = [int(heavy.argmax())]
    away = ((points - points[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < min(CLUSTERS, len(points)):
        # The cap keeps one odd far pixel from being worth more than a real second colour.
        following = int((heavy * np.minimum(away, 1600)).argmax())
        if away[following] < 1:
            break
        chosen.append(following)
        away = np.minimum(away, ((points - points[following]) ** 2).sum(axis=1))
    return chosen


def _merged(centres: NDArray[np.float64], shares: NDArray[np.float64]) -> list[Group]:
    """Join clusters of one name and clusters that differ by shade only; the largest group first."""
    names = names_of_labs(centres.astype(np.float32))
    groups = [Group(centre, float(share), name) for centre, share, name in zip(centres, shares, names, strict=True)]
    while len(groups) > 1 and (pair := _nearest_pair(groups)) is not None:
        larger, smaller = sorted(pair, key=lambda group: -group.share)
        share = larger.share + smaller.share
        centre = (larger.centre * larger.share + smaller.centre * smaller.share) / share
        groups = [group for group in groups if group is not pair[0] and group is not pair[1]] + [
            Group(centre, share, larger.name)
        ]
    return sorted(groups, key=lambda group: -group.share)


def _nearest_pair(groups: list[Group]) -> tuple[Group, Group] | None:
    pairs = [(_apart(one, other), one, other) for one, other in combinations(groups, 2)]
    distance, one, other = min(pairs, key=lambda pair: pair[0])
    return (one, other) if distance < _MERGE else None


def _apart(one: Group, other: Group) -> float:
    distance = float(np.linalg.norm((one.centre - other.centre) * _MERGE_SPACE))
    return min(distance, 0.99 * _MERGE) if one.name == other.name else distance
