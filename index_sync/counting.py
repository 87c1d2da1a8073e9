"""How many products meet a search's filters, and what facets and columns say of them, whatever their scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index_sync.asking import Ask, part_of
from index_sync.entry import Facets
from index_sync.segment import Window
from processors.offers import COLUMNS, NUMBERS


@dataclass(frozen=True, slots=True)
class Counts:
    """What matches: how many products, how many of them with each value of a facet, and from which to which number."""

    total: int
    facets: dict[str, dict[str, int]]
    ranges: dict[str, tuple[float, float]]


def count(windows: Sequence[Window], ask: Ask, names: Mapping[str, str]) -> Counts:
    """Count what meets `ask`, whatever its score.

    Args:
        windows: as for `index_sync.search.search`.
        ask: its query and `k` do not matter.
        names: facet or column as it is asked for -> its one name; of columns `offers.COLUMNS`' key.
    """
    total = 0
    facets: dict[str, dict[str, int]] = {name: {} for name, known in names.items() if known not in NUMBERS}
    ranges: dict[str, tuple[float, float]] = {}
    for number, window in enumerate(windows):
        part = part_of(number, window, ask)
        if part is None:
            continue
        mask = window.alive[: window.rows].copy() if part.mask is None else part.mask.copy()
        _without_products(window, mask, ask.exclude_products)
        columns, products = window.segment.columns, np.zeros(window.products, dtype=np.bool_)
        products[columns.owner[: window.rows][mask]] = True
        total += int(products.sum())
        for name, known in names.items():
            if known in NUMBERS:
                _widen(ranges, name, window, known, products)
            else:
                _add(facets[name], _counted(window, known, products, mask, ask.wanted))
    return Counts(total, facets, ranges)


def _counted(
    window: Window, known: str, products: NDArray[np.bool_], rows: NDArray[np.bool_], wanted: Facets
) -> dict[str, int]:
    if known not in COLUMNS:
        return window.segment.columns.counts(known, rows, wanted)
    return {} if window.typed is None else window.typed.counts(known, products)


def _add(counts: dict[str, int], more: Mapping[str, int]) -> None:
    for value, number in more.items():
        counts[value] = counts.get(value, 0) + number


def _widen(
    ranges: dict[str, tuple[float, float]], name: str, window: Window, column: str, products: NDArray[np.bool_]
) -> None:
    if window.typed is None:
        return
    numbers = window.typed.numbers(column, window.products)[products]
    numbers = numbers[~np.isnan(numbers)]
    if len(numbers):
        least, most = ranges.get(name, (math.inf, -math.inf))
        ranges[name] = (min(least, float(numbers.min())), max(most, float(numbers.max())))


def _without_products(window: Window, mask: NDArray[np.bool_], exclude: AbstractSet[str]) -> None:
    columns = window.segment.columns
    for product_id in exclude:
        ordinal = columns.ordinal_of(product_id, window.products)
        if ordinal is not None:
            mask[columns.first[ordinal] : columns.first[ordinal + 1]] = False
