"""What a role on Faust tells of its topics: how far it is behind, records that were deleted unread, topics that were created again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from infra.logs import logger
from processors.errors import Retryable
from streams.engine.observer import Observer
from streams.kafka.names import Names
from streams.kafka.options import METADATA_MS
from streams.kafka.starts import Start, Told

log = logger(__name__)

LAG_SECONDS = 5.0
_PATIENCE_SECONDS = 30.0
_GONE_LOOKS = 3
"""A broker that has just come back may answer before it knows its topics."""


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


class TopicsRead:
    """Looks whether the topics that a role reads are there, and the same as when they were assigned.

    Args:
        names: theirs on the cluster.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = list(names)
        self._gone = 0

    async def watch(self, app: Any) -> None:
        """Look every few seconds. Never ends, unless the role must start over.

        Raises:
            Retryable: a topic was created again, or was deleted under the role. What was acknowledged meanwhile belongs to
                the topic that is gone, and what waits for it in the consumer (commits, offsets) may wait for ever.
        """
        from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

        while True:
            await asyncio.sleep(METADATA_MS / 1000)
            if not app.started:
                continue
            thread = app.consumer._thread  # noqa: SLF001
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    now = await thread.ids_now(self._names)
            except UnknownTopicOrPartitionError:
                self._gone += 1
                # One that was never there is waited for: whoever makes it need not know of us.
                if self._gone >= _GONE_LOOKS and thread.topic_ids:
                    raise Retryable(f"{', '.join(self._names)} was deleted: starting over") from None
                continue
            except (KafkaError, OSError, RuntimeError):
                continue  # the broker is away: others wait for it already
            self._gone = 0
            was = thread.topic_ids
            changed = sorted(topic for topic, topic_id in now.items() if was.get(topic, topic_id) != topic_id)
            if changed:
                raise Retryable(f"{', '.join(changed)} was created again: starting over")
