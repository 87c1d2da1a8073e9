"""Merges: answers, digest and filters stay, whatever is written meanwhile; and an index beside a segment."""

from __future__ import annotations

import numpy as np
import pytest

from index_sync.blocks import BlockColumns
from index_sync.choosing import Budget, choose
from index_sync.columns import Columns, Part
from index_sync.entry import Change, Payload, ViewInfo
from index_sync.growing import GrowingInts
from index_sync.lexical import WordColumns
from index_sync.manifest import SnapshotLocation, decode_current
from index_sync.recovery import LogBounds, recover
from index_sync.segment import SealedSegment
from index_sync.shard import Shard
from processors.product_words import Words
from streams.roles.index.upkeep import sealed_of
from tests.fakes.index_items import DIMENSION, ENCODER, MemoryObjects, ModelShard, entry, unit
from tests.unit.index_sync.test_index_choosing import _FreeIndexes

PLACE = SnapshotLocation("catalog", "g-0001", "catalog.items", 0)


def _facets(number: int) -> dict[str, str]:
    return {"colour": "red" if number % 3 else "navy", "brand": f"b{number % 50}"}


def _filled(products: int = 600, segment_rows: int = 128) -> tuple[Shard, ModelShard]:
    shard, model = Shard(0, ENCODER, DIMENSION, segment_rows=segment_rows), ModelShard()
    changes = [Change(i, f"p{i}", entry(i, i + 9000, facets=_facets(i))) for i in range(products)]
    changes += [Change(products + i, f"p{i}", None) for i in range(0, products, 5)]
    shard.apply_batch(changes)
    for change in changes:
        model.apply(change)
    return shard, model


def _same(shard: Shard, model: ModelShard) -> None:
    for seed in range(6):
        for filters in ({}, {"colour": ("navy",)}, {"brand": ("b7", "B8")}):
            for exclude in ({}, {"brand": ("b3",)}):
                found = [(hit.product_id, hit.score) for hit in shard.search(unit(seed), 9, filters, exclude)]
                assert found == model.search(unit(seed), 9, filters, exclude)
    for product in ("p0", "p1", "p7", "p599"):
        known, found = model.products.get(product), shard.lookup(product)
        assert (found is None) == (known is None)
        assert found is None or (found.version, found.payload) == (known[0], known[1].payload)


def test_a_merge_changes_neither_answers_nor_digest_nor_counts() -> None:
    """All sealed segments into one: dead rows are gone, and all that readers are told is as before."""
    shard, model = _filled()
    digest, live, versions = shard.digest, shard.live, shard.versions()
    counted = shard.state.unknown_facets({"colour": (), "nonsense": ()})
    before = shard.state
    uids = [one.uid for one, _ in sealed_of(shard)]
    assert len(uids) > 5
    assert shard.merge(uids)
    ((merged, rows),) = sealed_of(shard)
    assert merged.columns.rows == rows
    assert (shard.digest, shard.live, shard.versions()) == (digest, live, versions)
    assert shard.state.unknown_facets({"colour": (), "nonsense": ()}) == counted == ("nonsense",)
    _same(shard, model)
    assert [hit.product_id for hit in before.search(unit(1), 5)] == [hit.product_id for hit in shard.search(unit(1), 5)]
    assert not shard.merge(uids), "they are gone"


def test_writes_during_a_merge_win() -> None:
    """Upserts, deletes and new columns at each of its pauses: in the merged segment they have happened too."""
    shard, model = _filled()
    offset = 10_000

    def write() -> None:
        nonlocal offset
        number = offset % 600
        for change in (
            Change(offset, f"p{number}", entry(offset, facets=_facets(number))),
            Change(offset + 1, f"p{(number + 7) % 600}", None),
        ):
            shard.apply_batch([change])
            model.apply(change)
        offset += 11

    assert shard.merge([one.uid for one, _ in sealed_of(shard)], write)
    assert offset > 10_100
    write()
    _same(shard, model)
    fresh = Shard(0, ENCODER, DIMENSION)
    fresh.apply_batch(
        [Change(v, key, item) for key, (v, item) in sorted(model.products.items(), key=lambda p: p[1][0])]
    )
    assert shard.digest == fresh.digest


