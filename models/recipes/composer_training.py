"""The two stages of a composer's training, over vectors that were looked at once; every step can be gone on from.

Stage 1: in-batch negatives, the query side and a linear target side. Stage 2: the target side is frozen, every target stands in a
static bank. As the target side is linear, ⟨q, M t⟩ = ⟨Mᵀq, t⟩: it is folded into the query, and no index changes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from numpy.typing import NDArray
from torch import Tensor, nn

from models.composers import networks
from models.recipes.composer_gather import Pictures
from models.recipes.composer_losses import Beside, cir_in_bank, cir_in_batch, ctr
from models.recipes.composer_settings import ComposerRecipe, Stage
from models.recipes.composer_triplets import Triplets, maybe_right, numbered
from models.recipes.kept_training import kept_training, save_training, take_model, take_moments

WARM_UP = 0.05
"""Share of a stage's steps in which the rate rises."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of the triplets, and their vectors (n, d); `synthetic` (n, k, d)."""

    rows: NDArray[np.int64]
    image: Tensor
    text: Tensor
    caption: Tensor
    known: Tensor
    told: Tensor
    synthetic: Tensor
    same: Tensor


class Training:
    """Network, target side and optimiser, and one step of each stage.

    Args:
        recipe: what to do.
        pictures: that were looked at.
        triplets: of the training side.
        texts: (m, d) float32, unit: the vectors of `triplets.texts`.
    """

    def __init__(
        self, recipe: ComposerRecipe, pictures: Pictures, triplets: Triplets, texts: NDArray[np.float32]
    ) -> None:
        self.recipe, self.triplets = recipe, triplets
        torch.manual_seed(recipe.seed)
        self.images, self.texts = torch.from_numpy(pictures.vectors), torch.from_numpy(texts)
        self.network = networks.build(recipe.network, recipe.shape)
        dimension = recipe.shape["dimension"]
        self.target = nn.Linear(dimension, dimension, bias=False)
        nn.init.eye_(self.target.weight)
        self.target.requires_grad_(recipe.target_side)
        self.known = numbered(pictures.facets)
        self.rows_of_bank = np.flatnonzero(~pictures.held_out)
        self.place_in_bank = np.full(len(pictures.facets), -1, np.int64)
        self.place_in_bank[self.rows_of_bank] = np.arange(len(self.rows_of_bank))
        self.named: dict[str, nn.Parameter] = {
            **{f"network.{n}": p for n, p in self.network.named_parameters()},
            **{f"target.{n}": p for n, p in self.target.named_parameters()},
        }
        self.optimizer = torch.optim.AdamW(list(self.named.values()), lr=0.0, weight_decay=recipe.weight_decay)
        self.step, self.seconds = 0, 0.0
        self._bank: Tensor | None = None

    @property
    def steps(self) -> int:
        """Of both stages."""
        return self.recipe.first.steps + self.recipe.second.steps

    def train_step(self) -> float:
        """Do the next step of whichever stage it belongs to; returns the loss. Every draw depends on the step alone."""
        first, second = self.recipe.first, self.recipe.second
        within = self.step < first.steps
        stage, done = (first, self.step) if within else (second, self.step - first.steps)
        torch.manual_seed(self.recipe.seed * 1_000_003 + self.step)
        batch = self._batch(stage)
        self.network.train()
        loss = self._in_batch(batch, stage) if within else self._in_bank(batch, stage)
        rate = stage.rate * _rate(done / stage.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.named.values(), 1.0)
        self.optimizer.step()
        self.step += 1
        return float(loss.detach())

    def _batch(self, stage: Stage) -> Batch:
        rng = np.random.default_rng([self.recipe.seed, 2, self.step])
        some = self.triplets
        rows = rng.choice(len(some.reference), min(stage.batch, len(some.reference)), replace=False)
        wrong = rng.random(len(rows)) < self.recipe.captions.wrong
        captions = np.where(wrong, some.wrong[rows], some.caption[rows])
        known = torch.from_numpy(rng.random(len(rows)) >= self.recipe.captions.absent)
        return Batch(
            rows,
            self.images[some.reference[rows]],
            self.texts[some.words[rows]],
            self.texts[captions],
            known,
            self.texts[some.told[rows]],
            self.texts[some.synthetic[rows]],
            torch.from_numpy(some.synthetic[rows] == some.told[rows, None]),
        )

    def _in_batch(self, batch: Batch, stage: Stage) -> Tensor:
        losses, some = self.recipe.losses, self.triplets
        queries = self.network(batch.image, batch.text, batch.caption, batch.known)
        targets = self.target(self.images[some.target[batch.rows]])
        wanted = self.known[some.target[batch.rows]]
        ignored = torch.from_numpy(maybe_right(wanted, wanted))
        loss = losses.cir * cir_in_batch(queries, targets, ignored, stage.temperature, self._beside(batch))
        if losses.ctr:
            loss = loss + losses.ctr * ctr(targets, batch.told, ignored, stage.temperature)
        return loss

    def _beside(self, batch: Batch) -> Beside:
        """The synthetic negatives, and each image with the words of the one before it."""
        if not self.recipe.negatives.crossed:
            return Beside(batch.synthetic, batch.same)
        crossed = self.network(batch.image, batch.text.roll(1, 0), batch.caption, batch.known)
        before, after = self.known[self.triplets.reference[batch.rows]], self.known[self.triplets.target[batch.rows]]
        set_by_words = np.roll((before != after) & (after >= 0), 1, 0)
        wanted = np.where(set_by_words, np.roll(after, 1, 0), before).astype(np.int16)
        return Beside(batch.synthetic, batch.same, crossed, torch.from_numpy(maybe_right(wanted, after)))

    def _in_bank(self, batch: Batch, stage: Stage) -> Tensor:
        if self._bank is None:
            self.target.requires_grad_(requires_grad=False)
            with torch.no_grad():
                self._bank = self.target(self.images[self.rows_of_bank])
        queries = self.network(batch.image, batch.text, batch.caption, batch.known)
        target, reference = self.triplets.target[batch.rows], self.triplets.reference[batch.rows]
        ignored = torch.from_numpy(maybe_right(self.known[target], self.known[self.rows_of_bank]))
        ignored[torch.arange(len(batch.rows)), torch.from_numpy(self.place_in_bank[reference])] = True
        right = torch.from_numpy(self.place_in_bank[target])
        beside = Beside(batch.synthetic, batch.same)
        return self.recipe.losses.cir * cir_in_bank(queries, self._bank, right, ignored, stage.temperature, beside)

    def compose(self, image: Tensor, text: Tensor, caption: Tensor, known: Tensor) -> Tensor:
        """What is served: the query with the target side folded in, (n, d), unit."""
        self.network.eval()
        with torch.inference_mode():
            return F.normalize(self.network(image, text, caption, known) @ self.target.weight, dim=1)

    def save(self, path: Path) -> None:
        """Everything that the next step depends on, in one file, written aside and renamed."""
        told = {"step": str(self.step), "seconds": str(self.seconds)}
        save_training(path, self.named, self.named.values(), self.optimizer, told)

    def resume(self, path: Path) -> None:
        """Go on from `save`."""
        told, tensors = kept_training(path)
        self.step, self.seconds = int(told["step"]), float(told["seconds"])
        take_model(tensors, self.named)
        take_moments(tensors, self.named.values(), self.optimizer)


def _rate(done: float) -> float:
    """Rises, then falls as a cosine to a twentieth."""
    if done < WARM_UP:
        return max(done, 1e-3) / WARM_UP
    return 0.05 + 0.95 * (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))) / 2
