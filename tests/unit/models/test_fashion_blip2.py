"""FashionBLIP-2 on a tiny BLIP-2 with random weights: what must hold whatever the size."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml

from models.composers import fashion_blip2, registry
from models.composers.fashion_blip2 import FashionBlip2Composer, FashionBlip2Images, FashionBlip2Texts, Sides
from models.composers.fashion_blip2_net import FashionBlip2, HeadsConfig, heads_alike, is_trained
from models.ports import Composition
from models.recipes import fashion_blip2 as recipe_of
from models.recipes.composer_settings import Losses, Stage
from models.recipes.fashion_blip2 import Blip2Recipe, Blip2Training, Material
from models.weights.hashes import list_folder
from processors.drawn import GarmentSpec, draw_scene
from processors.errors import Fatal
from tests.contract.model_contract import EncoderContract, ImageEncoderContract
from tests.fixtures import tiny_blip2

HEADS = HeadsConfig(adapter=8, heads=4, channels=16)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Sums of several threads come in any order."""
    torch.set_num_threads(1)


def made(seed: int = 1) -> FashionBlip2:
    """An untrained network on the tiny BLIP-2."""
    base = tiny_blip2.network()
    torch.manual_seed(seed)
    return FashionBlip2(base, HEADS)


def photos(count: int) -> torch.Tensor:
    """Random ones, (count, 3, side, side)."""
    return torch.randn(count, 3, tiny_blip2.SIDE, tiny_blip2.SIDE, generator=torch.Generator().manual_seed(2))


