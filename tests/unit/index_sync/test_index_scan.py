"""The scan over half-precision rows, and the search of many shards at once."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index_sync import scan
from index_sync.entry import Change
from index_sync.segment import GrowingSegment
from index_sync.shard import Shard
from index_sync.state import search_states
from processors.errors import Poison
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
