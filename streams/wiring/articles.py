"""The view of articles that the role `caption` asks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from infra.logs import logger
from processors.errors import Retryable
from streams.contract import topics
from streams.engine.message import Message
from streams.kafka.client import Reader
from streams.roles.caption.context import ByEncoder, Context
from streams.roles.context.articles import Articles
from streams.roles.context.pictured import PicturedView
from streams.wiring.parts import Parts
from streams.wiring.telling import ByDevice

log = logger("weft.context")

PAUSE_S = 5.0


class Following:
    """Keeps a view of the articles. A cluster without the topic has none; it is looked for again now and then."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._known = Articles()
        self._pictured = PicturedView()
        teller = ByDevice(parts) if parts.settings.story_writer else None
        self.context = Context(self._known, ByEncoder(lambda: parts.models.sentence_encoder), self._pictured, teller)
        self._readers: dict[str, Reader] = {}

    async def catch_up(self) -> None:
        """Take in what is there: the first captions are to know it."""
        for topic, apply in self._views():
            await self._open(topic, apply)

    async def follow(self) -> None:
        """Take in what comes, for ever."""
        async with asyncio.TaskGroup() as tasks:
            for topic, apply in self._views():
                tasks.create_task(self._follow(topic, apply), name=f"caption:{topic}")

    def _views(self) -> tuple[tuple[str, Callable[[Message], None]], ...]:
        return ((topics.ARTICLES, self._known.apply), (topics.PICTURED, self._pictured.apply))

    async def _open(self, topic: str, apply: Callable[[Message], None]) -> None:
        try:
            reader = Reader(self._parts.settings, topic, client="caption")
            await reader.__aenter__()
        except Retryable as error:
            log.warning("articles.unknown", topic=topic, cause=str(error))
            return
        self._readers[topic] = reader
        async for record in reader.to_end():
            apply(record)

    async def _follow(self, topic: str, apply: Callable[[Message], None]) -> None:
        try:
            while topic not in self._readers:
                await asyncio.sleep(PAUSE_S)
                await self._open(topic, apply)
            async for record in self._readers[topic].follow():
                apply(record)
        finally:
            if topic in self._readers:
                await self._readers[topic].__aexit__(None, None, None)
