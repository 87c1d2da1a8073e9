"""Stages without a broker: order, early ends, refused items, batches."""

from __future__ import annotations

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
