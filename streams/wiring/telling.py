"""The language model that writes sentences of articles, asked from threads and run on the device."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from pathlib import Path
from typing import Any

from infra.settings import Settings
from models.ports import Storyteller
from models.weights.hashes import check_weights
from processors.context.telling import TELLING_FINGERPRINT, StoryRequest
from streams.engine.device import Batcher
from streams.engine.stages import DeviceStage
from streams.wiring.models import Models
from streams.wiring.parts import Parts

BATCH, WAIT_S = 8, 0.25


def _fingerprint(settings: Settings) -> str:
    """Of adapter and prompt: the model itself is loaded with the first article that applies."""
    adapter = check_weights(Path(settings.story_writer))
    return "sha256:" + hashlib.sha256(f"{adapter} {TELLING_FINGERPRINT}".encode()).hexdigest()


class ByDevice:
    """A `Teller` of a role. Make it on the event loop.

    Raises:
        Fatal: the adapter is missing or damaged.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts, self._loop = parts, asyncio.get_running_loop()
        self._loading = threading.Lock()
        self._made: tuple[Storyteller, Batcher[Any, Any]] | None = None
        self.fingerprint = _fingerprint(parts.settings)

    def tell(self, request: StoryRequest) -> str:
        """Waits for its turn at the device."""
        model, batcher = self._model()
        ready = model.prepare(request)
        return model.finish(request, asyncio.run_coroutine_threadsafe(batcher.submit(ready), self._loop).result())

    def _model(self) -> tuple[Storyteller, Batcher[Any, Any]]:
        with self._loading:
            if self._made is None:
                model = self._parts.models.storyteller
                stage = DeviceStage("tell", model.forward, max_items=BATCH, wait_s=WAIT_S)
                self._made = model, self._parts.engine.device.attach(stage, "backfill")
            return self._made


class Directly:
    """A `Teller` of a yardstick: the model alone, where it is asked."""

    def __init__(self, models: Models, settings: Settings) -> None:
        self._models, self._one = models, threading.Lock()
        self.fingerprint = _fingerprint(settings)

    def tell(self, request: StoryRequest) -> str:
        """One at a time."""
        with self._one:
            model = self._models.storyteller
            [raw] = model.forward([model.prepare(request)])
            return model.finish(request, raw)
