"""The networks of composers that work on the encoder's own vectors: only the query side is trained, and no index changes.

`CombinerNet` is Baldrati et al. 2022 (CLIP4Cir) as the plan has it: v = MLP([t; i]), q = norm(v + λt + (1 − λ)i).
`TokenNet` is the two-layer transformer over [image, caption, text], the caption as a token of its own: a wrong caption can be
paid no attention, which words that were strung together cannot.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

Shape = dict[str, int]
"""What a network is built of; kept in the header of its file."""


class CombinerNet(nn.Module):
    """Image and text → query. At first the mean of both: the last layer of the MLP is zero, λ is one half.

    Args:
        shape: `dimension`, `width`.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        dimension, width = shape["dimension"], shape["width"]
        self.hidden = nn.Sequential(nn.Linear(2 * dimension, width), nn.GELU(), nn.Dropout(0.1))
        self.v = _zero(nn.Linear(width, dimension))
        self.gate = _zero(nn.Linear(width, 1))

    def forward(self, image: Tensor, text: Tensor, _caption: Tensor, _known: Tensor) -> Tensor:
        """(n, dimension) each, unit; the last two are not looked at. Returns (n, dimension), unit."""
        hidden = self.hidden(torch.cat([text, image], 1))
        share = torch.sigmoid(self.gate(hidden))
        return F.normalize(self.v(hidden) + share * text + (1 - share) * image, dim=1)


class TokenNet(nn.Module):
    """Tokens of image, caption and text → query. At first the sum of image and text: the last layer is zero.

    Args:
        shape: `dimension`, `width`, `layers`, `heads`.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        dimension, width = shape["dimension"], shape["width"]
        self.into = nn.ModuleList(nn.Linear(dimension, width) for _ in range(3))
        self.kinds = nn.Parameter(torch.randn(3, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, shape["heads"], 2 * width, dropout=0.1, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, shape["layers"], enable_nested_tensor=False)
        self.out = _zero(nn.Linear(3 * width, dimension))

    def forward(self, image: Tensor, text: Tensor, caption: Tensor, known: Tensor) -> Tensor:
        """(n, dimension) each, unit; `known` (n,) bool: whose caption counts. Returns (n, dimension), unit."""
        given = (image, caption, text)
        tokens = torch.stack([into(one) for into, one in zip(self.into, given, strict=True)], 1) + self.kinds
        nobody = torch.zeros_like(known)
        hidden = self.layers(tokens, src_key_padding_mask=torch.stack([nobody, ~known, nobody], 1))
        hidden = hidden * torch.stack([~nobody, known, ~nobody], 1)[:, :, None]
        return F.normalize(self.out(hidden.flatten(1)) + image + text, dim=1)


NETWORKS: dict[str, Callable[[Shape], nn.Module]] = {"combiner": CombinerNet, "transformer": TokenNet}
"""By the name of the composer."""


def _zero(layer: nn.Linear) -> nn.Linear:
    """A layer that gives nothing yet."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class Folded(nn.Module):
    """A query side with the linear target side that it was trained beside: ⟨q, M t⟩ = ⟨Mᵀq, t⟩, so the index stays as it is.

    Args:
        network: one of `NETWORKS`.
        fold: M, (dimension, dimension).
    """

    def __init__(self, network: nn.Module, fold: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("fold", fold)

    def forward(self, image: Tensor, text: Tensor, caption: Tensor, known: Tensor) -> Tensor:
        """As of the network inside."""
        return F.normalize(self.network(image, text, caption, known) @ self.get_buffer("fold"), dim=1)


def build(name: str, shape: Shape) -> Any:
    """An untrained network. Raises `KeyError` for a name that is none."""
    return NETWORKS[name](shape)


def filled(name: str, shape: Shape, tensors: dict[str, Tensor]) -> Any:
    """A trained network from the tensors of its file; `fold` among them is the target side.

    Raises:
        KeyError: no such network.
        RuntimeError: the tensors do not fit it.
    """
    rest = dict(tensors)
    fold = rest.pop("fold", None)
    network = build(name, shape)
    network.load_state_dict(rest)
    return network if fold is None else Folded(network, fold)
