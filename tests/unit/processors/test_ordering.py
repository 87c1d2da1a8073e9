"""The order of hits, one a group."""

from __future__ import annotations

import pytest

from processors.ordering import BY_SCORE, Order, best


def test_hits_of_all_shards_by_score_then_id() -> None:
    """Equal scores are ordered by product id; a product found twice is kept once, at its best."""
    found = [("c", 0.5), ("a", 0.4), ("b", 0.5), ("a", 0.9)]
    assert best(found, lambda hit: BY_SCORE.key(hit[1], hit[0]), lambda _: "", 2) == [("a", 0.9), ("b", 0.5)]
    assert best(found, lambda hit: BY_SCORE.key(hit[1], hit[0]), lambda _: "", 0) == []


def test_of_a_group_the_first_stands_for_all() -> None:
    """Products without a group stand for themselves."""
    found = [("a", 0.9, "g"), ("b", 0.8, "g"), ("c", 0.7, ""), ("d", 0.6, "")]
    chosen = best(found, lambda hit: BY_SCORE.key(hit[1], hit[0]), lambda hit: hit[2], 9)
    assert [hit[0] for hit in chosen] == ["a", "c", "d"]


@pytest.mark.parametrize(
    ("sort", "ids"), [("price", ["b", "a", "d", "c"]), ("-price", ["a", "b", "d", "c"]), ("", ["a", "b", "d", "c"])]
)
def test_a_column_counts_within_a_band_of_scores(sort: str, ids: list[str]) -> None:
    """Bands begin at 1; what does not know the column is last in its band, and no price lifts a hit out of it."""
    found = [("a", 0.99, 50.0), ("b", 0.96, 10.0), ("c", 0.93, 1.0), ("d", 0.955, None)]
    order = Order(sort, 0.05)
    assert [hit[0] for hit in sorted(found, key=lambda hit: order.key(hit[1], hit[0], hit[2]))] == ids


def test_scores_that_are_told_alike_are_alike() -> None:
    """Six decimals are told: within them ids decide, so that two pages agree on the order."""
    assert BY_SCORE.key(0.1234564, "z") > BY_SCORE.key(0.1234561, "a")
