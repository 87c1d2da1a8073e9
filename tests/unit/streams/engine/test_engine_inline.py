"""Stages without a broker: order, early ends, refused items, batches."""

from __future__ import annotations

import asyncio

import pytest

from processors.errors import Poison, Retryable
from streams.engine.inline import run_inline
from streams.engine.stages import CpuStage, DeviceStage, Done, IoStage


async def _read(item: int) -> int | Done[str]:
    return Done("known") if item == 2 else item


def _open(item: int) -> int:
    if item == 3:
        raise Poison("no picture")
    return 10 * item


async def test_every_item_has_its_own_end() -> None:
    """One leaves early, one is refused, the others go through in batches; each result stands at its item's place."""
    batches: list[list[int]] = []

    def double(batch: list[int]) -> list[int]:
        batches.append(list(batch))
        return [2 * item for item in batch]

    def known(item: int) -> str | None:
        return "settled" if item == 50 else None

    told: list[int] = []
    stages = (
        IoStage("read", _read),
        CpuStage("open", _open),
        DeviceStage("double", double, max_items=2, known=known),
    )
    found = await run_inline(stages, [1, 2, 3, 4, 5, 6], told.append)
    assert found[0] == 20
    assert found[1] == "known"
    assert isinstance(found[2], Poison)
    assert found[3:] == [80, "settled", 120]
    assert batches == [[10, 40], [60]]
    assert sum(told) == 4


async def test_trouble_that_is_no_items_fault_is_raised() -> None:
    """Nothing would be measured: half a table must not look like a result."""

    def away(_item: int) -> int:
        raise Retryable("the store is away")

    with pytest.raises(Retryable, match="away"):
        await run_inline((CpuStage("open", away),), [1, 2], lambda _: None)


async def test_what_is_computed_elsewhere_is_asked_at_once_and_what_is_known_is_not() -> None:
    """As many as the stage allows; a result that is there already is no question."""
    out = most = 0
    ticks: list[int] = []

    async def ask(item: int) -> int:
        nonlocal out, most
        out += 1
        most = max(most, out)
        await asyncio.sleep(0)
        out -= 1
        return item * 10

    stage = IoStage("write", ask, concurrency=2, known=lambda item: -item if item > 3 else None)
    assert await run_inline([stage], [1, 2, 3, 4], ticks.append) == [10, 20, 30, -4]
    assert most == 2
    assert sum(ticks) == 4
