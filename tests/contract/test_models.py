"""The contract of the ports of models, for the fakes and for the starter's real weights."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.settings import Settings
from models.fakes import FakeDetector, FakeImageEncoder, FakeTextEncoder, FakeWriter
from models.guard import Guarded
from models.ports import CaptionRequest, WriterRequest
from models.recipes.ship import write
from models.served.captioner import ServedCaptioner
from models.served.options import options_of
from models.served.writer import ServedWriter
from models.weights.starter import STARTER_FOLDER, StarterPaths, resolve
from processors import captions
from processors.drawn import GarmentSpec, draw_scene
from processors.errors import Fatal
from processors.values import CaptionText, Colour, Evidence, Garment, Pixels
from streams.wiring.models import PartsLoader
from tests.contract.model_contract import (
    BAD_PICTURES,
    DetectorContract,
    EncoderContract,
    ImageEncoderContract,
    ModelContract,
)
from tests.fakes.llm_server import MODEL, Asked, LlmServer, Reply, completion, keeps_to

TEXTS = ["a red dress", "blue jeans", "a striped shirt with long sleeves", "shoes"]


@pytest.fixture(scope="session")
def paths() -> StarterPaths:
    """The starter profile, or a skip that says which command fetches it."""
    try:
        return resolve(Settings().model_cache)
    except Fatal as trouble:
        pytest.skip(str(trouble))


@pytest.fixture(scope="session")
def pictures() -> list[Pixels]:
    """Drawn garments of several shapes of picture."""
    scenes = [draw_scene(seed, size=256).pixels for seed in (4, 7, 9, 10)]
    return [scenes[0], scenes[1][:, 64:192], scenes[2][40:200], np.ascontiguousarray(scenes[3][:, ::-1])]


@pytest.fixture(scope="session")
def requests() -> list[WriterRequest]:
    """Evidence of different garments."""
    box = (0.0, 0.0, 60.0, 90.0)
    red, navy = Colour("red", "#c8202f", 0.9), Colour("navy", "#1c2747", 0.8)
    packs = [
        Evidence((Garment("g0", "dress", box, 0.9, (red,)),)),
        Evidence((Garment("g0", "shirt", box, 0.9, (navy,)), Garment("g1", "pants", box, 0.8, (red,)))),
        Evidence(()),
    ]
    return [WriterRequest(pack, tone, 7) for pack, tone in zip(packs, captions.TONES, strict=False)]


@pytest.fixture(scope="session")
def detector(paths: StarterPaths) -> Any:
    """Loaded once."""
    from models.detector.yolo_detector import YoloDetector

    return YoloDetector.load(paths.detector, device="cpu")


@pytest.fixture(scope="session")
def image_encoder(paths: StarterPaths) -> Any:
    """Loaded once."""
    return _image_encoder(paths.encoder, paths)


@pytest.fixture(scope="session")
def text_encoder(paths: StarterPaths) -> Any:
    """Loaded once."""
    return _text_encoder(paths.encoder, paths)


class TestFakeDetector(DetectorContract):
    """The twin."""

    @pytest.fixture
    def model(self) -> FakeDetector:
        return FakeDetector()

    @pytest.fixture
    def items(self) -> list[Pixels]:
        wide, tall = np.full((90, 90, 3), 240, np.uint8), np.full((90, 90, 3), 240, np.uint8)
        wide[40:60, 10:80], tall[10:80, 40:60] = (200, 0, 0), (0, 0, 200)
        return [wide, tall, np.full((40, 30, 3), 90, np.uint8)]

    @pytest.fixture
    def bad(self) -> list[Any]:
        return BAD_PICTURES

    def test_it_finds_what_stands_out(self, model: FakeDetector, items: Sequence[Pixels]) -> None:
        """One box, tight around it; nothing on a bare wall."""
        wide, _, bare = Guarded(model, name="m").run(items)
        assert [(d.category, d.box) for d in wide] == [("shoe", (10.0, 40.0, 80.0, 60.0))]
        assert bare == ()


class TestFakeImageEncoder(ImageEncoderContract):
    """The twin."""

    @pytest.fixture
    def model(self) -> FakeImageEncoder:
        return FakeImageEncoder()

    @pytest.fixture
    def items(self, pictures: list[Pixels]) -> list[Pixels]:
        return pictures

    @pytest.fixture
    def bad(self) -> list[Any]:
        return BAD_PICTURES

    def test_pictures_lie_near_their_colour_word(self, model: FakeImageEncoder) -> None:
        """Both fakes share one space, so that plumbing tests can ask for the red one."""
        red, blue = np.full((64, 64, 3), (200, 32, 47), np.uint8), np.full((64, 64, 3), (42, 92, 176), np.uint8)
        images = np.stack(Guarded(model, name="m").run([red, blue]))
        words = np.stack(Guarded(FakeTextEncoder(), name="t").run(["red dress", "blue dress"]))
        assert (images @ words.T).argmax(1).tolist() == [0, 1]
        assert model.fingerprint == FakeTextEncoder().fingerprint


class TestFakeTextEncoder(EncoderContract):
    """The twin."""

    @pytest.fixture
    def model(self) -> FakeTextEncoder:
        return FakeTextEncoder()

    @pytest.fixture
    def items(self) -> list[str]:
        return TEXTS

    @pytest.fixture
    def bad(self) -> list[Any]:
        return []


class TestFakeWriter(ModelContract):
    """The twin."""

    @pytest.fixture
    def model(self) -> FakeWriter:
        return FakeWriter()

    @pytest.fixture
    def items(self, requests: list[WriterRequest]) -> list[WriterRequest]:
        return requests

    @pytest.fixture
    def bad(self) -> list[Any]:
        return []

    def test_what_it_writes_is_accepted(self, model: FakeWriter, items: Sequence[WriterRequest]) -> None:
        """The parser and the verifier take it as a language model's good draft."""
        for request, raw in zip(items, Guarded(model, name="m").run(items), strict=True):
            assert isinstance(captions.judge(raw, request.evidence), CaptionText)


