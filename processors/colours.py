"""The dominant colours of a garment's own pixels, with the names of `processors.palette`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from processors.garment_mask import CutOut, GarmentPixels, SeenMask, garment_pixels
from processors.lab import CELLS, Cells, Lab, cells_of, ciede2000, hex_of, lab_of_hex, to_lab
from processors.palette import COMMON, FAMILY, FURTHER, PALETTE, WEIGHT
from processors.values import Box, Colour, Mask, Pixels

SURE = 0.6
"""Pixels that are the garment's with less than this probability do not vote."""
MIN_SHARE = 0.12
"""A colour on less of the garment is a shadow, a seam or a print's detail."""
MOST = 2
LEADS, SEVERAL, PART = 0.3, 4, 0.1
"""A garment is multicoloured when no colour has `LEADS` of it and `SEVERAL` have `PART` each."""
MULTICOLOURED = "multicoloured"
_BORDER = 4.0
"""Difference in naming distance (CIEDE2000) at which the farther of two names has lost most of its say about a colour."""
_TRACE = 0.002
"""A cell of colour with less than this share of the garment is noise."""
# Folds and shadow change lightness, and cloth does not: two families that differ by little else are shades of one colour.
_SHADE_SPACE = np.array([0.5, 1.0, 1.0])
_SHADE = 14.0
# Naming: see `names_of_labs`.
_LIGHTNESS = 1.4
_TINT, _TINT_WEIGHT = 4.0, 1.0


class Group(NamedTuple):
    """Pixels of one family: their mean (3,), their share of the garment, its weight in naming, and the commonest name.

    `certainty`: the share again, where a pixel on the border of two names counts for both.
    """

    centre: NDArray[np.float64]
    share: float
    weight: float
    name: str
    certainty: float


def name_of(rgb: tuple[int, int, int]) -> str:
    """The palette's name of one sRGB colour (0..255 each)."""
    return names_of_labs(to_lab(np.array([[rgb]], dtype=np.uint8))[0])[0]


def names_of_labs(labs: Lab) -> list[str]:
    """The palette's names nearest to CIELAB colours (n, 3).

    Distance is CIEDE2000 with kL 1.4, less what `palette.COMMON` gives to everyday names. A neutral name (black …
    white) is pushed away from tinted colours, by each unit of chroma above 4: people call a washed-out blue "blue" long
    after it is nearer to grey.
    """
    return [_palette().names[number] for number in _apart(labs).argmin(axis=1)]


