"""How the role `standing` is built."""

from __future__ import annotations

import asyncio
import time

from streams.contract import topics
from streams.contract.records import Result
from streams.engine.message import Message
from streams.facets.live import LiveHeads
from streams.kafka.client import Reader
from streams.kafka.notices import telling
from streams.roles.compose.role import Compose
from streams.roles.matching.compiling import Compiling
from streams.roles.matching.matcher import Matcher
from streams.roles.matching.queries import Bounds
from streams.roles.matching.role import StandingRole
from streams.roles.matching.similar_job import SimilarJob
from streams.search.pending import PendingQueries
from streams.wiring.generations import place_by_key
from streams.wiring.models import judge_of, relevance_of, shipped_heads, words_of
from streams.wiring.parts import Parts, Ready, Role, beside, loaded
from streams.wiring.probing import Hearing, probing


async def run_standing(parts: Parts, ready: Ready) -> None:
    """`search.standing`, `catalog.items` → `search.matches`, `catalog.similar`."""
    settings = parts.settings
    observer = parts.engine_of("standing").observer
    hearing = Hearing(
        probing(parts, "standing"), lambda: Reader(settings, topics.HITS, from_end=True, client="standing")
    )
    pending = PendingQueries(hearing.send, time.time, observer.worked)
    similar = SimilarJob(settings, parts.store, parts.sender, observer, parts.in_thread, observer.similar)
    role = StandingRole(
        settings=settings,
        store=parts.store,
        sender=parts.sender,
        matcher=Matcher(await asyncio.to_thread(relevance_of, settings), parts.store.relative),
        compiling=_Once(parts, pending).compiling,
        observer=observer,
        in_thread=parts.in_thread,
        bounds=Bounds(settings.standing_queries, settings.standing_pairs),
        ready=lambda: ready("standing"),
        told=telling(parts.notices_of("standing"), None),  # the index writes the letter
        held=similar.held,
    )

    async def both() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(role.run(parts.stop), name="standing:matches")
            if settings.similar:
                tasks.create_task(similar.run(parts.stop), name="standing:similar")

    await beside(hearing.follow(pending), both())


class _Once:
    """What reads standing queries, built when the first one is there: until then the role holds no model."""

    def __init__(self, parts: Parts, pending: PendingQueries) -> None:
        self._parts, self._pending = parts, pending
        self._made: Compiling | None = None
        self._making = asyncio.Lock()

    async def compiling(self) -> Compiling:
        """Built once."""
        async with self._making:
            if self._made is None:
                self._made = await self._make()
            return self._made

    async def _make(self) -> Compiling:
        parts = self._parts
        images = await loaded(lambda: parts.models.image_encoder)
        texts = words_of(parts.settings, await loaded(lambda: parts.models.text_encoder))
        detector = await loaded(lambda: parts.models.detector)
        heads = await asyncio.to_thread(shipped_heads, parts.settings)
        live = LiveHeads(parts.store, images.features_maker, shipped=heads, in_thread=parts.in_thread)
        await live.look()

        async def never(_message: Message, _result: Result) -> None:
            raise AssertionError("a standing query has no result")

        return Compiling(
            Compose(
                fetcher=parts.fetcher,
                images=images,
                texts=texts,
                pending=self._pending,
                publish=never,
                now=time.time,
                limits=parts.limits,
                partitions=parts.settings.partitions,
                batch_items=parts.settings.batch_items,
                relative=parts.store.relative,
                place=place_by_key(parts),
                detector=detector,
                judge_of=lambda maker: judge_of(heads, maker),
                heads_of=lambda maker: live.now() if maker == images.features_maker else None,
                relevance=await asyncio.to_thread(relevance_of, parts.settings),
            )
        )


ROLE = Role("standing", run_standing)
