"""Snapshots, claims and recovery, against an object store in memory."""

from __future__ import annotations

import itertools
from dataclasses import replace

import msgspec
import pytest

from index_sync.entry import Change, Entry
from index_sync.manifest import Current, Manifest, SnapshotLocation, decode_current, decode_manifest
from index_sync.pieces import PIECE
from index_sync.recovery import LogBounds, Recovered, recover, tail
from index_sync.shard import Shard
from index_sync.snapshot import Fenced, SnapshotWriter
from processors.errors import Retryable
from processors.offers import Offer
from tests.fakes.index_items import DIMENSION, ENCODER, MemoryObjects, entry, unit

PLACE = SnapshotLocation("catalog", "g-0001", "catalog.items", 3)
NOW = 1_800_000_000.0
_owners = itertools.count()


def _blank() -> Shard:
    return Shard(3, ENCODER, DIMENSION, segment_rows=64)


def _recover(store: MemoryObjects, low: int = 0, end: int = 1000, topic_id: str = "", now: float = NOW) -> Recovered:
    owner = f"worker-{next(_owners)}"
    log = LogBounds(low, end, topic_id)
    return recover(store, PLACE, _blank, log, owner=owner, now=now, segment_rows=64)


def _filled(store: MemoryObjects, products: int = 150, topic_id: str = "") -> tuple[Shard, SnapshotWriter, Manifest]:
    fresh = _recover(store, topic_id=topic_id)
    fresh.shard.apply_batch(Change(i, f"p{i}", entry(i, i + 900, facets={"size": str(i % 7)})) for i in range(products))
    fresh.shard.apply_batch([Change(products, "p0", None), Change(products + 1, "p1", entry(5000))])
    return fresh.shard, fresh.writer, fresh.writer.save(fresh.shard.cut(), NOW)


def _same(one: Shard, two: Shard) -> None:
    assert (one.digest, one.live, one.next_offset) == (two.digest, two.live, two.next_offset)
    for seed in range(10):
        assert one.search(unit(seed), 9) == two.search(unit(seed), 9)
        wanted = {"size": ("1", "2")}
        assert one.search(unit(seed), 9, wanted, {"size": ("2",)}) == two.search(
            unit(seed), 9, wanted, {"size": ("2",)}
        )


