"""A fused ultralytics network as it is served: convolutions packed with their activations (`models.packed`), boxes decoded alone."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from models.detector.detector_net import TAKEN, Block, WeftLite0
from models.packed import Activation, Packed, packs

LAYOUT_BYTES = 48 << 20
"""Of weights that are laid out once more for shapes of photos: of a large network none, whose time is not spent on laying them out."""
MOST_LAYOUTS = 2
"""Shapes: a shop's photos have one, or two. Each costs as much memory as the weights, in every role that looks for garments."""
ALONE = TAKEN[0]
"""Up to the end of this stage, from 0, each picture runs alone: there a map is megabytes large, to which a call adds nothing, and of
several pictures it falls out of the cache before the layer behind it has read it."""


class ServedBlock(nn.Module):
    """`detector_net.Block`, packed. Overwrites what goes in where there is a shortcut."""

    def __init__(self, block: Block, device: str, layouts: int) -> None:
        super().__init__()
        expand = block.expand
        self.expand = _packed(expand, "relu6", device, layouts) if isinstance(expand, nn.Conv2d) else None
        self.filter = _packed(block.filter, "relu6", device, layouts)
        self.project = _packed(block.project, "none", device, layouts)
        self.shortcut = block.shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) → (n, out, h / stride, w / stride)."""
        wide = x if self.expand is None else self.expand(x)
        made: Tensor = self.project(self.filter(wide), x if self.shortcut else None)
        return made


class ServedTrunk(nn.Module):
    """`detector_net.WeftLite0`, packed."""

    def __init__(self, trunk: WeftLite0, device: str, layouts: int) -> None:
        super().__init__()
        self.stem = _packed(trunk.stem, "relu6", device, layouts)
        self.stages = nn.ModuleList(
            nn.Sequential(*(ServedBlock(block, device, layouts) for number, block in trunk.blocks() if number == stage))
            for stage in range(len(trunk.stages))
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """(n, 3, h, w) → three maps of 40, 112 and 320 channels."""
        x = torch.cat([self._fine(one) for one in torch.split(images, 1)])
        taken = [x]
        for number, stage in enumerate(self.stages[ALONE + 1 :], ALONE + 1):
            x = stage(x)
            if number in TAKEN:
                taken.append(x)
        return taken

    def _fine(self, image: Tensor) -> Tensor:
        x: Tensor = self.stem(image * 2 - 1)
        for stage in self.stages[: ALONE + 1]:
            x = stage(x)
        return x


class DecodedAlone(nn.Module):
    """Ultralytics' `Detect` or `Segment`, its convolutions over all pictures at once, and what follows on a processor for each alone.

    Torch computes the last few numbers of a map by another routine than the others, which may round otherwise: a picture's
    last boxes would depend on what lies behind them.
    """

    def __init__(self, head: Any) -> None:
        super().__init__()
        self.head = head
        self.f, self.i, self.type = head.f, head.i, head.type  # type: ignore[method-assign]  # its place in the network, as ultralytics keeps it

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, Tensor | None]:
        """(n, 4 + classes + mask coefficients, anchors); and of `Segment` the prototypes, (n, coefficients, h, w)."""
        from ultralytics.nn.modules.head import Segment, Segment26

        head = own(self.head)
        found = head.forward_head(maps, **head.one2many)
        each = [name for name in found if name != "feats"]
        size = len(maps[0])
        step = size if maps[0].is_cuda else 1  # on a GPU there are always as many (`models.parts`)
        alone = [
            head._inference(  # noqa: SLF001 - the part of its forward behind the convolutions
                {name: found[name][i : i + step] for name in each} | {"feats": [one[i : i + step] for one in maps]}
            )
            for i in range(0, size, step)
        ]
        prototypes = None
        if isinstance(head, Segment):
            prototypes = head.proto(maps if isinstance(head, Segment26) else maps[0])
        return torch.cat(alone), prototypes


class OwnState(nn.Module):
    """Any other head of ultralytics, its passes undisturbed by each other (`own`)."""

    def __init__(self, head: Any) -> None:
        super().__init__()
        self.head = head
        self.f, self.i, self.type = head.f, head.i, head.type  # type: ignore[method-assign]

    def forward(self, maps: list[Tensor]) -> Any:
        """What the head gives."""
        return own(self.head)(maps)


def own(head: Any) -> Any:
    """The head with the same weights and a state of its own, for one pass.

    Ultralytics keeps the anchors of the last shape on the head. Of two passes beside each other, over a picture that stands and
    one that lies, the one would decode its boxes by the anchors of the other: an error, or other boxes in silence.
    """
    return copy.copy(head)


def served(network: Any, device: str) -> Any:
    """Pack a fused `DetectionModel` in eval mode, in place.

    Args:
        network: its weights float32, on the CPU.
        device: see `models.device.choose`.
    """
    from ultralytics.nn.modules import Conv, Detect
    from ultralytics.nn.modules.head import Segment, Segment26

    network = network.to(device, memory_format=torch.channels_last)
    layouts = min(MOST_LAYOUTS, LAYOUT_BYTES // max(1, sum(one.nbytes for one in network.parameters())))
    if packs(device):
        for parent in list(network.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, WeftLite0):
                    # parse_model's marks of a layer's place go on to what stands there.
                    trunk: Any = ServedTrunk(child, device, layouts)
                    trunk.f, trunk.i, trunk.type = child.f, child.i, child.type
                    parent.add_module(name, trunk)
                elif isinstance(child, nn.Conv2d) and _can_be_packed(child):
                    silu = isinstance(parent, Conv) and name == "conv" and isinstance(parent.act, nn.SiLU)
                    parent.add_module(name, _packed(child, "silu" if silu else "none", device, layouts))
                    if silu:
                        parent.add_module("act", nn.Identity())
    head = network.model[-1]
    plain = type(head) in (Detect, Segment, Segment26) and getattr(head, "one2one_cv2", None) is None
    network.model[-1] = DecodedAlone(head) if plain else OwnState(head)
    return network


def _can_be_packed(conv: nn.Conv2d) -> bool:
    square = all(len(set(pair)) == 1 for pair in (conv.stride, conv.padding, conv.dilation))
    return square and conv.dilation == (1, 1) and conv.bias is not None and conv.padding_mode == "zeros"


def _packed(conv: nn.Conv2d, activation: Activation, device: str, layouts: int) -> Packed:
    assert conv.bias is not None
    return Packed(
        conv.weight,
        conv.bias,
        stride=conv.stride[0],
        padding=int(conv.padding[0]),
        groups=conv.groups,
        activation=activation,
        device=device,
        layouts=layouts,
    )
