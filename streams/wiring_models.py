"""The models of a profile, guarded and warmed up: the part of the composition root that knows model classes."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from typing import Protocol

from infra.settings import Settings
from models.guard import Guarded, GuardedImageEncoder, GuardedTextEncoder, GuardedWriter, Observe
from models.ports import Detector, ImageEncoder, TextEncoder, Writer
from models.profiles import STARTER, StarterPaths, resolve
from processors.errors import Fatal


class Loader(Protocol):
    """How a profile loads each of its models."""

    def detector(self) -> Detector: ...
    def image_encoder(self) -> ImageEncoder: ...
    def text_encoder(self) -> TextEncoder: ...
    def writer(self) -> Writer: ...


class FakeLoader:
    """Models that only look like models, for tests of the plumbing: no torch, no weights."""

    def detector(self) -> Detector:
        from models.fakes import FakeDetector

        return FakeDetector()

    def image_encoder(self) -> ImageEncoder:
        from models.fakes import FakeImageEncoder

        return FakeImageEncoder()

    def text_encoder(self) -> TextEncoder:
        from models.fakes import FakeTextEncoder

        return FakeTextEncoder()

    def writer(self) -> Writer:
        from models.fakes import FakeWriter

        return FakeWriter()


class StarterLoader:
    """The weights of the repository, on bases of the package index."""

    def __init__(self, settings: Settings) -> None:
        from models.device import choose, use_threads

        # Read by libraries at their import: nothing may be fetched behind the user's back.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        os.environ.setdefault("YOLO_AUTOINSTALL", "false")
        self._paths: StarterPaths = resolve(STARTER, settings.model_cache)
        self._device = choose(settings.device)
        use_threads(settings.threads)

    def detector(self) -> Detector:
        from models.yolo_detector import YoloDetector

        return YoloDetector.load(self._paths.detector, device=self._device)

    def image_encoder(self) -> ImageEncoder:
        from models.clip_encoder import ClipImageEncoder

        return ClipImageEncoder.load(self._paths.encoder, self._paths.image_trunk, device=self._device)

    def text_encoder(self) -> TextEncoder:
        from models.clip_encoder import ClipTextEncoder

        return ClipTextEncoder.load(self._paths.encoder, self._paths.text_tower, device=self._device)

    def writer(self) -> Writer:
        from models.hf_writer import HfWriter

        return HfWriter.load(self._paths.writer_base, self._paths.writer_adapter, device=self._device)


class Models:
    """Each model is loaded when a role first asks for it, so that a process holds only what its roles need."""

    def __init__(self, settings: Settings, observe: Callable[[str], Observe]) -> None:
        self._settings, self._observe = settings, observe

    @cached_property
    def _loader(self) -> Loader:
        if self._settings.profile == "fake":
            return FakeLoader()
        if self._settings.profile == STARTER.name:
            return StarterLoader(self._settings)
        raise Fatal(f"WEFT_PROFILE: nothing loads {self._settings.profile!r} yet; say starter (see docs/limits.md)")

    @cached_property
    def detector(self) -> Detector:
        model = Guarded(self._loader.detector(), name="detector", observe=self._observe("detector"))
        model.warm_up()
        return model

    @cached_property
    def image_encoder(self) -> ImageEncoder:
        model = GuardedImageEncoder(self._loader.image_encoder(), observe=self._observe("image encoder"))
        model.warm_up()
        return model

    @cached_property
    def text_encoder(self) -> TextEncoder:
        model = GuardedTextEncoder(self._loader.text_encoder(), observe=self._observe("text encoder"))
        model.warm_up()
        return model

    @cached_property
    def writer(self) -> Writer:
        model = GuardedWriter(self._loader.writer(), observe=self._observe("writer"))
        model.warm_up()
        return model
