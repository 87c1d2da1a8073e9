"""The models of a process are loaded once, however many roles ask for them at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from infra.settings import Settings
from models.fakes import FakeDetector, FakeImageEncoder, FakeTextEncoder, FakeWriter
from models.ports import Detector, ImageEncoder, TextEncoder, Writer
from processors.second_look import CATEGORY
from streams.wiring.models import Models, judge_of, shipped_heads


class SlowLoader:
    """Counts its loads; each of them gives whoever else asks the time to come in between."""

    def __init__(self) -> None:
        self.loads = 0
        self.second = threading.Event()

    def _load(self) -> None:
        self.loads += 1
        if self.loads > 1:
            self.second.set()
        self.second.wait(0.2)

    def detector(self) -> Detector:
        self._load()
        return FakeDetector()

    def image_encoder(self) -> ImageEncoder:
        self._load()
        return FakeImageEncoder()

    def text_encoder(self) -> TextEncoder:
        self._load()
        return FakeTextEncoder()

    def writer(self) -> Writer:
        self._load()
        return FakeWriter()


@pytest.mark.parametrize("model", ["detector", "image_encoder", "text_encoder", "writer"])
def test_two_roles_that_ask_at_once_share_one_model(model: str) -> None:
    """With all roles in one process, enrich and compose ask for the image encoder in the same moment, in two threads."""
    loader = SlowLoader()
    models = Models(Settings(profile="fake"), lambda _: lambda *_: None, loader=lambda: loader)
    both = threading.Barrier(2)

    def ask(_: int) -> object:
        both.wait(60)
        return getattr(models, model)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(ask, range(2))
    assert first is second
    assert loader.loads == 1


@pytest.mark.parametrize(
    ("profile", "shipped"), [("starter", True), ("starter-bf16", True), ("full", False), ("fake", False)]
)
def test_the_heads_of_facets_ship_with_the_encoder_that_they_read(profile: str, shipped: bool) -> None:
    """Both precisions of the starter's encoder have them; an encoder of another maker gets none, and no second look."""
    found = shipped_heads(Settings(profile=profile))
    assert (found is not None) is shipped
    assert judge_of(found, "sha256:another") is None
    if found is not None:
        assert judge_of(found, found.maker) is found.heads[CATEGORY]
