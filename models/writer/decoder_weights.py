"""A `Decoder` from the tensors of a base, named as `transformers` names them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from models.weights.four_bits import CODES, SCALES, unpacked
from models.writer.decoder_net import Attention, Decoder, Layer, Shape
from models.writer.linears import Form
from processors.errors import Fatal

if TYPE_CHECKING:
    import torch
    from torch import Tensor

EMBEDDING, HEAD, NORM = "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"


class Weights:
    """Tensors by name, unpacked where they are NF4, in the precision that is computed in.

    Args:
        tensors: of a base (`four_bits.merged`) or of a kept file (`four_bits.opened`).
        shape: of the network; tells the sides of the packed ones.
        dtype: the precision.
        device: where it is computed.
    """

    def __init__(self, tensors: Mapping[str, Tensor], shape: Shape, dtype: torch.dtype, device: str = "cpu") -> None:
        self._tensors = tensors
        self._device = device
        self._shape = shape
        self.dtype = dtype

    def has(self, name: str) -> bool:
        """Whether there is such a tensor."""
        return name in self._tensors

    def raw(self, name: str) -> Tensor:
        """As it is stored. Raises `Fatal` where it is missing."""
        try:
            return self._tensors[name]
        except KeyError as error:
            raise Fatal(f"the writer's weights have no {name}") from error

    def placed(self, name: str) -> Tensor:
        """As it is stored, on the device."""
        return self.raw(name).to(self._device)

    def of(self, name: str) -> Tensor:
        """In the precision that is computed in."""
        if self.has(name + CODES):
            codes, scales = self.raw(name + CODES), self.raw(name + SCALES)
            return unpacked(codes, scales, self._rows(name), self.dtype).to(self._device)
        return self.raw(name).to(self._device, self.dtype)

    def joined(self, prefix: str, *names: str) -> tuple[Tensor, Tensor | None]:
        """The weights of several layers with one input as one, and their biases where they have any."""
        import torch

        weight = torch.cat([self.of(f"{prefix}.{name}.weight") for name in names])
        biased = self.has(f"{prefix}.{names[0]}.bias")
        return weight, torch.cat([self.of(f"{prefix}.{name}.bias") for name in names]) if biased else None

    def head(self) -> Tensor:
        """(vocabulary, hidden): the embedding's, where the base ties the two."""
        return self.of(HEAD if self.has(HEAD) else EMBEDDING)

    def _rows(self, name: str) -> int:
        shape, part = self._shape, name.split(".")[-2]
        sides = {
            "q_proj": shape.heads * shape.dimension,
            "k_proj": shape.groups * shape.dimension,
            "v_proj": shape.groups * shape.dimension,
            "o_proj": shape.hidden,
            "gate_proj": shape.inner,
            "up_proj": shape.inner,
            "down_proj": shape.hidden,
        }
        return sides[part]


def layer_of(weights: Weights, number: int, form: Form) -> Layer:
    """One block."""
    prefix = f"model.layers.{number}"
    return Layer(
        norm=weights.of(f"{prefix}.input_layernorm.weight"),
        into=form(*weights.joined(f"{prefix}.self_attn", "q_proj", "k_proj", "v_proj")),
        out=form(*weights.joined(f"{prefix}.self_attn", "o_proj")),
        norm_after=weights.of(f"{prefix}.post_attention_layernorm.weight"),
        gate=form(*weights.joined(f"{prefix}.mlp", "gate_proj", "up_proj")),
        down=form(*weights.joined(f"{prefix}.mlp", "down_proj")),
    )


def decoder_of(weights: Weights, shape: Shape, form: Form, attention: Attention) -> Decoder:
    """The whole network. Raises `Fatal` where a tensor is missing."""
    head = form(weights.head(), None)  # first: the largest, for a moment there twice
    return Decoder(
        shape=shape,
        embedding=weights.placed(EMBEDDING),
        layers=[layer_of(weights, number, form) for number in range(shape.layers)],
        norm=weights.of(NORM),
        head=head,
        dtype=weights.dtype,
        attention=attention,
    )
