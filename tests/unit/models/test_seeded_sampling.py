"""Gumbel noise from a hash: right distribution, independent of the batch."""

import math

import torch

from models.writer.seeded_sampling import SeededSampling, gumbel


def test_noise_is_gumbel() -> None:
    """Mean γ and variance π²/6 over many tokens, positions and seeds."""
    tokens = torch.arange(5000)[None].repeat(8, 1)
    noise = torch.cat([gumbel(range(8), [position] * 8, tokens) for position in range(4)])
    assert abs(float(noise.mean()) - 0.5772) < 0.02
    assert abs(float(noise.var()) - math.pi**2 / 6) < 0.05
    assert len(torch.unique(noise)) > 0.99 * noise.numel()


def test_samples_follow_the_softmax() -> None:
    """Over many seeds the tokens come as often as their probabilities say (temperature 1, no cut)."""
    logits = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05]))
    rows = 20_000
    sampling = SeededSampling(range(rows), prompt_length=3, temperature=1.0, top_p=1.0)
    picked = sampling(torch.zeros(rows, 3, dtype=torch.long), logits.repeat(rows, 1)).argmax(-1)
    shares = torch.bincount(picked, minlength=4) / rows
    assert torch.allclose(shares, logits.exp(), atol=0.015)


def test_a_row_samples_alike_in_any_batch_and_padding() -> None:
    """Only the row's seed and the position in the answer count, not its index or the length of the prompt."""
    scores = torch.randn(1, 50, generator=torch.Generator().manual_seed(1))
    alone = SeededSampling([9], prompt_length=4, temperature=0.7)(torch.zeros(1, 6, dtype=torch.long), scores)
    among = SeededSampling([1, 2, 9], prompt_length=10, temperature=0.7)(
        torch.zeros(3, 12, dtype=torch.long), scores.repeat(3, 1)
    )
    assert torch.equal(alone[0], among[2])
    assert not torch.equal(among[0], among[2])


def test_top_k_and_top_p_cut_the_tail() -> None:
    """Unlikely tokens can never be drawn; the likeliest always can."""
    logits = torch.log(torch.tensor([[0.6, 0.3, 0.06, 0.04]]))
    ids = torch.zeros(1, 1, dtype=torch.long)
    by_k = SeededSampling([1], prompt_length=1, temperature=1.0, top_k=2, top_p=1.0)(ids, logits)
    by_p = SeededSampling([1], prompt_length=1, temperature=1.0, top_p=0.5)(ids, logits)
    assert torch.isfinite(by_k[0]).tolist() == [True, True, False, False]
    assert torch.isfinite(by_p[0]).tolist() == [True, False, False, False]


def test_temperature_zero_is_greedy() -> None:
    """No noise at all."""
    scores = torch.randn(2, 9)
    assert torch.equal(SeededSampling([1, 2], prompt_length=1, temperature=0.0)(torch.zeros(2, 1), scores), scores)
