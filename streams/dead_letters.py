"""The last stop of a message that can never succeed: its own bytes, and why, in Kafka Connect's headers (EVENTS.md)."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Sequence

from streams.engine.failures import Failure
from streams.engine.lanes import DeadLetter
from streams.producer import Sender
from streams.topics import DEAD_LETTERS

_PREFIX = "__connect.errors."
_MAX_MESSAGE = 2000

_HIDDEN = "[hidden]"
# user:password@ in an address.
_USERINFO = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*://)[^/@\s]+@")
# Everything after the "?" of an address: signatures of presigned URLs and tokens live there.
_QUERY = re.compile(r"(?P<url>[a-zA-Z][a-zA-Z0-9+.-]*://[^?\s'\"<>]*)\?[^\s'\"<>]*")
_SECRET = re.compile(
    r"(?P<name>(?:[\w-]*(?:password|passwd|secret|token|api[_-]?key|access[_-]?key|signature|credential)[\w-]*"
    r"|authorization))(?P<sep>[\"']?\s*[:=]\s*[\"']?)(?:(?:bearer|basic)\s+)?[^\s,;&\"']+",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)


def redacted(text: str) -> str:
    """`text` without credentials and signed addresses; dead letters are read by more people than the store is."""
    text = _USERINFO.sub(rf"\g<scheme>{_HIDDEN}@", text)
    text = _QUERY.sub(rf"\g<url>?{_HIDDEN}", text)
    text = _SECRET.sub(rf"\g<name>\g<sep>{_HIDDEN}", text)
    text = _BEARER.sub(_HIDDEN, text)
    return text[:_MAX_MESSAGE]


def failure_headers(failure: Failure) -> tuple[tuple[str, bytes], ...]:
    """The headers that say what happened, in the names of Kafka Connect."""
    cause = failure.cause
    named = {
        "topic": failure.message.topic,
        "partition": str(failure.message.partition),
        "offset": str(failure.message.offset),
        "stage": failure.stage,
        "exception.class.name": type(cause).__name__,
        "exception.message": redacted(str(failure.error)),
        "attempts": str(failure.attempts),
    }
    return tuple((f"{_PREFIX}{name}", value.encode()) for name, value in named.items())


def dead_letters(sender: Sender) -> DeadLetter:
    """The `dead_letter` of a pipeline: sends the original key, bytes and headers, and the cause."""

    async def dead_letter(failure: Failure) -> Sequence[Awaitable[object]]:
        message = failure.message
        # Headers of an earlier round (a dead letter that was put back and failed again) would hide the new cause.
        kept = tuple(header for header in message.headers if not header[0].startswith(_PREFIX))
        # A record needs a key or a value; a nameless delete has neither.
        value = b"" if message.key is None and message.value is None else message.value
        headers = (*kept, *failure_headers(failure))
        return [await sender.send(DEAD_LETTERS, key=message.key, value=value, headers=headers)]

    return dead_letter
