"""Train a composer in two stages: `weft train composer --recipe models/recipes/composer.yaml --data DIR`.

    look (each picture once, RUN/pictures) → embed the texts (once, RUN/texts) → stage 1: in-batch, both sides
    → stage 2: the target side frozen, against a bank of all targets → held-out triplets (RUN/worth.json) → export

Only vectors are trained on, so a run takes minutes once the pictures were looked at. It goes on where it was stopped, to the same
bits. DIR holds `street/` and `phone/`, and the files of the recipe's `stream`.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from models.composers import composer_file
from models.composers.composer_file import FORMAT, ComposerCard, ComposerHeader
from models.ports import ImageEncoder, TextEncoder
from models.recipes import composer_evaluate, composer_stream, fashion_blip2, ship
from models.recipes.composer_gather import Pictures, gather, read_pictures
from models.recipes.composer_settings import ComposerRecipe, network_of, read_recipe
from models.recipes.composer_training import Training
from models.recipes.composer_triplets import Triplets, triplets_of
from models.weights.hashes import fingerprint
from models.weights.starter import TEXT_TOWER, shipped_path
from processors.errors import Poison

CONFIG = Path(__file__).with_suffix(".yaml")
SHIPPED = "composer.safetensors"
CHECKPOINT = "last.safetensors"
BATCH = 64
LOGGED = 20
"""Steps between two lines of `progress.jsonl`."""


class Towers:
    """The starter's encoder; each tower is loaded when it is first needed."""

    def images(self) -> ImageEncoder:
        from models.recipes.facets import encoder_of

        return encoder_of()

    def texts(self) -> TextEncoder:
        from models.encoder.clip_encoder import ClipTextEncoder

        cache = Path(os.environ.get("WEFT_MODEL_CACHE", "~/.cache/weft/models")).expanduser()
        return ClipTextEncoder.load(shipped_path("encoder.safetensors"), cache / TEXT_TOWER)


def train(recipe: Path, run: Path, data: Path, minutes: float | None = None, towers: Towers | None = None) -> Path:
    """Look, train both stages, judge, and export.

    Args:
        recipe: a YAML like `composer.yaml`.
        run: folder of the pictures' vectors, of the checkpoint, of `progress.jsonl` and of the result.
        data: folder with `street/` and `phone/`.
        minutes: look no longer than that, and train no longer than that.
        towers: None: the starter's.

    Returns:
        RUN/composer.safetensors.

    Raises:
        FileNotFoundError: the photos, the triplets or the encoder are not there.
        Poison: the recipe says what no recipe does, or there are no triplets.
    """
    if network_of(recipe) == fashion_blip2.NETWORK:
        return fashion_blip2.train(recipe, run, data, minutes)
    told = read_recipe(recipe)
    torch.set_num_threads(told.threads)
    towers = towers or Towers()
    run.mkdir(parents=True, exist_ok=True)
    texts = towers.texts()
    gather(told, towers.images, run, data, minutes)
    for name in told.stream:
        composer_stream.gather(data / name, texts.fingerprint, run)
    pictures = read_pictures(run, texts.fingerprint)
    triplets = triplets_of(pictures, told, held_out=False)
    state = Training(told, pictures, triplets, embedded(triplets.texts, texts, run))
    follow(state, run, minutes)
    worth = judge(state, told, pictures, texts, run)
    return export(state, recipe.name, pictures, worth, texts.fingerprint, run)


def embedded(texts: tuple[str, ...], encoder: TextEncoder, run: Path) -> NDArray[np.float32]:
    """(m, dimension), kept in RUN under what they are of; sorted by length, so that batches waste little."""
    path = run / "texts" / f"{fingerprint(encoder.fingerprint, *texts)[7:23]}.npy"
    if path.is_file():
        return np.asarray(np.load(path, allow_pickle=False), np.float32)
    order = sorted(range(len(texts)), key=lambda n: len(texts[n]))
    found = np.zeros((len(texts), encoder.dimension), np.float32)
    for start in range(0, len(order), BATCH):
        some = order[start : start + BATCH]
        raws = encoder.forward([encoder.prepare(texts[n]) for n in some])
        found[some] = np.stack([encoder.finish(texts[n], raw) for n, raw in zip(some, raws, strict=True)])
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".part.npy")
    np.save(aside, found)
    aside.replace(path)
    return found


