"""The view of articles that the role `caption` asks."""

from __future__ import annotations

import asyncio

from infra.logs import logger
from processors.errors import Retryable
from streams.contract import topics
from streams.kafka.client import Reader
from streams.kafka.consumer import STANDING_WAIT_MS
from streams.roles.caption.context import ByEncoder, Context
from streams.roles.context.articles import Articles
from streams.wiring.parts import Parts

log = logger("weft.context")

PAUSE_S = 5.0


class Following:
    """Keeps a view of the articles. A cluster without the topic has none; it is looked for again now and then."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._known = Articles()
        self.context = Context(self._known, ByEncoder(lambda: parts.models.sentence_encoder))
        self._reader: Reader | None = None

    async def catch_up(self) -> None:
        """Take in what is there: the first captions are to know it."""
        try:
            reader = Reader(self._parts.settings, topics.ARTICLES, client="caption", fetch_wait_ms=STANDING_WAIT_MS)
            await reader.__aenter__()
        except Retryable as error:
            log.warning("articles.unknown", cause=str(error))
            return
        self._reader = reader
        async for record in reader.to_end():
            self._known.apply(record)

    async def follow(self) -> None:
        """Take in what comes, for ever."""
        try:
            while self._reader is None:
                await asyncio.sleep(PAUSE_S)
                await self.catch_up()
            async for record in self._reader.follow():
                self._known.apply(record)
        finally:
            if self._reader is not None:
                await self._reader.__aexit__(None, None, None)
