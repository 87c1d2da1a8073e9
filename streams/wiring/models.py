"""The models of a profile, guarded and warmed up: the part of the composition root that knows model classes."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from typing import Protocol

from infra.settings import Settings
from models.guard import Guarded, GuardedImageEncoder, GuardedTextEncoder, GuardedWriter, Observe
from models.ports import Detector, ImageEncoder, TextEncoder, Writer
from models.weights.profiles import (
    FULL,
    STARTER,
    FullPaths,
    Profile,
    StarterPaths,
    require,
    resolve,
    resolve_full,
    shipped_path,
)
from processors.attributes import Calibration, Calibrations
from processors.errors import BadSetting

FAKE = "fake"
"""The profile of `FakeLoader`."""


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
        self._paths: StarterPaths = resolve(STARTER, settings.model_cache)
        self._device = _device(settings)

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


class FullLoader:
    """Published weights in the model cache: fetched by `weft models pull full`, and never by this."""

    def __init__(self, settings: Settings) -> None:
        self._paths: FullPaths = resolve_full(settings.model_cache)
        self._device = _device(settings)

    def detector(self) -> Detector:
        from models.yolo_detector import YoloDetector

        return YoloDetector.load(self._paths.detector, device=self._device)

    def image_encoder(self) -> ImageEncoder:
        from models.full_encoder import OpenClipImageEncoder

        return OpenClipImageEncoder.load(self._paths.encoder, device=self._device)

    def text_encoder(self) -> TextEncoder:
        from models.full_encoder import OpenClipTextEncoder

        return OpenClipTextEncoder.load(self._paths.encoder, device=self._device)

    def writer(self) -> Writer:
        from models.hf_writer import HfWriter

        return HfWriter.load(self._paths.writer, None, device=self._device)


def calibrations(settings: Settings) -> Calibrations:
    """How neighbours' votes are counted: as fitted for the starter's encoder, else with `WEFT_NEIGHBOURS` and defaults."""
    from models.calibration import FILE, load

    return load(shipped_path(FILE), Calibration(k=settings.neighbours))


def require_weights(settings: Settings) -> None:
    """Before anything is started: the weights of the profile are there. Raises `Missing`, which says how to get them."""
    if settings.profile != FAKE:
        require(_profile(settings), settings.model_cache)


def _profile(settings: Settings) -> Profile:
    found = {profile.name: profile for profile in (STARTER, FULL)}.get(settings.profile)
    if found is None:
        raise BadSetting(f"WEFT_PROFILE is {settings.profile!r}: say starter or full")
    return found


def _device(settings: Settings) -> str:
    """Choose the device; and forbid every library, before its import, to fetch anything behind the user's back."""
    from models.device import choose, use_threads

    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    use_threads(settings.threads)
    return choose(settings.device)


class Models:
    """Each model is loaded when a role first asks for it, so that a process holds only what its roles need."""

    def __init__(self, settings: Settings, observe: Callable[[str], Observe]) -> None:
        self._settings, self._observe = settings, observe

    @cached_property
    def _loader(self) -> Loader:
        if self._settings.profile == FAKE:
            return FakeLoader()
        return StarterLoader(self._settings) if _profile(self._settings) is STARTER else FullLoader(self._settings)

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
