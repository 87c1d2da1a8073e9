"""Training on a pretrained trunk, made bearable on CPU cores.

- The trunk's first blocks learn nothing: no backward where pictures are largest.
- Its depthwise filters learn nothing either. In bfloat16, which makes everything else twice as fast on a core with
  AMX or AVX512-BF16, the gradient of a 5 × 5 depthwise filter costs fifty times its forward pass, and that of a strided
  one's input as much; the former is left out, the latter becomes an ordinary forward pass over a grid with zeros.
- Folded batch norms made weights of very unlike sizes. Each convolution therefore learns its *unfolded* weight, as the
  base had it: with an optimiser that takes equal steps everywhere, channels of large factors would never move.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor, nn
from torch.nn.utils import parametrize

from models.detector.detector_net import WeftLite0, fill_trunk


class Folded(nn.Module):
    """The folded weight from the unfolded one."""

    def __init__(self, factor: Tensor) -> None:
        super().__init__()
        self.register_buffer("factor", factor)
        self.factor: Tensor

    def forward(self, weight: Tensor) -> Tensor:
        """(out, in, k, k) → the same."""
        return weight * self.factor

    def right_inverse(self, weight: Tensor) -> Tensor:
        """What `forward` makes `weight` of."""
        return weight / self.factor


class FixedFilter(torch.autograd.Function):
    """A depthwise convolution whose weight gets no gradient, and whose input's is one more forward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
        """(n, c, h, w) → (n, c, h / stride, w / stride)."""
        ctx.save_for_backward(weight)
        ctx.stride, ctx.shape = stride, x.shape
        return F.conv2d(x, weight, bias, stride, weight.shape[-1] // 2, 1, len(weight))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, Tensor, None]:
        """Correlate with the mirrored filter; a stride becomes zeros between the gradients."""
        (weight,) = ctx.saved_tensors
        spread = grad
        if ctx.stride > 1:
            spread = grad.new_zeros(ctx.shape).contiguous(memory_format=torch.channels_last)
            spread[:, :, :: ctx.stride, :: ctx.stride] = grad
        mirrored = weight.flip(2, 3).to(grad.dtype)
        back = F.conv2d(spread, mirrored, None, 1, weight.shape[-1] // 2, 1, len(weight))
        return back, None, grad.sum((0, 2, 3), dtype=torch.float32), None


class FixedDepthwise(nn.Conv2d):
    """`nn.Conv2d` with a fixed depthwise filter; its bias learns."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name of the overridden method
        """See `FixedFilter`."""
        out: Tensor = FixedFilter.apply(input, self.weight, self.bias, self.stride[0])
        return out


def prepare(trunk: WeftLite0, base: Path, *, frozen: int) -> None:
    """Fill the trunk from EfficientNet-lite0 and make it ready to learn.

    Raises:
        FileNotFoundError: the base was not fetched (`weft models pull starter`).
    """
    from safetensors.torch import load_file

    factors = fill_trunk(trunk, load_file(base))
    trunk.frozen = frozen
    names = {module: name for name, module in trunk.named_modules()}
    trunk.requires_grad_(False)
    for _, block in trunk.blocks()[frozen:]:
        for conv in (block.expand, block.project):
            if isinstance(conv, nn.Conv2d):
                conv.requires_grad_(True)
                parametrize.register_parametrization(conv, "weight", Folded(factors[names[conv]]))
        assert block.filter.bias is not None
        block.filter.bias.requires_grad = True
        block.filter.__class__ = FixedDepthwise


def plain(trunk: WeftLite0) -> WeftLite0:
    """The trunk (changed in place) with ordinary convolutions, as it is served and stored."""
    for module in trunk.modules():
        if isinstance(module, FixedDepthwise):
            module.__class__ = nn.Conv2d  # type: ignore[assignment]
        elif isinstance(module, nn.Conv2d) and parametrize.is_parametrized(module):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
    return trunk
