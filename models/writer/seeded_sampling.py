"""Sampling that belongs to a row and not to its batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_M1, _M2, _STEP = -4658895280553007687, -7723592293110705685, -7046029254386353131
"""The constants of splitmix64 as signed 64-bit integers."""


TOP_K, TOP_P = 40, 0.95


class Sampler:
    """Temperature, top-k, top-p, then Gumbel noise; the argmax is the sample.

    The noise of a token is a hash of (the row's seed, the position in the answer, the token), so a request draws the same
    numbers whatever batch it is in.

    Args:
        temperature: 0 takes the likeliest token each time (greedy).
        top_k, top_p: the candidates: at most k, and of those the likeliest that together reach p.
    """

    VERSION = "gumbel-splitmix64-1"

    def __init__(self, temperature: float, *, top_k: int = TOP_K, top_p: float = TOP_P) -> None:
        self._temperature = temperature
        self._top_k = top_k
        self._top_p = top_p

    def draw(self, scores: Tensor, seeds: Sequence[int], positions: Sequence[int]) -> Tensor:
        """The next token of each row: scores (rows, vocabulary), a seed and a position in the answer each → (rows,)."""
        if self._temperature <= 0:
            return scores.argmax(-1)
        noisy, tokens = self.candidates(scores, seeds, positions)
        return tokens.gather(-1, noisy.argmax(-1, keepdim=True))[:, 0]

    def candidates(self, scores: Tensor, seeds: Sequence[int], positions: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Noisy values and their tokens, (rows, k) each; minus infinity for those that top-p cuts."""
        import torch

        values, tokens = torch.topk(scores.float(), min(self._top_k, scores.shape[-1]), dim=-1)
        values = values / self._temperature
        shares = torch.softmax(values, dim=-1)
        # A candidate goes when those before it already reach p; the first always stays.
        values = values.masked_fill(shares.cumsum(-1) - shares >= self._top_p, float("-inf"))
        return values + gumbel(seeds, positions, tokens), tokens


class SeededSampling:
    """`Sampler` as a logits processor of `transformers`.

    Args:
        seeds: one a row.
        prompt_length: tokens before the answer, padding included.
        temperature, top_k, top_p: as there; temperature 0 leaves the logits alone.
    """

    VERSION = Sampler.VERSION

    def __init__(
        self,
        seeds: Sequence[int],
        *,
        prompt_length: int,
        temperature: float,
        top_k: int = TOP_K,
        top_p: float = TOP_P,
    ) -> None:
        self._seeds = seeds
        self._prompt_length = prompt_length
        self._greedy = temperature <= 0
        self._sampler = Sampler(temperature, top_k=top_k, top_p=top_p)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores (rows, vocabulary) → the same with everything but the noisy candidates at minus infinity."""
        import torch

        if self._greedy:
            return scores
        position = input_ids.shape[-1] - self._prompt_length
        noisy, tokens = self._sampler.candidates(scores, self._seeds, [position] * len(self._seeds))
        return torch.full_like(scores, float("-inf")).scatter(-1, tokens, noisy.to(scores.dtype))


def gumbel(seeds: Sequence[int], positions: Sequence[int], tokens: Tensor) -> Tensor:
    """Standard Gumbel noise (rows, candidates) for token ids of that shape, from a hash and not from a generator.

    Args:
        seeds: one a row.
        positions: of the token in its row's answer.
        tokens: (rows, candidates).
    """
    import torch

    rows = torch.tensor([_signed(seed) for seed in seeds], dtype=torch.int64, device=tokens.device)[:, None]
    steps = torch.tensor([_signed(at * _STEP) for at in positions], dtype=torch.int64, device=tokens.device)[:, None]
    mixed = _mix(_mix(rows + _STEP) + steps)
    bits = _mix(mixed + tokens.to(torch.int64) * _STEP)
    uniform = ((bits >> 11) & (2**53 - 1)).to(torch.float64).add(0.5) / 2**53
    return (-torch.log(-torch.log(uniform))).float()


def _mix(x: Tensor) -> Tensor:
    """The finaliser of splitmix64; the shifts are made logical by masking the sign's copies away."""
    x = (x ^ ((x >> 30) & (2**34 - 1))) * _M1
    x = (x ^ ((x >> 27) & (2**37 - 1))) * _M2
    return x ^ ((x >> 31) & (2**33 - 1))


def _signed(seed: int) -> int:
    return (seed + 2**63) % 2**64 - 2**63
