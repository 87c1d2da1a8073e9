"""Encoders of one's own, taken in by `weft models add` and loaded by the profile: the contract of models over each way in."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from infra.memory_store import MemoryStore
from infra.settings import Settings
from models.facets.facet_heads import load_shipped
from models.guard import ignore
from models.profiles.adding import Added, Asked, add
from models.profiles.held import verify
from models.profiles.reading import find
from models.weights.starter import TEXT_TOWER
from processors.errors import BadSetting, Fatal, Poison
from processors.values import Pixels
from streams.facets.live import LiveHeads
from streams.wiring.models import Models, judge_of, shipped_heads
from tests.contract.model_contract import EncoderContract, ImageEncoderContract
from tests.fixtures import own_encoders

BUILD: dict[str, Callable[[Path], Path]] = {
    "clip": own_encoders.clip,
    "siglip": own_encoders.siglip,
    "siglip2": own_encoders.siglip2,
    "mobileclip": own_encoders.open_clip,
    "openai-clip": lambda folder: own_encoders.open_clip(folder, custom_text=False),
    "timm": own_encoders.timm,
    "timm-cnn": lambda folder: own_encoders.timm(folder, "test_efficientnet"),
}
KIND = {"clip": "transformers", "siglip": "transformers", "siglip2": "transformers", "mobileclip": "open_clip"} | {
    "openai-clip": "open_clip",
    "timm": "timm",
    "timm-cnn": "timm",
}
DIMENSION = {"clip": 32, "siglip": 48, "siglip2": 48, "mobileclip": 256, "openai-clip": 32, "timm": 64, "timm-cnn": 256}
BAD_PICTURES = [np.zeros((0, 0, 3), np.uint8), np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32)]


def settings_of(cache: Path, profile: str) -> Settings:
    """The profile's models on the CPU."""
    return Settings(profile=profile, model_cache=cache, device="cpu")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model cache with the folder of the starter's bases that own profiles fall back on, made empty: nothing here loads it."""
    found = tmp_path_factory.mktemp("cache")
    for name in ("smollm2-135m-instruct", TEXT_TOWER, "efficientnet-lite0"):
        (found / name).mkdir()
    return found


@pytest.fixture(scope="module")
def added(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Added]:
    """Takes an encoder into a profile of its name, once."""
    known: dict[str, Added] = {}

    def get(name: str) -> Added:
        if name not in known:
            folder = BUILD[name](tmp_path_factory.mktemp(name))
            known[name] = add(Asked("encoder", str(folder), profile=name), cache, progress=lambda _: None)
        return known[name]

    return get


@pytest.fixture(scope="module")
def models_of(cache: Path, added: Callable[[str], Added]) -> Callable[[str], Models]:
    """As the roles get them: loaded, guarded, warmed up; once."""
    known: dict[str, Models] = {}

    def get(name: str) -> Models:
        if name not in known:
            added(name)
            known[name] = Models(settings_of(cache, name), lambda _: ignore)
        return known[name]

    return get


@pytest.fixture(scope="module")
def pictures() -> list[Pixels]:
    """Textured pictures of several shapes."""
    draw = np.random.default_rng(5)
    coarse = [draw.integers(0, 255, (h, w, 3)).astype(np.uint8) for h, w in ((12, 12), (12, 9), (10, 12))]
    return [np.asarray(Image.fromarray(c).resize((c.shape[1] * 10, c.shape[0] * 10))) for c in coarse]


class TestImages(ImageEncoderContract):
    """Of each library's checkpoints."""

    @pytest.fixture(params=sorted(BUILD))
    def model(self, request: pytest.FixtureRequest, models_of: Callable[[str], Models]) -> Any:
        return models_of(request.param).image_encoder

    @pytest.fixture
    def items(self, pictures: list[Pixels]) -> list[Pixels]:
        return pictures

    @pytest.fixture
    def bad(self) -> list[Any]:
        return BAD_PICTURES


class TestTexts(EncoderContract):
    """Of those that have a text tower."""

    @pytest.fixture(params=sorted(name for name in BUILD if KIND[name] != "timm"))
    def model(self, request: pytest.FixtureRequest, models_of: Callable[[str], Models]) -> Any:
        return models_of(request.param).text_encoder

    @pytest.fixture
    def items(self) -> list[str]:
        return ["a red dress", "blue jeans", "shoes"]

    @pytest.fixture
    def bad(self) -> list[Any]:
        return ["", " \n", "x" * 2001]


