"""The two-stage training of composers, on a small world of vectors."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from models.composers.vector_composer import VectorComposer
from models.ports import Composition
from models.recipes import composer, composer_evaluate, composer_losses, composer_stream
from models.recipes.composer_gather import Pictures, read_pictures
from models.recipes.composer_losses import Beside
from models.recipes.composer_settings import ComposerRecipe, read_recipe
from models.recipes.composer_training import Training
from models.recipes.composer_triplets import maybe_right, numbered, told_changes, triplets_of
from processors.errors import Poison
from processors.modifications import Change
from tests.fixtures.composer_world import WorldTexts, pictures, recipe

TEXTS = WorldTexts()


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Sums of several threads come in any order."""
    torch.set_num_threads(1)


def training(told: ComposerRecipe, shown: Pictures, run: Path) -> Training:
    """Ready for its first step."""
    some = triplets_of(shown, told, held_out=False)
    return Training(told, shown, some, composer.embedded(some.texts, TEXTS, run))


def worth(state: Training, shown: Pictures, run: Path) -> dict[str, dict[str, float]]:
    """On held-out triplets."""
    return composer.judge(state, state.recipe, shown, TEXTS, run)


def test_both_stages_make_a_composer_that_beats_what_needs_no_training(tmp_path: Path) -> None:
    """On held-out garments the first is right far more often than for the image, the words, their sum or the direction."""
    shown = pictures(60)
    state = training(recipe(60, 60), shown, tmp_path)
    composer.follow(state, tmp_path)
    found = worth(state, shown, tmp_path)
    others = max(found[name]["R@1"] for name in ("image", "words", "sum", "direction"))
    assert found["composer"]["R@1"] >= others + 0.15
    path = composer.export(state, "world.yaml", shown, found, TEXTS.fingerprint, tmp_path)
    served = VectorComposer.load(path)
    image, text = shown.vectors[0], TEXTS.forward(["in navy"])[0]
    wanted = state.compose(*(torch.from_numpy(v)[None] for v in (image, text, text)), torch.tensor([False]))[0]
    ready = served.prepare(Composition(image, text))
    assert np.allclose(served.forward([ready])[0], wanted.numpy(), atol=5e-3)
    assert served.target == TEXTS.fingerprint
    assert served.card.steps == (60, 60)
    assert served.card.triplets["drawn"] == len(state.triplets.reference)


def test_the_bank_beats_as_many_in_batch_steps(tmp_path: Path) -> None:
    """The same steps, batches and rates: against all targets more is learnt than against those of the batch."""
    shown = pictures(60)
    found = {}
    for name, told in {"bank": recipe(40, 80), "in batch": recipe(120, 0)}.items():
        state = training(told, shown, tmp_path)
        (tmp_path / name).mkdir()
        composer.follow(state, tmp_path / name)
        found[name] = worth(state, shown, tmp_path)["composer"]["R@1"]
    assert found["bank"] > found["in batch"]


