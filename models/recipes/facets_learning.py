"""Fit heads, linear ones and a network, on labels that allow some values and exclude the others.

Multinomial regression by L-BFGS on standardised features, all facets at once; the loss of a row is −log of the probability of what its
label allows. Drawn pictures are standardised by their own mean and spread within a category, so that a head learns what a drawn sleeve
has that another drawn sleeve has not, and nothing of how drawings look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from models.facets.facet_network import How, learn

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Rows:
    """What is learnt from.

    Args:
        features: (n, numbers).
        allowed: facet → (n, values): what the label of a row allows; all True where it says nothing.
        weights: (n,) how much a row counts.
    """

    features: Floats
    allowed: Mapping[str, Bools]
    weights: Floats


@dataclass(frozen=True, slots=True)
class Layered:
    """A layer, `weight` (hidden, numbers) and `bias` (hidden,), and for each facet (weight (values, hidden), bias (values,)) on it."""

    weight: Floats
    bias: Floats
    heads: Mapping[str, tuple[Floats, Floats]]

    def hidden(self, features: Floats) -> Floats:
        """(n, hidden) of features (n, numbers)."""
        sums = features @ self.weight.T + self.bias
        return np.asarray(sums / (1 + np.exp(-np.clip(sums, -60, 60))), np.float32)


def regress(
    rows: Rows, *, penalty: Mapping[str, float], rounds: int, evened: float
) -> dict[str, tuple[Floats, Floats]]:
    """Facet → (weight (values, numbers), bias (values,)) on the features as they are.

    Args:
        rows: what is learnt from.
        penalty: facet → of squared weights.
        rounds: of L-BFGS.
        evened: 0 counts every row alike, 1 every label.
    """
    import torch

    torch.manual_seed(0)
    facets = list(rows.allowed)
    mean = rows.features.mean(0)
    spread = ((rows.features.std(0) + 1e-3) * np.sqrt(rows.features.shape[1])).astype(np.float32)
    x = torch.from_numpy((rows.features - mean) / spread)
    sizes = [rows.allowed[facet].shape[1] for facet in facets]
    told = [torch.from_numpy(~rows.allowed[facet].all(1)) for facet in facets]
    barred = [torch.from_numpy(np.where(rows.allowed[facet], 0.0, -1e9).astype(np.float32)) for facet in facets]
    shares = [torch.from_numpy(_evened(rows.allowed[facet], evened)) for facet in facets]
    counts = [torch.from_numpy(rows.weights) * share * some for share, some in zip(shares, told, strict=True)]
    counts = [count / count.sum().clamp(min=1e-9) for count in counts]
    pulls = [penalty[facet] / max(1, int(some.sum())) for facet, some in zip(facets, told, strict=True)]
    weight = torch.zeros(x.shape[1], sum(sizes), requires_grad=True)
    bias = torch.zeros(sum(sizes), requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], lr=1, max_iter=rounds, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        total = torch.zeros(())
        for scores, bar, count, pull, part in zip(
            torch.split(x @ weight + bias, sizes, 1), barred, counts, pulls, torch.split(weight, sizes, 1), strict=True
        ):
            wrong = torch.logsumexp(scores, 1) - torch.logsumexp(scores + bar, 1)
            total = total + (wrong * count).sum() + pull * part.pow(2).sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    weights = (weight.detach().numpy() / spread[:, None]).T
    biases = bias.detach().numpy() - weights @ mean
    places = np.cumsum([0, *sizes])
    return {
        facet: (np.ascontiguousarray(weights[a:b]), biases[a:b].astype(np.float32))
        for facet, (a, b) in zip(facets, pairwise(places), strict=True)
    }


def counts_of(rows: Rows, facet: str, evened: float) -> Floats:
    """(n,): how much a row counts for a facet; 0 where its label says nothing of it, 1 on average over all rows."""
    allowed = rows.allowed[facet]
    found = rows.weights * _evened(allowed, evened) * ~allowed.all(1)
    return np.asarray(found / max(float(found.sum()), 1e-9) * len(found), np.float32)


def layered(rows: Rows, facets: Sequence[str], *, how: How, evened: float) -> Layered:
    """One network for some facets; `evened` as for `regress`."""
    allowed = [rows.allowed[facet] for facet in facets]
    made = learn(rows.features, allowed, [counts_of(rows, facet, evened) for facet in facets], how)
    return Layered(made.weight, made.bias, dict(zip(facets, made.heads, strict=True)))


def _evened(allowed: Bools, power: float) -> Floats:
    """(n,): less for what many rows say."""
    _, which, counts = np.unique(np.packbits(allowed, axis=1), axis=0, return_inverse=True, return_counts=True)
    return np.asarray(counts[which.ravel()].astype(np.float64) ** -power, np.float32)


def allowed_of(labels: Sequence[Mapping[str, Sequence[str]]], values: Mapping[str, Sequence[str]]) -> dict[str, Bools]:
    """Facet → (n, values). A label without any value of ours says nothing."""
    found = {}
    for facet, names in values.items():
        number = {name: n for n, name in enumerate(names)}
        allowed = np.ones((len(labels), len(names)), np.bool_)
        for row, label in enumerate(labels):
            known = [number[name] for name in label.get(facet, ()) if name in number]
            if known:
                allowed[row] = False
                allowed[row, known] = True
        found[facet] = allowed
    return found


def aligned(features: Floats, groups: Sequence[str], like: Floats, like_groups: Sequence[str]) -> Floats:
    """The features with, in each group, mean and spread of the rows of `like` in the same group; of a group that is not there, of all."""
    moved = features.copy()
    mine, theirs = np.array(groups), np.array(like_groups)
    everything = (like.mean(0), like.std(0) + 1e-3)
    for group in np.unique(mine):
        rows = mine == group
        others = theirs == group
        mean, spread = (like[others].mean(0), like[others].std(0) + 1e-3) if others.sum() > 100 else everything
        own_mean, own_spread = features[rows].mean(0), features[rows].std(0) + 1e-3
        moved[rows] = (features[rows] - own_mean) / own_spread * np.minimum(spread, 3 * own_spread) + mean
    return moved
