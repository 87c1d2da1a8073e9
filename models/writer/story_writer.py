"""The language model that writes a sentence of an article: SmolLM2 with the adapter of `weft train writer --recipe context`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models.weights.hashes import fingerprint
from models.writer.decoding import Prompt
from models.writer.hf_writer import Engine, HfWriter
from processors.context.telling import TELLING_FINGERPRINT, StoryRequest, prompt
from processors.evidence import build
from processors.values import Garment

MAX_TOKENS = 72
"""Of an answer: a sentence."""


class StoryWriter:
    """A `models.ports.Storyteller`. Build it with `load`."""

    def __init__(self, writer: HfWriter) -> None:
        self._writer = writer
        self._fingerprint = fingerprint("story-writer", writer.fingerprint, TELLING_FINGERPRINT)
        self._shared: dict[bool, tuple[int, ...]] = {}

    @classmethod
    def load(
        cls, base: Path, adapter: Path, *, device: str = "cpu", batch: int = 8, choices: Path | None = None
    ) -> StoryWriter:
        """Load the base with its adapter; it takes the likeliest token each time. Arguments and errors as for `HfWriter.load`."""
        return cls(
            HfWriter.load(
                base, adapter, device=device, batch=batch, choices=choices, max_new_tokens=MAX_TOKENS, temperature=0.0
            )
        )

    @property
    def engine(self) -> Engine:
        """What writes answers."""
        return self._writer.engine

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def prepare(self, item: StoryRequest, /) -> Prompt:
        ids = self._writer.encoded(prompt(item))
        if item.ratio not in self._shared:
            other = self._writer.encoded(prompt(StoryRequest(("x",), build(()), 0, item.ratio)))
            self._shared[item.ratio] = ids[: _common(ids, other)]
        shared = _common(ids, self._shared[item.ratio])
        return Prompt(ids, item.seed, min(shared, len(ids) - 1), MAX_TOKENS, None)

    def forward(self, batch: Sequence[Prompt], /) -> list[tuple[int, ...]]:
        return self._writer.forward(batch)

    def finish(self, _item: StoryRequest, raw: tuple[int, ...], /) -> str:
        return self._writer.text_of(raw)

    def example(self) -> StoryRequest:
        garment = Garment(id="g0", category="dress", box=(0.0, 0.0, 9.0, 9.0), confidence=0.9)
        return StoryRequest(("It was cut by Ada in Porto.",), build([garment]), 1)


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