def _apart(labs: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """(n, swatches): how far each swatch is from CIELAB colours (n, 3), as `names_of_labs` says."""
    known = _palette()
    distance = ciede2000(known.colours, labs[:, None], lightness=_LIGHTNESS) - known.common
    tint = np.maximum(0.0, np.hypot(labs[:, 1], labs[:, 2]) - _TINT)
    return np.asarray(distance + known.neutral * (_TINT_WEIGHT * tint)[:, None])


def dominant_colours(
    pixels: Pixels,
    box: Box,
    category: str = "",
    others: Sequence[Box] = (),
    mask: SeenMask = None,
    cut_out: CutOut | None = None,
) -> tuple[Colour, ...]:
    """The one or two dominant colours of the garment in `box`, the larger first.

    Args:
        pixels: the photo, RGB.
        box: the garment's box in pixels of `pixels`.
        category: its class, which tells where in the box the garment usually is.
        others: boxes of the other garments in the photo.
        mask: as a detector that segments saw it.
        cut_out: see `processors.garment_mask.garment_pixels`.

    Returns:
        Colours of different names; `share` is of the garment's pixels. Empty when the box holds no pixels.
    """
    found = garment_pixels(pixels, box, category, others, mask, cut_out)
    return () if found is None else colours_of_pixels(found)


def colours_of_pixels(found: GarmentPixels) -> tuple[Colour, ...]:
    """The same of a garment that was cut out."""
    return _named(*_voters(found))


def colours_of_mask(pixels: Pixels, mask: Mask) -> tuple[Colour, ...]:
    """The same, when the garment's pixels are known; `mask` has the photo's height and width."""
    lab = to_lab(pixels)[mask]
    if not len(lab):
        return ()
    lab = lab[:: max(1, len(lab) // 4096)]
    return _named(lab, cells_of(lab), np.ones(len(lab)))


class _Palette(NamedTuple):
    """Names and swatches (n, 3); which are neutral (0 or 1), what common use gives them; number and weight of their families."""

    names: tuple[str, ...]
    colours: Lab
    neutral: NDArray[np.float64]
    common: NDArray[np.float64]
    family: NDArray[np.int64]
    weight: NDArray[np.float64]


@cache
def _palette() -> _Palette:
    swatches = (*PALETTE, *FURTHER)
    names = tuple(name for name, _ in swatches)
    colours = np.stack([lab_of_hex(code) for _, code in swatches])
    families = sorted(set(FAMILY.values()))
    return _Palette(
        names,
        colours,
        (np.hypot(colours[:, 1], colours[:, 2]) < 5).astype(np.float64),
        np.array([COMMON.get(name, 0.0) for name in names]),
        np.array([families.index(FAMILY[name]) for name in names]),
        np.array([WEIGHT.get(FAMILY[name], 1.0) for name in names]),
    )


def _voters(found: GarmentPixels) -> tuple[Lab, Cells, NDArray[np.float64]]:
    """(n, 3) colours, their (n,) cells and weights: pixels that are surely the garment's, or its best tenth."""
    weights = found.weights.ravel()
    sure = weights > SURE
    if np.count_nonzero(sure) < 20:
        sure = weights >= np.quantile(weights, 0.9)
    # A floor keeps the sum positive when nothing at all looks like the garment.
    return found.lab.reshape(-1, 3)[sure], found.cells.ravel()[sure], np.maximum(weights[sure], 1e-6)


def _named(lab: Lab, cells: Cells, weights: NDArray[np.float64]) -> tuple[Colour, ...]:
    first, *rest = _groups(*_histogram(lab, cells, weights))
    shades = sum(group.share for group in rest if _are_shades(first, group))
    others = sorted((group for group in rest if not _are_shades(first, group)), key=lambda group: -group.share)
    if first.share + shades < LEADS and _distinct((first, *others)) >= SEVERAL:
        return (Colour(MULTICOLOURED, _code(first), 1.0, 1.0),)
    further = others[0] if others else None
    shown = [first._replace(share=first.share + shades)]
    if further is not None and further.share >= MIN_SHARE:
        shown.append(further)
    return tuple(
        Colour(name=group.name, hex=_code(group), share=round(group.share, 3), certainty=round(group.certainty, 3))
        for group in shown[:MOST]
    )


def _distinct(groups: Sequence[Group]) -> int:
    """How many of the groups have `PART` of the garment and are no shades of another that has."""
    found: list[Group] = []
    for group in groups:
        if group.share >= PART and not any(_are_shades(group, other) for other in found):
            found.append(group)
    return len(found)


def _code(group: Group) -> str:
    return hex_of(group.centre.astype(np.float32))


def _are_shades(one: Group, other: Group) -> bool:
    return float(np.linalg.norm((one.centre - other.centre) * _SHADE_SPACE)) < _SHADE


def _groups(colours: NDArray[np.float64], heavy: NDArray[np.float64]) -> list[Group]:
    """The families of weighted colours (n, 3), the one that names the garment first."""
    share = heavy / heavy.sum()
    kept = share > min(_TRACE, float(share.max()) / 2)
    colours, share = colours[kept], share[kept] / share[kept].sum()
    known = _palette()
    apart = _apart(colours)
    numbers = apart.argmin(axis=1)
    families = known.family[numbers]
    said = np.exp((apart.min(axis=1, keepdims=True) - apart) / _BORDER)
    votes = share @ (said / said.sum(axis=1, keepdims=True))
    certain = np.bincount(known.family, votes)
    groups = []
    for family in np.unique(families):
        mine = families == family
        total = float(share[mine].sum())
        centre = (share[mine] @ colours[mine]) / total
        name = known.names[int(np.where(known.family == family, votes, 0).argmax())]
        sure = float(certain[family])
        groups.append(Group(centre, total, sure * float(known.weight[numbers[mine][0]]), name, sure))
    return sorted(groups, key=lambda group: -group.weight)


def _histogram(lab: Lab, cells: Cells, weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean colours (cells in use, 3) and weights: a hundred points instead of thousands, so that clustering is cheap."""
    heavy = np.asarray(np.bincount(cells, weights, CELLS), dtype=np.float64)
    used = np.flatnonzero(heavy)
    sums = [np.bincount(cells, weights * lab[:, channel], CELLS)[used] for channel in range(3)]
    return np.stack(sums, axis=1) / heavy[used, None], heavy[used]
