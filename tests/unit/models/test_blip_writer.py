"""BLIP as a writer, at a tiny size with random weights, and its recipe."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from models.captioner.by_evidence import captioner_by
from models.guard import GuardedWriter
from models.ports import CaptionRequest, WriterRequest, view_of
from models.profiles.adding import Asked, add
from models.profiles.kinds import Place, load
from models.profiles.reading import find
from models.recipes import blip, blip_tiny, writer
from models.recipes.blip import BlipRecipe, Training, drawn_pairs, seen_in
from models.weights.hashes import list_folder
from models.writer.blip_writer import BlipWriter, tidy
from models.writer.by_rule import RuleWriter
from processors.captions import Rejected, judge
from processors.drawn import catalogue
from processors.errors import Fatal, Poison
from processors.values import CaptionText, Colour, Evidence, Garment
from tests.contract.model_contract import ModelContract

RECIPE = BlipRecipe("blip", "tiny", drawn=30, epochs=3, rate=3e-3, batch=8, save_steps=5, logged=4)
RED = Evidence((Garment("g0", "dress", (0.0, 0.0, 60.0, 90.0), 0.9, (Colour("red", "#c8202f", 0.9),)),))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Sums of several threads come in any order."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights; the words of thirty drawn captions."""
    made = tmp_path_factory.mktemp("blip")
    blip_tiny.write(made, [text for _, text in drawn_pairs(30, 7)])
    return made


def photo(shade: int) -> Any:
    """Noise of one shade."""
    return np.random.default_rng(shade).integers(0, 20 + shade, (40, 30, 3)).astype(np.uint8)


class TestBlip(ModelContract):
    """The contract of models."""

    @pytest.fixture
    def model(self, folder: Path) -> Any:
        return BlipWriter.load(folder, longest=6)

    @pytest.fixture
    def items(self) -> Sequence[Any]:
        return [WriterRequest(RED, "plain", seed, photo(100 * seed)) for seed in range(3)]

    @pytest.fixture
    def bad(self) -> Sequence[Any]:
        return [WriterRequest(RED, "plain", 1), WriterRequest(RED, "plain", 1, np.zeros((4, 4), np.uint8))]


def test_it_writes_from_pixels_and_not_from_facts(folder: Path) -> None:
    """Other facts of the same photo: the same sentences; another photo: others. The seed is heard, too."""
    model = BlipWriter.load(folder, longest=8)

    def said(pack: Evidence, pixels: Any, seed: int = 1) -> str:
        asked = WriterRequest(pack, "plain", seed, pixels)
        return model.finish(asked, model.forward([model.prepare(asked)])[0]).partition("\n")[0]

    assert said(RED, photo(30)) == said(Evidence(()), photo(30))
    assert said(RED, photo(30)) != said(RED, photo(200))
    assert said(RED, photo(30)) != said(RED, photo(30), seed=2)


def test_whoever_asks_is_told_that_it_looks(folder: Path) -> None:
    """Guarded or not; a writer that does not look says so, and a captioner by one that looks is handed photos."""
    model = GuardedWriter(BlipWriter.load(folder, view="garment"))
    assert (view_of(model), view_of(GuardedWriter(RuleWriter())), view_of(RuleWriter())) == ("garment", "", "")
    captioner = captioner_by(model)
    assert captioner.looks is True
    captioner.prepare(CaptionRequest(RED, 1, photo(3)))
    assert captioner_by(RuleWriter()).looks is False


def test_another_view_or_temperature_is_another_writer(folder: Path) -> None:
    """Memos of one are not used for the other."""
    made = [BlipWriter.load(folder), BlipWriter.load(folder, view="garment"), BlipWriter.load(folder, temperature=0.0)]
    assert len({one.fingerprint for one in made}) == 3


def test_what_it_says_becomes_a_draft(folder: Path) -> None:
    """Capitals, signs, and the hashtags of the rules where it wrote none; then it is verified as every draft is."""
    assert tidy("a women ' s t - shirt . it is red") == "A women's t-shirt. It is red."
    assert tidy("a red dress . # reddress # new") == "A red dress.\n#reddress #new"
    assert tidy("") == ""
    model = BlipWriter.load(folder)
    known = {model._tokenizer.id_to_token(number): number for number in range(model._tokenizer.get_vocab_size())}
    asked = WriterRequest(RED, "plain", 1, photo(1))
    true = model.finish(asked, tuple(known[word] for word in ("a", "red", "dress", ".")))
    verdict = judge(true, RED)
    assert isinstance(verdict, CaptionText)
    assert (verdict.caption, verdict.coverage, verdict.writer) == ("A red dress.", 1.0, "llm")
    assert len(verdict.hashtags) >= 8
    wrong = judge(model.finish(asked, tuple(known[word] for word in ("a", "black", "dress", "."))), RED)
    assert isinstance(wrong, Rejected)


