"""Properties of the top-k merge."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.index_items import merged as merge


@dataclass(frozen=True)
class Found:
    product_id: str
    score: float


_HITS = st.lists(st.builds(Found, st.sampled_from("abcdefgh"), st.sampled_from([0.1, 0.2, 0.3, 0.4])), max_size=12)


@given(st.lists(_HITS, min_size=1, max_size=5), st.integers(1, 8), st.randoms())
def test_merging_in_steps_gives_what_merging_at_once_gives(answers: list[list[Found]], k: int, rng) -> None:
    """Associative and independent of order: any grouping, any order of the shards."""
    at_once = merge(answers, k)
    shuffled = list(answers)
    rng.shuffle(shuffled)
    stepwise: list[Found] = []
    for answer in shuffled:
        stepwise = merge([stepwise, merge([answer], k)], k)
    assert stepwise == at_once


@given(st.lists(_HITS, max_size=5), st.integers(-1, 8))
def test_at_most_k_distinct_products_in_descending_order(answers: list[list[Found]], k: int) -> None:
    """One hit a product (its best), sorted by score and then id, never more than k."""
    merged = merge(answers, k)
    best: dict[str, float] = {}
    for hit in (hit for answer in answers for hit in answer):
        best[hit.product_id] = max(hit.score, best.get(hit.product_id, 0.0))
    truth = sorted(best.items(), key=lambda pair: (-pair[1], pair[0]))[: max(k, 0)]
    assert [(hit.product_id, hit.score) for hit in merged] == truth
