"""Price, stock, sizes and launch day of a product: what changes a thousand times as often as its photo, and no caption states.

Read from what a shop sends; what was sent as text and cannot be read stays a facet like any other, as it was before.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from processors.errors import Code, Poison
from processors.values import Metadata

MAX_SIZES = 200
MAX_SIZE_TEXT = 64
_EPOCH = dt.date(1970, 1, 1).toordinal()

# Column -> the names under which uploads and filters may call it; the first is its own.
COLUMNS: dict[str, tuple[str, ...]] = {
    "price": ("price",),
    "sale_price": ("sale_price",),
    "currency": ("currency",),
    "in_stock": ("in_stock", "stock", "availability"),
    "size": ("sizes", "size"),
    "launched": ("launched", "launch_date"),
}
NUMBERS = frozenset({"price", "sale_price", "launched"})
"""Columns that are compared with `lt`, `lte`, `gt` and `gte`; the others are one of a set."""
_COLUMN_OF = {name: column for column, names in COLUMNS.items() for name in names}
COLUMN_NAMES = frozenset(_COLUMN_OF)
_OF_SEVERAL = frozenset(name for names in COLUMNS.values() if len(names) > 1 for name in names)

_SYMBOLS = {"€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR"}
_THERE = frozenset({"true", "yes", "y", "1", "in stock", "in_stock", "instock", "available", "limited availability"})
_NOT_THERE = frozenset(
    {"false", "no", "n", "0", "out of stock", "out_of_stock", "outofstock", "oos", "sold out", "unavailable"}
    | {"preorder", "pre order", "backorder", "back order", "discontinued"}
)
_SIZE_WORDS = {
    "extra small": "xs", "x small": "xs", "small": "s", "medium": "m", "large": "l", "x large": "xl",
    "extra large": "xl", "2xs": "xxs", "2xl": "xxl", "3xl": "xxxl", "4xl": "xxxxl", "os": "one size",
    "onesize": "one size", "one size fits all": "one size", "free size": "one size",
}  # fmt: skip


class Offer(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The typed columns of a product; None, "" and () mean that the shop did not say.

    `launched` is a day ("2026-03-01"), `currency` an ISO 4217 code where the shop's word is one.
    """

    price: float | None = None
    sale_price: float | None = None
    currency: str = ""
    in_stock: bool | None = None
    sizes: tuple[str, ...] = ()
    launched: str = ""

    @property
    def pays(self) -> float | None:
        """What a shopper pays: the sale price where there is one. Filters and sorting by price look at this."""
        return self.price if self.sale_price is None else self.sale_price


NO_OFFER = Offer()


def column_named(name: str) -> str:
    """The column that a filter's name means ("Sizes" is "size"), or "" for a facet."""
    return _COLUMN_OF.get("_".join(name.casefold().replace("_", " ").split()), "")


@lru_cache(maxsize=8192)
def size_key(size: str) -> str:
    """The form in which sizes are compared: "m", "M" and "Medium" are one; so are "2XL" and "XXL"."""
    folded = " ".join(size.casefold().replace("-", " ").split())
    return _SIZE_WORDS.get(folded, folded)


def day_number(day: str) -> int:
    """Days since 1970-01-01 of an ISO day. Raises `ValueError`."""
    return dt.date.fromisoformat(day).toordinal() - _EPOCH


def day_of(number: int) -> str:
    """The ISO day of `day_number`."""
    return dt.date.fromordinal(number + _EPOCH).isoformat()


def read_day(text: str) -> str:
    """The ISO day of a date or a time ("2026-03-01T10:00:00Z": its day in UTC), or "" for anything else."""
    text = text.strip()
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            return dt.date.fromisoformat(text).isoformat()
        if not re.match(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}", text):
            return ""
        moment = dt.datetime.fromisoformat(text)
        return (moment.astimezone(dt.UTC) if moment.tzinfo else moment).date().isoformat()
    except (ValueError, OverflowError):
        return ""


def split_sizes(text: str) -> tuple[str, ...]:
    """The sizes that a cell lists ("S, M; L"). "S/M" is one size."""
    return tuple(dict.fromkeys(size for one in re.split(r"[,;|]", text) if (size := " ".join(one.split()))))


def read_stock(text: str) -> bool | None:
    """What a word, or a number of pieces, says of the stock; None where it says nothing."""
    if re.fullmatch(r"\s*-?\d{1,9}(?:\.\d{1,9})?\s*", text, re.ASCII):  # sold beyond what was there: below 0
        return float(text) > 0
    word = " ".join(text.casefold().replace("-", " ").split())
    return True if word in _THERE else False if word in _NOT_THERE else None


def read_currency(text: str) -> str:
    """The ISO code of a currency's code or sign, or "" (a "$" is that of many)."""
    text = text.strip()
    return text.upper() if re.fullmatch(r"[A-Za-z]{3}", text) else _SYMBOLS.get(text, "")


