"""The answer of one shard, or of many together, to one probe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from index_sync.counting import Counts
from index_sync.entry import ShardHit, Wanted, chances_of
from index_sync.shard import Shard
from index_sync.state import State, Wish, count_states, search_states, weigh_states
from processors.conditions import Condition, parted
from processors.errors import Code, Poison
from processors.offers import column_named
from processors.ordering import DIGITS, Order
from streams.contract.limits import MAX_COMPARED, MAX_COMPARED_VIEWS
from streams.contract.probes import (
    About,
    Answer,
    Found,
    Hits,
    LookupProbe,
    Probe,
    ProductViews,
    SearchProbe,
    Standing,
)
from streams.contract.records import Hit


def answer(shard: Shard, probe: Probe, of: int, wanted: int) -> Answer:
    """The answer of one shard; see `answer_of`."""
    return answer_of([shard], probe, of, {shard.partition: wanted})


def answer_of(
    shards: Sequence[Shard], probe: Probe, of: int, wanted: Mapping[int, int], reached: Mapping[int, int] | None = None
) -> Answer:
    """Search or look up in all `shards`; runs in a thread.

    Args:
        shards: each of one partition, one generation; at least one.
        probe: the question.
        of: partitions of `catalog.items`.
        wanted: per partition, the offset that must be applied for the answer to be `fresh` (0: any is).
        reached: per partition, how far `catalog.items` is in, where the shards read a topic of their generation's own;
            asked for before this is called.
    """
    # One state for hits and offset: what the answer says of itself is true of exactly these rows.
    states = [shard.state for shard in shards]
    applied = [(reached or {}).get(s.partition, state.next_offset) for s, state in zip(shards, states, strict=True)]
    if isinstance(probe, LookupProbe):
        return _look_up(shards, states, applied, probe, of, wanted)
    return _search(shards, states, applied, probe, of, wanted)


def _search(
    shards: Sequence[Shard],
    states: Sequence[State],
    applied: Sequence[int],
    probe: SearchProbe,
    of: int,
    wanted: Mapping[int, int],
) -> Hits:
    errors = [_other_maker(state, probe) for state in states]
    searched = [number for number, error in enumerate(errors) if not error]
    found: list[tuple[int, ShardHit]] = []
    counted, words = _NOTHING, None
    filters, conditions = _parted(probe)
    wish = Wish(
        conditions,
        None if probe.groups is None else frozenset(probe.groups),
        Order(probe.sort, probe.score_band),
        probe.collapse,
        probe.fields,
        probe.shop,
        probe.blocks,
        probe.wishes,
        probe.inner,
    )
    try:
        vector = _vector(probe.vector)
        able = [states[number] for number in searched]
        exclude = probe.exclude, probe.exclude_products
        words = None if probe.words is None else weigh_states(able, probe.words, probe.shop)
        hits = search_states(able, vector, probe.top_k, filters, *exclude, wish, words)
        found = [(searched[number], hit) for number, hit in hits]
        if probe.facets:
            counted = count_states(able, probe.facets, filters, *exclude, wish)
    except Poison as poison:
        errors = [error or str(poison) for error in errors]
    columns = {condition.column for condition in conditions if not condition.lenient}
    columns |= {column for name in probe.facets if (column := column_named(name))}
    names = {**filters, **{name: () for name in probe.facets if not column_named(name)}}
    unknown = [
        () if error else state.unknown_facets(names, columns) for state, error in zip(states, errors, strict=True)
    ]
    first, *others = (
        _standing(shard, offset, wanted, error, facets)
        for shard, offset, error, facets in zip(shards, applied, errors, unknown, strict=True)
    )
    return Hits(
        query_id=probe.query_id,
        partition=first.partition,
        of=of,
        generation=shards[0].generation,
        applied_offset=first.applied_offset,
        fresh=first.fresh,
        hits=tuple(
            Hit(hit.product_id, round(hit.score, DIGITS), hit.image, hit.category, hit.group, photo=hit.photo)
            for _, hit in found
        ),
        error=first.error,
        unknown_facets=first.unknown_facets,
        others=tuple(others),
        partitions=tuple(shards[number].partition for number, _ in found) if others else (),
        typed=True,
        composed=True,
        about=tuple(_about(hit) for _, hit in found),
        total=counted.total,
        counts={name: _most(values) for name, values in counted.facets.items()},
        ranges=counted.ranges,
        words=None if words is None or words.idle else words.counts,
    )


def _about(hit: ShardHit) -> About:
    inner = None if hit.inner is None else round(hit.inner, DIGITS)
    about = About(hit.value, hit.colour, hit.offer, dict(hit.said), dict(hit.meets), inner=inner)
    if hit.told is None:
        return about
    return msgspec.structs.replace(
        about, similarity=hit.similarity, values=bytes(hit.told.values), names=hit.told.names, coded=hit.told.coded
    )


MOST_VALUES = 1000
"""Values of a counted facet that an answer holds, those with most products."""
_NOTHING = Counts(0, {}, {})


def _most(values: dict[str, int]) -> dict[str, int]:
    return dict(sorted(values.items(), key=lambda pair: (-pair[1], pair[0]))[:MOST_VALUES])


def _parted(probe: SearchProbe) -> tuple[Wanted, tuple[Condition, ...]]:
    """The facets and the conditions of a probe; an asker of an earlier version names columns among its facets."""
    if not any(column_named(name) for name in probe.filters):
        return probe.filters, probe.conditions
    try:
        facets, conditions = parted(probe.filters)
    except Poison:  # that asker knew facets only: words that no column takes find nothing
        return probe.filters, probe.conditions
    return facets, (*probe.conditions, *conditions)


def _other_maker(state: State, probe: SearchProbe) -> str:
    """Why this shard cannot be searched with the probe's vector, or ""."""
    if not state.encoder or probe.encoder == state.encoder:
        return ""
    return str(
        Poison(
            f"the query's vector is of {probe.encoder}, the index holds {state.encoder}",
            field="encoder",
            code=Code.WRONG_ENCODER,
        )
    )