class TestServedWriter(ModelContract):
    """A model behind a server, which here writes the same for the same request."""

    @pytest.fixture
    def model(self, requests: list[WriterRequest]) -> Iterator[ServedWriter]:
        with LlmServer(keeps_to(*requests)) as server:
            made = ServedWriter(options_of({"base_url": server.base_url, "model": MODEL}))
            yield made
            made.close()

    @pytest.fixture
    def items(self, requests: list[WriterRequest]) -> list[WriterRequest]:
        return requests

    @pytest.fixture
    def bad(self) -> list[Any]:
        return []

    def test_what_it_writes_is_accepted(self, model: ServedWriter, items: Sequence[WriterRequest]) -> None:
        """A server's text goes through the same parser and verifier as any other."""
        for request, raw in zip(items, Guarded(model, name="m").run(items), strict=True):
            assert isinstance(captions.judge(raw, request.evidence), CaptionText)


class TestServedCaptioner(ModelContract):
    """A vision-language model behind a server, which here tells photos by their bytes."""

    @pytest.fixture
    def model(self) -> Iterator[ServedCaptioner]:
        def describe(asked: Asked) -> Reply:
            photo = asked.body["messages"][0]["content"][0]["image_url"]["url"]
            return completion(f"A garment, number {zlib.crc32(photo.encode())}.")

        with LlmServer(describe) as server:
            made = ServedCaptioner(options_of({"base_url": server.base_url, "model": MODEL}))
            yield made
            made.close()

    @pytest.fixture
    def items(self, pictures: list[Pixels]) -> list[CaptionRequest]:
        return [CaptionRequest(Evidence(()), 7, pixels) for pixels in pictures]

    @pytest.fixture
    def bad(self) -> list[CaptionRequest]:
        return [CaptionRequest(Evidence(()), 7), *(CaptionRequest(Evidence(()), 7, one) for one in BAD_PICTURES)]


@pytest.mark.slow
class TestStarterDetector(DetectorContract):
    """The shipped detector."""

    @pytest.fixture
    def model(self, detector: Any) -> Any:
        return detector

    @pytest.fixture
    def items(self) -> list[Pixels]:
        """Dressed figures, of several shapes of picture."""
        scenes = [draw_scene(seed, size=256, style="figure").pixels for seed in (2, 11, 13)]
        return [*scenes, np.ascontiguousarray(scenes[1][:, 32:224])]

    @pytest.fixture
    def bad(self) -> list[Any]:
        return BAD_PICTURES


