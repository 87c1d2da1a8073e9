"""The network of the starter encoder: open_clip's own towers around a trunk that also sees colour.

    photo ─ EfficientNet-lite0 ─┬─ (stride 16, 112 channels) ─ attention over 12 × 12 cells ─┐
                                └─ last blocks ─ mean ─ 1280                                 ├─ MLP ─ 256
    photo ─ soft histogram over the palette's colours in each cell ─ pooled by attention ────┘
    words ─ MiniLM, mean ─ 384 ─ MLP ─ 256

Deep features of an ImageNet network hardly carry colour, and shoppers ask for colour first. The second branch counts
it, and learns where to count (on the garment, not on the wall). The trunk is registered with timm, so open_clip's
`TimmModel` and `HFTextEncoder` take it as any other; both also load together in open_clip's `CustomTextCLIP`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.facets import facet_features

if TYPE_CHECKING:
    import torch
    from torch import nn

TRUNK_NAME = "weft_lite0_colour"
DIMENSION = 256
SIDE = 224
"""Side of the square input, pixels. Training shows closer crops at 192: what is served then looks as large to the network
(Touvron et al. 2019, arXiv 1906.06423)."""
CELLS = SIDE // 16
HEADS = 3
"""Colour histograms: one over all cells, the others where their attention looks."""
CONTEXT = 48
"""Longest text, tokens."""


_FROZEN = ("conv_stem.", "bn1.", *(f"blocks.{stage}." for stage in range(3)))


def is_frozen(name: str) -> bool:
    """Whether a tensor of EfficientNet-lite0 (timm's name) is the base's own: its first stages."""
    return name.startswith(_FROZEN)


def config(text_tower: Path) -> dict[str, Any]:
    """The open_clip model config; `text_tower` is a local folder, and no name in it is one of a hub."""
    return {
        "embed_dim": DIMENSION,
        "vision_cfg": {
            "timm_model_name": TRUNK_NAME,
            "timm_model_pretrained": False,
            "timm_pool": "avg",
            "timm_proj": "mlp",
            "image_size": SIDE,
        },
        "text_cfg": {
            "hf_model_name": str(text_tower),
            "hf_tokenizer_name": str(text_tower),
            "hf_model_pretrained": True,
            "hf_pooler_type": "mean_pooler",
            "hf_proj_type": "mlp",
            "context_length": CONTEXT,
        },
    }


def image_tower() -> nn.Module:
    """open_clip's `TimmModel` over our trunk, untrained: (n, 3, SIDE, SIDE) in −1..1 → (n, DIMENSION)."""
    from open_clip.timm_model import TimmModel

    register_trunk()
    return TimmModel(TRUNK_NAME, embed_dim=DIMENSION, image_size=SIDE, pool="avg", proj="mlp")  # type: ignore[no-any-return]


def served_image_tower() -> nn.Module:
    """`image_tower` without timm and open_clip: the same names, the same outputs, a fraction of the imports."""
    from models.encoder.lite0 import Lite0, ProjectedTrunk

    trunk = _trunk(Lite0())
    return ProjectedTrunk(trunk, trunk.num_features, DIMENSION)  # type: ignore[arg-type]


def text_tower(folder: Path) -> nn.Module:
    """open_clip's `HFTextEncoder` over a local MiniLM: token ids (n, length), 0 is padding → (n, DIMENSION)."""
    from open_clip.hf_model import HFTextEncoder
    from safetensors.torch import load_file
    from transformers import AutoConfig

    # Built from the config and filled here: from_pretrained would read the file again, unchecked, and print a report.
    tower = HFTextEncoder(
        str(folder),
        DIMENSION,
        config=AutoConfig.from_pretrained(folder, local_files_only=True),
        pooler_type="mean_pooler",
        proj_type="mlp",
    )
    tensors = load_file(folder / "model.safetensors")
    tower.transformer.load_state_dict({n: t for n, t in tensors.items() if not n.endswith("position_ids")})
    return tower  # type: ignore[no-any-return]


def register_trunk() -> None:
    """Make `weft_lite0_colour` known to timm (once a process; open_clip finds its vision towers by such names)."""
    from timm.models import is_model, register_model

    if is_model(TRUNK_NAME):
        return

    def weft_lite0_colour(pretrained: bool = False, **_options: Any) -> nn.Module:
        """Build the trunk. open_clip passes options for dropout that it does not have."""
        import timm

        if pretrained:
            raise ValueError("the trunk's weights come with the encoder's, not from timm")
        return _trunk(timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0))

    weft_lite0_colour.__module__ = "timm.models.efficientnet"  # register_model lists it in its module's __all__
    register_model(weft_lite0_colour)


def palette_lab() -> torch.Tensor:
    """The palette in CIELAB, (colours, 3)."""
    import torch

    from processors.palette import PALETTE

    codes = [[int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)] for _, code in PALETTE]
    return lab(torch.tensor(codes).reshape(1, -1, 1, 3).permute(0, 3, 1, 2)).reshape(3, -1).T.contiguous()


