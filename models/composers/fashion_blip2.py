"""FashionBLIP-2 behind the ports: its target side is an image encoder, its query side a composer; see `fashion_blip2_net`.

The folder is BLIP-2's for image and text as `transformers` saves it (`Blip2ForImageTextRetrieval`: configuration, safetensors, tokenizer,
`preprocessor_config.json`), and `fashion-blip2.safetensors` beside it: what `weft train composer` made of it. Nothing is asked of a hub.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.ports import Composition
from models.squashed import Preprocessing, picture, preprocessing_of
from models.weights.hashes import check_weights, fingerprint, weight_files
from processors.errors import Code, Fatal, Poison
from processors.values import MAX_QUERY_TEXT, Pixels, Vector

VERSION = "1"
TRAINED = "fashion-blip2.safetensors"
MOST_TOKENS = 64
QUERY, TARGET = "query.", "target."
"""Prefixes of the trained tensors. What both sides share (the adapters of the ViT) is the target's."""


class Sides(NamedTuple):
    """Both sides, in eval mode; they share one ViT."""

    query: Any
    target: Any
    tokenizer: Any
    preprocessing: Preprocessing
    query_maker: str
    target_maker: str


def base(folder: Path) -> Any:
    """`Blip2ForImageTextRetrieval` from a local folder, every file of it compared with its hash.

    Raises:
        Fatal: a file is missing, damaged, not listed, or no BLIP-2.
    """
    from transformers import Blip2Config, Blip2ForImageTextRetrieval

    for path in _base_files(folder):
        check_weights(path)
    try:
        config = Blip2Config.from_pretrained(folder, local_files_only=True)
        # The safetensors are named: transformers would take a pickle where they are missing.
        return Blip2ForImageTextRetrieval.from_pretrained(
            folder, config=config, local_files_only=True, use_safetensors=True, dtype="float32"
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise Fatal(f"{folder} holds no BLIP-2 that transformers can build: {str(error).splitlines()[0]}") from error


def tokenizer_of(folder: Path) -> Any:
    """The tokenizer of the folder. Raises `Fatal` where there is none."""
    from tokenizers import Tokenizer

    check_weights(folder / "tokenizer.json")
    found = Tokenizer.from_file(str(folder / "tokenizer.json"))
    found.enable_truncation(MOST_TOKENS)
    found.no_padding()
    return found


def query_side_of(target: Any) -> Any:
    """A query side that is yet the same as the target side: its own Q-Former and heads, and the same ViT."""
    vision = target.blip2.vision_model
    return copy.deepcopy(target, {id(vision): vision})


def load(folder: Path, *, device: str = "cpu") -> Sides:
    """Both sides as they were trained.

    Raises:
        Fatal: as `base`; or the folder has no trained part, or that does not fit.
    """
    from safetensors import SafetensorError, safe_open

    from models.composers.fashion_blip2_net import FashionBlip2, HeadsConfig

    path = folder / TRAINED
    if not path.is_file():
        raise Fatal(f"{path} is missing: BLIP-2 alone composes nothing; train it (`weft train composer`)")
    digest = check_weights(path)
    try:
        with safe_open(path, framework="pt") as file:
            told = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 - no dict
        target = FashionBlip2(base(folder), msgspec.json.decode(told.get("heads", ""), type=HeadsConfig))
        query = query_side_of(target)
        for prefix, side in ((TARGET, target), (QUERY, query)):
            own = {name.removeprefix(prefix): one for name, one in tensors.items() if name.startswith(prefix)}
            unknown = side.load_state_dict(own, strict=False).unexpected_keys
            if unknown or not own:
                raise Fatal(f"{path} does not fit its BLIP-2: {unknown[:3] or f'nothing under {prefix}'}")
    except (SafetensorError, msgspec.DecodeError, RuntimeError) as error:
        raise Fatal(f"{path} is no trained part of FashionBLIP-2: {str(error).splitlines()[0]}") from error
    shared = [check_weights(one) for one in _base_files(folder)]
    kept = fingerprint(
        *(part for n, t in sorted(tensors.items()) if n.startswith(TARGET) for part in (n, t.numpy().tobytes()))
    )
    return Sides(
        query.to(device).eval().requires_grad_(requires_grad=False),
        target.to(device).eval().requires_grad_(requires_grad=False),
        tokenizer_of(folder),
        preprocessing_of(folder),
        fingerprint("fashion-blip2 query", VERSION, digest, *shared),
        fingerprint("fashion-blip2 target", VERSION, kept, *shared),
    )


def padded(rows: Sequence[Sequence[int]]) -> tuple[Any, Any]:
    """(ids, mask), (n, length) each."""
    import torch

    ids = torch.zeros((len(rows), max(map(len, rows))), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for place, tokens in enumerate(rows):
        ids[place, : len(tokens)] = torch.tensor(list(tokens), dtype=torch.long)
        mask[place, : len(tokens)] = 1
    return ids, mask


class _Words:
    """Tokens of words; the tokenizer is one thread's at a time."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._one_at_a_time = threading.Lock()

    def __call__(self, text: str) -> list[int]:
        words = " ".join(text.split())
        if not words:
            raise Poison("the text is empty", field="text")
        if len(words) > MAX_QUERY_TEXT:
            raise Poison(f"the text has {len(words)} characters", field="text", code=Code.OUT_OF_RANGE)
        with self._one_at_a_time:
            return list(self._tokenizer.encode(words).ids)


class FashionBlip2Images:
    """The target side: pixels → heads; see `models.ports.ImageEncoder`. Make one with `load`."""

    def __init__(self, sides: Sides, device: str = "cpu") -> None:
        self._sides, self._device = sides, device
        self.dimension: int = sides.target.dimension
        self._side: int = sides.target.blip2.config.vision_config.image_size

    @property
    def fingerprint(self) -> str:
        """The maker of the space: another query side leaves it as it is."""
        return self._sides.target_maker

    def prepare(self, item: Pixels, /) -> NDArray[np.float32]:
        return picture(item, self._side, self._sides.preprocessing)

    def forward(self, batch: Sequence[NDArray[np.float32]], /) -> list[Vector]:
        import torch

        with torch.inference_mode():
            target = self._sides.target
            found = target.target(target.seen(torch.from_numpy(np.stack(batch)).to(self._device)))
        return list(found.float().cpu().numpy())

    def finish(self, _item: Pixels, raw: Vector, /) -> Vector:
        return raw

    def features(self, raw: Vector, /) -> Vector:
        """The vector itself."""
        return raw

    @property
    def features_maker(self) -> str:
        return self.fingerprint

    def example(self) -> Pixels:
        return _example()


class FashionBlip2Texts:
    """Words alone in the space of `FashionBlip2Images`; see `models.ports.TextEncoder`."""

    def __init__(self, sides: Sides, device: str = "cpu") -> None:
        self._sides, self._device = sides, device
        self._words = _Words(sides.tokenizer)
        self.dimension: int = sides.target.dimension

    @property
    def fingerprint(self) -> str:
        return self._sides.target_maker

    def prepare(self, item: str, /) -> list[int]:
        return self._words(item)

    def forward(self, batch: Sequence[list[int]], /) -> list[Vector]:
        import torch

        ids, mask = padded(batch)
        with torch.inference_mode():
            found = self._sides.target.words(ids.to(self._device), mask.to(self._device))
        return list(found.float().cpu().numpy())

    def finish(self, _item: str, raw: Vector, /) -> Vector:
        return raw

    def example(self) -> str:
        return "a red dress"


class FashionBlip2Composer:
    """The query side: a photo and words → heads; see `models.ports.Composer`. It looks at the pixels itself."""

    name = "fashion-blip2"

    def __init__(self, sides: Sides, device: str = "cpu") -> None:
        self._sides, self._device = sides, device
        self._words = _Words(sides.tokenizer)
        self.dimension: int = sides.query.dimension
        self.target = sides.target_maker
        self._side: int = sides.query.blip2.config.vision_config.image_size

    @property
    def fingerprint(self) -> str:
        return self._sides.query_maker

    def prepare(self, item: Composition, /) -> tuple[NDArray[np.float32], list[int]]:
        """Raises `Poison` where there is no photo, or nothing is said."""
        if item.pixels is None:
            raise Poison("this composer looks at the reference's photo, which is not at hand", field="image")
        return picture(item.pixels, self._side, self._sides.preprocessing), self._words(item.words)

    def forward(self, batch: Sequence[tuple[NDArray[np.float32], list[int]]], /) -> list[Vector]:
        import torch

        ids, mask = padded([tokens for _, tokens in batch])
        photos = torch.from_numpy(np.stack([photo for photo, _ in batch])).to(self._device)
        with torch.inference_mode():
            query = self._sides.query
            found = query.query(query.seen(photos), ids.to(self._device), mask.to(self._device))
        return list(found.float().cpu().numpy())

    def finish(self, _item: Composition, raw: Vector, /) -> Vector:
        return raw

    def example(self) -> Composition:
        axes = np.eye(self.dimension, dtype=np.float32)
        return Composition(axes[0], axes[1], words="in navy", pixels=_example())


def _base_files(folder: Path) -> list[Path]:
    """What belongs to BLIP-2 itself. Raises `Fatal` where its configuration is missing or is another model's."""
    config = folder / "config.json"
    if not config.is_file():
        raise Fatal(f"{config} is missing: the folder of BLIP-2 is not there (docs/models/full.md)")
    if json.loads(config.read_bytes()).get("model_type") not in ("blip-2", "blip_2"):
        raise Fatal(f"{config} is not BLIP-2's")
    return [
        path
        for path in weight_files(folder)
        if path.suffix in (".safetensors", ".json") and path.name not in (TRAINED, "weft-artefact.json")
    ]


def _example() -> Pixels:
    """A red rectangle on white."""
    pixels = np.full((96, 64, 3), 245, np.uint8)
    pixels[16:80, 16:48] = (200, 32, 47)
    return pixels
