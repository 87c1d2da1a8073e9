"""`weft train edit-adapter` on drawn pairs, in the tiny configuration: the loss falls, a stopped run goes on, what comes of it is loaded."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.yardsticks.training import read_progress
from processors.errors import Poison

# Asked without an import: that takes seconds, and every process of the suite collects this file.
if find_spec("diffusers") is None:
    pytest.skip("the extra `edit` (diffusers) is not installed", allow_module_level=True)

import torch

from models.editor.diffusion_editor import ADAPTER, DiffusionEditor
from models.editor.tiny_networks import write_tiny
from models.recipes.edit_adapter import CHECKPOINT, EditAdapterRecipe, FilePairs, Training, drawn_pairs, train
from models.weights.hashes import full_problems

RECIPE = Path("models/recipes/edit-adapter-tiny.yaml")


def shortened(tmp_path: Path, **changes: object) -> Path:
    lines = [line for line in RECIPE.read_text().splitlines() if line.partition(":")[0] not in changes]
    path = tmp_path / "recipe.yaml"
    path.write_text("\n".join([*lines, *(f"{name}: {value}" for name, value in changes.items())]))
    return path


def test_the_loss_falls_and_the_result_edits(tmp_path: Path) -> None:
    """By a fifth at least from the first ten steps to the last ten; the folder has its list, and the painter loads it."""
    weights = train(shortened(tmp_path, steps=40, drawn=6, batch=4), tmp_path / "run", tmp_path)
    losses = [one.loss for one in read_progress(tmp_path / "run")]
    assert len(losses) == 4
    assert losses[-1] < 0.8 * losses[0]
    folder = tmp_path / "run" / "fashion-rag"
    assert weights == folder / ADAPTER
    assert full_problems(folder) == []
    editor = DiffusionEditor.load(folder)
    job = editor.example()
    painted = editor.finish(job, editor.forward([editor.prepare(job)])[0])
    assert painted.shape == job.pixels.shape


def test_a_run_that_was_stopped_goes_on(tmp_path: Path) -> None:
    """Stopped after two steps and gone on with, it is where a whole run is after four."""
    write_tiny(tmp_path, adapter=False)
    recipe = EditAdapterRecipe(base="tiny", steps=4, batch=3, rate=0.002, drawn=4, unet="all")
    pairs = drawn_pairs(4, 1)
    whole, stopped, resumed = (Training(recipe, tmp_path, pairs) for _ in range(3))
    losses = [whole.train_step() for _ in range(4)]
    first = [stopped.train_step() for _ in range(2)]
    stopped.save(tmp_path / CHECKPOINT)
    resumed.resume(tmp_path / CHECKPOINT)
    assert resumed.step == 2
    assert [*first, *(resumed.train_step() for _ in range(2))] == pytest.approx(losses, rel=1e-5)
    for (name, one), (_, other) in zip(whole.learning(), resumed.learning(), strict=True):
        assert torch.allclose(one, other, atol=1e-6), name


def test_only_what_the_recipe_says_learns(tmp_path: Path) -> None:
    """With `conv_in` the adapter and the first convolution; everything else is the same to the bit."""
    write_tiny(tmp_path, adapter=False)
    recipe = EditAdapterRecipe(base="tiny", steps=2, batch=4, rate=0.01, drawn=6, drop=0.0)
    state = Training(recipe, tmp_path, drawn_pairs(6, 1))
    nets = {"adapter": state.net.adapter, "unet": state.net.unet, "text": state.net.text_encoder, "vae": state.net.vae}
    before = {f"{n}.{k}": v.clone() for n, net in nets.items() for k, v in net.state_dict().items()}
    for _ in range(2):
        state.train_step()
    changed = {
        k
        for n, net in nets.items()
        for name, v in net.state_dict().items()
        if not torch.equal(v, before[k := f"{n}.{name}"])
    }
    assert {one for one in changed if not one.startswith("adapter.")} == {"unet.conv_in.weight", "unet.conv_in.bias"}
    assert len([one for one in changed if one.startswith("adapter.")]) > 10


def test_pairs_come_from_a_file(tmp_path: Path) -> None:
    """With a box or a drawn mask; what is wrong is told with its line or its file."""
    worn = np.full((80, 60, 3), 230, np.uint8)
    worn[20:70, 15:45] = (30, 60, 170)
    Image.fromarray(worn).save(tmp_path / "worn.png")
    Image.fromarray(worn[20:70, 15:45]).save(tmp_path / "garment.png")
    drawn = np.zeros((80, 60), np.uint8)
    drawn[20:70, 15:45] = 255
    Image.fromarray(drawn).save(tmp_path / "mask.png")
    line = {"garment": "garment.png", "worn": "worn.png", "text": "a blue dress"}
    path = tmp_path / "pairs.jsonl"
    path.write_text(
        "\n".join(json.dumps({**line, **more}) for more in ({"box": [15, 20, 45, 70]}, {"mask": "mask.png"}))
    )
    pairs = FilePairs(path)
    assert len(pairs) == 2
    assert np.array_equal(pairs[1].mask.whole(80, 60), drawn > 0)
    assert np.count_nonzero(pairs[0].mask.whole(80, 60) ^ (drawn > 0)) < 200
    assert pairs[0].garment.shape == (50, 30, 3)
    path.write_text('{"garment": 3}')
    with pytest.raises(Poison, match="line 1"):
        FilePairs(path)


@pytest.mark.parametrize(
    ("changes", "told"), [({"steps": "many"}, "steps"), ({"pairs": "x.jsonl"}, "pairs"), ({"colour": 1}, "colour")]
)
def test_a_recipe_that_says_what_none_does_is_refused(changes: dict[str, object], told: str, tmp_path: Path) -> None:
    """With the field."""
    with pytest.raises(Poison, match=told):
        train(shortened(tmp_path, **changes), tmp_path / "run", tmp_path)
