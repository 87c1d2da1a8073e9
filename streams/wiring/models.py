"""The models of a profile, guarded and warmed up: the part of the composition root that knows model classes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from infra.settings import Settings
from models.guard import GuardedDetector, GuardedImageEncoder, GuardedTextEncoder, GuardedWriter, Observe
from models.ports import Detector, ImageEncoder, TextEncoder, Writer
from models.weights.hashes import check_weights
from models.weights.profiles import (
    EFFICIENTNET,
    MINILM,
    STARTER,
    STARTER_BF16,
    FullPaths,
    StarterPaths,
    is_starter,
    resolve,
    resolve_full,
    shipped_path,
)
from processors.attributes import Calibration, Calibrations
from processors.facets import Head, Heads
from processors.relevance import Relevance
from processors.second_look import CATEGORY
from streams.wiring.weights import FAKE, profile_of

if TYPE_CHECKING:
    from models.packed import Precision

MEASURED = "measured"
"""Folder of the model cache that keeps what was measured on a machine."""


class _Warm(Protocol):
    """A model that is run once before it takes work."""

    def warm_up(self) -> None: ...


M = TypeVar("M", bound=_Warm)


class Loader(Protocol):
    """How a profile loads each of its models."""

    def detector(self) -> Detector: ...
    def image_encoder(self) -> ImageEncoder: ...
    def text_encoder(self) -> TextEncoder: ...
    def sentence_encoder(self) -> TextEncoder: ...
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

    def sentence_encoder(self) -> TextEncoder:
        return self.text_encoder()

    def writer(self) -> Writer:
        from models.fakes import FakeWriter

        return FakeWriter()


class StarterLoader:
    """The weights of the repository, on bases of the package index."""

    def __init__(self, settings: Settings) -> None:
        self._paths: StarterPaths = resolve(STARTER, settings.model_cache, only=())
        self._cache = settings.model_cache
        self._device = _device(settings)
        self._settings = settings
        self._precision = _precision(settings)
        self._choices = settings.model_cache / MEASURED

    def _check(self, *artefacts: str) -> None:
        """Every byte of what is loaded now; what other roles load is theirs to read."""
        resolve(STARTER, self._cache, only=artefacts)

    def detector(self) -> Detector:
        from models.detector.yolo_detector import YoloDetector

        self._check("detector")
        return YoloDetector.load(self._paths.detector, device=self._device, choices=self._choices)

    def image_encoder(self) -> ImageEncoder:
        from models.encoder.clip_encoder import ClipImageEncoder

        self._check("encoder", EFFICIENTNET.name)
        return ClipImageEncoder.load(
            self._paths.encoder,
            self._paths.image_trunk,
            device=self._device,
            precision=self._precision,
            choices=self._choices,
        )

    def text_encoder(self) -> TextEncoder:
        from models.encoder.clip_encoder import ClipTextEncoder

        self._check("encoder", MINILM.name)
        return ClipTextEncoder.load(
            self._paths.encoder, self._paths.text_tower, device=self._device, precision=self._precision
        )

    def sentence_encoder(self) -> TextEncoder:
        from models.encoder.sentence_encoder import SentenceEncoder

        self._check(MINILM.name)
        return SentenceEncoder.load(self._paths.text_tower, device=self._device)

    def writer(self) -> Writer:
        if self._settings.writer == "template":
            return _rules()
        from models.writer.hf_writer import HfWriter

        self._check("writer")  # its base is read, and checked, only when it is rounded
        return HfWriter.load(
            self._paths.writer_base,
            self._paths.writer_adapter,
            device=self._device,
            batch=self._settings.batch_items,
            choices=self._settings.model_cache / MEASURED,
            grounded=self._settings.writer == "grounded",
        )


class FullLoader:
    """Published weights in the model cache: fetched by `weft models pull full`, and never by this."""

    def __init__(self, settings: Settings) -> None:
        self._paths: FullPaths = resolve_full(settings.model_cache)
        self._device = _device(settings)
        self._settings = settings

    def detector(self) -> Detector:
        from models.detector.yolo_detector import YoloDetector

        return YoloDetector.load(self._paths.detector, device=self._device)

    def image_encoder(self) -> ImageEncoder:
        from models.encoder.full_encoder import OpenClipImageEncoder

        return OpenClipImageEncoder.load(self._paths.encoder, device=self._device)

    def text_encoder(self) -> TextEncoder:
        from models.encoder.full_encoder import OpenClipTextEncoder

        return OpenClipTextEncoder.load(self._paths.encoder, device=self._device)

    def sentence_encoder(self) -> TextEncoder:
        """The text tower of the profile: it has no other."""
        return self.text_encoder()

    def writer(self) -> Writer:
        if self._settings.writer == "template":
            return _rules()
        from models.writer.hf_writer import HfWriter

        return HfWriter.load(
            self._paths.writer,
            None,
            device=self._device,
            batch=self._settings.batch_items,
            choices=self._settings.model_cache / MEASURED,
            grounded=self._settings.writer == "grounded",
        )


def _rules() -> Writer:
    from models.writer.by_rule import RuleWriter

    return RuleWriter()


def calibrations(settings: Settings) -> Calibrations:
    """How neighbours' votes are counted: as fitted for the starter's encoder, else with `WEFT_NEIGHBOURS` and defaults."""
    from models.calibration import FILE, load

    found = load(shipped_path(FILE), Calibration(k=settings.neighbours))
    if settings.profile != STARTER_BF16.name:
        return found
    from models.encoder.clip_encoder import space_fingerprint

    digest = check_weights(shipped_path("encoder.safetensors"))
    # Likenesses differ by less than the calibration can tell.
    alike = space_fingerprint(digest) == found.encoder
    return replace(found, encoder=space_fingerprint(digest, "bfloat16")) if alike else found


def relevance_of(settings: Settings) -> Relevance:
    """How scores become relevance: as fitted for the starter's encoder, of which bfloat16 moves them by less than the fit can tell;
    of another profile's nobody can say.
    """
    from models.relevance import FILE, load

    found = load(shipped_path(FILE))
    if settings.profile != STARTER_BF16.name:
        return found
    from models.encoder.clip_encoder import space_fingerprint

    digest = check_weights(shipped_path("encoder.safetensors"))
    alike = space_fingerprint(digest) == found.encoder
    return replace(found, encoder=space_fingerprint(digest, "bfloat16")) if alike else found


def _precision(settings: Settings) -> Precision:
    return "bfloat16" if settings.profile == STARTER_BF16.name else "float32"


def shipped_heads(settings: Settings) -> Heads | None:
    """The facet heads of the repository, for the encoder that they were fitted for; None of a profile with another one.

    Raises:
        Fatal: the file is missing or damaged.
    """
    if settings.profile == FAKE or not any(one.name == "facets" for one in profile_of(settings).artefacts):
        return None
    from models.facets.facet_heads import load_shipped

    return load_shipped().heads


def judge_of(heads: Heads | None, maker: str) -> Head | None:
    """The head that looks at garments a second time, where it was fitted for this encoder (`ImageEncoder.features_maker`)."""
    return heads.heads.get(CATEGORY) if heads is not None and heads.maker == maker else None


def _device(settings: Settings) -> str:
    """Choose the device; and forbid every library, before its import, to fetch anything behind the user's back."""
    from models.device import choose, use_threads

    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    use_threads(settings.threads)
    return choose(settings.device)


