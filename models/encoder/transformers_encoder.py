"""A vision-text model of transformers in a folder, as `save_pretrained` leaves it: CLIP, SigLIP, SigLIP 2 and their kin.

Its own configuration says how photos and texts are prepared; no code of a repository is run, and no pickle is opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from models.encoder.own_folder import (
    Arrays,
    OwnImages,
    OwnTexts,
    check_size,
    configuration,
    fits,
    maker_of,
    tensors_of,
)
from processors.errors import Fatal

VERSION = "1"
CONFIG = "config.json"
FAMILIES = ("clip", "siglip", "siglip2", "metaclip_2", "chinese_clip", "altclip", "align")
"""`model_type`s: two towers that meet in one space, by `get_image_features` and `get_text_features`."""
LONGEST = 512
"""Tokens of a text, where a tokenizer says that it takes any number."""


def load_images(folder: Path, *, device: str = "cpu") -> OwnImages:
    """Raises `Fatal`: a file is missing, damaged, not listed, or does not fit the network."""
    import torch
    from transformers import AutoImageProcessor

    network = _network(folder, device)
    with fits(folder / "preprocessor_config.json"):
        processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)

    def tower(batch: Mapping[str, Any]) -> Any:
        with torch.inference_mode():
            return _vector(network.get_image_features(**{name: one.to(device) for name, one in batch.items()}))

    def prepare(photo: Any) -> Arrays:
        made = processor(images=photo, return_tensors="np")
        return {name: np.asarray(value[0]) for name, value in made.items()}

    with fits(folder):
        probe = OwnImages(tower, prepare, dimension=0, maker="")
        dimension = len(probe.forward([probe.prepare(probe.example())])[0])
    return OwnImages(tower, prepare, dimension=dimension, maker=maker_of("transformers", VERSION, folder))


def load_texts(folder: Path, *, device: str = "cpu") -> OwnTexts:
    """Raises `Fatal` as `load_images`."""
    import torch
    from transformers import AutoTokenizer

    network = _network(folder, device)
    with fits(folder / "tokenizer.json"):
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    longest = _context(network.config, int(tokenizer.model_max_length))

    def tower(batch: Mapping[str, Any]) -> Any:
        with torch.inference_mode():
            return _vector(network.get_text_features(**{name: one.to(device) for name, one in batch.items()}))

    def tokenize(text: str) -> Arrays:
        # To the full context: so these models were trained, and an answer must not depend on the company of a batch.
        made = tokenizer(text, padding="max_length", truncation=True, max_length=longest, return_tensors="np")
        return {name: np.asarray(value[0], dtype=np.int64) for name, value in made.items() if name in _TAKEN}

    with fits(folder):
        probe = OwnTexts(tower, tokenize, dimension=0, maker="")
        dimension = len(probe.forward([probe.prepare(probe.example())])[0])
    return OwnTexts(tower, tokenize, dimension=dimension, maker=maker_of("transformers", VERSION, folder))


_TAKEN = frozenset({"input_ids", "attention_mask", "token_type_ids"})


def _network(folder: Path, device: str) -> Any:
    """The whole model in eval mode; one of its towers is used."""
    from transformers import AutoConfig, AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()  # it would stand in the logs of roles
    paths = tensors_of(folder)
    said = configuration(folder / CONFIG)
    family = said.get("model_type")
    if family not in FAMILIES:
        raise Fatal(
            f"{folder / CONFIG}: {str(family)[:80]!r} is no family of image and text that is known: {', '.join(FAMILIES)}"
        )
    with fits(folder / CONFIG):
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    check_size(folder, paths, lambda: AutoModel.from_config(config, trust_remote_code=False))
    with fits(folder):
        network, told = AutoModel.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype="float32",
            output_loading_info=True,
        )
    missing = sorted(name for name in told["missing_keys"] if not name.endswith("position_ids"))
    if missing:
        raise Fatal(f"{folder}: its weights lack {len(missing)} tensors of its configuration: {', '.join(missing[:3])}")
    return network.eval().requires_grad_(requires_grad=False).to(device)


def _context(config: Any, said: int) -> int:
    """How many tokens the text tower reads."""
    towers = (getattr(config, "text_config", None), config)
    known = [n for one in towers if isinstance(n := getattr(one, "max_position_embeddings", None), int)]
    return min([*known[:1], said, LONGEST])


def _vector(found: Any) -> Any:
    """The projected features: a tensor, or (from transformers 5 on) the pooled output."""
    return getattr(found, "pooler_output", found)
