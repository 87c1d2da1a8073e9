"""Stages inside of another role: each item keeps what it is about, and a result that comes early passes the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from processors.errors import Poison
from streams.engine.carrying import Carry, carried
from streams.engine.inline import run_inline
from streams.engine.stages import CpuStage, DeviceStage, Done, IoStage, Stage

BATCHES: list[list[int]] = []


async def read(value: int) -> int | Done[str]:
    if value < 0:
        raise Poison("negative")
    return Done("early") if value == 0 else value + 1


def on_device(batch: Sequence[int]) -> list[int]:
    BATCHES.append(list(batch))
    return [10 * value for value in batch]


async def ask(value: int) -> int:
    return value + 1000


def stages() -> tuple[Stage, ...]:
    """One of each kind; the device knows 3 by itself, the server 40."""
    return (
        IoStage("read", read, size=lambda value: value),
        CpuStage("add", lambda value: value, cost=lambda value: value, max_cost=100),
        DeviceStage("device", on_device, cost=lambda value: value, known=lambda value: 33 if value == 3 else None),
        IoStage("server", ask, known=lambda value: 7 if value == 40 else None),
    )


async def test_items_keep_what_they_are_about() -> None:
    """Through every kind of stage; what is done, or known, costs neither the device nor the server anything."""
    BATCHES.clear()
    given = [Carry(name, value) for name, value in (("a", 1), ("b", 0), ("c", 2), ("d", 3), ("e", -1))]
    found: list[Any] = await run_inline(carried(stages()), given, lambda _: None)
    assert found[0] == Carry("a", 1020)
    assert found[1] == Carry("b", "early", done=True)
    assert found[2] == Carry("c", 1033)
    assert found[3] == Carry("d", 7)
    assert isinstance(found[4], Poison)
    assert BATCHES == [[2, 4]]


def test_names_and_costs() -> None:
    """A name that is taken is told apart; what is done weighs nothing."""
    made = carried(stages(), {"read"})
    assert [stage.name for stage in made] == ["read again", "add", "device", "server"]
    cpu, io = made[1], made[0]
    assert isinstance(cpu, CpuStage)
    assert isinstance(io, IoStage)
    assert (cpu.cost(Carry("a", 5)), cpu.cost(Carry("a", "early", done=True)), cpu.max_cost) == (5, 0, 100)
    assert io.size is not None
    assert (io.size(Carry("a", 5)), io.size(Carry("a", "early", done=True))) == (5, 0)


@pytest.mark.parametrize("given", [Done("x"), 4])
def test_what_a_stage_gives(given: Any) -> None:
    """A `Done` is a result, anything else goes on."""
    assert Carry("a", 0).took(given).done == isinstance(given, Done)
