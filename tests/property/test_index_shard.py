"""The shard against a dict: any history of upserts, deletes, replays, merges, vacuums, snapshots, damage and restarts."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from index_sync.entry import Change
from index_sync.manifest import SnapshotLocation, decode_current, decode_manifest, keys_of
from index_sync.planning import DEAD_SHARE, Limits, Merge, SegmentStats, plan
from index_sync.recovery import LogBounds, recover
from index_sync.shard import Shard
from streams.roles.index.upkeep import sealed_of
from tests.fakes.index_items import DIMENSION, ENCODER, MemoryObjects, ModelShard, entry, unit

PLACE = SnapshotLocation("catalog", "g-0001", "catalog.items", 0)
PRODUCTS = st.sampled_from([f"p{i}" for i in range(12)])
# Few different vectors, so that exact ties happen.
SEEDS = st.lists(st.integers(0, 9), min_size=1, max_size=3)
COLOURS = st.sampled_from(["red", "navy", "teal"])


def _shard() -> Shard:
    # Tiny segments, so that a short history seals, moves and drops them.
    return Shard(0, ENCODER, DIMENSION, segment_rows=8)


class ShardMachine(RuleBasedStateMachine):
    """One partition's log, the shard that follows it, and the model of what the shard must say."""

    @initialize()
    def begin(self) -> None:
        self.store = MemoryObjects()
        self.log: list[Change] = []
        self.model = ModelShard()
        self.owners = 0
        self._open()

    def _open(self) -> None:
        self.owners += 1
        back = recover(
            self.store,
            PLACE,
            _shard,
            LogBounds(0, len(self.log)),
            owner=f"w{self.owners}",
            now=1e9,
            segment_rows=8,
        )
        self.shard, self.writer, self.refused = back.shard, back.writer, back.refused
        self.shard.apply_batch(self.log[back.seek :])

    def _write(self, changes: list[Change]) -> None:
        self.log += changes
        self.shard.apply_batch(changes)
        for change in changes:
            self.model.apply(change)

    @rule(products=st.lists(st.tuples(PRODUCTS, SEEDS, COLOURS), min_size=1, max_size=6))
    def upsert(self, products: list[tuple[str, list[int], str]]) -> None:
        at = len(self.log)
        self._write([Change(at + i, p, entry(*s, facets={"colour": c})) for i, (p, s, c) in enumerate(products)])

    @rule(product=PRODUCTS)
    def delete(self, product: str) -> None:
        self._write([Change(len(self.log), product, None)])

    @rule(back=st.integers(1, 20))
    def replay(self, back: int) -> None:
        """At-least-once: the last records come again."""
        self.shard.apply_batch(self.log[-back:])

    @rule()
    def snapshot(self) -> None:
        self.writer.save(self.shard.cut(), 1e9)
        self.writer.collect()

    @rule(choices=st.sets(st.integers(0, 5), min_size=1), writes=st.lists(st.tuples(PRODUCTS, SEEDS), max_size=5))
    def merge(self, choices: set[int], writes: list[tuple[str, list[int]]]) -> None:
        """Of any sealed segments, one (a vacuum) or many; records come in while it is at work, at every point where it pauses."""
        sealed = [one.uid for one, _ in sealed_of(self.shard)]
        pending = list(writes)

        def write_one() -> None:
            if pending:
                product, seeds = pending.pop()
                self._write([Change(len(self.log), product, entry(*seeds) if len(seeds) < 3 else None)])

        uids = {sealed[choice % len(sealed)] for choice in choices} if sealed else {99}
        assert self.shard.merge(uids, write_one) or pending != writes or not sealed

    @rule()
    def merge_as_planned(self) -> None:
        """Until nothing is left to be done; then few rows are dead."""
        limits = Limits(merge_rows=32, index_rows=0)
        while isinstance(
            step := plan(
                [SegmentStats(one.uid, one.columns.rows, live) for one, live in sealed_of(self.shard)], limits
            ),
            Merge,
        ):
            assert self.shard.merge(step.uids)
        assert all(one.columns.rows - live < DEAD_SHARE * one.columns.rows for one, live in sealed_of(self.shard))

    @rule(which=st.integers(0, 30), how=st.sampled_from(["changed", "cut", "missing"]))
    def damage_and_recover(self, which: int, how: str) -> None:
        """An object of the last snapshot is not as it was: refused by name, and the shard is whole all the same."""
        held = decode_current("", self.store.objects[PLACE.current]).manifest
        if held is None:
            return
        manifest = decode_manifest("", self.store.objects[held.key])
        keys = sorted({held.key, *keys_of(manifest)})
        key = keys[which % len(keys)]
        data = self.store.objects[key]
        if how == "missing":
            del self.store.objects[key]
        else:
            self.store.objects[key] = data[:-1] if how == "cut" else bytes([data[0] ^ 1]) + data[1:]
        self._open()
        assert any(key in said for said in self.refused)
        self.writer.save(self.shard.cut(), 1e9)  # whole again

    @rule()
    def crash_and_recover(self) -> None:
        self._open()

    @rule(seed=st.integers(0, 20), k=st.integers(1, 6), colour=st.none() | COLOURS, refused=st.none() | COLOURS)
    def search(self, seed: int, k: int, colour: str | None, refused: str | None) -> None:
        filters = {"colour": (colour,)} if colour else {}
        exclude = {"colour": (refused,)} if refused else {}
        found = self.shard.search(unit(seed), k, filters, exclude, ("p3",))
        assert [(h.product_id, h.score) for h in found] == self.model.search(unit(seed), k, filters, exclude, ("p3",))

    @invariant()
    def equal(self) -> None:
        if not hasattr(self, "shard"):
            return
        versions = {key: version for key, (version, _) in self.model.products.items()}
        assert self.shard.versions() == versions
        assert self.shard.live == len(versions)
        assert self.shard.next_offset == len(self.log)
        for window in self.shard.state.windows:
            assert window.live == int(window.alive[: window.rows].sum())

    def teardown(self) -> None:
        """A shard that reads the whole log at once has the digest of the one that lived through it."""
        if hasattr(self, "shard"):
            fresh = _shard()
            fresh.apply_batch(self.log)
            assert fresh.digest == self.shard.digest


ShardMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestShardMachine = ShardMachine.TestCase


@given(st.permutations(range(12)), st.permutations(range(12)), st.integers(1, 12))
@settings(max_examples=50, deadline=None)
def test_the_digest_does_not_depend_on_the_order_of_products(one: list[int], two: list[int], cut: int) -> None:
    """The same live (id, version, vector) in any order, in any batches, over any segments: one digest."""
    digests = set()
    for order in (one, two):
        shard = _shard()
        changes = [Change(i, f"p{i}", entry(i, i + 1)) for i in order]
        shard.apply_batch(changes[:cut])
        shard.apply_batch(changes[cut:])
        digests.add((shard.digest, shard.live))
    assert len(digests) == 1
