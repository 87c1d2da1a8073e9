"""What a composer is trained by: query against target (L_CIR), target against its caption (L_CTR), and which are negatives."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor


def contrast(queries: Tensor, targets: Tensor, right: Tensor, ignored: Tensor, temperature: float) -> Tensor:
    """−log of the softmax at the right target, over the right one and all negatives; the mean over the queries.

    Args:
        queries: (n, d).
        targets: (m, d); whatever stands against the queries.
        right: (n,) places of the right targets.
        ignored: (n, m) bool: neither right nor negative. The right ones count whatever is said here.
        temperature: what similarities are divided by.
    """
    scores = queries @ targets.T / temperature
    rows = torch.arange(len(queries), device=queries.device)
    hidden = ignored.clone()
    hidden[rows, right] = False
    return F.cross_entropy(scores.masked_fill(hidden, float("-inf")), right)


@dataclass(frozen=True, slots=True)
class Beside:
    """Negatives beside the targets of the batch or the bank.

    Args:
        synthetic: (n, k, d): captions of each target with an attribute replaced; negatives of their own query alone.
        same: (n, k) bool: those in which there was nothing to replace.
        crossed: (n, d): queries of the batch's images with the batch's other words; None: there are none.
        crossed_ignored: (n, n) bool: targets (columns) that such a query (rows) may well mean.
    """

    synthetic: Tensor
    same: Tensor
    crossed: Tensor | None = None
    crossed_ignored: Tensor | None = None


def cir_in_batch(queries: Tensor, targets: Tensor, ignored: Tensor, temperature: float, beside: Beside) -> Tensor:
    """L_CIR of a batch, both ways: a query finds its target among all and the synthetic ones, a target its query among all and the crossed ones.

    Args:
        queries: (n, d).
        targets: (n, d), of the same order.
        ignored: (n, n): targets that may be right for a query, too.
        temperature: see `contrast`.
        beside: further negatives.
    """
    rows = torch.arange(len(queries), device=queries.device)
    hidden = ignored.clone()
    hidden[rows, rows] = False
    scores = (queries @ targets.T / temperature).masked_fill(hidden, float("-inf"))
    forth = F.cross_entropy(torch.cat([scores, _synthetic(queries, temperature, beside)], 1), rows)
    back = (targets @ queries.T / temperature).masked_fill(hidden.T, float("-inf"))
    if beside.crossed is not None and beside.crossed_ignored is not None:
        others = targets @ beside.crossed.T / temperature
        back = torch.cat([back, others.masked_fill(beside.crossed_ignored.T, float("-inf"))], 1)
    return (forth + F.cross_entropy(back, rows)) / 2


def cir_in_bank(
    queries: Tensor, bank: Tensor, right: Tensor, ignored: Tensor, temperature: float, beside: Beside
) -> Tensor:
    """L_CIR against a static bank of all targets (SPN4CIR, arXiv 2404.11317), with the synthetic negatives.

    Args:
        queries: (n, d).
        bank: (m, d): no gradient goes there.
        right: (n,) places in the bank.
        ignored: (n, m): what may be right, too, and the reference itself.
        temperature: see `contrast`.
        beside: further negatives; the crossed ones have no place here.
    """
    rows = torch.arange(len(queries), device=queries.device)
    hidden = ignored.clone()
    hidden[rows, right] = False
    scores = (queries @ bank.T / temperature).masked_fill(hidden, float("-inf"))
    return F.cross_entropy(torch.cat([scores, _synthetic(queries, temperature, beside)], 1), right)


def _synthetic(queries: Tensor, temperature: float, beside: Beside) -> Tensor:
    scores = torch.einsum("nd,nkd->nk", queries, beside.synthetic) / temperature
    return scores.masked_fill(beside.same, float("-inf"))


def ctr(targets: Tensor, captions: Tensor, ignored: Tensor, temperature: float) -> Tensor:
    """L_CTR: a target and its caption find each other in the batch; (n, d) each."""
    rows = torch.arange(len(targets), device=targets.device)
    forth = contrast(targets, captions, rows, ignored, temperature)
    return (forth + contrast(captions, targets, rows, ignored.T, temperature)) / 2
