"""The guard, driven by small hand-written models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.fakes import FakeWriter
from models.guard import RESTART_SECONDS, Guarded, GuardedWriter
from processors.errors import Fatal, Poison, Retryable


class Doubler:
    """Doubles integers; a subclass breaks one thing."""

    fingerprint = "sha256:doubler"

    def prepare(self, item: int) -> int:
        if item < 0:
            raise Poison("negative", field="number")
        return item

    def forward(self, batch: Sequence[int]) -> list[int]:
        return [2 * number for number in batch]

    def finish(self, item: int, raw: int) -> int:
        return raw

    def example(self) -> int:
        return 1


class Cramped(Doubler):
    """Has memory for batches whose numbers add up to `room`, and raises `error` beyond."""

    def __init__(self, room: int, error: Exception) -> None:
        self.room = room
        self.error = error
        self.sizes: list[int] = []

    def forward(self, batch: Sequence[int]) -> list[int]:
        self.sizes.append(len(batch))
        if sum(batch) > self.room:
            raise self.error
        return super().forward(batch)


class Shuffler(Doubler):
    """Answers sorted instead of in the order asked."""

    def forward(self, batch: Sequence[int]) -> list[int]:
        return sorted(super().forward(batch))


class Dropper(Doubler):
    """Loses the last result of every batch longer than one."""

    def forward(self, batch: Sequence[int]) -> list[int]:
        return super().forward(batch)[: max(1, len(batch) - 1)]


OUT_OF_MEMORY = [
    MemoryError("full"),
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
]


@given(st.lists(st.integers(0, 9), max_size=20))
def test_run_keeps_length_and_order(numbers: list[int]) -> None:
    """Whatever goes in comes out, item by item."""
    assert Guarded(Doubler(), name="doubler").run(numbers) == [2 * number for number in numbers]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: type(error).__name__)
def test_a_batch_that_does_not_fit_is_halved_until_it_does(error: Exception) -> None:
    """All three faces of a full memory lead to smaller batches, with nothing lost and nothing reordered."""
    model = Cramped(3, error)
    assert Guarded(model, name="m").run([1, 1, 2, 1, 1, 3, 1]) == [2, 2, 4, 2, 2, 6, 2]
    assert max(model.sizes[1:]) < 7


def test_an_item_that_never_fits_is_poison() -> None:
    """The example fits and the item does not: the item is at fault, so it must not be retried for ever."""
    with pytest.raises(Poison, match="out of memory on this item alone"):
        Guarded(Cramped(3, MemoryError()), name="m").run([1, 9])


def test_a_starved_device_is_retried() -> None:
    """Not even the example fits: somebody else holds the memory, and no item may be blamed."""
    with pytest.raises(Retryable, match="even for its own example"):
        Guarded(Cramped(0, MemoryError()), name="m").run([1])


def test_other_errors_pass_through_untouched() -> None:
    """A RuntimeError that is no memory trouble is for the bisecting stage, not for the guard."""
    model = Cramped(0, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        Guarded(model, name="m").run([1, 1])
    assert model.sizes == [2]


def test_a_lost_result_is_fatal() -> None:
    """Another length would pair captions with the wrong photos: stop the process."""
    with pytest.raises(Fatal, match="returned 2 results for a batch of 3"):
        Guarded(Dropper(), name="dropper").run([1, 2, 3])


def test_warm_up_sees_a_lost_result() -> None:
    """The pair of examples already shows a wrong length, before the first photo."""
    with pytest.raises(Fatal, match="returned 1 results"):
        Guarded(Dropper(), name="dropper").warm_up()


def test_warm_up_sees_a_shuffled_batch() -> None:
    """Answers that do not swap with their questions are caught at the start."""
    with pytest.raises(Fatal, match="another order"):
        Guarded(Shuffler(), name="shuffler").warm_up(spread=[5, 3])
    Guarded(Doubler(), name="doubler").warm_up(spread=[5, 3])


def test_warm_up_failure_is_raised() -> None:
    """A model that fails on its own example stops the process with its name and the cause."""
    model = Cramped(0, RuntimeError("no kernel image"))
    with pytest.raises(Fatal, match="detector fails on its own example: RuntimeError: no kernel image"):
        Guarded(model, name="detector").warm_up()


def test_poison_of_prepare_reaches_the_caller() -> None:
    """The guard does not swallow the adapter's verdict on an item."""
    with pytest.raises(Poison, match="negative"):
        Guarded(Doubler(), name="m").run([-1])


def test_timings_are_reported_for_each_step() -> None:
    """Each step says how many items it took and how long, by the injected clock."""
    ticks = iter(range(100))
    seen: list[tuple[str, int, float]] = []
    guarded = Guarded(Doubler(), name="m", observe=lambda *event: seen.append(event), clock=lambda: float(next(ticks)))
    guarded.run([1, 2])
    assert [event[:2] for event in seen] == [
        ("prepare", 1),
        ("prepare", 1),
        ("forward", 2),
        ("finish", 1),
        ("finish", 1),
    ]
    assert all(seconds > 0 for _, _, seconds in seen)


