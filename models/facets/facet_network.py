"""A small network for the facets of a shop: one hidden layer that all its heads share, on features that are computed anyway.

What garments have in common (cloth, cut, how photos are lit) is learnt of all facets' labels together; a linear head has to find it in the
labels of its own facet. Two networks of other seeds are one layer of twice the width: their scores are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

HIDDEN = 128
NETWORKS = 2
BATCH = 128
EPOCHS, SHOWN = 25, 150_000
"""Rounds over the products, and how many products are shown at most (four rounds at least)."""
RATE, DECAY = 1e-3, 0.1
DROPPED, DROPPED_INSIDE = 0.5, 0.3
SMOOTHING = 0.05
COLOURS = 2.0
"""How much larger colour shares come in than features: they are one number in twenty-four."""


@dataclass(frozen=True, slots=True)
class Network:
    """`weight` (hidden, numbers + colours), `bias` (hidden,), `shares` (colours,): the layer, on numbers as they come; `heads`: for each
    facet (weight (values, hidden), bias (values,)).
    """

    weight: Floats
    bias: Floats
    shares: Floats
    heads: tuple[tuple[Floats, Floats], ...]

    def scores(self, features: Floats, shares: Floats) -> list[Floats]:
        """(n, values) of each facet."""
        sums = np.concatenate([features, shares], 1) @ self.weight.T + self.bias
        hidden = (sums / (1 + np.exp(-np.clip(sums, -60, 60)))).astype(np.float32)
        return [hidden @ weight.T + bias for weight, bias in self.heads]


def learn(features: Floats, shares: Floats, truths: Sequence[Ints], sizes: Sequence[int]) -> Network:
    """Fit it on the products that have a label of any facet.

    Args:
        features: (n, numbers).
        shares: (n, colours).
        truths: for each facet (n,): the value, −1 where it is not learnt from.
        sizes: how many values each facet has.
    """
    import torch

    used = np.flatnonzero(np.any([truth >= 0 for truth in truths], axis=0))
    x = np.concatenate([features[used], shares[used]], 1)
    mean, spread = x.mean(0), x.std(0) + 1e-3
    spread[features.shape[1] :] /= COLOURS
    shown = torch.from_numpy(((x - mean) / spread).astype(np.float32))
    wanted = [torch.from_numpy(truth[used]) for truth in truths]
    made = [_trained(shown, wanted, sizes, seed) for seed in range(NETWORKS)]
    weight = np.concatenate([one[0].weight.detach().numpy() for one in made]) / spread
    bias = np.concatenate([one[0].bias.detach().numpy() for one in made]) - weight @ mean
    out = np.concatenate([one[1].weight.detach().numpy() for one in made], 1) / NETWORKS
    offset = np.sum([one[1].bias.detach().numpy() for one in made], 0) / NETWORKS
    places = np.cumsum([0, *sizes])
    heads = tuple((np.asarray(out[a:b], np.float32), np.asarray(offset[a:b], np.float32)) for a, b in pairwise(places))
    usual = np.asarray(mean[features.shape[1] :], np.float32)
    return Network(np.asarray(weight, np.float32), np.asarray(bias, np.float32), usual, heads)


def _trained(
    shown: torch.Tensor, wanted: Sequence[torch.Tensor], sizes: Sequence[int], seed: int
) -> tuple[torch.nn.Linear, torch.nn.Linear]:
    """The two layers, without what drops numbers while learning."""
    import torch
    from torch.nn import functional

    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    first, last = torch.nn.Linear(shown.shape[1], HIDDEN), torch.nn.Linear(HIDDEN, sum(sizes))
    count = len(shown)
    epochs = max(4, min(EPOCHS, SHOWN // count))
    steps = epochs * -(-count // BATCH)
    optimiser = torch.optim.AdamW([*first.parameters(), *last.parameters()], lr=RATE, weight_decay=DECAY)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=0.15)
    for _ in range(epochs):
        order = torch.randperm(count, generator=generator)
        for rows in order.split(BATCH):  # type: ignore[no-untyped-call]
            optimiser.zero_grad()
            hidden = functional.silu(first(functional.dropout(shown[rows], DROPPED)))
            scores = torch.split(last(functional.dropout(hidden, DROPPED_INSIDE)), list(sizes), 1)
            loss = torch.zeros(())
            for found, truth in zip(scores, wanted, strict=True):
                known = truth[rows] >= 0
                if known.any():
                    missed = functional.cross_entropy(found[known], truth[rows][known], label_smoothing=SMOOTHING)
                    loss = loss + missed * known.float().mean()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            rate.step()
    return first, last
