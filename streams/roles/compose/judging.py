"""How relevant the hits of a query are, and whether its result is sure of anything (`processors.relevance`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace as changed

from msgspec import UNSET
from msgspec.structs import replace

from processors.asked_garments import SURE as SURELY_SEEN
from processors.errors import Code
from processors.relevance import SURE, Evidence, Judged, Kind, Relevance, knows
from processors.shopper_words import in_english
from processors.values import CATEGORIES
from streams.contract.records import Hit, QueryError
from streams.roles.compose.asked import Embedded
from streams.search.merging import Ranked
from streams.search.wording import Wording

UNFITTED = QueryError(
    Code.UNKNOWN_NAME,
    "no relevance was fitted for this encoder and this kind of query: it was not followed",
    "min_relevance",
)


def judge_of(embedded: Embedded, relevance: Relevance, *, edited: bool) -> Judged | None:
    """What judges the hits of a query; None where nothing was fitted for its encoder and its kind.

    `edited`: its words were read as an edit of facets, whose scores are on another scale. No curve is fitted for those, nor for words
    beside a photo or a product otherwise ("composed").
    """
    _, evidence = evidence_of(embedded, edited=edited)
    return relevance.of(embedded.prepared.asked.space.images.fingerprint, evidence)


def evidence_of(embedded: Embedded, *, edited: bool) -> tuple[Kind, Evidence]:
    """Which kind of query it is, and what is known of it beside its scores."""
    prepared = embedded.prepared
    query, edit = prepared.asked.query, prepared.reading.edit
    category = edit.set.get("category", "")
    started = prepared.photo is not None or prepared.asked.reference.vector is not None
    kind: Kind = "words"
    if started:
        kind = (
            "composed"
            if embedded.texts or embedded.composed or edited
            else "photo"
            if prepared.photo is not None
            else "product"
        )
    seen = knows(in_english(query.text or "")) if kind == "words" else True
    if prepared.photo is not None:
        # A faint box stands in a photo of nothing too.
        seen = any(one.garment.category and one.garment.confidence >= SURELY_SEEN for one in embedded.worn)
    return kind, Evidence(kind, (category,) if category in CATEGORIES else (), seen)


def with_words(judged: Judged | None, wording: Wording | None) -> Judged | None:
    """The same, once it is known what the words are to the catalogue: a brand that no list of ours has is known as well."""
    if judged is None or wording is None or not wording.found or judged.evidence.seen:
        return judged
    return changed(judged, evidence=changed(judged.evidence, seen=True))


def confident(found: Sequence[Ranked], judged: Judged | None) -> bool | None:
    """Whether some hit is likelier right than not; None where nobody can say."""
    if judged is None:
        return None
    return any(chance_of(one, judged) >= SURE for one in found)


def told(found: Sequence[Ranked], hits: Sequence[Hit], judged: Judged | None, least: float) -> tuple[Hit, ...]:
    """The hits with their relevance, without those below `least`. `hits`: of `found`, as they are published."""
    if judged is None:
        return tuple(hits)
    known = (replace(hit, relevance=chance_of(one, judged)) for one, hit in zip(found, hits, strict=True))
    return tuple(one for one in known if one.relevance is UNSET or one.relevance >= least)


WORDED = 0.5
"""From how much of a query's words a product's own words speak for it by themselves (`Wording.said`)."""


def chance_of(one: Ranked, judged: Judged) -> float:
    """How relevant a hit is: by its vector, as the curve was fitted; a title that has the words, the brand that is named, or the id itself needs no likeness."""
    hit = one.hit
    chance = judged.at(hit.score if hit.similarity is None else hit.similarity, hit.category)
    if one.said < WORDED:
        return chance
    # An id is that product, whatever else the words are read as.
    return max(chance, one.said if one.said == 1.0 else round(one.said * judged.fits(hit.category), 4))
