"""Which products of a batch meet which standing queries: each as it would stand in a result, by the index's own code.

A product's answer depends on the product and the query alone, and not on what else is in its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from msgspec import UNSET
from msgspec.structs import replace

from index_sync.entry import Change
from index_sync.shard import Shard
from processors.errors import Poison
from processors.relevance import Judged, Relevance
from streams.contract.probes import Hits, SearchProbe
from streams.contract.records import Hit
from streams.engine.message import Message
from streams.roles.compose import judging
from streams.roles.index.answers import answer
from streams.roles.index.entries import change_of
from streams.roles.matching.compiled import Compiled
from streams.search import merging
from streams.search.wording import wording_of

BATCH = 500
"""Products that are looked at together."""
SPOKEN = 0.5
"""From which share of a query's words a product's own text speaks for it, where no relevance was fitted."""
Met = dict[str, Hit]
"""Query → the product's hit."""


@dataclass(frozen=True, slots=True)
class Looked:
    """One record of `catalog.items` that was looked at. `met`: by query; `gone`: the product is in no index any more."""

    message: Message
    product: str
    met: Met = field(default_factory=dict)
    gone: bool = False


class Matcher:
    """Holds products against standing queries.

    Args:
        relevance: what was fitted.
        relative: makes an address in our store relative to it.
    """

    def __init__(self, relevance: Relevance, relative: Callable[[str], str] = str) -> None:
        self._relevance, self._relative = relevance, relative

    def look(self, messages: Sequence[Message], queries: Iterable[Compiled]) -> list[Looked]:
        """Look at records in their order; what is no item is left out (the index writes its dead letter). Blocking."""
        queries = list(queries)
        if not queries:
            return []  # nobody is told of anything: no record is read for that
        found: list[Looked] = []
        batch: dict[str, tuple[Message, Change]] = {}
        for message in messages:
            try:
                change = change_of(message)
            except Poison:
                continue
            if change.product_id in batch or len(batch) >= BATCH:
                found += self._looked(batch, queries)
                batch = {}
            batch[change.product_id] = message, change
        return found + self._looked(batch, queries)

    def _looked(self, batch: Mapping[str, tuple[Message, Change]], queries: Sequence[Compiled]) -> list[Looked]:
        met: dict[str, Met] = {product: {} for product in batch}
        gone = {product for product, (_, change) in batch.items() if change.entry is None}
        there = {product: change for product, (_, change) in batch.items() if change.entry is not None}
        if there:
            for shard, changes in _shards(there.values()):
                for query in queries:
                    for product, hit in self._met(shard, changes, query):
                        met[product][query.query_id] = hit
        return [Looked(message, product, met[product], product in gone) for product, (message, _) in batch.items()]

    def _met(self, shard: Shard, changes: Mapping[str, Change], query: Compiled) -> list[tuple[str, Hit]]:
        judged = query.judged(self._relevance)
        found: dict[str, merging.Ranked] = {}
        for probe in query.probes:
            for one in self._meeting(shard, changes, _fitted(probe, shard, len(changes)), query, judged):
                product = one.hit.product_id
                if product not in found or one.hit.score > found[product].hit.score:
                    found[product] = one
        return [(product, self._shown(one, judged, query)) for product, one in found.items()]

    def _meeting(
        self, shard: Shard, changes: Mapping[str, Change], probe: SearchProbe, query: Compiled, judged: Judged | None
    ) -> list[merging.Ranked]:
        hits = answer(shard, replace(probe, words=None), 1, 0)
        if not isinstance(hits, Hits) or hits.error:
            return []
        wished = [one for one in merging.ranked([hits], probe.shop) if _grants(one, probe)]
        if judged is None:
            spoken = probe.words is not None and not probe.wishes and query.kind == "words"
            return (
                [said for one in wished if (said := self._said(changes, one, probe)).said >= SPOKEN]
                if spoken
                else wished
            )
        chosen = []
        for one in wished:
            if judging.chance_of(one, judged) >= query.least:
                chosen.append(one)
            elif (
                probe.words is not None
                and judging.chance_of(said := self._said(changes, one, probe), judged) >= query.least
            ):
                chosen.append(said)
        return chosen

    @staticmethod
    def _said(changes: Mapping[str, Change], one: merging.Ranked, probe: SearchProbe) -> merging.Ranked:
        """The same with what its own words say for it: of it alone, or its neighbours in the batch would weigh the words."""
        product = one.hit.product_id
        ((shard, _),) = _shards([changes[product]])
        hits = answer(shard, _fitted(probe, shard, 1), 1, 0)
        if not isinstance(hits, Hits) or not hits.hits:
            return one
        (found,) = merging.ranked([hits], probe.shop, wording_of(probe.words, [hits])) or [one]
        return merging.Ranked(one.hit, one.about, found.said)

    def _shown(self, one: merging.Ranked, judged: Judged | None, query: Compiled) -> Hit:
        hit = merging.placed(one, (), query.fields, self._relative)
        return replace(hit, relevance=UNSET if judged is None else judging.chance_of(one, judged))


def _grants(one: merging.Ranked, probe: SearchProbe) -> bool:
    """Whether a product is known to be all that the words wish."""
    return all(one.about.meets.get(facet, False) for facet in probe.wishes)


def _fitted(probe: SearchProbe, shard: Shard, products: int) -> SearchProbe:
    """The probe over all products of a shard; of filters alone, with a vector that says nothing."""
    if probe.vector:
        return replace(probe, top_k=products)
    nothing = np.zeros(shard.dimension, dtype="<f4").tobytes()
    return replace(probe, top_k=products, vector=nothing, encoder=shard.fingerprint)


def _shards(changes: Iterable[Change]) -> list[tuple[Shard, dict[str, Change]]]:
    """The products as the index would hold them, those of each encoder apart."""
    by_maker: dict[tuple[str, int], dict[str, Change]] = {}
    for change in changes:
        if change.entry is not None:
            maker = change.entry.encoder, change.entry.vectors.shape[1]
            by_maker.setdefault(maker, {})[change.product_id] = change
    found = []
    for (encoder, dimension), own in by_maker.items():
        rows = sum(len(change.entry.vectors) for change in own.values() if change.entry is not None)
        shard = Shard(0, encoder, dimension, segment_rows=max(64, rows))
        refused = {one.change.product_id for one in shard.apply_batch(own.values())}
        found.append((shard, {product: change for product, change in own.items() if product not in refused}))
    return found
