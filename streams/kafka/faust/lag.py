"""How far a group on Faust is behind: the end of each partition it holds, less what it has finished."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

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
                found, unread = await _lag(app.consumer, names)
        except Exception as error:  # noqa: BLE001 - whatever it is: a number that is missing must not end a role
            log.warning("lag.unknown", cause=f"{type(error).__name__}: {error}")
            # A role behind a broker that is away does nothing for a reason: `weft up` need not start it again.
            observer.retried("lag", type(error).__name__)
            continue
        for topic in topics:
            observer.lag(topic, {number: count for (name, number), count in found.items() if name == topic})
            observer.unread(topic, {number: count for (name, number), count in unread.items() if name == topic})


_Counts: TypeAlias = dict[tuple[str, int], int]


async def _lag(consumer: Any, names: Names) -> tuple[_Counts, _Counts]:
    """Of every partition held: messages that are not done, and those of them that have not even been read.

    The second is told apart because the first may stay above zero where nothing is left to do: behind the last
    committed record may lie those of a transaction that was aborted.
    """
    held = list(consumer.assignment())
    if not held:
        return {}, {}
    ends: Mapping[Any, int] = await consumer.highwaters(*held)
    done: dict[Any, int | None] = {tp: consumer._committed_offset.get(tp) for tp in held}  # noqa: SLF001
    unread = [tp for tp in held if done[tp] is None]
    first: Mapping[Any, int] = await consumer.earliest_offsets(*unread) if unread else {}
    at = {tp: await consumer.position(tp) for tp in held}
    places = {tp: (names.name_of(tp.topic), tp.partition) for tp in held if tp in ends}
    lag = {place: max(0, ends[tp] - (done[tp] or first.get(tp, 0))) for tp, place in places.items()}
    return lag, {place: max(0, ends[tp] - (at[tp] or 0)) for tp, place in places.items() if at[tp] is not None}
