"""Ways of computing one step of attention: the same up to rounding, and not equally fast on every processor.

Each takes queries (rows, groups, heads of a group, dimension), already scaled, keys and values (rows, groups, width,
dimension), and a mask (rows, width) of zeros and minus infinities; and gives what the queries are like.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from models.writer.decoder_net import Attention


def grouped(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """The heads of a group share their keys in one product, which are read once (GQA, arXiv 2305.13245)."""
    import torch

    scores = torch.matmul(queries, keys.transpose(-1, -2)) + mask[:, None, None, :]
    return torch.matmul(torch.softmax(scores.float(), dim=-1).to(values.dtype), values)


def eager(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Keys and values repeated for each head, as `transformers` does under this name."""
    import torch

    rows, groups, heads, dimension = queries.shape
    repeated = (rows, groups, heads, keys.shape[2], dimension)
    keys = keys[:, :, None].expand(repeated)
    values = values[:, :, None].expand(repeated)
    scores = torch.matmul(queries[:, :, :, None], keys.transpose(-1, -2)) + mask[:, None, None, None, :]
    return torch.matmul(torch.softmax(scores.float(), dim=-1).to(values.dtype), values)[:, :, :, 0]


def sdpa(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Torch's fused kernel; the heads of a group pass for its queries."""
    from torch.nn.functional import scaled_dot_product_attention

    wide = mask[:, None, None, :].expand(-1, -1, queries.shape[2], -1)
    return scaled_dot_product_attention(queries, keys, values, attn_mask=wide, scale=1.0)


ATTENTIONS: Mapping[str, Attention] = {"grouped": grouped, "sdpa": sdpa, "eager": eager}
"""By name; the first is taken where nothing was measured."""
