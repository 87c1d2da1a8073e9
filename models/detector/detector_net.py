"""The starter detector's own network: EfficientNet-lite0 below, a YOLO11 neck and head above.

    photo ─ EfficientNet-lite0 ─┬─ stride 8, 40 channels ──────────────┐
                                ├─ stride 16, 112 ─────────────────────┤ YOLO11's path up and down ─ Detect
                                └─ stride 32, 320 ─ pooling pyramid ───┘

The trunk's batch norms are folded into its convolutions, so that it neither drifts in small batches nor costs a pass.
Padding is symmetric where TensorFlow pads right and below alone: the same features, seen half a stride further up and
left, which is where ultralytics expects an anchor's pixels. Imported only where a network is built (it needs torch).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Mapping

TRUNK_STAGES: tuple[tuple[int, int, int, int, int], ...] = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""EfficientNet-lite0 (arXiv 1905.11946; lite: neither squeeze nor swish): blocks, kernel, stride, expansion, channels."""
TAKEN = (2, 4, 6)
"""Stages whose ends the neck sees."""
BN_EPSILON = 1e-3
"""Of TensorFlow's batch norm, which trained the base."""

DESCRIPTION: dict[str, Any] = {
    "nc": 10,
    "backbone": [
        [-1, 1, "WeftLite0", []],
        [0, 1, "Index", [40, 0]],
        [0, 1, "Index", [112, 1]],
        [0, 1, "Index", [320, 2]],
        [-1, 1, "SPPF", [128, 5]],  # 4
    ],
    "head": [
        [-1, 1, "nn.Upsample", [None, 2, "nearest"]],
        [[-1, 2], 1, "Concat", [1]],
        [-1, 1, "C3k2", [112, False]],  # 7
        [-1, 1, "nn.Upsample", [None, 2, "nearest"]],
        [[-1, 1], 1, "Concat", [1]],
        [-1, 1, "C3k2", [64, False]],  # 10, stride 8
        [-1, 1, "Conv", [64, 3, 2]],
        [[-1, 7], 1, "Concat", [1]],
        [-1, 1, "C3k2", [112, False]],  # 13, stride 16
        [-1, 1, "Conv", [112, 3, 2]],
        [[-1, 4], 1, "Concat", [1]],
        [-1, 1, "C3k2", [160, True]],  # 16, stride 32
        [[10, 13, 16], 1, "Detect", ["nc"]],
    ],
}
"""As ultralytics' YAMLs have it: [from, repeats, module, arguments]."""
FINE, COARSE = 10, 4
"""Layers that the parsing heads of the recipe look at: the neck at stride 8, the pyramid at stride 32."""
FINE_CHANNELS, COARSE_CHANNELS = 64, 128


class Block(nn.Module):
    """Expand, filter each channel, project; with a shortcut where the shape stays."""

    def __init__(self, channels: int, kernel: int, stride: int, expansion: int, out: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.expand = nn.Conv2d(channels, wide, 1) if expansion > 1 else nn.Identity()
        self.filter = nn.Conv2d(wide, wide, kernel, stride, kernel // 2, groups=wide)
        self.project = nn.Conv2d(wide, out, 1)
        self.shortcut = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) → (n, out, h / stride, w / stride)."""
        wide = F.relu6(self.expand(x), inplace=True) if isinstance(self.expand, nn.Conv2d) else x
        y: Tensor = self.project(F.relu6(self.filter(wide), inplace=True))
        return x + y if self.shortcut else y


class WeftLite0(nn.Module):
    """The trunk: RGB in 0..1 → features at strides 8, 16 and 32. `frozen` leading blocks learn nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = 0
        self.stem = nn.Conv2d(3, 32, 3, 2, 1)
        self.stages = nn.ModuleList()
        channels = 32
        for count, kernel, stride, expansion, out in TRUNK_STAGES:
            blocks = []
            for index in range(count):
                blocks.append(Block(channels, kernel, stride if index == 0 else 1, expansion, out))
                channels = out
            self.stages.append(nn.Sequential(*blocks))

    def forward(self, images: Tensor) -> list[Tensor]:
        """(n, 3, h, w) → three maps of 40, 112 and 320 channels."""
        if self.frozen:  # two pictures at a time, so that the largest maps stay in the core's cache
            with torch.no_grad():
                x = torch.cat([self._early(some) for some in torch.split(images, 2)])
        else:
            x = self._early(images)
        taken = []
        for number, (stage, block) in enumerate(self.blocks()):
            if number >= self.frozen:
                x = block(x)
            if stage in TAKEN and block is self.stages[stage][-1]:  # type: ignore[index]
                taken.append(x)
        return taken

    def blocks(self) -> list[tuple[int, Block]]:
        """Every block in order, with the number of its stage."""
        return [(index, block) for index, stage in enumerate(self.stages) for block in stage]  # type: ignore[attr-defined]

    def _early(self, images: Tensor) -> Tensor:
        x = F.relu6(self.stem(images * 2 - 1), inplace=True)
        for _, block in self.blocks()[: self.frozen]:
            x = block(x)
        return x


def build(classes: int) -> Any:
    """An untrained ultralytics `DetectionModel` of this architecture."""
    import copy

    from ultralytics.nn import tasks

    vars(tasks)["WeftLite0"] = WeftLite0  # parse_model looks modules up among its own globals
    return tasks.DetectionModel(copy.deepcopy(DESCRIPTION), nc=classes, verbose=False)


def fill_trunk(trunk: WeftLite0, base: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy EfficientNet-lite0 (timm's names) into the trunk with its batch norms folded in.

    Returns:
        By the trunk's parameter name, the (out, 1, 1, 1) factor that folding put on each weight.

    Raises:
        KeyError: `base` lacks a tensor.
    """
    factors = {}

    def put(name: str, conv: nn.Conv2d, weight: str, norm: str) -> None:
        factor = base[f"{norm}.weight"] / torch.sqrt(base[f"{norm}.running_var"] + BN_EPSILON)
        with torch.no_grad():
            conv.weight.copy_(base[weight] * factor[:, None, None, None])
            assert conv.bias is not None
            conv.bias.copy_(base[f"{norm}.bias"] - base[f"{norm}.running_mean"] * factor)
        factors[name] = factor[:, None, None, None].clone()

    put("stem", trunk.stem, "conv_stem.weight", "bn1")
    for s, stage in enumerate(trunk.stages):
        assert isinstance(stage, nn.Sequential)
        for b, block in enumerate(stage):
            assert isinstance(block, Block)
            there, here = f"blocks.{s}.{b}", f"stages.{s}.{b}"
            if isinstance(block.expand, nn.Conv2d):
                put(f"{here}.expand", block.expand, f"{there}.conv_pw.weight", f"{there}.bn1")
                put(f"{here}.filter", block.filter, f"{there}.conv_dw.weight", f"{there}.bn2")
                put(f"{here}.project", block.project, f"{there}.conv_pwl.weight", f"{there}.bn3")
            else:
                put(f"{here}.filter", block.filter, f"{there}.conv_dw.weight", f"{there}.bn1")
                put(f"{here}.project", block.project, f"{there}.conv_pw.weight", f"{there}.bn2")
    return factors
