"""The version of an upload: a number, or a time; the newer of two uploads of a product counts, whichever came first."""

from __future__ import annotations

import datetime as dt

from processors.errors import Code, Poison
from processors.product import Product, Stamp
from streams.engine.message import Message

LARGEST = 2**63 - 1


def version_of(version: float | str | None) -> int | float | None:
    """The version as a number that is compared; of a time its seconds since 1970. None: the upload has none.

    Raises:
        Poison: it is neither a number nor a time with its zone.
    """
    if version is None:
        return None
    number = _number(version) if isinstance(version, str) else version
    if (
        not abs(number) <= LARGEST
    ):  # false for NaN, too; an integer of four hundred digits is no float that could be asked
        raise Poison(f"is not within ±{LARGEST}", field="version", code=Code.OUT_OF_RANGE)
    return number


def stamp_of(product: Product, message: Message, version: float | None) -> Stamp:
    """When an upload counts among those of its product: by its version, and by where and when it first came."""
    _, partition, offset = message.first_source
    return product.stamp(version, message.first_ms, partition, offset)


def _number(text: str) -> int | float:
    text = text.strip()
    if not text.isascii() or len(text) > 64 or "_" in text:  # Python reads 1_000 as 1000, and no other client does
        raise _neither(text)
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    try:
        time = dt.datetime.fromisoformat(text)
    except ValueError:
        raise _neither(text) from None
    if time.tzinfo is None:
        raise Poison(f"the time {text!r} has no zone: write 2026-01-31T12:00:00Z", field="version", code=Code.INVALID)
    return time.timestamp()


def _neither(text: str) -> Poison:
    return Poison(f"{text[:64]!r} is neither a number nor a time (RFC 3339)", field="version", code=Code.WRONG_TYPE)