@pytest.mark.slow
class TestStarterImageEncoder(ImageEncoderContract):
    """The shipped image tower."""

    @pytest.fixture
    def model(self, image_encoder: Any) -> Any:
        return image_encoder

    @pytest.fixture
    def items(self, pictures: list[Pixels]) -> list[Pixels]:
        return pictures

    @pytest.fixture
    def bad(self) -> list[Any]:
        return BAD_PICTURES

    def test_it_knows_colours_and_garments(self, model: Any, text_encoder: Any) -> None:
        """A text finds its drawn garment among others of another colour or another kind, far more often than by chance."""
        specs = [(c, n) for n in ("dress", "pants", "bag") for c in ("red", "blue", "black", "yellow")]
        scenes = [
            draw_scene(900 + i, size=256, garments=[plain(c, n)], style="flat").pixels for i, (c, n) in enumerate(specs)
        ]
        images = np.stack(Guarded(model, name="i").run(scenes))
        words = np.stack(
            Guarded(text_encoder, name="t").run([f"a {c} {n}" if n != "pants" else f"{c} pants" for c, n in specs])
        )
        found = (words @ images.T).argmax(1)
        assert np.mean(found == np.arange(len(specs))) >= 0.75
        assert text_encoder.fingerprint == model.fingerprint
        assert text_encoder.dimension == model.dimension


@pytest.mark.slow
class TestSecondEncoder(ImageEncoderContract):
    """ImageNet's tower, the second opinion on pictures of articles."""

    @pytest.fixture
    def model(self, paths: StarterPaths) -> Any:
        from models.encoder.second_tower import ImageNetEncoder

        return ImageNetEncoder.load(paths.image_trunk)

    @pytest.fixture
    def items(self, pictures: list[Pixels]) -> list[Pixels]:
        return pictures

    @pytest.fixture
    def bad(self) -> list[Any]:
        return BAD_PICTURES

    def test_it_is_another_opinion(self, model: Any, image_encoder: Any) -> None:
        """Of another space than ours, in which a photo that was cut is nearer to itself than to another."""
        assert model.fingerprint != image_encoder.fingerprint
        one, other = (draw_scene(seed, size=256, style="figure").pixels for seed in (2, 11))
        cut = np.ascontiguousarray(one[20:236, 20:236])
        own, part, others = Guarded(model, name="second").run([one, cut, other])
        assert float(own @ part) > float(own @ others)


@pytest.mark.slow
class TestStarterTextEncoder(EncoderContract):
    """The shipped text tower."""

    @pytest.fixture
    def model(self, text_encoder: Any) -> Any:
        return text_encoder

    @pytest.fixture
    def items(self) -> list[str]:
        return [*TEXTS, "a long story " * 100]

    @pytest.fixture
    def bad(self) -> list[Any]:
        return ["", " \n\t", "x" * 5000]


@pytest.mark.slow
def _image_encoder(weights: Path, paths: StarterPaths) -> Any:
    from models.encoder.clip_encoder import ClipImageEncoder

    return ClipImageEncoder.load(weights, paths.image_trunk, device="cpu")


def _text_encoder(weights: Path, paths: StarterPaths) -> Any:
    from models.encoder.clip_encoder import ClipTextEncoder

    return ClipTextEncoder.load(weights, paths.text_tower, device="cpu")


