"""What an item says apart from its columns (price, stock, sizes, launch day), told from the record before it is decoded whole.

A price list changes nothing else. Who has an item's essence at hand, and meets it again, need not look at vectors, words or
garments: no text states a column, and no product is nearer to another one for its price.
"""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from index_sync.entry import ESSENCE_BYTES
from processors.values import Metadata

_RAW = msgspec.msgpack.Decoder(dict[str, msgspec.Raw])
_METADATA = msgspec.msgpack.Decoder(Metadata)
_PLAIN = msgspec.msgpack.Encoder()
_APART = frozenset({"source", "version", "metadata"})
"""Fields of an item that say where it is from, or are looked at by themselves."""


def essence_of(value: bytes, rules: bytes) -> tuple[bytes, Metadata | None]:
    """A hash (`ESSENCE_BYTES`) of all that a record of `catalog.items` says but its columns, and its metadata; (b"", None) of what
    is no item.

    Args:
        value: of the record.
        rules: of whoever makes something of it: others make another hash.
    """
    try:
        fields = _RAW.decode(value)
        metadata = _METADATA.decode(fields["metadata"])
    except (msgspec.DecodeError, KeyError, UnicodeDecodeError, RecursionError):
        return b"", None
    bare = msgspec.structs.replace(
        metadata, price=None, sale_price=None, currency="", in_stock=None, sizes=(), launched=""
    )
    parts = [rules, _PLAIN.encode(bare)]
    for name, raw in fields.items():
        if name not in _APART:
            parts += (name.encode(), raw)
    return blake2b(b"\0".join(parts), digest_size=ESSENCE_BYTES).digest(), metadata
