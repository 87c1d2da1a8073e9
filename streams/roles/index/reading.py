"""What an index worker reads with: its consumers, and the tail of the probes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Literal

from aiokafka.errors import KafkaError

from infra.settings import Settings
from processors.errors import Retryable
from streams.contract import topics
from streams.kafka.consumer import PlainConsumer, open_consumer
from streams.kafka.names import names_of
from streams.kafka.predecessor import take_out_predecessor
from streams.roles.index.probes import ProbeAnswerer
from streams.roles.index.shards import OwnedShard
from streams.roles.index.trouble import Patience

POLL_S = 0.2
BATCH = 1000


async def connected(
    settings: Settings,
    group: str | None,
    start: Literal["none", "earliest"],
    pace_s: float,
    opened: AsyncExitStack,
    patience: Patience,
    stop: asyncio.Event,
) -> PlainConsumer | None:
    """A started consumer, stopped with `opened`; None when the end came first."""
    attempt = 0
    if group is not None:
        await take_out_predecessor(settings, names_of(settings).group(group), "index")
    while not stop.is_set():
        try:
            opening = open_consumer(settings, client="index", group=group, start=start, pace_s=pace_s)
            return await opened.enter_async_context(opening)
        except KafkaError as error:
            attempt += 1
            await patience.wait_or_raise("connect", error, attempt)
    return None


async def follow_probes(
    consumer: PlainConsumer,
    answerer: ProbeAnswerer,
    held: Callable[[], Sequence[OwnedShard]],
    live: Callable[[], str],
    since: Callable[[], float],
    patience: Patience,
    stop: asyncio.Event,
) -> None:
    """Hand every probe to the answerer, until `stop` is set.

    Args:
        consumer: without a group: every worker reads them all.
        answerer: takes them.
        held: all shards of this worker.
        live: the generation that answers where a probe names none.
        since: seconds since the epoch; probes of before are not looked at.
        patience: between attempts.
        stop: the end.
    """
    attempt = 0
    sought = False
    while not stop.is_set():
        try:
            if not sought or consumer.known_partitions(topics.PROBES) > len(consumer.partitions_read()):
                # Probes whose deadline may lie ahead: they may have been sent before this worker was up.
                await consumer.read_since(topics.PROBES, round(since() * 1000))
                sought = True
            messages = await consumer.poll(POLL_S, max_records=BATCH)
            attempt = 0
        except (KafkaError, Retryable) as error:
            attempt += 1
            await patience.wait_or_raise("probes", error, attempt)
            continue
        for message in messages:
            await answerer.take(message, held(), live())
