"""`compose`: a shopper's query becomes a result. Read it from top to bottom:

    read (check it; get the photo, or look the product up) → open → detect → cut → embed (the photo, its garments, the words)
    → answer (fuse, ask all shards for each garment, merge, publish)

A query is never left without an answer: what cannot be answered gets a result that says why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from msgspec import structs

from infra.fetch import Fetcher
from models.ports import Detector, ImageEncoder, Reranker, TextEncoder
from processors import decode
from processors.errors import Code, Poison
from processors.facets import Head
from processors.relevance import Relevance
from streams.contract import codecs
from streams.contract.checks import BadQuery
from streams.contract.lenders import check_start
from streams.contract.probes import Answer, Probe
from streams.contract.records import Query, Result
from streams.engine.failures import Failure
from streams.engine.message import Message
from streams.engine.stages import CpuStage, DeviceStage, Done, IoStage, Stage
from streams.roles.compose import facets, garments, judging, probes, vectors
from streams.roles.compose.asked import (
    QUERY_SIDE,
    Asked,
    Embedded,
    Prepared,
    Reference,
    size_of_photo,
    size_of_pixels,
)
from streams.roles.compose.composers import Composers, is_composed
from streams.roles.compose.photos import Photos, nobody
from streams.roles.compose.probable import HeadsOf, no_heads
from streams.roles.compose.reading import read_words
from streams.roles.compose.references import References, anywhere
from streams.roles.compose.reranking import MOST, Reranking
from streams.roles.compose.results import (
    DUPLICATES,
    Again,
    PartitionCount,
    Results,
    missing_partitions,
    query_id_of,
    refusal,
)
from streams.roles.compose.turns import Turns
from streams.search import merging
from streams.search.pending import PendingQueries, all_answered
from streams.search.spaces import Space
from streams.search.twins import Ask, nobody_knows
from streams.search.wording import wording_of

Publish = Callable[[Message, Result], Awaitable[None]]
"""Publishes a result and returns when the broker has it."""


NO_RELEVANCE = Relevance()
LINGER_S = 0.01
"""Words that come more often than this are embedded together: alone they cost three to four times what they cost in sixteens. Those that
come less often were fetched together already, as far as they came within 20 ms."""
SHORT = 120
"""Characters of a query that are read on the event loop: a millisecond, and a few where somebody tries."""


TWINS_SHARE = 0.3
"""Of a query's time that it waits for what is known of duplicates, the first time that a process is asked for them."""


