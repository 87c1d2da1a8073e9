"""A query that was saved is held against what the catalogue holds already, before it is held against what comes.

Otherwise the first new price of a product that has met it all along would pass for news.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from streams.contract import topics
from streams.contract.records import Hit, Source
from streams.engine.message import Message
from streams.roles.matching import telling
from streams.roles.matching.matcher import Looked
from streams.roles.matching.pairs import Pair, Pairs
from streams.roles.matching.queries import StandingQuery
from streams.roles.matching.telling import Event


@dataclass(slots=True)
class _Seen:
    """A product under a query: whether it met it when that was saved, and as it is now."""

    before: bool
    message: Message
    hit: Hit | None


@dataclass(slots=True)
class Catching:
    """Queries on their way through the items of some partitions. `positions`: where reading goes on."""

    queries: Sequence[StandingQuery]
    positions: dict[int, int]
    _seen: dict[tuple[str, str], _Seen] = field(default_factory=dict)

    def take(self, looked: Sequence[Looked]) -> None:
        """Note what became of products, in the order of their records."""
        for one in looked:
            for query in self.queries:
                place = query.query_id, one.product
                hit = one.met.get(query.query_id)
                known = self._seen.get(place)
                earlier = one.message.timestamp_ms <= query.saved.timestamp_ms
                if known is None and hit is None:
                    continue
                before = hit is not None if earlier else known is not None and known.before
                self._seen[place] = _Seen(before, one.message, hit)

    def events(self, pairs: Pairs) -> list[Event]:
        """What is to be said, and noted in `pairs`: of each product what it is now."""
        found = []
        by_id = {query.query_id: query for query in self.queries}
        for (query_id, product), seen in self._seen.items():
            saved = by_id[query_id].saved
            known = pairs.of(product).get(query_id)
            was = known is not None and known.meets
            if seen.hit is not None and not was:
                state = "there" if seen.before else "met"
                found.append(telling.of_product(seen.message, saved, query_id, product, state, seen.hit))
            if seen.hit is not None:
                source = Source(*seen.message.source)
                pairs.put(query_id, product, Pair(meets=True, partition=source.partition, offset=source.offset))
        return found + [event for query in self.queries for event in self._left(query, pairs)]

    def _left(self, query: StandingQuery, pairs: Pairs) -> list[Event]:
        """What met the query as it was saved before, and does not meet it as it is now."""
        found = []
        for product in pairs.products(query.query_id):
            seen, known = self._seen.get((query.query_id, product)), pairs.of(product)[query.query_id]
            if known.meets and (seen is None or seen.hit is None):
                message = query.saved if seen is None else seen.message
                source = Source(topics.ITEMS, known.partition, known.offset) if seen is None else None
                left = telling.of_product(
                    message, query.saved, query.query_id, product, "left", reason="query", source=source
                )
                found.append(left)
                pairs.put(query.query_id, product, Pair(meets=False, partition=known.partition, offset=known.offset))
        return found
