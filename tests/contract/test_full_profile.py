"""The profile `full` on small checkpoints of its architectures: the loading path, the contract of models, one caption."""

from __future__ import annotations

import asyncio
import io
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from infra.memory_store import MemoryStore
from infra.settings import Settings
from models.detector.yolo_detector import YoloDetector
from models.encoder import full_encoder
from models.guard import ignore
from models.ports import WriterRequest, view_of
from models.profiles.held import pull, verify
from models.profiles.kinds import Place
from models.profiles.reading import find
from models.weights.hashes import MARKER, list_folder, sha256_of
from processors import captions
from processors.attributes import Calibration
from processors.decode import DecodeLimits
from processors.errors import BadSetting, Fatal, Missing
from processors.values import Colour, Evidence, Garment, Pixels
from streams.contract import topics
from streams.contract.codecs import encode
from streams.contract.records import Caption, Item
from streams.engine.message import Message
from streams.roles.caption.drafts import needs_no_device
from streams.roles.caption.neighbours import Neighbourhood
from streams.roles.caption.role import Captioner
from streams.roles.enrich import Enrich, memo_fingerprint
from streams.roles.memo import Memo
from streams.roles.remote import RemotePhotos
from streams.roles.told import Told
from streams.wiring.models import Models
from streams.wiring.weights import check_settings, require_weights, told_of
from tests.contract.model_contract import DetectorContract, EncoderContract, ImageEncoderContract, ModelContract
from tests.fixtures import full_profile

FULL = find("full", Path("/nowhere"))
BAD_PICTURES = [np.zeros((0, 0, 3), np.uint8), np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32)]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model cache, filled by `weft models pull full --from` without any network."""
    given = full_profile.build(tmp_path_factory.mktemp("given"))
    cache = tmp_path_factory.mktemp("cache")
    pull(FULL, cache, progress=lambda _: None, given=given)
    return cache


@pytest.fixture(scope="module")
def models(cache: Path) -> Models:
    """As the roles get them: loaded, guarded, warmed up."""
    return Models(Settings(profile="full", model_cache=cache, device="cpu"), lambda _: ignore)


@pytest.fixture(scope="module")
def pictures() -> list[Pixels]:
    """Textured pictures of several shapes, so that no two anchors see the same."""
    draw = np.random.default_rng(5)
    coarse = [draw.integers(0, 255, (h, w, 3)).astype(np.uint8) for h, w in ((12, 12), (12, 9), (10, 12))]
    return [np.asarray(Image.fromarray(c).resize((c.shape[1] * 10, c.shape[0] * 10))) for c in coarse]


class TestDetector(DetectorContract):
    """YOLO11s."""

    @pytest.fixture
    def model(self, models: Models) -> Any:
        return models.detector

    @pytest.fixture
    def items(self, pictures: list[Pixels]) -> list[Pixels]:
        return pictures

    @pytest.fixture
    def bad(self) -> list[Any]:
        return BAD_PICTURES


class TestImageEncoder(ImageEncoderContract):
    """A SigLIP's image tower."""

    @pytest.fixture
    def model(self, models: Models) -> Any:
        return models.image_encoder

    @pytest.fixture
    def items(self, pictures: list[Pixels]) -> list[Pixels]:
        return pictures

    @pytest.fixture
    def bad(self) -> list[Any]:
        return BAD_PICTURES


class TestTextEncoder(EncoderContract):
    """A SigLIP's text tower."""

    @pytest.fixture
    def model(self, models: Models) -> Any:
        return models.text_encoder

    @pytest.fixture
    def items(self) -> list[str]:
        return ["a red dress", "blue jeans", "shoes"]

    @pytest.fixture
    def bad(self) -> list[Any]:
        return ["", " \n", "x" * 2001]

    def test_both_towers_are_of_one_space(self, models: Models) -> None:
        """Same maker, same dimension: their vectors may meet."""
        assert models.text_encoder.fingerprint == models.image_encoder.fingerprint
        assert models.text_encoder.dimension == models.image_encoder.dimension == 64


class TestWriter(ModelContract):
    """A Qwen2 in NF4."""

    @pytest.fixture
    def model(self, models: Models) -> Any:
        return models.writer

    @pytest.fixture
    def items(self) -> list[WriterRequest]:
        box, red = (0.0, 0.0, 60.0, 90.0), Colour("red", "#c8202f", 0.9)
        packs = [Evidence((Garment("g0", "dress", box, 0.9, (red,)),)), Evidence(())]
        return [WriterRequest(pack, tone, 7) for pack, tone in zip(packs, captions.TONES, strict=False)]

    @pytest.fixture
    def bad(self) -> list[Any]:
        return []


