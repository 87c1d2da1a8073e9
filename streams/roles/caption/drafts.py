"""Drafts of captions: what the device sees of them, and what is done about a draft beside it.

    prepare (tokenise) → write (the device) → judge → again? (the device) → settled

The device thread only runs the model. Tokenising and judging, once a draft each, take milliseconds of a CPU thread; on
the device thread they would hold up whoever waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec

from infra.logs import logger
from models.ports import HoldsToGrammar, Raw, Ready, Remote, Writer, WriterRequest
from models.served.failures import Unanswered
from processors import captions
from processors.errors import Fatal, Retryable
from processors.kit import PLAIN, Kit, by_rule, held_to
from processors.refusals import FAILED, HUNG, is_readable, rules_of
from processors.values import CaptionText
from streams.engine.patience import Hung, Patience
from streams.engine.stages import DeviceStage, IoStage, Stage

log = logger("weft.caption")

T = TypeVar("T")
Reasons: TypeAlias = tuple[str, ...]


MOST_REASONS = 12
"""Reasons against a draft that are kept."""


def ignored(_rule: str) -> None:
    """Nobody counts."""


@dataclass(frozen=True, slots=True)
class Draft(Generic[T]):
    """A caption that is being written.

    Args:
        item: whose caption it is.
        request: what the model is asked.
        ready: the request, tokenised; None where that failed.
        raw: what the model answered.
        failed: why the model could not be asked, or gave nothing (`processors.refusals`); "" where it answered.
        kit: how the brand wants it.
        refused: the reasons against each draft before this one.
    """

    item: T
    request: WriterRequest
    ready: Ready = None
    raw: Raw = None
    failed: str = ""
    kit: Kit = PLAIN
    refused: tuple[Reasons, ...] = ()


@dataclass(frozen=True, slots=True)
class Settled(Generic[T]):
    """A caption that holds. `lasting`: it is not what stands in for a model that failed, or wrote what nobody can read.

    `refused`: the reasons against each draft that it stands in for. `answered`: the model did not fail.
    """

    item: T
    request: WriterRequest
    text: CaptionText
    lasting: bool
    refused: tuple[Reasons, ...] = ()
    answered: bool = True


Judged: TypeAlias = Settled[T] | Draft[T]
"""Settled, or a second draft to be written."""


@dataclass(frozen=True, slots=True)
class Drafts:
    """The steps of a draft. All but `write` run in CPU threads."""

    writer: Writer
    by_rule: bool = False
    """The model is not asked."""
    patience: Patience = field(default_factory=lambda: Patience(0.0))
    """How long the model may take for a batch."""
    count: Callable[[str], None] = ignored
    """Told of each draft that was refused, once for each rule of `processors.refusals`."""

    @property
    def grounded(self) -> bool:
        """Whether drafts are held to the grammar of their evidence."""
        return isinstance(self.writer, HoldsToGrammar) and self.writer.grounded

    def prepare(self, item: Any, request: WriterRequest, kit: Kit = PLAIN) -> Judged[Any]:
        """Tokenise; where the brand wants another language or order than the model's, the caption is written by grammar at once."""
        if kit.by_grammar or self.by_rule:
            return self._by_rule(Draft(item, request, kit=kit), lasting=True)
        return self._prepared(Draft(item, request, kit=kit))

    def _prepared(self, draft: Draft[T]) -> Draft[T]:
        try:
            return replace(draft, ready=self.writer.prepare(draft.request))
        except (Retryable, Fatal):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a model library raises, the product gets its caption
            return self._failed(draft, error)

    def write(self, batch: Sequence[Draft[T]]) -> list[Draft[T]]:
        """Run the model. A batch that it fails on is halved by the engine until the bad request is alone; one that hangs is given up."""
        try:
            raws = self.patience.run(lambda: self.writer.forward([draft.ready for draft in batch]))
        except (Retryable, Fatal):
            raise
        except Hung as error:
            return [self._failed(draft, error) for draft in batch]
        except Exception as error:
            if len(batch) > 1:
                raise
            return [self._failed(batch[0], error)]
        return [replace(draft, raw=raw) for draft, raw in zip(batch, raws, strict=True)]

    async def ask(self, draft: Draft[T]) -> Draft[T]:
        """The same of a model elsewhere. What it could not answer says so when it is judged."""
        assert isinstance(self.writer, Remote)
        try:
            return replace(draft, raw=await self.writer.answer(draft.ready))
        except (Retryable, Fatal):
            raise
        except Exception as error:  # noqa: BLE001 - as in `_prepared`
            return self._failed(draft, error)

    def stage(self, name: str, *, most: int, wait_s: float, gives_way: bool) -> Stage:
        """Where the model is run: on the device, or, where it computes elsewhere, on the event loop, which holds no device.

        Args:
            name: of the stage.
            most: items of a batch of the device.
            wait_s: longest wait of its first item.
            gives_way: see `DeviceStage`.
        """
        if isinstance(self.writer, Remote):
            return IoStage(name, self.ask, concurrency=self.writer.concurrency, known=needs_no_device, abandons=True)
        return DeviceStage(name, self.write, max_items=most, wait_s=wait_s, known=needs_no_device, gives_way=gives_way)

    def judge(self, draft: Judged[T]) -> Judged[T]:
        """The verdict on a first draft; one that claims too much is asked for once more, with another seed."""
        if isinstance(draft, Settled):
            return draft
        verdict = self._judged(draft)
        if isinstance(verdict, CaptionText):
            return Settled(draft.item, draft.request, verdict, lasting=True, refused=draft.refused)
        refused = self._refused(draft, verdict)
        if refused.failed:
            return self._by_rule(refused, lasting=False)
        again = msgspec.structs.replace(draft.request, seed=captions.second_seed(draft.request.seed))
        return self._prepared(replace(refused, request=again, ready=None, raw=None))

    def settle(self, judged: Judged[T]) -> Settled[T]:
        """The verdict on a second draft; after it the rule-based writer."""
        if isinstance(judged, Settled):
            return judged
        verdict = self._judged(judged)
        if isinstance(verdict, CaptionText):
            return Settled(judged.item, judged.request, verdict, lasting=True, refused=judged.refused)
        refused = self._refused(judged, verdict)
        # Claims that the same evidence always brings about are the model's last word; what nobody can read, or no answer, is not.
        readable = all(is_readable(reasons) for reasons in refused.refused)
        return self._by_rule(refused, lasting=not refused.failed and readable)

    def _judged(self, draft: Draft[Any]) -> CaptionText | captions.Rejected:
        if draft.failed:
            return captions.Rejected((draft.failed,))
        try:
            raw = self.writer.finish(draft.request, draft.raw)
        except (Retryable, Fatal):
            raise
        except Exception as error:  # noqa: BLE001 - as in `_prepared`
            return captions.Rejected((self._failed(draft, error).failed,))
        tone = draft.request.tone if self.grounded else ""
        verdict = captions.judge(raw, draft.request.evidence, tone)
        return held_to(verdict, draft.request.evidence, draft.kit) if isinstance(verdict, CaptionText) else verdict

    def _refused(self, draft: Draft[T], verdict: captions.Rejected) -> Draft[T]:
        """The draft with one verdict more against it, counted."""
        for rule in rules_of(verdict.reasons):
            self.count(rule)
        failed = next((reason for reason in verdict.reasons if reason in (FAILED, HUNG)), "")
        return replace(draft, failed=failed, refused=(*draft.refused, verdict.reasons[:MOST_REASONS]))

    def _by_rule(self, draft: Draft[T], *, lasting: bool) -> Settled[T]:
        request = draft.request
        text = by_rule(request.evidence, request.tone, request.seed, draft.kit)
        return Settled(draft.item, request, text, lasting, draft.refused, answered=not draft.failed)

    def _failed(self, draft: Draft[T], error: Exception) -> Draft[T]:
        if isinstance(
            error, Unanswered
        ):  # counted by its cause; of a server that is left alone each caption would say the same
            log.debug("written by rule", error=str(error))
            return replace(draft, failed=HUNG if error.cause == "timeout" else FAILED)
        log.warning("the language model failed on one product; its caption is written by rule", error=repr(error))
        return replace(draft, failed=HUNG if isinstance(error, Hung) else FAILED)


def needs_no_device(judged: Judged[Any]) -> Judged[Any] | None:
    """What the device has nothing to do with: a caption that is settled, a request that could not be tokenised."""
    return judged if isinstance(judged, Settled) or judged.failed else None
