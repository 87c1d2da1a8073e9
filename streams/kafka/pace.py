"""Lets what trickles come together: at the broker, which answers with all of it at once.

A broker answers a fetch with the first record that comes. Who follows a stream whose writer publishes record by record then asks
for each, and asking costs him and the broker many times what the record costs. Whoever rests between two polls instead reads twice
late: aiokafka asks again as soon as the last record is taken, gets the first of the rest, and asks no more until that is taken, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

STREAM_S = 0.02
"""For who is waited for: a fiftieth of a second more at most, and nothing for what comes after silence."""
SEARCH_S = 0.01
"""For who asks and answers in between (each of the four steps of a query), and for what is to be found soon."""
BESIDE_S = 0.1
"""For who follows beside the work, and nobody waits for."""
ENOUGH = 256 * 2**10
"""So many bytes are a backlog, which is answered with at once."""
STEADY = 2.0
"""Times the pace between two answers that brought something, at most, in a stream that is worth holding a fetch for."""


def gather(consumer: Any, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
    """Let a broker that has just given something, and shortly before as well, hold the next fetch for so long, or until there is
    `ENOUGH`.

    Only the one fetch after it: where that brings nothing, what comes next is answered at once again. And only in a stream: of what
    comes once in a while nothing comes together, and a fetch that is held for nothing costs as much as any other.

    Args:
        consumer: of aiokafka, started.
        seconds: at most; 0: nothing is gathered.
        now: monotonic seconds.
    """
    if not seconds:
        return
    # There is no public way to ask each time for something else.
    fetcher = consumer._fetcher  # noqa: SLF001
    plain = fetcher._proc_fetch_request  # noqa: SLF001
    gave: dict[int, float] = {}
    streaming: set[int] = set()

    async def fetch(assignment: Any, node: int, request: Any) -> bool:
        if node in streaming:
            streaming.discard(node)
            request._min_bytes, request._max_wait_ms = ENOUGH, round(seconds * 1000)  # noqa: SLF001
        found: bool = await plain(assignment, node, request)
        if found:
            at, before = now(), gave.get(node)
            gave[node] = at
            if before is not None and at - before <= STEADY * seconds:
                streaming.add(node)
        return found

    fetcher._proc_fetch_request = fetch  # noqa: SLF001