@pytest.mark.parametrize("stopped", [3, 9])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(stopped: int, tmp_path: Path) -> None:
    """Stopped in either stage and loaded anew: weights and moments are those of a run that was never stopped."""
    shown, told = pictures(12), recipe(6, 6)
    through = training(told, shown, tmp_path)
    for _ in range(12):
        through.train_step()
    before = training(told, shown, tmp_path)
    for _ in range(stopped):
        before.train_step()
    before.save(tmp_path / "last.safetensors")
    after = training(told, shown, tmp_path)
    composer.follow(after, tmp_path)
    assert after.step == 12
    assert all(torch.equal(through.named[name], parameter) for name, parameter in after.named.items())
    through.save(tmp_path / "through.safetensors")
    again = training(told, shown, tmp_path)
    again.resume(tmp_path / "through.safetensors")
    for name, parameter in through.named.items():
        state = through.optimizer.state[parameter]
        assert all(torch.equal(state[key], value) for key, value in again.optimizer.state[again.named[name]].items())
    lines = [json.loads(line) for line in (tmp_path / "progress.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [12]


def test_the_target_side_is_trained_in_the_first_stage_and_frozen_in_the_second(tmp_path: Path) -> None:
    """Not a bit of it moves against the bank, and the query side does."""
    state = training(recipe(4, 4), pictures(12), tmp_path)
    start = state.target.weight.detach().clone()
    for _ in range(4):
        state.train_step()
    middle = {name: p.detach().clone() for name, p in state.named.items()}
    assert not torch.equal(start, middle["target.weight"])
    for _ in range(4):
        state.train_step()
    assert torch.equal(state.target.weight, middle["target.weight"])
    assert not torch.equal(state.named["network.out.weight"], middle["network.out.weight"])


def test_what_the_words_cannot_say_is_no_triplet() -> None:
    """A facet that is known of the reference alone may be another one on the target, and nobody would say so."""
    red, navy = {"colour": "red", "pattern": "solid"}, {"colour": "navy", "pattern": "solid"}
    assert told_changes(red, navy) == (Change("colour", "red", "navy"),)
    assert told_changes(red, {"colour": "navy"}) is None
    assert told_changes({"colour": "navy"}, navy) == (Change("pattern", "", "solid"),)
    assert told_changes(red, red) is None


def test_what_may_be_right_is_no_negative() -> None:
    """Only what contradicts the wish is pushed away."""
    shown = numbered([{"colour": "red", "pattern": "solid"}, {"colour": "red"}, {"colour": "navy"}, {}])
    assert maybe_right(shown, shown).tolist() == [
        [True, True, False, True],
        [True, True, False, True],
        [False, False, True, True],
        [True, True, True, True],
    ]


def test_ignored_targets_and_synthetic_negatives_act_as_they_say() -> None:
    """An ignored target changes nothing; a synthetic negative does, unless nothing was replaced in it."""
    queries, targets = torch.nn.functional.normalize(
        torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(1)), dim=2
    )
    none, rows = torch.zeros(4, 4, dtype=torch.bool), torch.arange(4)
    plain = composer_losses.contrast(queries, targets, rows, none, 0.1)
    by_hand = -torch.log_softmax(queries @ targets.T / 0.1, 1).diagonal().mean()
    assert torch.allclose(plain, by_hand)
    ignored = none.clone()
    ignored[0, 1] = True
    moved = targets.clone()
    moved[1] = -moved[1]
    first = composer_losses.contrast(queries[:1], targets, rows[:1], ignored[:1], 0.1)
    assert torch.allclose(first, composer_losses.contrast(queries[:1], moved, rows[:1], ignored[:1], 0.1))
    hard = queries[:, None]
    beside = [Beside(hard, torch.full((4, 1), same)) for same in (False, True)]
    empty = Beside(hard[:, :0], torch.zeros(4, 0, dtype=torch.bool))
    with_hard, hidden, without = (
        composer_losses.cir_in_bank(queries, targets, rows, none, 0.1, one) for one in (*beside, empty)
    )
    assert with_hard > without + 0.1
    assert torch.allclose(hidden, without)


def test_crossed_queries_are_negatives_of_targets_they_do_not_mean() -> None:
    """A crossed query like a target costs; one that may mean it does not."""
    targets = torch.eye(4)
    none = torch.zeros(4, 4, dtype=torch.bool)
    empty = torch.zeros(4, 0, 4), torch.zeros(4, 0, dtype=torch.bool)
    without = composer_losses.cir_in_batch(targets, targets, none, 0.5, Beside(*empty))
    against = composer_losses.cir_in_batch(targets, targets, none, 0.5, Beside(*empty, targets, none))
    meant = composer_losses.cir_in_batch(targets, targets, none, 0.5, Beside(*empty, targets, ~none))
    assert against > without + 0.1
    assert torch.allclose(meant, without)


def test_exported_triplets_of_the_stream_become_series(tmp_path: Path) -> None:
    """A line is a series of two; those of another encoder are left out; a bad line is named."""

    def line(number: int, encoder: str) -> bytes:
        vector = np.eye(8, dtype="<f4")[number].tobytes()
        sides = [
            composer_stream.ExportedSide(f"p{number}", {"category": "dress", "colour": colour}, vector, encoder)
            for colour in ("red", "navy")
        ]
        return msgspec.json.encode(composer_stream.ExportedTriplet(f"t{number}", *sides, "in navy"))

    path = tmp_path / "triplets.jsonl"
    path.write_bytes(b"\n".join([line(0, "a"), line(1, "a"), line(2, "b")]))
    assert composer_stream.gather(path, "a", tmp_path) == 4
    found = read_pictures(tmp_path, "a")
    assert len(found.vectors) == 4
    assert set(found.origins) == {"stream"}
    assert len(set(found.series.tolist())) == 2
    with pytest.raises(FileNotFoundError):
        read_pictures(tmp_path, "c")
    path.write_bytes(line(0, "a") + b"\n{}")
    with pytest.raises(Poison, match="line 2"):
        composer_stream.gather(path, "a", tmp_path)


def test_the_shipped_recipe_is_read_and_a_wrong_one_is_told(tmp_path: Path) -> None:
    """A field that no recipe has is named."""
    assert read_recipe(composer.CONFIG).second.steps > 0
    bad = tmp_path / "bad.yaml"
    bad.write_text(composer.CONFIG.read_text() + "\nwarm: 1\n")
    with pytest.raises(Poison, match="warm"):
        read_recipe(bad)


def test_right_answers_are_of_the_same_garment(tmp_path: Path) -> None:
    """A composer that answers with the target's own vector is right always, one that answers with the reference never."""
    shown = pictures(16)
    some = triplets_of(shown, recipe(1, 1), held_out=True)
    texts = composer.embedded(some.texts, TEXTS, tmp_path)
    for rows, wanted in ((some.target, 1.0), (some.reference, 0.0)):
        given = torch.from_numpy(shown.vectors[rows])
        found = composer_evaluate.recalls(shown, some, texts, lambda *_, given=given: given * 9)["composer"]
        assert found["R@1"] >= wanted if wanted else found["R@1"] < 0.7
