"""Dead letters as they are read back: who, where, why, what to do about it, and which of them are meant."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from infra import secrets
from processors.errors import BadSetting, Code
from processors.identity import shop_of
from streams.contract import topics
from streams.contract.cloudevents import rfc3339
from streams.contract.records import LetterDone
from streams.contract.urgency import said_of
from streams.engine.message import Message
from streams.kafka.dead_letters import CODE, PREFIX, WITHHELD, is_of_letter, redacted
from streams.kafka.positions import OURS, RecordAddress, header_text, is_number, redrives_of

_MAX_ID = 200
_MAX_SHOWN_TEXT = 2_000
_MAX_SHOWN_VALUE = 256 * 2**10
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Letter(msgspec.Struct, frozen=True):
    """A dead letter, as `weft dlq list --json` prints it (docs/events.md)."""

    id: str  # where the record lay, and the stage that gave it up: one and the same for every copy of a letter
    product: str  # the record's key as text; "" when it had none
    topic: str
    partition: int
    offset: int
    stage: str
    code: str  # a `Code`: what is wrong, for programs; "" in letters of earlier versions
    exception: str  # class of the exception
    cause: str  # begins with the field at fault ("image.uri: …")
    attempts: int
    redrives: int
    at: str  # RFC 3339, UTC
    bytes: int
    withheld: str  # "", "redacted", "cut": what the letter does not show of the original
    lies: str  # where the letter itself lies: "weft.dead-letters/4/17"
    recorded: int = 0  # timestamp of the record, ms since the epoch; 0 in letters of older versions
    done: LetterDone | None = None
    shop: str = ""  # whose product it is; "" for none


class WholeLetter(msgspec.Struct, frozen=True):
    """A letter with all that is in it, as `weft dlq show --json` prints it."""

    letter: Letter
    headers: dict[str, str]
    value: Any
    advice: str


@dataclass(frozen=True, slots=True)
class Filter:
    """Which letters are meant; what is empty matches everything.

    Args:
        ids: any of these.
        products: any of these keys.
        stage: exactly.
        code: the code, or the class of the exception, exactly.
        cause: words that occur in the cause, in any case.
        older_than_s: at least this old.
        newer_than_s: at most this old.
    """

    ids: frozenset[str] = frozenset()
    products: frozenset[str] = frozenset()
    stage: str = ""
    code: str = ""
    cause: str = ""
    older_than_s: float | None = None
    newer_than_s: float | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it matches every letter."""
        return self == Filter()

    def matches(self, letter: Letter, age_s: float) -> bool:
        """Whether a letter of this age is meant."""
        return (
            (not self.ids or letter.id in self.ids)
            and (not self.products or letter.product in self.products)
            and self.stage in {"", letter.stage}
            and self.code in {"", letter.code, letter.exception}
            and self.cause.lower() in letter.cause.lower()
            and (self.older_than_s is None or age_s >= self.older_than_s)
            and (self.newer_than_s is None or age_s <= self.newer_than_s)
        )


def seconds_of(age: str) -> float:
    """`90s`, `15m`, `2h`, `7d` in seconds.

    Raises:
        BadSetting: anything else.
    """
    match = re.fullmatch(r"([0-9]{1,9}(?:[.][0-9]{1,3})?)([smhd])", age.strip())
    if match is None:
        raise BadSetting(f"{age[:40]!r} is no age: write 90s, 15m, 2h or 7d")
    return float(match[1]) * _UNITS[match[2]]


def read_letter(message: Message) -> Letter:
    """A record of `weft.dead-letters`. Anybody may write to that topic: whatever is missing in a letter is empty."""

    def error(name: str) -> str:
        return header_text(message, f"{PREFIX}{name}")

    def number(name: str) -> int:
        text = error(name)
        return int(text) if is_number(text) else -1

    topic, partition, offset, stage = error("topic"), number("partition"), number("offset"), error("stage")
    lies = RecordAddress(message.topic, message.partition, message.offset)
    known = topic and partition >= 0 and offset >= 0
    return Letter(
        id=_clean(f"{topic}/{partition}/{offset}/{stage}" if known else str(lies), _MAX_ID),
        product=_clean((message.key or b"").decode(errors="replace"), _MAX_SHOWN_TEXT),
        topic=_clean(topic, _MAX_ID),
        partition=partition,
        offset=offset,
        stage=_clean(stage, _MAX_ID),
        code=_clean(header_text(message, CODE), _MAX_ID),
        exception=_clean(error("exception.class.name"), _MAX_ID),
        cause=redacted(error("exception.message")),
        attempts=max(number("attempts"), 0),
        redrives=redrives_of(message),
        at=rfc3339(message.timestamp_ms),
        bytes=message.size,
        withheld=_clean(header_text(message, WITHHELD), _MAX_ID),
        lies=str(lies),
        recorded=max(number("timestamp"), 0),
        shop=_clean(shop_of(said_of(replace(message, topic=topic)).product.decode(errors="replace")), _MAX_ID),
    )


