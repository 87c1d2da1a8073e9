"""From a record of `search.standing` to what products are held against, by the stages of `compose`."""

from __future__ import annotations

import asyncio
from dataclasses import replace as changed

from msgspec.structs import replace

from processors import composing
from processors.chances import CATEGORY
from processors.composing import Composed
from processors.errors import Retryable
from streams.contract import codecs
from streams.contract.lenders import check_start
from streams.contract.probes import SearchProbe
from streams.contract.records import ImageRef
from streams.engine.message import Message
from streams.roles.compose import facets, judging, probes, vectors
from streams.roles.compose.asked import Asked, Embedded, Reference
from streams.roles.compose.references import References
from streams.roles.compose.role import Compose
from streams.roles.matching import compiled
from streams.roles.matching.compiled import LEAST, Compiled, Kept
from streams.search import merging
from streams.search.pending import all_answered
from streams.search.wording import wording_of

PATIENCE_S = 30.0
"""For the photo to be fetched, and for the index to find what a query names."""


class Compiling:
    """Reads standing queries.

    Args:
        compose: the stages; its `publish` is never called.
    """

    def __init__(self, compose: Compose) -> None:
        self._compose = compose

    @property
    def encoder(self) -> str:
        """Fingerprint of the encoder that reads them."""
        return self._compose.images.fingerprint

    async def compiled(self, message: Message, photo: bytes = b"") -> Kept:
        """What a record says.

        Args:
            message: of `search.standing`, not a deletion.
            photo: what it started from, where that is known from before: its address may be gone.

        Raises:
            BadQuery, Poison: nothing can be held against it, and why.
            Retryable: what it starts from, or names, cannot be asked for now.
        """
        query = codecs.decode_standing(message)
        if photo and query.image is not None and query.image.product_id is None:
            query = replace(query, image=ImageRef(bytes=photo, box=query.image.box))
        check_start(query)
        now, compose = self._compose.now(), self._compose
        asked = Asked(message, query, now, now + PATIENCE_S, Reference(), compose.space())
        if query.image is None and not any(text.strip() for text in (*query.edits, query.text or "")):
            return Kept(_filters_alone(asked))
        try:
            reference = await compose.reference(asked, query)
            lent = await References(compose.pending, compose.partitions, compose.place).lent(asked)
        except TimeoutError:
            raise Retryable(f"the photo did not come within {PATIENCE_S:.0f} s") from None
        asked = changed(asked, reference=changed(reference, lent=lent))
        found = await self._named(asked, await asyncio.to_thread(self._read, asked))
        compiled.check_judged(found, compose.relevance)
        return Kept(found, reference.data)

    def _read(self, asked: Asked) -> Compiled:
        """By the stages of a query, without asking anybody."""
        compose, query = self._compose, asked.query
        prepared = compose.cut(compose.detect([compose.open(asked)])[0])
        (embedded,) = compose.embed([prepared])
        composed = facets.composed_of(embedded)
        first = facets.with_facets(probes.search(prepared, vectors.fused(embedded)), composed, embedded)
        first = _strict(replace(first, wishes=_wishes(embedded, composed)))
        beside = () if composed is not None or embedded.texts else tuple(probes.beside(embedded, first).values())
        kind, evidence = judging.evidence_of(embedded, edited=composed is not None)
        return Compiled(
            query_id=query.query_id,
            probes=(first, *map(_strict, beside)),
            kind=kind,
            categories=tuple(evidence.categories),
            seen=evidence.seen,
            least=query.min_relevance or LEAST,
            encoder=asked.space.images.fingerprint,
            fields=query.fields,
            ignored=(*prepared.reading.edit.ignored, *compiled.unfollowed(query)),
        )

    async def _named(self, asked: Asked, found: Compiled) -> Compiled:
        """The brand or collection that the words name, as a filter: which words are names only the whole catalogue knows."""
        first = found.probes[0]
        if first.words is None:
            return found
        probe = replace(first, query_id=asked.message.event_id("names"), top_k=1, deadline=asked.deadline)
        answers = await self._compose.pending.ask(probe, all_answered)
        if not all_answered(answers):
            raise Retryable("not every shard answered which of the words are names")
        wording = wording_of(probe.words, merging.good_of(probe, answers))
        filters = dict(first.filters)
        for name in () if wording is None else wording.taken:
            filters.setdefault(name.facet, (name.value,))
        seen = found.seen or (wording is not None and wording.found)
        return replace(found, probes=(replace(first, filters=filters), *found.probes[1:]), seen=seen)


def _filters_alone(asked: Asked) -> Compiled:
    query = asked.query
    probe = _strict(probes.bare(asked))
    return Compiled(query.query_id, (probe,), "words", (), True, 0.0, "", query.fields, compiled.unfollowed(query))


def _wishes(embedded: Embedded, composed: Composed | None) -> dict[str, tuple[str, ...]]:
    """What a product must be for sure: what the words set, and of an edit the category of what it starts from."""
    if composed is None:
        edit = embedded.prepared.reading.edit
        return dict(composing.compose({}, edit).wishes) if edit.set else {}
    wishes = dict(composed.wishes)
    if CATEGORY in composed.kept:
        given = facets.known_of(embedded)[CATEGORY]
        wishes[CATEGORY] = (max(given, key=lambda value: (given[value], value)),)
    return wishes


def _strict(probe: SearchProbe) -> SearchProbe:
    """Who is to be told of a dress under 50 wants one that is known to cost less; and every product of a style by itself."""
    conditions = tuple(replace(condition, lenient=False) for condition in probe.conditions)
    return replace(
        probe, query_id="", deadline=0.0, min_offsets={}, conditions=conditions, collapse=False, sort="", facets=()
    )
