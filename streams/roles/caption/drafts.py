"""Drafts of captions: what the device sees of them, and what is done about a draft beside it.

    prepare (tokenise) → write (the device) → judge → again? (the device) → settled

The device thread only runs the model. Tokenising and judging, once a draft each, take milliseconds of a CPU thread; on
the device thread they would hold up whoever waits for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec
import structlog

from models.ports import HoldsToGrammar, Raw, Ready, Writer, WriterRequest
from processors import captions
from processors.errors import Fatal, Retryable
from processors.kit import PLAIN, Kit, by_rule, held_to
from processors.values import CaptionText

log = structlog.get_logger("weft.caption")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Draft(Generic[T]):
    """A caption that is being written.

    Args:
        item: whose caption it is.
        request: what the model is asked.
        ready: the request, tokenised; None where that failed.
        raw: what the model answered.
        failed: the model could not be asked, or raised: what goes out in its place is nobody's last word.
        kit: how the brand wants it.
    """

    item: T
    request: WriterRequest
    ready: Ready = None
    raw: Raw = None
    failed: bool = False
    kit: Kit = PLAIN


@dataclass(frozen=True, slots=True)
class Settled(Generic[T]):
    """A caption that holds. `lasting`: it is what the model says of this evidence, whenever it is asked."""

    item: T
    request: WriterRequest
    text: CaptionText
    lasting: bool


Judged: TypeAlias = Settled[T] | Draft[T]
"""Settled, or a second draft to be written."""


@dataclass(frozen=True, slots=True)
class Drafts:
    """The steps of a draft. All but `write` run in CPU threads."""

    writer: Writer
    by_rule: bool = False
    """The model is not asked."""

    @property
    def grounded(self) -> bool:
        """Whether drafts are held to the grammar of their evidence."""
        return isinstance(self.writer, HoldsToGrammar) and self.writer.grounded

    def prepare(self, item: Any, request: WriterRequest, kit: Kit = PLAIN) -> Judged[Any]:
        """Tokenise; where the brand wants another language or order than the model's, the caption is written by grammar at once."""
        if kit.by_grammar or self.by_rule:
            return self._by_rule(Draft(item, request, kit=kit), lasting=True)
        try:
            return Draft(item, request, self.writer.prepare(request), kit=kit)
        except (Retryable, Fatal):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a model library raises, the product gets its caption
            return self._failed(Draft(item, request, kit=kit), error)

    def write(self, batch: Sequence[Draft[T]]) -> list[Draft[T]]:
        """Run the model. A batch that it fails on is halved by the engine until the bad request is alone."""
        try:
            raws = self.writer.forward([draft.ready for draft in batch])
        except (Retryable, Fatal):
            raise
        except Exception as error:
            if len(batch) > 1:
                raise
            return [self._failed(batch[0], error)]
        return [replace(draft, raw=raw) for draft, raw in zip(batch, raws, strict=True)]

    def judge(self, draft: Judged[T]) -> Judged[T]:
        """The verdict on a first draft; one that claims too much is asked for once more, with another seed."""
        if isinstance(draft, Settled):
            return draft
        text = self._judged(draft)
        if isinstance(text, CaptionText):
            return Settled(draft.item, draft.request, text, lasting=True)
        if draft.failed or text is None:
            return self._by_rule(draft, lasting=False)
        seed = captions.second_seed(draft.request.seed)
        return self.prepare(draft.item, msgspec.structs.replace(draft.request, seed=seed), draft.kit)

    def settle(self, judged: Judged[T]) -> Settled[T]:
        """The verdict on a second draft; after it the rule-based writer."""
        if isinstance(judged, Settled):
            return judged
        text = self._judged(judged)
        if isinstance(text, CaptionText):
            return Settled(judged.item, judged.request, text, lasting=True)
        return self._by_rule(judged, lasting=not judged.failed and text is not None)

    def _judged(self, draft: Draft[Any]) -> CaptionText | captions.Rejected | None:
        """None: there is no draft to judge."""
        if draft.failed:
            return None
        try:
            raw = self.writer.finish(draft.request, draft.raw)
        except (Retryable, Fatal):
            raise
        except Exception as error:  # noqa: BLE001 - as in `prepare`
            self._failed(draft, error)
            return None
        tone = draft.request.tone if self.grounded else ""
        verdict = captions.judge(raw, draft.request.evidence, tone)
        return held_to(verdict, draft.request.evidence, draft.kit) if isinstance(verdict, CaptionText) else verdict

    def _by_rule(self, draft: Draft[T], *, lasting: bool) -> Settled[T]:
        request = draft.request
        text = by_rule(request.evidence, request.tone, request.seed, draft.kit)
        return Settled(draft.item, request, text, lasting)

    def _failed(self, draft: Draft[T], error: Exception) -> Draft[T]:
        log.warning("the language model failed on one product; its caption is written by rule", error=repr(error))
        return replace(draft, failed=True)


def needs_no_device(judged: Judged[Any]) -> Judged[Any] | None:
    """What the device has nothing to do with: a caption that is settled, a request that could not be tokenised."""
    return judged if isinstance(judged, Settled) or judged.failed else None