def without_other_names(part: Mapping[str, Any]) -> dict[str, Any]:
    """A part that says a column says it under all of its names: what an earlier upload said under another one is removed."""
    if _OF_SEVERAL.isdisjoint(part):
        return dict(part)  # as a price: asked of every update there is
    others: dict[str, Any] = {}
    for names in COLUMNS.values():
        if len(names) > 1 and any(part.get(name) is not None for name in names):
            others |= {name: None for name in names if name not in part}
    return {**part, **others} if others else dict(part)


def take_offer(given: dict[str, Any]) -> Offer:
    """Take the typed columns out of what a shop sent; `price` is not among them. What is text and unreadable stays there.

    Raises:
        Poison: a value of a type that the column cannot have, or outside its limits; names the field.
    """
    if COLUMN_NAMES.isdisjoint(given):
        return NO_OFFER
    found: dict[str, Any] = {}
    for column, read in _READERS.items():
        for name in COLUMNS[column]:
            if name not in given:
                continue
            value = read(name, given[name])
            if value is not None:
                del given[name]
                found.setdefault("sizes" if column == "size" else column, value)
    return Offer(**found)


def offer_of(metadata: Metadata) -> Offer:
    """The typed columns of an item; of one from before there were columns, what its facets say of them."""
    facets = metadata.facets
    if COLUMN_NAMES.isdisjoint(facets):
        return Offer(
            metadata.price,
            metadata.sale_price,
            metadata.currency,
            metadata.in_stock,
            metadata.sizes,
            metadata.launched,
        )
    told = take_offer(dict(facets))
    return Offer(
        metadata.price,
        told.sale_price if metadata.sale_price is None else metadata.sale_price,
        metadata.currency or told.currency,
        told.in_stock if metadata.in_stock is None else metadata.in_stock,
        metadata.sizes or told.sizes,
        metadata.launched or told.launched,
    )


def read_price(name: str, value: object) -> float | None:
    """A price, or one that is text ("79.00"); None for other text.

    Raises:
        Poison: it is of another type, below 0, or not finite; names the field.
    """
    if isinstance(value, str):
        return float(value) if re.fullmatch(r"\s*\d{1,15}(?:\.\d{1,15})?\s*", value, re.ASCII) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(name, "a number", value)
    try:
        price = float(value)
    except OverflowError:
        price = math.inf
    if not math.isfinite(price) or price < 0:
        raise _beyond(name, "is not finite, or below 0")
    return price


# ---------------------------------------------------------------- inside


def _wrong(name: str, wanted: str, value: object) -> Poison:
    return Poison(f"expected {wanted}, got {type(value).__name__}", field=f"metadata.{name}", code=Code.WRONG_TYPE)


def _beyond(name: str, message: str) -> Poison:
    return Poison(message, field=f"metadata.{name}", code=Code.OUT_OF_RANGE)


def _read_currency(name: str, value: object) -> str | None:
    if not isinstance(value, str):
        raise _wrong(name, "a string", value)
    return read_currency(value) or None


def _read_in_stock(name: str, value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):  # so many pieces
        return value > 0
    if not isinstance(value, str):
        raise _wrong(name, "true or false", value)
    return read_stock(value)


def _read_sizes(name: str, value: object) -> tuple[str, ...] | None:
    if isinstance(value, str):
        sizes = split_sizes(value)
        fits = 0 < len(sizes) <= MAX_SIZES and all(len(size) <= MAX_SIZE_TEXT for size in sizes)
        return sizes if fits else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = [value]
    if not isinstance(value, list | tuple):
        raise _wrong(name, "a list of sizes", value)
    if len(value) > MAX_SIZES:
        raise _beyond(name, f"has more than {MAX_SIZES} sizes")
    sizes = tuple(dict.fromkeys(_size(name, one) for one in value if one is not None))
    return tuple(size for size in sizes if size)


def _size(name: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _wrong(name, "strings in the list", value)
    try:
        size = " ".join(value.split()) if isinstance(value, str) else f"{value:g}"
    except OverflowError:  # whole numbers have no end in JSON, and what is formatted has
        raise _beyond(name, "is not finite") from None
    if len(size) > MAX_SIZE_TEXT:
        raise _beyond(name, f"has a size of more than {MAX_SIZE_TEXT} characters")
    return size


def _read_launched(name: str, value: object) -> str | None:
    if not isinstance(value, str):
        raise _wrong(name, "a date (YYYY-MM-DD)", value)
    return read_day(value) or None


_READERS = {
    "sale_price": read_price,
    "currency": _read_currency,
    "in_stock": _read_in_stock,
    "size": _read_sizes,
    "launched": _read_launched,
}
