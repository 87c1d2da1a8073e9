"""MiniLM on a processor with AVX-512: its weights laid out once by oneDNN, several texts in a row without padding between.

The vectors of `models.encoder.minilm`, up to rounding. There its layers are products of MKL, which on processors of
other makers than its own uses half of each vector register: 103 against 240 billion operations a second on one core.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from models.encoder.minilm import PADDING, MiniLm
from models.packed import packs

ROW = 48
"""Tokens of a row: attention costs each head of a row its calls, and the row's square; 24 to 64 are alike to a tenth."""
STEP = 8
"""Rows are as long as a multiple of it: for each number of tokens oneDNN builds kernels of its own and keeps them."""
TOKENS = 192
"""Tokens of a usual batch, for which oneDNN lays the weights out; batches of other sizes take the same layout."""


def widely_computed(transformer: MiniLm | PackedMiniLm, device: str) -> MiniLm | PackedMiniLm:
    """The network as it is fastest on this device: `PackedMiniLm` where oneDNN has AVX-512, else as it is.

    On processors with AVX2 both computed sixteen texts in the same time (3.7 and 4.1 ms each).

    Args:
        transformer: float32, in eval mode. It has no layers any more where they are laid out anew.
        device: see `models.device.choose`.
    """
    wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
    if not wide or not packs(device) or isinstance(transformer, PackedMiniLm):
        return transformer
    return PackedMiniLm(transformer)


class PackedMiniLm(nn.Module):
    """Token ids (n, length), 0 is padding and stands behind a text's tokens → the mean of the last hidden states, (n, width).

    Args:
        transformer: whose weights to lay out. It loses each layer when that is done, or memory would hold both.
    """

    def __init__(self, transformer: MiniLm) -> None:
        super().__init__()
        self.width = transformer.width
        embeddings = transformer.embeddings
        self._words = embeddings.word_embeddings.weight.detach()
        kinds = embeddings.token_type_embeddings.weight.detach()[0]
        self._places = embeddings.position_embeddings.weight.detach() + kinds
        self._norm = _copied(embeddings.LayerNorm)
        layers = list(transformer.encoder.get_submodule("layer").children())
        transformer.encoder = nn.Module()
        self._layers: list[_Layer] = []
        while layers:
            self._layers.append(_Layer(layers.pop(0)))

    def forward(self, ids: Tensor) -> Tensor:
        lengths = (ids != PADDING).sum(1).tolist()
        rows = _Rows(lengths)
        tokens = rows.spread(ids)
        states = self._norm(self._words[tokens] + self._places[rows.places])
        for layer in self._layers:
            states = layer(states, rows)
        sums = states.new_zeros(len(lengths) + 1, self.width).index_add_(0, rows.owners, states)
        mean: Tensor = sums[: len(lengths)] / torch.tensor(lengths, dtype=states.dtype)[:, None]
        return mean


def _copied(norm: nn.LayerNorm) -> nn.LayerNorm:
    # Of what a layer was loaded from nothing may be left, or all of it stays in memory.
    norm.weight, norm.bias = (
        nn.Parameter(one.detach().clone(), requires_grad=False) for one in (norm.weight, norm.bias)
    )
    return norm


class _Rows:
    """Texts behind one another in rows of equal length, each token with its place in its text.

    `count`, `length`: of the rows. `places`: (count × length,). `owners`: (count × length,) the text that a token is of; `n`
    where there is none. `mask`: (count, 1, length, length), 0 between tokens of a text and -inf elsewhere; None: all of a row are one text.
    """

    def __init__(self, lengths: Sequence[int]) -> None:
        texts = packed_rows(lengths, max(ROW, *lengths))
        self.count = len(texts)
        longest = max(sum(lengths[text] for text in row) for row in texts)
        self.length = -(-longest // STEP) * STEP
        owners: list[int] = []
        places: list[int] = []
        for row in texts:
            for text in row:
                owners += [text] * lengths[text]
                places += range(lengths[text])
            free = self.length - sum(lengths[text] for text in row)
            owners += [len(lengths)] * free
            places += [0] * free
        self.owners = torch.tensor(owners)
        self.places = torch.tensor(places)
        self.mask = None
        if any(len(row) > 1 for row in texts) or any(length != self.length for length in lengths):
            own = self.owners.view(self.count, 1, self.length)
            # Free places see one another: a row of nothing but -inf would be no number.
            self.mask = torch.where(own.transpose(1, 2) == own, 0.0, float("-inf"))[:, None]

    def spread(self, ids: Tensor) -> Tensor:
        """(n, length) → (count × length,); padding where there is no token."""
        padded = torch.cat([ids, ids.new_full((1, ids.shape[1]), PADDING)])
        return padded[self.owners, self.places]


def packed_rows(lengths: Sequence[int], most: int) -> list[list[int]]:
    """Which texts share a row: as few rows as may hold them, the longest text first into the row that is emptiest.

    Args:
        lengths: tokens of each text, none above `most`.
        most: tokens of a row; where the texts do not divide so well, a row holds more.

    >>> packed_rows([10, 11, 12, 13, 3], 24)
    [[3], [2, 4], [1, 0]]
    """
    rows: list[list[int]] = [[] for _ in range(-(-sum(lengths) // most))]
    filled = [0] * len(rows)
    for text in sorted(range(len(lengths)), key=lambda text: -lengths[text]):
        row = min(range(len(rows)), key=filled.__getitem__)
        rows[row].append(text)
        filled[row] += lengths[text]
    return rows


class _Linear:
    """A linear layer of which oneDNN has laid out the weights."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), TOKENS)  # noqa: SLF001
        self._bias = bias.detach().clone()

    def __call__(self, states: Tensor, activation: str = "none") -> Tensor:
        algorithm = "none" if activation == "gelu" else ""
        run = torch.ops.mkldnn._linear_pointwise  # noqa: SLF001
        return run(states, self._weight, self._bias, activation, [], algorithm)  # type: ignore[no-any-return]

    def added(self, states: Tensor, residual: Tensor) -> Tensor:
        """Its result on top of `residual`."""
        run = torch.ops.mkldnn._linear_pointwise.binary  # noqa: SLF001
        return run(states, residual, self._weight, self._bias, "add")  # type: ignore[no-any-return]


class _Layer:
    """Self-attention and two linear layers behind it; `layer`: one of `MiniLm`."""

    def __init__(self, layer: Any) -> None:
        own, output = layer.attention.self, layer.attention.output
        self._heads: int = own.heads
        three = (own.query, own.key, own.value)
        self._asked = _Linear(torch.cat([one.weight for one in three]), torch.cat([one.bias for one in three]))
        self._attended = _Linear(output.dense.weight, output.dense.bias)
        self._attended_norm = _copied(output.LayerNorm)
        self._wide = _Linear(layer.intermediate.dense.weight, layer.intermediate.dense.bias)
        self._narrow = _Linear(layer.output.dense.weight, layer.output.dense.bias)
        self._norm = _copied(layer.output.LayerNorm)

    def __call__(self, states: Tensor, rows: _Rows) -> Tensor:
        shape = (rows.count, rows.length, 3, self._heads, -1)
        query, key, value = (one.transpose(1, 2) for one in self._asked(states).view(shape).unbind(2))
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=rows.mask)
        found = found.transpose(1, 2).reshape(rows.count * rows.length, -1)
        states = self._attended_norm(self._attended.added(found, states))
        return self._norm(self._narrow.added(self._wide(states, "gelu"), states))  # type: ignore[no-any-return]