def settles(mark: int | None, letter: int) -> bool:
    """Whether a mark settles a letter of the same id: not one of an earlier record at the place, in a topic that is gone.

    Args:
        mark: timestamp of the record that was marked; 0 in marks of older versions, None for no mark.
        letter: of the record that the letter is of; 0 in letters of older versions.
    """
    return mark is not None and not (mark and letter > mark)


def recorded_in(mark: bytes) -> int:
    """The timestamp in a mark; 0 where there is none, or the mark is not readable."""
    try:
        return max(msgspec.json.decode(mark, type=LetterDone).recorded, 0)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0


def whole(letter: Letter, message: Message) -> WholeLetter:
    """The letter with its headers and its value in words, without credentials, and what to do about it."""
    headers = {
        _clean(name, _MAX_ID): _clean(value[: 2 * _MAX_SHOWN_TEXT].decode(errors="replace"), _MAX_SHOWN_TEXT)
        for name, value in message.headers
        if not is_of_letter(name)
    }
    return WholeLetter(letter, headers, _shown(message.value, letter.topic), advice(letter))


def advice(letter: Letter) -> str:
    """What to do about a letter, in a sentence or two."""
    if letter.topic not in REDRIVABLE:
        text = "Whoever asked does not wait any more: drop it."
    else:
        text = _ADVICE.get(letter.code, _ADVICE_ELSE)
    if letter.withheld and letter.topic in REDRIVABLE:
        text += f" The letter is not shown whole ({letter.withheld}); redrive takes the record from {letter.topic}."
    return text


REDRIVABLE = frozenset({topics.UPLOADS, topics.ITEMS})
"""Topics whose records can be put back; what was asked on the others has no asker any more."""
_BROKEN_PHOTO = "The photo itself is broken: have a new one sent, then drop it."
_BROKEN_RECORD = "The record itself is wrong: its sender must mend it and send it again; drop it."
_ADVICE_ELSE = "Look for the cause in the log of the role; when it is mended, redrive it."
_ADVICE: dict[str, str] = {
    Code.LOST: "The records are gone: send these products again, raise the topic's retention, then drop it.",
    Code.SUPERSEDED: "A newer upload of the product has taken its place: drop it.",
    Code.HOST_NOT_ALLOWED: "If the host is yours, add it to WEFT_ALLOWED_HOSTS, restart enrich, then redrive it.",
    Code.FOLDER_NOT_ALLOWED: "If the folder is yours, add it to WEFT_FILE_ROOTS, restart enrich, then redrive it.",
    Code.ADDRESS_REFUSED: "Such an address is never read: have the photo sent from elsewhere; drop it.",
    Code.UNREACHABLE: "See whether the address answers now; then redrive it.",
    Code.NOT_FOUND: "Put the photo where the address says, then redrive it; or drop it.",
    Code.OUT_OF_RANGE: "It is outside the limits: have it sent smaller, or raise the setting and redrive it.",
    Code.WRONG_ENCODER: "It was made by other weights than the index: ingest the product again, then drop it.",
    Code.BAD_IMAGE: _BROKEN_PHOTO,
    Code.MALFORMED: _BROKEN_RECORD,
    Code.MISSING_FIELD: _BROKEN_RECORD,
    Code.WRONG_TYPE: _BROKEN_RECORD,
    Code.WRONG_KEY: _BROKEN_RECORD,
    Code.UNKNOWN_NAME: _BROKEN_RECORD,
    Code.INVALID: _BROKEN_RECORD,
    Code.INTERNAL: _ADVICE_ELSE,
}


def _shown(value: bytes | None, topic: str) -> Any:
    """A value for people: JSON or MessagePack as what it says, anything else as text; long texts shortened."""
    if value is None:
        return None
    decode = msgspec.msgpack.decode if topic == topics.ITEMS else msgspec.json.decode
    try:
        return _shortened(decode(secrets.blanked(value)), 0)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return _clean(secrets.blanked(value[:_MAX_SHOWN_VALUE]).decode(errors="replace"), _MAX_SHOWN_TEXT)


def _shortened(value: Any, depth: int) -> Any:
    if depth > 20:
        return "…"
    if isinstance(value, dict):
        return {_clean(str(name), _MAX_ID): _shortened(inner, depth + 1) for name, inner in _some(value.items())}
    if isinstance(value, list):
        return [_shortened(inner, depth + 1) for inner in _some(value)]
    if isinstance(value, bytes):
        return f"({len(value):,} bytes)"
    return _clean(value, _MAX_SHOWN_TEXT) if isinstance(value, str) else value


def _some(items: Iterable[Any]) -> list[Any]:
    return list(items)[:1000]


def _clean(text: str, most: int) -> str:
    """At most `most` characters, without credentials."""
    text = secrets.redacted(text)
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


def without_errors(headers: Iterable[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """The headers of the original: without those that its failures and its journeys added."""
    return [(name, value) for name, value in headers if not (is_of_letter(name) or name in OURS)]
