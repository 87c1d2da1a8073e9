"""`caption`: an item becomes a caption. Read it from top to bottom:

read (or recall what was written before) → neighbours vote where they may → evidence → write, judge → caption
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec
import structlog

from models.ports import Writer, WriterRequest
from processors import attributes, captions, evidence, hold
from processors.garments import is_of_kind, main_garment
from processors.policies import Policies
from processors.values import CaptionText, Evidence, Garment, StyleExample
from streams.contract import codecs
from streams.contract.records import Caption, Item, Lineage, Provenance
from streams.contract.version import VERSION
from streams.engine.message import Message
from streams.engine.stages import CpuStage, DeviceStage, Done, IoStage, Stage
from streams.roles.caption.drafts import Draft, Drafts, Settled, needs_no_device
from streams.roles.caption.neighbours import Neighbourhood, kind_of_item, vector_of
from streams.roles.caption.pack import told_of
from streams.roles.memo import Memo
from streams.roles.outcome import Deleted, deleted

log = structlog.get_logger("weft.caption")

STYLE_EXAMPLES = 2


Captioned: TypeAlias = Caption | Deleted


@dataclass(frozen=True, slots=True)
class Read:
    """An item, and the hash of the very bytes it came as: the key of its memo."""

    item: Item
    digest: str
    seed: int


@dataclass(frozen=True, slots=True)
class Packed:
    """An item with its evidence, made ready for the language model."""

    read: Read
    request: WriterRequest


class Remembered(msgspec.Struct, frozen=True):
    """The memoised part of a caption."""

    evidence: Evidence
    text: CaptionText
    version: str = VERSION


@dataclass(frozen=True, slots=True)
class Captioner:
    """The stages of the role; everything it needs is handed in."""

    writer: Writer
    neighbourhood: Neighbourhood
    memo: Memo
    calibration: attributes.Calibration | attributes.Calibrations
    batch_items: int
    batch_wait_s: float
    policies: Policies = field(default_factory=Policies)
    rules: Sequence[hold.Rule] = ()
    publish_neighbours: bool = True
    tone: str = captions.DEFAULT_TONE
    """One of `captions.TONES`, or `captions.VARIED`."""
    uncalibrated: set[str] = field(default_factory=set)
    """Encoders whose votes are counted by defaults: each is named once in the log."""

    def stages(self) -> tuple[Stage, ...]:
        """The role's story."""
        return (
            IoStage("read", self.read, concurrency=32),
            CpuStage("evidence", self.pack),
            CpuStage("prompt", self.prompt),
            DeviceStage(
                "write",
                self.drafts.write,
                max_items=self.batch_items,
                wait_s=self.batch_wait_s,
                known=needs_no_device,
            ),
            CpuStage("judge", self.drafts.judge),
            DeviceStage(
                "rewrite",
                self.drafts.write,
                max_items=self.batch_items,
                wait_s=self.batch_wait_s,
                known=needs_no_device,
            ),
            CpuStage("settle", self.drafts.settle),
            IoStage("remember", self.remember),
        )

    async def read(self, message: Message) -> Read | Done[Captioned]:
        """Decode the item; what was written about these very bytes before is published again as it was."""
        if message.value is None:
            return Done(deleted(message))
        item = codecs.decode_item(message.value)
        digest = hashlib.sha256(message.value).hexdigest()
        seed = int.from_bytes(bytes.fromhex(digest)[:4], "big") & 0x7FFFFFFF
        read = Read(item, digest, seed)
        known = await self.memo.recall(digest, Remembered)
        if known is not None:
            return Done(self._caption(read, known))
        return read

    def pack(self, read: Read) -> Packed:
        """Build the evidence pack: what was seen, what the shop said, and what the neighbours agree on."""
        item = read.item
        main = main_garment(item.garments, item.metadata.category)
        garments = [self._with_attributes(item, garment, stated=garment is main) for garment in item.garments]
        pack = evidence.build(garments, self._style_examples(item))
        if main is not None:
            pack = evidence.led_by(pack, main.category, main.box)
        request = WriterRequest(pack, captions.tone_of(item.product_id, self.tone), read.seed)
        return Packed(read, request)

    def _with_attributes(self, item: Item, garment: Garment, *, stated: bool) -> Garment:
        """Each facet by its policy: the shop's own word for the garment it sells, then the votes for what it left open."""
        told = attributes.attributes_of(item.metadata) if stated else {}
        if not is_of_kind(garment, item.metadata.category):
            told = {facet: attribute for facet, attribute in told.items() if facet == "gender"}
        garment = told_of(garment, told, self.policies)
        decided = dict(garment.attributes)
        vector = vector_of(item, garment.id)
        open_facets = [facet for facet in self.policies.voted() if facet not in decided]
        if vector is None or not open_facets:
            return garment
        self._warn_of(item.encoder)
        found = self.neighbourhood.find(item.encoder, garment.category, vector, self.calibration.k, item.product_id)
        for facet in open_facets:
            vote = attributes.vote(found, facet, self.calibration.of(facet, item.encoder))
            if vote is not None:
                decided[facet] = vote
        return msgspec.structs.replace(garment, attributes=decided)

    def _warn_of(self, encoder: str) -> None:
        """Say once that an encoder was never calibrated: its "unknown" and its confidences are only guesses."""
        known = self.calibration
        if isinstance(known, attributes.Calibrations) and not known.fits(encoder) and encoder not in self.uncalibrated:
            self.uncalibrated.add(encoder)
            log.warning(
                "votes of neighbours are not calibrated for this encoder; defaults are used, see docs/models/attributes.md",
                encoder=encoder,
                calibrated=known.encoder or "none",
            )

    def _style_examples(self, item: Item) -> tuple[StyleExample, ...]:
        vector = vector_of(item, "whole")
        if vector is None:
            return ()
        found = self.neighbourhood.find(item.encoder, kind_of_item(item), vector, STYLE_EXAMPLES, item.product_id)
        return tuple(StyleExample(n.product_id, n.text) for n in found if n.text)

    def prompt(self, packed: Packed) -> Draft[Read]:
        """Make the request ready for the language model."""
        return self.drafts.prepare(packed.read, packed.request)

    @property
    def drafts(self) -> Drafts:
        """What is done with a draft, stage by stage."""
        return Drafts(self.writer)

    async def remember(self, settled: Settled[Read]) -> Captioned:
        """Keep what was written, so that a re-delivery publishes the same bytes; the first writer wins.

        What stands in for a model that failed is not kept: the next delivery asks the model again.
        """
        read = settled.item
        remembered = Remembered(settled.request.evidence, settled.text)
        if settled.lasting:
            remembered = await self.memo.keep(read.digest, remembered, Remembered)
        return self._caption(read, remembered)

    def _caption(self, read: Read, remembered: Remembered) -> Caption:
        item, text = read.item, remembered.text
        reasons = hold.reasons(self.rules, remembered.evidence, text)
        return Caption(
            product_id=item.product_id,
            caption=text.caption,
            hashtags=text.hashtags,
            evidence=remembered.evidence if self.publish_neighbours else evidence.anonymous(remembered.evidence),
            spans=text.spans,
            coverage=text.coverage,
            writer=text.writer,
            lineage=Lineage(
                source=item.source,
                detector=item.detector,
                encoder=item.encoder,
                writer=self.writer.fingerprint,
                prompt=self.writer.prompt_fingerprint,
                version=remembered.version,
            ),
            status="hold" if reasons else "ready",
            reasons=reasons,
            provenance=Provenance(
                machine_made=True,
                model=self.writer.fingerprint if text.writer == "llm" else text.writer,
                version=remembered.version,
                inferred=hold.inferred(remembered.evidence),
            ),
        )