def test_memory_trouble_is_observed() -> None:
    """An operator sees how often batches had to be halved."""
    seen: list[tuple[str, int]] = []
    guarded = Guarded(Cramped(2, MemoryError()), name="m", observe=lambda stage, items, _: seen.append((stage, items)))
    guarded.run([1, 1, 1, 1])
    assert seen.count(("out_of_memory", 4)) == 1
    assert seen.count(("forward", 2)) == 2


def test_an_empty_batch_never_reaches_the_device() -> None:
    """Nothing to do is done without waking the model."""
    model = Cramped(0, MemoryError())
    assert Guarded(model, name="m").forward([]) == []
    assert model.sizes == []


class Breaking(Doubler):
    """Raises for the number 13; once `broken`, for every number."""

    broken = False

    def forward(self, batch: Sequence[int]) -> list[int]:
        if self.broken or 13 in batch:
            raise RuntimeError("CUDA error: device-side assert triggered")
        return super().forward(batch)


def test_an_error_on_one_item_is_told_from_a_broken_device() -> None:
    """Alone with a bad item the example still runs: the item's fault. A device that fails on the example ends the process."""
    model = Breaking()
    guarded = Guarded(model, name="detector")
    for batch in ([1, 13, 2], [13]):
        with pytest.raises(RuntimeError, match="device-side"):
            guarded.forward(batch)
    model.broken = True
    with pytest.raises(Fatal, match="detector fails on its own example"):
        guarded.forward([5])


class Moody(FakeWriter):
    """Fails on everything while `broken`."""

    broken = True

    def forward(self, batch: Sequence[Any], /) -> list[Any]:
        if self.broken:
            raise RuntimeError("device-side assert")
        return super().forward(batch)


def _asked(writer: GuardedWriter) -> list[Any]:
    return writer.forward([writer.prepare(writer.example())])


def test_a_writer_that_breaks_ends_its_process() -> None:
    """What is delivered again is then written by a device that is whole."""
    model = Moody()
    model.broken = False
    writer = GuardedWriter(model)
    assert _asked(writer)
    model.broken = True
    with pytest.raises(Fatal, match="writer fails on its own example: RuntimeError: device-side assert"):
        _asked(writer)


def test_a_writer_that_a_new_process_did_not_mend_costs_captions_only_its_words() -> None:
    """Another process is tried after a minute; and as soon as it writes, the next failure ends the process again."""
    model, clock = Moody(), [100.0]
    model.broken = False
    writer = GuardedWriter(model, clock=lambda: clock[0], dispensable=True)
    writer.warm_up()  # in the process from which this one was forked
    model.broken = True
    for later in (0.0, RESTART_SECONDS - 1.0):
        clock[0] = 100.0 + later
        with pytest.raises(RuntimeError, match="device-side assert"):
            _asked(writer)
    clock[0] = 100.0 + RESTART_SECONDS
    with pytest.raises(Fatal):
        _asked(writer)
    clock[0] = 1000.0
    model.broken = False
    assert _asked(writer)
    model.broken = True
    with pytest.raises(Fatal):
        _asked(writer)


def test_a_role_that_can_do_without_its_writer_starts_without_it() -> None:
    """It is told, tried for a minute, and another process is begun; whoever asks for a writer that works is refused one."""
    model, clock = Moody(), [50.0]
    with pytest.raises(Fatal, match="writer fails on its own example: RuntimeError: device-side assert"):
        GuardedWriter(model).warm_up()
    writer = GuardedWriter(model, clock=lambda: clock[0], dispensable=True)
    writer.warm_up()
    assert writer.is_broken
    with pytest.raises(RuntimeError):
        _asked(writer)
    clock[0] += RESTART_SECONDS
    with pytest.raises(Fatal):
        _asked(writer)
    model.broken = False
    with pytest.raises(Fatal):
        writer.needed()
    assert _asked(writer)
    assert not writer.is_broken
    needed = writer.needed()
    model.broken = True
    with pytest.raises(Fatal):
        _asked(needed)


def test_a_writer_that_breaks_its_contract_is_refused_by_every_role() -> None:
    """No second try mends another number of answers than were asked for."""

    class Short(FakeWriter):
        def forward(self, batch: Sequence[Any], /) -> list[Any]:
            return super().forward(batch)[1:]

    with pytest.raises(Fatal, match="returned 0 results for a batch of 1"):
        GuardedWriter(Short(), dispensable=True).warm_up()


def test_a_writer_that_was_well_for_a_while_has_its_minute_again() -> None:
    """The minute is counted from the first of the failures behind each other."""
    model, clock = Moody(), [0.0]
    writer = GuardedWriter(model, clock=lambda: clock[0], dispensable=True)
    with pytest.raises(RuntimeError):
        _asked(writer)
    model.broken = False
    writer.warm_up()
    model.broken = True
    clock[0] = RESTART_SECONDS + 5.0
    with pytest.raises(RuntimeError):
        _asked(writer)
