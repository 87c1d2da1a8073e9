"""FashionBLIP-2 (FACap, arXiv 2507.07135): BLIP-2 with bottleneck adapters, and heads that are compared one by one.

    photo ─ frozen ViT, x + Up(σ(Down(x))) behind each layer ─ Q-Former, 32 queries ─┐
                                                                                    ├─ tokens 32 → 12, channels 768 → 256, each
    the same photo, and words beside the queries ─────────────── the same Q-Former ──┘   head normalised, strung together

The similarity of two garments is the sum of the cosines of their heads, over their number: as every head has the same length, it is
one inner product of 12 · 256 numbers, which any index serves. `transformers.Blip2ForImageTextRetrieval` carries the rest.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn


class HeadsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`adapter`: width of the bottleneck; `heads`: tokens after mixing; `channels`: of each head."""

    adapter: int = 64
    heads: int = 12
    channels: int = 256


class Adapter(nn.Module):
    """x + Up(σ(Down(x))), (…, hidden): Up is zero at first, so that the network gives what it gave without."""

    def __init__(self, hidden: int, width: int) -> None:
        super().__init__()
        self.down = nn.Linear(hidden, width)
        self.up = nn.Linear(width, hidden)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.up(F.gelu(self.down(x)))  # type: ignore[no-any-return]


class AdaptedLayer(nn.Module):
    """A frozen layer of the ViT and its adapter behind it."""

    def __init__(self, layer: nn.Module, adapter: Adapter) -> None:
        super().__init__()
        self.layer, self.adapter = layer, adapter

    def forward(self, hidden_states: Tensor, *arguments: Any, **options: Any) -> Tensor:
        return self.adapter(self.layer(hidden_states, *arguments, **options))  # type: ignore[no-any-return]


class Heads(nn.Module):
    """(n, queries, hidden) → (n, heads · channels), unit: tokens mixed, channels mixed, each head normalised.

    Args:
        queries: tokens of the Q-Former.
        hidden: channels of each.
        config: see there.
    """

    def __init__(self, queries: int, hidden: int, config: HeadsConfig) -> None:
        super().__init__()
        self.tokens = nn.Linear(queries, config.heads)
        self.channels = nn.Linear(hidden, config.channels)
        self.count = config.heads

    def forward(self, tokens: Tensor) -> Tensor:
        heads: Tensor = self.channels(self.tokens(tokens.transpose(1, 2)).transpose(1, 2))
        return F.normalize(heads, dim=2).flatten(1) / math.sqrt(self.count)


class FashionBlip2(nn.Module):
    """The whole network. What BLIP-2 brings is frozen except the Q-Former; adapters and heads are new.

    Args:
        blip2: `Blip2ForImageTextRetrieval`, as published; its ViT's layers are wrapped in place.
        config: of adapters and heads.
    """

    def __init__(self, blip2: Any, config: HeadsConfig) -> None:
        super().__init__()
        self.config = config
        vision = blip2.config.vision_config
        layers = blip2.vision_model.encoder.layers
        for place, layer in enumerate(layers):
            layers[place] = AdaptedLayer(layer, Adapter(vision.hidden_size, config.adapter))
        self.blip2 = blip2
        self.heads = Heads(blip2.config.num_query_tokens, blip2.config.qformer_config.hidden_size, config)
        self.scale = nn.Parameter(torch.tensor(14.0).log())
        self.freeze()

    def freeze(self) -> None:
        """Only adapters, Q-Former, heads and temperature learn; the ViT and what this network does not use stay to the bit."""
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(is_trained(name))

    @property
    def dimension(self) -> int:
        """Of the vectors: heads × channels."""
        return self.config.heads * self.config.channels

    def seen(self, pixels: Tensor) -> Tensor:
        """The ViT's tokens, (n, patches + 1, hidden), of photos (n, 3, side, side)."""
        return self.blip2.vision_model(pixel_values=pixels).last_hidden_state  # type: ignore[no-any-return]

    def target(self, seen: Tensor) -> Tensor:
        """Garments as the index keeps them, (n, dimension), unit, from `seen`."""
        return self.heads(self._queries(seen, None, None))  # type: ignore[no-any-return]

    def query(self, seen: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """Reference and change, (n, dimension), unit: the words stand beside the queries in the Q-Former.

        Args:
            seen: of the references.
            ids: (n, length) tokens.
            mask: (n, length), 1 where there is a token.
        """
        return self.heads(self._queries(seen, ids, mask))  # type: ignore[no-any-return]

    def words(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Words alone, (n, dimension), unit: their first token, the same in each of the queries' places."""
        embedded = self.blip2.embeddings(input_ids=ids)
        out = self.blip2.qformer(query_embeds=embedded, query_length=0, attention_mask=mask).last_hidden_state
        return self.heads(out[:, :1].expand(-1, self.blip2.config.num_query_tokens, -1))  # type: ignore[no-any-return]

    def _queries(self, seen: Tensor, ids: Tensor | None, mask: Tensor | None) -> Tensor:
        """(n, queries, hidden): what the Q-Former's queries found."""
        tokens = self.blip2.query_tokens.expand(len(seen), -1, -1)
        count = tokens.shape[1]
        if ids is None or mask is None:
            both, attended = tokens, None
        else:
            both = self.blip2.embeddings(input_ids=ids, query_embeds=tokens)
            attended = torch.cat([mask.new_ones(len(seen), count), mask], 1)
        found = self.blip2.qformer(
            query_embeds=both,
            query_length=count,
            attention_mask=attended,
            encoder_hidden_states=seen,
            encoder_attention_mask=seen.new_ones(seen.shape[:2], dtype=torch.long),
        ).last_hidden_state
        return found[:, :count]  # type: ignore[no-any-return]


def is_trained(name: str) -> bool:
    """Whether a parameter learns, by its name in `FashionBlip2`."""
    if ".adapter." in name or name == "scale" or name.startswith("heads."):
        return True
    return name.startswith(("blip2.qformer.", "blip2.embeddings.", "blip2.query_tokens"))


def heads_alike(vectors: Tensor, heads: int) -> float:
    """How far the heads of a garment are one and the same: the mean over pairs of heads of how alike they order garments.

    Of each head the garments' cosines with each other are taken; two heads that see the same have the same. 1: collapsed.

    Args:
        vectors: (n, heads · channels), n ≥ 3.
        heads: how many.
    """
    each = F.normalize(vectors.reshape(len(vectors), heads, -1), dim=2)
    cosines = torch.einsum("ahc,bhc->hab", each, each)
    above = torch.triu_indices(len(vectors), len(vectors), 1)
    rows = cosines[:, above[0], above[1]]
    rows = F.normalize(rows - rows.mean(1, keepdim=True), dim=1)
    alike = rows @ rows.T
    count = heads * (heads - 1)
    return float((alike.sum() - alike.diagonal().sum()) / max(count, 1))