def test_blip_writes_where_it_is_asked_for(cache: Path, tmp_path: Path, pictures: list[Pixels]) -> None:
    """`WEFT_WRITER=blip` takes the folder of the cache; without one it is told how to get it, before anything starts."""
    settings = Settings(profile="full", model_cache=cache, device="cpu", writer="blip")
    require_weights(settings)
    assert told_of(settings)["writer"] == "blip"
    writer = Models(settings, lambda _: ignore).writer
    asked = WriterRequest(Evidence((Garment("g0", "dress", (0.0, 0.0, 60.0, 90.0), 0.9),)), "plain", 1, pictures[0])
    [raw] = writer.forward([writer.prepare(asked)])
    assert (view_of(writer), isinstance(writer.finish(asked, raw), str)) == ("photo", True)
    copy = tmp_path / "cache"
    shutil.copytree(cache, copy, ignore=shutil.ignore_patterns("blip-*"))
    with pytest.raises(Missing, match=r"blip-image-captioning-base is missing.*weft models pull full --from"):
        require_weights(settings.model_copy(update={"model_cache": copy}))
    folder = cache / "blip-image-captioning-base"
    file = tmp_path / "looks.yaml"
    part = f"{{kind: blip, path: {folder}, sha256: {sha256_of(folder / MARKER)}}}"
    file.write_text(f"name: looks\nextends: full\nparts:\n  writer: {part}\n")
    own = Settings(profile=str(file), model_cache=copy, device="cpu")
    assert view_of(Models(own, lambda _: ignore).writer) == "photo"
    with pytest.raises(BadSetting, match="no language model"):
        check_settings(own.model_copy(update={"writer": "grounded"}))


async def test_one_photo_becomes_an_item_and_a_caption(models: Models, pictures: Sequence[Pixels]) -> None:
    """Enrich and caption on the full profile's models; random weights write nonsense, so the rule-based writer signs."""
    buffer = io.BytesIO()
    Image.fromarray(pictures[0]).save(buffer, "PNG")
    store = MemoryStore("test")
    key = store.put_content(buffer.getvalue(), suffix=".png", prefix="images")
    detector, encoder = models.detector, models.image_encoder
    enrich = Enrich(
        store=store,
        fetcher=_Own(store, key),  # type: ignore[arg-type]
        remote=RemotePhotos(_Own(store, key), store),  # type: ignore[arg-type]
        detector=detector,
        encoder=encoder,
        memo=Memo(store, "enrich", memo_fingerprint(detector, encoder)),
        limits=DecodeLimits(),
        batch_items=2,
        batch_wait_s=0.0,
    )
    upload = {"product_id": "sku-1", "image": {"uri": store.uri(key)}}
    photo = await enrich.read(Message(topics.UPLOADS, 0, 0, b"sku-1", encode(upload)))  # type: ignore[arg-type]
    [seen] = enrich.detect([enrich.decode(photo)])  # type: ignore[arg-type]
    [embedded] = enrich.embed([enrich.describe(seen)])
    told = await enrich.remember(embedded)
    assert isinstance(told, Told)
    item = await enrich.stands(told)
    assert isinstance(item, Item)
    assert item.garments
    assert item.encoder == models.text_encoder.fingerprint
    captioner = Captioner(
        models.writer,
        Neighbourhood(),
        Memo(store, "caption", models.writer.fingerprint),
        Calibration(),
        batch_items=2,
        batch_wait_s=0.0,
    )
    read = captioner.read(Message(topics.ITEMS, 0, 0, b"sku-1", encode(item)))
    [draft] = await asyncio.to_thread(captioner.drafts.write, [captioner.prompt(captioner.pack(read))])  # type: ignore[arg-type]
    judged = captioner.drafts.judge(draft)
    if needs_no_device(judged) is None:
        [judged] = await asyncio.to_thread(captioner.drafts.write, [judged])
    caption = await captioner.remember(captioner.drafts.settle(judged))
    assert isinstance(caption, Caption)
    assert caption.caption
    assert caption.lineage.writer == models.writer.fingerprint


class _Own:
    """A `Fetcher` of the store's own objects."""

    def __init__(self, store: MemoryStore, key: str) -> None:
        self._store, self._key = store, key

    async def fetch(self, _uri: str) -> bytes:
        return self._store.get(self._key)


def test_every_byte_is_as_recorded(cache: Path) -> None:
    """`weft models verify full` has nothing to say of what was just taken in."""
    assert [problem for problem in verify(FULL, cache) if cache in problem.path.parents or problem.path == cache] == []


