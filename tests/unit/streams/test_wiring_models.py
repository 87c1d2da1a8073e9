"""The models of a process are loaded once, however many roles ask for them at once."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from index_sync.manifest import FORMAT, Current, Manifest, ObjectRef, SnapshotLocation, encode, ref
from infra.memory_store import MemoryStore
from infra.settings import Settings
from models.encoder.own_folder import NoTexts
from models.fakes import FakeDetector, FakeImageEncoder, FakeTextEncoder, FakeWriter
from models.guard import GuardedTextEncoder, GuardedWriter, ignore
from models.ports import Detector, ImageEncoder, TextEncoder, Writer
from processors.errors import BadSetting, Fatal
from processors.second_look import CATEGORY
from streams.search import generations
from streams.wiring.held_space import check_space, encoder_of_snapshots
from streams.wiring.models import FakeLoader, Models, judge_of, shipped_heads
from streams.wiring.weights import name_of, told_of, writes_by_rule


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


@pytest.mark.parametrize(
    ("held", "encoder", "refused"),
    [
        (("", ""), "sha256:a", False),
        (("g-0001", ""), "sha256:a", False),
        (("g-0001", "sha256:a"), "sha256:a", False),
        (("g-0001", "sha256:b"), "sha256:a", True),
    ],
)
def test_items_of_another_space_than_the_index_holds_are_not_begun(
    held: tuple[str, str], encoder: str, refused: bool
) -> None:
    """Each would be a dead letter of the index: the role says at its start what to do instead."""
    settings = Settings(profile="our-shop")
    if not refused:
        check_space(settings, held, encoder)
        return
    with pytest.raises(BadSetting, match=r"generation g-0001.*weft replay.*--profile our-shop.*weft index swap"):
        check_space(settings, held, encoder)


def test_a_role_tells_at_its_start_what_it_runs() -> None:
    """The profile, and each part by its kind; lineage has the name alone."""
    told = told_of(Settings(profile="starter-bf16"))
    assert told["profile"] == name_of(Settings(profile="starter-bf16")) == "starter-bf16"
    assert (told["detector"], told["encoder"], told["writer"]) == ("starter", "starter-bf16", "starter")
    assert told_of(Settings(profile="fake")) == {"profile": "fake"}


def test_a_tower_without_words_is_not_warmed_up() -> None:
    """It refuses every text, its own example too; the guard says so to whoever would ask it."""
    guarded = GuardedTextEncoder(NoTexts(dimension=4, maker="sha256:x"))
    guarded.warm_up()
    assert "no text tower" in guarded.refuses
    assert GuardedTextEncoder(FakeTextEncoder()).refuses == ""


def test_the_encoder_of_a_snapshot_is_read_where_the_index_wrote_it() -> None:
    """As `index_sync.manifest` writes both; shards without a snapshot, or with one that is damaged, are passed over."""
    place = SnapshotLocation(generations.COLLECTION, "g-0001", "catalog.items", 2)
    empty = SnapshotLocation(generations.COLLECTION, "g-0001", "catalog.items", 1)
    manifest = Manifest(
        FORMAT,
        generations.COLLECTION,
        "g-0001",
        1,
        1,
        "catalog.items",
        "",
        2,
        9,
        (),
        ObjectRef("s", "", 0),
        "sha256:e",
        4,
        "ip",
        "f4",
        "",
        0,
        "",
        0.0,
    )
    store = MemoryStore("test")
    data = encode(manifest)
    store.put(place.manifest(1, 1), data)
    store.put(place.current, encode(Current(1, "w", ref(place.manifest(1, 1), data))))
    store.put(empty.current, encode(Current(1, "w")))
    assert encoder_of_snapshots(store, "g-0001", 12) == "sha256:e"
    assert encoder_of_snapshots(store, "g-0002", 12) == ""


def test_captions_of_a_profile_without_a_model_are_signed_by_the_rules(tmp_path: Path) -> None:
    """Not as those of a language model, as `WEFT_WRITER=template` signs them too."""
    file = tmp_path / "rules.yaml"
    file.write_text("name: rules\nextends: starter\nparts: {writer: {kind: rules}}\n")
    assert writes_by_rule(Settings(profile=str(file)))
    assert writes_by_rule(Settings(profile="starter", writer="template"))
    assert not writes_by_rule(Settings(profile="starter"))
    assert not writes_by_rule(Settings(profile="fake"))


class _Broken(FakeLoader):
    """Its writer fails on everything."""

    def writer(self) -> Writer:
        class Failing(FakeWriter):
            def forward(self, batch: Sequence[Any], /) -> list[Any]:
                raise RuntimeError(f"no kernel image for {len(batch)}")

        return Failing()


def test_captions_can_do_without_their_writer_and_nobody_else_can() -> None:
    """A worker gives out one that fails on its own example, for the role `caption`; other roles and commands are told."""
    fake = Settings(profile="fake")
    with pytest.raises(Fatal, match="writer fails on its own example"):
        _ = Models(fake, lambda _: ignore, loader=_Broken).writer
    models = Models(fake, lambda _: ignore, loader=_Broken, writer_may_fail=True)
    writer = models.writer
    assert isinstance(writer, GuardedWriter)
    assert writer.is_broken
    with pytest.raises(Fatal, match="writer fails on its own example"):
        _ = models.needed_writer
    well = Models(fake, lambda _: ignore, loader=FakeLoader, writer_may_fail=True)
    assert well.needed_writer.fingerprint == well.writer.fingerprint
