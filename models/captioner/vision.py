"""A vision-language model (LLaVA, Qwen-VL …) that describes a photo, and an instruct model that words a change: by `transformers`, from a
local folder of safetensors. Decoding is greedy: the same photo has the same caption.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.images import checked
from models.ports import CaptionRequest
from models.weights.hashes import check_folder, fingerprint, read_marker
from processors.errors import Fatal, Poison
from processors.triplets import CAPTION_PROMPT
from processors.values import Evidence, Garment

VERSION = "1"
MOST_TOKENS = 128


class VisionCaptioner:
    """A photo → a description, asked for as the paper does; see `models.ports.Captioner`. Make one with `load`.

    Args:
        model: for image and text to text, in eval mode on `device`.
        processor: of the same folder.
        device: see `models.device.choose`.
        maker: of weights and prompt.
        tokens: at most so many are written.
    """

    looks = True

    def __init__(self, model: Any, processor: Any, *, device: str, maker: str, tokens: int = MOST_TOKENS) -> None:
        self._model, self._processor, self._device, self._tokens = model, processor, device, tokens
        # Padding is state of the tokenizer inside: two threads at once would fail.
        self._one_at_a_time = threading.Lock()
        self.fingerprint = maker

    @classmethod
    def load(cls, folder: Path, *, device: str = "cpu", tokens: int = MOST_TOKENS) -> VisionCaptioner:
        """From a folder as `transformers` saves model and processor.

        Raises:
            Fatal: a file is missing, damaged, or not listed; or `transformers` cannot build the model.
        """
        from transformers import AutoModelForImageTextToText, AutoProcessor

        model = _loaded(AutoModelForImageTextToText, folder)
        try:
            processor = AutoProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise Fatal(f"{folder} holds no processor of a vision-language model: {_first(error)}") from error
        maker = fingerprint("vision captioner", VERSION, CAPTION_PROMPT, str(tokens), *_digests(folder))
        return cls(model.to(device), processor, device=device, maker=maker, tokens=tokens)

    def prepare(self, item: CaptionRequest, /) -> Any:
        """Tokens and pixels of one question. Raises `Poison` where there is no photo."""
        from PIL import Image

        if item.pixels is None:
            raise Poison("this captioner looks at the photo, which is not at hand", field="image")
        photo = Image.fromarray(np.ascontiguousarray(checked(item.pixels)))
        asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": CAPTION_PROMPT}]}]
        with self._one_at_a_time:
            text = self._processor.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
            return self._processor(images=[photo], text=[text], return_tensors="pt")

    def forward(self, batch: Sequence[Any], /) -> list[str]:
        """One photo after the other: their numbers of image tokens differ."""
        return [self._written(one) for one in batch]

    def _written(self, asked: Any) -> str:
        import torch

        given = {name: tensor.to(self._device) for name, tensor in asked.items()}
        with torch.inference_mode():
            found = self._model.generate(**given, max_new_tokens=self._tokens, do_sample=False)
        length = given["input_ids"].shape[1]
        with self._one_at_a_time:
            return str(self._processor.batch_decode(found[:, length:], skip_special_tokens=True)[0])

    def finish(self, _item: CaptionRequest, raw: str, /) -> str:
        return " ".join(raw.split())

    def example(self) -> CaptionRequest:
        pixels = np.full((96, 64, 3), 245, np.uint8)
        pixels[16:80, 16:48] = (200, 32, 47)
        return CaptionRequest(Evidence((Garment("g0", "dress", (16.0, 16.0, 48.0, 80.0), 0.9),)), 0, pixels)


class InstructChat:
    """A prompt → the answer of an instruct model; see `models.ports.Chat`. Make one with `load`."""

    def __init__(self, model: Any, tokenizer: Any, *, device: str, maker: str, tokens: int = MOST_TOKENS) -> None:
        self._model, self._tokenizer, self._device, self._tokens = model, tokenizer, device, tokens
        self._one_at_a_time = threading.Lock()
        self.fingerprint = maker

    @classmethod
    def load(cls, folder: Path, *, device: str = "cpu", tokens: int = MOST_TOKENS) -> InstructChat:
        """From a folder as `transformers` saves model and tokenizer. Raises `Fatal` as `VisionCaptioner.load`."""
        from transformers import AutoModelForCausalLM, AutoTokenizer

        model = _loaded(AutoModelForCausalLM, folder)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        maker = fingerprint("instruct chat", VERSION, str(tokens), *_digests(folder))
        return cls(model.to(device), tokenizer, device=device, maker=maker, tokens=tokens)

    def prepare(self, item: str, /) -> Any:
        """Token ids (1, length)."""
        if not item.strip():
            raise Poison("the prompt is empty")
        with self._one_at_a_time:
            asked = [{"role": "user", "content": item}]
            text = self._tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
            return self._tokenizer([text], return_tensors="pt", add_special_tokens=False)["input_ids"]

    def forward(self, batch: Sequence[Any], /) -> list[str]:
        return [self._written(one) for one in batch]

    def _written(self, ids: Any) -> str:
        import torch

        given = ids.to(self._device)
        with torch.inference_mode():
            found = self._model.generate(
                given, attention_mask=torch.ones_like(given), max_new_tokens=self._tokens, do_sample=False
            )
        with self._one_at_a_time:
            return str(self._tokenizer.decode(found[0, ids.shape[1] :], skip_special_tokens=True))

    def finish(self, _item: str, raw: str, /) -> str:
        return " ".join(raw.split())

    def example(self) -> str:
        return "Say yes."


def _loaded(kind: Any, folder: Path) -> Any:
    """A model of `transformers`, every file of the folder compared with its hash."""
    check_folder(folder)
    try:
        model = kind.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, dtype="auto"
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise Fatal(f"{folder} holds no model that transformers can build here: {_first(error)}") from error
    return model.eval().requires_grad_(requires_grad=False)


def _digests(folder: Path) -> list[str]:
    return [f"{name} {digest}" for name, digest in sorted(read_marker(folder).files.items())]


def _first(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
