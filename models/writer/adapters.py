"""LoRA factors (arXiv 2106.09685) as one safetensors file, and how they are added to the weights they were trained for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from processors.errors import Fatal

if TYPE_CHECKING:
    import torch
    from torch import Tensor

ADAPTER_FORMAT = "weft-lora-1"


class LoraHeader(msgspec.Struct, frozen=True):
    """What the adapter's file says of itself, in its safetensors metadata."""

    rank: int
    alpha: int
    modules: tuple[str, ...]
    licence: str
    provenance: str
    steps: int


def save_adapter(path: Path, tensors: Mapping[str, torch.Tensor], header: Mapping[str, Any]) -> None:
    """Write LoRA factors ("model.layers.0.mlp.up_proj.lora_A" (rank, in), "….lora_B" (out, rank)) with their header."""
    from safetensors.torch import save_file

    checked = msgspec.convert(dict(header), LoraHeader)
    metadata = {"format": ADAPTER_FORMAT, "header": msgspec.json.encode(checked).decode()}
    save_file(dict(tensors), path, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Changes:
    """An adapter that was read: what it adds to each linear weight.

    Merged rather than attached: 210 small products more a token cost a third of the speed on a CPU (docs/models/LOG.md).
    """

    path: Path
    header: LoraHeader
    tensors: Mapping[str, Tensor]

    def require(self, layers: Sequence[str]) -> None:
        """Raise `Fatal` where the factors are not just those of the linear layers of a base that it was trained for."""
        wanted = [layer for layer in layers if layer.split(".")[-1] in self.header.modules]
        odd = {f"{name}.{factor}" for name in wanted for factor in ("lora_A", "lora_B")} ^ set(self.tensors)
        if odd:
            raise Fatal(f"{self.path} does not fit this base: {len(odd)} factors differ")

    def added(self, layer: str, weight: Tensor) -> Tensor:
        """`weight` (out, in) in float32, with (alpha / rank) · B·A of this layer added where there is one."""
        if f"{layer}.lora_A" not in self.tensors:
            return weight
        self.require_shape(layer, tuple(weight.shape))
        a, b = self.tensors[f"{layer}.lora_A"], self.tensors[f"{layer}.lora_B"]
        return weight + b @ a * (self.header.alpha / self.header.rank)

    def require_shape(self, layer: str, shape: tuple[int, ...]) -> None:
        """Raise `Fatal` where the factors of a layer do not make (out, in)."""
        if f"{layer}.lora_A" not in self.tensors:
            return
        a, b = self.tensors[f"{layer}.lora_A"], self.tensors[f"{layer}.lora_B"]
        if a.ndim != 2 or b.ndim != 2 or (b.shape[0], a.shape[1]) != shape or b.shape[1] != a.shape[0]:
            raise Fatal(f"{self.path} does not fit this base: {layer} is {shape}")


def read_adapter(path: Path) -> Changes:
    """Read the factors. Raises `Fatal` where the file is no adapter of ours."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 - no mapping
    if metadata.get("format") != ADAPTER_FORMAT:
        raise Fatal(f"{path} is no adapter of this version ({ADAPTER_FORMAT})")
    return Changes(path, msgspec.json.decode(metadata["header"], type=LoraHeader), tensors)


def merge_adapter(model: Any, path: Path) -> None:
    """Add an adapter to the linear layers of a model of `transformers`.

    Raises:
        Fatal: the file is no adapter of ours, or was trained for another architecture.
    """
    import torch

    changes = read_adapter(path)
    layers = linear_layers(model)
    changes.require(list(layers))
    with torch.no_grad():
        for name, layer in layers.items():
            layer.weight.copy_(changes.added(name, layer.weight.float()))


def linear_layers(model: Any) -> dict[str, Any]:
    """The linear layers of a model of `transformers`, by name, but for the head."""
    from torch import nn

    return {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear) and n.split(".")[-1] != "lm_head"}
