"""How the role `sink` is built."""

from __future__ import annotations

import asyncio

from infra.logs import logger
from infra.postgres import PostgresCaptions, open_captions
from infra.settings import Settings
from processors.errors import Fatal, Retryable
from streams.contract import topics
from streams.engine.pipeline import Pipeline
from streams.kafka.client import Reader
from streams.kafka.dead_letters import dead_letters
from streams.roles.sink import role
from streams.wiring.parts import Parts, Ready, Role, consume_group
from streams.wiring.urgent import shop_of_message

log = logger("weft.sink")

PATIENCE_S = 120.0
AGAIN_S = 2.0
"""How often a database that is away is asked again at the start."""


async def run_sink(parts: Parts, ready: Ready) -> None:
    """`catalog.captions` → the table of `WEFT_SINK_URL`."""
    async with open_captions(parts.settings) as table:
        await prepare(table, parts.settings)
        pipeline = Pipeline(
            "sink",
            role.stages(),
            publish=role.publisher(table),
            publish_all=role.publisher_of_all(table),
            dead_letter=dead_letters(parts.sender),
            admission=parts.credits(),
            engine=parts.engine_of("sink"),
            shop_of=shop_of_message,
        )
        await consume_group(parts, "sink", topics.CAPTIONS, pipeline, ready)


async def prepare(table: PostgresCaptions, settings: Settings, patience_s: float = PATIENCE_S) -> None:
    """Make the table where it is missing; where it is empty, write what stands: the group may be far behind that.

    Raises:
        BadSetting: the database refuses.
        Fatal: it, or the broker, was away for `patience_s`.
    """
    cause: Retryable | None = None
    try:
        async with asyncio.timeout(patience_s) as limit:
            while True:
                try:
                    await table.prepare()
                    limit.reschedule(None)  # to fill it takes what it takes
                    async with Reader(settings, topics.CAPTIONS, client="sink") as captions:
                        filled = await table.fill(role.batches(captions.to_end()))
                except Retryable as error:
                    cause = error
                    if limit.when() is None:
                        limit.reschedule(asyncio.get_running_loop().time() + patience_s)
                    log.warning("sink.waits", cause=str(error))
                    await asyncio.sleep(AGAIN_S)
                else:
                    log.info("sink.ready", table=settings.sink_table, filled=filled)
                    return
    except TimeoutError:
        raise Fatal(f"the database of the sink was away for {patience_s:.0f} s: {cause}") from cause


ROLE = Role("sink", run_sink)
