"""The scan over half-precision rows, and the search of many shards at once."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index_sync import scan
from index_sync.entry import Change
from index_sync.search import exact, ranked
from index_sync.segment import GrowingSegment
from index_sync.shard import Shard
from index_sync.state import search_states
from processors.errors import Poison
from processors.ordering import DIGITS
from tests.fakes.index_items import DIMENSION, ENCODER, entry, merged, unit


@pytest.mark.parametrize("dimension", [1, 7, 8, 256, 515])
@pytest.mark.parametrize("sizes", [(1,), (5, 0, 9), (40, 3)])
def test_the_scan_finds_what_a_product_of_matrices_finds(dimension: int, sizes: tuple[int, ...]) -> None:
    """In many parts as in one, of any dimension: the same rows in the same order, with their inner products."""
    rng = np.random.default_rng(dimension)
    parts = [rng.standard_normal((size, dimension)).astype(np.float16) for size in sizes]
    query = rng.standard_normal(dimension).astype(np.float32)
    places = [(number, row) for number, size in enumerate(sizes) for row in range(size)]
    truth = np.concatenate(parts).astype(np.float64) @ query
    k = min(len(places), 6)
    scores, numbers, rows = scan.nearest(parts, query, k)
    assert np.allclose(scores, np.sort(truth)[::-1][:k], atol=1e-4)
    assert np.allclose([truth[places.index(place)] for place in zip(numbers, rows, strict=True)], scores, atol=1e-4)


@pytest.mark.parametrize("k", [1, 6, scan.FEW])
def test_few_rows_are_those_that_arrays_tell(k: int) -> None:
    """The same scores, parts and rows, where there are fewer than `k`, and after a query of more."""
    rng = np.random.default_rng(k)
    parts = [rng.standard_normal((size, 16)).astype(np.float16) for size in (40, 0, 3)]
    lying = [(scan.codes_of(part), len(part)) for part in parts]
    for query in rng.standard_normal((5, 16)).astype(np.float32):
        scores, numbers, rows = scan.nearest(parts, query, min(k, 43))
        expected = list(zip(scores.tolist(), numbers.tolist(), rows.tolist(), strict=True))
        assert scan.few(lying, query, scan.FEW)[:k] == expected
        assert scan.few(lying, query, k) == expected


def test_a_part_is_read_up_to_the_row_that_was_published() -> None:
    """The writer goes on behind it; nothing of that is found."""
    segment = GrowingSegment(0, DIMENSION, 4)
    for ordinal in range(3):
        item = entry(ordinal)
        segment.append(f"p{ordinal}", ordinal, item.payload, item.vectors.astype(np.float16))
    _, _, rows = scan.nearest([segment.vectors(0, 2)], unit(2), 2)
    assert sorted(rows.tolist()) == [0, 1]


def test_a_query_that_is_not_finite_finds_nothing_and_breaks_nothing() -> None:
    """NaN compares with nothing; the thread's scanner is as good as before."""
    rows = np.stack([unit(1), unit(2)]).astype(np.float16)
    assert len(scan.nearest([rows], np.full(DIMENSION, np.nan, np.float32), 2)[0]) == 0
    assert scan.nearest([rows], unit(2), 1)[2].tolist() == [1]


def test_threads_scan_beside_each_other() -> None:
    """Each has a scanner of its own: a query of one is never answered with the vector of another."""
    rows = np.stack([unit(seed) for seed in range(200)]).astype(np.float16)
    wrong: list[int] = []

    def ask(seed: int) -> None:
        wrong.extend(seed for _ in range(300) if scan.nearest([rows], unit(seed), 1)[2].tolist() != [seed])

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in (3, 70, 150)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


COLOURS = ("red", "navy", "teal")


def _shards(seed: int, count: int) -> list[Shard]:
    """Shards of different sizes, sealed segments and dead rows among them; vectors repeat, so that there are ties."""
    rng = np.random.default_rng(seed)
    shards = []
    for partition in range(count):
        shard = Shard(partition, ENCODER, DIMENSION, segment_rows=8)
        names = [f"p{partition}-{n}" for n in rng.integers(0, 30, rng.integers(0, 60))]
        changes = [
            Change(at, name, None if rng.random() < 0.1 else entry(*_seeds(rng), facets={"colour": _colour(rng)}))
            for at, name in enumerate(names)
        ]
        shard.apply_batch(changes)
        shards.append(shard)
    return shards


