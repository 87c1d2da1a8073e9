"""Exact top-k over the windows of one shard or of many, with filters applied after the distances.

A selector inside FAISS is not trusted (`bounded_queue=False` ignores it, HNSW loses recall under it): every mask is
applied here. Scores of what is returned are summed in double from half-precision vectors, so that an answer is a
function of the topics alone, whichever segments hold the rows, and however many of them are searched at once. Where a
segment has an approximate index, that names the rows that are scored: what it misses (its recall says how much) is missing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from index_sync import composed, scan
from index_sync.entry import Facets, Half, Told
from index_sync.segment import Rows, Window
from processors.composing import Blocks
from processors.conditions import Condition, number_of
from processors.offers import COLUMNS, NUMBERS
from processors.ordering import BY_SCORE, DIGITS, Order, best
from processors.values import Vector

_SCAN_BELOW = 0.08  # share of kept rows under which scanning just those is faster than over-fetching
_INDEX_ABOVE = 0.15
"""Share of kept rows under which all of them are scanned, whatever index there is: its candidates would hardly be kept."""
_BLOCK = 4096
_EPSILON = 2e-5  # more than float32 sums of 512 products of unit vectors can be off (about 1e-6)


@dataclass(frozen=True, slots=True)
class Ask:
    """One search. `wanted` and `refused` are folded (`index_sync.entry.fold_wanted`).

    `conditions`: on typed columns. `groups`: only products of these; None: all. `order` of the hits; `collapse`: one a group.
    `shop`: whose products; None: everybody's. `blocks`: of a composed query (`processors.composing`), added to the inner product.
    """

    query: Vector
    k: int
    wanted: Facets
    refused: Facets
    exclude_products: AbstractSet[str]
    conditions: tuple[Condition, ...] = ()
    groups: AbstractSet[str] | None = None
    order: Order = BY_SCORE
    collapse: bool = False
    shop: str | None = None
    blocks: Blocks = field(default_factory=dict)

    @property
    def need(self) -> int:
        """Products that must be found for `k` to be left."""
        return self.k + len(self.exclude_products)


@dataclass(frozen=True, slots=True)
class Candidate:
    """The best row of a product in one window. `number`: of the window, as it was given; `value`: what it is sorted by."""

    score: float
    product_id: str
    number: int
    window: Window
    ordinal: int
    row: int
    value: float | None = None
    similarity: float | None = None
    """The score without words, where `score` has words in it; `told`: what they are to the product."""
    told: Told | None = None

    @property
    def group(self) -> str:
        """The style that the product is of, or ""."""
        return self.window.segment.columns.groups[self.ordinal]


@dataclass(frozen=True, slots=True)
class Part:
    """A window of which rows are kept: all of them where `mask` is None."""

    number: int
    window: Window
    mask: NDArray[np.bool_] | None
    kept: int


@dataclass(frozen=True, slots=True)
class Rough:
    """Rows that may be among the best: float32 scores (of `rough_best` descending), and for each its part (an index) and its row."""

    scores: Vector
    parts: Rows
    rows: Rows


Nearest: TypeAlias = "Callable[[Sequence[Part], Ask], list[Candidate]]"
"""Finds the `k` best products of some parts by score descending, then product id, exactly."""


def search(windows: Sequence[Window], ask: Ask, nearest: Nearest | None = None) -> list[Candidate]:
    """The `k` best products of all windows in the order that is asked for; by score, products alike by their ids.

    `nearest`: how they are scored; by the inner product alone where it is not given.
    """
    nearest = nearest or _nearest
    parts = [part for number, window in enumerate(windows) if (part := _part(number, window, ask)) is not None]
    grouped = ask.collapse and any(part.window.segment.columns.members for part in parts)
    if not ask.order.sort and not grouped:
        return nearest(parts, ask)
    return _ordered(parts, ask, nearest, grouped=grouped)


def _ordered(parts: Sequence[Part], ask: Ask, nearest: Nearest, *, grouped: bool) -> list[Candidate]:
    """Ask for ever more of the nearest until those that are behind them can change nothing."""
    order, fetch = ask.order, 2 * ask.k + 16
    while True:
        found = nearest(parts, replace(ask, k=fetch))
        valued = [replace(one, value=_value(one, order.column)) for one in found] if order.sort else found
        chosen = best(
            valued,
            lambda one: order.key(one.score, one.product_id, one.value),
            (lambda one: one.group) if grouped else _no_group,
            ask.k,
        )
        if len(found) < fetch:
            return chosen
        if len(chosen) == ask.k and (
            not order.sort or order.band_of(found[-1].score) > order.band_of(chosen[-1].score)
        ):
            return chosen
        fetch *= 4


def _no_group(_one: Candidate) -> str:
    return ""


def _value(one: Candidate, column: str) -> float | None:
    return number_of(one.window.offer(one.ordinal), column)


def _nearest(parts: Sequence[Part], ask: Ask) -> list[Candidate]:
    """The `k` best products by score descending, then product id."""
    if ask.blocks:
        sums = [composed.sums_of(part, ask.blocks) for part in parts]
        return _best(parts, Rough(*composed.candidates(parts, ask.query, ask.need, sums)), ask)
    return _best(*rough_best(parts, ask), ask)


def rough_best(parts: Sequence[Part], ask: Ask) -> tuple[list[Part], Rough]:
    """The parts, and rows of them among which the best `need` products by their embeddings alone certainly are."""
    indexed = [(part, rows) for part in parts if (rows := _by_index(part, ask)) is not None]
    chosen = {part.number for part, _ in indexed}
    searched, found = _exactly([part for part in parts if part.number not in chosen], ask)
    for part, rows in indexed:
        scores = rows_scores(part, rows, ask.query)
        found = _joined(found, _sorted(scores, np.zeros(len(rows), dtype=np.int64), rows), len(searched))
        searched.append(part)
    return searched, _near(searched, found, ask) if indexed else found


def _by_index(part: Part, ask: Ask) -> Rows | None:
    """Kept rows that a segment's approximate index names; None where it has none, or not for so many or for so few."""
    window = part.window
    index = window.segment.index
    if index is None or part.kept < _INDEX_ABOVE * window.rows:
        return None
    # As many rows as `need` products have on average, and the share that the mask takes of them.
    wanted = ask.need * (window.rows / window.products) * (window.rows / part.kept)
    rows = index.candidates(ask.query, math.ceil(wanted))
    if rows is None:
        return None
    kept = rows if part.mask is None else rows[part.mask[rows]]
    # Where what is asked for lies elsewhere than what is kept, there may be too few: then all of those are looked at.
    return kept if len(np.unique(window.segment.columns.owner[kept])) >= ask.need else None


