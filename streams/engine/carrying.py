"""The stages of one role inside of another: each item carries what it is about, and a result that comes early goes on with it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from streams.engine.stages import CpuStage, DeviceStage, Done, IoStage, Stage

A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Carry(Generic[A]):
    """`value`: what the stages work on; `done`: it is their result already, and the rest of them passes it on. `about`: the carrier's."""

    about: A
    value: Any
    done: bool = False

    def took(self, given: Any) -> Carry[A]:
        """The same after a stage gave this."""
        if isinstance(given, Done):
            return Carry(self.about, given.result, done=True)
        return Carry(self.about, given)


def carried(stages: Sequence[Stage], taken: Collection[str] = ()) -> tuple[Stage, ...]:
    """The same stages over `Carry`. `taken`: names that other stages of the pipeline have; one of the same name is called "NAME again"."""
    return tuple(
        replace(made, name=f"{made.name} again") if made.name in taken else made for made in map(_carried, stages)
    )


def _carried(stage: Stage) -> Stage:
    if isinstance(stage, DeviceStage):
        return _on_device(stage)
    size = None if stage.size is None else _measuring(stage.size)
    if isinstance(stage, IoStage):
        work = stage.run

        async def awaited(one: Carry[Any]) -> Carry[Any]:
            return one if one.done else one.took(await work(one.value))

        known = None if stage.known is None else _knowing(stage.known)
        return replace(stage, run=awaited, size=size, run_all=None, known=known)
    compute, cost = stage.run, stage.cost

    def computed(one: Carry[Any]) -> Carry[Any]:
        return one if one.done else one.took(compute(one.value))

    return CpuStage(
        stage.name,
        computed,
        size=size,
        cost=lambda one: 0 if one.done else cost(one.value),
        max_cost=stage.max_cost,
    )


def _on_device(stage: DeviceStage[Any, Any]) -> DeviceStage[Any, Any]:
    work, cost = stage.run, stage.cost

    def run(batch: Sequence[Carry[Any]]) -> list[Carry[Any]]:
        return [one.took(given) for one, given in zip(batch, work([one.value for one in batch]), strict=True)]

    size = None if stage.size is None else _measuring(stage.size)
    return replace(stage, run=run, cost=lambda one: cost(one.value), known=_knowing(stage.known), size=size)


def _knowing(known: Callable[[Any], Any] | None) -> Callable[[Carry[Any]], Carry[Any] | None]:
    """The `known` of a stage: what is done needs it not, nor what the stage itself knows."""

    def knows(one: Carry[Any]) -> Carry[Any] | None:
        if one.done:
            return one
        found = None if known is None else known(one.value)
        return None if found is None else one.took(found)

    return knows


def _measuring(size: Any) -> Any:
    return lambda one: 0 if one.done else size(one.value)
