"""Parts of a batch: cut, run beside each other, put back in order; and the trial that finds their size."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.measured import Kept
from models.parts import LARGEST, Arrays, Parts, fastest_part, parts_of


class Machine:
    """A network with a clock: `cost[n]` seconds for a part of n; from `rounds_at` items on, its sums come out otherwise."""

    def __init__(self, cost: dict[int, float], rounds_at: int = 1000) -> None:
        self.cost, self.rounds_at = cost, rounds_at
        self.now = 0.0
        self.sizes: list[int] = []

    def clock(self) -> float:
        return self.now

    def run(self, items: Sequence[int]) -> Arrays:
        self.sizes.append(len(items))
        self.now += self.cost[len(items)]
        off = np.float32(2**-23) if len(items) >= self.rounds_at else np.float32(0)
        return [np.array([item + 1], np.float32) + off * (item == 0) for item in items]

    def part(self, largest: int = 8) -> int:
        return fastest_part(self.run, range, largest=largest, clock=self.clock)


@given(st.integers(0, 70), st.sampled_from([1, 2, 4, 8]))
def test_parts_are_sizes_that_were_tried(count: int, part: int) -> None:
    """Nothing lost, nothing moved, and no part but powers of two up to the one that was found."""
    cut = parts_of(range(count), part)
    assert [item for one in cut for item in one] == list(range(count))
    assert {len(one) for one in cut} <= {1, 2, 4, 8}
    assert max(map(len, cut), default=0) <= part


def test_parts_grow_while_no_item_takes_longer() -> None:
    """Two at once are faster than one, four faster still, eight fall out of the cache: four."""
    assert Machine({1: 1.0, 2: 1.5, 4: 2.5, 8: 6.0}).part() == 4


def test_a_trial_ends_where_it_does_not_pay() -> None:
    """Two at once take longer for each: four are not even tried, for a trial costs time at every start."""
    machine = Machine({1: 1.0, 2: 2.4})
    assert machine.part() == 1
    assert max(machine.sizes) == 2


def test_no_size_beyond_the_largest_is_tried() -> None:
    """However much it would pay."""
    machine = Machine({1: 1.0, 2: 1.0, 4: 1.0})
    assert machine.part(largest=4) == 4
    assert max(machine.sizes) == 4


def test_a_size_that_changes_a_bit_is_not_taken() -> None:
    """Four at once would be four times as fast, and give one item another last bit: so two."""
    assert Machine({1: 1.0, 2: 1.0, 4: 1.0, 8: 1.0}, rounds_at=4).part() == 2


@given(st.lists(st.integers(0, 3), max_size=40), st.sampled_from([1, 2, 4]))
def test_results_come_in_the_order_of_their_items(kinds: list[int], part: int) -> None:
    """Whatever shapes are mixed; and no part mixes them."""
    items = list(enumerate(kinds))

    def run(some: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        assert len({kind for _, kind in some}) == 1
        assert len(some) <= part
        return [(place, -kind) for place, kind in some]

    found = Parts(run, part=part, alike=lambda item: item[1])(items)
    assert found == [(place, -kind) for place, kind in items]


def test_each_core_takes_a_part_and_computes_alone() -> None:
    """Two parts meet in time on two threads of their own, on each of which torch has one thread; elsewhere as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        both = threading.Barrier(2, timeout=30)

        def run(some: Sequence[int]) -> list[tuple[int, str, int]]:
            both.wait()
            return [(item, threading.current_thread().name, torch.get_num_threads()) for item in some]

        found = Parts(run, part=4, cores=2)(range(8))
        assert [item for item, _, _ in found] == list(range(8))
        assert len({name for _, name, _ in found}) == 2
        assert {threads for _, _, threads in found} == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_few_items_are_shared_among_the_cores() -> None:
    """Four items on two cores are two parts of two, though four would fit into one."""
    sizes = []

    def run(some: Sequence[int]) -> list[int]:
        sizes.append(len(some))
        return list(some)

    assert Parts(run, part=8, cores=2)(range(4)) == [0, 1, 2, 3]
    assert sizes == [2, 2]


def test_what_a_part_raises_is_raised() -> None:
    """On any core: the engine halves the batch then, until the bad item is alone."""

    def run(some: Sequence[int]) -> list[int]:
        if 5 in some:
            raise ValueError("five")
        return list(some)

    with pytest.raises(ValueError, match="five"):
        Parts(run, part=2, cores=2)(range(8))


def tried_of(machine: Machine, kept: Kept) -> int:
    """The part that a network of this name is given, with one core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return Parts.tried(machine.run, range, np.asarray, kept=kept, name="network").part
    finally:
        torch.set_num_threads(before)


def test_only_the_largest_part_is_kept(tmp_path: Path) -> None:
    """A smaller one may be the doing of another process that ran during the trial: it is tried anew at the next start."""
    kept = Kept(tmp_path, {"processor": "this"})
    costs = dict.fromkeys((1, 2, 4), 0.0)
    for _ in range(2):
        rounds = Machine(costs, rounds_at=2)
        assert tried_of(rounds, kept) == 1
        assert rounds.sizes
    assert not list(tmp_path.iterdir())
    while tried_of(Machine(costs), kept) != LARGEST:
        assert not list(tmp_path.iterdir())
    again = Machine(costs)
    assert tried_of(again, kept) == LARGEST
    assert again.sizes == []
    elsewhere = Machine(costs, rounds_at=2)
    assert tried_of(elsewhere, Kept(tmp_path, {"processor": "another"})) == 1


@pytest.mark.parametrize("part", [0, 8, "4"])
def test_a_kept_part_that_was_never_tried_is_tried_anew(tmp_path: Path, part: object) -> None:
    """The file is a user's to edit; results must not depend on it."""
    kept = Kept(tmp_path, {})
    while tried_of(Machine(dict.fromkeys((1, 2, 4), 0.0)), kept) != LARGEST:
        pass
    [file] = tmp_path.iterdir()
    file.write_text(file.read_text().replace('"part": 4', f'"part": {part!r}'))
    rounds = Machine(dict.fromkeys((1, 2, 4), 0.0), rounds_at=2)
    assert tried_of(rounds, kept) == 1
    assert rounds.sizes


@pytest.mark.parametrize("count", [1, 3, 4, 9])
def test_filled_parts_have_one_size(count: int) -> None:
    """What a GPU is given: always so many, of one shape; the answers are those of the items."""
    seen: list[list[int]] = []

    def run(items: Sequence[int]) -> list[int]:
        seen.append(list(items))
        return [10 * item for item in items]

    found = Parts(run, part=4, alike=lambda item: item % 2, filled=True)(range(count))
    assert found == [10 * item for item in range(count)]
    assert {len(part) for part in seen} == {4}
    assert all(len({item % 2 for item in part}) == 1 for part in seen)


def test_a_filled_part_that_does_not_fit_runs_as_it_is() -> None:
    """So that halving a batch helps; any other error is the caller's."""

    def run(items: Sequence[int]) -> list[int]:
        if len(items) > 2:
            raise MemoryError
        return list(items)

    assert Parts(run, part=4, filled=True)([7, 8]) == [7, 8]
    with pytest.raises(MemoryError):
        Parts(run, part=4, filled=True)([7, 8, 9])

    def broken(_items: Sequence[int]) -> list[int]:
        raise RuntimeError("an illegal instruction")

    with pytest.raises(RuntimeError, match="illegal"):
        Parts(broken, part=4, filled=True)([7])