def test_restoring_is_done_in_pieces() -> None:
    """Between them whoever asks has the processor; the shard is the same."""
    store, pieces = MemoryObjects(), list[int]()
    shard, _, manifest = _filled(store)
    log = LogBounds(0, 1000)
    back = recover(store, PLACE, _blank, log, owner="other", now=NOW, segment_rows=64, between=lambda: pieces.append(0))
    _same(back.shard, shard)
    tailed = tail(store, PLACE, _blank, log, now=NOW, segment_rows=64, between=lambda: pieces.append(0))
    _same(tailed.shard, shard)
    assert len(pieces) >= 4 * (manifest.live // PIECE)  # read, and located


def test_a_shard_comes_back_as_it_was() -> None:
    """Sealed and growing segments, tombstones and deletes: equal digest, equal answers, seek to the next offset."""
    store = MemoryObjects()
    shard, _, manifest = _filled(store)
    assert {segment.kind for segment in manifest.segments} == {"growing", "sealed"}
    back = _recover(store)
    assert (back.seek, back.reason) == (152, "")
    _same(back.shard, shard)
    assert not back.shard.apply(0, "p0", entry(0))  # the delete came back too


def test_a_second_snapshot_sends_only_what_is_new() -> None:
    """Objects of before are used again, also by the writer that restored them; no object is overwritten."""
    store = MemoryObjects()
    shard, writer, first = _filled(store)
    store.writes.clear()
    shard.apply(200, "new", entry(1))
    assert writer.changed(shard.cut())
    second = writer.save(shard.cut(), NOW)
    assert not writer.changed(shard.cut())
    kinds = [key.removeprefix(PLACE.root).split("/")[1] for key in store.writes]
    assert kinds == ["objects", "objects", "objects", "manifests", "CURRENT"]  # rows, typed columns, tombstones
    assert {p.key for s in first.segments for p in s.parts} < {p.key for s in second.segments for p in s.parts}
    back = _recover(store)
    store.writes.clear()
    back.shard.apply(201, "newer", entry(2))
    back.writer.save(back.shard.cut(), NOW)
    assert len(store.writes) == 5
    assert _recover(store).shard.live == shard.live + 1


def _priced(number: int, price: float) -> Entry:
    return msgspec.structs.replace(
        entry(number), offer=Offer(price=price, sizes=("S", str(number)), launched="2026-03-01")
    )


def test_typed_columns_come_back_with_the_versions_of_their_updates() -> None:
    """Of sealed and growing segments, also those that changed after their rows were stored; nothing is stored twice."""
    store = MemoryObjects()
    fresh = _recover(store)
    fresh.shard.apply_batch(Change(i, f"p{i}", _priced(i, i)) for i in range(150))
    fresh.writer.save(fresh.shard.cut(), NOW)
    fresh.shard.apply_batch(Change(200 + i, f"p{i}", _priced(i, 1000 + i)) for i in range(0, 150, 10))
    store.writes.clear()
    fresh.writer.save(fresh.shard.cut(), NOW)
    back = _recover(store)
    _same(back.shard, fresh.shard)
    assert back.shard.lookup("p10").offer == Offer(price=1010.0, sizes=("S", "10"), launched="2026-03-01")
    assert back.shard.versions() == fresh.shard.versions()
    assert not back.shard.apply(150, "p10", None), "an older delete has no effect after the restart either"
    store.writes.clear()
    back.shard.apply(300, "p11", _priced(11, 5.0))
    back.writer.save(back.shard.cut(), NOW)
    assert len(store.writes) == 4, "the columns of one segment, tombstones, manifest, CURRENT: no rows"


def test_a_snapshot_of_before_the_columns_answers_while_they_are_read_again() -> None:
    """It is loaded as it is; the topic is read from its beginning, and its records bring the columns without a gap."""
    store = MemoryObjects()
    fresh = _recover(store)
    changes = [Change(i, f"p{i}", _priced(i, i)) for i in range(100)]
    fresh.shard.apply_batch(changes)
    old = fresh.writer.save(replace(fresh.shard.cut(), typed=False), NOW)
    assert all(segment.typed is None for segment in old.segments)
    back = _recover(store, low=3)
    shard = back.shard
    assert (back.seek, back.reason, shard.untyped) == (3, "", True)
    assert (shard.next_offset, shard.live, shard.digest) == (100, 100, fresh.shard.digest)
    assert back.writer.save(shard.cut(), NOW).segments[0].typed is None
    shard.apply_batch([changes[3], changes[50]], 51)
    assert (shard.untyped, shard.lookup("p50").offer.price, shard.lookup("p60").offer) == (True, 50.0, Offer())
    shard.apply_batch([*changes[51:], Change(100, "p0", _priced(0, 7.0))])
    assert (shard.untyped, shard.live) == (False, 100)
    again = _recover(store)
    assert again.shard.untyped, "the snapshot on the store is still the old one"
    again.shard.apply_batch([*changes, Change(100, "p0", _priced(0, 7.0))])
    assert all(segment.typed is not None for segment in again.writer.save(again.shard.cut(), NOW).segments)
    last = _recover(store)
    assert (last.seek, last.shard.lookup("p0").offer.price, last.shard.digest) == (101, 7.0, shard.digest)


def test_many_small_snapshots_do_not_pile_up_parts() -> None:
    """A growing segment never has more than 33 parts."""
    store = MemoryObjects()
    fresh = _recover(store)
    most = 0
    for i in range(60):
        fresh.shard.apply(i, f"p{i}", entry(i))
        manifest = fresh.writer.save(fresh.shard.cut(), NOW)
        most = max(most, *(len(segment.parts) for segment in manifest.segments))
    assert 20 < most <= 33
    _same(_recover(store).shard, fresh.shard)


@pytest.mark.parametrize("position", [0, 9, 40, -1])
def test_every_flipped_byte_is_found_and_named(position: int) -> None:
    """One flipped byte in any object: the shard is rebuilt from the topic, and the reason names the object."""
    for key in _keys():
        damaged = MemoryObjects()
        _filled(damaged)
        data = bytearray(damaged.objects[key])
        data[position] ^= 0x10
        damaged.objects[key] = bytes(data)
        back = _recover(damaged, low=17)
        assert back.manifest is None
        assert key in back.reason
        assert (back.seek, back.shard.live, back.shard.next_offset) == (17, 0, 17)


def _keys() -> list[str]:
    store = MemoryObjects()
    _, _, manifest = _filled(store)
    current = decode_current("", store.objects[PLACE.current])
    assert current.manifest is not None
    parts = [part.key for segment in manifest.segments for part in segment.parts]
    return [*parts, manifest.state.key, current.manifest.key]


def test_a_missing_object_is_named() -> None:
    """A deleted object: rebuilt, and named."""
    store = MemoryObjects()
    _, _, manifest = _filled(store)
    key = manifest.segments[0].parts[0].key
    del store.objects[key]
    assert f"{key}: missing" in _recover(store).reason


def test_after_damage_the_rebuilt_shard_is_whole_again() -> None:
    """The rebuilt shard makes the same content again, and its snapshot is good."""
    store = MemoryObjects()
    fresh = _recover(store)
    changes = [Change(i, f"p{i}", entry(i)) for i in range(10)]
    fresh.shard.apply_batch(changes)
    manifest = fresh.writer.save(fresh.shard.cut(), NOW)
    key = manifest.segments[0].parts[0].key
    store.objects[key] = b"damage"
    back = _recover(store)
    assert key in back.reason
    back.shard.apply_batch(changes)
    back.writer.save(back.shard.cut(), NOW)
    back.writer.collect()
    assert key not in store.objects
    again = _recover(store)
    assert again.reason == ""
    _same(again.shard, fresh.shard)


def test_a_damaged_object_under_its_own_name_is_replaced() -> None:
    """An upload that finds other bytes under the content's name (a retry after a lost answer may) repairs them."""
    store = MemoryObjects()
    fresh = _recover(store)
    fresh.shard.apply(0, "a", entry(1))
    key = fresh.writer.save(fresh.shard.cut(), NOW).segments[0].parts[0].key
    store.objects[key] = b"damage"
    fresh.writer._stored = {}
    fresh.writer.save(fresh.shard.cut(), NOW)
    assert _recover(store).reason == ""


def test_collecting_leaves_two_snapshots_and_what_a_later_writer_stores() -> None:
    """Superseded objects and those of crashed writers go; the latest snapshot and the one before stay loadable."""
    store = MemoryObjects()
    shard, writer, _ = _filled(store)
    store.put(f"{PLACE.root}/objects/0000000000/{'ab' * 32}", b"left by a crash")
    for i in range(40):
        shard.apply_batch([Change(300 + i, f"p{2 + i}", None), Change(400 + i, f"n{i}", entry(i))])
        writer.save(shard.cut(), NOW)
        writer.collect()
    rest = [key for key in store.list(PLACE.root) if "/manifests/" in key]
    assert len(rest) == 2
    assert f"{PLACE.root}/objects/0000000000/{'ab' * 32}" not in store.objects
    back = _recover(store)
    _same(back.shard, shard)
    back.shard.apply(500, "later", entry(1))
    back.writer.save(back.shard.cut(), NOW)
    kept = set(store.list(PLACE.root))
    assert writer.collect() == 0
    assert back.writer.collect() > 0
    assert set(store.list(PLACE.root)) < kept
    _same(_recover(store).shard, back.shard)


def test_a_damaged_current_is_claimed_above_every_old_epoch() -> None:
    """Nobody from before the damage can write after it."""
    store = MemoryObjects()
    shard, writer, _ = _filled(store)
    store.objects[PLACE.current] = b"\x00"
    back = _recover(store)
    assert "CURRENT" in back.reason
    assert back.writer.epoch > writer.epoch
    shard.apply(300, "x", entry(1))
    with pytest.raises(Fenced):
        writer.save(shard.cut(), NOW)


def test_a_fenced_writer_fails_and_harms_nothing() -> None:
    """After another worker's claim the old writer's swap fails, for good; the new one goes on."""
    store = MemoryObjects()
    shard, writer, _ = _filled(store)
    back = _recover(store)
    assert not writer.mine()
    assert back.writer.mine()
    before = store.objects[PLACE.current]
    shard.apply(300, "x", entry(1))
    for _ in range(2):
        with pytest.raises(Fenced, match="epoch 2"):
            writer.save(shard.cut(), NOW)
    assert store.objects[PLACE.current] == before
    back.shard.apply(301, "y", entry(1))
    assert back.writer.save(back.shard.cut(), NOW).epoch == 2


def test_a_swap_whose_answer_was_lost_is_not_taken_for_a_fence() -> None:
    """The swap went through, the answer did not: the next snapshot succeeds under the next number."""
    store = MemoryObjects()
    shard, writer, first = _filled(store)

    class Lossy(MemoryObjects):
        def swap(self, key: str, data: bytes, expected: str) -> str | None:
            assert super().swap(key, data, expected) is not None
            raise Retryable("connection reset")

    lossy = Lossy()
    lossy._objects = store.objects
    writer._store = lossy  # type: ignore[assignment]
    shard.apply(300, "x", entry(1))
    with pytest.raises(Retryable):
        writer.save(shard.cut(), NOW)
    writer._store = store  # type: ignore[assignment]
    shard.apply(301, "y", entry(2))
    assert writer.save(shard.cut(), NOW).number == first.number + 2
    _same(_recover(store).shard, shard)


def test_a_store_that_is_away_costs_only_time() -> None:
    """Retryable comes through from save and from recover; afterwards both succeed."""
    store = MemoryObjects()
    shard, writer, _ = _filled(store)
    shard.apply(300, "x", entry(1))
    store.away = Retryable("store down")
    with pytest.raises(Retryable):
        writer.save(shard.cut(), NOW)
    with pytest.raises(Retryable):
        _recover(store)
    store.away = None
    writer.save(shard.cut(), NOW)
    _same(_recover(store).shard, shard)


@pytest.mark.parametrize(
    ("low", "end", "topic_id", "age", "reason"),
    [
        (153, 1000, "t1", 0, "records are gone"),
        (0, 100, "t1", 0, "created again"),
        (0, 1000, "t2", 0, "created again"),
        (0, 1000, "t1", 90_000, "deletes"),
    ],
)
def test_a_snapshot_that_the_log_does_not_continue_is_not_used(
    low: int, end: int, topic_id: str, age: float, reason: str
) -> None:
    """Truncated, created again, or too old for the deletes: rebuilt from the first offset, with the reason."""
    store = MemoryObjects()
    _filled(store, topic_id="t1")
    back = _recover(store, low=low, end=end, topic_id=topic_id, now=NOW + age)
    assert reason in back.reason
    assert (back.seek, back.shard.live) == (low, 0)


@pytest.mark.parametrize(("first", "rebuilt"), [(None, False), (152, False), (151, True), (0, True)])
def test_records_newer_than_the_snapshot_below_its_offset_are_another_log(first: int | None, rebuilt: bool) -> None:
    """A topic created again and filled past the old offset: offsets fit, timestamps do not."""
    store = MemoryObjects()
    shard, writer, _ = _filled(store)
    shard.apply_batch((), newest_ms=5000)
    shard.apply_batch((), newest_ms=4000)
    writer.save(shard.cut(), NOW)
    asked: list[int] = []

    def first_since(timestamp_ms: int) -> int | None:
        asked.append(timestamp_ms)
        return first

    log = LogBounds(0, 1000, first_since=first_since)
    back = recover(store, PLACE, _blank, log, owner="again", now=NOW, segment_rows=64)
    assert asked == [5001]
    assert bool(back.reason) == rebuilt
    assert back.shard.state.newest_ms == (-1 if rebuilt else 5000)


def test_an_old_snapshot_of_a_quiet_topic_is_still_good() -> None:
    """Nothing was written since, so nothing can have been compacted away."""
    store = MemoryObjects()
    _filled(store)
    assert _recover(store, end=152, now=NOW + 90_000).reason == ""


def test_a_snapshot_of_another_encoder_is_not_used() -> None:
    """Vectors of different makers never meet, not even in a restart."""
    store = MemoryObjects()
    _filled(store)
    back = recover(
        store,
        PLACE,
        lambda: Shard(3, "sha256:next", DIMENSION),
        LogBounds(0, 1000),
        owner="w",
        now=NOW,
    )
    assert "sha256:next" in back.reason
    assert back.shard.live == 0


def test_the_manifest_says_what_it_holds() -> None:
    """The fields that INDEX.md asks for."""
    store = MemoryObjects()
    shard, _, manifest = _filled(store, topic_id="t1")
    current = decode_current("", store.objects[PLACE.current])
    assert isinstance(current, Current)
    assert current.manifest is not None
    assert decode_manifest("", store.objects[current.manifest.key]) == manifest
    assert (manifest.next_offset, manifest.partition, manifest.topic_id) == (152, 3, "t1")
    assert (manifest.encoder, manifest.dimension, manifest.digest) == (ENCODER, DIMENSION, shard.digest)
    assert manifest.live == 149


def test_writes_go_on_beside_a_snapshot() -> None:
    """A cut is a cut: changes after it are not in the snapshot that is made of it."""
    store = MemoryObjects()
    shard, writer, _ = _filled(store)
    cut, digest = shard.cut(), shard.digest
    shard.apply(400, "p2", None)
    shard.apply_batch(Change(401 + i, f"n{i}", entry(i)) for i in range(100))
    writer.save(cut, NOW)
    back = _recover(store)
    assert (back.shard.digest, back.seek) == (digest, 152)
