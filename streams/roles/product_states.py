"""What is known of a product, as it is kept: its form, its key, its bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec

from infra.logs import logger
from processors.product import Product
from streams.contract.records import Source

log = logger(__name__)

NOTHING = Product()


class Kept(msgspec.Struct, frozen=True, gc=False):
    """What is known of a product, and of its item on the topic: the hash of its bytes, and the id of the topic.

    `made`: by which models and rules (`Items.maker`); `source`: the upload that it was made for; `number`: of two states of a
    product the newer has the higher one.
    """

    product: Product = NOTHING
    digest: bytes = b""
    topic: str = ""
    made: str = ""
    source: Source | None = None
    number: int = 0


class _Numbered(msgspec.Struct, frozen=True, gc=False):
    number: int = 0


@dataclass(frozen=True, slots=True)
class Known:
    """What was read. `there`: whether there was anything to read."""

    kept: Kept
    there: bool = False


def own_key(prefix: str, product_id: str) -> str:
    """The object of a product by itself, below the prefix of its topic."""
    name = hashlib.sha256(product_id.encode()).hexdigest()
    return f"{prefix}/{name[:2]}/{name}"


def read_state(data: bytes, product_id: str) -> Known:
    """What was kept; nothing, where it cannot be read."""
    try:
        return Known(msgspec.msgpack.decode(data, type=Kept), there=True)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # As if it were not there: a full upload makes it good.
        log.warning("product.unreadable", product=product_id, cause=str(error))
        return Known(Kept(number=number_of(data)), there=True)


def number_of(data: bytes) -> int:
    """The number of a state that was kept; 0 where it cannot be read."""
    try:
        return msgspec.msgpack.decode(data, type=_Numbered).number
    except (msgspec.DecodeError, UnicodeDecodeError):
        return 0


def is_as(one: Kept, other: Kept) -> bool:
    """Whether the second need not be kept where the first is."""
    same = (one.digest, one.topic, one.made) == (other.digest, other.topic, other.made)
    return same and other.product.says_the_same(one.product)