def lab(rgb: torch.Tensor) -> torch.Tensor:
    """From sRGB (n, 3, h, w) in 0..1 to CIELAB (D65), the same shape: L 0..100."""
    import torch

    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055).clamp(min=0) ** 2.4)
    matrix = rgb.new_tensor(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    xyz = torch.einsum("ij,njhw->nihw", matrix, linear) / rgb.new_tensor([0.95047, 1.0, 1.08883]).reshape(1, 3, 1, 1)
    f = torch.where(xyz > 0.008856, xyz.clamp(min=1e-6) ** (1 / 3), 7.787 * xyz + 16 / 116)
    x, y, z = f.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def colour_cells(images: torch.Tensor, anchors: torch.Tensor, softness: float = 12.0) -> torch.Tensor:
    """Soft histogram of the palette's colours in each cell of 16 × 16 pixels.

    Args:
        images: (n, 3, SIDE, SIDE) in −1..1, where exactly 0 in all channels is padding.
        anchors: (k, 3) CIELAB.
        softness: distance in CIELAB at which a colour has lost most of its say.

    Returns:
        (n, k, CELLS, CELLS): shares; a cell of padding is all zero.
    """
    import torch
    import torch.nn.functional as F  # noqa: N812 - torch's own name for it

    some = images[:, :, 2::4, 2::4]  # sampled, not averaged: the mean of red and white stripes is no pink
    kept = (some.abs().sum(1, keepdim=True) > 0).to(images.dtype)
    points = lab((some + 1) / 2).permute(0, 2, 3, 1).flatten(0, 2)
    distance = torch.cdist(points, anchors) / softness
    shares = torch.softmax(-(distance**2), 1).reshape(*kept[:, 0].shape, -1).permute(0, 3, 1, 2) * kept
    return F.avg_pool2d(shares, 4)


def looked_at(trunk: Any, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of one pass of the trunk: what its `forward` gives, and what facets are read from (`facet_features.blocks`)."""
    stem = trunk.stem(images)
    middle = trunk.middle(stem)
    last = trunk.last(middle)
    cells = colour_cells(images, trunk.get_buffer("anchors"))
    return trunk.joined(last.mean((2, 3)), stem, cells), facet_features.blocks(stem, middle, last)


def _trunk(net: nn.Module) -> nn.Module:
    """The colour branch around an EfficientNet-lite0: timm's, or `models.encoder.lite0`."""
    import torch
    from torch import nn

    class ColourTrunk(nn.Module):
        """EfficientNet-lite0 and the colour branch, with the interface that open_clip asks of a timm model."""

        def __init__(self) -> None:
            super().__init__()
            self.net: Any = net
            self.default_cfg = {"pool_size": (CELLS // 2, CELLS // 2), "input_size": (3, SIDE, SIDE)}
            anchors = palette_lab()
            self.register_buffer("anchors", anchors)
            self.attention = nn.Conv2d(112, HEADS - 1, 1)
            self.colour = nn.Linear(HEADS * len(anchors), 256)
            self.num_features = 1280 + 256

        def reset_classifier(self, num_classes: int, global_pool: str = "avg") -> None:
            """open_clip takes the classifier off; there is none."""
            if num_classes or global_pool != "avg":
                raise ValueError("this trunk has features only, pooled by their mean")

        def stem(self, images: torch.Tensor) -> torch.Tensor:
            """Everything down to stride 16: (n, 112, CELLS, CELLS)."""
            net = self.net
            return net.blocks[:5](net.bn1(net.conv_stem(images)))  # type: ignore[no-any-return]

        def middle(self, maps: torch.Tensor) -> torch.Tensor:
            """The sixth stage: (n, 192, CELLS / 2, CELLS / 2) from `stem`."""
            return self.net.blocks[5](maps)  # type: ignore[no-any-return]

        def last(self, middle: torch.Tensor) -> torch.Tensor:
            """The last stage and head: (n, 1280, CELLS / 2, CELLS / 2) from `middle`."""
            net = self.net
            return net.bn2(net.conv_head(net.blocks[6](middle)))  # type: ignore[no-any-return]

        def deep(self, middle: torch.Tensor) -> torch.Tensor:
            """The mean of the last maps: (n, 1280) from `middle`."""
            return self.last(middle).mean((2, 3))

        def joined(self, deep: torch.Tensor, maps: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
            """Both branches: (n, num_features) from `deep`, `stem` and `colour_cells`."""
            shares = cells.flatten(2)
            weights = torch.softmax(self.attention(maps).flatten(2), 2)
            weights = torch.cat([torch.full_like(weights[:, :1], 1 / weights.shape[2]), weights], 1)
            counts = torch.einsum("nkc,nhc->nhk", shares, weights)
            counts = counts / counts.sum(2, keepdim=True).clamp(min=1e-3)
            # The root spreads small shares apart, so that a print's second colour is heard beside the first.
            return torch.cat([deep, self.colour(counts.clamp(min=1e-6).sqrt().flatten(1))], 1)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            maps = self.stem(images)
            return self.joined(self.deep(self.middle(maps)), maps, colour_cells(images, self.get_buffer("anchors")))

    return ColourTrunk()
