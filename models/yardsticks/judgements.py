"""Search held against people's judgements, and against what shoppers did: nDCG, MRR and recall; clicks and sales by arm."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from models.yardsticks import intervals
from models.yardsticks.intervals import Interval
from processors.errors import Poison

ACTIONS = ("click", "basket", "buy", "return")


class Judged(msgspec.Struct, frozen=True):
    """A query of the file, and what each of its products is worth (0: wrong)."""

    query: str
    grades: dict[str, float]


class Figure(msgspec.Struct, frozen=True):
    """A mean over queries, and the middle 95 % of resamples of them."""

    value: float
    interval: Interval


class SearchReport(msgspec.Struct, frozen=True):
    """`weft eval search --json`. Products without a judgement count as wrong; `judged`: share of the shown that have one."""

    queries: int
    k: int
    ndcg: Figure
    mrr: Figure
    recall: Figure
    judged: float
    failed: dict[str, str] = {}


class Arm(msgspec.Struct, frozen=True):
    """What shoppers did with the results of one arm: share of results with at least one such action, and the mean rank of clicks."""

    arm: str
    results: int
    click: Figure
    basket: Figure
    buy: Figure
    returned: Figure
    click_rank: float | None = None


def read(path: Path) -> tuple[Judged, ...]:
    """Judgements of a CSV, TSV or JSON lines file with `query`, `product` (or `product_id`) and `grade`; a query is a text or `product:ID`.

    Raises:
        Poison: a line lacks a column, or its grade is no number of at least 0; names the line.
    """
    found: dict[str, dict[str, float]] = {}
    for number, row in enumerate(_rows(path), start=1):
        query, product = (
            str(row.get("query") or "").strip(),
            str(row.get("product") or row.get("product_id") or "").strip(),
        )
        if not query or not product:
            raise Poison(f"{path}, line {number}: needs a query and a product")
        try:
            grade = float(row.get("grade", ""))  # type: ignore[arg-type]
        except (TypeError, ValueError):
            grade = math.nan
        if not 0 <= grade <= 100:
            raise Poison(f"{path}, line {number}: the grade {row.get('grade')!r} is no number within 0..100")
        known = found.setdefault(query, {})
        if known.setdefault(product, grade) != grade:
            raise Poison(f"{path}, line {number}: {product!r} has two grades for {query!r}")
    useful = tuple(Judged(query, grades) for query, grades in found.items() if any(grades.values()))
    if not useful:
        raise Poison(f"{path} has no query with a product of a grade above 0")
    return useful


def _rows(path: Path) -> Iterable[Mapping[str, object]]:
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix.lower() in {".jsonl", ".ndjson"}:
        try:
            return [msgspec.json.decode(line, type=dict[str, object]) for line in text.splitlines() if line.strip()]
        except msgspec.DecodeError as error:
            raise Poison(f"{path} is no file of JSON lines: {error}") from error
    return list(csv.DictReader(text.splitlines(), delimiter="\t" if path.suffix.lower() == ".tsv" else ","))


def report(
    judged: Sequence[Judged], shown: Mapping[str, Sequence[str]], k: int, failed: Mapping[str, str] | None = None
) -> SearchReport:
    """How good results are.

    Args:
        judged: the queries; those that failed count as answered by nothing.
        shown: query → products of its result, the first first.
        k: as far as results are looked at.
        failed: query → why it has no result.
    """
    lists = [list(shown.get(one.query, ()))[:k] for one in judged]
    known = sum(product in one.grades for one, own in zip(judged, lists, strict=True) for product in own)
    return SearchReport(
        queries=len(judged),
        k=k,
        ndcg=_mean([ndcg(one.grades, own, k) for one, own in zip(judged, lists, strict=True)]),
        mrr=_mean([reciprocal(one.grades, own) for one, own in zip(judged, lists, strict=True)]),
        recall=_mean([recall(one.grades, own) for one, own in zip(judged, lists, strict=True)]),
        judged=known / max(1, sum(map(len, lists))),
        failed=dict(failed or {}),
    )


def ndcg(grades: Mapping[str, float], shown: Sequence[str], k: int) -> float:
    """Normalised discounted cumulative gain at k, gain 2^grade − 1 (Burges et al. 2005)."""
    best = _gain(sorted(grades.values(), reverse=True)[:k])
    return _gain([grades.get(product, 0.0) for product in shown[:k]]) / best if best else 0.0


def _gain(grades: Sequence[float]) -> float:
    return sum((2**grade - 1) / math.log2(place + 2) for place, grade in enumerate(grades))


def reciprocal(grades: Mapping[str, float], shown: Sequence[str]) -> float:
    """1 / the place of the first product that is right (a grade above 0); 0 where none is."""
    return next((1 / place for place, product in enumerate(shown, start=1) if grades.get(product, 0.0) > 0), 0.0)


def recall(grades: Mapping[str, float], shown: Sequence[str]) -> float:
    """The share of the right products that are shown."""
    right = {product for product, grade in grades.items() if grade > 0}
    return len(right & set(shown)) / len(right) if right else 0.0


def arms(results: Mapping[str, str], feedback: Iterable[tuple[str, str, int | None]]) -> tuple[Arm, ...]:
    """What shoppers did, by arm.

    Args:
        results: query → the arm that answered it.
        feedback: (query, action, rank); of a query that is not among the results nothing is known, and it does not count.
    """
    did: dict[str, set[str]] = {query: set() for query in results}
    ranks: dict[str, list[int]] = {}
    for query, action, rank in feedback:
        if query in did:
            did[query].add(action)
            if action == "click" and rank is not None:
                ranks.setdefault(results[query], []).append(rank)
    found = []
    for arm in sorted(set(results.values())):
        own = [did[query] for query, answered in results.items() if answered == arm]
        click, basket, buy, returned = (_mean([float(action in one) for one in own]) for action in ACTIONS)
        mean = float(np.mean(ranks[arm])) if arm in ranks else None
        found.append(Arm(arm, len(own), click, basket, buy, returned, mean))
    return tuple(found)


def _mean(values: Sequence[float]) -> Figure:
    return Figure(float(np.mean(values)), intervals.of_mean(values))
