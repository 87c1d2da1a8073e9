"""What a composer is worth on held-out triplets: recall among all held-out pictures, beside what needs no training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.recipes.composer_gather import Pictures
from models.recipes.composer_triplets import Triplets, numbered

Compose = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""(image, text, caption, known) → queries."""
DEPTHS = (1, 10, 50)


def recalls(
    pictures: Pictures, triplets: Triplets, texts: NDArray[np.float32], compose: Compose
) -> dict[str, dict[str, float]]:
    """Method → figure ("R@1", "R@10", "R@50", and "R@10 colour" … by the facet that changes) → share.

    Right are the pictures of the reference's series with the target's facets; the reference is left out. Captions are those of the
    reference as the shop knows it, none wrong.

    Args:
        pictures: with a held-out side.
        triplets: of that side.
        texts: the vectors of `triplets.texts`.
        compose: the composer.
    """
    rows = np.flatnonzero(pictures.held_out)
    place = np.full(len(pictures.facets), -1, np.int64)
    place[rows] = np.arange(len(rows))
    gallery = torch.from_numpy(pictures.vectors[rows])
    images = torch.from_numpy(pictures.vectors[triplets.reference])
    vectors = torch.from_numpy(texts)
    words, caption, told = vectors[triplets.words], vectors[triplets.caption], vectors[triplets.told]
    known = torch.ones(len(words), dtype=torch.bool)
    right, facet = _right(pictures, triplets, rows), _changed(pictures, triplets)
    methods = {
        "image": images,
        "words": words,
        "sum": images + words,
        "direction": images + told - caption,
        "composer": compose(images, words, caption, known),
        "composer without captions": compose(images, words, caption, ~known),
    }
    found = {}
    for name, queries in methods.items():
        scores = queries @ gallery.T
        scores[torch.arange(len(queries)), torch.from_numpy(place[triplets.reference])] = -9.0
        found[name] = _shares(scores.numpy(), right, facet)
    return found


def _right(pictures: Pictures, triplets: Triplets, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    numbers = numbered(pictures.facets)
    alike = (numbers[triplets.target][:, None] == numbers[rows][None]).all(2)
    return np.asarray(alike & (pictures.series[triplets.target][:, None] == pictures.series[rows][None]))


def _changed(pictures: Pictures, triplets: Triplets) -> list[str]:
    """The facet of each triplet, where only one changes; else ""."""
    found = []
    for one, other in zip(triplets.reference, triplets.target, strict=True):
        before, after = pictures.facets[int(one)], pictures.facets[int(other)]
        changed = [facet for facet in after if before.get(facet) != after[facet]]
        found.append(changed[0] if len(changed) == 1 else "")
    return found


def _shares(scores: NDArray[np.float32], right: NDArray[np.bool_], facet: list[str]) -> dict[str, float]:
    best = np.where(right, scores, -9.0).max(1)
    ranks = (scores > best[:, None]).sum(1)
    found = {f"R@{depth}": round(float((ranks < depth).mean()), 4) for depth in DEPTHS}
    for name in sorted(set(facet) - {""}):
        of = np.array([one == name for one in facet])
        found[f"R@10 {name}"] = round(float((ranks[of] < DEPTHS[1]).mean()), 4)
    return found