def follow(state: Training, run: Path, minutes: float | None = None) -> None:
    """Go on where the run was stopped, and train to the end of both stages, or so many minutes."""
    checkpoint = run / CHECKPOINT
    if checkpoint.is_file():
        state.resume(checkpoint)
    _cut_progress(run, state.step)
    began, before = time.monotonic(), state.seconds
    losses: list[float] = []
    with (run / "progress.jsonl").open("a") as progress:
        while state.step < state.steps and (minutes is None or time.monotonic() - began < 60 * minutes):
            losses.append(state.train_step())
            state.seconds = before + time.monotonic() - began
            if state.step % LOGGED == 0 or state.step == state.steps:
                seen = _seen(state)
                row = {
                    "step": state.step,
                    "seconds": round(state.seconds, 1),
                    "images": seen,
                    "loss": float(np.mean(losses)),
                }
                progress.write(json.dumps(row) + "\n")
                progress.flush()
                losses.clear()
            if state.step % state.recipe.save_steps == 0:
                state.save(checkpoint)
    state.save(checkpoint)


def _seen(state: Training) -> int:
    first, second = state.recipe.first, state.recipe.second
    within = min(state.step, first.steps)
    return within * first.batch + (state.step - within) * second.batch


def _cut_progress(run: Path, done: int) -> None:
    """Lines of steps after the checkpoint will be written again."""
    path = run / "progress.jsonl"
    if path.is_file():
        lines = [line for line in path.read_text().splitlines() if json.loads(line)["step"] <= done]
        path.write_text("".join(f"{line}\n" for line in lines))


def judge(
    state: Training, recipe: ComposerRecipe, pictures: Pictures, texts: TextEncoder, run: Path
) -> dict[str, dict[str, float]]:
    """Recall on held-out triplets, kept in RUN/worth.json; nothing where no series is held out."""
    try:
        held: Triplets = triplets_of(pictures, msgspec.structs.replace(recipe, pairs=2000), held_out=True)
    except Poison:
        return {}
    found = composer_evaluate.recalls(pictures, held, embedded(held.texts, texts, run), state.compose)
    (run / "worth.json").write_text(json.dumps(found, indent=1))
    return found


def export(
    state: Training, recipe: str, pictures: Pictures, worth: dict[str, dict[str, float]], encoder: str, run: Path
) -> Path:
    """Write the query side and list it in a manifest of the run's folder. The target side is a last linear layer of the query."""
    counts = {
        origin: sum(pictures.origins[int(row)] == origin for row in state.triplets.reference)
        for origin in sorted(set(pictures.origins))
    }
    done = (min(state.step, state.recipe.first.steps), max(0, state.step - state.recipe.first.steps))
    held_out = {f"{method} {name}": share for method, some in worth.items() for name, share in some.items()}
    card = ComposerCard(
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        recipe=recipe,
        triplets=counts,
        steps=done,
        held_out={name: share for name, share in held_out.items() if name.startswith(("composer R@", "sum R@"))},
    )
    header = ComposerHeader(FORMAT, state.recipe.network, state.recipe.shape, encoder, card)
    tensors = {name: tensor.numpy() for name, tensor in state.network.state_dict().items()}
    tensors["fold"] = state.target.weight.detach().numpy()
    out = run / SHIPPED
    aside = out.with_suffix(".part")
    aside.write_bytes(composer_file.encode(header, tensors))
    aside.replace(out)
    return ship.list_run(out)


def main() -> None:
    """The command line of the recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("WEFT_DATA", "../shared/data")))
    parser.add_argument("--run", type=Path, default=Path("runs/composer"))
    parser.add_argument("--minutes", type=float)
    options = parser.parse_args()
    print(train(options.config, options.run, options.data, options.minutes))


if __name__ == "__main__":
    main()
