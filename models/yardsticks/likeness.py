"""How alike two sets of pictures, or two pictures, are: Fréchet and kernel distances, structural similarity.

The distances are those of FID (Heusel et al. 2017) and KID (Bińkowski et al. 2018), over whatever vectors they are given. The published
figures are over Inception's features, which come from no package index; over another encoder's they are other numbers, so what is
measured here is named after the encoder, and is to be compared with itself only.
"""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from processors.values import Mask, Pixels

Vectors: TypeAlias = NDArray[np.float32]

KERNEL_SIDE, KERNEL_SIGMA = 11, 1.5
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def frechet(one: Vectors, other: Vectors) -> float:
    """Fréchet distance between the normal distributions of two sets, (n, d) and (m, d); n, m ≥ 2.

    |μ₁ - μ₂|² + tr C₁ + tr C₂ - 2 tr √(C₁C₂), where the last trace is the sum of the singular values of X₁X₂ᵀ / √((n-1)(m-1)) of the
    centred sets: exact, also where there are fewer pictures than dimensions.
    """
    a, b = one.astype(np.float64), other.astype(np.float64)
    apart = a.mean(axis=0) - b.mean(axis=0)
    a, b = (a - a.mean(axis=0)) / np.sqrt(len(a) - 1), (b - b.mean(axis=0)) / np.sqrt(len(b) - 1)
    shared = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return float(max(apart @ apart + (a**2).sum() + (b**2).sum() - 2 * shared, 0.0))


def kernel(one: Vectors, other: Vectors) -> float:
    """Unbiased squared maximum mean discrepancy of two sets with the kernel (x·y / d + 1)³; may be a little below 0."""
    a, b = one.astype(np.float64), other.astype(np.float64)
    within_a, within_b, between = ((x @ y.T / a.shape[1] + 1) ** 3 for x, y in ((a, a), (b, b), (a, b)))
    n, m = len(a), len(b)
    same = (within_a.sum() - np.trace(within_a)) / (n * (n - 1)) + (within_b.sum() - np.trace(within_b)) / (m * (m - 1))
    return float(same - 2 * between.mean())


def ssim(one: Pixels, other: Pixels, where: Mask) -> float:
    """Mean structural similarity (Wang et al. 2004; luminance, Gaussian windows) over the pixels `where`; all else is blackened in both
    pictures first. 1 where they are equal.
    """
    a, b = (
        np.where(where, np.asarray(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY)), 0).astype(np.float64) for p in (one, other)
    )
    if not where.any():
        return 1.0

    def mean(plane: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(cv2.GaussianBlur(plane, (KERNEL_SIDE, KERNEL_SIDE), KERNEL_SIGMA), np.float64)

    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    shared = mean(a * b) - mean_a * mean_b
    found = (2 * mean_a * mean_b + C1) * (2 * shared + C2) / ((mean_a**2 + mean_b**2 + C1) * (var_a + var_b + C2))
    return float(found[where].mean())


def greatest_difference(one: Pixels, other: Pixels, where: Mask) -> int:
    """The greatest difference of a channel (0..255) over the pixels `where`."""
    if not where.any():
        return 0
    return int(np.abs(one[where].astype(np.int16) - other[where].astype(np.int16)).max())


def feature_distance(one: Vectors, other: Vectors) -> float:
    """1 - cosine of two feature vectors, (d,) each: 0 of equal pictures, at most 2."""
    length = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(1 - one.astype(np.float64) @ other.astype(np.float64) / length) if length else 1.0