@dataclass(frozen=True, slots=True)
class Compose:
    """The stages of the role; everything it needs is handed in."""

    fetcher: Fetcher
    images: ImageEncoder
    texts: TextEncoder
    pending: PendingQueries
    publish: Publish
    now: Callable[[], float]
    limits: decode.DecodeLimits
    partitions: int
    batch_items: int
    relative: Callable[[str], str] = str
    """Makes an address in our store relative to it: items of before a move hold absolute ones."""
    live: Callable[[], Space] | None = None
    """The generation that is live, with its encoders; None: `images` and `texts`, whichever generation answers."""
    place: Callable[[str], Awaitable[int | None]] = anywhere
    """The partition that a product's key names; None where nobody can say."""
    twins: Ask = nobody_knows
    """Who shows the same photo."""
    counted: PartitionCount = field(default_factory=PartitionCount)
    """Knows the partitions that a query may wait for."""
    detector: Detector | None = None
    """Finds the garments of a shopper's photo; None: the whole photo is searched for."""
    judge_of: Callable[[str], Head | None] = nobody
    """Who looks at what it found a second time, by the encoder's `features_maker`."""
    heads_of: HeadsOf = no_heads
    """The facet heads that are live (streams.facets.live), by whose features they read."""

    relevance: Relevance = NO_RELEVANCE
    """Tells how likely a hit is right, where that was fitted for the encoder."""
    composers: Composers = field(default_factory=Composers)
    """Who composes image and words."""
    reranker: Reranker | None = None
    """Orders the best hits of a composed query again, where there is time; None: nobody does."""
    turns: Turns = field(default_factory=Turns)
    """What queries asked for, for those that name them as `previous`."""

    @property
    def photos(self) -> Photos:
        """Reads shoppers' photos."""
        return Photos(self.limits, self.detector, self.judge_of, self.heads_of)

    def space(self) -> Space:
        """Where a query that comes now is answered."""
        return Space("", self.images, self.texts) if self.live is None else self.live()

    def stages(self) -> tuple[Stage, ...]:
        """The role's story. Results leave from `answer`: a query that waits for its shards delays no other."""
        return (
            IoStage("read", self.answering(self.read), concurrency=256, size=size_of_photo),
            CpuStage(
                "open",
                self.open,
                size=size_of_pixels,
                cost=lambda asked: decode.unfolded_pixels(asked.reference.data, QUERY_SIDE),
                max_cost=self.limits.max_pixels,
                known=self.open_words,
            ),
            DeviceStage("detect", self.detect, max_items=self.batch_items, wait_s=0.002, known=_without_photo),
            CpuStage("cut", self.cut, size=size_of_pixels, known=_words_alone),
            DeviceStage("embed", self.embed, max_items=self.batch_items, wait_s=0.002, linger_s=LINGER_S),
            IoStage("answer", self.answer, concurrency=256),
        )

    def answering(
        self, step: Callable[[Message], Awaitable[Asked | Done[None]]]
    ) -> Callable[[Message], Awaitable[Asked | Done[None]]]:
        """Wrap `read`: a bad query is not a dead letter, its asker waits."""

        async def run(message: Message) -> Asked | Done[None]:
            try:
                return await step(message)
            except BadQuery as error:
                await self.refuse(message, error.query_id, error)
            except Poison as error:
                await self.refuse(message, query_id_of(message), error)
            return Done(None)

        return run

    async def read(self, message: Message) -> Asked | Done[None]:
        """Check the query, and get what it starts from."""
        started = self.now()
        query = self.turns.resumed(codecs.decode_query(message))
        check_start(query)
        self.turns.keep(query)
        # Never longer from now: a record dated into the future would hold its place until then.
        deadline = min(max(message.timestamp_ms / 1000, 0.0), started) + query.deadline_ms / 1000
        if deadline <= started:
            late = Poison("the deadline passed before the query was read", code=Code.DEADLINE_EXCEEDED)
            await self.refuse(message, query.query_id, late)
            return Done(None)
        await self.counted.check(query)
        composer = self.composers.chosen(query)
        twins = await self.twins((deadline - started) * TWINS_SHARE) if query.collapse == DUPLICATES else None
        asked = Asked(message, query, started, deadline, Reference(), self.space(), composer, twins)
        reference = await self.reference(asked, query)
        lent = await References(self.pending, self.partitions, self.place).lent(asked)
        return replace(asked, reference=replace(reference, lent=lent))

    async def reference(self, asked: Asked, query: Query) -> Reference:
        """What a query starts from: the product is looked up, the photo fetched."""
        if query.image is None:
            return Reference()
        if query.image.product_id is not None:
            references = References(self.pending, self.partitions, self.place)
            return await references.look_up(asked, query.image.product_id)
        data = query.image.bytes
        if data is None and query.image.uri is not None:
            async with asyncio.timeout(max(asked.deadline - self.now(), 0.0)):
                data = await self.fetcher.fetch(query.image.uri)
        return Reference(data=data or b"")

    def open(self, asked: Asked) -> Prepared:
        """Decode the photo, read the words, and word what the query starts from and what it asks for."""
        reference, photo = asked.reference, self.photos.open(asked)
        reading = read_words(
            asked.query,
            alone=photo is None and reference.vector is None,
            pays=reference.pays,
            currency=reference.currency,
        )
        known = photo is not None or reference.vector is not None
        texts, directed = vectors.texts_of(asked.space, dict(reference.facets), reading, known=known)
        return Prepared(asked, reading, photo, None, texts, directed)

    def open_words(self, asked: Asked) -> Prepared | None:
        """A short query without a photo: reading it takes less than handing it to a thread and back."""
        query = asked.query
        words = sum(map(len, (query.text or "", *query.edits)))
        return None if asked.reference.data or words > SHORT else self.open(asked)

    def detect(self, batch: Sequence[Prepared]) -> list[Prepared]:
        """One pass of the detector over the photos of all queries."""
        return self.photos.detect(batch)

    def cut(self, prepared: Prepared) -> Prepared:
        """Cut the garments out of the photo."""
        return self.photos.cut(prepared)

    def embed(self, batch: Sequence[Prepared]) -> list[Embedded]:
        """One pass of each encoder over all queries."""
        return vectors.embed(batch, self.photos)

    async def answer(self, embedded: Embedded) -> None:
        """Fuse, ask every shard, merge what came in time, publish."""
        prepared = embedded.prepared
        query, message = prepared.asked.query, prepared.asked.message
        if prepared.asked.composer in self.composers.trained:
            embedded, by_facets = await asyncio.to_thread(self.composers.led, embedded)
        else:
            embedded, by_facets = self.composers.led(embedded)
        composed = facets.composed_of(embedded) if by_facets else None
        probe = facets.with_facets(probes.search(prepared, vectors.fused(embedded)), composed, embedded)
        if composed is None and by_facets:
            probe = facets.with_kept(facets.with_words(probe, embedded), embedded)
        reranking = Reranking(self.pending, self.reranker, self.now)
        again: Again | None = None
        if composed is not None and reranking.is_due(embedded, composed):
            probe = structs.replace(probe, top_k=max(probe.top_k, MOST))
            again = partial(reranking.ordered, embedded, composed)
        wished = probes.siblings(prepared, probe)
        beside = probes.beside(embedded, probe)
        asked = [probe, *beside.values(), *([wished] if wished else [])]
        answers, *others = await self._answers(asked)
        there = [] if wished is None else merging.good_of(wished, others[-1])
        siblings = [] if wished is None else merging.ranked(there, wished.shop, wording_of(wished.words, there))
        found = garments.found(embedded, probe, answers, dict(zip(beside, others, strict=False)))
        results = Results(self.pending, self.partitions, self.relative, self.now)
        judged = judging.judge_of(embedded, self.relevance, edited=composed is not None)
        result = await results.made(prepared, probe, answers, siblings, found, composed, judged, again)
        if is_composed(query):
            result = structs.replace(result, arm=prepared.asked.composer)
        # Only the shards know how many partitions there are; the setting is about topics that are yet to be made.
        if missing := missing_partitions(query, result.shards.of if result.shards.answered else None):
            await self.refuse(message, query.query_id, missing)
        else:
            await self.publish(message, result)

    async def _answers(self, asked: Sequence[Probe]) -> Sequence[dict[int, Answer]]:
        if len(asked) == 1:  # as nearly always: no task of its own
            return (await self.pending.ask(asked[0], all_answered),)
        return await asyncio.gather(*(self.pending.ask(one, all_answered) for one in asked))

    async def refuse(self, message: Message, query_id: str, cause: Poison) -> None:
        """Answer with an error."""
        await self.publish(message, refusal(query_id, cause, self.partitions))

    async def failed(self, failure: Failure) -> Sequence[Awaitable[object]]:
        """What the engine gives up on (a photo that does not decode): an error result instead of a dead letter."""
        await self.refuse(failure.message, query_id_of(failure.message), failure.error)
        return ()


def _without_photo(prepared: Prepared) -> Prepared | None:
    """A query without a photo to be looked at passes the detector by."""
    return None if prepared.photo is not None and prepared.photo.ready is not None else prepared


def _words_alone(prepared: Prepared) -> Prepared | None:
    """Of a query without a photo nothing is cut out."""
    return prepared if prepared.photo is None else None