def _exactly(parts: Sequence[Part], ask: Ask) -> tuple[list[Part], Rough]:
    dense = [part for part in parts if part.kept >= _SCAN_BELOW * part.window.rows]
    found = _by_distance(dense, ask)
    if found is None:  # too many of the nearest do not count
        return list(parts), _by_scan(parts, ask)
    few = [part for part in parts if part.kept < _SCAN_BELOW * part.window.rows]
    if few:
        found = _near([*dense, *few], _joined(found, _by_scan(few, ask), len(dense)), ask)
    return [*dense, *few], found


def _part(number: int, window: Window, ask: Ask) -> Part | None:
    mask = window.alive[: window.rows]
    columns = window.segment.columns
    if ask.shop is not None and (own := columns.of_shop(window.rows, ask.shop)) is not None:
        mask = mask & own
    if ask.wanted:
        mask = mask & columns.matching(window.rows, ask.wanted)
    if ask.refused:
        mask = mask & ~columns.showing(window.rows, ask.refused)
    if ask.conditions:
        mask = mask & _meeting(window, ask.conditions)[columns.owner[: window.rows]]
    if ask.groups is not None:
        mask = mask & _of_groups(window, ask.groups)
    kept = int(np.count_nonzero(mask))
    if kept == 0:
        return None
    return Part(number, window, None if kept == window.rows else mask, kept)


def _meeting(window: Window, conditions: tuple[Condition, ...]) -> NDArray[np.bool_]:
    """Which products of a window meet the conditions."""
    if window.typed is None:
        return np.full(window.products, all(condition.lenient for condition in conditions))
    return window.typed.meeting(window.products, conditions)


