"""Captions from what is known: by rule, or by the writer whose every claim is checked against it."""

from __future__ import annotations

from collections.abc import Sequence

from models.ports import CaptionRequest, Raw, Ready, Remote, Writer, WriterRequest, view_of
from models.served.failures import Unanswered
from models.weights.hashes import fingerprint
from processors import captions
from processors.values import Evidence, Garment

TONE = captions.DEFAULT_TONE


class RuleCaptioner:
    """By rule: no model."""

    fingerprint = fingerprint("rule captioner", str(captions.RULES))
    looks = False

    def prepare(self, item: CaptionRequest, /) -> CaptionRequest:
        return item

    def forward(self, batch: Sequence[CaptionRequest], /) -> list[str]:
        return [captions.template_caption(one.evidence, TONE, one.seed).caption for one in batch]

    def finish(self, _item: CaptionRequest, raw: str, /) -> str:
        return raw

    def example(self) -> CaptionRequest:
        return _example()


class WriterCaptioner:
    """By the language model that writes captions; what claims more than is known is written by rule.

    Args:
        writer: guarded and warmed up.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self.looks = view_of(writer) != ""
        self.fingerprint = fingerprint("writer captioner", writer.fingerprint, writer.prompt_fingerprint)

    def prepare(self, item: CaptionRequest, /) -> Ready:
        return self._writer.prepare(_request(item))

    def forward(self, batch: Sequence[Ready], /) -> list[Raw]:
        return self._writer.forward(batch)

    def finish(self, item: CaptionRequest, raw: Raw, /) -> str:
        request = _request(item)
        try:
            drafts = [self._writer.finish(request, raw)]
        except Unanswered:
            drafts = []
        return captions.settle(drafts, request.evidence, request.tone, request.seed).caption.caption

    def example(self) -> CaptionRequest:
        return _example()


class RemoteWriterCaptioner(WriterCaptioner):
    """The same by a writer that computes elsewhere; `models.ports.Remote` as that is.

    Args:
        writer: a `Writer`, too.
        remote: the same.
    """

    def __init__(self, writer: Writer, remote: Remote) -> None:
        super().__init__(writer)
        self._remote = remote

    @property
    def concurrency(self) -> int:
        return self._remote.concurrency

    @property
    def trouble(self) -> str:
        return self._remote.trouble

    async def answer(self, ready: Ready, /) -> Raw:
        return await self._remote.answer(ready)


def captioner_by(writer: Writer) -> WriterCaptioner:
    """By this writer, wherever it computes."""
    return RemoteWriterCaptioner(writer, writer) if isinstance(writer, Remote) else WriterCaptioner(writer)


def _request(item: CaptionRequest) -> WriterRequest:
    return WriterRequest(item.evidence, TONE, item.seed, item.pixels)


def _example() -> CaptionRequest:
    return CaptionRequest(Evidence((Garment("g0", "dress", (0.0, 0.0, 64.0, 128.0), 0.9),)), 0)
