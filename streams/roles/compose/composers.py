"""Which composer answers a composed query: that of the query, of an arm of a test, or of the stack."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import TypeAlias

from models.composers.registry import FACETS, choice_of
from processors.errors import Code
from processors.values import Vector
from streams.contract.checks import BadQuery
from streams.contract.records import Query
from streams.roles.compose.asked import Embedded

Trained: TypeAlias = Callable[[Vector, str, Mapping[str, str]], Vector]
"""The vector of a reference, the words that were typed, and what is known of the reference (`streams.ops.composed.trained`)."""


def arm_of(query_id: str, shares: Mapping[str, float]) -> str:
    """The arm of a query: of its id alone, so that a query that comes again, or to another worker, has the same.

    Args:
        query_id: as the client gave it.
        shares: arm → its share; they need not add up to 1. "" where there is none.
    """
    total = sum(shares.values())
    place = (
        int.from_bytes(blake2b(query_id.encode(), digest_size=8, person=b"weft-arm").digest(), "big") / 2**64 * total
    )
    for arm, share in sorted(shares.items()):
        if place < share:
            return arm
        place -= share
    return max(sorted(shares), default="")


@dataclass(frozen=True, slots=True)
class Composers:
    """The composers of a stack.

    Args:
        own: that of every query which names none and is in no test.
        shares: composer → its share of the queries that name none: a test.
        trained: those that have weights, by name, with and without `facets+`.
    """

    own: str = FACETS
    shares: Mapping[str, float] = field(default_factory=dict)
    trained: Mapping[str, Trained] = field(default_factory=dict)

    def chosen(self, query: Query) -> str:
        """The composer of a query.

        Raises:
            BadQuery: it names one that this stack has not.
        """
        name = query.composer
        if name is None:
            return arm_of(query.query_id, self.shares) if self.shares else self.own
        if problem := self.problem(name):
            raise BadQuery(problem, code=Code.UNKNOWN_NAME, query_id=query.query_id, field="composer")
        return name

    def problem(self, name: str) -> str:
        """Why there is no such composer here, or ""."""
        try:
            choice = choice_of(name[:100])
        except ValueError as error:
            return str(error)
        return (
            f"{name!r} has no weights here (WEFT_COMPOSERS)" if choice.kind.trained and name not in self.trained else ""
        )

    def led(self, embedded: Embedded) -> tuple[Embedded, bool]:
        """The query with its composer's vector in the place of the image and the words; and whether facets count beside it. Blocking."""
        prepared = embedded.prepared
        choice = choice_of(prepared.asked.composer)
        compose, reference = self.trained.get(prepared.asked.composer), prepared.asked.reference
        image = embedded.image if embedded.image is not None else reference.vector
        typed = prepared.reading.typed
        if compose is None or image is None or not typed:
            return embedded, choice.with_facets
        found = compose(image, typed, dict(reference.facets))
        # Beside facets the words that no facet says still act on it; alone it is the query.
        texts = embedded.texts if choice.with_facets else ()
        return replace(embedded, image=found, texts=texts, composed=not choice.with_facets), choice.with_facets


def is_composed(query: Query) -> bool:
    """Whether a query has both an image and words, so that a composer counts."""
    return query.image is not None and any(text.strip() for text in (*query.edits, query.text or ""))
