"""MiniLM as it was published (Wang et al., arXiv 2002.10957): texts as vectors whose inner product says how alike they are.

The base of the text tower without our projection: that one was taught to find photos, and tells two texts apart worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.encoder.minilm import load_text_tower
from models.weights.hashes import check_weights, fingerprint
from processors.errors import Poison
from processors.values import Vector

CONTEXT = 128
"""Tokens of a text that are read: three sentences have about 80."""
VERSION = "sentences/1"


class SentenceEncoder:
    """A `models.ports.TextEncoder`. Build it with `load`."""

    def __init__(self, network: Any, tokenizer: Any, *, device: str, made_of: str) -> None:
        self._network, self._tokenizer, self._device = network, tokenizer, device
        self._fingerprint = made_of

    @classmethod
    def load(cls, folder: Path, *, device: str = "cpu") -> SentenceEncoder:
        """From a folder of `transformers`.

        Args:
            folder: `model.safetensors`, `config.json`, `tokenizer.json`.
            device: see `models.device.choose`.

        Raises:
            Fatal: a file is missing or damaged, or holds another network.
        """
        import torch
        from tokenizers import Tokenizer

        from models.encoder.minilm_packed import widely_computed

        digests = [check_weights(folder / name) for name in ("model.safetensors", "config.json", "tokenizer.json")]
        network = load_text_tower(folder, 1).transformer.float().eval().requires_grad_(requires_grad=False)
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.enable_truncation(CONTEXT)
        tokenizer.no_padding()
        made_of = fingerprint("sentence-encoder", VERSION, *digests, str(CONTEXT))
        served = widely_computed(network, device)
        return cls(served.to(torch.device(device)), tokenizer, device=device, made_of=made_of)

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @property
    def dimension(self) -> int:
        return int(self._network.width)

    def prepare(self, item: str, /) -> list[int]:
        """Token ids, at most `CONTEXT`. Raises `Poison` for a blank text."""
        if not item.strip():
            raise Poison("the text is empty", field="text")
        return list(self._tokenizer.encode(item).ids)

    def forward(self, batch: Sequence[list[int]], /) -> list[Vector]:
        import torch

        ids = torch.zeros((len(batch), max(map(len, batch))), dtype=torch.long)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = torch.tensor(tokens)
        with torch.inference_mode():
            vectors = torch.nn.functional.normalize(self._network(ids.to(self._device)), dim=1)
        return list(vectors.float().cpu().numpy())

    def finish(self, _item: str, raw: Vector, /) -> Vector:
        return raw

    def example(self) -> str:
        return "Woven by a small mill in the north."
