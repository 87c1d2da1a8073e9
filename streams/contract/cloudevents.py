"""CloudEvents 1.0 in Kafka binary mode: the `ce_*` headers of a record (EVENTS.md)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from streams.contract.topics import BY_NAME
from streams.engine.message import Message, derived_id

Headers: TypeAlias = tuple[tuple[str, bytes], ...]

SPEC_VERSION = "1.0"
SOURCE = "weft"
_MAX_HEADER = 1024
_LAST_MS = 253_402_300_799_000  # the last second of the year 9999


@dataclass(frozen=True, slots=True)
class EventContext:
    """What the headers of an input say; everything but `id` may be empty."""

    id: str
    type: str = ""
    source: str = ""
    time: str = ""
    traceparent: str = ""


def ce_headers(*, id: str, type: str, source: str, time: str, traceparent: str = "") -> Headers:  # noqa: A002
    """The headers of one event. `time` is RFC 3339; `traceparent` is left out when empty."""
    pairs = [
        ("ce_specversion", SPEC_VERSION),
        ("ce_id", id),
        ("ce_type", type),
        ("ce_source", source),
        ("ce_time", time),
        ("traceparent", traceparent),
    ]
    return tuple((name, value.encode()) for name, value in pairs if value)


def event_context(message: Message) -> EventContext:
    """The headers of an input. Without `ce_id` the id is derived from topic, partition and offset."""

    def text(name: str) -> str:
        return (message.header(name) or b"")[:_MAX_HEADER].decode(errors="replace")

    return EventContext(
        id=text("ce_id") or message.event_id(""),
        type=text("ce_type"),
        source=text("ce_source"),
        time=text("ce_time"),
        traceparent=text("traceparent"),
    )


def output_headers(message: Message, *, stage: str, topic: str, number: int = 0) -> Headers:
    """Headers of what `stage` publishes to `topic` because of `message`: the same on every delivery.

    The time is the input's own, so that a replay gives the same bytes; `number` tells several outputs apart. An input
    that Weft itself made may lie on its topic twice (its maker died between publishing and committing): its id and
    time, not its offset, say which event it is. From outside, only the offset is sure to be unique.
    """
    step = f"{stage}/{topic}/{number}" if number else f"{stage}/{topic}"
    given = event_context(message)
    ours = given.source.startswith(f"{SOURCE}/") and bool(given.time)
    return ce_headers(
        id=derived_id(given.id, step) if ours else message.event_id(step),
        type=BY_NAME[topic].event_type,
        source=f"{SOURCE}/{stage}",
        time=given.time if ours else rfc3339(message.timestamp_ms),
        traceparent=given.traceparent,
    )


def origin_ms(message: Message) -> int:
    """When the event at the beginning of it all happened, in milliseconds since the epoch.

    Weft's own events carry the time of the record that they were made from (`output_headers`); of any other the
    broker's time counts, because a client may call any time its own.
    """
    given = event_context(message)
    if given.source.startswith(f"{SOURCE}/") and given.time:
        with suppress(ValueError, OverflowError):
            return round(datetime.fromisoformat(given.time).timestamp() * 1000)
    return message.timestamp_ms


def rfc3339(timestamp_ms: int) -> str:
    """`2026-01-31T12:00:00.123Z`."""
    # A client may send any number; one outside the calendar must not make its record fail.
    seconds = min(max(timestamp_ms, 0), _LAST_MS) / 1000
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
