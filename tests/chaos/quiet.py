"""Waiting until everything is worked off: by progress, never by the clock alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from infra.settings import Settings
from infra.store import ObjectStore
from processors.errors import WeftError
from streams.contract import topics
from streams.kafka.consumer import open_consumer
from streams.kafka.options import client_options
from tests.chaos.evidence import snapshot_offsets
from tests.chaos.patience import Patience

GROUPS = {"weft-enrich": topics.UPLOADS, "weft-caption": topics.ITEMS, "weft-compose": topics.QUERIES}
LOOK_S = 1.0
SAME_LOOKS = 2
"""So often in a row must everything be worked off, with no new record: a late duplicate would still be seen."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far everybody is: ends of topics, commits of groups, snapshots of shards; by topic or group and partition."""

    ends: Mapping[tuple[str, int], int]
    commits: Mapping[tuple[str, int], int]
    applied: Mapping[int, int]

    @property
    def behind(self) -> dict[str, int]:
        """Records each reader still has to work off; empty when all is quiet."""
        found: dict[str, int] = {}
        for group, topic in GROUPS.items():
            lag = sum(end - self.commits.get((group, p), 0) for (name, p), end in self.ends.items() if name == topic)
            if lag:
                found[group] = lag
        lag = sum(end - self.applied.get(p, 0) for (name, p), end in self.ends.items() if name == topics.ITEMS)
        if lag:
            found["index"] = lag
        return found


async def standing(settings: Settings, store: ObjectStore) -> Standing:
    """Ask the broker and the store."""
    from aiokafka.admin import AIOKafkaAdminClient

    ends: dict[tuple[str, int], int] = {}
    async with open_consumer(settings) as consumer:
        for topic in (*GROUPS.values(), topics.CAPTIONS, topics.DEAD_LETTERS, topics.RESULTS):
            ends |= {(topic, p): high for p, (_, high) in (await consumer.watermarks(topic)).items()}
    commits: dict[tuple[str, int], int] = {}
    admin = AIOKafkaAdminClient(**client_options(settings))
    await admin.start()
    try:
        for group in GROUPS:
            found = await admin.list_consumer_group_offsets(group)
            commits |= {(group, place.partition): max(0, meta.offset) for place, meta in found.items()}
    finally:
        await admin.close()
    partitions = sum(topic == topics.ITEMS for topic, _ in ends)
    return Standing(ends, commits, await asyncio.to_thread(snapshot_offsets, store, partitions))


async def until_quiet(
    settings: Settings, store: ObjectStore, patience_s: float, say: Callable[[str], None]
) -> dict[str, int]:
    """Wait until everybody has worked off everything, or nobody has made any progress for `patience_s`.

    Returns:
        What is still behind; empty when all is quiet.
    """
    before: Standing | None = None
    patience, same = Patience(patience_s), 0
    while True:
        now: Standing | None
        try:
            now = await standing(settings, store)
        except (OSError, WeftError, _kafka_error()) as error:
            say(f"cannot look: {error!r}")
            now = before
        if now != before:
            before, same = now, 0
            patience.progress()
        elif now is not None and not now.behind:
            same += 1
            if same >= SAME_LOOKS:
                return {}
        if patience.over:
            return {"everything": 1} if before is None else before.behind
        await asyncio.sleep(LOOK_S)


def _kafka_error() -> type[Exception]:
    from aiokafka.errors import KafkaError

    found: type[Exception] = KafkaError
    return found
