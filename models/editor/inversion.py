"""Garments as words: the inversion adapter of LaDI-VTON (Morelli et al. 2023), as Fashion-RAG uses it, and how its words get into a prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from processors.errors import Code, Poison

WORDS = 16
"""Tokens that stand for one garment."""
PLACE = "$"
BEGINNING = "a photo of a model wearing "


class InversionAdapter(nn.Module):
    """Features of a garment's photo → `WORDS` vectors in the space of the text encoder's token embeddings.

    One encoder layer → CLS → LayerNorm → MLP d → 4d → 4d → 16 · text width.

    Args:
        config: of the vision tower (`CLIPVisionConfig`).
        text_width: of a token's embedding.
        dropout: in the MLP, while it is trained.
    """

    def __init__(self, config: Any, text_width: int, dropout: float = 0.5) -> None:
        super().__init__()
        from transformers.models.clip.modeling_clip import CLIPEncoderLayer

        width = int(config.hidden_size)
        self.text_width = text_width
        self.encoder_layer = CLIPEncoderLayer(config)
        self.post_layernorm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.layers = nn.Sequential(
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(4 * width, 4 * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(4 * width, WORDS * text_width),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(n, tokens, d), the penultimate features of the vision tower → (n, `WORDS`, text width)."""
        found = self.encoder_layer(features, attention_mask=None)
        found = found[0] if isinstance(found, tuple) else found
        words: Tensor = self.layers(self.post_layernorm(found[:, 0]))
        return words.view(len(features), WORDS, self.text_width)


def penultimate(vision: nn.Module, pixels: Tensor) -> Tensor:
    """(n, 3, side, side) → (n, tokens, d): what the last layer but one of a CLIP vision tower says."""
    states = vision(pixel_values=pixels, output_hidden_states=True).hidden_states
    found: Tensor = states[-2]
    return found


class Prompt(NamedTuple):
    """A prompt as ids, as long as the text encoder reads, and where garments stand in it."""

    ids: tuple[int, ...]
    places: tuple[int, ...]


class Prompts:
    """Makes prompts of words and garments.

    Args:
        encode: the words of a text as ids, without beginning and end.
        begin, end, pad: ids.
        length: of the text encoder's context: 77.
    """

    def __init__(self, encode: Callable[[str], Sequence[int]], *, begin: int, end: int, pad: int, length: int) -> None:
        self._encode, self._begin, self._end, self._pad, self._length = encode, begin, end, pad, length
        [self.place] = encode(PLACE)

    @classmethod
    def load(cls, folder: Path, length: int) -> Prompts:
        """With the CLIP tokenizer of a folder (`vocab.json`, `merges.txt`)."""
        from transformers import CLIPTokenizer

        tokenizer = CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)

        def encode(text: str) -> Sequence[int]:
            found: Sequence[int] = tokenizer(text, add_special_tokens=False, truncation=False)["input_ids"]
            return found

        return cls(
            encode,
            begin=tokenizer.bos_token_id,
            end=tokenizer.eos_token_id,
            pad=tokenizer.pad_token_id,
            length=length,
        )

    def of(self, worn: Sequence[tuple[str, bool]]) -> Prompt:
        """Each garment in its own words: "a photo of a model wearing {a dress} made of $, {trousers} made of $", each $ as `WORDS` tokens.

        Args:
            worn: the words for each garment, and whether it has a photo; nothing: the empty prompt.

        Raises:
            Poison: more than the text encoder reads: nothing is ever cut off.
        """
        ids = [self._begin]
        for number, (words, shown) in enumerate(worn):
            said = (BEGINNING if not number else ", ") + words.replace(PLACE, " ")
            ids += self._encode(f"{said} made of" if shown else said)
            ids += [self.place] * (WORDS if shown else 0)
        ids.append(self._end)
        if len(ids) > self._length:
            most = f"{len(worn)} garments with these words take {len(ids)} tokens, and {self._length} are read"
            raise Poison(most, field="references" if len(worn) > 1 else "text", code=Code.OUT_OF_RANGE)
        places = tuple(at for at, one in enumerate(ids) if one == self.place)
        return Prompt((*ids, *[self._pad] * (self._length - len(ids))), places)


def encoded(text_encoder: Any, prompts: Sequence[Prompt], words: Sequence[Tensor]) -> Tensor:
    """(n, length, width): prompts as the text encoder reads them, with the words of garments in their places.

    The encoder looks back only, so what stands before a garment is read as if there were none.

    Args:
        text_encoder: a `CLIPTextModel`.
        prompts: n of them.
        words: for each (garments · `WORDS`, width).

    Raises:
        ValueError: another number of words than places.
    """
    device = next(text_encoder.parameters()).device
    ids = torch.tensor([prompt.ids for prompt in prompts], device=device)
    with _in_place(text_encoder.get_input_embeddings(), prompts, words):
        found: Tensor = text_encoder(input_ids=ids).last_hidden_state
    return found


@contextmanager
def _in_place(embedding: nn.Module, prompts: Sequence[Prompt], words: Sequence[Tensor]) -> Iterator[None]:
    """While it lasts, what `embedding` says of the places is replaced."""
    if any(len(prompt.places) != len(own) for prompt, own in zip(prompts, words, strict=True)):
        raise ValueError("each place of a garment takes one of its words")

    def replaced(_module: nn.Module, _given: Any, embeddings: Tensor) -> Tensor:
        found = embeddings.clone()
        for row, (prompt, own) in enumerate(zip(prompts, words, strict=True)):
            if prompt.places:
                found[row, list(prompt.places)] = own.to(found)
        return found

    handle = embedding.register_forward_hook(replaced)
    try:
        yield
    finally:
        handle.remove()


def widened(unet: Any, channels: int) -> Any:
    """A UNet whose first convolution takes `channels` instead of fewer: what is new counts for nothing until it is trained.

    Returns:
        The same object; unchanged where it is as wide already.

    Raises:
        ValueError: it takes more than that.
    """
    old = unet.conv_in
    if old.in_channels == channels:
        return unet
    if old.in_channels > channels:
        raise ValueError(f"the network takes {old.in_channels} channels, more than {channels}")
    new = nn.Conv2d(channels, old.out_channels, old.kernel_size, old.stride, old.padding, bias=old.bias is not None)
    new = new.to(device=old.weight.device, dtype=old.weight.dtype)
    with torch.no_grad():
        new.weight.zero_()
        new.weight[:, : old.in_channels] = old.weight
        if old.bias is not None and new.bias is not None:
            new.bias.copy_(old.bias)
    unet.conv_in = new
    unet.register_to_config(in_channels=channels)
    return unet