def _of_groups(window: Window, groups: AbstractSet[str]) -> NDArray[np.bool_]:
    """The rows of the products of some groups."""
    columns = window.segment.columns
    mask = np.zeros(window.rows, dtype=np.bool_)
    for ordinal in [ordinal for group in groups for ordinal in list(columns.members.get(group, ()))]:
        if ordinal < window.products:
            mask[columns.first[ordinal] : columns.first[ordinal + 1]] = True
    return mask


@dataclass(frozen=True, slots=True)
class Counts:
    """What matches: how many products, how many of them with each value of a facet, and from which to which number."""

    total: int
    facets: dict[str, dict[str, int]]
    ranges: dict[str, tuple[float, float]]


def count(windows: Sequence[Window], ask: Ask, names: Mapping[str, str]) -> Counts:
    """Count what meets `ask`, whatever its score.

    Args:
        windows: as for `search`.
        ask: its query and `k` do not matter.
        names: facet or column as it is asked for -> its one name; of columns `offers.COLUMNS`' key.
    """
    total = 0
    facets: dict[str, dict[str, int]] = {name: {} for name, known in names.items() if known not in NUMBERS}
    ranges: dict[str, tuple[float, float]] = {}
    for number, window in enumerate(windows):
        part = _part(number, window, ask)
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


def _by_distance(parts: Sequence[Part], ask: Ask) -> Rough | None:
    """Over-fetch the nearest rows until `need` kept products are certain; None where a scan is the better way."""
    if not parts:
        return _NOTHING
    rows = sum(part.window.rows for part in parts)
    products = sum(part.window.products for part in parts)
    kept = sum(part.kept for part in parts)
    # As many rows as `need` products have on average, the share that the masks take, and a little more.
    fetch = int(1.25 * ask.need * (rows / products) * (rows / kept)) + 16
    codes = [part.window.segment.vectors(0, part.window.rows) for part in parts]
    while True:
        fetch = min(fetch, rows)
        scores, numbers, ids = scan.nearest(codes, ask.query, fetch)
        keep = _keep(parts, numbers, ids)
        found = Rough(scores[keep], numbers[keep], ids[keep])
        if fetch == rows:
            return found
        # Rows that were not fetched score at most scores[-1]: the need-th product must beat that clearly.
        last = _least(parts, found, ask.need)
        if last is not None and last > scores[-1] + slack_of(ask.query):
            return _above(found, last - slack_of(ask.query))
        fetch *= 4
        if fetch > rows // 2:
            return None


def _keep(parts: Sequence[Part], numbers: Rows, rows: Rows) -> NDArray[np.bool_]:
    keep = np.ones(len(rows), dtype=np.bool_)
    for number, part in enumerate(parts):
        if part.mask is not None:
            here = numbers == number
            keep[here] = part.mask[rows[here]]
    return keep


def _least(parts: Sequence[Part], found: Rough, need: int) -> float | None:
    """The rough score of the `need`-th product; None where there are fewer."""
    seen: set[str] = set()
    for score, number, row in zip(found.scores.tolist(), found.parts.tolist(), found.rows.tolist(), strict=True):
        columns = parts[number].window.segment.columns
        # By id: a product whose key moved to another partition may lie in two shards.
        seen.add(columns.ids[columns.owner[row]])
        if len(seen) == need:
            return float(score)
    return None


def _near(parts: Sequence[Part], found: Rough, ask: Ask) -> Rough:
    """Less what is certainly not among the `need` best products."""
    last = _least(parts, found, ask.need)
    return found if last is None else _above(found, last - slack_of(ask.query))


def _above(found: Rough, least: float) -> Rough:
    count = int(np.searchsorted(-found.scores, -least, side="right"))
    return Rough(found.scores[:count], found.parts[:count], found.rows[:count])


def _by_scan(parts: Sequence[Part], ask: Ask) -> Rough:
    """Score every kept row and keep those that can be among the `need` best products."""
    rows = [np.arange(p.window.rows) if p.mask is None else np.flatnonzero(p.mask) for p in parts]
    if not rows:
        return _NOTHING
    scores = np.concatenate([rows_scores(p, kept, ask.query) for p, kept in zip(parts, rows, strict=True)])
    numbers = np.repeat(np.arange(len(parts)), [len(kept) for kept in rows])
    return _near(parts, _sorted(scores, numbers, np.concatenate(rows)), ask)


