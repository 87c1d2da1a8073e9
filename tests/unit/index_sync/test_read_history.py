"""A checker of histories: whoever reads beside a writer sees, of every product, a state that it had, and never an older one after it."""

from __future__ import annotations

import random
import sys
import threading
from dataclasses import dataclass, field

import pytest

from index_sync.entry import Change
from index_sync.shard import Shard
from streams.roles.index.upkeep import sealed_of
from tests.fakes.index_items import DIMENSION, ENCODER, entry, unit

PRODUCTS = [f"p{n}" for n in range(16)]
BATCHES, BATCH = 120, 24


def drawn(seed: int) -> list[list[Change]]:
    """Batches of upserts and deletes; every product is there before the first reader looks."""
    rng = random.Random(seed)
    batches = [[Change(n, product, entry(n)) for n, product in enumerate(PRODUCTS)]]
    offset = len(PRODUCTS)
    for _ in range(BATCHES):
        batch = []
        for _ in range(BATCH):
            batch.append(Change(offset, rng.choice(PRODUCTS), None if rng.random() < 0.2 else entry(offset % 97)))
            offset += 1
        batches.append(batch)
    return batches


class History:
    """What each product was, by the offset from which on it was that: its version, or None while it is deleted."""

    def __init__(self, batches: list[list[Change]]) -> None:
        self.of: dict[str, list[tuple[int, int | None]]] = {product: [] for product in PRODUCTS}
        for batch in batches:
            for change in batch:
                self.of[change.product_id].append((change.offset, None if change.entry is None else change.offset))

    def states(self, product: str, first: int, last: int) -> list[int | None]:
        """Every state that the product had while the next offset went from `first` to `last`."""
        known = self.of[product]
        at = max(n for n, (offset, _) in enumerate(known) if offset < first)
        return [version for n, (offset, version) in enumerate(known) if n >= at and offset < last]


@dataclass
class Reader:
    """One reader: what it saw that cannot be, and how often it looked."""

    shard: Shard
    history: History
    ahead: list[int]
    """The next offset of all that the writer has begun to apply: nobody sees more."""
    impossible: list[str] = field(default_factory=list)
    looks: int = 0
    newest: dict[str, int] = field(default_factory=dict)

    def look(self, product: str) -> None:
        """A look-up, as a query with `min_offsets` at what is published now."""
        first = self.shard.next_offset
        found = self.shard.lookup(product)
        self.check(product, None if found is None else found.version, first)

    def search(self) -> None:
        """Everything there is, in one answer."""
        first = self.shard.next_offset
        found = {hit.product_id: hit.version for hit in self.shard.search(unit(1), 100)}
        for product in PRODUCTS:
            self.check(product, found.get(product), first)

    def check(self, product: str, version: int | None, first: int) -> None:
        """Stale, risen from the dead, absent in between: none of them is among the states that it had meanwhile."""
        self.looks += 1
        possible = self.history.states(product, first, self.ahead[0])
        if version not in possible:
            self.impossible.append(f"{product}: {version} is none of {possible}")
        if version is not None:
            if version < self.newest.get(product, -1):
                self.impossible.append(f"{product}: {version} after {self.newest[product]}")
            self.newest[product] = max(version, self.newest.get(product, -1))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_reads_beside_writes_and_merges_are_of_one_history(seed: int) -> None:
    """Two readers, a writer whose batches seal as they go, and merges between them."""
    batches = drawn(seed)
    shard = Shard(0, ENCODER, DIMENSION, segment_rows=48)
    shard.apply_batch(batches[0])
    ahead = [len(PRODUCTS)]
    readers = [Reader(shard, History(batches), ahead) for _ in range(2)]
    done = threading.Event()

    def read(reader: Reader, choice: random.Random) -> None:
        while not done.is_set():
            if choice.random() < 0.2:
                reader.search()
            else:
                reader.look(choice.choice(PRODUCTS))

    threads = [threading.Thread(target=read, args=(one, random.Random(n))) for n, one in enumerate(readers)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for n, batch in enumerate(batches[1:]):
            ahead[0] = batch[-1].offset + 1
            shard.apply_batch(batch)
            if n % 10 == 9:
                sealed = [one.uid for one, _ in sealed_of(shard)]
                if len(sealed) > 1:
                    shard.merge(sealed[:3])
    finally:
        done.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(interval)
    assert [one.impossible[:3] for one in readers] == [[], []]
    assert min(one.looks for one in readers) > 50


def test_the_checker_finds_what_must_not_be() -> None:
    """A stale read, one that rises from the dead, and a gap: each is told."""
    changes = [[Change(0, "p0", entry(0)), Change(1, "p1", entry(1)), Change(2, "p0", None), Change(3, "p1", entry(3))]]
    history = History([*changes, [Change(4 + n, product, entry(n)) for n, product in enumerate(PRODUCTS[2:])]])
    reader = Reader(Shard(0, ENCODER, DIMENSION), history, [4])
    reader.check("p1", 1, 4)
    assert reader.impossible == ["p1: 1 is none of [3]"]
    reader.check("p0", 0, 3)
    assert reader.impossible[1] == "p0: 0 is none of [None]"
    reader.check("p1", None, 2)
    assert reader.impossible[2] == "p1: None is none of [1, 3]"
    reader.check("p1", 3, 2)
    reader.check("p1", 1, 2)
    assert reader.impossible[3:] == ["p1: 1 after 3"]
