"""The standing queries that this worker knows: which of them are held against products, and which are still on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from streams.engine.message import Message
from streams.roles.matching.compiled import Compiled

State = Literal["new", "ready", "watching", "ended"]
"""`new`: to be read; `ready`: read, and to be held against what is there already; `ended`: refused or suspended."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is held in memory.

    Args:
        queries: standing queries; what comes beyond is refused.
        pairs: products that meet one, over all queries and the partitions of one worker; beyond, the broadest query is suspended.
    """

    queries: int = 1000
    pairs: int = 500_000


@dataclass(slots=True)
class StandingQuery:
    """One standing query. `saved`: its record."""

    query_id: str
    saved: Message
    state: State = "new"
    compiled: Compiled | None = None

    @property
    def place(self) -> tuple[str, int, int]:
        """What tells this version of it from any other."""
        return self.query_id, self.saved.partition, self.saved.offset


@dataclass(slots=True)
class Queries:
    """By id, in the order in which they were saved. `most`: as many are held; what comes beyond is refused."""

    most: int
    known: dict[str, StandingQuery] = field(default_factory=dict)

    def of(self, *states: State) -> list[StandingQuery]:
        """Those in one of these states."""
        return [query for query in self.known.values() if query.state in states]

    @property
    def watching(self) -> list[Compiled]:
        """What every product is held against."""
        return [query.compiled for query in self.of("watching") if query.compiled is not None]

    def too_many(self, query: StandingQuery) -> bool:
        """Whether so many were saved before it that it is one too many."""
        counted = [one.query_id for one in self.of("new", "ready", "watching")]
        return query.query_id in counted[self.most :]

    def save(self, message: Message) -> StandingQuery | None:
        """Take in a record of `search.standing` that is no deletion and that counts (`LastSaid`); None where it is known."""
        query_id = (message.key or b"").decode(errors="replace")
        before = self.known.get(query_id)
        if before is not None and before.saved.identity == message.identity:
            return None
        self.known.pop(query_id, None)
        query = self.known[query_id] = StandingQuery(query_id, message)
        return query
