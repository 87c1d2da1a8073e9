"""How the roles that search ask the index: probes out, and the answers that come back."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from processors.errors import Poison
from streams.contract import codecs, topics
from streams.contract.cloudevents import ce_headers, rfc3339
from streams.contract.probes import Probe
from streams.engine.message import Message
from streams.kafka.client import Reader
from streams.search.pending import PendingQueries
from streams.wiring.parts import Parts


def probing(parts: Parts, role: str) -> Callable[[Probe], Awaitable[None]]:
    """What sends a probe of this role; it returns once the broker has it."""

    async def send(probe: Probe) -> None:
        spec, key = topics.BY_NAME[topics.PROBES], probe.query_id.encode()
        now = rfc3339(round(time.time() * 1000))
        # The id of a probe derives from its query: the answers to both copies of one have the same ids.
        headers = ce_headers(
            id=probe.query_id, type=spec.event_type, source=f"weft/{role}", time=now, content_type=spec.content_type
        )
        await (await parts.sender.send(topics.PROBES, key=key, value=codecs.encode(probe), headers=headers))

    return send


async def hear(hits: Reader, pending: PendingQueries) -> None:
    """Give the answers of the index to whoever waits for them, for ever."""
    async for raw in hits.follow():
        if raw.value is None or not pending.waiting:
            continue
        try:
            pending.deliver(codecs.decode_answer(raw.value))
        except Poison:
            continue  # not one of ours: whoever asked will see a shard missing


async def nothing_left(_message: Message, _result: object) -> tuple[()]:
    """Of a pipeline whose last stage has sent the result."""
    return ()
