"""What the shards are asked for a query: the search, the wished siblings of its reference, and its hits' groups."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from processors.values import Vector
from streams.contract.limits import MAX_DEPTH
from streams.contract.probes import SearchProbe
from streams.roles.compose.asked import MARGIN_S, Asked, Embedded, Prepared
from streams.search import merging

WHOLE = "whole"
"""The name of a whole photo beside its garments."""


def search(prepared: Prepared, vector: Vector) -> SearchProbe:
    """What every shard is asked."""
    asked, reading = prepared.asked, prepared.reading
    query, reference = asked.query, asked.reference
    filters, conditions = merging.filters_of(query)
    return SearchProbe(
        query_id=asked.message.event_id("search"),
        vector=vector.astype("<f4").tobytes(),
        encoder=asked.space.images.fingerprint,
        top_k=asked.page.asked,
        deadline=asked.deadline - MARGIN_S,
        filters=filters,
        exclude=reading.edit.exclude,
        exclude_products=(reference.product,) if reference.product else (),
        min_offsets=query.min_offsets,
        joined=True,
        conditions=(*conditions, *reading.conditions),
        sort=query.sort or "",
        score_band=query.score_band,
        collapse=bool(query.collapse),
        facets=query.facets,
        fields=bool(query.fields),
        shop=query.shop or "",
        generation=asked.space.generation,
        words=reading.words,
    )


def bare(asked: Asked) -> SearchProbe:
    """What is asked by filters alone; there is no vector."""
    filters, conditions = merging.filters_of(asked.query)
    return SearchProbe(
        query_id="",
        vector=b"",
        encoder="",
        top_k=1,
        deadline=0.0,
        filters=filters,
        joined=True,
        conditions=conditions,
        fields=bool(asked.query.fields),
        shop=asked.query.shop or "",
        generation=asked.space.generation,
    )


def siblings(prepared: Prepared, probe: SearchProbe) -> SearchProbe | None:
    """Who of a reference's group is what the shopper wishes ("but in green"); None: there is no group, or no wish."""
    asked, reading = prepared.asked, prepared.reading
    wishes = merging.sibling_filters(reading.edit)
    if not asked.reference.group or not (wishes or reading.conditions):
        return None
    filters, conditions = merging.filters_of(asked.query)
    return replace(
        probe,
        query_id=asked.message.event_id("siblings"),
        top_k=merging.MOST_SIBLINGS,
        filters={**filters, **wishes},
        groups=(asked.reference.group,),
        # Of a sibling it must be known that it is what was asked for, before it takes the first place.
        conditions=(*conditions, *(replace(c, lenient=False) for c in reading.conditions)),
        collapse=False,
        facets=(),
    )


def beside(embedded: Embedded, probe: SearchProbe) -> dict[str, SearchProbe]:
    """Garment → what every shard is asked for it: for those of the photo that the words are not about, and for the whole photo.

    Filters hold for all of them; what the words wish and refuse is of the garment that they are about.
    """
    prepared = embedded.prepared
    event_id, page = prepared.asked.message.event_id, prepared.asked.page
    wanted = {one.garment.id: one.vector for one in embedded.worn if one.garment.id != embedded.lead}
    if embedded.whole is not None:
        wanted[WHOLE] = embedded.whole
    return {
        name: replace(
            probe,
            query_id=event_id(f"search/{name}"),
            vector=vector.astype("<f4").tobytes(),
            top_k=page.asked,
            exclude={},
            blocks={},
            wishes={},
            facets=(),
        )
        for name, vector in wanted.items()
    }


def variants(prepared: Prepared, probe: SearchProbe, found: Sequence[merging.Ranked]) -> SearchProbe | None:
    """The products of the hits' groups, wherever they lie; None where no hit has a group."""
    groups = tuple(dict.fromkeys(one.hit.group_id for one in found if one.hit.group_id))
    if not groups:
        return None
    return replace(
        probe,
        query_id=prepared.asked.message.event_id("variants"),
        top_k=min((merging.MOST_VARIANTS + 1) * len(groups), MAX_DEPTH),
        groups=groups,
        collapse=False,
        sort="",
        facets=(),
        fields=False,
    )
