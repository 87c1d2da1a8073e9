"""The encoder of the profile `full`, and of the kind `open_clip`: any checkpoint in open_clip's own layout, from a local folder.

The folder holds `open_clip_config.json`, `open_clip_model.safetensors` and the tokenizer, as open_clip publishes them
(Marqo-FashionSigLIP, SigLIP2, MobileCLIP, CLIP …). open_clip builds the network; the weights are loaded here, because open_clip would
take a pickle where the safetensors are missing, and ask the hub where the folder is incomplete.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.encoder.own_folder import check_size, fits
from models.images import checked
from models.weights.hashes import check_weights, fingerprint
from processors.errors import Code, Fatal, Poison
from processors.values import MAX_QUERY_TEXT, Pixels, Vector

VERSION = "1"
"""Raise it when preprocessing here changes what comes out."""
CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


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


class OpenClipImageEncoder:
    """Pixels → a unit vector; see `models.ports.ImageEncoder`. Make one with `load`.

    Args:
        tower: open_clip's image tower in eval mode on `device`.
        transform: open_clip's own preprocessing, from a PIL image to a tensor (3, side, side).
        dimension: of the space.
        device: see `models.device.choose`.
        maker: the fingerprint of the space.
    """

    def __init__(self, tower: Any, transform: Any, *, dimension: int, device: str, maker: str) -> None:
        self._tower, self._transform, self._device = tower, transform, device
        self.dimension = dimension
        self._fingerprint = maker

    @classmethod
    def load(cls, folder: Path, *, device: str = "cpu") -> OpenClipImageEncoder:
        """Build the network, fill it, and keep its image tower.

        Raises:
            Fatal: a file is missing, damaged, not listed, or does not fit the network.
        """
        from open_clip.transform import PreprocessCfg, image_transform_v2

        model, config = _model(folder)
        transform = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)
        return cls(
            model.visual.to(device),
            transform,
            dimension=config.model_cfg.embed_dim,
            device=device,
            maker=space_fingerprint(folder),
        )

    @property
    def fingerprint(self) -> str:
        """The maker of the space: equal for both towers of one folder."""
        return self._fingerprint

    def prepare(self, item: Pixels, /) -> Any:
        """As the checkpoint was trained. Raises `Poison` when `item` is no (height, width, 3) uint8 array."""
        from PIL import Image

        return self._transform(Image.fromarray(np.ascontiguousarray(checked(item))))

    def forward(self, batch: Sequence[Any], /) -> list[Vector]:
        import torch

        with torch.inference_mode():
            return _unit(self._tower(torch.stack(list(batch)).to(self._device)))

    def finish(self, _item: Pixels, raw: Vector, /) -> Vector:
        return raw

    def features(self, raw: Vector, /) -> Vector:
        """The vector itself: a linear probe on a large tower's embedding is what zero-shot models are judged by."""
        return raw

    @property
    def features_maker(self) -> str:
        return self.fingerprint

    def example(self) -> Pixels:
        """A red rectangle on white."""
        pixels = np.full((96, 64, 3), 245, np.uint8)
        pixels[16:80, 16:48] = (200, 32, 47)
        return pixels


class OpenClipTextEncoder:
    """Text → a unit vector; see `models.ports.TextEncoder`. Make one with `load`.

    Args:
        tower: open_clip's text tower in eval mode on `device`.
        tokenizer: `open_clip.tokenizer.HFTokenizer` of the same folder; CLIP's own, which open_clip carries, where it names none.
        dimension: of the space.
        device: see `models.device.choose`.
        maker: the fingerprint of the space.
    """

    def __init__(self, tower: Any, tokenizer: Any, *, dimension: int, device: str, maker: str) -> None:
        self._tower, self._tokenizer, self._device = tower, tokenizer, device
        # Padding and truncation are state of the tokenizer: two threads at once would fail with "Already borrowed".
        self._one_at_a_time = threading.Lock()
        self.dimension = dimension
        self._fingerprint = maker

    @classmethod
    def load(cls, folder: Path, *, device: str = "cpu") -> OpenClipTextEncoder:
        """Build the network, fill it, and keep its text tower.

        Raises:
            Fatal: a file is missing, damaged, not listed, or does not fit the network.
        """
        from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

        model, config = _model(folder)
        text = config.model_cfg.text_cfg
        if _has_tokenizer(text):
            tokenizer: Any = HFTokenizer(
                str(folder), context_length=text.context_length, local_files_only=True, **text.tokenizer_kwargs
            )
        else:
            tokenizer = SimpleTokenizer(context_length=text.context_length, **text.tokenizer_kwargs)
        tower = model.text.to(device) if config.model_cfg.custom_text else model.to(device).encode_text
        return cls(
            tower,
            tokenizer,
            dimension=config.model_cfg.embed_dim,
            device=device,
            maker=space_fingerprint(folder),
        )

    @property
    def fingerprint(self) -> str:
        """The maker of the space: equal for both towers of one folder."""
        return self._fingerprint

    def prepare(self, item: str, /) -> NDArray[np.int64]:
        """Token ids, padded to the context. Raises `Poison` when the text is blank or longer than 2,000 characters."""
        text = _CONTROL.sub(" ", item).strip()
        if not text:
            raise Poison("the text is empty", field="text")
        if len(text) > MAX_QUERY_TEXT:
            raise Poison(
                f"the text has {len(text)} characters; at most {MAX_QUERY_TEXT} are read",
                field="text",
                code=Code.OUT_OF_RANGE,
            )
        with self._one_at_a_time:
            return np.asarray(self._tokenizer(text)[0].numpy(), dtype=np.int64)

    def forward(self, batch: Sequence[NDArray[np.int64]], /) -> list[Vector]:
        import torch

        with torch.inference_mode():
            return _unit(self._tower(torch.from_numpy(np.stack(batch)).to(self._device)))

    def finish(self, _item: str, raw: Vector, /) -> Vector:
        return raw

    def example(self) -> str:
        return "a red dress"


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
        return open_clip.create_model(f"local-dir:{folder}", load_weights=False, pretrained_text=False, device=device)

    check_size(folder, [folder / WEIGHTS], lambda: build("meta"))
    with fits(folder / WEIGHTS, CONFIG):
        model = build("cpu")
        model.load_state_dict(load_file(folder / WEIGHTS), strict=True)
    return model.float().eval().requires_grad_(requires_grad=False), config


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


def _unit(features: Any) -> list[Vector]:
    import torch

    return list(torch.nn.functional.normalize(features.float(), dim=1).cpu().numpy())
