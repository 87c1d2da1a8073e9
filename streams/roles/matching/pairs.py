"""Which products meet which standing queries, as `search.matches` says: the last record of each pair.

The topic is the state: it is read when partitions are dealt, and a record of a product is decided once, however often it is delivered.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from processors.identity import key_of
from streams.contract.records import Match, Source

OF_PRODUCT = frozenset({"met", "left", "there"})


class Change(Enum):
    """What a record changes of a pair."""

    MET = "met"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class Pair:
    """The last that was said. `meets`: whether the product meets the query; `offset`: of the product's record, that decided it."""

    meets: bool
    partition: int
    offset: int


def pair_key(query_id: str, product: str) -> str:
    """The key of a pair on `search.matches`. No two pairs have the same, whatever their ids hold."""
    return f"{_escaped(query_id)}/{product}"


def query_key(query_id: str, first: int) -> str:
    """The key of what is said of a query itself by the worker whose first partition is `first`."""
    return f"{_escaped(query_id)}@{first}"


def _escaped(query_id: str) -> str:
    return query_id.replace("%", "%25").replace("/", "%2F").replace("@", "%40")


def _unescaped(text: str) -> str:
    return text.replace("%40", "@").replace("%2F", "/").replace("%25", "%")


class Pairs:
    """The pairs of the partitions that are held."""

    def __init__(self) -> None:
        self._of: dict[str, dict[str, Pair]] = {}  # product -> query -> its pair
        self._count: dict[str, int] = {}  # query -> products that meet it
        self.watched: dict[tuple[str, int, int], dict[int, set[str]]] = {}
        """(query, partition and offset of its record) → partition of the items → what was said of it there."""

    def __len__(self) -> int:
        return sum(self._count.values())

    def count(self, query_id: str) -> int:
        """How many products meet a query."""
        return self._count.get(query_id, 0)

    def broadest(self) -> str:
        """The query that most products meet."""
        return max(self._count, key=lambda query: (self._count[query], query), default="")

    def learn(self, match: Match, partitions: Collection[int]) -> None:
        """Take in a record of `search.matches`; of products on other partitions than these, nothing."""
        if match.saved is not None and match.state in {"watching", "suspended", "refused"}:
            place = match.query_id, match.saved.partition, match.saved.offset
            for partition in match.partitions:
                self.watched.setdefault(place, {}).setdefault(partition, set()).add(match.state)
        if match.state not in OF_PRODUCT or match.source is None or match.source.partition not in partitions:
            return
        product = key_of(match.shop, match.product_id)
        self.put(match.query_id, product, Pair(match.state != "left", match.source.partition, match.source.offset))

    def put(self, query_id: str, product: str, pair: Pair) -> None:
        """Note what was said of a pair."""
        known = self._of.setdefault(product, {})
        before = known.get(query_id)
        known[query_id] = pair
        self._add(query_id, pair.meets - (before is not None and before.meets))

    def drop(self, query_id: str, product: str) -> None:
        """A pair of which nothing stands on the topic any more."""
        known = self._of.get(product, {})
        before = known.pop(query_id, None)
        if before is not None:
            self._add(query_id, -int(before.meets))
        if not known:
            self._of.pop(product, None)

    def _add(self, query_id: str, more: int) -> None:
        count = self._count.get(query_id, 0) + more
        if count:
            self._count[query_id] = count
        else:
            self._count.pop(query_id, None)

    def of(self, product: str) -> Mapping[str, Pair]:
        """Query → what was last said of this product under it."""
        return self._of.get(product, {})

    def queries(self) -> set[str]:
        """All queries under which something stands of a product."""
        return {query_id for known in self._of.values() for query_id in known}

    def products(self, query_id: str) -> list[str]:
        """All products of which something stands under a query."""
        return [product for product, known in self._of.items() if query_id in known]

    @staticmethod
    def changes(
        known: Mapping[str, Pair], met: Iterable[str], queries: Collection[str], source: Source
    ) -> Iterator[tuple[str, Change]]:
        """What a record of a product changes.

        Args:
            known: what was said of it, by query.
            met: queries that it meets now.
            queries: all that it was held against.
            source: the record. What was decided by this or a later one is decided.
        """
        meets = set(met)
        for query_id in sorted(meets | known.keys()):
            if query_id not in queries:
                continue
            before = known.get(query_id)
            if before is not None and before.partition == source.partition and before.offset >= source.offset:
                continue
            was = before is not None and before.meets
            if query_id in meets and not was:
                yield query_id, Change.MET
            elif query_id not in meets and was:
                yield query_id, Change.LEFT

    def forget(self, key: str) -> None:
        """Nothing stands under a key of the topic any more."""
        escaped, between, product = key.partition("/")
        if between:
            self.drop(_unescaped(escaped), product)

    def restart(self, partition: int) -> None:
        """The items of a partition are others: none of them was decided yet."""
        for product, known in list(self._of.items()):
            for query_id, pair in list(known.items()):
                if pair.partition == partition:
                    self.put(query_id, product, Pair(pair.meets, partition, -1))
