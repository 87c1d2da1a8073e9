"""Train FashionBLIP-2 in two stages: `weft train composer --recipe models/recipes/fashion-blip2.yaml --data DIR`.

Stage 1 (L_CIR + L_CTR): adapters, Q-Former and heads, in-batch. Stage 2 (L_CIR): the target side frozen with its ViT, every target in a
static bank; the query side has a Q-Former and heads of its own. The frozen weights of BLIP-2 are not touched by a bit. DIR holds the
folder of BLIP-2 that the recipe names. Needs a GPU for the published size; a tiny configuration trains in seconds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from models.composers import fashion_blip2
from models.composers.fashion_blip2 import QUERY, TARGET, TRAINED
from models.composers.fashion_blip2_net import FashionBlip2, HeadsConfig, is_trained
from models.recipes import composer_data
from models.recipes.composer_losses import Beside, cir_in_bank, cir_in_batch, ctr
from models.recipes.composer_settings import Losses, Stage
from models.recipes.composer_triplets import maybe_right, numbered, told_changes
from models.recipes.kept_training import MODEL, kept_training, save_training, take_moments
from models.squashed import picture, preprocessing_of
from models.weights.hashes import list_folder
from processors import crops, fusion
from processors.errors import Poison
from processors.modifications import WORDINGS, modification

NETWORK = "fashion-blip2"
CHECKPOINT = "last.safetensors"
LOGGED = 20


class Blip2Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`base`: folder below the data folder; `drawn`: series of pictures."""

    network: Literal["fashion-blip2"]
    base: str
    first: Stage
    second: Stage
    heads: HeadsConfig = HeadsConfig()
    losses: Losses = Losses()
    drawn: int = 2000
    members: int = 4
    seed: int = 7
    threads: int = 1
    save_steps: int = 200
    weight_decay: float = 0.01


class Material(msgspec.Struct, frozen=True):
    """Pictures (n, 3, side, side), what is known of them, and triplets (reference, target, tokens of the words, of the target's caption)."""

    pictures: Any
    known: Any
    triplets: list[tuple[int, int, list[int], list[int]]]


