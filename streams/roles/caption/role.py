"""`caption`: an item becomes a caption. Read it from top to bottom:

read → recall (what was written of these facts before) → neighbours vote where they may → evidence
     → look (only for a writer that writes from pixels) → write, judge → caption

A caption is a function of the facts that it states (`facts`): a product that comes again unchanged, with another price, or
while its neighbours have moved on, is published as it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from index_sync.bank import Neighbour
from infra.logs import logger
from models.ports import Writer, WriterRequest, view_of
from processors import attributes, captions, evidence, hold
from processors.errors import Poison
from processors.facets import COLOUR, MERCHANT, NEIGHBOURS
from processors.garments import is_of_kind
from processors.identity import key_of
from processors.kit import PLAIN, other_texts, unmet
from processors.merchant import seen_kind, told_facets
from processors.policies import Policies
from processors.said import evidence_of
from processors.values import Attribute, Evidence, Garment, StyleExample, Vector
from streams.contract import codecs
from streams.contract.cloudevents import event_context
from streams.contract.records import Caption, Item, Lineage, Provenance
from streams.engine.message import EDITION, Message
from streams.engine.patience import Patience
from streams.engine.stages import CpuStage, Done, IoStage, Stage
from streams.roles.caption.context import Context
from streams.roles.caption.drafts import Drafts, Judged, Settled, ignored
from streams.roles.caption.facts import facts_key, seed_of, sight_key
from streams.roles.caption.kits import NO_KITS, Kits
from streams.roles.caption.looking import Look, nowhere
from streams.roles.caption.neighbours import Finder, Neighbourhood, kind_of_item, nearest, vector_of
from streams.roles.caption.pack import own_colour, told_of
from streams.roles.caption.steps import Keys, Packed, Read, Shown, Written
from streams.roles.memo import Memo
from streams.roles.outcome import Caused, Causes, Deleted, Makeshift, NoEffect, Unchanged, deleted
from streams.roles.sold import sold_garment

log = logger("weft.caption")

STYLE_EXAMPLES = 2


Captioned: TypeAlias = Caption | Unchanged | Caused | Deleted | NoEffect


IN_THREAD = 16
"""Items that are hashed in a thread: of fewer that costs more than it spares the loop, some 20 µs each."""


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
    """One of `captions.TONES`, or `captions.VARIED`; a product with a kit has the kit's."""
    kits: Kits = NO_KITS
    context: Context | None = None
    """Articles; None: there are none."""
    shelf: Finder | None = None
    """Labelled products from outside the catalogue; None: there are none."""
    look: Look = nowhere
    """The pixels of an item, for a writer that looks at them; of others it is not asked."""
    by_rule: bool = False
    """The language model is not asked."""
    patience: Patience = field(default_factory=lambda: Patience(0.0))
    """How long the language model may take for a batch; no limit."""
    profile: str = ""
    """Whose models it runs, for lineage."""
    refused: Callable[[str], None] = ignored
    """Told of drafts that were refused: see `Drafts.count`."""
    gives_way: bool = False
    """Whether the writer serves what is urgent between the steps of a batch."""
    cause: Causes | None = None
    """Of what a record has its caption made (`streams.roles.caption.cause`)."""
    causes: Callable[[Iterable[str]], Awaitable[Mapping[str, bytes]]] | None = None
    """Of what the captions were made that stand (`streams.roles.standing`); None: of none it is known."""
    uncalibrated: set[str] = field(default_factory=set)
    """Encoders whose votes are counted by defaults: each is named once in the log."""

    def stages(self) -> tuple[Stage, ...]:
        """The role's story."""
        return (
            CpuStage("read", self.read, run_all=self.read_all, run_all_of=1),
            IoStage("recall", self.recall, concurrency=32),
            CpuStage("evidence", self.pack),
            *((IoStage("look", self.looked, concurrency=8),) if self.looks else ()),
            CpuStage("prompt", self.prompt),
            self._written("write"),
            CpuStage("judge", self.drafts.judge),
            self._written("rewrite"),
            CpuStage("settle", self.drafts.settle),
            IoStage("remember", self.remember),
        )

    def _written(self, name: str) -> Stage:
        return self.drafts.stage(name, most=self.batch_items, wait_s=self.batch_wait_s, gives_way=self.gives_way)

    async def read_all(self, messages: Sequence[Message]) -> Sequence[Done[Captioned] | None]:
        """Items that arrived together: those of which a caption stands, or is known, that was made of the very same. Others are
        read one by one.
        """
        found = await self._standing(messages)
        others = [number for number, done in enumerate(found) if done is None]
        if others and len(messages) > 1:  # one alone is read by itself at once
            for number, done in zip(others, await self._known([messages[n] for n in others]), strict=True):
                found[number] = done
        return found

    async def _standing(self, messages: Sequence[Message]) -> list[Done[Captioned] | None]:
        """Nothing to do, for items whose caption stands, as far as is known now: nothing of them is decoded for that."""
        cause, causes = self.cause, self.causes
        if cause is None or causes is None:
            return [None] * len(messages)
        if len(messages) < IN_THREAD:
            own = [cause(message) for message in messages]
        else:
            own = await asyncio.to_thread(lambda: [cause(message) for message in messages])
        products = [(message.key or b"").decode(errors="replace") for message in messages]
        known = await causes(product for product, made in zip(products, own, strict=True) if made)
        return [
            Done(Caused(product, made)) if made and known[product] == made else None
            for product, made in zip(products, own, strict=True)
        ]

    async def _known(self, messages: Sequence[Message]) -> Sequence[Done[Captioned] | None]:
        read = await asyncio.to_thread(lambda: [self._read_or_none(message) for message in messages])
        known = await self.memo.recall_all((one.keys.sight for one in read if isinstance(one, Read)), Shown)
        found: list[Done[Captioned] | None] = []
        for one in read:
            shown = known.get(one.keys.sight) if isinstance(one, Read) else None
            if isinstance(one, Read):
                again = shown is None or one.keys != one.plain or one.early is not None
                found.append(None if shown is None or again else Done(self._recalled(one, shown)))
            else:
                found.append(one)
        return found

    def _read_or_none(self, message: Message) -> Read | Done[Captioned] | None:
        try:
            return self.read(message)
        except Poison:
            return None  # `read` tells

    def read(self, message: Message) -> Read | Done[Captioned]:
        """Decode the item, and find what may be said of it before any neighbour is asked."""
        if message.value is None:
            return Done(deleted(message))
        item = codecs.decode_item(message.value)
        if item.incomplete is True:
            return Done(NoEffect())  # nobody has seen the product yet
        main = sold_garment(item)
        own = evidence.build([self._told(item, garment, stated=garment is main) for garment in item.garments])
        if main is not None:
            own = evidence.led_by(own, main.category, main.box)
        own = msgspec.structs.replace(own, said=evidence_of(item.metadata))
        product = key_of(item.shop, item.product_id)
        kit, waits = self.kits.of(item.metadata)
        wishes = "" if kit is PLAIN else kit.fingerprint
        tone = kit.tone if wishes else captions.tone_of(product, self.tone)

        early = message if self.context is not None and self.context.missing(message) else None
        applied = () if self.context is None else self.context.of(item)
        added = "" if self.context is None else self.context.fingerprint(applied)

        seen = item.image if self.looks else ""

        def keys(edition: bytes) -> Keys:
            facts = facts_key(product, tone, own, edition, wishes, seen)
            return Keys(facts, sight_key(facts, item, own, added))

        plain, edition = keys(b""), message.header(EDITION) or b""
        wanted = keys(edition) if edition else plain
        return Read(item, event_context(message).id, own, tone, wanted, plain, kit, waits, applied, early)

    async def recall(self, read: Read) -> Read | Done[Captioned]:
        """What was written of these very facts before is published again, with the boxes of the photo of now."""
        if read.early is not None:
            again = await self._with_articles(read.early)
            if isinstance(again, Done):
                return again
            read = again
        shown = await self.memo.recall(read.keys.sight, Shown)
        if shown is None:
            written = await self.memo.recall(read.keys.facts, Written)
            return read if written is None else Done(await self._show(read, written))
        if read.keys != read.plain:
            await self._replace(read.plain, shown)  # a process died before it did
        return Done(self._recalled(read, shown))

    async def _with_articles(self, message: Message) -> Read | Done[Captioned]:
        """Read an item anew, once the articles are known that it was sent again for."""
        assert self.context is not None
        if not await self.context.reached(self.context.missing(message)):
            log.warning(
                "articles.unknown", offset=message.offset, what="an item was sent again for articles that did not come"
            )
        return await asyncio.to_thread(self.read, message)

    def _recalled(self, read: Read, shown: Shown) -> Captioned:
        caption = self._caption(read, shown)
        first = shown.event == read.event or caption.lineage.source != shown.source
        return caption if first else Unchanged(caption)

    def _told(self, item: Item, garment: Garment, *, stated: bool) -> Garment:
        """The garment with the shop's own word, where it is the one that the shop sells, and with what was seen of it."""
        told = told_facets(item.metadata, seen_kind(garment)) if stated else {}
        if not is_of_kind(garment, item.metadata.category):
            told = {facet: attribute for facet, attribute in told.items() if facet == "gender"}
        # What tells the products of a group apart is the shop's to say: pixels may give two shades one name.
        named = self.policies.of(COLOUR) == "seen" or item.metadata.group_id
        word = own_colour(item.metadata) if COLOUR in told and named else ""
        if word:
            said = Attribute(word, 1.0, source=MERCHANT)
            garment = msgspec.structs.replace(garment, attributes={**garment.attributes, COLOUR: said})
        return told_of(garment, told, self.policies)

    def pack(self, read: Read) -> Packed:
        """Build the evidence pack: what the product says by itself, and what the neighbours agree on."""
        decided = [self._decided(read.item, garment) for garment in read.own.garments]
        pack = _with(read.own, decided, self._style_examples(read.item))
        return Packed(read, WriterRequest(pack, read.tone, seed_of(read.keys.facts)))

    def _decided(self, item: Item, garment: Garment) -> Mapping[str, Attribute]:
        """Each facet by its policy: the votes for what shop and photo left open."""
        decided = dict(garment.attributes)
        vector = vector_of(item, garment.id)
        open_facets = [facet for facet in self.policies.voted() if facet not in decided]
        if vector is None or not open_facets:
            return decided
        self._warn_of(item.encoder)
        found = self._near(item, garment.category, vector, self.calibration.k)
        for facet in open_facets:
            vote = attributes.vote(found, facet, self.calibration.of(facet, item.encoder))
            if vote is not None:
                decided[facet] = msgspec.structs.replace(vote, source=NEIGHBOURS)
        return decided

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
        found = self._near(item, kind_of_item(item), vector, STYLE_EXAMPLES)
        return tuple(StyleExample(n.product_id, n.text) for n in found if n.text)

    def _near(self, item: Item, kind: str, vector: Vector, k: int) -> Sequence[Neighbour]:
        """The nearest labelled products of the catalogue and of the shelf."""
        asked = (item.encoder, item.shop, kind, vector, k, item.product_id)
        own = self.neighbourhood.find(*asked)
        return own if self.shelf is None else nearest(own, self.shelf(*asked), k)

    @property
    def looks(self) -> bool:
        """Whether captions are written from pixels, too."""
        return not self.by_rule and view_of(self.writer) != ""

    async def looked(self, packed: Packed) -> Packed:
        """With the pixels, where the writer will be asked."""
        if packed.read.kit.by_grammar:
            return packed
        pixels = await self.look(packed.read.item)
        return Packed(packed.read, msgspec.structs.replace(packed.request, pixels=pixels))

    def prompt(self, packed: Packed) -> Judged[Read]:
        """Make the request ready for the language model."""
        return self.drafts.prepare(packed.read, packed.request, packed.read.kit)

    @property
    def drafts(self) -> Drafts:
        """What is done with a draft, stage by stage."""
        return Drafts(self.writer, by_rule=self.by_rule, patience=self.patience, count=self.refused)

    async def remember(self, settled: Settled[Read]) -> Captioned:
        """Keep what was written, so that the same facts publish the same bytes; the first writer wins.

        What stands in for a model that failed, or wrote what nobody can read, is not kept: the next delivery asks the model again. For
        a price alone only a model that failed is asked: one that answers gives the same answer to the same facts, most times.
        """
        read, pack = settled.item, settled.request.evidence
        decided = tuple(dict(garment.attributes) for garment in pack.garments)
        written = Written(settled.text, decided, pack.style_examples, refused=settled.refused)
        if not settled.lasting:
            caption = self._caption(read, await self._shown(read, written))
            return caption if settled.answered else Makeshift.of(caption)
        return await self._show(read, await self.memo.keep(read.keys.facts, written, Written))

    async def _show(self, read: Read, written: Written) -> Caption:
        """Keep a caption as it is published for the first time."""
        shown = await self.memo.keep(read.keys.sight, await self._shown(read, written), Shown)
        if read.keys != read.plain:
            await self._replace(read.plain, shown)
        return self._caption(read, shown)

    async def _shown(self, read: Read, written: Written) -> Shown:
        """What is written, with what articles add to it."""
        shown = Shown(read.item.source, read.event, written)
        if self.context is None or not read.applied:
            return shown
        pack = _with(read.own, written.attributes, written.style_examples)
        added = await asyncio.to_thread(self.context.add, read.applied, written.text, pack, read.kit)
        return msgspec.structs.replace(shown, caption=added.text.caption, context=added.uses) if added.uses else shown

    async def _replace(self, keys: Keys, shown: Shown) -> None:
        """From now on this is what is said of these facts."""
        await self.memo.replace(keys.facts, shown.written)
        await self.memo.replace(keys.sight, shown)

    def _caption(self, read: Read, shown: Shown) -> Caption:
        item, written, text = read.item, shown.written, shown.written.text
        if shown.context:
            text = msgspec.structs.replace(text, caption=shown.caption)
        pack = _with(read.own, written.attributes, written.style_examples)
        kit = read.kit
        reasons = hold.reasons(self.rules, pack, text, chosen=kit.by_grammar)
        reasons += (*(() if kit is PLAIN else unmet(kit, text, pack)), *read.waits)
        others = other_texts(pack, kit)
        return Caption(
            product_id=item.product_id,
            caption=text.caption,
            context=shown.context or msgspec.UNSET,
            hashtags=text.hashtags,
            evidence=pack if self.publish_neighbours else evidence.anonymous(pack),
            spans=text.spans,
            coverage=text.coverage,
            writer=text.writer,
            lineage=Lineage(
                # Two equal items are worked on beside each other: where the younger was kept first, the older names itself.
                source=shown.source.or_earlier(item.source),
                detector=item.detector,
                encoder=item.encoder,
                writer=self.writer.fingerprint,
                prompt=self.writer.prompt_fingerprint,
                version=written.version,
                facets=item.facets,
                profile=self.profile,
            ),
            status="hold" if reasons else "ready",
            reasons=reasons,
            provenance=Provenance(
                machine_made=True,
                model=self.writer.fingerprint if text.writer == "llm" else text.writer,
                version=written.version,
                inferred=hold.inferred(pack),
                refused=written.refused,
            ),
            shop=item.shop,
            kit=kit.name,
            locale=kit.locale,
            title=others.title,
            alt=others.alt,
            description=others.description,
            meta=others.meta,
        )


def _with(
    own: Evidence, decided: Sequence[Mapping[str, Attribute]], style_examples: Sequence[StyleExample]
) -> Evidence:
    """The pack with what was decided of each garment, in the order of the garments."""
    garments = tuple(
        msgspec.structs.replace(garment, attributes=dict(attributes))
        for garment, attributes in zip(own.garments, decided, strict=True)
    )
    return Evidence(garments, tuple(style_examples[: evidence.MAX_STYLE_EXAMPLES]), own.said)
