"""BLIP (arXiv 2201.12086) as a writer: it says what it sees in a photo, and knows nothing of the evidence. A baseline for captions.

The folder is `BlipForConditionalGeneration`'s as `transformers` saves it: configuration, safetensors, tokenizer and
`preprocessor_config.json`, listed. It was taught no hashtags: where it writes none, those of the rules stand below its sentences.
What it says is verified as every draft is, and refused where it leaves out what is known.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.ports import View, WriterRequest
from models.squashed import Preprocessing, picture, preprocessing_of
from models.weights.hashes import check_folder, check_weights, fingerprint, weight_files
from models.writer.seeded_sampling import Sampler, SeededSampling
from processors.captions import DEFAULT_TONE, template_caption
from processors.errors import Fatal, Poison
from processors.values import Evidence, Garment

VERSION = "1"
MODEL_TYPE = "blip"
MOST_TOKENS = 64
WARM_TOKENS = 4
REPEATED_RUN = 6
"""No run of so many tokens is written twice."""
TEMPERATURE = 0.7
_SPACED_HYPHEN = re.compile(r"(?<=\w)\s*-\s*(?=\w)")
_SPACED_APOSTROPHE = re.compile(r"(?<=\w)\s*(['’])\s*(?=s(?!\w))")
_SPACED_TAG = re.compile(r"#\s+(?=\w)")
_SPACED_END = re.compile(r"\s+(?=[.,;:!?])")


class Shown(NamedTuple):
    """A photo as the network sees it, (3, side, side) float32, the seed of its sampling, and the longest answer in tokens."""

    photo: NDArray[np.float32]
    seed: int
    longest: int


class BlipWriter:
    """Pixels → sentences; implements `models.ports.Writer` and `LooksAtPhotos`. Make one with `load`.

    Args:
        model: `BlipForConditionalGeneration`, in eval mode on `device`.
        tokenizer: of the same folder (`tokenizers.Tokenizer`).
        preprocessing: of photos.
        maker: of weights and settings.
        device: of torch. On a processor photos are described one after the other, so that the sums of one depend on no other.
        view: what it is shown.
        temperature: of sampling; 0 takes the likeliest word each time.
        longest: answer, in tokens.
    """

    prompt_fingerprint = fingerprint("blip: no prompt", VERSION)

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        preprocessing: Preprocessing,
        *,
        maker: str,
        device: str = "cpu",
        view: View = "photo",
        temperature: float = TEMPERATURE,
        longest: int = MOST_TOKENS,
    ) -> None:
        self._model, self._tokenizer, self._preprocessing = model, tokenizer, preprocessing
        self._device, self._temperature, self._longest = device, temperature, longest
        self._side: int = model.config.vision_config.image_size
        self._end: int = model.config.text_config.sep_token_id
        self._rows = 1 if device == "cpu" else 32
        self.looks: View = view
        settings = f"{view} {temperature} {longest} {REPEATED_RUN} {Sampler.VERSION}"
        self.fingerprint = fingerprint("blip writer", VERSION, maker, settings)

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        device: str = "cpu",
        view: View = "photo",
        temperature: float = TEMPERATURE,
        longest: int = MOST_TOKENS,
    ) -> BlipWriter:
        """From a folder.

        Raises:
            Fatal: a file is missing, damaged, not listed, or no BLIP that writes captions.
        """
        model = network(folder)
        tokenizer, preprocessing = tokenizer_of(folder), preprocessing_of(folder)
        maker = fingerprint(*(f"{path.name} {check_weights(path)}" for path in _files(folder)))
        model = model.to(device).eval().requires_grad_(requires_grad=False)
        told: dict[str, Any] = {"device": device, "view": view, "temperature": temperature, "longest": longest}
        return cls(model, tokenizer, preprocessing, maker=maker, **told)

    def prepare(self, item: WriterRequest, /) -> Shown:
        """Raises `Poison` where there is no photo, or it is none."""
        if item.pixels is None:
            raise Poison("this writer looks at the photo, which is not at hand", field="image")
        longest = min(WARM_TOKENS, self._longest) if item is _EXAMPLE else self._longest
        return Shown(picture(item.pixels, self._side, self._preprocessing), item.seed, longest)

    def forward(self, batch: Sequence[Shown], /) -> list[tuple[int, ...]]:
        """The ids of what is written, without the end."""
        rows = [batch[start : start + self._rows] for start in range(0, len(batch), self._rows)]
        return [ids for some in rows for ids in self._written(some)]

    def _written(self, batch: Sequence[Shown]) -> list[tuple[int, ...]]:
        import torch
        from transformers import LogitsProcessorList

        photos = torch.from_numpy(np.stack([one.photo for one in batch])).to(self._device)
        sampling = SeededSampling([one.seed for one in batch], prompt_length=1, temperature=self._temperature)
        with torch.inference_mode():
            out = self._model.generate(
                pixel_values=photos.to(self._model.dtype),
                max_new_tokens=max(one.longest for one in batch),
                do_sample=False,  # the processor has already thrown the dice
                num_beams=1,
                no_repeat_ngram_size=REPEATED_RUN,
                logits_processor=LogitsProcessorList([sampling]),
            )
        return [self._until_end(row[1:])[: one.longest] for row, one in zip(out.tolist(), batch, strict=True)]

    def _until_end(self, row: list[int]) -> tuple[int, ...]:
        return tuple(row[: row.index(self._end)] if self._end in row else row)

    def finish(self, item: WriterRequest, raw: tuple[int, ...], /) -> str:
        """Its sentences, and the hashtags of the rules below them where it wrote none."""
        text = tidy(self._tokenizer.decode(list(raw), skip_special_tokens=True))
        if not text or "#" in text:
            return text
        tags = template_caption(item.evidence, item.tone, item.seed).hashtags
        return f"{text}\n{' '.join(tags)}"

    def example(self) -> WriterRequest:
        return _EXAMPLE


def tidy(text: str) -> str:
    """The words as they are printed: BLIP's tokenizer sets every sign apart, and knows no capitals.

    >>> tidy("a women ' s t - shirt . it is red")
    "A women's t-shirt. It is red."
    """
    text = _SPACED_TAG.sub("#", _SPACED_APOSTROPHE.sub(r"\1", _SPACED_HYPHEN.sub("-", " ".join(text.split()))))
    sentences, hash_, tags = _SPACED_END.sub("", text).partition("#")
    sentences = sentences.strip()
    if sentences and sentences[-1] not in ".!?":
        sentences += "."
    sentences = re.sub(r"(^|[.!?]\s+)(\w)", lambda match: match.group(1) + match.group(2).upper(), sentences)
    return f"{sentences}\n#{tags}" if hash_ else sentences


def network(folder: Path) -> Any:
    """`BlipForConditionalGeneration` from a local folder in float32, every file of it compared with its hash.

    Raises:
        Fatal: as `BlipWriter.load`.
    """
    from transformers import BlipForConditionalGeneration

    if not folder.is_dir():
        raise Fatal(f"{folder} is missing")
    check_folder(folder)
    kind = model_type(folder)
    if kind != MODEL_TYPE:
        raise Fatal(f"{folder / 'config.json'} is {kind or 'no model'}'s, and not BLIP's")
    try:
        made, told = BlipForConditionalGeneration.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype="float32", output_loading_info=True
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise Fatal(f"{folder} holds no BLIP that transformers can build here: {first}") from error
    missing = sorted(told["missing_keys"])
    if missing:
        raise Fatal(f"{folder} is no BLIP that writes captions: its weights lack {missing[0]}")
    return made


def model_type(folder: Path) -> str:
    """As `config.json` says; "" where it says nothing."""
    try:
        found = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError):
        return ""
    return str(found.get("model_type", "")) if isinstance(found, dict) else ""


def tokenizer_of(folder: Path) -> Any:
    """The tokenizer of the folder. Raises `Fatal` where there is none."""
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        raise Fatal(f"{path} is missing: save model and processor of BLIP into one folder")
    check_weights(path)
    found = Tokenizer.from_file(str(path))
    found.no_truncation()
    found.no_padding()
    return found


def _files(folder: Path) -> list[Path]:
    return [path for path in weight_files(folder) if path.suffix == ".safetensors" or path.name in _SETTINGS]


_SETTINGS = frozenset({"config.json", "tokenizer.json", "preprocessor_config.json"})


def _picture() -> NDArray[np.uint8]:
    """A red rectangle on white."""
    pixels = np.full((96, 64, 3), 245, np.uint8)
    pixels[16:80, 16:48] = (200, 32, 47)
    return pixels


_EXAMPLE = WriterRequest(
    Evidence((Garment("g0", "dress", (16.0, 16.0, 48.0, 80.0), 0.9),)), DEFAULT_TONE, 1, _picture()
)
