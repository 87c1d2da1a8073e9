"""The models of a profile, guarded and warmed up: the part of the composition root that knows model classes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from infra.settings import Settings
from models.device import OneThread
from models.guard import Guarded, GuardedDetector, GuardedImageEncoder, GuardedTextEncoder, GuardedWriter, Observe
from models.ports import Detector, ImageEncoder, Storyteller, TextEncoder, Writer
from models.profiles import kinds
from models.profiles.held import require
from models.profiles.kinds import STARTERS, Place, Towers
from models.profiles.profile import FAKE, Profile
from models.served.watch import NullWatch, Watch
from models.served.writer import ServedWriter
from models.weights.hashes import check_weights
from models.weights.starter import shipped_path
from processors.attributes import Calibration, Calibrations
from processors.errors import Fatal
from processors.facets import Head, Heads
from processors.relevance import Relevance
from processors.second_look import CATEGORY
from streams.wiring.weights import kind_of, profile_of, writer_part

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
    def second_encoder(self) -> ImageEncoder: ...
    def storyteller(self) -> Storyteller: ...
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

    def second_encoder(self) -> ImageEncoder:
        return self.image_encoder()

    def storyteller(self) -> Storyteller:
        raise Fatal("the profile `fake` writes no stories")

    def writer(self) -> Writer:
        from models.fakes import FakeWriter

        return FakeWriter()


class PartsLoader:
    """The models of a profile, each by the kind of its part; what no role asks for is never read.

    Args:
        settings: of the process.
        profile: whose models; None: that of the settings.

    Raises:
        BadSetting, Missing: there is no such profile, or its weights are not here.
    """

    def __init__(self, settings: Settings, profile: Profile | None = None) -> None:
        self._profile = profile or profile_of(settings)
        require(self._profile, settings.model_cache)
        self._settings = settings
        self._towers: Towers | None = None

    @cached_property
    def place(self) -> Place:
        """Where they are loaded."""
        return place_of(self._settings, self.writer)

    def detector(self) -> Detector:
        return cast("Detector", self._load("detector"))

    def image_encoder(self) -> ImageEncoder:
        return self._encoder().images()

    def text_encoder(self) -> TextEncoder:
        return self._encoder().texts()

    def sentence_encoder(self) -> TextEncoder:
        return self._encoder().sentences()

    def second_encoder(self) -> ImageEncoder:
        from models.encoder.by_kind import second

        return second(self._settings.second_encoder, self.place)

    def storyteller(self) -> Storyteller:
        from models.writer.by_kind import stories

        return stories(Path(self._settings.story_writer), self.place)

    def writer(self) -> Writer:
        if self._settings.writer == "template":
            from models.writer.by_rule import RuleWriter

            return RuleWriter()
        return cast("Writer", kinds.load("writer", writer_part(self._settings, self._profile), self.place))

    def _encoder(self) -> Towers:
        if self._towers is None:
            self._towers = cast("Towers", self._load("encoder"))
        return self._towers

    def _load(self, name: str) -> Any:
        return kinds.load(name, self._profile.part(name, self._settings.model_cache), self.place)


def place_of(settings: Settings, writer: Callable[[], Writer] | None = None) -> Place:
    """Where the process loads models; and every library is forbidden, before its import, to fetch anything behind the user's back."""
    from models.device import choose, compute_exactly, stay_offline, use_threads

    stay_offline()
    use_threads(settings.threads)
    device = choose(settings.device)
    compute_exactly(device)
    return Place(
        cache=settings.model_cache,
        device=device,
        batch=settings.batch_items,
        grounded=settings.writer == "grounded",
        measured=settings.model_cache / MEASURED,
        writer=writer,
    )


def calibrations(settings: Settings) -> Calibrations:
    """How neighbours' votes are counted: as fitted for the starter's encoder, else with `WEFT_NEIGHBOURS` and defaults."""
    from models.calibration import FILE, load

    found = load(shipped_path(FILE), Calibration(k=settings.neighbours))
    if kind_of(settings, "encoder") != "starter-bf16":
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
    if kind_of(settings, "encoder") != "starter-bf16":
        return found
    from models.encoder.clip_encoder import space_fingerprint

    digest = check_weights(shipped_path("encoder.safetensors"))
    alike = space_fingerprint(digest) == found.encoder
    return replace(found, encoder=space_fingerprint(digest, "bfloat16")) if alike else found


def shipped_heads(settings: Settings) -> Heads | None:
    """The facet heads of the profile, for the encoder that they were fitted for; None where it has none.

    Raises:
        Fatal: the file is missing or damaged.
    """
    if settings.profile == FAKE:
        return None
    part = profile_of(settings).part("facets", settings.model_cache)
    return cast("Heads | None", kinds.load("facets", part, Place(settings.model_cache)))


def judge_of(heads: Heads | None, maker: str) -> Head | None:
    """The head that looks at garments a second time, where it was fitted for this encoder (`ImageEncoder.features_maker`)."""
    return heads.heads.get(CATEGORY) if heads is not None and heads.maker == maker else None


def words_of(settings: Settings, texts: TextEncoder) -> TextEncoder:
    """A profile's text encoder for what shoppers write: the starter's small tower computes on one thread."""
    return OneThread(texts) if kind_of(settings, "encoder") in STARTERS else texts


class Models:
    """Each model is loaded when a role first asks for it, so that a process holds only what its roles need.

    Safe to ask from many threads; one loads at a time, whichever model it is: two roles that ask at once would hold a
    model twice, and torch and transformers do not bear being imported by two threads at once.

    Args:
        settings: of the process.
        observe: makes the observer of a model.
        loader: what loads; None: that of the settings' profile.
        served: makes who is told what the server behind a model does.
        writer_may_fail: a writer that fails on its own example is given out all the same (`GuardedWriter`).
    """

    def __init__(
        self,
        settings: Settings,
        observe: Callable[[str], Observe],
        *,
        loader: Callable[[], Loader] | None = None,
        served: Callable[[str], Watch] = lambda _: NullWatch(),
        writer_may_fail: bool = False,
    ) -> None:
        self._observe = observe
        self._writer_may_fail = writer_may_fail
        self.served = served
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
    def second_encoder(self) -> ImageEncoder:
        """A second opinion on which photos are alike; loaded with the first illustrated article."""
        return self._once(
            "second encoder",
            lambda one: GuardedImageEncoder(one.second_encoder(), observe=self._observe("second encoder")),
        )

    @property
    def storyteller(self) -> Storyteller:
        """Writes sentences of articles; only where `WEFT_STORY_WRITER` names one."""
        return self._once(
            "storyteller",
            lambda one: Guarded(one.storyteller(), name="storyteller", observe=self._observe("storyteller")),
        )

    @property
    def writer(self) -> Writer:
        return self._once("writer", lambda one: self._writer(one.writer()))

    @property
    def needed_writer(self) -> Writer:
        """The writer of roles that have no other words than its own."""
        found = self.writer
        return found.needed() if isinstance(found, GuardedWriter) else found

    def _writer(self, model: Writer) -> GuardedWriter | ServedWriter:
        if isinstance(model, ServedWriter):
            # No batch to halve, and no example to blame: a server that is away breaks no device.
            return model.telling(self.served("writer"), self._observe("writer"))
        return GuardedWriter(model, observe=self._observe("writer"), dispensable=self._writer_may_fail)

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
    return FakeLoader() if settings.profile == FAKE else PartsLoader(settings)
