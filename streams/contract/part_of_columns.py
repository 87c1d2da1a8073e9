"""Uploads that say nothing but price, stock, sizes and launch day: read at a fraction of what any upload costs.

What is out of the ordinary about a record is left to `codecs.decode_upload`, which says what is wrong with it.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from processors.errors import Code, Poison
from processors.identity import checked_shop, key_of
from processors.offers import COLUMN_NAMES, without_other_names
from streams.contract.checks import check_id
from streams.contract.cloudevents import is_structured
from streams.contract.metadata import check_metadata
from streams.contract.records import Upload
from streams.contract.versions import version_of
from streams.engine.message import Message

_PRICES, _NUMBERS = frozenset({"price", "sale_price"}), frozenset({int, float})


class _Part(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    product_id: str
    metadata: dict[str, Any]
    version: int | float | str | None = None
    shop: str | None = None


_PART = msgspec.json.Decoder(_Part)
_NONE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def part_of_columns(message: Message) -> tuple[str, dict[str, Any], int | float | None] | None:
    """Product (its key), columns and version, as `About` has them; None: it is no such upload, has a header of Weft's, or something is
    wrong with it.
    """
    key, value = message.key, message.value
    if not key or not value or _asks_for_more(message):
        return None
    try:
        part = _PART.decode(value)
    except _NONE:
        return None
    columns, product_id = part.metadata, part.product_id
    if not columns or not COLUMN_NAMES.issuperset(columns):
        return None
    try:
        plain = part.shop is None and key == product_id.encode() and not key.startswith(b"//")
        product = product_id if plain else _product_of(part, key)
        check_id(product_id, "product_id")
        version = version_of(part.version)
        for name, said in columns.items():
            if name in _PRICES and type(said) in _NUMBERS and 0 <= said < math.inf:
                continue  # as nearly all that come
            check_metadata(Upload(product_id, metadata=columns))
            columns = without_other_names(columns)
            break
    except Poison:
        return None
    return product, columns, version


def _product_of(part: _Part, key: bytes) -> str:
    """Of a shop, or under a key that is more than its id. Raises `Poison`: the key is another's."""
    product = key_of(checked_shop(part.shop), part.product_id)
    if key not in {product.encode(), part.product_id.encode()}:
        raise Poison("differs from the record's key", field="product_id", code=Code.WRONG_KEY)
    return product


def _asks_for_more(message: Message) -> bool:
    headers = message.headers
    return bool(headers) and (is_structured(message) or any(name.startswith("weft_") for name, _ in headers))
