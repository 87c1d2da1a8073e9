"""The view of duplicates that the role `compose` asks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from infra.logs import logger
from processors.errors import Fatal, Retryable
from streams.contract import topics
from streams.engine.message import Message
from streams.kafka.client import Reader
from streams.search.twins import OnDemand
from streams.wiring.parts import Parts

log = logger("weft.compose")

PAUSE_S = 5.0


def twins_of(parts: Parts) -> OnDemand:
    """A view that is read from the first query on that wants it."""

    async def read(apply: Callable[[Message], None], caught_up: Callable[[], None]) -> None:
        try:
            async with Reader(parts.settings, topics.DUPLICATES, client="compose") as reader:
                async for raw in reader.to_end():
                    apply(raw)
                caught_up()
                async for raw in reader.follow():
                    apply(raw)
        except (Retryable, Fatal) as error:  # where the right is missing, too: the other queries want nothing of it
            log.warning("duplicates.unknown", cause=str(error))
            await asyncio.sleep(PAUSE_S)

    return OnDemand(read)
