"""One shard's answer to one probe."""

from __future__ import annotations

import numpy as np

from index_sync.shard import Shard
from processors.errors import Code, Poison
from streams.contract.records import Answer, Found, Hit, Hits, LookupProbe, Probe, SearchProbe


def answer(shard: Shard, probe: Probe, of: int, wanted: int) -> Answer:
    """Search or look up; runs in a thread.

    Args:
        shard: of one partition.
        probe: the question.
        of: partitions of `catalog.items`.
        wanted: the offset that must be applied for the answer to be `fresh` (0: any is).
    """
    if isinstance(probe, LookupProbe):
        return _look_up(shard, probe, of, wanted)
    return _search(shard, probe, of, wanted)


def _search(shard: Shard, probe: SearchProbe, of: int, wanted: int) -> Hits:
    # One state for hits and offset: what the answer says of itself is true of exactly these rows.
    state = shard.state
    hits: tuple[Hit, ...] = ()
    unknown: tuple[str, ...] = ()
    error = ""
    try:
        if state.encoder and probe.encoder != state.encoder:
            raise Poison(
                f"the query's vector is of {probe.encoder}, the index holds {state.encoder}",
                field="encoder",
                code=Code.WRONG_ENCODER,
            )
        found = state.search(
            _vector(probe.vector),
            probe.top_k,
            probe.filters,
            probe.exclude,
            probe.exclude_products,
        )
        unknown = state.unknown_facets(probe.filters)
        hits = tuple(Hit(hit.product_id, round(hit.score, 6), hit.image, hit.category) for hit in found)
    except Poison as poison:
        error = str(poison)
    return Hits(
        query_id=probe.query_id,
        partition=shard.partition,
        of=of,
        generation=shard.generation,
        applied_offset=state.next_offset,
        fresh=state.next_offset >= wanted,
        hits=hits,
        error=error,
        unknown_facets=unknown,
    )


def _look_up(shard: Shard, probe: LookupProbe, of: int, wanted: int) -> Found:
    state = shard.state
    applied = state.next_offset
    product = state.lookup(probe.product_id)
    common = Found(probe.query_id, shard.partition, of, shard.generation, applied, applied >= wanted)
    if product is None:
        return common
    return Found(
        query_id=common.query_id,
        partition=common.partition,
        of=of,
        generation=common.generation,
        applied_offset=applied,
        fresh=common.fresh,
        image=product.payload.image,
        category=product.payload.category,
        facets=product.payload.facets,
        colours=product.payload.colours,
        vector=product.vector.astype("<f4").tobytes(),
    )


def _vector(data: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    if len(data) % 4:
        raise Poison("is not a whole number of float32 values", field="vector")
    return np.frombuffer(data, dtype="<f4").astype(np.float32)
