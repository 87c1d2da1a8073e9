"""What nothing names in the store: never what a manifest, a running writer, a replay or a record names."""

from __future__ import annotations

import msgspec

from index_sync.entry import Change
from index_sync.manifest import SnapshotLocation
from index_sync.recovery import LogBounds, Recovered, recover
from index_sync.shard import Shard
from streams.contract import topics
from streams.contract.records import Generation
from streams.engine.message import Message
from streams.ops.generations import lease
from streams.ops.store_gc import unnamed_snapshots
from streams.ops.store_names import addresses_in
from streams.search.generations import COLLECTION, FIRST, Generations, key_of
from tests.fakes.index_items import DIMENSION, ENCODER, MemoryObjects, entry

PLACE = SnapshotLocation(COLLECTION, FIRST, topics.ITEMS, 0)
INDEX = "index/catalog/"


def opened(store: MemoryObjects, owner: str) -> Recovered:
    return recover(
        store, PLACE, lambda: Shard(0, ENCODER, DIMENSION, segment_rows=4), LogBounds(0, 100), owner=owner, now=1e9
    )


def test_what_the_last_snapshots_name_is_never_listed() -> None:
    """Writers come and go, one dies between its objects and its manifest: a fresh one recovers without what is listed."""
    store = MemoryObjects()
    for number in range(6):
        now = opened(store, f"w{number}")
        now.shard.apply_batch([Change(n, f"p{n % 5}", entry(n)) for n in range(8 * number, 8 * number + 8)])
        now.writer.save(now.shard.cut(), 1e9)
    digest = now.shard.digest
    store.put(PLACE.content(1, "a" * 64), b"of a writer that died")
    listed = list(unnamed_snapshots(store, Generations(), list(store.list(INDEX))))
    assert PLACE.content(1, "a" * 64) in {one.key for one in listed}
    assert {one.kind for one in listed} == {"snapshot"}
    for one in listed:
        store.delete(one.key)
    back = opened(store, "after")
    assert (back.reason, back.shard.digest) == ("", digest)


def test_objects_of_the_writer_of_now_and_of_a_replay_are_left_alone() -> None:
    """It has not named them yet; a generation without a record is being begun where somebody holds its lease."""
    store = MemoryObjects()
    now = opened(store, "w")
    store.put(PLACE.content(now.writer.epoch, "b" * 64), b"to be named with the next manifest")
    store.put(f"{INDEX}g-begun/00000/CURRENT", b"{}")
    store.put(lease.key_of("g-begun"), b"{}")
    store.put(f"{INDEX}compose/x.json", b"{}")
    assert list(unnamed_snapshots(store, Generations(), list(store.list(INDEX)))) == []


def test_what_a_dropped_generation_left_is_listed() -> None:
    """One that exists is not."""
    store = MemoryObjects()
    for name in ("g-bar", "g-gone"):
        store.put(f"{INDEX}{name}/00000/CURRENT", b"{}")
    made = Generation(key_of("g-bar"), "g-bar", "building", ready=True)
    generations = Generations(made={"g-bar": made})
    listed = list(unnamed_snapshots(store, generations, list(store.list(INDEX))))
    assert [(one.key, one.kind) for one in listed] == [(f"{INDEX}g-gone/00000/CURRENT", "generation")]


def test_every_address_that_a_record_may_be_read_for_counts() -> None:
    """Of an upload with one photo or several, also a refused one; what is no document names nothing."""
    upload = {"product_id": "p", "image": {"uri": "images/a.png"}, "images": [{"uri": "images/b.png"}], "metadata": 7}
    value = msgspec.json.encode(upload)
    assert addresses_in(Message(topics.UPLOADS, 0, 0, b"p", value)) == ["images/a.png", "images/b.png"]
    assert addresses_in(Message(topics.DEAD_LETTERS, 0, 0, b"p", value)) == ["images/a.png", "images/b.png"]
    assert addresses_in(Message(topics.UPLOADS, 0, 0, b"p", b"\xff")) == []
    assert addresses_in(Message(topics.ITEMS, 0, 0, b"p", None)) == []
