"""The trunk's forward pass for training, in bfloat16 and with memory laid out for the matrix units of a CPU.

Same weights, same function as `encoder_net`'s trunk in eval mode, four times as fast to train: pointwise convolutions
are matrix products over (pixels, channels); batch norms, whose statistics stay ImageNet's, are folded into them on the
fly; depthwise convolutions are not trained, so that their backward pass is again a forward pass, with the kernel
turned round (oneDNN's weight gradient of a 5 × 5 depthwise convolution alone took a third of a training step).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it


def training_dtype() -> torch.dtype:
    """What training gives to `stem`: bfloat16 where oneDNN has its convolutions (AVX-512 or AMX), else float32."""
    return torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32  # noqa: SLF001


_PART = 8
_RELU6: tuple[Any, ...] = ("hardtanh", [0.0, 6.0], "")
_PLAIN: tuple[Any, ...] = ("none", [], "")


class Pointwise(torch.autograd.Function):
    """A matrix product over (pixels, channels), and ReLU6 behind it when `bound`: one pass over the memory, not three."""

    @staticmethod
    def forward(ctx: Any, pixels: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, bound: bool) -> torch.Tensor:
        if not _fuses(pixels):
            out = F.linear(pixels, weight, bias)
            out = out.clamp_(0, 6) if bound else out
        else:
            out = _fused("_linear_pointwise")(pixels, weight, bias, *(_RELU6 if bound else _PLAIN))
        ctx.save_for_backward(pixels, weight, out if bound else weight)
        ctx.bound = bound
        return out

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        pixels, weight, out = ctx.saved_tensors
        grad = torch.ops.aten.hardtanh_backward(grads[0], out, 0, 6) if ctx.bound else grads[0]
        flat = grad.reshape(-1, grad.shape[-1])
        ones = flat.new_ones(1, len(flat))
        wanted = flat.T @ pixels.reshape(-1, pixels.shape[-1]) if ctx.needs_input_grad[1] else None
        before = (flat @ weight).reshape(pixels.shape) if ctx.needs_input_grad[0] else None
        return before, wanted, (ones @ flat)[0], None


class Depthwise(torch.autograd.Function):
    """Depthwise convolution with a fixed kernel and a trained bias, and ReLU6. Channels last; padding as TensorFlow's."""

    @staticmethod
    def forward(ctx: Any, pixels: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor, stride: int) -> torch.Tensor:
        side = kernel.shape[2]
        padded = _same(pixels, side, stride) if stride > 1 else pixels
        out = _convolve(padded, kernel, bias, stride, 0 if stride > 1 else side // 2)
        ctx.save_for_backward(kernel, out)
        ctx.stride, ctx.shape = stride, pixels.shape
        return out

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        kernel, out = ctx.saved_tensors
        grad = torch.ops.aten.hardtanh_backward(grads[0], out, 0, 6)
        side, turned = kernel.shape[2], kernel.flip(2, 3)
        flat = grad.permute(0, 2, 3, 1).reshape(-1, grad.shape[1])
        bias = (flat.new_ones(1, len(flat)) @ flat)[0]
        if ctx.stride == 1:
            return F.conv2d(grad, turned, None, 1, side // 2, 1, len(kernel)), None, bias, None
        n, c, height, width = ctx.shape
        # The outputs go back to where their windows began; between them there is nothing.
        spread = grad.new_zeros(n, height + side - 1, width + side - 1, c).permute(0, 3, 1, 2)
        top, left = side - 1 - _before(height, side, ctx.stride), side - 1 - _before(width, side, ctx.stride)
        spread[:, :, top :: ctx.stride, left :: ctx.stride][:, :, : grad.shape[2], : grad.shape[3]] = grad
        return F.conv2d(spread, turned, None, 1, 0, 1, len(kernel)), None, bias, None


def stem(net: Any, images: torch.Tensor, trained: int) -> torch.Tensor:
    """In the pictures' precision (bfloat16 in training): the first stages without gradients, those from `trained` on with them, down to stride 16: (n, 112, side / 16, side / 16)."""
    with torch.no_grad():
        pixels = torch.cat([_first(net, part, trained) for part in images.split(_PART)])  # type: ignore[no-untyped-call]
    for stage in net.blocks[trained:5]:
        pixels = _stage(stage, pixels)
    return pixels


def deep(net: Any, maps: torch.Tensor) -> torch.Tensor:
    """The last two stages and the head: (n, 1280) from `stem`."""
    for stage in net.blocks[5:7]:
        maps = _stage(stage, maps)
    return _pointwise(maps, net.conv_head, net.bn2, bound=True).mean((2, 3), dtype=torch.float32)


def _first(net: Any, images: torch.Tensor, trained: int) -> torch.Tensor:
    """What needs no gradients, for few pictures at a time, whose maps stay in the processor's cache."""
    pixels = images.contiguous(memory_format=torch.channels_last)
    kernel, bias = _folded(net.conv_stem, net.bn1, pixels.dtype)
    pixels = _convolve(_same(pixels, 3, 2), kernel, bias, 2, 0)
    block = net.blocks[0][0]
    pixels = _pointwise(_depthwise(pixels, block.conv_dw, block.bn1), block.conv_pw, block.bn2)
    for stage in net.blocks[1 : min(trained, 5)]:
        pixels = _stage(stage, pixels)
    return pixels


def _stage(stage: Any, pixels: torch.Tensor) -> torch.Tensor:
    for block in stage:
        wide = _pointwise(pixels, block.conv_pw, block.bn1, bound=True)
        narrow = _pointwise(_depthwise(wide, block.conv_dw, block.bn2), block.conv_pwl, block.bn3)
        pixels = pixels + narrow if block.has_skip else narrow
    return pixels


def _pointwise(pixels: torch.Tensor, conv: Any, norm: Any, *, bound: bool = False) -> torch.Tensor:
    weight, bias = _folded(conv, norm, pixels.dtype)
    made: torch.Tensor = Pointwise.apply(pixels.permute(0, 2, 3, 1), weight[:, :, 0, 0], bias, bound)
    return made.permute(0, 3, 1, 2)


def _depthwise(pixels: torch.Tensor, conv: Any, norm: Any) -> torch.Tensor:
    kernel, bias = _folded(conv, norm, pixels.dtype)
    return Depthwise.apply(pixels, kernel.detach(), bias, conv.stride[0])  # type: ignore[no-any-return]


def _convolve(
    pixels: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor, stride: int, padding: int
) -> torch.Tensor:
    """A convolution and ReLU6."""
    groups = pixels.shape[1] // kernel.shape[1]
    if not _fuses(pixels):
        return F.conv2d(pixels, kernel, bias, stride, padding, 1, groups).clamp_(0, 6)
    sizes = [padding, padding], [stride, stride], [1, 1], groups
    return _fused("_convolution_pointwise")(pixels, kernel, bias, *sizes, *_RELU6)  # type: ignore[no-any-return]


def _folded(conv: Any, norm: Any, kind: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Kernel and bias of a convolution with the batch norm behind it."""
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    bias = norm.bias - norm.running_mean * scale
    return (conv.weight * scale[:, None, None, None]).to(kind), bias.to(kind)


def _before(size: int, side: int, stride: int) -> int:
    """How many of the padding's pixels TensorFlow puts on the near side."""
    return max(0, (-(-size // stride) - 1) * stride + side - size) // 2


def _same(pixels: torch.Tensor, side: int, stride: int) -> torch.Tensor:
    pads = []
    for size in (pixels.shape[3], pixels.shape[2]):
        whole = max(0, (-(-size // stride) - 1) * stride + side - size)
        pads += [whole // 2, whole - whole // 2]
    return F.pad(pixels, pads)


def _fuses(pixels: torch.Tensor) -> bool:
    """Whether oneDNN has the operation with an activation behind it."""
    return pixels.device.type == "cpu" and pixels.dtype == torch.bfloat16


def _fused(name: str) -> Any:
    """OneDNN's operation with an activation behind it, as torch's own compiler calls it; torch's version is pinned."""
    return getattr(torch.ops.mkldnn, name)
