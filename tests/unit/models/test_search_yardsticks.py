"""Judgements, feedback and FashionIQ: figures that can be computed by hand, and what is no such file."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from models.yardsticks import fashioniq, judgements
from processors.errors import Poison


def test_ndcg_mrr_and_recall_are_those_of_their_definitions() -> None:
    """Of two queries: one in the ideal order, one whose right product is second."""
    judged = (
        judgements.Judged("a", {"x": 2.0, "y": 1.0}),
        judgements.Judged("b", {"z": 1.0, "w": 0.0}),
    )
    found = judgements.report(judged, {"a": ["x", "y"], "b": ["w", "z", "?"]}, 10)
    assert found.ndcg.value == pytest.approx((1 + 1 / math.log2(3)) / 2)
    assert found.mrr.value == 0.75
    assert found.recall.value == 1.0
    assert found.judged == pytest.approx(4 / 5)
    low, high = found.mrr.interval
    assert low <= 0.75 <= high


def test_a_query_without_a_result_counts_as_answered_by_nothing() -> None:
    """Leaving it out would make failures look good."""
    judged = (judgements.Judged("a", {"x": 1.0}), judgements.Judged("b", {"x": 1.0}))
    found = judgements.report(judged, {"a": ["x"]}, 10, {"b": "internal"})
    assert (found.ndcg.value, found.mrr.value, found.recall.value) == (0.5, 0.5, 0.5)


def test_judgements_are_read_and_bad_lines_are_named(tmp_path: Path) -> None:
    """CSV and JSON lines mean the same."""
    table, lines = tmp_path / "j.csv", tmp_path / "j.jsonl"
    table.write_text("query,product,grade\nred dress,sku-1,2\nred dress,sku-2,0\n")
    lines.write_text(
        '{"query": "red dress", "product_id": "sku-1", "grade": 2}\n{"query": "red dress", "product": "sku-2", "grade": 0}\n'
    )
    assert judgements.read(table) == judgements.read(lines)
    for text, wrong in (("q,p,x\n", "line 1"), (",sku-1,1\n", "line 1"), ("q,sku-1,1\nq,sku-1,2\n", "two grades")):
        table.write_text(f"query,product,grade\n{text}")
        with pytest.raises(Poison, match=wrong):
            judgements.read(table)


def test_what_shoppers_did_is_counted_by_arm_and_once_a_result() -> None:
    """Two clicks on one result are one result with a click; a stranger's query counts nowhere."""
    results = {"q1": "facets", "q2": "facets", "q3": "direction"}
    did = [("q1", "click", 1), ("q1", "click", 3), ("q1", "buy", None), ("q3", "return", 2), ("q9", "click", 1)]
    direction, facets = judgements.arms(results, did)
    assert (facets.arm, facets.results, facets.click.value, facets.buy.value, facets.click_rank) == (
        "facets",
        2,
        0.5,
        0.5,
        2.0,
    )
    assert (direction.arm, direction.click.value, direction.returned.value) == ("direction", 0.0, 1.0)


def _written(folder: Path, counts: dict[str, int]) -> None:
    for name, count in counts.items():
        asked = [
            {"target": f"{name}{n + 1}", "candidate": f"{name}{n}", "captions": ["Is red.", "longer"]}
            for n in range(count)
        ]
        split = [f"{name}{n}" for n in range(count + 50)]
        (folder / f"cap.{name}.val.json").write_text(json.dumps(asked))
        (folder / f"split.{name}.val.json").write_text(json.dumps(split))


def test_fashioniq_counts_its_queries_keeps_the_reference_and_is_met_by_identity(tmp_path: Path) -> None:
    """2,017, 2,038 and 1,961 queries; the target's own features as the query give recall 1 in both galleries."""
    _written(tmp_path, dict(fashioniq.QUERIES))
    categories = fashioniq.read(tmp_path)
    assert [len(one.asked) for one in categories] == [2017, 2038, 1961]
    assert categories[0].asked[0].text == "is red and longer"
    rng = np.random.default_rng(0)
    features = {}
    for category in categories:
        for name in category.split:
            vector = rng.standard_normal(16).astype(np.float32)
            features[name] = vector / np.linalg.norm(vector)
    identity = {one.name: [features[asked.target] for asked in one.asked] for one in categories}
    found = fashioniq.recalls(categories, features, identity)
    assert [(one.category, one.gallery) for one in found[3:5]] == [("all", "split"), ("dress", "val")]
    assert all(value == 1.0 for one in found for value in one.at.values())
    assert (found[0].photos, found[4].photos) == (2067, 2018)
    # The photo alone finds itself first, which is no target: the reference is kept.
    alone = fashioniq.recalls(categories[:1], features)
    assert all(one.at[10] < 0.05 for one in alone)


def test_another_number_of_queries_is_another_data_set(tmp_path: Path) -> None:
    """Its figures would be compared with those of papers."""
    _written(tmp_path, dict(fashioniq.QUERIES) | {"shirt": 2037})
    with pytest.raises(Poison, match="2037 queries, FashionIQ has 2038"):
        fashioniq.read(tmp_path)
