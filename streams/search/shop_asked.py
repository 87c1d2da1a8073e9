"""Whose products a query asks for, before it is decoded in full: for the metrics."""

from __future__ import annotations

import msgspec

from processors.errors import Poison
from processors.identity import checked_shop
from streams.contract import plain
from streams.engine.message import Message


class _Query(msgspec.Struct):
    shop: str | None = None


_DECODER = msgspec.json.Decoder(_Query)


def shop_asked(message: Message) -> str:
    """The shop of a record of `search.queries`; "" for none, and for what is no query. Never raises."""
    try:
        return checked_shop(_DECODER.decode(plain.json_of(message.value or b"")).shop)
    except (msgspec.DecodeError, UnicodeError, RecursionError, Poison):
        return ""
