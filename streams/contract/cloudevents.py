"""CloudEvents 1.0 on Kafka (EVENTS.md): binary mode (`ce_*` headers) in and out, structured mode in.

Source: CloudEvents 1.0.2, Kafka Protocol Binding, sections 3.2 and 3.3; JSON Event Format, section 3.
"""

from __future__ import annotations

import base64
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeAlias

import msgspec

from processors.errors import Code, Poison
from streams.contract import plain
from streams.contract.topics import spec_of
from streams.engine.message import Message, derived_id

Headers: TypeAlias = tuple[tuple[str, bytes], ...]

SPEC_VERSION = "1.0"
SOURCE = "weft"
CONTENT_TYPE = "content-type"
STRUCTURED = "application/cloudevents+json"
_ANY_STRUCTURED = "application/cloudevents"
_MAX_HEADER = 1024
_TRACE = re.compile(rb"[ -~]{1,1024}")
_LAST_MS = 253_402_300_799_000  # the last second of the year 9999


@dataclass(frozen=True, slots=True)
class EventContext:
    """What the headers of an input say; everything but `id` may be empty."""

    id: str
    type: str = ""
    source: str = ""
    time: str = ""
    traceparent: str = ""
    tracestate: str = ""


_NOTHING_SAID = EventContext("")


class _Envelope(msgspec.Struct, frozen=True):
    """An event in structured mode. All of it is optional, as the headers are."""

    specversion: str | None = None
    id: str | None = None
    type: str | None = None
    source: str | None = None
    time: str | None = None
    datacontenttype: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")
    data_base64: str | None = None


_PLAIN_JSON = b"application/json"
_ENVELOPE = msgspec.json.Decoder(_Envelope)


def ce_headers(
    *,
    id: str,  # noqa: A002
    type: str,  # noqa: A002
    source: str,
    time: str,
    content_type: str = "",
    traceparent: str = "",
    tracestate: str = "",
) -> Headers:
    """The headers of one event. `time` is RFC 3339; what is empty is left out."""
    pairs = [
        ("ce_specversion", SPEC_VERSION),
        ("ce_id", id),
        ("ce_type", type),
        ("ce_source", source),
        ("ce_time", time),
        (CONTENT_TYPE, content_type),
        ("traceparent", traceparent),
        ("tracestate", tracestate if traceparent else ""),  # without its parent it says nothing
    ]
    return tuple((name, value.encode()) for name, value in pairs if value)


def event_context(message: Message) -> EventContext:
    """What an input says of itself, in either mode. Without an id it is derived from the record's identity."""
    said = _said(message)
    return said if said.id else replace(said, id=message.event_id(""))


def _said(message: Message) -> EventContext:
    """The same; without an id it is "": to derive one costs more than all the rest."""
    with suppress(Poison):  # whoever decodes the record says what is wrong with it
        message = unwrapped(message)
    given = dict(message.headers)  # of several of one name the last counts

    def text(name: str) -> str:
        return given.get(name, b"")[:_MAX_HEADER].decode(errors="replace")

    def passed_on(name: str) -> str:
        # What is no header of a trace would be refused by whoever reads it next (W3C Trace Context, 3.2 and 3.3).
        value = given.get(name, b"")
        return value.decode() if value and _TRACE.fullmatch(value) else ""

    return EventContext(
        id=text("ce_id"),
        type=text("ce_type"),
        source=text("ce_source"),
        time=text("ce_time"),
        traceparent=passed_on("traceparent") or passed_on("ce_traceparent"),
        tracestate=passed_on("tracestate") or passed_on("ce_tracestate"),
    )