@pytest.mark.slow
@pytest.mark.parametrize("load", [_image_encoder, _text_encoder])
class TestEncoderWeights:
    """What the encoders do about the bytes of their weights."""

    def test_a_flipped_byte_is_refused(self, load: Callable[..., Any], paths: StarterPaths, tmp_path: Path) -> None:
        """Deep in the tensors, where safetensors itself sees nothing."""
        weights = shipped_copy(tmp_path)
        data = bytearray(weights.read_bytes())
        data[len(data) // 2] ^= 1
        weights.write_bytes(data)
        with pytest.raises(Fatal, match=r"encoder\.safetensors is damaged"):
            load(weights, paths)

    def test_fingerprint_changes_with_the_weights(
        self, load: Callable[..., Any], paths: StarterPaths, tmp_path: Path
    ) -> None:
        """Other weights, other maker: their vectors never meet."""
        from safetensors.torch import load_file, save_file

        weights = shipped_copy(tmp_path)
        before = load(weights, paths).fingerprint
        assert before == load(paths.encoder, paths).fingerprint
        tensors = load_file(weights)
        tensors["text.proj.0.weight"][0, 0] += 1
        save_file(tensors, weights)
        write(tmp_path)
        assert load(weights, paths).fingerprint != before

    def test_weights_of_another_network_are_refused(
        self, load: Callable[..., Any], paths: StarterPaths, tmp_path: Path
    ) -> None:
        """Listed and whole, but not ours: one sentence, not a traceback from torch."""
        from safetensors.numpy import save_file

        shipped_copy(tmp_path)
        save_file({"visual.head.mlp.fc1.weight": np.zeros((2, 2), np.float32)}, tmp_path / "encoder.safetensors")
        write(tmp_path)
        with pytest.raises(Fatal, match="does not fit"):
            load(tmp_path / "encoder.safetensors", paths)


@pytest.mark.slow
def test_open_clip_loads_both_towers_as_one_model(
    paths: StarterPaths, pictures: list[Pixels], image_encoder: Any, text_encoder: Any
) -> None:
    """The shipped weights are an ordinary open_clip `CustomTextCLIP` of a local config, and give the adapters' vectors."""
    import open_clip
    import torch
    from safetensors.torch import load_file

    from models.encoder import encoder_net

    encoder_net.register_trunk()
    model = open_clip.CustomTextCLIP(**encoder_net.config(paths.text_tower)).eval()
    base = {f"visual.trunk.net.{n}": t for n, t in load_file(paths.image_trunk).items() if encoder_net.is_frozen(n)}
    _, unexpected = model.load_state_dict(
        base | {n: t.float() for n, t in load_file(paths.encoder).items()}, strict=False
    )
    assert unexpected == []
    images, texts = image_encoder, text_encoder
    with torch.inference_mode():
        ready = torch.from_numpy(np.stack([images.prepare(pixels) for pixels in pictures]))
        seen = model.encode_image(ready, normalize=True).numpy()
        read = model.encode_text(torch.tensor([texts.prepare(TEXTS[0])]), normalize=True).numpy()
    assert np.allclose(seen, np.stack(Guarded(images, name="i").run(pictures)), atol=1e-4)
    assert np.allclose(read[0], Guarded(texts, name="t").run(TEXTS[:1])[0], atol=1e-4)


def shipped_copy(folder: Path) -> Path:
    """The shipped encoder with a manifest of its own."""
    shutil.copy(STARTER_FOLDER / "encoder.safetensors", folder)
    write(folder)
    return folder / "encoder.safetensors"


def plain(colour: str, category: str) -> GarmentSpec:
    """A plain garment to draw."""
    sleeve, neck, length = (
        ("short", "crew", "knee") if category == "dress" else (None, None, "full" if category == "pants" else None)
    )
    return GarmentSpec(category, colour, None, "solid", sleeve, neck, length, "cotton", "women")


def test_bfloat16_is_another_space_whose_facets_the_same_heads_read(paths: StarterPaths, image_encoder: Any) -> None:
    """Both towers name it; its vectors lie beside those of float32."""
    from models.encoder.clip_encoder import ClipImageEncoder, ClipTextEncoder

    photos = ClipImageEncoder.load(paths.encoder, paths.image_trunk, precision="bfloat16")
    words = ClipTextEncoder.load(paths.encoder, paths.text_tower, precision="bfloat16")
    assert photos.fingerprint == words.fingerprint != image_encoder.fingerprint
    assert photos.features_maker == image_encoder.features_maker
    picture = photos.example()
    near, there = (Guarded(one, name="encoder").run([picture])[0] for one in (photos, image_encoder))
    assert 0.999 < float(near @ there) < 1


SPACE = "sha256:f820c75e5daf0d41ed6b40f93daf61a0af316dfe826c73049f3916888ea40d8f"
MAKERS = {
    "detector": "sha256:223f8e8f81451ee05703083d12fb579b5ec38f835c6c816c1138dc109d61d348",
    "image_encoder": SPACE,
    "text_encoder": SPACE,
    "sentence_encoder": "sha256:4526689e35898d0eb0b9ae686894566b7b5cad9996e4c60b63a9e129a58b373a",
}
FEATURES = "sha256:3e278fc5a4656acea7df85a83004306e23186967658d76184cb46ac7548d7c25"
"""As they stood before profiles were files. Memos and generations of running stacks name them: they change with weights alone."""


@pytest.mark.parametrize("name", MAKERS)
def test_the_starter_is_the_one_that_running_stacks_know(name: str, paths: StarterPaths) -> None:
    """Loaded by the profile's file, each model has the fingerprint that it had: no memo and no index is made anew by an upgrade."""
    model = getattr(PartsLoader(Settings(device="cpu")), name)()
    assert model.fingerprint == MAKERS[name]
    if name == "image_encoder":
        assert model.features_maker == FEATURES


def test_the_space_of_the_starter_in_bfloat16_is_the_known_one() -> None:
    """Its own, and its facets' heads are those of the same weights."""
    from models.encoder.clip_encoder import features_maker_of, space_fingerprint
    from models.weights.hashes import check_weights

    digest = check_weights(STARTER_FOLDER / "encoder.safetensors")
    assert (
        space_fingerprint(digest, "bfloat16")
        == "sha256:c1cfc0d810890fe910c8bbc76b4e3d328c0b9c87eb9a4554187bfc1d49b9175a"
    )
    assert features_maker_of(space_fingerprint(digest)) == FEATURES
