"""What a shop's own colour words are read from: how much of a garment's own pixels lies near each of many colours.

The palette's swatches and a coarse net over CIELAB; shares by their square root, so that a print's second colour is heard
beside the first. Then the mean, the deviation and the dark, middle and light pixels: a melange and a plain grey differ there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from processors.colours import MULTICOLOURED
from processors.garment_mask import GarmentPixels
from processors.lab import lab_of_hex
from processors.palette import PALETTE
from processors.values import Colour, Vector
from processors.weighed import CERTAINTY, LIGHT

VERSION = "1"
"""Raise it when the numbers change: heads that were fitted on others are refused."""
SOFTNESS = 10.0
"""Distance in CIELAB at which a colour has lost most of its say."""
SURE = 0.6
LEAST = 20
MOST = 256
"""Pixels that are looked at: more change no share by a hundredth."""
_LIGHTNESS = 0.7
_LEVELS = (10, 25, 40, 55, 70, 85, 97)
_RINGS = ((0.0, 1), (15.0, 6), (35.0, 10), (60.0, 12))
_QUANTILES = (0.15, 0.5, 0.85)


def colour_shares(found: GarmentPixels) -> Vector:
    """(n,) float32 of a garment's pixels; the same length for every garment."""
    lab, weights = _voters(found)
    anchors = _anchors()
    apart = (anchors**2).sum(1) - 2 * (lab * _SCALE) @ anchors.T  # less what is the same for every anchor
    powers = np.exp(-(apart - apart.min(1, keepdims=True)) / SOFTNESS**2)
    shares = np.sqrt(weights @ (powers / powers.sum(1, keepdims=True)))
    mean = weights @ lab
    deviation = np.sqrt(weights @ (lab - mean) ** 2)
    order = np.argsort(lab[:, 0], kind="stable")
    passed = np.cumsum(weights[order])
    places = np.minimum(np.searchsorted(passed, _QUANTILES), len(order) - 1)
    middle = np.median(lab, axis=0)
    chroma = [np.hypot(mean[1], mean[2]) / 30, np.hypot(middle[1], middle[2]) / 30]
    parts = [shares, mean / 50, deviation / 20, lab[order[places]].ravel() / 50, middle / 50, chroma]
    return np.concatenate(parts).astype(np.float32)


def palette_shares(shares: Vector) -> dict[str, float]:
    """How much of a garment is of each of the palette's names, most first; they sum to 1. `shares`: of `colour_shares`."""
    squares = np.asarray(shares[: len(_anchors())], np.float64) ** 2
    total = squares @ _named()
    order = np.argsort(-total, kind="stable")
    return {PALETTE[n][0]: float(total[n] / total.sum()) for n in order.tolist()}


def look_of(shares: Vector | None, colours: Sequence[Colour]) -> dict[str, float]:
    """What a garment's own pixels say, as far as they are known (`processors.weighed.LOOK`).

    Args:
        shares: of `colour_shares`; None: it has no pixels of its own.
        colours: as they were named, the first one leading.
    """
    found: dict[str, float] = {}
    if colours and colours[0].certainty is not None:
        found[CERTAINTY] = 0.0 if colours[0].name == MULTICOLOURED else colours[0].certainty
    if shares is not None:
        # Behind the shares stand mean and deviation, then the dark, the middle and the light pixel, three numbers each, in fiftieths.
        found[LIGHT] = float(shares[len(_anchors()) + 12]) / 2
    return found


@cache
def _named() -> NDArray[np.float64]:
    """(anchors, names): how much each anchor is of each name."""
    anchors = _anchors() / _SCALE
    swatches = np.stack([lab_of_hex(code) for _, code in PALETTE])
    apart = (((anchors[:, None] - swatches[None]) ** 2) * _SCALE**2).sum(2)
    powers = np.exp(-(apart - apart.min(1, keepdims=True)) / (2 * _NAMING**2))
    return np.asarray(powers / powers.sum(1, keepdims=True), np.float64)


_NAMING = 4.0
"""Distance in CIELAB within which a colour has two names."""
_SCALE = np.sqrt(np.array([_LIGHTNESS, 1.0, 1.0], np.float32))


def _voters(found: GarmentPixels) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(n, 3) colours and their (n,) weights, which sum to 1: pixels that are surely the garment's, or its best tenth."""
    weights = found.weights.ravel()
    sure = weights > SURE
    if np.count_nonzero(sure) < LEAST:
        sure = weights >= np.quantile(weights, 0.9)
    lab, kept = found.lab.reshape(-1, 3)[sure], np.maximum(weights[sure], 1e-6)
    step = -(-len(kept) // MOST)
    lab, kept = lab[::step], kept[::step]
    return lab.astype(np.float32), (kept / kept.sum()).astype(np.float32)


@cache
def _anchors() -> NDArray[np.float32]:
    """(anchors, 3), scaled as the pixels are."""
    net = [lab_of_hex(code) for _, code in PALETTE]
    for lightness in _LEVELS:
        for chroma, hues in _RINGS:
            angles = 2 * np.pi * np.arange(hues) / hues
            net += [np.array([lightness, chroma * np.cos(a), chroma * np.sin(a)]) for a in angles]
    return np.asarray(np.stack(net) * _SCALE, np.float32)
