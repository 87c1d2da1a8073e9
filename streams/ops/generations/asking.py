"""Asking the index workers, as `compose` does, from the command line."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np

from index_sync.census import BUCKETS
from infra.settings import Settings
from processors.errors import Poison, Retryable
from processors.identity import shop_of
from processors.values import Vector
from streams.contract import codecs, topics
from streams.contract.cloudevents import ce_headers, rfc3339
from streams.contract.probes import Answer, Census, CensusAsk, Found, Hits, LookupProbe, Probe, SearchProbe
from streams.kafka.client import Reader
from streams.kafka.producer import Sender, open_producer
from streams.search.pending import PendingQueries, all_answered

MOST_LISTED = 4000
"""Products that one answer lists: with the longest ids there may be, it still is a record that a broker takes."""
PATIENCE_S = 20.0
"""For one question. A worker that counts a large shard is busy for a second or two."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What one shard said of itself: its offset in its own items topic, and what it holds there."""

    partition: int
    next_offset: int
    census: Census


@dataclass(frozen=True, slots=True)
class Copy:
    """What a worker that stands by for a shard said of its copy: the offset in the shard's own items topic, and its products."""

    worker: str
    next_offset: int
    live: int


class Asking:
    """Questions to all shards of a generation."""

    def __init__(self, pending: PendingQueries) -> None:
        self._pending = pending

    async def census(
        self,
        generation: str,
        ask: CensusAsk | None = None,
        *,
        partition: int | None = None,
        patience_s: float = PATIENCE_S,
    ) -> dict[int, Counted]:
        """What every shard holds (or the one of `partition`), by partition.

        Raises:
            Retryable: not every shard answered in time.
        """
        probe = LookupProbe(
            query_id=_new_id(),
            product_id="",
            deadline=time.time() + patience_s,
            generation=generation,
            partition=partition,
            census=ask or CensusAsk(),
        )
        answers = await self._pending.ask(probe, lambda got: bool(got) if partition is not None else all_answered(got))
        found = {
            number: Counted(number, answer.applied_offset, answer.census)
            for number, answer in sorted(answers.items())
            if isinstance(answer, Found) and answer.census is not None
        }
        of = 1 if partition is not None else max((answer.of for answer in answers.values()), default=0)
        if not found or len(found) < of:
            raise Retryable(
                f"{len(found)} of {of or 'all'} shards of {generation} answered within {patience_s:.0f} s:"
                " is the role index running everywhere?"
            )
        return found

    async def standbys(self, generation: str, patience_s: float = 1.5) -> dict[int, list[Copy]]:
        """Who stands by for each shard, by partition; of those that answer in time."""
        probe = LookupProbe(
            _new_id(), "", time.time() + patience_s, generation=generation, census=CensusAsk(standbys=True)
        )
        found: dict[int, list[Copy]] = {}
        for answer in await self._pending.gather(probe):
            if isinstance(answer, Found) and answer.standby and answer.census is not None:
                copy = Copy(answer.standby, answer.applied_offset, answer.census.live)
                found.setdefault(answer.partition, []).append(copy)
        return found

    async def members(self, generation: str, counted: Counted, buckets: Sequence[int]) -> dict[str, tuple[int, str]]:
        """The products of these buckets of a shard: version and mark. In as many answers as they fill."""
        step = max(1, MOST_LISTED * BUCKETS // max(1, counted.census.live))
        found: dict[str, tuple[int, str]] = {}
        for start in range(0, len(buckets), step):
            ask = CensusAsk(members=tuple(buckets[start : start + step]))
            [listed] = (await self.census(generation, ask, partition=counted.partition)).values()
            found |= {one.product_id: (one.version, one.mark) for one in listed.census.members}
        return found

    async def anybody(self, generation: str, patience_s: float = 1.5) -> bool:
        """Whether any worker holds a shard of this generation."""
        probe = LookupProbe(_new_id(), "", time.time() + patience_s, generation=generation, census=CensusAsk())
        return bool(await self._pending.ask(probe, bool))

    async def vectors(self, generation: str, product_ids: Sequence[str]) -> dict[str, Vector]:
        """The vectors of products, of those that the generation holds."""
        found = await asyncio.gather(*(self._vector(generation, product_id) for product_id in product_ids))
        return {key: vector for key, vector in zip(product_ids, found, strict=True) if vector is not None}

    async def _vector(self, generation: str, product_id: str) -> Vector | None:
        probe = LookupProbe(
            query_id=_new_id(),
            product_id=product_id,
            deadline=time.time() + PATIENCE_S,
            generation=generation,
            joined=True,
        )
        answers = await self._pending.ask(probe, lambda got: all_answered(got) or _vector_in(got) is not None)
        data = _vector_in(answers)
        return None if data is None else np.frombuffer(data, dtype="<f4")

    async def nearest(
        self, generation: str, encoder: str, vector: Vector, k: int, product_id: str
    ) -> list[tuple[str, str]]:
        """The `k` nearest products of all shards and of the shop of `product_id` (a key), nearest first, without it: key and
        address of the image.
        """
        probe = SearchProbe(
            query_id=_new_id(),
            vector=vector.astype("<f4").tobytes(),
            encoder=encoder,
            top_k=k,
            deadline=time.time() + PATIENCE_S,
            exclude_products=(product_id,),
            joined=True,
            generation=generation,
            shop=shop_of(product_id),
        )
        answers = await self._pending.ask(probe, all_answered)
        hits = [hit for answer in answers.values() if isinstance(answer, Hits) for hit in answer.hits]
        return [(hit.product_id, hit.image) for hit in sorted(hits, key=lambda hit: (-hit.score, hit.product_id))[:k]]


def total_live(found: Mapping[int, Counted]) -> int:
    """Live products of all shards."""
    return sum(counted.census.live for counted in found.values())


def whole_digest(found: Mapping[int, Counted]) -> str:
    """The digest of a generation: the sum of those of its shards, so that it does not matter how products are dealt out."""
    return f"{sum(int(counted.census.digest, 16) for counted in found.values()) % (1 << 128):032x}"


@asynccontextmanager
async def open_asking(settings: Settings) -> AsyncIterator[Asking]:
    """A connection to ask over. Raises `Retryable` when no broker answers."""
    async with open_producer(settings) as sender, Reader(settings, topics.HITS, from_end=True) as hits:
        pending = PendingQueries(lambda probe: _send(sender, probe), time.time)

        async def deliver() -> None:
            async for message in hits.follow():
                if (answer := _answer_in(message.value)) is not None:
                    pending.deliver(answer)

        delivering = asyncio.create_task(deliver(), name="index:hits")
        try:
            yield Asking(pending)
        finally:
            delivering.cancel()
            await asyncio.gather(delivering, return_exceptions=True)


async def _send(sender: Sender, probe: Probe) -> None:
    spec, key = topics.BY_NAME[topics.PROBES], probe.query_id.encode()
    headers = ce_headers(
        id=probe.query_id,
        type=spec.event_type,
        source="weft/tool",
        time=rfc3339(round(time.time() * 1000)),
        content_type=spec.content_type,
    )
    await (await sender.send(topics.PROBES, key=key, value=codecs.encode(probe), headers=headers, partition=0))


def _answer_in(value: bytes | None) -> Answer | None:
    try:
        return None if value is None else codecs.decode_answer(value)
    except Poison:
        return None  # not one of ours


def _vector_in(answers: Mapping[int, Answer]) -> bytes | None:
    return next((a.vector for a in answers.values() if isinstance(a, Found) and a.vector is not None), None)


def _new_id() -> str:
    return f"tool-{uuid.uuid4().hex}"