def _look_up(
    shards: Sequence[Shard],
    states: Sequence[State],
    applied: Sequence[int],
    probe: LookupProbe,
    of: int,
    wanted: Mapping[int, int],
) -> Found:
    products = [state.lookup(probe.product_id) for state in states]
    # Of several (its key moved to another partition) any is as good as another: the askers took whichever came first.
    here = next((number for number, product in enumerate(products) if product is not None), 0)
    standings = [_standing(shard, offset, wanted) for shard, offset in zip(shards, applied, strict=True)]
    own, others = standings[here], tuple(standings[:here] + standings[here + 1 :])
    common = Found(
        query_id=probe.query_id,
        partition=own.partition,
        of=of,
        generation=shards[here].generation,
        applied_offset=own.applied_offset,
        fresh=own.fresh,
        others=others,
    )
    if probe.products:
        return msgspec.structs.replace(common, products=_views_of(states, probe.products))
    product = products[here]
    if product is None:
        return common
    return Found(
        query_id=common.query_id,
        partition=common.partition,
        of=of,
        generation=common.generation,
        applied_offset=common.applied_offset,
        fresh=common.fresh,
        image=product.payload.image,
        category=product.payload.category,
        facets=product.payload.facets,
        colours=product.payload.colours,
        vector=product.vector.astype("<f4").tobytes(),
        others=others,
        group_id=product.payload.group,
        chances=chances_of(product.payload),
        heads=product.payload.heads if isinstance(product.payload.heads, str) else "",
        pays=product.offer.pays,
        currency=product.offer.currency,
    )


def _views_of(states: Sequence[State], keys: Sequence[str]) -> tuple[ProductViews, ...]:
    """The products that these shards hold, in the order that they were asked for."""
    found = []
    for key in dict.fromkeys(keys[:MAX_COMPARED]):
        there = (views for state in states if (views := state.views(key, MAX_COMPARED_VIEWS)) is not None)
        if (one := next(there, None)) is not None:
            vectors = one.vectors.astype("<f2", copy=False).tobytes()
            found.append(ProductViews(key, one.ids, one.categories, vectors, one.chances))
    return tuple(found)


def _standing(
    shard: Shard, applied: int, wanted: Mapping[int, int], error: str = "", unknown_facets: tuple[str, ...] = ()
) -> Standing:
    return Standing(shard.partition, applied, applied >= wanted.get(shard.partition, 0), error, unknown_facets)


def _vector(data: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    if len(data) % 4:
        raise Poison("is not a whole number of float32 values", field="vector")
    return np.frombuffer(data, dtype="<f4").astype(np.float32, copy=False)
