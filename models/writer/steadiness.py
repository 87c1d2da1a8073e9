"""Which numbers of rows, and which attention, give a row the same bits whoever is beside it: tried, not assumed.

Kernels choose their order of summation by the shape of the whole product, and which do at which shape differs from
processor to processor. Sums of random numbers in another order differ in some bit nearly surely, so comparing tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from models.writer.decoder_net import WIDTH, Attention, Decoder, Linear, Shape

if TYPE_CHECKING:
    import torch
    from torch import Tensor

COUNTS = (1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32)
"""Numbers of rows that are tried; others are filled up to the next one that is steady."""


class Steady(msgspec.Struct, frozen=True):
    """Numbers of rows that give the same bits."""

    rows: tuple[int, ...]


def steady_rows(decoder: Decoder) -> Steady:
    """Try the first block's products and the head's with each count, against the largest."""
    layer = decoder.layers[0]
    shape = decoder.shape
    attended = shape.heads * shape.dimension
    widths = (shape.hidden, attended, shape.hidden, shape.inner, shape.hidden)
    products = (layer.into, layer.out, layer.gate, layer.down, decoder.head)
    steady = set(COUNTS)
    for linear, width in zip(products, widths, strict=True):
        steady &= _steady_counts(linear, _noise((COUNTS[-1], width), decoder.dtype), sorted(steady))
    return Steady(tuple(sorted(steady)))


def _steady_counts(linear: Linear, x: Tensor, counts: Sequence[int]) -> set[int]:
    import torch

    whole = linear(x)
    found = {counts[-1]}
    for count in counts[:-1]:
        if torch.equal(linear(x[:count]), whole[:count]) and torch.equal(linear(x[-count:]), whole[-count:]):
            found.add(count)
    return found


def is_steady(attention: Attention, shape: Shape, dtype: torch.dtype) -> bool:
    """Whether rows attend alone, and over what they have, as they do among longer ones."""
    import torch

    rows, wide = 5, 5 * WIDTH
    heads = shape.heads // shape.groups
    queries = _noise((rows, shape.groups, heads, shape.dimension), dtype) * shape.dimension**-0.5
    keys, values = _noise((2, rows, shape.groups, wide, shape.dimension), dtype)
    lengths = torch.tensor([7, WIDTH, WIDTH + 1, 3 * WIDTH - 5, wide])
    mask = torch.zeros(rows, wide, dtype=dtype).masked_fill_(torch.arange(wide) >= lengths[:, None], float("-inf"))
    whole = attention(queries, keys, values, mask)
    for row, length in enumerate(lengths.tolist()):
        own, one = -(-length // WIDTH) * WIDTH, slice(row, row + 1)
        alone = attention(queries[one], keys[one, :, :own], values[one, :, :own], mask[one, :own])
        if not torch.equal(alone, whole[one]):
            return False
    return True


def _noise(size: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    import torch

    return torch.randn(size, generator=torch.Generator().manual_seed(7)).to(dtype)
