"""How far a group on Faust is behind: the end of each partition it holds, less what it has finished."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from streams.engine.observer import Observer
from streams.kafka.names import Names

log = structlog.get_logger(__name__)

LAG_SECONDS = 5.0
_PATIENCE_SECONDS = 30.0


async def tell_lag(app: Any, names: Names, topics: Sequence[str], observer: Observer, seconds: float) -> None:
    """Tell the observer every so many seconds, for ever. The ends are asked for: a full pipeline fetches nothing.

    A broker that is away costs a period without news, and the role nothing.
    """
    while True:
        await asyncio.sleep(seconds)
        if not app.started or app.rebalancing:
            continue
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                found = await _lag(app.consumer, names)
        except Exception as error:  # noqa: BLE001 - whatever it is: a number that is missing must not end a role
            log.warning("lag.unknown", cause=f"{type(error).__name__}: {error}")
            continue
        for topic in topics:
            observer.lag(topic, {number: count for (name, number), count in found.items() if name == topic})


async def _lag(consumer: Any, names: Names) -> dict[tuple[str, int], int]:
    """Messages that are not done, of every partition held."""
    held = list(consumer.assignment())
    if not held:
        return {}
    ends: Mapping[Any, int] = await consumer.highwaters(*held)
    done: dict[Any, int | None] = {tp: consumer._committed_offset.get(tp) for tp in held}  # noqa: SLF001
    unread = [tp for tp in held if done[tp] is None]
    first: Mapping[Any, int] = await consumer.earliest_offsets(*unread) if unread else {}
    return {
        (names.name_of(tp.topic), tp.partition): max(0, ends[tp] - (done[tp] or first.get(tp, 0)))
        for tp in held
        if tp in ends
    }
