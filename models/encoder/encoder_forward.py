"""The starter encoder's image tower as it is served: same weights and function as `encoder_net`'s, a third of the time.

Batch norms are folded into the convolutions in front of them, ReLU6 is inside (`models.packed`), shortcuts are added where
they lie. The network was trained with TensorFlow's padding, which on even sides puts less before a photo than behind
it, and torch pads such a map by copying it. Torch's own padding of `k // 2` on both sides puts more before it (of what
is behind, a stride of two reads less): so the photo is turned by half a turn, and every kernel with it, and
no map is copied.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from models.encoder.encoder_net import SIDE, colour_cells
from models.facets import facet_features
from models.packed import Activation, Packed, Precision, computes, rounded

STEM, MIDDLE = 4, 5
"""The stages, from 0, whose ends are looked at beside the last maps. No later block writes over them."""


class _Packer:
    """Packs the layers in the order in which they run, and knows how large the maps between them are."""

    def __init__(self, device: str, precision: Precision) -> None:
        self._device = device
        self._precision: Precision = precision
        self._side = SIDE

    def __call__(self, conv: Any, norm: Any, activation: Activation) -> Packed:
        """A convolution with the batch norm behind it, its kernel turned by half a turn."""
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        packed = Packed(
            (conv.weight * scale[:, None, None, None]).flip(2, 3),
            norm.bias - norm.running_mean * scale,
            shape=(self._side, self._side),
            stride=conv.stride[0],
            padding=conv.weight.shape[2] // 2,
            groups=conv.groups,
            activation=activation,
            device=self._device,
            precision=self._precision,
        )
        self._side //= conv.stride[0]
        return packed


class Block:
    """Expand (but for the first), filter each channel, project; with a shortcut where the shape stays."""

    def __init__(self, block: Any, pack: _Packer) -> None:
        if hasattr(block, "conv_pwl"):
            self._expand: Packed | None = pack(block.conv_pw, block.bn1, "relu6")
            self._filter = pack(block.conv_dw, block.bn2, "relu6")
            self._project = pack(block.conv_pwl, block.bn3, "none")
        else:
            self._expand = None
            self._filter = pack(block.conv_dw, block.bn1, "relu6")
            self._project = pack(block.conv_pw, block.bn2, "none")
        self._shortcut = bool(block.has_skip)

    def __call__(self, maps: Tensor) -> Tensor:
        """Overwrites `maps` where there is a shortcut."""
        wide = maps if self._expand is None else self._expand(maps)
        return self._project(self._filter(wide), maps if self._shortcut else None)  # type: ignore[no-any-return]


class ServedTower:
    """(n, 3, side, side) in −1..1 → unit vectors (n, dimension), and what facets are read from (`facet_features`).

    The convolutions run over all n at once; what is behind them (the colour branch, the pooling, the two linear layers) runs on a processor
    for each view alone: sums of another size are made in another order, and a view would get other bytes in another batch. On a GPU, where
    each view alone took twelve times as long as the trunk, n is always the same (`models.parts`), and all run at once.

    Args:
        tower: `encoder_net.served_image_tower()`, filled, float32, in eval mode, on the CPU. Its trunk's weights are taken away.
        device: see `models.device.choose`.
        precision: of the convolutions. What is behind them is computed in float32.
    """

    def __init__(self, tower: Any, *, device: str, precision: Precision = "float32") -> None:
        trunk = tower.trunk
        net = trunk.net
        self._device = device
        self._rounds = precision == "bfloat16"
        self._computed = computes(precision, device)
        pack = _Packer(device, precision)
        self._stem = pack(net.conv_stem, net.bn1, "relu6")
        self._stages = [[Block(block, pack) for block in stage] for stage in net.blocks]
        self._last = pack(net.conv_head, net.bn2, "relu6")
        trunk.net = None  # its weights were packed, and need not be held twice
        self._trunk = trunk.to(device)
        self._head = tower.head.to(device)

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        images = images.to(self._device)
        stem, middle, last = (maps.float().flip(2, 3) for maps in self._maps(images))
        if images.is_cuda:
            return self._behind(images, stem, middle, last)
        alone = [
            self._behind(*(one[i : i + 1].contiguous() for one in (images, stem, middle, last)))
            for i in range(len(images))
        ]
        return torch.cat([vector for vector, _ in alone]), torch.cat([facets for _, facets in alone])

    def _maps(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The trunk's fifth and sixth stage and its last maps, turned by half a turn."""
        photos = (rounded(images) if self._rounds else images).to(self._computed)
        maps = self._stem(photos.flip(2, 3).contiguous(memory_format=torch.channels_last))
        ends = []
        for stage in self._stages:
            for block in stage:
                maps = block(maps)
            ends.append(maps)
        return ends[STEM], ends[MIDDLE], self._last(maps)

    def _behind(self, images: Tensor, stem: Tensor, middle: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        cells = colour_cells(images, self._trunk.get_buffer("anchors"))
        features = self._head(self._trunk.joined(last.mean((2, 3)), stem, cells))
        return torch.nn.functional.normalize(features, dim=1), facet_features.blocks(stem, middle, last)