def rows_scores(part: Part, rows: Rows, query: Vector) -> NDArray[np.float32]:
    segment = part.window.segment
    return np.concatenate(
        [scan.every([segment.gather(rows[i : i + _BLOCK])], query) for i in range(0, len(rows), _BLOCK)]
    )


def _joined(one: Rough, other: Rough, shift: int) -> Rough:
    """Both, where the parts of `other` come after the `shift` parts of `one`."""
    return _sorted(
        np.concatenate([one.scores, other.scores]),
        np.concatenate([one.parts, other.parts + shift]),
        np.concatenate([one.rows, other.rows]),
    )


def _sorted(scores: Vector, parts: Rows, rows: Rows) -> Rough:
    order = np.argsort(-scores, kind="stable")
    return Rough(scores[order], parts[order], rows[order])


def _best(parts: Sequence[Part], found: Rough, ask: Ask) -> list[Candidate]:
    """Score rows exactly and keep the best row a product; of equal rows, the first."""
    kept: dict[str, tuple[float, int, int, int]] = {}
    for product_id, score, number, owner, row in best_rows(parts, found, ask):
        seen = kept.get(product_id)
        if seen is None or score > seen[0]:
            kept[product_id] = (score, number, owner, row)
    # By what is told of a score: else a page could end between two products that the next one has in the other order.
    ranked = sorted((-round(score, DIGITS), product_id) for product_id, (score, *_) in kept.items())
    chosen = [product_id for _, product_id in ranked if product_id not in ask.exclude_products][: ask.k]
    return [candidate_of(parts, product_id, *kept[product_id]) for product_id in chosen]


def best_rows(parts: Sequence[Part], found: Rough, ask: Ask) -> Iterable[tuple[str, float, int, int, int]]:
    """Product, exact score, part, ordinal and row of the best of the rows of each product of each part."""
    query = ask.query.astype(np.float64)
    kept: dict[tuple[int, int], tuple[float, int]] = {}
    order = np.lexsort((found.rows, found.parts))
    for start in range(0, len(order), _BLOCK):
        block = order[start : start + _BLOCK]
        numbers, rows = found.parts[block], found.rows[block]
        # In double: BLAS sums in an order that depends on where a row stands in its block.
        scores = np.einsum("ij,j->i", _gathered(parts, numbers, rows).astype(np.float64), query).astype(np.float32)
        if ask.blocks:
            scores += composed.sums_at(parts, numbers, rows, ask.blocks)
        for score, number, row in zip(scores.tolist(), numbers.tolist(), rows.tolist(), strict=True):
            owner = int(parts[number].window.segment.columns.owner[row])
            seen = kept.get((number, owner))
            if seen is None or score > seen[0]:
                kept[number, owner] = (score, row)
    for (number, owner), (score, row) in kept.items():
        yield parts[number].window.segment.columns.ids[owner], score, number, owner, row


def _gathered(parts: Sequence[Part], numbers: Rows, rows: Rows) -> Half:
    """The rows of all parts, one below the other; `numbers` ascending."""
    if numbers[0] == numbers[-1]:
        return parts[int(numbers[0])].window.segment.gather(rows)
    stops = [*(np.flatnonzero(numbers[1:] != numbers[:-1]) + 1).tolist(), len(rows)]
    starts = [0, *stops[:-1]]
    blocks = [
        parts[numbers[start]].window.segment.gather(rows[start:stop]) for start, stop in zip(starts, stops, strict=True)
    ]
    return np.concatenate(blocks)


def candidate_of(parts: Sequence[Part], product_id: str, score: float, number: int, owner: int, row: int) -> Candidate:
    return Candidate(score, product_id, parts[number].number, parts[number].window, owner, row)


def slack_of(query: Vector) -> float:
    return _EPSILON * max(1.0, math.sqrt(float(np.dot(query, query))))


_NOTHING = Rough(np.empty(0, dtype=np.float32), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