def test_folders_that_are_no_blip_are_refused(folder: Path, tmp_path: Path) -> None:
    """Another model's configuration, a file that differs from the list, weights of another network: by name."""
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"model_type": "llama"}))
    with pytest.raises(Fatal, match=r"config\.json"):
        BlipWriter.load(other)
    list_folder(other, "writer")
    with pytest.raises(Fatal, match="is llama's, and not BLIP's"):
        BlipWriter.load(other)
    config["text_config"]["num_hidden_layers"] = 3
    (other / "config.json").write_text(json.dumps(config))
    list_folder(other, "writer")
    with pytest.raises(Fatal, match="its weights lack text_decoder"):
        BlipWriter.load(other)
    (other / "tokenizer.json").unlink()
    with pytest.raises(Fatal, match=r"tokenizer\.json"):
        BlipWriter.load(other)
    with pytest.raises(Fatal, match="is missing"):
        BlipWriter.load(tmp_path / "nothing")


def test_it_is_added_to_a_profile_by_its_folder(folder: Path, tmp_path: Path) -> None:
    """The kind is found out, options are checked, and the profile loads it."""
    asked = Asked("writer", str(folder), "looks", options={"view": "garment"})
    found = add(asked, tmp_path, progress=lambda _: None)
    assert (found.kind, find("looks", tmp_path).parts["writer"].options) == ("blip", {"view": "garment"})
    part = find("looks", tmp_path).part("writer", tmp_path)
    assert load("writer", part, Place(tmp_path)).looks == "garment"
    with pytest.raises(Fatal, match="expected one of photo, garment"):
        add(Asked("writer", str(folder), "looks", options={"view": "sideways"}), tmp_path, progress=lambda _: None)
    assert find("looks", tmp_path).part("writer", tmp_path) == part


def training(folder: Path) -> Training:
    """A fresh one."""
    pairs = drawn_pairs(RECIPE.drawn, RECIPE.seed)
    return Training(RECIPE, folder, pairs[:24], pairs[24:])


def test_its_loss_falls_and_a_stopped_run_goes_on_to_the_same_bits(folder: Path, tmp_path: Path) -> None:
    """Five epochs' worth of the recipe in seconds; killed behind a save, it ends with the very weights."""
    through = training(folder)
    before = through.judged()
    losses = [through.train_step() for _ in range(through.steps)]
    after = through.judged()
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:2])
    assert (before or 0.0) > (after or 0.0) > 0.0
    first = training(folder)
    for _ in range(7):
        first.train_step()
    first.save(tmp_path / "last.safetensors")
    second = training(folder)
    second.resume(tmp_path / "last.safetensors")
    assert second.step == 7
    while second.step < second.steps:
        second.train_step()
    for (name, one), (_, other) in zip(through.learning(), second.learning(), strict=True):
        assert torch.equal(one, other), name


def test_the_recipe_leaves_a_folder_that_serves(tmp_path: Path) -> None:
    """`weft train writer --recipe blip-tiny`: progress, a card with the loss before and after, and a listed folder."""
    recipe = tmp_path / "small.yaml"
    recipe.write_bytes(msgspec.yaml.encode(msgspec.structs.replace(RECIPE, drawn=20, epochs=1)))
    weights = writer.train(recipe, tmp_path / "run", tmp_path)
    assert weights.parent.name == "blip-image-captioning-base"
    assert "held-out photos" in (tmp_path / "run" / "card.md").read_text()
    assert json.loads((tmp_path / "run" / "progress.jsonl").read_text().splitlines()[-1])["step"] == 3
    GuardedWriter(BlipWriter.load(weights.parent)).warm_up()
    again = writer.train(recipe, tmp_path / "run", tmp_path)
    assert again == weights
    recipe.write_text("network: blip\nbase: tiny\nepoch: 5\n")
    with pytest.raises(Poison, match="unknown field `epoch`"):
        writer.train(recipe, tmp_path / "run", tmp_path)
    recipe.write_text("network: blip\nbase: nowhere\ndrawn: 10\n")
    with pytest.raises(FileNotFoundError):
        writer.train(recipe, tmp_path / "run", tmp_path)


def test_the_recipe_of_the_published_size_is_the_published_one() -> None:
    """Five epochs at 5e-5."""
    path = Path(blip.__file__).with_name("writer-blip.yaml")
    told = msgspec.yaml.decode(path.read_bytes(), type=BlipRecipe)
    assert (told.epochs, told.rate, told.base) == (5, 5e-5, blip.FOLDER)


def test_a_drawn_target_says_what_its_picture_shows() -> None:
    """Colours and shapes, and neither a fabric nor whose it is: no photo shows that."""
    for product in catalogue(3, 10, size=64):
        pack = seen_in(product)
        assert pack.garments[0].category == product.scene.garments[0].spec.category
        assert not {"fabric", "gender"} & {name for garment in pack.garments for name in garment.attributes}
