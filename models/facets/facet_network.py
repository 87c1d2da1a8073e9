"""A small network for facets: one hidden layer that all its heads share, on features that are computed anyway.

What garments have in common (cloth, cut, how photos are lit) is learnt of all facets' labels together; a linear head has to find it in the
labels of its own facet. Several networks of other seeds are one wider layer: their scores are averaged.
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
    from torch import Tensor

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

DROPPED_INSIDE = 0.3


@dataclass(frozen=True, slots=True)
class How:
    """How it is learnt.

    Args:
        hidden: width of the layer of each network.
        networks: how many, of other seeds.
        epochs: rounds over the rows; fewer where more than `shown` rows would be shown in all, but four.
        shown: see there.
        batch: rows of a step.
        rate: of AdamW, at its highest (one cycle).
        decay: of its weights.
        dropped: share of the inputs that are left out of a step.
        smoothing: of the labels.
    """

    hidden: int = 128
    networks: int = 2
    epochs: int = 25
    shown: int = 150_000
    batch: int = 128
    rate: float = 1e-3
    decay: float = 0.1
    dropped: float = 0.5
    smoothing: float = 0.05


@dataclass(frozen=True, slots=True)
class Network:
    """`weight` (hidden, inputs), `bias` (hidden,): the layer, on inputs as they come; `mean` (inputs,): of the rows that taught it; `heads`:
    for each facet (weight (values, hidden), bias (values,)).
    """

    weight: Floats
    bias: Floats
    mean: Floats
    heads: tuple[tuple[Floats, Floats], ...]

    def scores(self, inputs: Floats) -> list[Floats]:
        """(n, values) of each facet."""
        sums = inputs @ self.weight.T + self.bias
        hidden = (sums / (1 + np.exp(-np.clip(sums, -60, 60)))).astype(np.float32)
        return [hidden @ weight.T + bias for weight, bias in self.heads]


def learn(
    inputs: Floats, allowed: Sequence[Bools], counts: Sequence[Floats], how: How, scale: Floats | float = 1.0
) -> Network:
    """Fit it. The loss of a row is −log of the probability of what its label allows.

    Args:
        inputs: (n, numbers).
        allowed: for each facet (n, values): what the label of a row allows.
        counts: for each facet (n,): how much a row counts; 0 where it says nothing.
        how: see `How`.
        scale: (numbers,): how much larger an input comes in than the others.
    """
    import torch

    used = np.flatnonzero(np.any([count > 0 for count in counts], axis=0))
    mean, spread = inputs[used].mean(0), (inputs[used].std(0) + 1e-3) / scale
    x = torch.from_numpy(((inputs[used] - mean) / spread).astype(np.float32))
    barred = [torch.from_numpy(np.where(one[used], 0.0, -1e9).astype(np.float32)) for one in allowed]
    weights = [torch.from_numpy(np.asarray(one[used], np.float32)) for one in counts]
    sizes = [one.shape[1] for one in allowed]
    made = [_trained(x, barred, weights, how, seed) for seed in range(how.networks)]
    weight = np.concatenate([first.weight.detach().numpy() for first, _ in made]) / spread
    bias = np.concatenate([first.bias.detach().numpy() for first, _ in made]) - weight @ mean
    out = np.concatenate([last.weight.detach().numpy() for _, last in made], 1) / how.networks
    offset = np.sum([last.bias.detach().numpy() for _, last in made], 0) / how.networks
    places = np.cumsum([0, *sizes])
    heads = tuple((np.asarray(out[a:b], np.float32), np.asarray(offset[a:b], np.float32)) for a, b in pairwise(places))
    return Network(np.asarray(weight, np.float32), np.asarray(bias, np.float32), np.asarray(mean, np.float32), heads)


def _trained(
    x: Tensor, barred: Sequence[Tensor], counts: Sequence[Tensor], how: How, seed: int
) -> tuple[torch.nn.Linear, torch.nn.Linear]:
    """The two layers, without what drops numbers while learning."""
    import torch
    from torch.nn.functional import dropout, silu

    torch.manual_seed(seed)
    sizes = [bar.shape[1] for bar in barred]
    first, last = torch.nn.Linear(x.shape[1], how.hidden), torch.nn.Linear(how.hidden, sum(sizes))
    epochs = max(4, min(how.epochs, how.shown // len(x)))
    optimiser = torch.optim.AdamW([*first.parameters(), *last.parameters()], lr=how.rate, weight_decay=how.decay)
    steps = epochs * -(-len(x) // how.batch)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, how.rate, total_steps=steps, pct_start=0.15)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(how.batch):  # type: ignore[no-untyped-call]
            optimiser.zero_grad()
            hidden = silu(first(dropout(x[rows], how.dropped)))
            scores = torch.split(last(dropout(hidden, DROPPED_INSIDE)), sizes, 1)
            loss = torch.zeros(())
            for found, bar, count in zip(scores, barred, counts, strict=True):
                all_of = torch.logsumexp(found, 1)
                missed = all_of - torch.logsumexp(found + bar[rows], 1)
                evenly = all_of - found.mean(1)
                loss = loss + (((1 - how.smoothing) * missed + how.smoothing * evenly) * count[rows]).mean()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            rate.step()
    return first, last
