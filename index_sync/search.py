"""Exact top-k over the windows of one shard or of many, with filters applied after the distances.

A selector inside FAISS is not trusted (`bounded_queue=False` ignores it, HNSW loses recall under it): every mask is
applied here. Scores of what is returned are summed in double from half-precision vectors, so that an answer is a
function of the topics alone, whichever segments hold the rows, and however many of them are searched at once. Where a
segment has an approximate index, that names the rows that are scored: what it misses (its recall says how much) is missing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import TypeAlias

import msgspec
import numpy as np
from numpy._core.multiarray import c_einsum  # `np.einsum` without its wrapper, which takes longer than ten rows
from numpy.typing import NDArray

from index_sync import composed, scan
from index_sync.asking import Ask, Candidate, Part, part_of
from index_sync.entry import Half
from index_sync.segment import Rows, Window
from processors.conditions import number_of
from processors.ordering import DIGITS, best
from processors.values import Vector

_SCAN_BELOW = 0.08  # share of kept rows under which scanning just those is faster than over-fetching
_INDEX_ABOVE = 0.15
"""Share of kept rows under which all of them are scanned, whatever index there is: its candidates would hardly be kept."""
_BLOCK = 4096
_TOLD = 2 / 10**DIGITS
"""Scores that are further apart than this are so when they are rounded, too."""
_EPSILON = 2e-5  # more than float32 sums of 512 products of unit vectors can be off (about 1e-6)


class Rough(msgspec.Struct, frozen=True):
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
    parts = [part for number, window in enumerate(windows) if (part := part_of(number, window, ask)) is not None]
    grouped = ask.collapse and any(part.window.segment.columns.members for part in parts)
    if not ask.order.sort and not grouped:
        return nearest(parts, ask)
    return _ordered(parts, ask, nearest, grouped=grouped)


def _ordered(parts: Sequence[Part], ask: Ask, nearest: Nearest, *, grouped: bool) -> list[Candidate]:
    """Ask for ever more of the nearest until those that are behind them can change nothing."""
    order, fetch = ask.order, 2 * ask.k + 16
    while True:
        found = nearest(parts, msgspec.structs.replace(ask, k=fetch))
        valued = (
            [msgspec.structs.replace(one, value=_value(one, order.column)) for one in found] if order.sort else found
        )
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
        return _best(parts, Rough(*composed.candidates(parts, ask.query, ask.need, sums)), ask, sums)
    few = _by_few(parts, ask)
    if not isinstance(few, int):
        return _picked(parts, _best_singly(parts, few, ask), ask)
    return _best(*rough_best(parts, ask, few), ask)


def _by_few(parts: Sequence[Part], ask: Ask) -> list[tuple[int, int]] | int:
    """Part and row of those that may be among the best, where they are few; else how many are to be fetched (0: as may be).

    The same as `rough_best`, without arrays: those of some ten rows take longer than all rows of a small shard.
    """
    rows = products = kept = 0
    lying: list[tuple[scan.Codes, int]] = []
    for part in parts:
        window = part.window
        if part.kept < _INDEX_ABOVE * window.rows or window.segment.index is not None:
            return 0
        rows, products, kept = rows + window.rows, products + window.products, kept + part.kept
        lying.append((window.segment.codes, window.rows))
    fetch = min(_fetch(ask.need, rows, products, kept), rows) if parts else 0
    if not 0 < fetch <= scan.FEW:
        return 0
    found = scan.few(lying, ask.query, fetch)
    if kept == rows:
        chosen = found
    else:
        masks = [part.mask for part in parts]
        chosen = [one for one in found if (mask := masks[one[1]]) is None or mask.item(one[2])]
    if fetch == rows:
        return [(number, row) for _, number, row in chosen]
    seen: set[str] = set()
    slack = slack_of(ask.query)
    for score, number, row in chosen:
        columns = parts[number].window.segment.columns
        seen.add(columns.ids[columns.owner.item(row)])
        if len(seen) == ask.need:
            # As in `_by_distance`.
            if score > found[-1][0] + slack:
                return [one[1:] for one in chosen if one[0] >= score - slack]
            break
    return 4 * fetch


def rough_best(parts: Sequence[Part], ask: Ask, fetch: int = 0) -> tuple[list[Part], Rough]:
    """The parts, and rows of them among which the best `need` products by their embeddings alone certainly are.

    `fetch`: rows that are certainly needed for that, if more than they seem to be.
    """
    indexed = [(part, rows) for part in parts if (rows := _by_index(part, ask)) is not None]
    chosen = {part.number for part, _ in indexed}
    searched, found = _exactly([part for part in parts if part.number not in chosen], ask, fetch)
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


def _exactly(parts: Sequence[Part], ask: Ask, fetch: int) -> tuple[list[Part], Rough]:
    few = [part for part in parts if part.kept < _SCAN_BELOW * part.window.rows]
    dense = [part for part in parts if part.kept >= _SCAN_BELOW * part.window.rows] if few else list(parts)
    found = _by_distance(dense, ask, fetch)
    if found is None:  # too many of the nearest do not count
        return list(parts), _by_scan(parts, ask)
    if few:
        found = _near([*dense, *few], _joined(found, _by_scan(few, ask), len(dense)), ask)
    return [*dense, *few], found


def _by_distance(parts: Sequence[Part], ask: Ask, fetch: int) -> Rough | None:
    """Over-fetch the nearest rows until `need` kept products are certain; None where a scan is the better way."""
    if not parts:
        return _NOTHING
    rows = products = kept = 0
    codes: list[Half] = []
    for part in parts:
        window = part.window
        rows, products, kept = rows + window.rows, products + window.products, kept + part.kept
        codes.append(window.segment.vectors(0, window.rows))
    if fetch > rows // 2:
        return None
    fetch = max(fetch, _fetch(ask.need, rows, products, kept))
    slack = slack_of(ask.query)
    while True:
        fetch = min(fetch, rows)
        found = Rough(*scan.nearest(codes, ask.query, fetch))
        furthest = float(found.scores[-1]) if len(found.scores) else -math.inf
        if kept < rows:
            found = _kept(parts, found)
        if fetch == rows:
            return found
        # Rows that were not fetched score at most `furthest`: the need-th product must beat that clearly.
        last = _least(parts, found, ask.need)
        if last is not None and last > furthest + slack:
            return _above(found, last - slack)
        fetch *= 4
        if fetch > rows // 2:
            return None


def _fetch(need: int, rows: int, products: int, kept: int) -> int:
    """As many rows as `need` products have on average, the share that the masks take, and a little more."""
    return int(1.25 * need * (rows / products) * (rows / kept)) + 16


def _kept(parts: Sequence[Part], found: Rough) -> Rough:
    """Less the rows that a mask leaves out."""
    keep = np.ones(len(found.rows), dtype=np.bool_)
    for number, part in enumerate(parts):
        if part.mask is not None:
            here = found.parts == number
            keep[here] = part.mask[found.rows[here]]
    return Rough(found.scores[keep], found.parts[keep], found.rows[keep])


def _least(parts: Sequence[Part], found: Rough, need: int) -> float | None:
    """The rough score of the `need`-th product; None where there are fewer."""
    if len(found.rows) < need:
        return None
    seen: set[str] = set()
    for place, (number, row) in enumerate(zip(found.parts.tolist(), found.rows.tolist(), strict=True)):
        columns = parts[number].window.segment.columns
        # By id: a product whose key moved to another partition may lie in two shards.
        seen.add(columns.ids[columns.owner.item(row)])
        if len(seen) == need:
            return float(found.scores[place])
    return None


def _near(parts: Sequence[Part], found: Rough, ask: Ask) -> Rough:
    """Less what is certainly not among the `need` best products."""
    last = _least(parts, found, ask.need)
    return found if last is None else _above(found, last - slack_of(ask.query))


def _above(found: Rough, least: float) -> Rough:
    count = int(np.count_nonzero(found.scores >= least))  # they descend
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


def _best(parts: Sequence[Part], found: Rough, ask: Ask, sums: Sequence[Vector] = ()) -> list[Candidate]:
    """Score rows exactly and keep the best row a product; of equal rows, the first."""
    return _picked(parts, best_rows(parts, found, ask, sums), ask)


def _picked(parts: Sequence[Part], rows: Iterable[Best], ask: Ask) -> list[Candidate]:
    kept: dict[str, Best] = {}
    for one in rows:
        seen = kept.get(one[0])
        if seen is None or one[1] > seen[1]:
            kept[one[0]] = one
    ordered = ranked([(-one[1], one[0]) for one in kept.values()])
    chosen = [product_id for _, product_id in ordered if product_id not in ask.exclude_products][: ask.k]
    return [candidate_of(parts, *kept[product_id]) for product_id in chosen]


def ranked(found: list[tuple[float, str]]) -> list[tuple[float, str]]:
    """Negative scores and ids, best first; sorts the list that it is given.

    By what is told of a score (`DIGITS`): else a page could end between two products that the next one has in the other order.
    """
    found.sort()
    # To round a number takes longer than to sort it, and changes nothing where scores are further apart.
    if any(two[0] - one[0] < _TOLD for one, two in pairwise(found)):
        found.sort(key=lambda one: (round(one[0], DIGITS), one[1]))
    return found


Best: TypeAlias = tuple[str, float, int, int, int]
"""Product, exact score, part, ordinal and row."""


def best_rows(parts: Sequence[Part], found: Rough, ask: Ask, sums: Sequence[Vector] = ()) -> Iterable[Best]:
    """The best of the rows of each product of each part. `sums`: `composed.sums_of` each part, where blocks are asked for."""
    query = ask.query.astype(np.float64)
    kept: dict[tuple[int, int], tuple[float, int]] = {}
    order = np.lexsort((found.rows, found.parts))
    for start in range(0, len(order), _BLOCK):
        block = order[start : start + _BLOCK]
        numbers, rows = found.parts[block], found.rows[block]
        scores = exact(_gathered(parts, numbers, rows).astype(np.float64), query)
        if ask.blocks:
            scores += composed.sums_at(parts, numbers, rows, sums)
        _keep_best(kept, parts, zip(scores.tolist(), numbers.tolist(), rows.tolist(), strict=True))
    return _named(parts, kept)


def _best_singly(parts: Sequence[Part], places: list[tuple[int, int]], ask: Ask) -> Iterable[Best]:
    """The same of a few rows (part and row)."""
    if not places:
        return ()
    places.sort()
    vectors = np.empty((len(places), len(ask.query)), dtype=np.float64)
    for place, (number, row) in enumerate(places):
        vectors[place] = parts[number].window.segment.vectors(row, row + 1)
    kept: dict[tuple[int, int], tuple[float, int]] = {}
    scores = exact(vectors, ask.query.astype(np.float64)).tolist()
    _keep_best(kept, parts, [(score, *place) for score, place in zip(scores, places, strict=True)])
    return _named(parts, kept)


def exact(vectors: NDArray[np.float64], query: NDArray[np.float64]) -> NDArray[np.float32]:
    """The inner product of each row (rows, dimension) with the query (dimension,): the same wherever the row stands."""
    # In double: BLAS sums in an order that depends on where a row stands in its block.
    sums: NDArray[np.float64] = c_einsum("ij,j->i", vectors, query)
    return sums.astype(np.float32)


def _keep_best(
    kept: dict[tuple[int, int], tuple[float, int]], parts: Sequence[Part], rows: Iterable[tuple[float, int, int]]
) -> None:
    for score, number, row in rows:
        place = (number, parts[number].window.segment.columns.owner.item(row))
        seen = kept.get(place)
        if seen is None or score > seen[0]:
            kept[place] = (score, row)


def _named(parts: Sequence[Part], kept: dict[tuple[int, int], tuple[float, int]]) -> Iterable[Best]:
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
    return _EPSILON * max(1.0, math.sqrt(float(query.dot(query))))


_NOTHING = Rough(np.empty(0, dtype=np.float32), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
