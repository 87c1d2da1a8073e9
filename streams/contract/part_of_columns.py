"""Uploads that say nothing but price, stock, sizes and launch day: read at a fraction of what any upload costs.

What is out of the ordinary about a record is left to `codecs.decode_upload`, which says what is wrong with it.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from processors.errors import Poison
from processors.offers import COLUMN_NAMES, without_other_names
from streams.contract.cloudevents import is_structured
from streams.contract.limits import MAX_ID_BYTES
from streams.contract.metadata import check_metadata
from streams.contract.records import Upload
from streams.contract.versions import version_of
from streams.engine.message import Message

_PRICES, _NUMBERS = frozenset({"price", "sale_price"}), frozenset({int, float})


class _Part(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    product_id: str
    metadata: dict[str, Any]
    version: int | float | str | None = None


_PART = msgspec.json.Decoder(_Part)
_NONE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def part_of_columns(message: Message) -> tuple[str, dict[str, Any], int | float | None] | None:
    """Product (of no shop: its key is its id), columns and version, as `About` has them; None: it is no such upload, has a shop or a
    header of Weft's, or something is wrong with it.
    """
    key, value = message.key, message.value
    if not key or not value or len(key) > MAX_ID_BYTES or key.startswith(b"//") or _asks_for_more(message):
        return None
    try:
        part = _PART.decode(value)
    except _NONE:
        return None
    columns = part.metadata
    if part.product_id.encode() != key or not columns or not COLUMN_NAMES.issuperset(columns):
        return None
    for name, said in columns.items():
        if name in _PRICES and type(said) in _NUMBERS and 0 <= said < math.inf:
            continue  # as nearly all that come
        try:
            check_metadata(Upload(part.product_id, metadata=columns))
        except Poison:
            return None
        columns = without_other_names(columns)
        break
    try:
        return part.product_id, columns, version_of(part.version)
    except Poison:
        return None


def _asks_for_more(message: Message) -> bool:
    headers = message.headers
    return bool(headers) and (is_structured(message) or any(name.startswith("weft_") for name, _ in headers))
