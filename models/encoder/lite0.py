"""EfficientNet-lite0 (Tan and Le, arXiv 1905.11946, in the variant without attention and with ReLU6) as it is served.

The network of timm's `tf_efficientnet_lite0`, under the same names and with the same outputs to the bit
(tests/unit/models/test_served_towers.py). Recipes build timm's; a role that only serves would import 1,900 modules for it,
torchvision and torch's compiler among them: three to four seconds of every start.
"""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

EPS = 1e-3
"""Of the batch norms, as TensorFlow has it."""
EXPANSION = 6


class _Stage(NamedTuple):
    kernel: int
    stride: int
    channels: int
    blocks: int


_STAGES = (
    _Stage(3, 2, 24, 2),
    _Stage(5, 2, 40, 2),
    _Stage(3, 2, 80, 3),
    _Stage(5, 1, 112, 3),
    _Stage(5, 2, 192, 4),
    _Stage(3, 1, 320, 1),
)
"""The stages of expanding blocks, behind the one that does not expand."""


class Lite0(nn.Module):
    """(n, 3, h, w) → (n, 1280): the mean of the last maps. Sides are multiples of 32."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = _SameConv(3, 32, 3, stride=2)
        self.bn1 = _Norm(32)
        stages: list[nn.Module] = [nn.Sequential(_Separable(32, 16))]
        before = 16
        for stage in _STAGES:
            blocks = []
            for number in range(stage.blocks):
                blocks.append(_Inverted(before, stage.channels, stage.kernel, 1 if number else stage.stride))
                before = stage.channels
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages)
        self.conv_head = nn.Conv2d(before, 1280, 1, bias=False)
        self.bn2 = _Norm(1280)

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.bn2(self.conv_head(self.blocks(self.bn1(self.conv_stem(images)))))
        return maps.mean((2, 3))


class _Norm(nn.BatchNorm2d):
    """A batch norm with ReLU6 behind it, unless it ends a block."""

    def __init__(self, channels: int, *, active: bool = True) -> None:
        super().__init__(channels, eps=EPS)
        self.active = active

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        maps = super().forward(input)
        return F.relu6(maps, inplace=True) if self.active else maps


class _SameConv(nn.Conv2d):
    """A convolution with TensorFlow's padding: where it is odd, the larger half lies behind the map."""

    def __init__(self, before: int, after: int, kernel: int, *, stride: int, groups: int = 1) -> None:
        super().__init__(before, after, kernel, stride=stride, groups=groups, bias=False)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        kernel, stride = self.kernel_size[0], self.stride[0]
        pads: list[int] = []
        for side in (input.shape[3], input.shape[2]):
            pad = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            pads += [pad // 2, pad - pad // 2]
        padded = F.pad(input, pads) if any(pads) else input
        return self._conv_forward(padded, self.weight, None)  # type: ignore[no-any-return]


def _depthwise(channels: int, kernel: int, stride: int) -> nn.Conv2d:
    if stride > 1:
        return _SameConv(channels, channels, kernel, stride=stride, groups=channels)
    return nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)


class _Separable(nn.Module):
    """Filters each channel, then mixes them."""

    has_skip = False

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv_dw = _depthwise(before, 3, 1)
        self.bn1 = _Norm(before)
        self.conv_pw = nn.Conv2d(before, after, 1, bias=False)
        self.bn2 = _Norm(after, active=False)

    def forward(self, maps: Tensor) -> Tensor:
        return self.bn2(self.conv_pw(self.bn1(self.conv_dw(maps))))  # type: ignore[no-any-return]


class _Inverted(nn.Module):
    """Expands, filters each channel, projects; with a shortcut where the shape stays."""

    def __init__(self, before: int, after: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = before * EXPANSION
        self.has_skip = before == after and stride == 1
        self.conv_pw = nn.Conv2d(before, wide, 1, bias=False)
        self.bn1 = _Norm(wide)
        self.conv_dw = _depthwise(wide, kernel, stride)
        self.bn2 = _Norm(wide)
        self.conv_pwl = nn.Conv2d(wide, after, 1, bias=False)
        self.bn3 = _Norm(after, active=False)

    def forward(self, maps: Tensor) -> Tensor:
        found: Tensor = self.bn3(self.conv_pwl(self.bn2(self.conv_dw(self.bn1(self.conv_pw(maps))))))
        return found + maps if self.has_skip else found


class ProjectedTrunk(nn.Module):
    """A trunk and the two layers behind it, as open_clip's `TimmModel` with `proj="mlp"` has them: same names, same output.

    Args:
        trunk: photos → features.
        features: their number.
        dimension: of the result; twice as many units lie between.
    """

    def __init__(self, trunk: nn.Module, features: int, dimension: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = nn.Sequential()
        self.head.add_module("mlp", _Mlp(features, 2 * dimension, dimension))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.trunk(images))  # type: ignore[no-any-return]


class _Mlp(nn.Module):
    def __init__(self, before: int, between: int, after: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(before, between)
        self.fc2 = nn.Linear(between, after, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(features)))  # type: ignore[no-any-return]
