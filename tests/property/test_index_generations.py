"""Generations of one partition against a dict: any history of writes, snapshots, crashes, builds, swaps and rollbacks."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from index_sync.entry import Change
from index_sync.manifest import SnapshotLocation
from index_sync.recovery import LogBounds, recover
from index_sync.shard import Shard
from index_sync.snapshot import SnapshotWriter
from streams.contract import codecs, topics
from streams.contract.records import Generation
from streams.engine.message import Message
from streams.ops.generations.control import pointer
from streams.search.generations import COLLECTION, FIRST, Generations, key_of
from tests.fakes.index_items import DIMENSION, ENCODER, MemoryObjects, ModelShard, entry, unit

PRODUCTS = st.sampled_from([f"p{i}" for i in range(8)])
SEEDS = st.lists(st.integers(0, 9), min_size=1, max_size=2)
ROWS = 8


@dataclass
class Held:
    """A generation's shard as a worker, or a replay, has it."""

    shard: Shard
    writer: SnapshotWriter


class GenerationMachine(RuleBasedStateMachine):
    """The log, the records of `index.control`, the shards of the generations that are served, and what they must say."""

    @initialize()
    def begin(self) -> None:
        self.store = MemoryObjects()
        self.log: list[Change] = []
        self.model = ModelShard()
        self.control = Generations()
        self.owners = 0
        self.names = 0
        self.held: dict[str, Held] = {FIRST: self._recovered(FIRST)}
        self._catch_up(FIRST)

    def _recovered(self, name: str) -> Held:
        self.owners += 1
        back = recover(
            self.store,
            SnapshotLocation(COLLECTION, name, topics.ITEMS, 0),
            lambda: Shard(0, ENCODER, DIMENSION, generation=name, segment_rows=ROWS),
            LogBounds(0, len(self.log)),
            owner=f"w{self.owners}",
            now=1e9,
            segment_rows=ROWS,
        )
        return Held(back.shard, back.writer)

    def _catch_up(self, name: str) -> None:
        held = self.held[name]
        held.shard.apply_batch(self.log[held.shard.next_offset :])

    def _publish(self, record: Generation) -> None:
        self.control = self.control.after(
            Message(topics.CONTROL, 0, 0, record.collection.encode(), codecs.encode(record))
        )

    @rule(products=st.lists(st.tuples(PRODUCTS, st.none() | SEEDS), min_size=1, max_size=6))
    def write(self, products: list[tuple[str, list[int] | None]]) -> None:
        """Upserts and deletes reach every generation that is served."""
        for product, seeds in products:
            change = Change(len(self.log), product, None if seeds is None else entry(*seeds))
            self.log.append(change)
            self.model.apply(change)
        for name in self.held:
            self._catch_up(name)

    @rule()
    def snapshot(self) -> None:
        for held in self.held.values():
            held.writer.save(held.shard.cut(), 1e9)
            held.writer.collect()

    @rule()
    def crash(self) -> None:
        """Every worker dies; the ones that come after hold what the records of generations say."""
        self.held = {name: self._recovered(name) for name in self.control.served()}
        for name in self.held:
            self._catch_up(name)

    @rule()
    def begin_a_build(self) -> None:
        if len(self.control.all()) < 4:
            self.names += 1
            name = f"g-{self.names}"
            self._publish(Generation(key_of(name), name, "building"))

    @rule(records=st.integers(0, 20), saves=st.booleans())
    def replay_some(self, records: int, saves: bool) -> None:
        """A replay goes on where it was, does a part, and is killed, after a snapshot or before."""
        for made in self.control.all():
            if not made.ready:
                replay = self._recovered(made.generation)
                at = replay.shard.next_offset
                replay.shard.apply_batch(self.log[at : at + records])
                if saves:
                    replay.writer.save(replay.shard.cut(), 1e9)

    @rule()
    def finish_builds(self) -> None:
        for made in self.control.all():
            if not made.ready:
                name = made.generation
                replay = self._recovered(name)
                replay.shard.apply_batch(self.log[replay.shard.next_offset :])
                replay.writer.save(replay.shard.cut(), 1e9)
                self._publish(Generation(key_of(name), name, "building", ready=True))
                self.held[name] = self._recovered(name)

    @rule(choice=st.integers(0, 10))
    def swap(self, choice: int) -> None:
        served = sorted(self.control.served())
        name = served[choice % len(served)]
        if name != self.control.live:
            self._publish(pointer(name, self.control.live))

    @precondition(lambda self: self.control.previous and self.control.of(self.control.previous))
    @rule()
    def roll_back(self) -> None:
        before = self.control.live
        self._publish(pointer(self.control.previous, before))
        assert self.control.previous == before

    @rule(choice=st.integers(0, 10))
    def drop(self, choice: int) -> None:
        others = [made.generation for made in self.control.all() if made.generation != self.control.live]
        if others:
            name = others[choice % len(others)]
            self._publish(Generation(key_of(name), name, "retired"))
            self.held.pop(name, None)
            for key in list(self.store.list(f"index/{COLLECTION}/{name}/")):
                self.store.delete(key)

    @rule(seed=st.integers(0, 12), k=st.integers(1, 5))
    def search(self, seed: int, k: int) -> None:
        """The live one answers, and says what the dict says."""
        found = self.held[self.control.live].shard.search(unit(seed), k)
        assert [(hit.product_id, hit.score) for hit in found] == self.model.search(unit(seed), k)

    @invariant()
    def every_generation_is_the_topic(self) -> None:
        if not hasattr(self, "held"):
            return
        assert self.held.keys() == self.control.served().keys()
        assert self.control.live in self.held
        versions = {key: version for key, (version, _) in self.model.products.items()}
        assert all(held.shard.versions() == versions for held in self.held.values())
        assert len({held.shard.digest for held in self.held.values()}) == 1


GenerationMachine.TestCase.settings = settings(max_examples=50, stateful_step_count=25, deadline=None)
TestGenerationMachine = GenerationMachine.TestCase
