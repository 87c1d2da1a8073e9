"""MiniLM (a small BERT; Wang et al., arXiv 2002.10957) with a projection behind its mean, as it is served.

The network of `transformers`' `BertModel` inside open_clip's `HFTextEncoder`, under the same names and with the same
outputs up to rounding (tests/unit/models/test_served_towers.py). Recipes build theirs; for a role that only serves, the two
libraries are 2,000 modules and four to five seconds of every start.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from processors.errors import Fatal

if TYPE_CHECKING:
    from models.encoder.minilm_packed import PackedMiniLm

PADDING = 0


class MiniLm(nn.Module):
    """Token ids (n, length), 0 is padding → the mean of the last hidden states, (n, width).

    Args:
        config: the fields of BERT's `config.json`.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.width: int = config["hidden_size"]
        self.embeddings = _Embeddings(config)
        self.encoder = nn.Module()
        self.encoder.layer = nn.ModuleList(_Layer(config) for _ in range(config["num_hidden_layers"]))

    def forward(self, ids: Tensor) -> Tensor:
        # Rows of padding go through no layer: of texts of 5 to 15 words they were a fifth of the work.
        rows = _Rows(ids != PADDING)
        states = rows.packed(self.embeddings(ids).flatten(0, 1))
        for layer in self.encoder.get_submodule("layer").children():
            states = layer(states, rows)
        sums = rows.padded(states).view(*ids.shape, -1).sum(1)
        return sums / rows.real.sum(1, keepdim=True).to(sums.dtype)


class _Rows:
    """Where the tokens of a batch lie among padding. `real`: (n, length), whether a place holds a token."""

    def __init__(self, real: Tensor) -> None:
        self.real = real
        full = bool(real.all())
        self.mask = None if full else real[:, None, None, :]
        self._places = None if full else real.flatten().nonzero().squeeze(1)

    def packed(self, rows: Tensor) -> Tensor:
        """(n × length, width) → (tokens, width)."""
        return rows if self._places is None else rows[self._places]

    def padded(self, rows: Tensor) -> Tensor:
        """(tokens, width) → (n × length, width), zero where there is no token."""
        if self._places is None:
            return rows
        spread = rows.new_zeros(self.real.numel(), rows.shape[1])
        spread[self._places] = rows
        return spread


class ProjectedText(nn.Module):
    """MiniLM and the two layers behind it, under the names of open_clip's `HFTextEncoder`: token ids → (n, dimension)."""

    def __init__(self, transformer: MiniLm, dimension: int) -> None:
        super().__init__()
        between = (transformer.width + dimension) // 2
        self.transformer: MiniLm | PackedMiniLm = transformer
        self.proj = nn.Sequential(
            nn.Linear(transformer.width, between, bias=False), nn.GELU(), nn.Linear(between, dimension, bias=False)
        )

    def forward(self, ids: Tensor) -> Tensor:
        return self.proj(self.transformer(ids))  # type: ignore[no-any-return]


def load_text_tower(folder: Path, dimension: int) -> ProjectedText:
    """MiniLM from its folder (`config.json`, `model.safetensors`); the projection is not filled yet.

    Raises:
        Fatal: the folder holds another network.
    """
    config = json.loads((folder / "config.json").read_bytes())
    kind = (config.get("model_type"), config.get("hidden_act"), config.get("position_embedding_type", "absolute"))
    if kind != ("bert", "gelu", "absolute"):
        raise Fatal(f"{folder / 'config.json'}: the text tower is a BERT with GELU and absolute positions, not {kind}")
    wanted = _mapped(folder / "model.safetensors")
    transformer = MiniLm(config)
    try:
        transformer.load_state_dict(wanted, strict=True, assign=True)
    except RuntimeError as error:
        raise Fatal(f"{folder / 'model.safetensors'} does not fit its config.json: {error}") from error
    return ProjectedText(transformer, dimension)


def _mapped(file: Path) -> dict[str, Tensor]:
    """The tensors of a file, the table of words and each layer in a mapping of its own.

    A mapping stays in memory with all that was read of it until its last tensor is gone: layers that are laid out anew
    would stay beside that for the sake of the words.
    """
    from safetensors import safe_open

    with safe_open(file, framework="pt") as whole:
        # The file's own words for what a mean does not need: BERT's pooler, and the numbers 0 to 511.
        names = [n for n in whole.keys() if not n.startswith("pooler.") and not n.endswith("position_ids")]  # noqa: SIM118 - no dict, only keys()
    parts: dict[str, list[str]] = {}
    for name in names:
        parts.setdefault(".".join(name.split(".")[:3]), []).append(name)
    found: dict[str, Tensor] = {}
    for part in parts.values():
        with safe_open(file, framework="pt") as mapping:
            found |= {name: mapping.get_tensor(name) for name in part}
    return found


class _Embeddings(nn.Module):
    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width = config["hidden_size"]
        # Half of all weights: nothing is drawn by chance that is overwritten at once.
        words = torch.empty(config["vocab_size"], width)
        self.word_embeddings = nn.Embedding(len(words), width, padding_idx=PADDING, _weight=words)
        self.position_embeddings = nn.Embedding(config["max_position_embeddings"], width)
        self.token_type_embeddings = nn.Embedding(config["type_vocab_size"], width)
        self.LayerNorm = nn.LayerNorm(width, eps=config["layer_norm_eps"])

    def forward(self, ids: Tensor) -> Tensor:
        places = torch.arange(ids.shape[1], device=ids.device)
        kinds = torch.zeros_like(ids)
        states = self.word_embeddings(ids) + self.token_type_embeddings(kinds) + self.position_embeddings(places)
        return self.LayerNorm(states)  # type: ignore[no-any-return]


class _Layer(nn.Module):
    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width, between = config["hidden_size"], config["intermediate_size"]
        self.attention = nn.Module()
        self.attention.self = _Attention(width, config["num_attention_heads"])
        self.attention.output = _Added(width, width, config["layer_norm_eps"])
        self.intermediate = nn.Module()
        self.intermediate.dense = nn.Linear(width, between)
        self.output = _Added(between, width, config["layer_norm_eps"])

    def forward(self, states: Tensor, rows: _Rows) -> Tensor:
        attention, intermediate = self.attention, self.intermediate
        states = attention.get_submodule("output")(attention.get_submodule("self")(states, rows), states)
        return self.output(F.gelu(intermediate.get_submodule("dense")(states)), states)  # type: ignore[no-any-return]


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))

    def forward(self, states: Tensor, rows: _Rows) -> Tensor:
        query, key, value = (
            rows.padded(layer(states)).view(*rows.real.shape, self.heads, -1).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=rows.mask)
        return rows.packed(found.transpose(1, 2).reshape(rows.real.numel(), -1))


class _Added(nn.Module):
    """A linear layer whose result is added to what came before, and normed."""

    def __init__(self, before: int, after: int, eps: float) -> None:
        super().__init__()
        self.dense = nn.Linear(before, after)
        self.LayerNorm = nn.LayerNorm(after, eps=eps)

    def forward(self, states: Tensor, residual: Tensor) -> Tensor:
        return self.LayerNorm(self.dense(states) + residual)  # type: ignore[no-any-return]