def test_without_anybody_who_merges_dead_rows_stay_bounded() -> None:
    """Uniform churn of a catalogue that fills some segments: the writer itself merges before they pile up."""
    shard = Shard(0, ENCODER, DIMENSION, segment_rows=64)
    for offset in range(8000):
        shard.apply_batch([Change(offset, f"p{offset * 7919 % 400}", entry(offset % 50))])
    rows = sum(window.rows for window in shard.state.windows)
    assert shard.live == 400
    assert rows <= 3 * 400 + 10 * 64


def _indexed(shard: Shard) -> SealedSegment:
    assert shard.merge([one.uid for one, _ in sealed_of(shard)])
    ((merged, _),) = sealed_of(shard)
    merged.index = choose(merged.vectors(0, merged.columns.rows), Budget(0.5, ("ivf-sq8",)), _FreeIndexes())
    assert merged.index is not None
    return merged


def test_an_indexed_segment_gives_exact_scores_and_exact_answers_to_narrow_filters() -> None:
    """Whatever it finds has the score of a scan; below 15 % kept, and past what was measured, all rows are looked at."""
    shard, model = _filled(1500, 128)
    _indexed(shard)
    truth, found = 0, 0
    for seed in range(40):
        scores = dict(model.search(unit(seed), 1500))
        hits = [(hit.product_id, hit.score) for hit in shard.search(unit(seed), 8)]
        assert all(scores[product] == score for product, score in hits)
        assert len(hits) == 8
        found += len(set(hits) & set(model.search(unit(seed), 8)))
        truth += 8
        narrow = {"brand": ("b7", "b8")}
        wanted = model.search(unit(seed), 8, narrow)
        assert [(hit.product_id, hit.score) for hit in shard.search(unit(seed), 8, narrow)] == wanted
        # Scores are told in six decimals, and products of one score come by their ids.
        wanted = sorted(scores, key=lambda product: (-round(scores[product], 6), product))[:300]
        assert [hit.product_id for hit in shard.search(unit(seed), 300)] == wanted
    assert found / truth >= 0.5


@pytest.mark.parametrize("harm", ["", "changed", "cut", "missing"])
def test_an_index_is_kept_in_the_snapshot_and_done_without_where_it_is_damaged(harm: str) -> None:
    """It comes back with its segment; one that is not as recorded is refused by its name, and the rows are there."""
    shard, model = _filled(1500, 128)
    merged = _indexed(shard)
    store = MemoryObjects()
    log = LogBounds(0, shard.next_offset)

    def blank() -> Shard:
        return Shard(0, ENCODER, DIMENSION, segment_rows=128)

    writer = recover(store, PLACE, blank, log, owner="a", now=1e9).writer
    manifest = writer.save(shard.cut(), 1e9)
    assert not writer.changed(shard.cut())
    (key,) = [one.index.key for one in manifest.segments if one.index is not None]
    data = store.objects.pop(key)
    if harm != "missing":
        store.objects[key] = {"": data, "changed": data[:-9] + b"?" + data[-8:], "cut": data[:-1]}[harm]
    back = recover(store, PLACE, blank, log, owner="b", now=1e9, segment_rows=128)
    assert (back.reason, back.shard.digest, back.shard.live) == ("", shard.digest, shard.live)
    found = {one.uid: one for one, _ in sealed_of(back.shard)}[merged.uid]
    assert (found.index is None) == bool(harm)
    assert [key in said for said in back.refused] == [True] * bool(harm)
    if harm:
        _same(back.shard, model)


