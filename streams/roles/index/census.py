"""What a shard answers when it is asked what it holds (`LookupProbe.census`)."""

from __future__ import annotations

import heapq
from collections.abc import Mapping

import numpy as np

from index_sync.census import Buckets, bucket_of, by_bucket, digest_text, id_mark, recall_of
from index_sync.segment import Window
from index_sync.shard import Shard
from streams.contract.probes import Census, CensusAsk, Found, LookupProbe, Member, SegmentCensus

_BYTES = 2
"""Of one dimension of a vector: half precision."""


def census_of(shard: Shard, probe: LookupProbe, ask: CensusAsk, of: int, *, saved: bool) -> Found:
    """The answer of one shard; runs in a thread. What it lists belongs to the offset that it names.

    Args:
        shard: that is asked.
        probe: the question.
        ask: what of it is wanted.
        of: partitions of `catalog.items`.
        saved: whether a snapshot was just written.
    """
    listed = bool(ask.members or ask.sample) or ask.buckets
    state, products = shard.inventory() if listed else (shard.state, {})
    buckets = by_bucket(products) if ask.buckets else Buckets((), ())
    rows = sum(window.rows for window in state.windows)
    return Found(
        query_id=probe.query_id,
        partition=shard.partition,
        of=of,
        generation=shard.generation,
        applied_offset=state.next_offset,
        fresh=True,
        census=Census(
            live=state.live,
            digest=digest_text(state.digest),
            encoder=state.encoder,
            dimension=state.dimension,
            newest_ms=state.newest_ms,
            vector_bytes=rows * state.dimension * _BYTES,
            segments=tuple(map(_segment, state.windows)) if ask.segments else (),
            buckets=tuple(map(digest_text, buckets.marks)),
            ids=tuple(map(digest_text, buckets.ids)),
            members=_members(products, ask),
            saved=saved,
        ),
    )


def _segment(window: Window) -> SegmentCensus:
    dead = window.rows - int(np.count_nonzero(window.alive[: window.rows]))
    index = window.segment.index
    kind = "flat" if index is None else index.measured.kind
    return SegmentCensus(f"{kind}/{window.segment.kind}", window.rows, dead, round(recall_of(window), 4))


def _members(products: Mapping[str, tuple[int, int]], ask: CensusAsk) -> tuple[Member, ...]:
    buckets = set(ask.members)
    named = [key for key in products if buckets and bucket_of(key) in buckets]
    named += heapq.nsmallest(ask.sample, products, key=id_mark) if ask.sample else []
    return tuple(Member(key, products[key][0], digest_text(products[key][1])) for key in sorted(named))
