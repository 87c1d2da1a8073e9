"""Convolutions as serving needs them: the activation inside, weights laid out once.

A convolution of torch with an activation behind it reads and writes its map twice; some of torch's choices copy the map for
a matrix product besides. `Packed` always asks oneDNN for both in one. Where oneDNN does not run (a GPU, or a processor that is no x86) it is an ordinary
convolution of torch with the activation in place: the same numbers up to rounding.
"""

from __future__ import annotations

import platform
import threading
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

Activation = Literal["none", "relu6", "silu"]
Precision = Literal["float32", "bfloat16"]
"""Of weights and maps. Sums are made in float32 in both; in "bfloat16" what comes out of a layer is rounded to 8 bits."""

_FUSED: dict[Activation, tuple[str, list[float]]] = {
    "none": ("none", []),
    "relu6": ("hardtanh", [0.0, 6.0]),
    "silu": ("swish", []),
}


def packs(device: str) -> bool:
    """Whether `Packed` uses oneDNN's own layouts on this device."""
    x86 = platform.machine().lower() in {"x86_64", "amd64"}
    return device == "cpu" and x86 and bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


def computes(precision: Precision, device: str) -> torch.dtype:
    """The type of the maps: bfloat16 where the device has it, else float32, to which the same numbers are rounded."""
    if precision == "float32":
        return torch.float32
    native = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) if packs(device) else device != "cpu"  # noqa: SLF001
    return torch.bfloat16 if native else torch.float32


class Packed(nn.Module):
    """One convolution with a bias, and what is behind it.

    Args:
        weight: (out, in / groups, k, k) float32.
        bias: (out,) float32.
        shape: height and width of all maps that it will see, where they are known: oneDNN then lays the weights out once.
            For maps of other sizes it may want another layout, and changing from one to the other takes ten times as long
            as the convolution; so without a shape the weights stay as they are, and are laid out at each call, or for each shape.
        layouts: without a shape: for so many shapes of maps the laid-out weights are kept as well, the oldest given up first. 0: for none.
        stride: both ways.
        padding: pixels of zeros on each side.
        groups: see `torch.nn.Conv2d`.
        activation: behind it.
        device: "cpu" or "cuda:<number>".
        precision: in "bfloat16" maps go in and come out as `computes` says.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        *,
        shape: tuple[int, int] | None = None,
        layouts: int = 0,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        activation: Activation = "none",
        device: str = "cpu",
        precision: Precision = "float32",
    ) -> None:
        super().__init__()
        self._sizes = ([padding] * 2, [stride] * 2, [1, 1], groups)
        self._activation = activation
        self._packs = packs(device)
        computed = computes(precision, device)
        self._rounds = precision == "bfloat16" and computed == torch.float32
        if precision == "bfloat16":
            weight, bias = (rounded(one).to(computed) for one in (weight, bias))
        # Attributes, not buffers: a packed weight has no storage that `to` or `state_dict` could handle.
        self._bias = bias.detach().to(device).contiguous()
        # The order of the weights' own memory tells oneDNN that maps come with their channels last.
        kept = weight.detach().to(device).contiguous(memory_format=torch.channels_last)
        self._channels = weight.shape[1] * groups
        self._weight = self._laid_out(kept, shape) if self._packs and shape is not None else kept
        self._layouts = layouts if self._packs and shape is None else 0
        self._by_shape: dict[tuple[int, int], Tensor] = {}
        self._laying = threading.Lock()

    def forward(self, pixels: Tensor, add: Tensor | None = None) -> Tensor:
        """(n, in, h, w) → (n, out, h', w'), channels last; `add` is added to it, and overwritten."""
        made = self._made(pixels, add)
        return rounded(made) if self._rounds else made

    def _laid_out(self, weight: Tensor, shape: tuple[int, int]) -> Tensor:
        laid: Tensor = torch.ops.mkldnn._reorder_convolution_weight(  # noqa: SLF001
            weight, *self._sizes, [1, self._channels, *shape]
        )
        return laid

    def _weight_for(self, shape: tuple[int, int]) -> Tensor:
        """The weights for maps of this height and width."""
        if not self._layouts:
            return self._weight
        found = self._by_shape.get(shape)
        if found is None:
            with self._laying:
                found = self._by_shape.get(shape)  # another thread's, meanwhile
                if found is None:
                    found = self._by_shape[shape] = self._laid_out(self._weight, shape)
                while len(self._by_shape) > self._layouts:
                    del self._by_shape[next(iter(self._by_shape))]
        return found

    def _made(self, pixels: Tensor, add: Tensor | None) -> Tensor:
        padding, stride, dilation, groups = self._sizes
        if not self._packs:
            made = _activated(
                F.conv2d(pixels, self._weight, self._bias, stride, padding, dilation, groups), self._activation
            )
            return made if add is None else made.add_(add)
        weight = self._weight_for((pixels.shape[2], pixels.shape[3]))
        if add is None:
            name, bounds = _FUSED[self._activation]
            return _convolution(pixels, weight, self._bias, *self._sizes, name, bounds, "")
        return _convolution_into(add, pixels, weight, self._bias, *self._sizes, "add", 1.0, None, [], None)


def rounded(numbers: Tensor) -> Tensor:
    """To what bfloat16 holds of them, in float32."""
    return numbers.to(torch.bfloat16).float()


def _convolution(*arguments: Any) -> Tensor:
    """OneDNN's convolution with an activation inside, as torch's own compiler calls it; torch's version is pinned."""
    return torch.ops.mkldnn._convolution_pointwise(*arguments)  # type: ignore[no-any-return]  # noqa: SLF001


def _convolution_into(*arguments: Any) -> Tensor:
    """The same, added to a map that is there: its memory is the result's."""
    return torch.ops.mkldnn._convolution_pointwise_.binary(*arguments)  # type: ignore[no-any-return]


def _activated(maps: Tensor, activation: Activation) -> Tensor:
    if activation == "relu6":
        return maps.clamp_(0, 6)
    return F.silu(maps, inplace=True) if activation == "silu" else maps
