"""Filters on the typed columns of a product: ranges of numbers and days, and sets.

A filter of a query ({"price": {"lte": 50}, "in_stock": [true], "size": ["M", "L"]}) becomes conditions; all of them must be
met. `meets` says what a condition means; the index answers the same for whole segments at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from processors.errors import Code, Poison
from processors.offers import (
    NUMBERS,
    Offer,
    column_named,
    day_number,
    day_of,
    read_currency,
    read_day,
    read_stock,
    size_key,
)

BOUNDS = ("lt", "lte", "gt", "gte")


class Condition(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one column must be. Days are numbers (`offers.day_number`).

    Args:
        column: of `offers.COLUMNS`.
        lt, lte, gt, gte: bounds of a number; all that are given hold.
        numbers: values of a number, any of which is allowed.
        words: values of a set, any of which is allowed: folded sizes, codes of currencies, "true" and "false".
        lenient: a product that does not know the column meets it (words of a shopper's text; a filter's condition is strict).
    """

    column: str
    lt: float | None = None
    lte: float | None = None
    gt: float | None = None
    gte: float | None = None
    numbers: tuple[float, ...] = ()
    words: tuple[str, ...] = ()
    lenient: bool = False


def within(column: str, bounds: Mapping[str, float], *, lenient: bool = False) -> Condition:
    """The condition that a number lies in a range ({"lte": 50.0})."""
    lt, lte, gt, gte = (bounds.get(name) for name in BOUNDS)
    return Condition(column, lt=lt, lte=lte, gt=gt, gte=gte, lenient=lenient)


def meets(offer: Offer, condition: Condition) -> bool:
    """Whether a product's columns meet a condition."""
    if condition.column in NUMBERS:
        number = number_of(offer, condition.column)
        return condition.lenient if number is None else _within(number, condition)
    known = words_of(offer, condition.column)
    return bool(known.intersection(condition.words)) if known else condition.lenient


def number_of(offer: Offer, column: str) -> float | None:
    """The number of a column; of the price, what a shopper pays."""
    if column == "price":
        return offer.pays
    if column == "sale_price":
        return offer.sale_price
    return float(day_number(offer.launched)) if offer.launched else None


def words_of(offer: Offer, column: str) -> frozenset[str]:
    """The words of a column in the form in which they are compared; empty where it is not known."""
    if column == "size":
        return frozenset(map(size_key, offer.sizes))
    if column == "currency":
        return frozenset({offer.currency} if offer.currency else ())
    return frozenset() if offer.in_stock is None else frozenset({"true" if offer.in_stock else "false"})


def _within(number: float, condition: Condition) -> bool:
    return (
        (condition.lt is None or number < condition.lt)
        and (condition.lte is None or number <= condition.lte)
        and (condition.gt is None or number > condition.gt)
        and (condition.gte is None or number >= condition.gte)
        and (not condition.numbers or number in condition.numbers)
    )


def parted(filters: Mapping[str, Any]) -> tuple[dict[str, tuple[str, ...]], tuple[Condition, ...]]:
    """The filters of a query: facet → allowed words, and the conditions on typed columns. A null restricts nothing.

    Raises:
        Poison: a filter that says nothing that can be followed; names the field ("filters.price").
    """
    facets: dict[str, tuple[str, ...]] = {}
    conditions: list[Condition] = []
    for name, value in filters.items():
        if value is None:
            continue
        column = column_named(name)
        if not column:
            facets[name] = _facet(name, value)
            continue
        condition = _condition(name, column, value)
        if condition is not None:
            conditions.append(condition)
    return facets, tuple(conditions)


def told(condition: Condition) -> Any:
    """A condition as a filter of a query says it: {"lte": 50.0}, or a list of values."""
    say = day_of_number if condition.column == "launched" else _plain
    found = {name: say(bound) for name in BOUNDS if (bound := getattr(condition, name)) is not None}
    if found:
        return found
    if condition.column == "in_stock":
        return [word == "true" for word in condition.words]
    if condition.column == "size":
        return [word.upper() if len(word) <= 5 else word for word in condition.words]
    return [*map(say, condition.numbers), *condition.words]


