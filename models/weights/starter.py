"""Where the weights of the starter lie: those that ship with Weft, and the bases from the package index."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import msgspec

from models.weights.hashes import check_folder, check_weights
from processors.errors import Missing

STARTER_FOLDER = Path(__file__).parents[1] / "starter"
WRITER_BASE = "smollm2-135m-instruct"
TEXT_TOWER = "all-minilm-l6-v2"
IMAGE_TRUNK = "efficientnet-lite0"
BASES = (WRITER_BASE, TEXT_TOWER, IMAGE_TRUNK)
"""Folders of the model cache; `models/profiles/starter.yaml` says where they come from."""
SHIPPED = ("detector", "encoder", "facets", "writer")


class StarterPaths(msgspec.Struct, frozen=True):
    """Where the checked weights of the starter profile lie."""

    detector: Path
    """`detector.safetensors`."""
    encoder: Path
    """`encoder.safetensors`: both projections and the fine-tuned image tower."""
    writer_base: Path
    """Folder of SmolLM2 for `transformers`: config, bf16 safetensors, tokenizer."""
    writer_adapter: Path
    """`writer.safetensors`, or the folder of the same name: the LoRA adapter."""
    text_tower: Path
    """Folder of all-MiniLM-L6-v2 for `transformers`."""
    image_trunk: Path
    """`model.safetensors` of ImageNet's EfficientNet-lite0 under timm's names."""


def resolve(cache: Path, only: Collection[str] | None = None) -> StarterPaths:
    """Where the weights of the starter lie, each compared with its hash (once a process).

    Args:
        cache: the model cache.
        only: names of `BASES` and `SHIPPED` that are looked for and compared; None: all. A role reads every byte of its own
            models, and those of the others are theirs to read.

    Raises:
        Fatal: a file is missing (`Missing`) or damaged; the sentence names it and the command that fetches it.
    """
    for name in (*BASES, *SHIPPED):
        if only is not None and name not in only:
            continue
        path = cache / name if name in BASES else shipped_path(f"{name}.safetensors")
        if not path.exists():
            whence = "the package index has it" if name in BASES else "it comes with the repository"
            raise Missing(f"{path} is missing ({whence}): run `weft models pull starter`")
        if path.is_dir():
            check_folder(path)
        else:
            check_weights(path)
    return StarterPaths(
        detector=shipped_path("detector.safetensors"),
        encoder=shipped_path("encoder.safetensors"),
        writer_base=cache / WRITER_BASE,
        writer_adapter=shipped_path("writer.safetensors"),
        text_tower=cache / TEXT_TOWER,
        image_trunk=cache / IMAGE_TRUNK / "model.safetensors",
    )


def shipped_path(name: str) -> Path:
    """A file of `models/starter`, or the folder of that stem where an adapter is kept as one (peft's own layout)."""
    path = STARTER_FOLDER / name
    folder = path.with_suffix("")
    return folder if folder.is_dir() and not path.exists() else path
