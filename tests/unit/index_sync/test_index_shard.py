"""The shard: upserts, deletes, filters, sealing, and reading beside writing."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from index_sync.entry import Change
from index_sync.shard import Shard
from processors.errors import Poison
from tests.fakes.index_items import DIMENSION, ENCODER, ModelShard, entry, unit


def _shard(**options: int) -> Shard:
    return Shard(3, ENCODER, DIMENSION, **options)


def test_an_upsert_is_found_by_its_best_view() -> None:
    """One hit a product, with the view that was nearest, the version and the payload."""
    shard = _shard()
    assert shard.apply(7, "a", entry(1, 2, 3))
    (hit,) = shard.search(unit(3), 10)
    assert (hit.product_id, hit.view, hit.version, hit.image) == ("a", "g1", 7, "file:///p.jpg")
    assert hit.score == pytest.approx(1.0, abs=1e-3)
    assert (shard.next_offset, shard.live) == (8, 1)


def test_the_later_offset_wins_and_replay_changes_nothing() -> None:
    """Applying older or equal offsets again leaves digest, live count and answers as they were."""
    shard = _shard()
    shard.apply(1, "a", entry(1))
    shard.apply(5, "a", entry(2))
    digest = shard.digest
    assert not shard.apply(1, "a", entry(1))
    assert not shard.apply(5, "a", entry(2))
    assert (shard.digest, shard.live, shard.next_offset) == (digest, 1, 6)
    assert shard.search(unit(2), 5)[0].version == 5


def test_a_delete_removes_and_a_replay_cannot_raise_the_dead() -> None:
    """After a delete the product is gone from search and lookup, and its older upsert stays without effect."""
    shard = _shard()
    empty = shard.digest
    shard.apply(1, "a", entry(1))
    shard.apply(2, "a", None)
    assert not shard.apply(1, "a", entry(1))
    assert shard.search(unit(1), 5) == []
    assert shard.lookup("a") is None
    assert (shard.live, shard.digest) == (0, empty)
    assert shard.apply(3, "a", entry(1))
    assert shard.live == 1


def test_a_delete_that_was_forgotten_cannot_be_undone_either() -> None:
    """Past the horizon deletes are forgotten, so older records count as applied."""
    shard = _shard(delete_horizon=10)
    shard.apply(1, "a", entry(1))
    shard.apply(2, "a", None)
    shard.apply_batch([Change(offset, f"d{offset}", None) for offset in range(3, 2100)])
    assert "a" not in shard.cut().deletes
    assert not shard.apply(1, "a", entry(1))
    assert shard.live == 0


def test_the_wrong_maker_is_refused_and_the_old_version_stays() -> None:
    """Vectors of another encoder or dimension are Poison, alone or in a batch; the others of the batch go on."""
    shard = _shard()
    shard.apply(1, "a", entry(1))
    with pytest.raises(Poison, match="sha256:other"):
        shard.apply(2, "a", entry(2, encoder="sha256:other"))
    refused = shard.apply_batch([Change(3, "a", entry(2, dimension=4)), Change(4, "b", entry(4))])
    assert [(r.change.product_id, r.error.field) for r in refused] == [("a", "dimension")]
    assert shard.next_offset == 5
    assert {hit.product_id: hit.version for hit in shard.search(unit(1), 5)} == {"a": 1, "b": 4}


def test_an_open_shard_takes_the_first_maker_that_comes_and_no_other() -> None:
    """Without a fingerprint in the settings, the first entry decides."""
    shard = Shard(0, "", 0)
    shard.apply(0, "a", entry(1, encoder="sha256:x"))
    assert (shard.fingerprint, shard.dimension) == ("sha256:x", DIMENSION)
    with pytest.raises(Poison, match="sha256:y"):
        shard.apply(1, "b", entry(2, encoder="sha256:y"))


def test_filters_exclusions_and_excluded_products() -> None:
    """Few kept or many kept: only rows that meet the filter are found, none that shows a refused value."""
    shard = _shard()
    for i in range(200):
        shard.apply(i, f"p{i:03}", entry(i, facets={"colour": "red" if i % 50 == 0 else "navy"}))
    reds = {hit.product_id for hit in shard.search(unit(9), 100, filters={"colour": ("Red",)})}
    assert reds == {"p000", "p050", "p100", "p150"}
    navies = shard.search(unit(50), 300, exclude={"colour": ("red",)})
    assert len(navies) == 196
    assert not reds & {hit.product_id for hit in navies}
    assert shard.search(unit(50), 1)[0].product_id == "p050"
    assert shard.search(unit(50), 1, exclude_products=["p050"])[0].product_id != "p050"
    assert shard.search(unit(50), 5, filters={"colour": ("plaid",)}) == []
    assert len(shard.search(unit(50), 5, filters={"colour": ()})) == 5


def test_equal_scores_come_in_the_order_of_product_ids_whatever_the_order_of_arrival() -> None:
    """Five hundred copies of one photo: the answer is the first ids, however they arrived."""
    ids = [f"p{i:03}" for i in np.random.default_rng(0).permutation(500)]
    shard = _shard(segment_rows=128)
    shard.apply_batch(Change(offset, product_id, entry(1)) for offset, product_id in enumerate(ids))
    assert [hit.product_id for hit in shard.search(unit(1), 4)] == ["p000", "p001", "p002", "p003"]


def test_an_unbounded_catalogue_is_sealed_segment_by_segment() -> None:
    """Past the growing segment rows are sealed; answers, digest and lookups stay those of the model."""
    shard, model = _shard(segment_rows=64), ModelShard()
    changes = [Change(i, f"p{i % 300}", entry(i, i + 5000)) for i in range(500)]
    changes += [Change(500 + i, f"p{i}", None) for i in range(0, 300, 3)]
    for change in changes:
        model.apply(change)
    shard.apply_batch(changes)
    kinds = [window.segment.kind for window in shard.state.windows]
    assert kinds.count("sealed") >= 4
    assert kinds.count("growing") == 1
    assert shard.live == len(model.products) == 200
    for seed in range(20):
        assert [(h.product_id, h.score) for h in shard.search(unit(seed), 7)] == model.search(unit(seed), 7)
    assert shard.versions() == {key: version for key, (version, _) in model.products.items()}
    assert all(shard.lookup(f"p{i}") is None for i in range(0, 300, 3))


def test_churn_of_few_products_stays_small() -> None:
    """A thousand upserts of five products leave one growing segment, not a sealed one for every 64 rows."""
    shard = _shard(segment_rows=64)
    shard.apply_batch(Change(i, f"p{i % 5}", entry(i)) for i in range(1000))
    assert [window.segment.kind for window in shard.state.windows] == ["growing"]
    assert shard.live == 5


def test_a_sealed_segment_that_died_wholly_is_dropped() -> None:
    """Deleting every product gives the memory of the sealed segments back."""
    shard = _shard(segment_rows=64)
    shard.apply_batch(Change(i, f"p{i}", entry(i)) for i in range(300))
    shard.apply_batch(Change(300 + i, f"p{i}", None) for i in range(300))
    assert [window.segment.kind for window in shard.state.windows] == ["growing"]
    assert shard.search(unit(1), 5) == []


def test_lookup_gives_the_whole_view_and_the_payload() -> None:
    """The reference of a composed query: its whole vector and what is known of it."""
    shard = _shard()
    shard.apply(4, "a", entry(1, 2, facets={"fabric": "linen"}))
    product = shard.lookup("a")
    assert product is not None
    assert product.version == 4
    assert product.payload.facets == {"fabric": "linen"}
    assert np.allclose(product.vector, unit(1), atol=1e-3)


def test_a_bad_query_vector_is_poison() -> None:
    """Wrong dimension or NaN: the query's fault, said so."""
    shard = _shard()
    shard.apply(0, "a", entry(1))
    for bad in (unit(1, 4), np.full(DIMENSION, np.nan, np.float32)):
        with pytest.raises(Poison, match="vector"):
            shard.search(bad, 3)


