"""A standby's copy of a shard: it is what the owner holds, and goes on as the owner's did."""

from __future__ import annotations

import random

import pytest

from index_sync.entry import Change
from index_sync.manifest import Manifest, SnapshotLocation, decode_current
from index_sync.promotion import promote
from index_sync.recovery import LogBounds, Tailed, recover, tail
from index_sync.shard import Shard
from index_sync.snapshot import Fenced
from processors.errors import Retryable
from tests.fakes.index_items import DIMENSION, ENCODER, MemoryObjects, entry

PLACE = SnapshotLocation("catalog", "g-0001", "catalog.items", 0)
ROWS = 8


def blank() -> Shard:
    return Shard(0, ENCODER, DIMENSION, segment_rows=ROWS)


def log(end: int) -> LogBounds:
    return LogBounds(0, end, "a")


def changes(seed: int, number: int) -> list[Change]:
    """Upserts of few products, some of two views, and deletes."""
    drawn = random.Random(seed)
    found = []
    for offset in range(number):
        product = f"p{drawn.randrange(12)}"
        made = entry(*(drawn.randrange(10_000) for _ in range(drawn.randint(1, 2))))
        found.append(Change(offset, product, None if drawn.random() < 0.25 else made))
    return found


def tailed(store: MemoryObjects, end: int) -> Tailed:
    return tail(store, PLACE, blank, log(end), now=1e9, segment_rows=ROWS)


def merged(shard: Shard) -> None:
    """As the plan would: all sealed segments into one."""
    uids = [one.segment.uid for one in shard.state.windows if one.segment.kind == "sealed"]
    if uids:
        assert shard.merge(uids)


@pytest.mark.parametrize("seed", range(12))
def test_a_copy_equals_its_owner_and_goes_on_from_memory(seed: int) -> None:
    """Snapshots, merges and clean-ups on both sides in any order; then the owner is fenced, and what the copy's new owner saves is
    whole: a third worker restores it.
    """
    store, drawn, records = MemoryObjects(), random.Random(seed), changes(seed, 80)
    owner = recover(store, PLACE, blank, log(80), owner="one", now=1e9, segment_rows=ROWS)
    copy: Tailed | None = None
    at = 0
    while at < len(records):
        batch = records[at : at + drawn.randint(1, 9)]
        at += len(batch)
        assert owner.shard.apply_batch(batch) == []
        if copy is not None:
            copy.shard.apply_batch([one for one in records[:at] if one.offset >= copy.shard.next_offset])
        if drawn.random() < 0.4:
            owner.writer.save(owner.shard.cut(), 1e9)
            owner.writer.collect()
        if drawn.random() < 0.3:
            merged(owner.shard)
        if copy is not None and drawn.random() < 0.3:
            merged(copy.shard)
        if copy is None and at > 20:
            copy = tailed(store, 80)
    assert copy is not None
    copy.shard.apply_batch([one for one in records if one.offset >= copy.shard.next_offset])
    assert (copy.shard.digest, copy.shard.live) == (owner.shard.digest, owner.shard.live)
    assert copy.shard.versions() == owner.shard.versions()

    promoted = promote(store, PLACE, copy.shard, copy.manifest, log(81), owner="two", now=1e9)
    assert promoted is not None
    owner.shard.apply_batch([Change(80, "late", entry(1))])
    with pytest.raises(Fenced):
        owner.writer.save(owner.shard.cut(), 1e9)
    copy.shard.apply_batch([Change(80, "late", entry(2))])
    promoted.writer.save(copy.shard.cut(), 1e9)
    promoted.writer.collect()
    again = recover(store, PLACE, blank, log(81), owner="three", now=1e9, segment_rows=ROWS)
    assert (again.shard.digest, again.reason, again.refused) == (copy.shard.digest, "", ())


