"""A decoder-only transformer of the Llama family for serving: SmolLM2, Llama, Qwen2.

What `transformers` computes for these architectures (LlamaForCausalLM, Qwen2ForCausalLM), with what serving needs beside it:
keys and values in one buffer that is allocated once, rows of different lengths without padding, a beginning that many
prompts share computed once, logits of the last position only, and layers whose sums do not depend on how many rows there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import msgspec

if TYPE_CHECKING:
    import torch
    from torch import Tensor

WIDTH = 32
"""Keys are looked at in multiples of so many: the vectorised sums of attention then have no remainder of their own."""

Linear: TypeAlias = "Callable[[Tensor], Tensor]"
Attention: TypeAlias = "Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]"
"""(queries (rows, groups, heads, dim), keys and values (rows, groups, width, dim), mask (rows, width)) → as the queries."""


class Shape(msgspec.Struct, frozen=True):
    """The architecture, as `config.json` says it."""

    layers: int
    heads: int
    groups: int
    dimension: int
    hidden: int
    inner: int
    eps: float
    theta: float

    @property
    def linear_weights(self) -> int:
        """How many weights its linear layers have, without embedding and head."""
        attention = self.hidden * self.dimension * 2 * (self.heads + self.groups)
        return self.layers * (attention + 3 * self.hidden * self.inner)


def shape_of(config: Mapping[str, Any]) -> Shape | None:
    """The shape of a base that this module computes; None for another architecture, or a variant that it does not know."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    heads = int(config.get("num_attention_heads", 0))
    known = (
        config.get("model_type") in {"llama", "qwen2"}
        and config.get("hidden_act") == "silu"
        and rope.get("rope_type", rope.get("type", "default")) == "default"
        and not config.get("use_sliding_window")
        and not config.get("mlp_bias")
        and heads > 0
    )
    if not known:
        return None
    hidden = int(config["hidden_size"])
    return Shape(
        layers=int(config["num_hidden_layers"]),
        heads=heads,
        groups=int(config.get("num_key_value_heads") or heads),
        dimension=int(config.get("head_dim") or hidden // heads),
        hidden=hidden,
        inner=int(config["intermediate_size"]),
        eps=float(config["rms_norm_eps"]),
        theta=float(rope.get("rope_theta") or config.get("rope_theta") or 10_000.0),
    )


@dataclass(frozen=True, slots=True)
class Layer:
    """One block. `into`: queries, keys and values in one product; `gate`: gate and up likewise."""

    norm: Tensor
    into: Linear
    out: Linear
    norm_after: Tensor
    gate: Linear
    down: Linear


@dataclass(slots=True)
class Cache:
    """Keys and values: per layer (2, rows, groups, capacity, dimension), zeros where nothing was written."""

    layers: list[Tensor]
    capacity: int

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` positions of a row over those of another."""
        for layer in self.layers:
            layer[:, target, :, :length] = layer[:, source, :, :length]

    def put(self, row: int, known: Sequence[Tensor]) -> None:
        """Write what `Decoder.begin` gave into a row."""
        for layer, values in zip(self.layers, known, strict=True):
            layer[:, row, :, : values.shape[2]] = values


@dataclass(frozen=True, slots=True)
class Decoder:
    """The network. Holds no state of a text: that is in the `Cache`.

    Args:
        shape: the architecture.
        embedding: (vocabulary, hidden), in any precision.
        layers: from the first to the last.
        norm: the last norm.
        head: hidden → vocabulary.
        dtype: in which is computed.
        attention: how a step attends; see `models.writer.attention`.
    """

    shape: Shape
    embedding: Tensor
    layers: Sequence[Layer]
    norm: Tensor
    head: Linear
    dtype: torch.dtype
    attention: Attention

    reads_whole: ClassVar[bool] = False
    """Whether a prompt is read in one, and not behind a beginning that it shares with others."""

    @property
    def device(self) -> torch.device:
        """Where it is computed."""
        return self.norm.device

    def give_back(self, cache: Cache) -> None:
        """The cache is used no more."""

    def cache(self, rows: int, capacity: int) -> Cache:
        """An empty cache; memory is only taken where it is written."""
        import torch

        shape = self.shape
        capacity = -(-capacity // WIDTH) * WIDTH
        size = (2, rows, shape.groups, capacity, shape.dimension)
        return Cache([torch.zeros(size, dtype=self.dtype, device=self.device) for _ in range(shape.layers)], capacity)

    def begin(self, ids: Sequence[int], before: Sequence[Tensor] = ()) -> tuple[Tensor, list[Tensor]]:
        """Read a text of one row, alone: what comes out depends on nothing else.

        Args:
            ids: at least one token.
            before: the keys and values of what stands before it, as this method gave them.

        Returns:
            The last position's hidden state (1, hidden), and per layer keys and values (2, groups, length, dimension),
            those of `before` among them.
        """
        import torch

        hidden, known = self.read(torch.tensor(ids, device=self.device), before)
        return hidden[-1:], known

    def read(self, ids: Tensor, before: Sequence[Tensor] = ()) -> tuple[Tensor, list[Tensor]]:
        """The same of ids (tokens,) that lie on the device already, with the hidden states of all positions (tokens, hidden)."""
        import torch

        start = before[0].shape[2] if before else 0
        x = self._embedded(ids)
        positions = torch.arange(start, start + len(ids), device=self.device)
        rotation = self._rotation(positions)
        hidden = torch.arange(start + len(ids), device=self.device)[None, :] > positions[:, None]
        mask = torch.zeros(hidden.shape, dtype=self.dtype, device=self.device).masked_fill_(hidden, float("-inf"))
        known: list[Tensor] = []
        for number, layer in enumerate(self.layers):
            queries, new = self._heads(layer, x, rotation)
            new = new.permute(1, 2, 0, 3)
            both = torch.cat((before[number], new), dim=2) if before else new.contiguous()
            known.append(both)
            x = self._rest(layer, x, _causal(queries, both, mask))
        return x, known

    def step(self, tokens: Tensor, lengths: Tensor, cache: Cache) -> Tensor:
        """One token more for the first rows of a cache.

        Args:
            tokens: (rows,) ids.
            lengths: (rows,) positions that each row has already.
            cache: gets the keys and values of these tokens.

        Returns:
            Hidden states (rows, hidden), for `logits`.
        """
        width = min(-(-(int(lengths.max()) + 1) // WIDTH) * WIDTH, cache.capacity)
        return self.stepped(tokens.to(self.device), lengths.to(self.device), cache, width)

    def stepped(self, tokens: Tensor, lengths: Tensor, cache: Cache, width: int) -> Tensor:
        """The same over the first `width` positions of the cache; tokens and lengths lie on the device."""
        import torch

        rows = torch.arange(len(tokens), device=self.device)
        mask = torch.zeros(len(tokens), width, dtype=self.dtype, device=self.device)
        mask.masked_fill_(torch.arange(width, device=self.device)[None, :] > lengths[:, None], float("-inf"))
        rotation = self._rotation(lengths)
        x = self._embedded(tokens)
        for number, layer in enumerate(self.layers):
            queries, new = self._heads(layer, x, rotation)
            both = cache.layers[number]
            both[:, rows, :, lengths] = new  # the index of the rows comes first: (rows, 2, groups, dimension)
            seen = both[:, : len(tokens), :, :width]
            x = self._rest(layer, x, self.attention(queries, seen[0], seen[1], mask))
        return x

    def logits(self, hidden: Tensor) -> Tensor:
        """(rows, hidden) → (rows, vocabulary)."""
        return self.head(self._normed(hidden, self.norm))

    def _embedded(self, ids: Tensor) -> Tensor:
        return self.embedding[ids].to(self.dtype)

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        from torch.nn.functional import rms_norm

        return rms_norm(x, (x.shape[-1],), weight, self.shape.eps)

    def _rotation(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines of rotary positions (arXiv 2104.09864), each (rows, 1, dimension / 2)."""
        import torch

        half = torch.arange(0, self.shape.dimension, 2, dtype=torch.float32, device=self.device) / self.shape.dimension
        angles = positions.float()[:, None] * (1.0 / self.shape.theta**half)[None, :]
        return angles.cos().to(self.dtype)[:, None], angles.sin().to(self.dtype)[:, None]

    def _heads(self, layer: Layer, x: Tensor, rotation: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Queries (rows, groups, heads of a group, dimension), scaled; keys and values (rows, 2, groups, dimension)."""
        import torch

        shape = self.shape
        all_heads = layer.into(self._normed(x, layer.norm)).view(len(x), -1, shape.dimension)
        turned, values = torch.split(all_heads, [shape.heads + shape.groups, shape.groups], dim=1)
        a, b = turned.chunk(2, dim=-1)
        cosine, sine = rotation
        turned = torch.cat((a * cosine - b * sine, b * cosine + a * sine), dim=-1)
        queries, keys = torch.split(turned, [shape.heads, shape.groups], dim=1)
        queries = (queries * shape.dimension**-0.5).view(len(x), shape.groups, -1, shape.dimension)
        return queries, torch.stack((keys, values), dim=1)

    def _rest(self, layer: Layer, x: Tensor, attended: Tensor) -> Tensor:
        """What a block does after its attention."""
        from torch.nn.functional import silu

        x = x + layer.out(attended.reshape(len(x), -1))
        gate, up = layer.gate(self._normed(x, layer.norm_after)).chunk(2, dim=-1)
        return x + layer.down(silu(gate) * up)


def _causal(queries: Tensor, both: Tensor, mask: Tensor) -> Tensor:
    """Attention of one row's tokens among themselves and what was before: (tokens, groups, heads, dimension) as given."""
    import torch

    tokens, groups, heads, dimension = queries.shape
    flat = queries.permute(1, 2, 0, 3).reshape(groups, heads * tokens, dimension)
    scores = torch.matmul(flat, both[0].transpose(1, 2)).view(groups, heads, tokens, -1) + mask
    shares = torch.softmax(scores.float(), dim=-1).to(both.dtype).view(groups, heads * tokens, -1)
    return torch.matmul(shares, both[1]).view(groups, heads, tokens, dimension).permute(2, 0, 1, 3)
