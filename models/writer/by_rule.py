"""In place of a language model where captions are written by rule alone: nothing is loaded."""

from __future__ import annotations

from collections.abc import Sequence

from models.ports import WriterRequest
from models.weights.hashes import fingerprint
from processors.caption_grammar import training_text
from processors.captions import DEFAULT_TONE, PROMPT_FINGERPRINT, RULES
from processors.values import Evidence


class RuleWriter:
    """Evidence → sentences and hashtags of the caption grammar; implements `models.ports.Writer`."""

    fingerprint = fingerprint("rule writer", RULES)
    prompt_fingerprint = PROMPT_FINGERPRINT

    def prepare(self, item: WriterRequest, /) -> WriterRequest:
        return item

    def forward(self, batch: Sequence[WriterRequest], /) -> list[str]:
        return [training_text(one.evidence, one.tone, one.seed) for one in batch]

    def finish(self, _item: WriterRequest, raw: str, /) -> str:
        return raw

    def example(self) -> WriterRequest:
        return WriterRequest(Evidence(garments=()), DEFAULT_TONE, 0)