def _seeds(rng: np.random.Generator) -> list[int]:
    return [int(seed) for seed in rng.integers(0, 12, rng.integers(1, 4))]


def _colour(rng: np.random.Generator) -> str:
    return COLOURS[int(rng.choice(3, p=[0.9, 0.08, 0.02]))]


@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, 6),
    k=st.integers(1, 12),
    colour=st.none() | st.sampled_from(COLOURS),
    refused=st.none() | st.sampled_from(COLOURS),
)
@settings(max_examples=120, deadline=None)
def test_many_shards_at_once_answer_as_each_by_itself(
    seed: int, count: int, k: int, colour: str | None, refused: str | None
) -> None:
    """The same products, scores, views and order as searching one after the other and merging."""
    shards = _shards(seed, count)
    filters = {"colour": (colour,)} if colour else {}
    exclude = {"colour": (refused,)} if refused else {}
    skipped = ("p0-1", "p1-2")
    each = [shard.search(unit(seed % 12), k, filters, exclude, skipped) for shard in shards]
    found = search_states([s.state for s in shards], unit(seed % 12), k, filters, exclude, skipped)
    assert [hit for _, hit in found] == merged(each, k)
    assert all(hit.product_id.startswith(f"p{number}-") for number, hit in found)


@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, 6),
    k=st.integers(1, 12),
    refused=st.none() | st.sampled_from(COLOURS),
)
@settings(max_examples=120, deadline=None)
def test_few_rows_or_arrays_of_them_make_no_difference(seed: int, count: int, k: int, refused: str | None) -> None:
    """What is searched for some hits is searched without arrays: products, scores, views and order are theirs."""
    states = [shard.state for shard in _shards(seed, count)]
    exclude = {"colour": (refused,)} if refused else {}
    found = search_states(states, unit(seed % 12), k, {}, exclude)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "FEW", 0)
        assert search_states(states, unit(seed % 12), k, {}, exclude) == found


def test_exact_scores_are_sums_of_einsum() -> None:
    """It is called without its wrapper: sums in another order would be other scores of the same topic."""
    rng = np.random.default_rng(1)
    vectors, query = rng.standard_normal((30, 515)), rng.standard_normal(515)
    assert exact(vectors, query).tolist() == np.einsum("ij,j->i", vectors, query).astype(np.float32).tolist()
    assert [exact(one[None], query).item() for one in vectors] == exact(vectors, query).tolist()


@given(st.dictionaries(st.sampled_from("abcdefghijkl"), st.integers(-30, 30)))
def test_hits_are_in_the_order_of_what_is_told(found: dict[str, int]) -> None:
    """Scores that are alike as they are told are in the order of their ids, and the others in their own."""
    scored = [(0.5 + step * 2.5e-7, name) for name, step in found.items()]
    assert ranked(list(scored)) == sorted(scored, key=lambda one: (round(one[0], DIGITS), one[1]))


def test_a_product_that_lies_in_two_shards_is_one_hit() -> None:
    """Its key moved to another partition: the better of both, and the next product is not lost for it."""
    one, two = Shard(0, ENCODER, DIMENSION), Shard(1, ENCODER, DIMENSION)
    one.apply(0, "moved", entry(1))
    two.apply(0, "moved", entry(1))
    two.apply(1, "next", entry(2))
    found = search_states([one.state, two.state], unit(1), 2)
    assert [hit.product_id for _, hit in found] == ["moved", "next"]


def test_shards_of_another_dimension_are_refused() -> None:
    """A scan over rows of another length would read other rows than it is asked for."""
    one, two = Shard(0, "", 0), Shard(1, "", 0)
    one.apply(0, "a", entry(1))
    two.apply(0, "b", entry(1, dimension=4))
    with pytest.raises(Poison):
        search_states([one.state, two.state], unit(1), 2)
