"""Why a product's caption says what it says: the role's own stages once more, with everything that they decide on the way."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from models.ports import WriterRequest
from processors import captions
from processors.evidence import worth_stating
from processors.kit import by_rule, held_to
from processors.languages import language_of
from processors.languages.claims import written_as
from processors.values import CaptionText, Evidence, Pixels
from streams.contract.records import Caption, ContextUse
from streams.engine.message import Message
from streams.engine.stages import Done
from streams.roles.caption.context import Added
from streams.roles.caption.facts import seed_of
from streams.roles.caption.role import Captioner
from streams.roles.caption.steps import Read

MOST_UNUSED = 20
NOT_DECIDED = "seen"
"""Source of a category and of colours: detector and pixels."""


class Fact(msgspec.Struct, frozen=True):
    """One fact of the evidence. `source`: merchant, pixels, neighbours, or seen (by the detector, in the pixels)."""

    garment: str
    facet: str
    value: str
    source: str
    confidence: float
    neighbours: tuple[str, ...]
    stated: bool


class Drafted(msgspec.Struct, frozen=True):
    """One draft of the language model and what was found wrong with it; () is nothing."""

    seed: int
    text: str
    refused: tuple[str, ...]


class Explanation(msgspec.Struct, frozen=True):
    """A caption from its input to its verdict.

    `decided`: "draft 1", "draft 2", "rules" (no draft held) or "grammar" (the kit wants it so). `same`: what was published is what these
    facts give now; it is not where another version, model, kit or setting wrote it, or neighbours voted otherwise. `context`: what articles say
    in it; `refused`: why drafts of the published one were not used, draft by draft; `unused`: their other sentences, (article, sentence, why it is not said).
    """

    product_id: str
    shop: str
    source: str
    image: str
    metadata: dict[str, Any]
    kit: str
    tone: str
    facts: tuple[Fact, ...]
    prompt: tuple[dict[str, str], ...]
    drafts: tuple[Drafted, ...]
    decided: str
    caption: str
    published: str
    same: bool
    status: str
    reasons: tuple[str, ...]
    context: tuple[ContextUse, ...] = ()
    unused: tuple[tuple[str, str, str], ...] = ()
    refused: tuple[tuple[str, ...], ...] = ()


def explain(
    captioner: Captioner, item: Message, published: Caption | None, pixels: Pixels | None = None
) -> Explanation | None:
    """Explain the caption of an item; None where it has none yet (nobody has seen the product).

    Args:
        captioner: the role.
        item: the record on `catalog.items`.
        published: what stands on `catalog.captions`; its evidence is what neighbours said then.
        pixels: for a writer that looks at the photo.
    """
    read = captioner.read(item)
    if isinstance(read, Done):
        return None
    pack = published.evidence if published is not None else captioner.pack(read).request.evidence
    request = WriterRequest(pack, read.tone, seed_of(read.keys.facts), pixels)
    drafts, decided, text = _written(captioner, request, read)
    added = Added(text, ())
    if captioner.context is not None and read.applied:
        added = captioner.context.add(read.applied, text, pack, read.kit)
    source = read.item.source
    return Explanation(
        product_id=read.item.product_id,
        shop=read.item.shop,
        source=f"{source.topic}/{source.partition}/{source.offset}",
        image=read.item.image,
        metadata={name: value for name, value in msgspec.to_builtins(read.item.metadata).items() if value},
        kit=read.kit.name,
        tone=read.tone,
        facts=_facts(pack, text, read.kit.locale),
        prompt=()
        if decided == "grammar" or captioner.looks
        else tuple(captions.prompt(pack, read.tone, styled=captioner.drafts.grounded)),
        drafts=drafts,
        decided=decided,
        caption=added.text.caption,
        published="" if published is None else published.caption,
        same=published is not None and published.caption == added.text.caption,
        status="" if published is None else published.status,
        reasons=() if published is None else published.reasons,
        context=added.uses,
        refused=() if published is None or published.provenance is None else published.provenance.refused,
        unused=added.told.refused[:MOST_UNUSED],
    )


def _written(captioner: Captioner, request: WriterRequest, read: Read) -> tuple[tuple[Drafted, ...], str, CaptionText]:
    drafts: list[Drafted] = []
    if read.kit.by_grammar or captioner.by_rule:
        return (
            (),
            "grammar" if read.kit.by_grammar else "rules",
            by_rule(request.evidence, request.tone, request.seed, read.kit),
        )
    for seed in (request.seed, captions.second_seed(request.seed)):
        asked = msgspec.structs.replace(request, seed=seed)
        [raw] = captioner.writer.forward([captioner.writer.prepare(asked)])
        text = captioner.writer.finish(asked, raw)
        verdict = captions.judge(text, request.evidence, request.tone if captioner.drafts.grounded else "")
        if isinstance(verdict, CaptionText):
            verdict = held_to(verdict, request.evidence, read.kit)
        drafts.append(Drafted(seed, text, () if isinstance(verdict, CaptionText) else verdict.reasons))
        if isinstance(verdict, CaptionText):
            return tuple(drafts), f"draft {len(drafts)}", verdict
    # As the role: the rules take the seed of the last draft.
    return tuple(drafts), "rules", by_rule(request.evidence, request.tone, drafts[-1].seed, read.kit)


def facts_of_caption(caption: Caption) -> tuple[Fact, ...]:
    """The facts of a published caption, with who said each and whether its sentences state it."""
    return _facts(caption.evidence, caption, caption.locale)


def _facts(pack: Evidence, text: CaptionText | Caption, locale: str) -> tuple[Fact, ...]:
    named = {garment.id for garment in worth_stating(pack)}
    stated = {(span.garment, span.facet) for span in text.spans}
    found: list[Fact] = []
    for garment in pack.garments:
        said: Sequence[tuple[str, str, str, float, tuple[str, ...]]] = [
            ("category", garment.category, NOT_DECIDED, garment.confidence, ()),
            *(("colour", one.name, NOT_DECIDED, one.share, ()) for one in garment.colours),
            *((facet, a.value, a.source, a.confidence, a.neighbours) for facet, a in garment.attributes.items()),
        ]
        for facet, value, source, confidence, neighbours in said:
            shown = garment.id in named and (
                (garment.id, facet) in stated or _is_said(facet, value, text.caption, locale)
            )
            found.append(Fact(garment.id, facet, value, source, confidence, neighbours, shown))
    return tuple(found)


def _is_said(facet: str, value: str, caption: str, locale: str) -> bool:
    """Whether a caption holds a value, or what its language writes for it."""
    said, forms = caption.lower(), written_as(language_of(locale), facet, value)
    return value.lower() in said or any(re.search(rf"(?<!\w){re.escape(one)}(?!\w)", said) for one in forms)