@pytest.mark.parametrize("name", sorted(BUILD))
def test_what_was_taken_is_told(
    name: str, cache: Path, added: Callable[[str], Added], models_of: Callable[[str], Models]
) -> None:
    """Kind by layout, dimension from its own configuration, both towers of one space, and that it is another space; `verify` finds it well."""
    found, models = added(name), models_of(name)
    assert (found.kind, found.was) == (KIND[name], "starter")
    assert models.image_encoder.dimension == models.text_encoder.dimension == DIMENSION[name]
    assert models.image_encoder.fingerprint == models.text_encoder.fingerprint
    assert found.changes[0].startswith("another space")
    assert any(f"--profile {name}" in change for change in found.changes)
    assert [one for one in verify(find(name, cache), cache) if str(one.path).startswith(found.path)] == []


def test_a_timm_tower_prepares_photos_as_its_configuration_says(models_of: Callable[[str], Models]) -> None:
    """160 pixels a side, mean and deviation one half: white is 1, black is -1."""
    made = models_of("timm").image_encoder.prepare(np.full((200, 200, 3), 255, np.uint8))["pixels"]
    assert made.shape == (3, 160, 160)
    assert np.allclose(made, 1.0)


def test_a_tower_without_words_refuses_them_and_says_what_to_do(models_of: Callable[[str], Models]) -> None:
    """A query in words alone gets an error that names the cause."""
    texts = models_of("timm").text_encoder
    with pytest.raises(Poison, match="no text tower: ask by photo or by product"):
        texts.prepare("a red dress")
    assert texts.refuses
    assert not models_of("clip").text_encoder.refuses


@pytest.mark.parametrize("name", ["siglip", "timm"])
def test_heads_of_another_encoder_are_not_applied(
    name: str, cache: Path, models_of: Callable[[str], Models], added: Callable[[str], Added]
) -> None:
    """The shipped heads read the starter's features: with another encoder facets are unknown, and `add` says so."""
    maker = models_of(name).image_encoder.features_maker
    heads = shipped_heads(settings_of(cache, name))
    assert heads is not None
    assert heads.version == load_shipped().heads.version
    assert judge_of(heads, maker) is None
    assert LiveHeads(MemoryStore("test"), maker, shipped=heads).now() is None
    assert any("weft facets fit" in change for change in added(name).changes)


def test_the_towers_agree_with_the_library(
    models_of: Callable[[str], Models], added: Callable[[str], Added], pictures: list[Pixels]
) -> None:
    """A CLIP's vectors are those of transformers' own processor and model, but for the rounding; a text ends with its end."""
    import torch
    from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel

    folder = Path(added("clip").path)
    library = CLIPModel.from_pretrained(folder).eval()
    photos = AutoImageProcessor.from_pretrained(folder)(
        images=[Image.fromarray(p) for p in pictures], return_tensors="pt"
    )
    words = AutoTokenizer.from_pretrained(folder)(["a red dress<|im_end|>"], return_tensors="pt")
    with torch.inference_mode():
        made = library(input_ids=words["input_ids"], pixel_values=photos["pixel_values"])
    models = models_of("clip")
    assert np.allclose(np.stack(models.image_encoder.run(pictures)), made.image_embeds.numpy(), atol=1e-4)
    assert np.allclose(models.text_encoder.run(["a red dress<|im_end|>"])[0], made.text_embeds[0].numpy(), atol=1e-4)


