"""The second stage of a composed query: the best products of the first are compared again, by all of their vectors.

An index adds one inner product a view; what takes several vectors of the query, or what the candidates say of one another, is
asked of the best fifty only: a second round to the shards, and some milliseconds in a thread. It never makes a query late:
where its time is short the first order stands, and the result says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from infra.logs import logger
from models.ports import Reranker, SecondLook, Several
from processors.chances import unpacked
from processors.composing import Composed
from processors.errors import Retryable
from processors.values import Vector
from streams.contract.limits import MAX_COMPARED
from streams.contract.probes import Answer, Found, LookupProbe, ProductViews
from streams.roles.compose.asked import MARGIN_S, Embedded
from streams.search.merging import Ranked
from streams.search.pending import PendingQueries, all_answered

log = logger("weft.compose")

MOST = 50
"""Products that are compared again."""
LEAST_S = 0.1
"""Left until the deadline, with which a second round is begun."""
SHARE = 0.5
"""Of what is left, that is waited for the vectors."""

Outcome: TypeAlias = Literal["done", "some", "late", "failed"]
"""What became of it: all were compared; some shards did not answer, and theirs kept their places; there was no time; it raised."""


@dataclass(frozen=True, slots=True)
class Reranked:
    """Hits in their new order. `outcome` None: no second stage was due."""

    hits: tuple[Ranked, ...]
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Reranking:
    """Compares the first hits again.

    Args:
        pending: asks the shards.
        reranker: None: there is no second stage.
        now: seconds since the epoch.
    """

    pending: PendingQueries
    reranker: Reranker | None
    now: Callable[[], float]

    def is_due(self, embedded: Embedded, composed: Composed | None) -> bool:
        """Whether a query has a second stage: one that starts from a product and asks for facets, in the order of scores, as far as
        its page lies among the best.

        Words that no facet expresses move the vector; views of the reference would draw it back.
        """
        asked = embedded.prepared.asked
        plain = composed is not None and not asked.query.sort and not embedded.prepared.reading.edit.rest
        return self.reranker is not None and plain and bool(asked.reference.product) and asked.page.offset < MOST

    async def ordered(self, embedded: Embedded, composed: Composed, found: Sequence[Ranked]) -> Reranked:
        """The hits, the best of them in a new order; those behind stay where they are.

        Args:
            embedded: the query.
            composed: what it asks of the facets.
            found: its hits by the first stage, the best first.
        """
        best, rest = tuple(found[:MOST]), tuple(found[MOST:])
        if len(best) < 2:
            return Reranked((*best, *rest), "done")
        left = self._left(embedded)
        reference = embedded.prepared.asked.reference.product
        keys = (reference, *(one.hit.product_id for one in best))
        views = await self._views(embedded, keys, left) if left >= LEAST_S else {}
        there = [number for number, one in enumerate(best) if one.hit.product_id in views]
        if reference not in views or len(there) < 2:
            return Reranked((*best, *rest), "late")
        first = np.array([best[number].hit.score for number in there], np.float32)
        question = question_of(embedded, composed, views[reference], first)
        scores, trouble = await self._scores(
            embedded, question, [views[best[number].hit.product_id] for number in there]
        )
        if trouble is not None:
            return Reranked((*best, *rest), trouble)
        order = sorted(range(len(there)), key=lambda n: (-float(scores[n]), n))
        hits = list(best)
        # Those of which no shard told the vectors keep their places.
        for place, number in zip(there, order, strict=True):
            hits[place] = best[there[number]]
        return Reranked((*hits, *rest), "done" if len(there) == len(best) else "some")

    def _left(self, embedded: Embedded) -> float:
        return embedded.prepared.asked.deadline - MARGIN_S - self.now()

    async def _scores(
        self, embedded: Embedded, question: SecondLook, products: Sequence[Several]
    ) -> tuple[NDArray[np.float32], Outcome | None]:
        """What the head says of each product; and why it says nothing, None where it does."""
        name, nothing = embedded.prepared.asked.query.query_id, np.empty(0, np.float32)
        left = self._left(embedded)
        if left <= 0 or self.reranker is None:
            return nothing, "late"
        try:
            async with asyncio.timeout(left):
                scores = await asyncio.to_thread(self.reranker.scores, question, products)
        except TimeoutError:
            return nothing, "late"
        except Exception:  # whatever a model raises, the first order is an answer
            log.exception("rerank.failed", query_id=name)
            return nothing, "failed"
        if scores.shape != (len(products),) or not bool(np.isfinite(scores).all()):
            log.error("rerank.failed", query_id=name, cause=f"{scores.shape} scores for {len(products)} products")
            return nothing, "failed"
        return scores, None

    async def _views(self, embedded: Embedded, keys: Sequence[str], left: float) -> dict[str, Several]:
        asked = embedded.prepared.asked
        probe = LookupProbe(
            query_id=asked.message.event_id("rerank"),
            product_id="",
            deadline=self.now() + SHARE * left,
            joined=True,
            generation=asked.space.generation,
            products=tuple(keys[:MAX_COMPARED]),
        )
        try:
            answers = await self.pending.ask(
                probe, lambda got: all_answered(got) or _told(got.values()) >= set(probe.products)
            )
        except Retryable:  # too many questions are open: the first order is an answer
            return {}
        dimension = asked.space.images.dimension
        return {
            one.product_id: several
            for answer in answers.values()
            if isinstance(answer, Found)
            for one in answer.products
            if (several := several_of(one, dimension)) is not None
        }


def question_of(
    embedded: Embedded, composed: Composed, reference: Several | None, first: NDArray[np.float32]
) -> SecondLook:
    """The query as the second stage is asked; its blocks are on the scale of the scores."""
    image: Vector | None = embedded.image if embedded.image is not None else embedded.prepared.asked.reference.vector
    blocks = {
        facet: {value: weight / composed.most for value, weight in block.items()}
        for facet, block in composed.blocks.items()
    }
    return SecondLook(first, image, composed.embedding / composed.most, embedded.texts, blocks, reference)


def several_of(told: ProductViews, dimension: int) -> Several | None:
    """A product as a shard told it; None where its vectors are no whole rows, or of another dimension."""
    if not told.vectors or not len(told.vectors) == 2 * dimension * len(told.views) == 2 * dimension * len(
        told.categories
    ):
        return None
    rows = np.frombuffer(told.vectors, dtype="<f2").reshape(len(told.views), dimension).astype(np.float32)
    return Several(told.views, told.categories, rows, unpacked(told.chances))


def _told(answers: Iterable[Answer]) -> set[str]:
    return {one.product_id for answer in answers if isinstance(answer, Found) for one in answer.products}
