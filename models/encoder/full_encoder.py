"""The encoder of the profile `full`, and of the kind `open_clip`: any checkpoint in open_clip's own layout, from a local folder.

The folder holds `open_clip_config.json`, `open_clip_model.safetensors` and the tokenizer, as open_clip publishes them
(Marqo-FashionSigLIP, SigLIP2, MobileCLIP, CLIP …). open_clip builds the network; the weights are loaded here, because open_clip would
take a pickle where the safetensors are missing, and ask the hub where the folder is incomplete.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from models.encoder.own_folder import Arrays, OwnImages, OwnTexts, check_size, fits
from models.weights.hashes import check_weights, fingerprint
from processors.errors import Fatal

VERSION = "1"
"""Raise it when preprocessing here changes what comes out."""
CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
TOKENIZER = ("tokenizer.json", "tokenizer_config.json")


class TextConfig(msgspec.Struct, frozen=True):
    """What Weft reads of `text_cfg`; open_clip reads the rest."""

    context_length: int = 77
    hf_model_name: str = ""
    hf_tokenizer_name: str = ""
    tokenizer_kwargs: dict[str, Any] = {}


class VisionConfig(msgspec.Struct, frozen=True):
    """What Weft reads of `vision_cfg`."""

    timm_model_name: str = ""
    timm_model_pretrained: bool = False


class ModelConfig(msgspec.Struct, frozen=True):
    """What Weft reads of `model_cfg`."""

    embed_dim: int
    text_cfg: TextConfig
    vision_cfg: VisionConfig = VisionConfig()
    custom_text: bool = False


class FolderConfig(msgspec.Struct, frozen=True):
    """`open_clip_config.json`."""

    model_cfg: ModelConfig


def load_images(folder: Path, *, device: str = "cpu") -> OwnImages:
    """Build the network, fill it, and keep its image tower.

    Raises:
        Fatal: a file is missing, damaged, not listed, or does not fit the network.
    """
    import torch
    from open_clip.transform import PreprocessCfg, image_transform_v2

    model, config = _model(folder)
    transform = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)
    network = model.visual.to(device)

    def tower(batch: Mapping[str, Any]) -> Any:
        with torch.inference_mode():
            return network(batch["pixels"].to(device))

    def prepare(photo: Any) -> Arrays:
        return {"pixels": np.asarray(transform(photo), dtype=np.float32)}

    dimension = config.model_cfg.embed_dim
    return OwnImages(tower, prepare, dimension=dimension, maker=space_fingerprint(folder))


def load_texts(folder: Path, *, device: str = "cpu") -> OwnTexts:
    """The same of the text tower. Its tokenizer is the folder's, or CLIP's own, which open_clip carries, where it names none.

    Raises:
        Fatal: as `load_images`.
    """
    import torch
    from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

    model, config = _model(folder)
    text = config.model_cfg.text_cfg
    if _has_tokenizer(text):
        tokenizer: Any = HFTokenizer(
            str(folder), context_length=text.context_length, local_files_only=True, **text.tokenizer_kwargs
        )
    else:
        tokenizer = SimpleTokenizer(context_length=text.context_length, **text.tokenizer_kwargs)
    network = model.text.to(device) if config.model_cfg.custom_text else model.to(device).encode_text

    def tower(batch: Mapping[str, Any]) -> Any:
        with torch.inference_mode():
            return network(batch["tokens"].to(device))

    def tokenize(words: str) -> Arrays:
        return {"tokens": np.asarray(tokenizer(words)[0].numpy(), dtype=np.int64)}

    dimension = config.model_cfg.embed_dim
    return OwnTexts(tower, tokenize, dimension=dimension, maker=space_fingerprint(folder))


def space_fingerprint(folder: Path) -> str:
    """Of the space: weights, configuration (preprocessing is in it), tokenizer. Raises `Fatal` as `check_weights`."""
    return fingerprint("open-clip", VERSION, *(check_weights(folder / name) for name in _files(folder)))


def _files(folder: Path) -> tuple[str, ...]:
    check_weights(folder / CONFIG)
    own = _has_tokenizer(_config(folder / CONFIG).model_cfg.text_cfg)
    return (CONFIG, WEIGHTS, *(TOKENIZER if own else ()))


def _has_tokenizer(text: TextConfig) -> bool:
    """As open_clip decides it: a checkpoint that names no tokenizer has CLIP's, which is part of the library."""
    return bool(text.hf_tokenizer_name)


def _model(folder: Path) -> tuple[Any, FolderConfig]:
    """The whole network in eval mode on the CPU, and its configuration."""
    import open_clip
    from safetensors.torch import load_file

    for name in _files(folder):
        check_weights(folder / name)
    config = _config(folder / CONFIG)

    def build(device: str) -> Any:
        with _unsaid():
            return open_clip.create_model(
                f"local-dir:{folder}", load_weights=False, pretrained_text=False, device=device
            )

    check_size(folder, [folder / WEIGHTS], lambda: build("meta"))
    with fits(folder / WEIGHTS, CONFIG):
        model = build("cpu")
        model.load_state_dict(load_file(folder / WEIGHTS), strict=True)
    return model.float().eval().requires_grad_(requires_grad=False), config


@contextmanager
def _unsaid() -> Iterator[None]:
    """Without open_clip's warnings, which go to the root logger: that no weights are loaded (they are, by us) and the network is random."""

    def of_others(record: logging.LogRecord) -> bool:
        return "open_clip" not in Path(record.pathname).parts or record.levelno > logging.WARNING

    root, held = logging.getLogger(), logging.NullHandler()
    root.addFilter(of_others)
    root.addHandler(held)  # a logger without one would get one that prints everything from then on
    try:
        yield
    finally:
        root.removeHandler(held)
        root.removeFilter(of_others)


def _config(path: Path) -> FolderConfig:
    try:
        config = msgspec.json.decode(path.read_bytes(), type=FolderConfig)
    except msgspec.DecodeError as error:
        raise Fatal(f"{path} is no configuration of open_clip: {error}") from error
    if config.model_cfg.text_cfg.hf_model_name:
        raise Fatal(f"{path}: its text tower {config.model_cfg.text_cfg.hf_model_name} would be asked of the hub")
    vision = config.model_cfg.vision_cfg
    if vision.timm_model_pretrained or ":" in vision.timm_model_name or "/" in vision.timm_model_name:
        raise Fatal(f"{path}: its image tower {vision.timm_model_name} would be asked of the hub")
    return config