class Blip2Training:
    """Both sides and one step of each stage.

    Args:
        recipe: what to do.
        target: the network, freshly made of its base.
        material: what to learn from.
        device: of torch.
    """

    def __init__(self, recipe: Blip2Recipe, target: FashionBlip2, material: Material, device: str = "cpu") -> None:
        self.recipe, self.material, self.device = recipe, material, device
        self.target = target.to(device)
        self.query = fashion_blip2.query_side_of(self.target)
        self.step, self.seconds = 0, 0.0
        self._bank: Tensor | None = None
        self.optimizer = self._optimizer(self.target)

    @property
    def steps(self) -> int:
        """Of both stages."""
        return self.recipe.first.steps + self.recipe.second.steps

    def _optimizer(self, side: FashionBlip2) -> torch.optim.AdamW:
        return torch.optim.AdamW(
            [p for p in side.parameters() if p.requires_grad], weight_decay=self.recipe.weight_decay
        )

    def begin_second(self) -> None:
        """Freeze the target side, keep every target's vector, and go on with a query side that starts as the target's is."""
        self.target.requires_grad_(requires_grad=False)
        self.target.eval()
        self.query = fashion_blip2.query_side_of(self.target)
        for name, parameter in self.query.named_parameters():
            parameter.requires_grad_(is_trained(name) and ".adapter." not in name)
        with torch.no_grad():
            self._bank = torch.cat([self.target.target(self.target.seen(part)) for part in self._parts()])
        self.optimizer = self._optimizer(self.query)

    def _parts(self) -> Iterator[Tensor]:
        for start in range(0, len(self.material.pictures), 32):
            yield self._photos(np.arange(start, min(start + 32, len(self.material.pictures))))

    def _photos(self, rows: Any) -> Tensor:
        return torch.from_numpy(self.material.pictures[rows]).to(self.device)

    def train_step(self) -> float:
        """The next step of whichever stage it belongs to; every draw depends on the step alone."""
        first, second = self.recipe.first, self.recipe.second
        within = self.step < first.steps
        if not within and self._bank is None:
            self.begin_second()
        stage = first if within else second
        torch.manual_seed(self.recipe.seed * 1_000_003 + self.step)
        rng = np.random.default_rng([self.recipe.seed, self.step])
        chosen = rng.choice(len(self.material.triplets), min(stage.batch, len(self.material.triplets)), replace=False)
        rows = [self.material.triplets[int(n)] for n in chosen]
        loss = self._in_batch(rows, stage) if within else self._in_bank(rows, stage)
        for group in self.optimizer.param_groups:
            group["lr"] = stage.rate
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.step += 1
        return float(loss.detach())

    def _queries(self, side: FashionBlip2, rows: Any) -> Tensor:
        ids, mask = fashion_blip2.padded([words for _, _, words, _ in rows])
        photos = self._photos([reference for reference, _, _, _ in rows])
        return side.query(side.seen(photos), ids.to(self.device), mask.to(self.device))

    def _beside(self, queries: Tensor) -> Beside:
        none = queries.new_zeros(len(queries), 0, queries.shape[1])
        return Beside(none, torch.zeros(len(queries), 0, dtype=torch.bool, device=self.device))

    def _in_batch(self, rows: Any, stage: Stage) -> Tensor:
        side, losses = self.target, self.recipe.losses
        side.train()
        places = np.array([target for _, target, _, _ in rows])
        queries = self._queries(side, rows)
        targets = side.target(side.seen(self._photos(places)))
        wanted = self.material.known[places]
        ignored = torch.from_numpy(maybe_right(wanted, wanted)).to(self.device)
        loss = losses.cir * cir_in_batch(queries, targets, ignored, stage.temperature, self._beside(queries))
        if losses.ctr:
            ids, mask = fashion_blip2.padded([told for _, _, _, told in rows])
            words = side.words(ids.to(self.device), mask.to(self.device))
            loss = loss + losses.ctr * ctr(targets, words, ignored, stage.temperature)
        return loss

    def _in_bank(self, rows: Any, stage: Stage) -> Tensor:
        assert self._bank is not None  # `begin_second` made it
        self.query.train()
        queries = self._queries(self.query, rows)
        places = np.array([target for _, target, _, _ in rows])
        ignored = torch.from_numpy(maybe_right(self.material.known[places], self.material.known)).to(self.device)
        ignored[torch.arange(len(rows)), torch.tensor([reference for reference, _, _, _ in rows])] = True
        right = torch.from_numpy(places).to(self.device)
        beside = self._beside(queries)
        return self.recipe.losses.cir * cir_in_bank(queries, self._bank, right, ignored, stage.temperature, beside)

    def trained(self) -> dict[str, Tensor]:
        """What learnt, by name, of both sides; before the second stage the query side is the target side."""
        query = self.query if self._bank is not None else self.target
        found = {}
        for prefix, side in ((TARGET, self.target), (QUERY, query)):
            for name, parameter in side.named_parameters():
                if is_trained(name) and not (prefix == QUERY and ".adapter." in name):
                    found[f"{prefix}{name}"] = parameter.detach().clone().contiguous()
        return found

    def save(self, path: Path) -> None:
        """Weights and moments, written aside and renamed."""
        told = {"step": str(self.step), "seconds": str(self.seconds)}
        save_training(path, self.trained(), self.optimizer.param_groups[0]["params"], self.optimizer, told)

    def resume(self, path: Path) -> None:
        """Go on from `save`."""
        told, tensors = kept_training(path)
        self.step, self.seconds = int(told["step"]), float(told["seconds"])
        self._fill(self.target, tensors, f"{MODEL}{TARGET}")
        if self.step > self.recipe.first.steps:
            self.begin_second()
            self._fill(self.query, tensors, f"{MODEL}{QUERY}")
        take_moments(tensors, self.optimizer.param_groups[0]["params"], self.optimizer)

    @staticmethod
    def _fill(side: FashionBlip2, tensors: dict[str, Tensor], prefix: str) -> None:
        own = {name.removeprefix(prefix): one for name, one in tensors.items() if name.startswith(prefix)}
        side.load_state_dict(own, strict=False)