def saved(store: MemoryObjects, records: list[Change]) -> Manifest:
    owner = recover(store, PLACE, blank, log(80), owner="one", now=1e9, segment_rows=ROWS)
    owner.shard.apply_batch(records)
    return owner.writer.save(owner.shard.cut(), 1e9)


def test_what_the_store_holds_already_is_not_written_again() -> None:
    """A take-over of a large shard stores what came since, not the shard."""
    store = MemoryObjects()
    manifest = saved(store, [Change(offset, f"p{offset}", entry(offset)) for offset in range(60)])
    copy = tailed(store, 61)
    copy.shard.apply_batch([Change(60, "late", entry(1))])
    promoted = promote(store, PLACE, copy.shard, copy.manifest, log(61), owner="two", now=1e9)
    assert promoted is not None
    assert promoted.since == 60
    now = promoted.writer.save(copy.shard.cut(), 1e9)
    before = {part.key for segment in manifest.segments for part in segment.parts}
    kept = {part.key for segment in now.segments for part in segment.parts} & before
    assert kept == before


def test_a_copy_behind_the_last_snapshot_does_not_go_on() -> None:
    """The snapshot knows more: it is opened, as if there were no copy. Nor one of a topic that ends before it."""
    store, records = MemoryObjects(), changes(2, 60)
    saved(store, records[:40])
    copy = tailed(store, 60)
    owner = recover(store, PLACE, blank, log(60), owner="two", now=1e9, segment_rows=ROWS)
    owner.shard.apply_batch(records[40:])
    owner.writer.save(owner.shard.cut(), 1e9)
    assert promote(store, PLACE, copy.shard, copy.manifest, log(60), owner="three", now=1e9) is None
    assert promote(store, PLACE, copy.shard, copy.manifest, log(30), owner="four", now=1e9) is None


def test_a_copy_without_a_snapshot_begins_with_the_topic_and_goes_on() -> None:
    """A young shard: its owner died before it saved anything."""
    store = MemoryObjects()
    copy = tailed(store, 5)
    assert (copy.seek, copy.manifest) == (0, None)
    copy.shard.apply_batch(changes(3, 5))
    promoted = promote(store, PLACE, copy.shard, None, log(5), owner="two", now=1e9)
    assert promoted is not None
    promoted.writer.save(copy.shard.cut(), 1e9)
    again = recover(store, PLACE, blank, log(5), owner="three", now=1e9, segment_rows=ROWS)
    assert again.shard.digest == copy.shard.digest


def test_a_tail_claims_and_writes_nothing() -> None:
    """Its owner must not be fenced by somebody who only looks on."""
    store = MemoryObjects()
    saved(store, changes(4, 30))
    before, epoch = dict(store.objects), decode_current("", store.get(PLACE.current)).epoch
    tailed(store, 30)
    assert store.objects == before
    assert decode_current("", store.get(PLACE.current)).epoch == epoch


def test_a_snapshot_that_is_replaced_while_it_is_read_is_read_again() -> None:
    """The owner removes what its two latest snapshots do not need: a missing object is then no damage."""
    store, records = MemoryObjects(), changes(5, 60)
    owner = recover(store, PLACE, blank, log(60), owner="one", now=1e9, segment_rows=ROWS)
    owner.shard.apply_batch(records[:20])
    owner.writer.save(owner.shard.cut(), 1e9)

    def replaced() -> None:
        for end in (30, 40, 50):
            owner.shard.apply_batch(records[end - 10 : end])
            merged(owner.shard)
            owner.writer.save(owner.shard.cut(), 1e9)
            owner.writer.collect()

    steps = iter([lambda: None, replaced])

    class Moving:
        """The store, in which the owner saves after `CURRENT` was read."""

        def get(self, key: str) -> bytes:
            data = store.get(key)
            next(steps, lambda: None)()
            return data

    with pytest.raises(Retryable):
        tail(Moving(), PLACE, blank, log(60), now=1e9, segment_rows=ROWS)  # type: ignore[arg-type]
    assert tailed(store, 60).shard.digest == owner.shard.digest
