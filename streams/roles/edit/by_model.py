"""The stages between the look and the finished image, where a model paints: seconds, in steps that are told and may be given up between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from models.ports import GivesWay, Inpainter
from streams.contract.edits import PAINTING, EditProgress
from streams.engine.message import Message
from streams.engine.stages import CpuStage, DeviceStage, Stage
from streams.roles.edit.asked import EditAsked, Retrieved, size_of_retrieved
from streams.roles.edit.painting import Painting

MOST = 4
"""Largest batch of a diffusion."""
Tell = Callable[[Message, EditProgress], Awaitable[Awaitable[object]]]
"""Hands progress to the producer; returns its delivery."""


@dataclass(frozen=True, slots=True)
class ByModel:
    """Args:
    inpainter: paints.
    painting: makes ready for it.
    check: raises `Poison` where nobody waits for a request any more.
    tell: see `Tell`.
    """

    inpainter: Inpainter
    painting: Painting
    check: Callable[[EditAsked], None]
    tell: Tell

    def stages(self, batch_items: int) -> tuple[Stage, ...]:
        """To stand before `paint`."""
        gives_way = isinstance(self.inpainter, GivesWay)
        return (
            CpuStage("sketch", self.sketch, size=size_of_retrieved),
            DeviceStage("diffuse", self.diffuse, max_items=min(batch_items, MOST), wait_s=0.02, gives_way=gives_way),
        )

    def sketch(self, one: Retrieved) -> Retrieved:
        """Make it ready."""
        asked = one.seen.asked
        self.check(asked)

        def watch(done: int, of: int) -> None:
            self.check(asked)
            if done and asked.track.loop is not None:
                asked.track.loop.call_soon_threadsafe(self._at_step, asked, done, of)

        return self.painting.sketch(one, watch)

    def diffuse(self, batch: Sequence[Retrieved]) -> list[Retrieved]:
        """The model's pass, some dozens of steps."""
        sketches = [one.sketch for one in batch if one.sketch is not None]
        raws = self.inpainter.forward([sketch.ready for sketch in sketches])
        return [
            replace(one, sketch=replace(sketch, ready=None, raw=raw))
            for one, sketch, raw in zip(batch, sketches, raws, strict=True)
        ]

    def _at_step(self, asked: EditAsked, done: int, of: int) -> None:
        async def told() -> None:
            await (await self.tell(asked.message, EditProgress(asked.request.request_id, PAINTING, done, of)))

        asked.track.told.append(asyncio.ensure_future(told()))