def unwrapped(message: Message) -> Message:
    """An event in structured mode as the same event in binary mode; any other record as it is.

    A null value is a deletion in either mode.

    Raises:
        Poison: it says that it is in structured mode, and is not, or not in JSON; or it has no data.
    """
    if not is_structured(message) or not message.value:
        return message
    kind = _content_type(message)
    if kind != STRUCTURED:
        raise Poison(f"is {kind[:100]!r}, of which only {STRUCTURED} is read", field=CONTENT_TYPE, code=Code.MALFORMED)
    try:
        envelope = _ENVELOPE.decode(plain.json_of(message.value))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Poison(f"is no event in structured mode: {error}", field="value", code=Code.MALFORMED) from error
    version = envelope.specversion or SPEC_VERSION
    if version.partition(".")[0] != SPEC_VERSION.partition(".")[0]:
        raise Poison(
            f"is {version[:20]!r}; CloudEvents {SPEC_VERSION} are read", field="specversion", code=Code.INVALID
        )
    given = {
        "ce_specversion": version,
        "ce_id": envelope.id,
        "ce_type": envelope.type,
        "ce_source": envelope.source,
        "ce_time": envelope.time,
        "traceparent": envelope.traceparent,
        "tracestate": envelope.tracestate,
        CONTENT_TYPE: envelope.datacontenttype or "application/json",
    }
    stated = {name: text.encode() for name, text in given.items() if text}
    headers = tuple((name, value) for name, value in message.headers if name.lower() not in stated)
    return replace(message, value=_data_of(envelope), headers=(*headers, *stated.items()))


def _content_type(message: Message) -> str:
    said = next((value for name, value in reversed(message.headers) if name.lower() == CONTENT_TYPE), b"")
    return said.partition(b";")[0].strip().lower().decode(errors="replace")


def is_structured(message: Message) -> bool:
    """Whether its headers say that the value is an event around the data."""
    for name, value in reversed(message.headers):
        if name.lower() == CONTENT_TYPE:
            return value != _PLAIN_JSON and _content_type(message).startswith(_ANY_STRUCTURED)
    return False


def _data_of(envelope: _Envelope) -> bytes:
    data = bytes(envelope.data)
    there = data != b"null"
    if there and envelope.data_base64 is not None:
        raise Poison("has both data and data_base64", field="data", code=Code.INVALID)
    if envelope.data_base64 is not None:
        try:
            return base64.b64decode(plain.base64_of(envelope.data_base64), validate=True)
        except ValueError as error:
            raise Poison(f"is no base64: {error}", field="data_base64", code=Code.MALFORMED) from None
    if not there:
        # Null means not set: what deletes a product is the null value of a whole record.
        raise Poison("the event has no data", field="data", code=Code.MISSING_FIELD)
    # Of another type than JSON, and of some producers in any case, the data are text.
    return msgspec.json.decode(data, type=str).encode() if data.startswith(b'"') else data


def output_headers(message: Message, *, stage: str, topic: str, number: int = 0) -> Headers:
    """Headers of what `stage` publishes to `topic` because of `message`: the same on every delivery.

    The time is the input's own, so that a replay gives the same bytes; `number` tells several outputs apart. An input
    that Weft itself made may lie on its topic twice (its maker died between publishing and committing): its id and
    time, not its offset, say which event it is. From outside, only the record itself is sure to be unique.
    """
    step = f"{stage}/{topic}/{number}" if number else f"{stage}/{topic}"
    given = _said(message) if message.headers else _NOTHING_SAID  # no mode is told but by a header
    ours = given.source.startswith(f"{SOURCE}/") and bool(given.time)
    return ce_headers(
        id=derived_id(given.id or message.event_id(""), step) if ours else message.event_id(step),
        type=spec_of(topic).event_type,
        source=f"{SOURCE}/{stage}",
        time=given.time if ours else rfc3339(message.timestamp_ms),
        content_type=spec_of(topic).content_type,
        traceparent=given.traceparent,
        tracestate=given.tracestate,
    )


def origin_ms(message: Message) -> int:
    """When the event at the beginning of it all happened, in milliseconds since the epoch.

    Weft's own events carry the time of the record that they were made from (`output_headers`); of any other the
    broker's time counts, because a client may call any time its own.
    """
    if not any(name in {"ce_source", "ce_time"} for name, _ in message.headers) and not is_structured(message):
        return message.timestamp_ms  # as most uploads: nothing else in them is looked at
    given = _said(message)
    if given.source.startswith(f"{SOURCE}/") and given.time:
        with suppress(ValueError, OverflowError):
            return round(datetime.fromisoformat(given.time).timestamp() * 1000)
    return message.timestamp_ms


def rfc3339(timestamp_ms: int) -> str:
    """`2026-01-31T12:00:00.123Z`."""
    # A client may send any number; one outside the calendar must not make its record fail.
    seconds = min(max(timestamp_ms, 0), _LAST_MS) / 1000
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