@pytest.mark.parametrize(
    "name",
    [
        "fashion-siglip/open_clip_model.safetensors",
        "fashion-siglip/tokenizer.json",
        "qwen2.5-1.5b-instruct/model.safetensors",
        "qwen2.5-1.5b-instruct/tokenizer_config.json",
        "yolo11-garments/model.safetensors",
    ],
)
def test_a_flipped_byte_is_refused_and_named(cache: Path, tmp_path: Path, name: str) -> None:
    """Nothing loads, and the sentence says which file and what to run."""
    copy = tmp_path / "cache"
    shutil.copytree(cache, copy)
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    models = Models(Settings(profile="full", model_cache=copy, device="cpu"), lambda _: ignore)
    part = {"fashion": "image_encoder", "qwen2.5": "writer", "yolo11": "detector"}[name.partition("-")[0]]
    with pytest.raises(Fatal, match=rf"{name}.*damaged.*weft models pull full"):
        getattr(models, part)
    assert [str(p.path) for p in verify(FULL, copy) if copy in p.path.parents] == [str(copy / name)]


def test_a_file_that_nobody_listed_is_refused(cache: Path, tmp_path: Path) -> None:
    """A pickle that somebody slipped into the folder never comes near a library."""
    copy = tmp_path / "cache"
    shutil.copytree(cache, copy)
    (copy / "fashion-siglip" / "open_clip_pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(Fatal, match=r"open_clip_pytorch_model\.bin: not listed"):
        _ = Models(Settings(profile="full", model_cache=copy, device="cpu"), lambda _: ignore).image_encoder


def test_an_empty_cache_names_the_command(tmp_path: Path) -> None:
    """The profile is never fetched silently: the roles say what to run."""
    with pytest.raises(Fatal, match=r"fashion-siglip is missing: run `weft models pull full`"):
        _ = Models(Settings(profile="full", model_cache=tmp_path), lambda _: ignore).detector


def test_without_a_detector_of_ones_own_the_starters_serves(cache: Path, tmp_path: Path) -> None:
    """No published YOLO11 garment detector comes as safetensors."""
    copy = tmp_path / "cache"
    shutil.copytree(cache, copy)
    shutil.rmtree(copy / "yolo11-garments")
    assert FULL.part("detector", copy).kind == "starter"
    assert Place(cache).path(FULL.part("detector", cache)) == cache / "yolo11-garments"


def test_published_files_must_be_the_pinned_ones(cache: Path, tmp_path: Path) -> None:
    """A folder without a list of its owner is taken for the published checkpoint, and compared with its hash."""
    given = tmp_path / "given"
    shutil.copytree(cache / "fashion-siglip", given / "fashion-siglip")
    (given / "fashion-siglip" / MARKER).unlink()
    (given / "fashion-siglip" / "special_tokens_map.json").write_text("{}")
    with pytest.raises(Fatal, match=r"open_clip_model\.safetensors is not the pinned file"):
        pull(FULL, tmp_path / "cache", progress=lambda _: None, given=given)
    assert not (tmp_path / "cache" / "fashion-siglip").exists()


def test_a_given_folder_that_lies_about_itself_is_refused(cache: Path, tmp_path: Path) -> None:
    """What differs from the owner's own list is named, before anything is copied."""
    given = tmp_path / "given"
    shutil.copytree(cache, given)
    (given / "yolo11-garments" / "model.safetensors").write_bytes(b"another")
    with pytest.raises(Fatal, match=r"model\.safetensors: damaged"):
        pull(FULL, tmp_path / "cache", progress=lambda _: None, given=given)
    assert not (tmp_path / "cache" / "yolo11-garments").exists()


def test_what_is_not_given_is_not_asked_of_the_hub(cache: Path, tmp_path: Path) -> None:
    """A shop without network is told which folder is missing; what its cache holds already may stay away."""
    with pytest.raises(Fatal, match=r"has no folder fashion-siglip, and the hub is not asked"):
        pull(FULL, tmp_path / "empty", progress=lambda _: None, given=tmp_path)
    pull(FULL, cache, progress=lambda _: None, given=tmp_path)


def test_a_folder_with_a_pickle_cannot_be_listed(tmp_path: Path) -> None:
    """Weights of one's own are safetensors too."""
    (tmp_path / "best.pt").write_bytes(b"x")
    with pytest.raises(Fatal, match=r"best\.pt may be a pickle"):
        list_folder(tmp_path, "yolo11-garments")


def test_weights_of_another_network_are_refused(cache: Path, tmp_path: Path) -> None:
    """A checkpoint that does not fit its configuration is named, not half-loaded."""
    folder = tmp_path / "fashion-siglip"
    shutil.copytree(cache / "fashion-siglip", folder)
    config = folder / "open_clip_config.json"
    config.write_text(config.read_text().replace('"layers": 2', '"layers": 3'))
    list_folder(folder, "fashion-siglip")
    with pytest.raises(Fatal, match=r"open_clip_model\.safetensors does not fit open_clip_config\.json"):
        full_encoder.load_texts(folder)


def test_a_detector_of_the_profile_knows_its_architecture(cache: Path) -> None:
    """The header says which YAML of ultralytics it is."""
    assert YoloDetector.load(cache / "yolo11-garments" / "model.safetensors").header.architecture == "yolo11s.yaml"
