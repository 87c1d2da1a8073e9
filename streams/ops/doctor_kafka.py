"""What `weft doctor` looks for on the broker beside the topics being there: settings, offsets, keys, records that are gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from infra.settings import Settings
from streams.contract import topics
from streams.kafka.consumer import PartitionId, open_consumer
from streams.kafka.dead_letters import LOST_STAGE
from streams.kafka.key_order import placed_by
from streams.kafka.names import names_of
from streams.kafka.pins import partition_of
from streams.kafka.positions import RecordAddress, records_between
from streams.kafka.starts import Committed, start_of
from streams.ops import admin
from streams.ops.dlq import open_dead_letter_admin
from streams.ops.dlq_letters import Filter
from streams.search.generations import captions_group, read

GROUPS = {"weft-enrich": topics.UPLOADS, "weft-caption": topics.ITEMS, "weft-compose": topics.QUERIES}
"""Groups whose offsets say where their role goes on; that of the index says nothing."""
SAMPLE = 50
"""Last records of a partition whose keys are looked at."""
FEW = 4
"""Keys from fewer of which nothing is concluded: one alone lies where some number of partitions would have it."""
RECENT_S = 24 * 3600.0
"""A client that was mended a day ago is not held against anybody."""


@dataclass(frozen=True, slots=True)
class Told:
    """One thing that was found; `ok`: nothing has to be done about it."""

    part: str
    found: str
    advice: str = ""
    ok: bool = False


async def differences(settings: Settings) -> list[Told]:
    """How topics that exist differ from what Weft would make: it changes none by itself."""
    found: list[Told] = []
    names = names_of(settings)
    for name, sentences in (await admin.topic_differences(settings)).items():
        partitions = [text for text in sentences if "partitions" in text]
        others = [text for text in sentences if text not in partitions]
        if partitions:
            # Handled: keys of our own topics stay where they are, those of uploads are brought together.
            found.append(Told("topics", f"{names.topic(name)} {'; '.join(partitions)}", ok=True))
        if others:
            advice = "change it with kafka-configs.sh (kafka-reassign-partitions.sh for replicas), or the setting"
            found.append(Told("topics", f"{names.topic(name)}: {'; '.join(others)}", advice))
    return found


async def groups(settings: Settings) -> list[Told]:
    """Records that were deleted before a role read them, and offsets of topics that are gone: as they stand now."""
    found: list[Told] = []
    names = names_of(settings)
    async with open_consumer(settings) as consumer:
        items = (await read(settings)).items
        reading = GROUPS | {captions_group(items): items}
        if items != topics.ITEMS:
            del reading[captions_group(topics.ITEMS)]  # nobody reads on there
        for group, topic in reading.items():
            commits = await admin.group_offsets(settings, group)
            bounds, ends = await consumer.watermarks(topic), await consumer.high_watermarks(topic)
            topic_id = await consumer.topic_id(topic)
            for partition, (low, _) in sorted(bounds.items()):
                committed = commits.get((topic, partition))
                known = None if committed is None else Committed.of(*committed)
                start = start_of(names.topic(topic), partition, known, low=low, end=ends[partition], topic_id=topic_id)
                if start.text:
                    advice = "send these products again, and raise the topic's retention" if start.lost else _RESTART
                    found.append(Told("offsets", f"{names.group(group)}: {start.text}", advice))
    return found


_RESTART = "the role finds this at its next start: restart it if it runs"


async def misplaced(settings: Settings, now: Callable[[], float] = time.time) -> list[Told]:
    """Uploads of the last day on other partitions than their keys name, in a sample of each partition."""
    looked = 0
    wrong: list[tuple[bytes, int]] = []
    async with open_consumer(settings) as consumer:
        bounds = await consumer.watermarks(topics.UPLOADS)
        for partition, (low, end) in bounds.items():
            first = RecordAddress(topics.UPLOADS, partition, max(low, end - SAMPLE))
            async for message in records_between(consumer, first, end):
                if not message.key or message.timestamp_ms / 1000 < now() - RECENT_S:
                    continue
                looked += 1
                if partition_of(key := placed_by(message.key), len(bounds)) != partition:
                    wrong.append((key, partition))
    if not wrong:
        return []
    found = f"{len(wrong)} of {looked} recent uploads lie on another partition than their key names; they are passed on"
    if (before := partitions_before(wrong, len(bounds))) is not None:
        added = f": partitions were added, {names_of(settings).topic(topics.UPLOADS)} had {before}"
        return [Told("keys", found + added, ok=True)]
    advice = "set the partitioner of the client to murmur2 (kcat -X topic.partitioner=murmur2_random)"
    unless = "" if len({key for key, _ in wrong}) >= FEW else ", unless partitions were added a moment ago"
    return [Told("keys", found, advice + unless)]


def partitions_before(wrong: Sequence[tuple[bytes, int]], now: int) -> int | None:
    """How many partitions a topic had when these keys were placed, each on this partition; None where no number explains them all.

    A client is not to be told of another partitioner when its records only lie where they belonged at the time. Of a few
    nothing is said: what another partitioner placed may fit some number by chance.

    Args:
        wrong: keys, each with a partition that it does not name now.
        now: the partitions that there are.
    """
    if len({key for key, _ in wrong}) < FEW:
        return None
    first = max(partition for _, partition in wrong) + 1
    fits = (
        number
        for number in range(first, now)
        if all(partition_of(key, number) == partition for key, partition in wrong)
    )
    return max(fits, default=None)


async def lost(settings: Settings) -> list[Told]:
    """Letters that stand for records which were deleted unread, until somebody drops them."""
    async with open_dead_letter_admin(settings) as admin:
        letters = await admin.letters(Filter(stage=LOST_STAGE))
    advice = "send these products again, raise the topic's retention, then `weft dlq drop --stage retention`"
    return [Told("records", letter.cause, advice) for letter in letters]


async def open_transactions(settings: Settings, wait_s: float = 5.0) -> list[Told]:
    """Topics whose committed records end before others: a client's transaction is open, and nobody reads what lies behind it.

    A client that died in the middle holds everybody's uploads back until its transaction times out; no role can tell.

    Args:
        settings: where Kafka is.
        wait_s: a transaction that moves on within so long is at work, and no finding.
    """
    before = await _held_back(settings)
    if not before:
        return []
    await asyncio.sleep(wait_s)
    still = await _held_back(settings, sorted({topic for topic, _ in before}))
    behind: dict[str, int] = {}
    for place, (stable, records) in still.items():
        if place in before and before[place][0] == stable:
            behind[place[0]] = behind.get(place[0], 0) + records
    names = names_of(settings)
    return [
        Told(
            "transactions",
            f"{names.topic(topic)}: a transaction is open, and {count} records wait, from its first on",
            _HANGING,
        )
        for topic, count in behind.items()
    ]


_HANGING = "end it: kafka-transactions.sh find-hanging and abort, or wait for its producer's transaction.timeout.ms"


async def _held_back(settings: Settings, only: Sequence[str] | None = None) -> dict[PartitionId, tuple[int, int]]:
    """Partition → where its committed records end, and how many records lie behind, of those where any do."""
    found: dict[PartitionId, tuple[int, int]] = {}
    states = await admin.list_topics(settings, only)
    async with open_consumer(settings) as consumer:
        for state in states:
            ends = await consumer.high_watermarks(state.name)
            for at in state.partitions:
                if at.high < ends.get(at.partition, 0):
                    found[state.name, at.partition] = (at.high, ends[at.partition] - at.high)
    return found


LOOKS: tuple[Callable[[Settings], Awaitable[list[Told]]], ...] = (
    differences,
    groups,
    misplaced,
    lost,
    open_transactions,
)
