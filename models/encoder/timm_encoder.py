"""An image tower of timm in a folder, as timm publishes it: `config.json` (architecture, pretrained_cfg) and safetensors.

Its configuration says how photos are prepared. It has no text tower: see `models.encoder.own_folder.NoTexts`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from models.encoder.own_folder import NoTexts, OwnImages, check_size, configuration, fits, maker_of, tensors_of
from models.weights.hashes import check_folder
from processors.errors import Fatal

VERSION = "1"
CONFIG = "config.json"
_NAME = re.compile(r"[a-z0-9_]+")
_SHAPES = frozenset({
    "img_size", "patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio", "global_pool", "class_token", "no_embed_class",
    "pre_norm", "fc_norm", "dynamic_img_size", "init_values", "qkv_bias", "qk_norm", "reg_tokens", "pos_embed", "act_layer",
    "norm_layer", "use_fc_norm", "in_chans", "drop_path_rate", "depths", "dims", "pool_include_prefix",
})  # fmt: skip
"""Arguments of networks that a configuration may give: none of them is a file or an address."""


def load_images(folder: Path, *, device: str = "cpu") -> OwnImages:
    """Build the network without its classifier, and fill it.

    Raises:
        Fatal: a file is missing, damaged, not listed, or does not fit the network.
    """
    import torch
    from safetensors.torch import load_file
    from timm.data import create_transform, resolve_data_config

    network, said, dimension = _shape(folder)
    paths = tensors_of(folder)
    with fits(folder):
        tensors: dict[str, Any] = {}
        for path in paths:
            tensors |= load_file(path)
        wanted = network.state_dict()
        classifier = _classifiers(said)
        kept = {name: tensor for name, tensor in tensors.items() if name in wanted or not name.startswith(classifier)}
        network = _build(said)  # anew: some tables are in no file
        network.load_state_dict(kept, strict=True)
        transform = create_transform(**resolve_data_config({}, pretrained_cfg=_prepared(said)), is_training=False)
    network = network.float().eval().requires_grad_(requires_grad=False).to(device)

    def tower(batch: Mapping[str, Any]) -> Any:
        with torch.inference_mode():
            return network(batch["pixels"].to(device))

    def prepare(photo: Any) -> dict[str, Any]:
        return {"pixels": np.asarray(transform(photo), dtype=np.float32)}

    return OwnImages(tower, prepare, dimension=dimension, maker=maker_of("timm", VERSION, folder))


def load_texts(folder: Path) -> NoTexts:
    """What refuses every text, in the space of the tower. Raises `Fatal` as `load_images`."""
    return NoTexts(dimension=_shape(folder)[2], maker=maker_of("timm", VERSION, folder))


def _shape(folder: Path) -> tuple[Any, dict[str, Any], int]:
    """The network without memory, its configuration, and how long its vectors are."""
    import torch

    paths = tensors_of(folder)
    check_folder(folder)
    said = configuration(folder / CONFIG)
    network = check_size(folder, paths, lambda: _build(said)).eval()
    size = _prepared(said).get("input_size") or (3, 224, 224)
    with fits(folder), torch.inference_mode():
        found = network(torch.zeros((1, *map(int, size)), device="meta"))
    if found.ndim != 2:
        raise Fatal(f"{folder}: its network gives no vector but something of {found.ndim} dimensions")
    return network, said, int(found.shape[1])


def _build(said: Mapping[str, Any]) -> Any:
    import timm

    name = str(said.get("architecture", ""))
    plain = name.partition(".")[0]
    if not _NAME.fullmatch(plain) or not timm.is_model(plain):
        raise Fatal(f"{CONFIG}: this timm has no architecture {name[:80]!r}")
    arguments = said.get("model_args") or {}
    if not isinstance(arguments, dict) or (strange := sorted(set(arguments) - _SHAPES)):
        raise Fatal(
            f"{CONFIG}: model_args may not say {', '.join(strange) if isinstance(arguments, dict) else arguments!r}"
        )
    if "global_pool" in said:
        arguments = {"global_pool": said["global_pool"]} | arguments
    return timm.create_model(plain, pretrained=False, num_classes=0, **arguments)


def _prepared(said: Mapping[str, Any]) -> dict[str, Any]:
    found = said.get("pretrained_cfg") or {}
    return found if isinstance(found, dict) else {}


def _classifiers(said: Mapping[str, Any]) -> tuple[str, ...]:
    names = _prepared(said).get("classifier") or ("head", "fc", "classifier")
    return tuple(f"{name}." for name in ((names,) if isinstance(names, str) else names))
