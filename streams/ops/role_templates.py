"""Of which process each role of a stack is forked (`infra.template`): one without torch, and one with it, forked of the first."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Self

from infra.spawn import Child, Command
from infra.template import Template
from models.profiles.profile import FAKE

IMPORT_S = 120.0
"""Longest wait for the imports; afterwards roles start the plain way."""
LIGHT = ("index", "triplets")
"""Roles without a model: they stay as small as they are."""
_FAUST = ("app", "events", "fixups.base", "tables.sets", "tables.table", "topics")
_ASSIGNORS = ("leader_assignor", "partition_assignor")
_ALL = (
    "streams.cli.serve",
    "streams.cli.output",
    "infra.logs",
    "streams.worker",
    "streams.wiring.index",
    "streams.kafka.cluster",
    "streams.kafka.lenient_records",
    "streams.kafka.faust.consumer",
    "faiss",
    "setproctitle",
    "mode.worker",
    *(f"faust.{name}" for name in _FAUST),
    *(f"faust.assignor.{name}" for name in _ASSIGNORS),
)
_ROLES = tuple(f"streams.wiring.{role}" for role in ("enrich", "caption", "compose", "standing", "context"))
_MODELS = (
    "torch",
    "safetensors.numpy",
    "safetensors.torch",
    "tokenizers",
    "jinja2.ext",
    "jinja2.sandbox",
    "numpy.random",
    "models.calibration",
    "models.relevance",
    "models.detector.yolo_detector:import_network",
    "models.encoder.clip_encoder",
    "models.encoder.encoder_forward",
    "models.encoder.lite0",
    "models.encoder.minilm",
    "models.writer.hf_writer",
)
"""What roles import while they begin. `-X importtime` (`PYTHONPROFILEIMPORTTIME=1 weft up`) tells in their logs what is missing."""


class RoleTemplates:
    """The templates of one stack. `async with`: they end with it, and what was forked goes on.

    Args:
        profile: the models'; `fake` needs no torch.
        env: the roles' environment, as far as it is the same for all.
        logs: folder of their logs.
    """

    def __init__(self, profile: str, env: dict[str, str], logs: Path) -> None:
        only = _ALL if profile != FAKE else (*_ALL, *_ROLES)
        self._light = Template(only, log=logs / "template.log", env=env)
        self._heavy = self._light
        if profile != FAKE:
            self._heavy = Template((*_ALL, *_ROLES, *_MODELS), log=logs / "template.log", env=env, of=self._light)

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._light.start)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._heavy.stop)
        await asyncio.to_thread(self._light.stop)

    async def light(self) -> None:
        """Wait until roles without a model can be forked, or never will; those with models come next."""
        await asyncio.to_thread(self._light.wait, IMPORT_S)
        if self._heavy is not self._light:
            await asyncio.to_thread(self._heavy.start)

    async def heavy(self) -> None:
        """Wait until roles with models can be forked, or never will."""
        await asyncio.to_thread(self._heavy.wait, IMPORT_S)

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the templates that run."""
        return tuple(one.pid for one in dict.fromkeys((self._light, self._heavy)) if one.pid is not None)

    def spawn_light(self, command: Command) -> Child:
        """Start a role without a model."""
        return self._light.spawn(command)

    def spawn_heavy(self, command: Command) -> Child:
        """Start a role with models."""
        return self._heavy.spawn(command)