def test_digest_does_not_depend_on_order_or_history() -> None:
    """Two histories with the same live products have one digest; another vector gives another."""
    one, two, three = _shard(), _shard(segment_rows=8), _shard()
    live = [Change(10 + i, f"p{i}", entry(i)) for i in range(30)]
    one.apply_batch(live)
    two.apply_batch([Change(i, f"p{i}", entry(99)) for i in range(5)])
    two.apply_batch([Change(6, "gone", entry(3)), Change(7, "gone", None)])
    two.apply_batch(live)
    three.apply_batch([*live[:-1], Change(39, "p29", entry(77))])
    assert one.digest == two.digest != three.digest


def test_readers_see_every_batch_wholly_or_not_at_all() -> None:
    """While one thread upserts batches of the same 20 products, every answer holds all 20, of one batch."""
    shard = _shard(segment_rows=64)
    products = [f"p{i}" for i in range(20)]

    def batch(number: int) -> list[Change]:
        return [Change(number * 20 + i, product, entry(number, i)) for i, product in enumerate(products)]

    shard.apply_batch(batch(0))
    done = threading.Event()
    torn: list[set[int]] = []
    looks = []

    def read() -> None:
        while not done.is_set():
            hits = shard.search(unit(1), 50)
            numbers = {hit.version // 20 for hit in hits}
            looks.append(len(hits))
            if len(hits) != 20 or len(numbers) != 1:
                torn.append(numbers)
            if shard.lookup("p7") is None:
                torn.append(set())

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(1, 200):
        shard.apply_batch(batch(number))
    done.set()
    for reader in readers:
        reader.join()
    assert torn == []
    assert len(looks) > 10


def test_readers_see_the_published_state_in_the_middle_of_a_batch() -> None:
    """Step by step through a batch: look-ups, searches and counts answer as before it, until all of it is published."""
    shard = _shard(segment_rows=8)  # so small that the batch seals and moves rows on its way
    shard.apply_batch([Change(i, f"p{i}", entry(i)) for i in range(6)])
    seen: list[tuple[object, ...]] = []

    def look() -> tuple[object, ...]:
        found = {i: shard.lookup(f"p{i}") for i in range(7)}
        versions = {i: product.version for i, product in found.items() if product is not None}
        return versions, {hit.product_id: hit.version for hit in shard.search(unit(1), 50)}, shard.live, shard.digest

    def stepping() -> Iterator[Change]:
        changes = [Change(10 + i, f"p{i % 5}", entry(50 + i)) for i in range(30)]
        for change in [*changes, Change(40, "p5", None), Change(41, "p6", entry(6))]:
            yield change
            seen.append(look())

    before = look()
    assert before[0] == {i: i for i in range(6)}
    shard.apply_batch(stepping())
    assert len(seen) == 32
    assert all(one == before for one in seen)
    assert look()[0] == {0: 35, 1: 36, 2: 37, 3: 38, 4: 39, 6: 41}


def test_the_maker_is_published_with_its_first_vectors() -> None:
    """An open shard refuses no query for an encoder of which nothing is searchable yet."""
    shard = Shard(0, "", 0)

    def stepping() -> Iterator[Change]:
        yield Change(0, "a", entry(1))
        assert (shard.fingerprint, shard.dimension) == ("", 0)

    shard.apply_batch(stepping())
    assert (shard.fingerprint, shard.dimension) == (ENCODER, DIMENSION)


def test_a_state_that_was_taken_before_stays_as_it_is() -> None:
    """A look-up and the offset that is told with it belong together, however many batches come between."""
    shard = _shard(segment_rows=8)
    shard.apply_batch([Change(0, "a", entry(1)), Change(1, "b", entry(2))])
    state = shard.state
    for offset in range(2, 200):
        shard.apply(offset, "a", entry(offset) if offset % 3 else None)
    kept = state.lookup("a")
    assert kept is not None
    assert (kept.version, state.next_offset) == (0, 2)
    assert np.allclose(kept.vector, unit(1), atol=1e-3)


def test_a_product_under_updates_is_never_absent() -> None:
    """With threads that change places as often as Python can: every look-up finds the product that is replaced."""
    shard = _shard(segment_rows=64)
    shard.apply_batch([Change(i, f"p{i}", entry(i)) for i in range(30)])
    done = threading.Event()
    looked = absent = 0

    def write() -> None:
        for number in range(1, 300):
            shard.apply_batch([Change(number * 30 + i, f"p{i}", entry(number)) for i in range(30)])
        done.set()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        writer = threading.Thread(target=write)
        writer.start()
        while not done.is_set():
            looked += 1
            absent += shard.lookup(f"p{looked % 30}") is None
        writer.join()
    finally:
        sys.setswitchinterval(interval)
    assert looked > 100
    assert absent == 0
