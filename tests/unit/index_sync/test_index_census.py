"""Counting a shard: what the topic says, worked out without a shard, is what the shard says, by bucket and as a whole."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from index_sync.census import BUCKETS, Expected, bucket_of, by_bucket, digest_text, id_mark, recall_of, total
from index_sync.entry import Change
from index_sync.shard import Shard
from tests.fakes.index_items import DIMENSION, ENCODER, entry

PRODUCTS = st.sampled_from([f"p{i}" for i in range(9)])
CHANGES = st.lists(st.tuples(PRODUCTS, st.none() | st.integers(0, 5), st.booleans()), max_size=60)


@given(CHANGES)
@settings(max_examples=80, deadline=None)
def test_expected_is_what_a_shard_holds(history: list[tuple[str, int | None, bool]]) -> None:
    """Upserts, deletes and records of another encoder, in tiny segments: versions, marks and digest are equal."""
    shard, expected = Shard(0, ENCODER, DIMENSION, segment_rows=6), Expected(ENCODER)
    refused = 0
    for offset, (product, seed, foreign) in enumerate(history):
        encoder = "sha256:other" if foreign else ENCODER
        change = Change(offset, product, None if seed is None else entry(seed, encoder=encoder))
        refused += len(shard.apply_batch([change]))
        expected.apply(change)
    state, held = shard.inventory()
    assert {key: (known.version, known.mark) for key, known in expected.products.items()} == held
    assert total(known.mark for known in expected.products.values()) == state.digest
    assert expected.refused == refused
    buckets = by_bucket(held)
    assert total(buckets.marks) == state.digest
    assert total(buckets.ids) == total(id_mark(key) for key in held)
    assert all(recall_of(window) == 1.0 for window in state.windows)


def test_the_first_encoder_counts_where_none_is_named() -> None:
    """As in a shard that takes any: the first that comes, and no other after."""
    expected = Expected()
    expected.apply(Change(0, "a", entry(1)))
    expected.apply(Change(1, "b", entry(2, encoder="sha256:other")))
    assert (set(expected.products), expected.refused) == ({"a"}, 1)


def test_a_product_lies_in_one_bucket_of_its_id() -> None:
    """Both sides list the same products for a bucket, whatever versions they hold."""
    one, two = by_bucket({"a": (1, 5)}), by_bucket({"a": (9, 7)})
    bucket = bucket_of("a")
    assert 0 <= bucket < BUCKETS
    assert (one.marks[bucket], two.marks[bucket]) == (5, 7)
    assert one.ids == two.ids
    assert digest_text(5) == "0" * 31 + "5"