class TestRefused:
    """What is wrong is said in a sentence, nothing is executed, and the profile is as it was."""

    @pytest.fixture
    def take(self, cache: Path) -> Callable[[Path], str]:
        def refused(folder: Path) -> str:
            with pytest.raises((Fatal, BadSetting)) as told:
                add(Asked("encoder", str(folder), profile="refused"), cache, progress=lambda _: None)
            assert not (cache / "profiles" / "refused").exists()
            assert "\n" not in str(told.value)
            return str(told.value)

        return refused

    @pytest.mark.parametrize("name", ["pytorch_model.bin", "open_clip_pytorch_model.pt", "weights.ckpt", "model.pkl"])
    def test_a_pickle_is_refused_by_name_and_not_opened(
        self, name: str, tmp_path: Path, take: Callable[[Path], str]
    ) -> None:
        """One that would write a file when it is opened has written none."""
        import pickle

        canary = tmp_path / "executed"

        class Canary:
            def __reduce__(self) -> Any:
                return Path.touch, (canary,)

        folder = tmp_path / "given"
        folder.mkdir()
        (folder / name).write_bytes(pickle.dumps({"weights": Canary()}))
        (folder / "config.json").write_text('{"model_type": "clip"}')
        assert f"{name} may be a pickle" in take(folder)
        assert not canary.exists()

    def test_a_pickle_beside_safetensors_and_code_are_left_out(self, cache: Path, tmp_path: Path) -> None:
        """Neither is copied, and code that the configuration asks for is not run."""
        import pickle

        canary, folder, said = tmp_path / "executed", tmp_path / "given", list[str]()
        folder.mkdir()
        own_encoders.clip(folder)

        class Canary:
            def __reduce__(self) -> Any:
                return Path.touch, (canary,)

        (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Canary()))
        (folder / "modeling.py").write_text(
            f"import pathlib\npathlib.Path({str(canary)!r}).touch()\nclass Model: pass\n"
        )
        config = json.loads((folder / "config.json").read_text())
        config["auto_map"] = {"AutoModel": "modeling.Model", "AutoConfig": "modeling.Model"}
        (folder / "config.json").write_text(json.dumps(config))
        found = add(Asked("encoder", str(folder), profile="beside"), cache, progress=said.append)
        taken = {path.name for path in Path(found.path).iterdir()}
        assert not taken & {"pytorch_model.bin", "modeling.py"}
        assert any("pytorch_model.bin" in line for line in said)
        assert any("modeling.py" in line for line in said)
        assert not canary.exists()

    @pytest.mark.parametrize("name", ["clip", "timm", "mobileclip"])
    def test_weights_that_are_cut_short(self, name: str, tmp_path: Path, take: Callable[[Path], str]) -> None:
        """A download that broke off."""
        folder = BUILD[name](tmp_path)
        [weights] = folder.glob("*.safetensors")
        weights.write_bytes(weights.read_bytes()[:-1000])
        assert "no whole safetensors file" in take(folder)

    @pytest.mark.parametrize("name", ["clip", "timm", "mobileclip"])
    def test_weights_of_another_shape(self, name: str, tmp_path: Path, take: Callable[[Path], str]) -> None:
        """One tensor is longer than its network has room for."""
        from safetensors.torch import load_file, save_file

        folder = BUILD[name](tmp_path)
        [weights] = folder.glob("*.safetensors")
        tensors = load_file(weights)
        first = next(key for key, one in tensors.items() if one.ndim > 1 and not key.startswith(("head", "logit")))
        tensors[first] = tensors[first].repeat(2, *[1] * (tensors[first].ndim - 1))
        save_file(tensors, weights, metadata={"format": "pt"})
        assert "does not fit" in take(folder)

    @pytest.mark.parametrize("name", ["clip", "timm", "mobileclip"])
    def test_a_tensor_that_is_missing(self, name: str, tmp_path: Path, take: Callable[[Path], str]) -> None:
        """It would be filled with chance, and search would find anything."""
        from safetensors.torch import load_file, save_file

        folder = BUILD[name](tmp_path)
        [weights] = folder.glob("*.safetensors")
        tensors = load_file(weights)
        first = next(key for key, one in tensors.items() if one.ndim > 1 and not key.startswith(("head", "logit")))
        del tensors[first]
        save_file(tensors, weights, metadata={"format": "pt"})
        told = take(folder)
        assert "lack 1 tensors" in told or "does not fit" in told

    def test_a_configuration_that_asks_for_a_terabyte(self, tmp_path: Path, take: Callable[[Path], str]) -> None:
        """A few bytes of JSON must not fill the memory."""
        folder = own_encoders.clip(tmp_path)
        config = json.loads((folder / "config.json").read_text())
        config["text_config"] |= {"hidden_size": 65536, "intermediate_size": 2**20}
        (folder / "config.json").write_text(json.dumps(config))
        assert "asks for" in take(folder)

    def test_a_configuration_of_endless_layers(self, tmp_path: Path, take: Callable[[Path], str]) -> None:
        """They need no memory, and minutes."""
        folder = own_encoders.siglip(tmp_path)
        config = json.loads((folder / "config.json").read_text())
        config["text_config"] |= {"num_hidden_layers": 100_000}
        (folder / "config.json").write_text(json.dumps(config))
        assert "asks for 100,000 (num_hidden_layers)" in take(folder)

    @pytest.mark.parametrize("times", [float("nan"), 0.0])
    def test_weights_that_make_no_vectors(self, times: float, tmp_path: Path, take: Callable[[Path], str]) -> None:
        """A training that diverged, or a file of zeros: an index of them would find anything for anything."""
        from safetensors.torch import load_file, save_file

        folder = own_encoders.siglip(tmp_path)
        [weights] = folder.glob("*.safetensors")
        save_file({name: one * times for name, one in load_file(weights).items()}, weights, metadata={"format": "pt"})
        assert "it makes no vectors of photos" in take(folder)

    def test_a_deviation_of_nothing(self, tmp_path: Path, take: Callable[[Path], str]) -> None:
        """Photos are divided by it; what comes of that is not called an order that was mixed up."""
        folder = own_encoders.siglip(tmp_path)
        path = folder / "preprocessor_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"image_std": [0, 0, 0]}))
        assert "it makes no vectors of photos" in take(folder)

    def test_a_header_that_lies_about_its_length(self, tmp_path: Path, take: Callable[[Path], str]) -> None:
        """Eight bytes may promise any number of them."""
        folder = own_encoders.timm(tmp_path)
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", 2**62) + b"{}")
        assert "no whole safetensors file" in take(folder)

    @pytest.mark.parametrize(
        ("file", "said", "told"),
        [
            ("config.json", '{"model_type": "llama"}', "no family of image and text"),
            ("config.json", '{"architecture": "hf-hub:someone/net"}', "no architecture"),
            ("config.json", '{"architecture": "test_vit", "model_args": {"checkpoint_path": "/etc/passwd"}}', "may not say"),
            ("config.json", '{"layers": 3}', "names neither"),
            ("config.json", "[1]", "expected an object"),
            ("config.json", "{", "is no configuration"),
            ("open_clip_config.json", '{"model_cfg": {"embed_dim": 8, "text_cfg": {"hf_model_name": "a/b"}}}', "of the hub"),
            (
                "open_clip_config.json",
                '{"model_cfg": {"embed_dim": 8, "text_cfg": {}, "vision_cfg": {"timm_model_name": "hf-hub:a/b"}}}',
                "of the hub",
            ),
        ],
    )  # fmt: skip
    def test_configurations_that_are_refused(
        self, file: str, said: str, told: str, tmp_path: Path, take: Callable[[Path], str]
    ) -> None:
        """Each by what is wrong with it; nothing is asked of a hub."""
        folder = own_encoders.timm(tmp_path)
        (folder / file).write_text(said)
        assert told in take(folder)

    def test_a_folder_that_is_none(self, tmp_path: Path, take: Callable[[Path], str]) -> None:
        """A typing error."""
        assert "there is no" in take(tmp_path / "nowhere")

    def test_what_was_changed_after_it_was_added_is_not_loaded(self, cache: Path, tmp_path: Path) -> None:
        """A byte of a file, and a list that was written anew to match: the profile knows the hash of the list."""
        from models.weights.hashes import list_folder

        folder = own_encoders.timm(tmp_path)
        found = add(Asked("encoder", str(folder), profile="changed"), cache, progress=lambda _: None)
        weights = Path(found.path) / "model.safetensors"
        data = bytearray(weights.read_bytes())
        data[-1] ^= 1
        weights.write_bytes(data)
        with pytest.raises(Fatal, match=r"model\.safetensors: damaged.*weft models add"):
            _ = Models(settings_of(cache, "changed"), lambda _: ignore).image_encoder
        list_folder(weights.parent, "encoder", "own")
        with pytest.raises(Fatal, match="its SHA-256 is not the one of the profile"):
            _ = Models(settings_of(cache, "changed"), lambda _: ignore).image_encoder
        shutil.rmtree(weights.parent)
        with pytest.raises(Fatal, match="it is the encoder of the profile 'changed'"):
            _ = Models(settings_of(cache, "changed"), lambda _: ignore).image_encoder

    def test_an_encoder_is_not_replaced_under_the_vectors_of_a_generation(self, cache: Path, tmp_path: Path) -> None:
        """Its name may stand in a generation; `--replace` says that it does not."""
        folder = own_encoders.timm(tmp_path)
        add(Asked("encoder", str(folder), profile="twice"), cache, progress=lambda _: None)
        with pytest.raises(BadSetting, match="generations of the index may hold its vectors"):
            add(Asked("encoder", str(folder), profile="twice"), cache, progress=lambda _: None)
        add(Asked("encoder", str(folder), profile="twice", replace=True), cache, progress=lambda _: None)
