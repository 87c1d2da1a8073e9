"""What a role on Faust tells of its topics: records that were deleted unread, and topics that were created again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import structlog

from processors.errors import Retryable
from streams.kafka.names import Names
from streams.kafka.options import METADATA_MS
from streams.kafka.starts import Start, Told

log = structlog.get_logger(__name__)


def teller(group: str, names: Names, told: Told | None) -> Told:
    """Say it in the log, and to who wants to know, by the names of EVENTS.md; once (Faust seeks twice a rebalance)."""
    said: set[Start] = set()

    async def tell(start: Start) -> None:
        named = replace(start, topic=names.name_of(start.topic))
        if named not in said:
            log.error("records.lost" if named.lost else "topic.changed", group=group, what=named.text)
            if told is not None:
                await told(named)
            said.add(named)

    return tell


async def created_again(app: Any) -> None:
    """Never ends, unless a topic that is read is another one than at the assignment.

    Raises:
        Retryable: so. What was acknowledged meanwhile belongs to the topic that is gone; the next start begins anew.
    """
    from aiokafka.errors import KafkaError

    while True:
        await asyncio.sleep(METADATA_MS / 1000)
        try:
            changed = await app.consumer._thread.created_again() if app.started else []  # noqa: SLF001
        except (KafkaError, OSError, RuntimeError):
            continue  # the broker is away: others wait for it already
        if changed:
            raise Retryable(f"{', '.join(changed)} was created again: starting over")
