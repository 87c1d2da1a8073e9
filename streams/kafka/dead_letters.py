"""The last stop of a message that can never succeed: its own bytes, and why, in Kafka Connect's headers (EVENTS.md).

A letter is read by more people than the store is, and it must be possible to write it whatever came in, or its
partition would stand still. So credentials in it are blanked, what does not fit is cut, and the header `weft_withheld`
says so; `weft dlq redrive` then takes the original from the place where it lies.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Iterable, Sequence

from infra import secrets
from infra.secrets import names_a_secret
from processors.errors import Code, Poison
from streams.contract.topics import DEAD_LETTERS
from streams.engine.failures import Failure
from streams.engine.lanes import DeadLetter
from streams.engine.message import Message
from streams.kafka.producer import MAX_RECORD_BYTES, Sender
from streams.kafka.starts import Start, Told

PREFIX = "__connect.errors."
WITHHELD = "weft_withheld"
"""Header of a letter that is not its original to the byte: "redacted", "cut", or "redacted, cut"."""
CODE = "weft_code"
"""Header of a letter: the `Code` of what is wrong, for programs."""
LOST_STAGE = "retention"
"""Stage of a letter that stands for records which were deleted before they were read."""
MAX_KEPT_BYTES = MAX_RECORD_BYTES
"""Key, value and headers of a letter; its topic takes 64 KiB more, for our own headers."""
CUT_VALUE_BYTES = 64 * 2**10
CUT_KEY_BYTES = 4 * 2**10
CUT_HEADERS_BYTES = 16 * 2**10

_MAX_MESSAGE = 2000
_HIDDEN = "[hidden]"
_SMALL = 16 * 2**10
# Where an object of the program lay: it tells a reader nothing, and two deliveries of one record would give two causes.
_MEMORY = re.compile(r" at 0x[0-9a-fA-F]+\b")

Headers = tuple[tuple[str, bytes], ...]


def redacted(text: str) -> str:
    """`text`, at most 2,000 characters of it, without credentials and signatures of addresses."""
    return secrets.redacted(text[: 10 * _MAX_MESSAGE], _HIDDEN)[:_MAX_MESSAGE]


def failure_headers(failure: Failure) -> Headers:
    """The headers that say what happened, in the names of Kafka Connect, and the code."""
    cause = failure.cause
    named = {
        "topic": failure.message.topic,
        "partition": str(failure.message.partition),
        "offset": str(failure.message.offset),
        "stage": failure.stage,
        "exception.class.name": type(cause).__name__,
        "exception.message": _MEMORY.sub("", redacted(str(failure.error))),
        "attempts": str(failure.attempts),
        "timestamp": str(failure.message.timestamp_ms),
    }
    headers = {f"{PREFIX}{name}": value for name, value in named.items()} | {CODE: failure.error.code.value}
    # A message that quotes half a character must not make the letter unwritable.
    return tuple((name, value.encode(errors="replace")) for name, value in headers.items())


def letter_of(failure: Failure) -> Message:
    """The record that is written: original key, bytes and headers, as far as they fit and are no secret, and the cause."""
    message = failure.message
    # Headers of an earlier round (a dead letter that was put back and failed again) would hide the new cause.
    given = tuple(header for header in message.headers if not is_of_letter(header[0]))
    key = None if message.key is None else secrets.blanked(message.key)
    value = None if message.value is None else secrets.blanked(message.value)
    headers = tuple((name, _blanked_header(name, text)) for name, text in given)
    withheld = ["redacted"] if (key, value, headers) != (message.key, message.value, given) else []
    if _size(key, value, headers) > MAX_KEPT_BYTES:
        withheld.append("cut")
        key = None if key is None else key[:CUT_KEY_BYTES]
        value = None if value is None else value[:CUT_VALUE_BYTES]
        headers = tuple(_first(headers, CUT_HEADERS_BYTES))
    flags = ((WITHHELD, ", ".join(withheld).encode()),) if withheld else ()
    # A record needs a key or a value; a nameless delete has neither.
    value = b"" if key is None and value is None else value
    headers = (*headers, *flags, *failure_headers(failure))
    return Message(DEAD_LETTERS, -1, -1, key, value, headers, message.timestamp_ms)


def is_of_letter(name: str) -> bool:
    """Whether a header was added by a dead letter, and is none of the record's own."""
    return name.startswith(PREFIX) or name in {WITHHELD, CODE}


def lost_letters(dead_letter: DeadLetter) -> Told:
    """Writes a letter for records that were deleted unread: who looks for what became of them finds at least that."""

    async def told(start: Start) -> None:
        if start.lost:
            first = Message(start.topic, start.partition, start.offset - start.lost)
            failure = Failure(first, LOST_STAGE, Poison(start.text, code=Code.LOST), 1)
            for delivery in await dead_letter(failure):
                await delivery

    return told


def dead_letters(sender: Sender) -> DeadLetter:
    """The `dead_letter` of a pipeline: sends `letter_of` each failure."""

    async def dead_letter(failure: Failure) -> Sequence[Awaitable[object]]:
        # Megabytes are searched beside the loop: its commits and rebalances must not wait for them.
        small = failure.message.size < _SMALL
        letter = letter_of(failure) if small else await asyncio.to_thread(letter_of, failure)
        return [await sender.send(DEAD_LETTERS, key=letter.key, value=letter.value, headers=letter.headers)]

    return dead_letter


def _blanked_header(name: str, value: bytes) -> bytes:
    return b"*" * len(value) if names_a_secret(name) else secrets.blanked(value)


def _size(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    return len(key or b"") + len(value or b"") + sum(len(name.encode()) + len(text) + 16 for name, text in headers)


def _first(headers: Headers, budget: int) -> Iterable[tuple[str, bytes]]:
    """As many of the headers as fit."""
    for header in headers:
        budget -= _size(None, None, (header,))
        if budget >= 0:
            yield header