class Models:
    """Each model is loaded when a role first asks for it, so that a process holds only what its roles need.

    Safe to ask from many threads; one loads at a time, whichever model it is: two roles that ask at once would hold a
    model twice, and torch and transformers do not bear being imported by two threads at once.

    Args:
        settings: of the process.
        observe: makes the observer of a model.
        loader: what loads; None: that of the settings' profile.
    """

    def __init__(
        self,
        settings: Settings,
        observe: Callable[[str], Observe],
        *,
        loader: Callable[[], Loader] | None = None,
    ) -> None:
        self._observe = observe
        self._make_loader = loader or (lambda: _loader_of(settings))
        self._loading = threading.Lock()
        self._loader: Loader | None = None
        self._loaded: dict[str, _Warm] = {}

    def begin(self, names: Sequence[str]) -> None:
        """Load these in a thread of their own, one after the other. What fails is met by whoever asks for it then.

        Args:
            names: of properties of this class.
        """

        def load() -> None:
            for name in names:
                with suppress(Exception):
                    getattr(self, name)

        if names:
            threading.Thread(target=load, name="loads models").start()

    @property
    def detector(self) -> Detector:
        return self._once("detector", lambda one: GuardedDetector(one.detector(), observe=self._observe("detector")))

    @property
    def image_encoder(self) -> ImageEncoder:
        return self._once(
            "image encoder",
            lambda one: GuardedImageEncoder(one.image_encoder(), observe=self._observe("image encoder")),
        )

    @property
    def text_encoder(self) -> TextEncoder:
        return self._once(
            "text encoder", lambda one: GuardedTextEncoder(one.text_encoder(), observe=self._observe("text encoder"))
        )

    @property
    def sentence_encoder(self) -> TextEncoder:
        """How alike two texts are; loaded when the first article applies to a product."""
        return self._once(
            "sentence encoder",
            lambda one: GuardedTextEncoder(one.sentence_encoder(), observe=self._observe("sentence encoder")),
        )

    @property
    def writer(self) -> Writer:
        return self._once("writer", lambda one: GuardedWriter(one.writer(), observe=self._observe("writer")))

    def _once(self, name: str, load: Callable[[Loader], M]) -> M:
        with self._loading:
            if self._loader is None:
                self._loader = self._make_loader()
            model = self._loaded.get(name)
            if model is None:
                model = load(self._loader)
                model.warm_up()
                self._loaded[name] = model
            return cast("M", model)


def _loader_of(settings: Settings) -> Loader:
    if settings.profile == FAKE:
        return FakeLoader()
    return StarterLoader(settings) if is_starter(profile_of(settings)) else FullLoader(settings)