def drawn_material(recipe: Blip2Recipe, folder: Path, side: int) -> Material:
    """Drawn series, with the tokens of what is said of them."""
    tokenizer = fashion_blip2.tokenizer_of(folder)
    how = preprocessing_of(folder)
    rng = np.random.default_rng(recipe.seed)
    photos: list[NDArray[np.float32]] = []
    facets: list[dict[str, str]] = []
    triplets: list[tuple[int, int, list[int], list[int]]] = []
    for number in range(recipe.drawn):
        series = composer_data.drawn_series(number, recipe.members)
        first = len(photos)
        for one in series:
            photos.append(picture(crops.cut(one.pixels, one.box), side, how))
            facets.append(one.facets)
        for a in range(first, len(photos)):
            for b in range(first, len(photos)):
                changes = told_changes(facets[a], facets[b]) if a != b else None
                if changes:
                    words = modification(changes, int(rng.integers(WORDINGS)))
                    told = fusion.caption_of(facets[b])
                    triplets.append((a, b, tokenizer.encode(words).ids, tokenizer.encode(told).ids))
    if not triplets:
        raise Poison("no pair of pictures differs in what words can say")
    return Material(np.stack(photos), numbered(facets), triplets)


def train(recipe: Path, run: Path, data: Path, minutes: float | None = None) -> Path:
    """Train both stages and export into a copy of BLIP-2's folder name: RUN/fashion-blip2.safetensors, to be put beside BLIP-2.

    Args:
        recipe: a YAML like `fashion-blip2.yaml`.
        run: folder of the checkpoint, of `progress.jsonl` and of the result.
        data: folder that holds the recipe's `base`.
        minutes: train no longer.

    Raises:
        FileNotFoundError: BLIP-2 is not there.
        Poison: the recipe says what no recipe does.
    """
    try:
        told = msgspec.convert(yaml.safe_load(recipe.read_text()), Blip2Recipe)
    except msgspec.ValidationError as error:
        raise Poison(f"--recipe {recipe}: {error}") from error
    folder = data / told.base
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(2, "BLIP-2 is not there", str(folder))
    torch.set_num_threads(told.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(told.seed)
    network = FashionBlip2(fashion_blip2.base(folder), told.heads)
    material = drawn_material(told, folder, network.blip2.config.vision_config.image_size)
    run.mkdir(parents=True, exist_ok=True)
    state = Blip2Training(told, network, material, device)
    follow(state, run, minutes)
    out = run / TRAINED
    tensors = {name: one.half().cpu() for name, one in state.trained().items()}
    save_file(tensors, out, metadata={"heads": msgspec.json.encode(told.heads).decode(), "step": str(state.step)})
    list_folder(run, "fashion-blip2")
    return out


def follow(state: Blip2Training, run: Path, minutes: float | None) -> None:
    """Go on where the run was stopped."""
    if (run / CHECKPOINT).is_file():
        state.resume(run / CHECKPOINT)
    began, before = time.monotonic(), state.seconds
    losses: list[float] = []
    with (run / "progress.jsonl").open("a") as progress:
        while state.step < state.steps and (minutes is None or time.monotonic() - began < 60 * minutes):
            losses.append(state.train_step())
            state.seconds = before + time.monotonic() - began
            if state.step % LOGGED == 0 or state.step == state.steps:
                images = state.step * state.recipe.first.batch
                row = {
                    "step": state.step,
                    "seconds": round(state.seconds, 1),
                    "images": images,
                    "loss": float(np.mean(losses)),
                }
                progress.write(json.dumps(row) + "\n")
                progress.flush()
                losses.clear()
            if state.step % state.recipe.save_steps == 0:
                state.save(run / CHECKPOINT)
    state.save(run / CHECKPOINT)
