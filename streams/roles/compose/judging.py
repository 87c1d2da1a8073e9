"""How relevant the hits of a query are, and whether its result is sure of anything (`processors.relevance`)."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET
from msgspec.structs import replace

from processors.errors import Code
from processors.relevance import SURE, Evidence, Judged, Kind, Relevance, knows
from processors.values import CATEGORIES
from streams.contract.records import Hit, QueryError
from streams.roles.compose.asked import Embedded
from streams.search.merging import Ranked

UNFITTED = QueryError(
    Code.UNKNOWN_NAME,
    "no relevance was fitted for this encoder and this kind of query: it was not followed",
    "min_relevance",
)


def judge_of(embedded: Embedded, relevance: Relevance, *, edited: bool) -> Judged | None:
    """What judges the hits of a query; None where nothing was fitted for its encoder and its kind.

    `edited`: its words were read as an edit of facets, whose scores are on another scale.
    """
    prepared = embedded.prepared
    query, edit = prepared.asked.query, prepared.reading.edit
    category = edit.set.get("category", "")
    started = prepared.photo is not None or prepared.asked.reference.vector is not None
    kind: Kind = "words"
    if started:
        kind = "composed" if embedded.texts or edited else "photo" if prepared.photo is not None else "product"
    seen = knows(query.text or "") if kind == "words" else True
    if prepared.photo is not None:
        seen = any(one.garment.category for one in embedded.worn)
    evidence = Evidence(kind, (category,) if category in CATEGORIES else (), seen)
    return relevance.of(prepared.asked.space.images.fingerprint, evidence)


def confident(found: Sequence[Ranked], judged: Judged | None) -> bool | None:
    """Whether some hit is likelier right than not; None where nobody can say."""
    if judged is None:
        return None
    return any(_at(one.hit, judged) >= SURE for one in found)


def told(hits: Sequence[Hit], judged: Judged | None, least: float) -> tuple[Hit, ...]:
    """The hits with their relevance, without those below `least`."""
    if judged is None:
        return tuple(hits)
    known = (replace(one, relevance=_at(one, judged)) for one in hits)
    return tuple(one for one in known if one.relevance is UNSET or one.relevance >= least)


WORDED = 0.5
"""Of the words of a query, the share in a product's title from which they speak for it by themselves."""


def _at(hit: Hit, judged: Judged) -> float:
    """By its vector, as the curve was fitted; a title that has the words, or the id itself, needs no likeness."""
    chance = judged.at(hit.score if hit.similarity is None else hit.similarity, hit.category)
    words = hit.words or 0.0
    return max(chance, round(words, 4)) if words >= WORDED else chance