def day_of_number(number: float) -> str:
    return day_of(int(number))


def _plain(number: float) -> float:
    return int(number) if number.is_integer() else number


# ---------------------------------------------------------------- inside


def _refused(name: str, message: str, code: Code = Code.WRONG_TYPE) -> Poison:
    return Poison(message, field=f"filters.{name[:200]}", code=code)


def _facet(name: str, value: object) -> tuple[str, ...]:
    if isinstance(value, Mapping):
        raise _refused(
            name, f"takes a list of words; a range ({', '.join(BOUNDS)}) is for {', '.join(sorted(NUMBERS))}"
        )
    if not isinstance(value, list | tuple):
        raise _refused(name, f"expected a list of words, got {_kind(value)}")
    words = []
    for one in value:
        if isinstance(one, bool):
            words.append("true" if one else "false")
        elif isinstance(one, int | float):
            words.append(f"{one:g}")
        elif isinstance(one, str):
            words.append(one)
        else:
            raise _refused(name, f"expected words in the list, got {_kind(one)}")
    return tuple(words)


def _condition(name: str, column: str, value: object) -> Condition | None:
    if isinstance(value, Mapping):
        return _range(name, column, value)
    if isinstance(value, str | bool | int | float):
        value = [value]
    if not isinstance(value, list | tuple):
        raise _refused(name, f"expected a list or a range, got {_kind(value)}")
    if not value:
        return None  # a filter without values restricts nothing
    if column in NUMBERS:
        return Condition(column, numbers=tuple(_number(name, column, one) for one in value))
    return Condition(column, words=tuple(dict.fromkeys(_word(name, column, one) for one in value)))


def _range(name: str, column: str, given: Mapping[str, object]) -> Condition | None:
    if column not in NUMBERS:
        raise _refused(name, "takes a list of values, and no range")
    for bound in given:
        if bound not in BOUNDS:
            raise _refused(name, f"a range has {', '.join(BOUNDS)}, and no {bound[:50]!r}", Code.UNKNOWN_NAME)
    bounds = {bound: _number(name, column, value) for bound, value in given.items() if value is not None}
    low = max((bounds[bound] for bound in ("gt", "gte") if bound in bounds), default=-math.inf)
    high = min((bounds[bound] for bound in ("lt", "lte") if bound in bounds), default=math.inf)
    if low > high:
        raise _refused(
            name, "is a range that nothing lies in: its lower bound is above its upper one", Code.OUT_OF_RANGE
        )
    return within(column, bounds) if bounds else None


def _number(name: str, column: str, value: object) -> float:
    if column == "launched":
        day = read_day(value) if isinstance(value, str) else ""
        if not day:
            raise _refused(name, f"expected a date (YYYY-MM-DD), got {str(value)[:50]!r}")
        return float(day_number(day))
    if isinstance(value, str):
        text = value
        if "_" in text:  # Python reads 1_000 as 1000, and no other client does
            raise _refused(name, f"expected a number, got {text[:50]!r}")
        try:
            value = float(text)
        except ValueError:
            raise _refused(name, f"expected a number, got {text[:50]!r}") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refused(name, f"expected a number, got {_kind(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _refused(name, "is not finite", Code.OUT_OF_RANGE)
    return number


def _word(name: str, column: str, value: object) -> str:
    if column == "in_stock":
        said = value if isinstance(value, bool) else read_stock(value) if isinstance(value, str) else None
        if said is None:
            raise _refused(name, f"expected true or false, got {str(value)[:50]!r}")
        return "true" if said else "false"
    if column == "size" and isinstance(value, int | float) and not isinstance(value, bool):
        value = f"{value:g}"
    if not isinstance(value, str):
        raise _refused(name, f"expected words in the list, got {_kind(value)}")
    if column == "size":
        return size_key(value)
    if not read_currency(value):
        raise _refused(name, f"expected a currency (EUR, USD …), got {value[:50]!r}")
    return read_currency(value)


def _kind(value: object) -> str:
    return "an object" if isinstance(value, Mapping) else type(value).__name__
