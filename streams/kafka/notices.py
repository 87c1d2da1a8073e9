"""What the Kafka side tells beside the log: counted by the metrics, shown by `/healthz`."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Protocol

from infra.logs import logger
from processors.errors import Retryable
from streams.kafka.options import METADATA_MS
from streams.kafka.starts import Start, Told

log = logger(__name__)

_LOOKS = 2
"""A broker that has just come back may answer before it knows its topics."""


class Notices(Protocol):
    """Called from the event loop; implementations only count and remember."""

    def lost(self, topic: str, records: int) -> None:
        """So many records were deleted before they were read."""
        ...

    def misplaced(self, topic: str, why: str) -> None:
        """A record lay on another partition than its key names; `why` is "partitioner" or "no key"."""
        ...

    def trouble(self, text: str) -> None:
        """Something that a person must know of, although the process goes on."""
        ...

    def settled(self, text: str) -> None:
        """That trouble is over."""
        ...


class NullNotices:
    """Tells nobody."""

    def lost(self, topic: str, records: int) -> None: ...

    def misplaced(self, topic: str, why: str) -> None: ...

    def trouble(self, text: str) -> None: ...

    def settled(self, text: str) -> None: ...


def telling(notices: Notices, letter: Told | None = None) -> Told:
    """The `told` of a role: counted, shown, and (where somebody may look for the records) a dead letter."""

    async def told(start: Start) -> None:
        notices.trouble(start.text)
        if start.lost:
            notices.lost(start.topic, start.lost)
        if letter is not None:
            await letter(start)

    return told


async def tell_missing(
    missing: Callable[[Iterable[str]], Awaitable[set[str]]], notices: Mapping[str, tuple[Notices, Iterable[str]]]
) -> None:
    """Tell roles of topics that there are not, for ever: a role that waits for one is busy with nothing, and looks well.

    Args:
        missing: which of some topics there are not; raises `Retryable` when nobody can say.
        notices: role → who is told, and the topics that it reads and writes.
    """
    seen: Counter[str] = Counter()
    told: set[tuple[str, str]] = set()
    wanted = {topic for _, used in notices.values() for topic in used}
    while True:
        await asyncio.sleep(METADATA_MS / 1000)
        try:
            gone = await missing(sorted(wanted))
        except Retryable:
            continue  # the broker is away: others wait for it already
        seen = Counter({topic: seen[topic] + 1 for topic in gone})
        now = {(role, t) for role, (_, used) in notices.items() for t in used if seen[t] >= _LOOKS}
        for role, topic in sorted(now - told):
            log.error("topic.missing", role=role, topic=topic)
            notices[role][0].trouble(_sentence(topic))
        for role, topic in told - now:
            notices[role][0].settled(_sentence(topic))
        told = now


async def end_where_hidden(check: Callable[[Iterable[str]], Awaitable[None]], topics: Iterable[str]) -> None:
    """End a process whose roles may not see what they read, for ever: a group that is dealt no partition waits, and looks well.

    Args:
        check: raises `Fatal` where the broker does not show one of some topics, `Retryable` when nobody can say.
        topics: that the roles read.
    """
    while True:
        with suppress(Retryable):  # the broker is away: others wait for it already
            await check(topics)
        await asyncio.sleep(METADATA_MS / 1000)


def _sentence(topic: str) -> str:
    return f"there is no topic {topic}: what is read or written there waits for it (`weft topics create` makes it)"