def test_recovery_goes_back_to_the_snapshot_before() -> None:
    """An object of the latest one is missing: refused by name; the one before and the topic's records give the same shard."""
    shard = Shard(0, ENCODER, DIMENSION, segment_rows=16)
    store = MemoryObjects()

    def opened(owner: str):
        return recover(
            store, PLACE, lambda: Shard(0, ENCODER, DIMENSION, segment_rows=16), LogBounds(0, 100), owner=owner, now=1e9
        )

    writer = opened("a").writer
    log = [Change(i, f"p{i}", entry(i)) for i in range(100)]
    shard.apply_batch(log[:60])
    first = writer.save(shard.cut(), 1e9)
    shard.apply_batch(log[60:])
    writer.save(shard.cut(), 1e9)
    writer.collect()
    current = decode_current("", store.objects[PLACE.current])
    assert current.manifest is not None
    store.objects[current.manifest.key] += b" "
    back = opened("b")
    assert (back.seek, back.reason) == (first.next_offset, "")
    assert current.manifest.key in back.refused[0]
    back.shard.apply_batch(log[back.seek :])
    assert back.shard.digest == shard.digest
    back.writer.save(back.shard.cut(), 1e9)
    back.writer.collect()
    again = opened("c")
    assert (again.shard.digest, again.refused) == (shard.digest, ())


def _plain(value: object) -> object:
    """What a column holds, to be compared: arrays as lists, as far as they are filled."""
    if isinstance(value, WordColumns):
        told = [
            (term, block.start + int(found), int(worth))
            for block in value.settle()
            for at, term in enumerate(block.terms.tolist())
            for found, worth in zip(
                block.found[block.bounds[at] : block.bounds[at + 1]],
                block.values[block.bounds[at] : block.bounds[at + 1]],
                strict=True,
            )
        ]
        return sorted(told), _plain(value.names), _plain(value.wholes), _plain(value.starts)
    if isinstance(value, GrowingInts):
        return value.view().tolist()
    if isinstance(value, BlockColumns):
        return {key: column.tolist() for key, column in value._columns.items() if column.any()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    return {key: _plain(one) for key, one in value.items()} if isinstance(value, dict) else value


def test_merged_columns_are_those_that_appending_gives() -> None:
    """Of every column that there is: one that a merge forgot would lose filters, shops, styles or composed queries."""
    first, second, wanted = Columns(40), Columns(40), Columns(26)
    kept = {0: [0, 2, 3, 7, 9], 1: [1, 4, 8]}
    for side, columns in enumerate((first, second)):
        for ordinal in range(10):
            number = 10 * side + ordinal
            views = tuple(
                ViewInfo(f"g{n}", "c", (dict.fromkeys(_facets(number), (f"v{number % 4}",)),)) for n in range(3)
            )
            chances = {"colour": {"red": 900 - number, "navy": 20}} if number % 2 else {"sleeve": {"long": 500}}
            payload = Payload(
                "i",
                "c",
                {},
                (),
                views,
                group=f"s{number % 3}" if number % 4 else "",
                chances=chances,
                words=Words(f"dress w{number}", "tag", "told", f"Brand {number % 2}"),
            )
            shop = f"//shop{number % 2}/p{number}" if number % 3 else f"p{number}"
            columns.append(shop, number, payload)
            if ordinal in kept[side]:
                wanted.append(shop, number, payload)
    parts = [
        Part(columns, np.array(kept[side]), np.array(columns.versions)[kept[side]])
        for side, columns in enumerate((first, second))
    ]
    made = Columns.gathered(parts, 26, lambda: None)
    for name in Columns.__slots__:
        if name not in {"shop", "shops", "owner"}:
            assert _plain(getattr(made, name)) == _plain(getattr(wanted, name)), name
    names = {number: shop for shop, number in made.shops.items()}
    expected = {number: shop for shop, number in wanted.shops.items()}
    assert [names[n] for n in made.shop[: made.rows]] == [expected[n] for n in wanted.shop[: wanted.rows]]
    assert made.owner[: made.rows].tolist() == wanted.owner[: wanted.rows].tolist()
