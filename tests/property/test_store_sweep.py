"""The clean-up of the store beside writers of snapshots: at any moment of either, a fresh worker finds all that it needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress

from hypothesis import example, given, settings
from hypothesis import strategies as st

from index_sync.entry import Change
from index_sync.manifest import SnapshotLocation
from index_sync.recovery import LogBounds, Recovered, recover
from index_sync.shard import Shard
from index_sync.snapshot import Fenced
from infra.store import ETag, Versioned
from streams.contract import topics
from streams.ops.store_sweep import Sweep
from streams.search.generations import COLLECTION, FIRST
from tests.fakes.index_items import DIMENSION, ENCODER, MemoryObjects, entry
from tests.fakes.store_world import FakeWorld

PLACE = SnapshotLocation(COLLECTION, FIRST, topics.ITEMS, 0)
STEPS = st.lists(st.sampled_from(["write", "save", "collect", "take over", "save of before", ""]), max_size=40)


class BetweenSteps(MemoryObjects):
    """Before each of its operations, whatever else is to happen then."""

    before: Callable[[], None] | None = None

    def _reach(self) -> None:
        super()._reach()
        step, self.before = self.before, None  # what happens then is not interrupted itself
        if step is not None:
            step()
            self.before = step

    def exists(self, key: str) -> bool:
        self._reach()
        return super().exists(key)

    def delete(self, key: str) -> None:
        self._reach()
        super().delete(key)

    def list(self, prefix: str = "") -> Iterator[str]:
        self._reach()
        return super().list(prefix)

    def put(self, key: str, data: bytes, *, content_type: str = "") -> ETag:
        self._reach()
        return super().put(key, data, content_type=content_type)

    def get_versioned(self, key: str) -> Versioned:
        self._reach()
        return super().get_versioned(key)


class Shop:
    """One partition: its log, the worker that holds it, and the one before, which does not know yet that it is fenced."""

    def __init__(self) -> None:
        self.store = BetweenSteps()
        self.log: list[Change] = []
        self.owners = 0
        self.day = 0
        self.before: Recovered | None = None
        self.now = self.opened()

    def opened(self) -> Recovered:
        """The shard as a fresh worker has it: nothing that it needs is missing, and it holds what the log says."""
        self.owners += 1
        bounds = LogBounds(0, len(self.log))
        found = recover(
            self.store,
            PLACE,
            lambda: Shard(0, ENCODER, DIMENSION, segment_rows=4),
            bounds,
            owner=f"w{self.owners}",
            now=1e9,
            segment_rows=4,
        )
        assert (found.refused, found.reason in {"", "no snapshot yet"}) == ((), True)
        found.shard.apply_batch(self.log[found.seek :])
        truth = Shard(0, ENCODER, DIMENSION)
        truth.apply_batch(self.log)
        assert found.shard.digest == truth.digest
        return found

    def step(self, name: str) -> None:
        if name == "write":
            start = len(self.log)
            self.log += [Change(n, f"p{n % 5}", entry(n) if n % 7 else None) for n in range(start, start + 3)]
            self.now.shard.apply_batch(self.log[start:])
        elif name == "save":
            self.now.writer.save(self.now.shard.cut(), 1e9)
        elif name == "collect":
            self.now.writer.collect()
        elif name == "take over":
            self.before, self.now = self.now, self.opened()
        elif name == "save of before" and self.before is not None:
            with suppress(Fenced):
                self.before.writer.save(self.before.shard.cut(), 1e9)

    def sweep(self) -> None:
        """Of no age: all that an earlier run saw unnamed goes."""
        self.day += 1
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(Sweep(self.store, FakeWorld(self.store), 0.0, lambda: 1e9 + self.day).run())
        finally:
            loop.close()


@given(first=STEPS, meanwhile=STEPS, last=STEPS)
@settings(deadline=None, max_examples=30)
def test_writers_between_the_steps_of_a_sweep(first: list[str], meanwhile: list[str], last: list[str]) -> None:
    """Snapshots, take-overs and snapshots of who is fenced, each between two operations of the clean-up on the store."""
    shop = Shop()
    for name in first:
        shop.step(name)
    shop.sweep()
    steps = iter(meanwhile)
    shop.store.before = lambda: shop.step(next(steps, ""))
    shop.sweep()
    shop.store.before = None
    shop.step("take over")
    for name in last:
        shop.step(name)
    shop.sweep()
    shop.opened()


@example(first=["write", "save", "write"], last=["save", "take over", "write", "save"], at=set(range(100)))
@example(first=["take over", "save", "save", "save of before"], last=["save of before"], at={1})
@given(first=STEPS, last=STEPS, at=st.sets(st.integers(0, 80), min_size=1, max_size=12))
@settings(deadline=None, max_examples=30)
def test_a_sweep_between_the_steps_of_a_writer(first: list[str], last: list[str], at: set[int]) -> None:
    """Between two operations of a snapshot or of a recovery: what is being written is named by nothing yet."""
    shop = Shop()
    for name in first:
        shop.step(name)
    shop.sweep()
    count = iter(range(10_000))

    def twice() -> None:
        # What the first notes, the second removes: no age protects what is being written.
        if next(count) in at:
            shop.sweep()
            shop.sweep()

    shop.store.before = twice
    for name in last:
        shop.step(name)
    shop.store.before = None
    shop.opened()


def test_a_sweep_removes_what_dead_writers_left() -> None:
    """Else the two above would hold of one that does nothing."""
    shop = Shop()
    for name in (
        "write",
        "save",
        "take over",
        "save of before",
        "write",
        "save",
        "take over",
        "write",
        "save",
        "write",
        "save",
    ):
        shop.step(name)
    before = len(shop.store.objects)
    shop.sweep()
    shop.sweep()
    assert len(shop.store.objects) < before - 2
    shop.opened()
