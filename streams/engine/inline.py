"""The stages of a role without a broker: for tools that hold a role's work against something else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from processors.errors import Poison
from streams.engine.stages import CpuStage, DeviceStage, Done, IoStage, Stage


async def run_inline(stages: Sequence[Stage], items: Sequence[Any], tick: Callable[[int], None]) -> list[Any]:
    """Every item through every stage, in order; a stage is done with all of them before the next begins.

    Args:
        stages: of a role.
        items: what the first stage takes; all of their intermediate results are held at once, so give a batch.
        tick: told how many items a stage that runs a model is done with.

    Returns:
        For each item what the last stage (or a `Done` before it) gave, or the `Poison` that it ended in. What is not an
        item's own fault (`Retryable`, `Fatal`, anything unforeseen) is raised: nothing would be measured.
    """
    found: list[Any] = list(items)
    open_items = list(range(len(items)))
    for stage in stages:
        open_items = await _through(stage, found, open_items, tick)
    return found


async def _through(stage: Stage, found: list[Any], open_items: list[int], tick: Callable[[int], None]) -> list[int]:
    """Put the stage's results into `found`; the indices of the items that go on."""
    if isinstance(stage, DeviceStage):
        _on_device(stage, found, open_items, tick)
        return open_items
    if isinstance(stage, IoStage) and stage.known is not None:
        await _elsewhere(stage, found, open_items, tick)
        return open_items
    going = []
    for index in open_items:
        try:
            given = await _one(stage, found[index])
        except Poison as error:
            found[index] = error
            continue
        found[index] = given.result if isinstance(given, Done) else given
        if not isinstance(given, Done):
            going.append(index)
    return going


async def _one(stage: IoStage[Any, Any] | CpuStage[Any, Any], item: Any) -> Any:
    return await stage.run(item) if isinstance(stage, IoStage) else stage.run(item)


async def _elsewhere(stage: IoStage[Any, Any], found: list[Any], items: list[int], tick: Callable[[int], None]) -> None:
    """A stage that runs a model elsewhere: as many at once as it may ask."""
    slots = asyncio.Semaphore(stage.concurrency)

    async def ask(index: int) -> None:
        known = None if stage.known is None else stage.known(found[index])
        if known is None:
            async with slots:
                known = await stage.run(found[index])
        found[index] = known
        tick(1)

    await asyncio.gather(*(ask(index) for index in items))


def _on_device(stage: DeviceStage[Any, Any], found: list[Any], items: list[int], tick: Callable[[int], None]) -> None:
    asking = []
    for index in items:
        known = None if stage.known is None else stage.known(found[index])
        if known is None:
            asking.append(index)
        else:
            found[index] = known
            tick(1)
    rest = iter(asking)
    while batch := list(islice(rest, stage.max_items)):
        for index, given in zip(batch, stage.run([found[index] for index in batch]), strict=True):
            found[index] = given
        tick(len(batch))
