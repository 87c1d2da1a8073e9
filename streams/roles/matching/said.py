"""What was said on the topic of matches, of pairs and of queries, and what records make of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from processors.errors import Poison
from streams.contract import codecs
from streams.contract.records import Source
from streams.engine.message import Message
from streams.roles.matching import telling
from streams.roles.matching.matcher import Looked
from streams.roles.matching.pairs import Change, Pair, Pairs, pair_key, query_key
from streams.roles.matching.queries import StandingQuery
from streams.roles.matching.telling import Event

Changed: TypeAlias = list[tuple[str, str, Pair | None]]
"""Query, product, and the pair as it is now. None: nothing stands of it any more."""


@dataclass(slots=True)
class Said:
    """Of the partitions of one worker. `status`: query → the keys under which something is said of it."""

    pairs: Pairs = field(default_factory=Pairs)
    status: dict[str, set[str]] = field(default_factory=dict)

    def learn(self, raw: Message, partitions: frozenset[int]) -> None:
        """A record of the topic."""
        key = (raw.key or b"").decode(errors="replace")
        if raw.value is None:
            self.pairs.forget(key)
            for keys in self.status.values():
                keys.discard(key)
            return
        try:
            match = codecs.decode_match(raw.value)
        except Poison:
            return  # not one of ours
        self.pairs.learn(match, partitions)
        if not match.product_id:
            self.status.setdefault(match.query_id, set()).add(key)

    def events_of(self, looked: Sequence[Looked], watching: Mapping[str, StandingQuery]) -> tuple[list[Event], Changed]:
        """What records change, in their order: the events, and the pairs as they are then (None: nothing stands any more)."""
        events: list[Event] = []
        found: Changed = []
        known: dict[str, dict[str, Pair]] = {}
        for one in looked:
            source = Source(*one.message.source)
            own = known.setdefault(one.product, dict(self.pairs.of(one.product)))
            for query_id, change in list(self.pairs.changes(own, one.met, watching.keys(), source)):
                saved, meets = watching[query_id].saved, change is Change.MET
                reason = "" if meets else "deleted" if one.gone else "changed"
                hit, pair = one.met.get(query_id), Pair(meets, source.partition, source.offset)
                events.append(telling.of_product(one.message, saved, query_id, one.product, change.value, hit, reason))
                own[query_id] = pair
                if one.gone:  # of a product that is gone the topic keeps nothing
                    events.append(telling.gone(one.message, pair_key(query_id, one.product)))
                    del own[query_id]
                found.append((query_id, one.product, None if one.gone else pair))
        return events, found

    def put(self, query_id: str, product: str, pair: Pair | None) -> None:
        """A pair as it is from now on. None: nothing stands of it."""
        if pair is None:
            self.pairs.drop(query_id, product)
        else:
            self.pairs.put(query_id, product, pair)

    def ended(
        self, query: StandingQuery, cause: Message, state: str, positions: Sequence[int], error: Poison | None
    ) -> list[Event]:
        """What is to be said of a query that no product is held against any more. `state`: "" where it was deleted."""
        events = [
            telling.gone(cause, pair_key(query.query_id, product)) for product in self.pairs.products(query.query_id)
        ]
        if not state:
            return events + [telling.gone(cause, key) for key in sorted(self.status.pop(query.query_id, ()))]
        self.speaks(query.query_id, positions)
        return [*events, telling.of_query(query.saved, query.query_id, state, tuple(positions), error=error)]

    def speaks(self, query_id: str, positions: Sequence[int]) -> None:
        """Something is said of a query, under its key in the first of these partitions."""
        self.status.setdefault(query_id, set()).add(query_key(query_id, min(positions, default=0)))

    def queries(self) -> set[str]:
        """All queries of which something stands on the topic."""
        return self.pairs.queries() | {query_id for query_id, keys in self.status.items() if keys}

    def state_of(self, query: StandingQuery, partitions: Collection[int]) -> str:
        """Whether it is "ended", "watching" in all these partitions, or "" where neither was said of the query as it is saved now."""
        said = self.pairs.watched.get(query.place, {})
        if {state for states in said.values() for state in states} & {"refused", "suspended"}:
            return "ended"
        return "watching" if all("watching" in said.get(partition, ()) for partition in partitions) else ""