def words(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random tokens; the rows are of different lengths."""
    rng = np.random.default_rng(4)
    return fashion_blip2.padded([rng.integers(2, 250, 2 + n).tolist() for n in range(count)])


def test_step_0_gives_what_blip2_gives_without_adapters() -> None:
    """Every adapter adds zero at first: the ViT's tokens are equal to the bit, and so is what the Q-Former finds."""
    plain = tiny_blip2.network()
    adapted = FashionBlip2(copy.deepcopy(plain), HEADS).eval()
    with torch.inference_mode():
        seen = plain.vision_model(pixel_values=photos(3)).last_hidden_state
        assert torch.equal(adapted.seen(photos(3)), seen)
        found = plain.qformer(
            query_embeds=plain.query_tokens.expand(3, -1, -1), encoder_hidden_states=seen, return_dict=True
        ).last_hidden_state
        assert torch.allclose(adapted.target(seen), adapted.heads(found), atol=1e-6)
        before = adapted.seen(photos(3))
        adapted.blip2.vision_model.encoder.layers[0].adapter.up.weight.fill_(0.1)
        assert not torch.equal(adapted.seen(photos(3)), before)


def test_the_inner_product_is_the_mean_of_the_heads_cosines() -> None:
    """One vector and one inner product stand for head by head."""
    network = made().eval()
    ids, mask = words(3)
    with torch.inference_mode():
        seen = network.seen(photos(3))
        targets, queries = network.target(seen), network.query(seen, ids, mask)
    heads = [one.reshape(3, HEADS.heads, HEADS.channels) for one in (queries, targets)]
    cosines = torch.nn.functional.cosine_similarity(heads[0][:, None], heads[1][None], dim=3)
    assert torch.allclose(queries @ targets.T, cosines.mean(2), atol=1e-5)
    assert torch.allclose(targets.norm(dim=1), torch.ones(3), atol=1e-5)


def test_padding_of_a_longer_neighbour_changes_no_query() -> None:
    """Words are attended to where there are some."""
    network = made().eval()
    ids, mask = words(3)
    with torch.inference_mode():
        seen = network.seen(photos(3))
        together = network.query(seen, ids, mask)
        alone = network.query(seen[:1], ids[:1, :2], mask[:1, :2])
    assert torch.allclose(together[:1], alone, atol=1e-5)


NECKS = ("crew", "v", "collar", "high")


def necklines() -> Material:
    """Drawn shirts, alike but for the neckline, and what changes it: the upper half of each, light and ground as drawn."""
    pictures, known, groups = [], [], []
    for number, colour in enumerate(("red", "navy", "green", "white", "yellow", "black", "pink", "beige")):
        for place, neck in enumerate(NECKS):
            spec = GarmentSpec("shirt", colour, None, "solid", "short", neck, None, "cotton", "women")
            scene = draw_scene(31_000 + number, size=64, garments=(spec,), style="flat")
            x0, y0, x1, y1 = (round(v) for v in scene.garments[0].box)
            part = scene.pixels[y0 : y0 + (y1 - y0) // 2, x0:x1]
            side = (tiny_blip2.SIDE, tiny_blip2.SIDE)
            pictures.append(cv2.resize(part, side).astype(np.float32).transpose(2, 0, 1) / 64 - 2)
            known.append((number, place))
            groups.append(number)
    triplets = [
        (a, b, [10 + known[b][1], 20], [30 + known[b][1], 40 + known[b][0]])
        for a in range(len(known))
        for b in range(len(known))
        if a != b and groups[a] == groups[b]
    ]
    return Material(np.stack(pictures), np.array(known, np.int16), triplets)


def trained(kind: type[FashionBlip2], material: Material, steps: int) -> Blip2Training:
    """After so many steps of the first stage."""
    base = tiny_blip2.network()
    torch.manual_seed(1)
    told = Blip2Recipe(
        "fashion-blip2", "", Stage(steps, 24, 2e-3, 0.05), Stage(4, 24, 1e-3, 0.02), HEADS, Losses(1.0, 0.2)
    )
    state = Blip2Training(told, kind(base, HEADS), material)
    for _ in range(steps):
        state.train_step()
    return state


@pytest.fixture(scope="module")
def drawn() -> Material:
    """Drawn once."""
    return necklines()


@pytest.fixture(scope="module")
def after(drawn: Material) -> Blip2Training:
    """Trained once."""
    torch.set_num_threads(1)
    return trained(FashionBlip2, drawn, 90)


def test_heads_do_not_collapse(drawn: Material, after: Blip2Training) -> None:
    """After training they order garments in different ways; heads made equal by force are told as such."""
    with torch.inference_mode():
        vectors = after.target.target(after.target.seen(torch.from_numpy(drawn.pictures)))
    assert heads_alike(vectors, HEADS.heads) < 0.95
    one = vectors.reshape(len(vectors), HEADS.heads, -1)[:, :1].expand(-1, HEADS.heads, -1)
    assert heads_alike(one.reshape(len(vectors), -1), HEADS.heads) > 0.999


def test_frozen_weights_are_the_same_bits_after_training(drawn: Material, after: Blip2Training) -> None:
    """Of BLIP-2's ViT, projections and matching head nothing has moved; adapters, Q-Former and heads have."""
    fresh = dict(FashionBlip2(tiny_blip2.network(), HEADS).named_parameters())
    for name, parameter in after.target.named_parameters():
        if not is_trained(name):
            assert torch.equal(parameter, fresh[name]), name
    assert all(is_trained(name) is False for name in fresh if "vision_model" in name and ".adapter." not in name)
    moved = after.target.blip2.vision_model.encoder.layers[0].adapter.up.weight.detach()
    assert float(moved.abs().sum()) > 0


def test_the_second_stage_moves_the_query_side_alone(drawn: Material) -> None:
    """The bank stands: not a bit of the target side or of the shared ViT moves."""
    state = trained(FashionBlip2, drawn, 1)
    state.train_step()
    kept = {name: one.detach().clone() for name, one in state.target.named_parameters()}
    start = {name: one.detach().clone() for name, one in state.query.named_parameters()}
    for _ in range(2):
        state.train_step()
    assert all(torch.equal(one, kept[name]) for name, one in state.target.named_parameters())
    assert any(not torch.equal(one, start[name]) for name, one in state.query.named_parameters())
    assert state.query.blip2.vision_model is state.target.blip2.vision_model


@pytest.mark.parametrize("stopped", [1, 3])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(stopped: int, drawn: Material, tmp_path: Path) -> None:
    """In either stage."""
    through, before = trained(FashionBlip2, drawn, 0), trained(FashionBlip2, drawn, 0)
    told = Blip2Recipe("fashion-blip2", "", Stage(2, 8, 1e-3, 0.05), Stage(3, 8, 1e-3, 0.02), HEADS)
    through.recipe = before.recipe = told
    for _ in range(5):
        through.train_step()
    for _ in range(stopped):
        before.train_step()
    before.save(tmp_path / recipe_of.CHECKPOINT)
    later = trained(FashionBlip2, drawn, 0)
    later.recipe = told
    recipe_of.follow(later, tmp_path, None)
    wanted = through.trained()
    assert {name for name, one in later.trained().items() if not torch.equal(one, wanted[name])} == set()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """BLIP-2 and what the recipe made of it, in one listed folder."""
    torch.set_num_threads(1)
    data, run = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("run")
    found = tiny_blip2.build(data / "blip2")
    recipe = run / "recipe.yaml"
    stage = {"steps": 2, "batch": 4, "rate": 0.01, "temperature": 0.05}
    heads = {"adapter": 8, "heads": 4, "channels": 16}
    told = {"network": "fashion-blip2", "base": "blip2", "heads": heads, "drawn": 2, "first": stage, "second": stage}
    recipe.write_text(yaml.safe_dump(told))
    weights = recipe_of.train(recipe, run, data)
    shutil.copyfile(weights, found / weights.name)
    list_folder(found, "fashion-blip2")
    return found


@pytest.fixture(scope="module")
def sides(folder: Path) -> Sides:
    """Loaded once."""
    return fashion_blip2.load(folder)


PICTURES = [np.random.default_rng(n).integers(0, 255, (40 + 9 * n, 50, 3)).astype(np.uint8) for n in range(3)]


class TestImages(ImageEncoderContract):
    """The target side."""

    @pytest.fixture
    def model(self, sides: Sides) -> FashionBlip2Images:
        return FashionBlip2Images(sides)

    @pytest.fixture
    def items(self) -> Sequence[Any]:
        return PICTURES

    @pytest.fixture
    def bad(self) -> Sequence[Any]:
        return [np.zeros((0, 0, 3), np.uint8), np.zeros((8, 8), np.uint8)]


class TestTexts(EncoderContract):
    """Words alone."""

    @pytest.fixture
    def model(self, sides: Sides) -> FashionBlip2Texts:
        return FashionBlip2Texts(sides)

    @pytest.fixture
    def items(self) -> Sequence[Any]:
        return ["a red dress", "blue", "with a V-neck"]

    @pytest.fixture
    def bad(self) -> Sequence[Any]:
        return ["", "  ", "x" * 2001]


class TestComposer(EncoderContract):
    """The query side."""

    @pytest.fixture
    def model(self, sides: Sides) -> FashionBlip2Composer:
        return FashionBlip2Composer(sides)

    @pytest.fixture
    def items(self, sides: Sides) -> Sequence[Any]:
        axis = np.eye(sides.query.dimension, dtype=np.float32)[0]
        return [
            Composition(axis, axis, words=f"in {w}", pixels=p)
            for w, p in zip(("red", "navy", "a"), PICTURES, strict=True)
        ]

    @pytest.fixture
    def bad(self, sides: Sides) -> Sequence[Any]:
        axis = np.eye(sides.query.dimension, dtype=np.float32)[0]
        return [Composition(axis, axis, words="in red"), Composition(axis, axis, words="", pixels=PICTURES[0])]


def test_another_query_side_leaves_the_space_as_it_is(folder: Path, sides: Sides, tmp_path: Path) -> None:
    """Only the target side names a generation of the index."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    other = tmp_path / "other"
    shutil.copytree(folder, other)
    path = other / fashion_blip2.TRAINED
    with safe_open(path, framework="pt") as file:
        told = file.metadata()
    tensors = load_file(path)

    def changed(name: str) -> Sides:
        save_file({n: t + 1 if n == name else t for n, t in tensors.items()}, path, metadata=told)
        list_folder(other, "fashion-blip2")
        return fashion_blip2.load(other)

    query = changed("query.heads.tokens.bias")
    assert query.target_maker == sides.target_maker
    assert query.query_maker != sides.query_maker
    assert changed("target.heads.tokens.bias").target_maker != sides.target_maker


def test_it_is_loaded_by_its_name(folder: Path, sides: Sides) -> None:
    """As any other composer; a space of its own is no encoder's."""
    found = registry.load("fashion-blip2", folder, encoder="sha256:other")
    assert (found.target, found.fingerprint) == (sides.target_maker, sides.query_maker)


def test_a_folder_that_is_not_whole_is_refused(folder: Path, tmp_path: Path) -> None:
    """Each refusal says what is missing."""
    with pytest.raises(Fatal, match=r"config\.json is missing"):
        fashion_blip2.base(tmp_path)
    bare = tmp_path / "bare"
    shutil.copytree(folder, bare)
    (bare / fashion_blip2.TRAINED).unlink()
    with pytest.raises(Fatal, match="weft train composer"):
        fashion_blip2.load(bare)
    (bare / "model.safetensors").write_bytes(b"x")
    with pytest.raises(Fatal, match="damaged"):
        fashion_blip2.base(bare)
