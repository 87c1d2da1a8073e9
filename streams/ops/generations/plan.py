"""What a replay will read, and what is not there any more: said before it begins."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from index_sync.shard import Shard
from processors.errors import BadSetting
from streams.contract.cloudevents import rfc3339
from streams.engine.message import Message
from streams.kafka.consumer import PlainConsumer
from streams.roles.index.shards import apply_messages

EARLIEST, END = "earliest", "end"
TRIAL = 500
"""Records that are replayed into nothing, to know how long all of them take."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A place on a topic: an offset of every partition, or a time (ms since the epoch), or neither: its beginning or end."""

    text: str
    offset: int | None = None
    time_ms: int | None = None


def moment(text: str, option: str) -> Moment:
    """What `--from` or `--to` says. Raises `BadSetting`."""
    if text in {EARLIEST, END}:
        if (text == EARLIEST) != (option == "--from"):
            raise BadSetting(f"{option} {text}: --from takes earliest, --to takes end")
        return Moment(text)
    if text.isascii() and text.isdigit():
        return Moment(text, offset=int(text))
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise BadSetting(
            f"{option} {text}: neither an offset, nor a time as 2026-01-31T12:00:00Z, nor {EARLIEST if option == '--from' else END}"
        ) from None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return Moment(text, time_ms=round(at.timestamp() * 1000))


class Range(msgspec.Struct, frozen=True):
    """What is read of one partition: from the first offset, up to the second, which is not read."""

    partition: int
    begin: int
    stop: int


class Plan(msgspec.Struct, frozen=True):
    """What `weft replay` says first, and with `--dry-run --json` prints.

    `records` is an upper bound where compaction left holes. `kept_since`: of the first record that retention still
    holds. `gone`: offsets that were asked for and are not kept any more. `estimated_seconds`: from a trial on the first
    records; None where nothing could be tried.
    """

    generation: str
    topic: str
    profile: str
    ranges: tuple[Range, ...]
    records: int
    kept_since: str | None
    gone: int
    estimated_seconds: float | None
    each_seconds: float | None = None
    memo_looked: int = 0  # products that were looked up in the memo
    memo_known: int = 0  # of these, known: they cost a look-up; the others are thought again
    each_known_seconds: float | None = None


async def ranges_of(
    consumer: PlainConsumer, topic: str, begin: Moment, stop: Moment
) -> tuple[tuple[Range, ...], int, str | None]:
    """What is to be read, how many offsets of it are gone, and since when the topic is kept."""
    found, gone = [], 0
    since: list[int] = []
    for partition, (low, high) in sorted((await consumer.watermarks(topic)).items()):
        place = (topic, partition)
        first = low
        if begin.offset is not None:
            first = begin.offset
        elif begin.time_ms is not None:
            at = await consumer.first_since(place, begin.time_ms)
            first = high if at is None else at
        last = high
        if stop.offset is not None:
            last = min(high, stop.offset)
        elif stop.time_ms is not None:
            at = await consumer.first_since(place, stop.time_ms)
            last = high if at is None else at
        gone += max(0, min(low, last) - first)
        first = min(max(first, low), high)
        found.append(Range(partition, first, max(first, last)))
        if low < high and (earliest := await consumer.first_time(place)) is not None:
            since.append(earliest)
    return tuple(found), gone, rfc3339(min(since)) if since else None


def begins_of(ranges: tuple[Range, ...], begin: Moment) -> Mapping[str, int]:
    """Which first offsets a generation is bound to; none where it begins where the topic does."""
    bound = begin.time_ms is not None or bool(begin.offset)
    return {str(one.partition): one.begin for one in ranges} if bound else {}


def ends_of(ranges: tuple[Range, ...], stop: Moment) -> Mapping[str, int]:
    """Where a generation ends that does not follow its topic."""
    bound = stop.time_ms is not None or stop.offset is not None
    return {str(one.partition): one.stop for one in ranges} if bound else {}


async def some_records(
    consumer: PlainConsumer, topic: str, ranges: tuple[Range, ...], most: int = TRIAL
) -> list[Message]:
    """The first records of the longest range."""
    longest = max(ranges, key=lambda one: one.stop - one.begin, default=None)
    if longest is None or longest.stop == longest.begin:
        return []
    place = (topic, longest.partition)
    await consumer.assign({place: longest.begin})
    found: list[Message] = []
    while len(found) < most and await consumer.position(place) < longest.stop:
        found += await consumer.poll(0.5, max_records=most - len(found))
    return found[:most]


def trial(messages: list[Message], clock: Callable[[], float] = time.perf_counter) -> float | None:
    """Seconds that indexing one record takes, tried into a shard that is thrown away; None without records."""
    if not messages:
        return None
    shard = Shard(0, "", 0)
    started = clock()
    apply_messages(shard, messages, 0)
    return (clock() - started) / len(messages)
