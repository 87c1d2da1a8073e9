"""What `compose` needs to follow the generations: their encoders, the place of a key, and to say that it is there."""

from __future__ import annotations

import asyncio
import socket
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

from aiokafka.errors import KafkaError

from infra.logs import logger
from infra.settings import Settings
from models.guard import ignore
from models.ports import ImageEncoder, TextEncoder
from processors.errors import Retryable
from streams.contract import topics
from streams.kafka.pins import Pins, partition_of
from streams.search import generations
from streams.search.spaces import Spaces, tell_presence
from streams.wiring.models import Models, words_of
from streams.wiring.parts import Parts, beside, topic_now
from streams.wiring.weights import require_weights

log = logger("weft.compose")

PAUSE_S = 1.0
COUNT_S = 1.0


def encoders_of(settings: Settings, profile: str) -> tuple[ImageEncoder, TextEncoder]:
    """The encoders of another profile than the roles', warmed up: a generation holds its vectors. Blocking."""
    settings = settings.model_copy(update={"profile": profile})
    require_weights(settings)
    models = Models(settings, lambda _: ignore)
    return models.image_encoder, words_of(settings, models.text_encoder)


def place_by_key(parts: Parts) -> Callable[[str], Awaitable[int | None]]:
    """The partition of `catalog.items` that a product's key names; None where neither broker nor store can say."""
    pins = Pins(parts.store, topic_now(parts.looking), time.monotonic)

    async def place(product_id: str) -> int | None:
        with suppress(Retryable):
            pinned = await pins.partitions(topics.ITEMS)
            return None if pinned is None else partition_of(product_id.encode(), pinned)
        return None

    return place


def partition_count(parts: Parts) -> Callable[[], Awaitable[int | None]]:
    """How many partitions `catalog.items` has; None where the broker does not say at once: a query waits for the answer."""

    async def count() -> int | None:
        with suppress(Retryable, TimeoutError):
            async with asyncio.timeout(COUNT_S):
                return len(await parts.looking.partitions(topics.ITEMS))
        return None

    return count


async def serve_spaces(parts: Parts, spaces: Spaces) -> None:
    """Follow the generations, and say which of them can be answered from, for ever."""
    own_id = f"{socket.gethostname()}-{uuid.uuid4().hex[:12]}"
    await beside(tell_presence(parts.store, spaces, own_id, parts.in_thread), follow_spaces(parts, spaces))


async def follow_spaces(parts: Parts, spaces: Spaces) -> None:
    """Keep the encoders of all generations, for ever; a broker that is away is asked again."""
    while True:
        try:
            async for now in generations.follow(parts.settings, "compose"):
                await spaces.apply(now)
        except (KafkaError, Retryable, OSError) as error:
            log.warning("generations.unknown", cause=str(error))
        await asyncio.sleep(PAUSE_S)


async def when_settled(spaces: Spaces, stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Do the work once the generation that is live can be asked; nothing where `stop` came first."""
    waiting = [asyncio.ensure_future(event.wait()) for event in (spaces.settled, stop)]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
        if not spaces.settled.is_set():
            work.close()
    if spaces.settled.is_set():
        await work
