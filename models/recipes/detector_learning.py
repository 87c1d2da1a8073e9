"""What one step of the detector's training is: batches, losses, the optimiser, the average, and checkpoints."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from numpy.typing import NDArray
from torch import Tensor, nn

from models.detector.detector_net import COARSE, COARSE_CHANNELS, FINE, FINE_CHANNELS
from models.detector.yolo_detector import build_network
from models.recipes.detector_augment import Sample, Settings, boxed_sample, street_sample
from models.recipes.detector_data import BoxedPhoto, Photo
from models.recipes.detector_losses import IgnoringDetectionLoss, ParsingHeads, collate, taps
from models.recipes.detector_trunk import prepare
from processors.values import CATEGORIES

Config = dict[str, Any]


class Heads(nn.Module):
    """What teaches the network beside its boxes, and is dropped at export."""

    def __init__(self) -> None:
        super().__init__()
        self.parsing = ParsingHeads(FINE_CHANNELS, COARSE_CHANNELS)
        self.category = nn.Linear(COARSE_CHANNELS, len(CATEGORIES))

    def category_loss(self, coarse: Tensor, samples: Sequence[Sample]) -> Tensor:
        """Cross-entropy over the pictures of one garment; zero in a batch without one."""
        wanted = torch.tensor([s.category for s in samples], device=coarse.device)
        known = wanted >= 0
        if not bool(known.any()):
            return coarse.sum() * 0
        scores = self.category(coarse[known].mean((2, 3)))
        return F.cross_entropy(scores, wanted[known], label_smoothing=0.1)


@dataclass(slots=True)
class Trained:
    """Everything a checkpoint holds. `phone` are the boxes that phone photos got, by their number."""

    model: Any
    average: Any
    heads: Heads
    optimiser: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    images: int = 0


AVERAGE_EVERY = 4
"""Steps between two turns of the average: each costs as much as a picture."""
PARTS = ("model", "average", "heads", "optimiser")


def start(config: Config, base: Path, device: str = "cpu") -> Trained:
    """A run at step 0 on the pretrained base (the safetensors of EfficientNet-lite0)."""
    from ultralytics.cfg import get_cfg

    torch.manual_seed(config["seed"])
    model = build_network(config["architecture"], len(CATEGORIES))
    model.args = get_cfg()
    gains = config["losses"]
    model.args.box, model.args.cls, model.args.dfl = gains["box"], gains["class"], gains["dfl"]
    prepare(model.model[0], base, frozen=config["frozen_blocks"])
    model, heads = model.to(device, memory_format=torch.channels_last), Heads().to(device)
    rate, decay = config["optimiser"]["rate"], config["optimiser"]["weight_decay"]
    groups = []
    trunk = {id(p) for p in model.model[0].parameters()}
    learning = [p for m in (model, heads) for p in m.parameters() if p.requires_grad]
    for in_trunk in (True, False):
        share = config["optimiser"]["trunk"] if in_trunk else 1.0
        for deep in (True, False):
            mine = [p for p in learning if (id(p) in trunk) == in_trunk and (p.ndim > 1) == deep]
            groups.append({"params": mine, "lr": rate, "weight_decay": decay if deep else 0.0, "share": share})
    optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.99), fused=True)
    return Trained(model, copy.deepcopy(model).eval(), heads, optimiser)


def save(run: Trained, path: Path) -> None:
    """Write a resumable checkpoint aside and rename it, so that a killed run leaves the last one whole."""
    state = {name: getattr(run, name).state_dict() for name in PARTS}
    aside = path.with_suffix(".part")
    torch.save({**state, "step": run.step, "seconds": run.seconds, "images": run.images}, aside)
    aside.replace(path)


def resume(run: Trained, path: Path) -> None:
    """Continue from a checkpoint of `save` (tensors and numbers only)."""
    state = torch.load(path, weights_only=True, map_location=next(run.model.parameters()).device)
    for name in PARTS:
        getattr(run, name).load_state_dict(state[name])
    run.step, run.seconds, run.images = state["step"], state["seconds"], state["images"]


def rarity(present: Sequence[set[int]]) -> NDArray[np.float64]:
    """How often to show each picture: √(.3 / frequency) of its rarest class (LVIS, arXiv 1908.03195), at least 1.

    `present` are the classes of each picture.
    """
    frequency = {c: sum(c in classes for classes in present) / max(1, len(present)) for c in range(len(CATEGORIES))}
    weights = np.array([max([1.0, *(math.sqrt(0.3 / frequency[c]) for c in classes)]) for classes in present])
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def stage_at(config: Config, share: float) -> Config:
    """The stage of the recipe at this share (0..1) of the run."""
    stage: Config = next(s for s in reversed(config["stages"]) if share >= s["since"])
    return stage


class Batches:
    """An endless stream of batches; the share of the run decides canvas, mixture and augmentation."""

    def __init__(
        self, config: Config, photos: list[Photo], drawn: list[BoxedPhoto], phone: list[BoxedPhoto], seed: int
    ) -> None:
        self.config, self.photos, self.drawn = config, photos, drawn
        self.rng = np.random.default_rng(seed)
        self.weights = rarity([{t.classes[0] for t in p.targets if not t.ignore} for p in photos])
        self.queue: Iterator[int] = iter(())
        self.show_phone(phone)

    def show_phone(self, phone: list[BoxedPhoto]) -> None:
        """Phone photos from now on; those that have a box are drawn more often."""
        weights = rarity([{p.category} for p in phone]) * [1 + 3 * len(p.boxes) for p in phone]
        self.phone, self.phone_weights = phone, weights / weights.sum()

    def _next(self) -> Photo:
        for index in self.queue:
            return self.photos[index]
        self.queue = iter(self.rng.choice(len(self.photos), len(self.photos), p=self.weights).tolist())
        return self._next()

    def draw(self, share: float) -> list[Sample]:
        """One batch of one canvas size."""
        stage = stage_at(self.config, share)
        canvases = stage["canvases"]
        pick = self.rng.choice(len(canvases), p=[c[2] for c in canvases])
        canvas = (int(canvases[pick][0]), int(canvases[pick][1]))
        given = dict(stage["augment"])
        settings = Settings(
            scale=(given["scale"][0], given["scale"][1]), **{k: given[k] for k in given if k != "scale"}
        )
        samples = []
        for name, pictures, weights in (("drawn", self.drawn, None), ("phone", self.phone, self.phone_weights)):
            for _ in range(stage["batch"][name] if pictures else 0):
                picture = pictures[int(self.rng.choice(len(pictures), p=weights))]
                samples.append(boxed_sample(picture, canvas, settings, self.rng))
        while len(samples) < sum(stage["batch"].values()):
            samples.append(street_sample(self._next(), self.photos, canvas, settings, self.rng))
        return samples


class Lesson:
    """One optimiser step after another on a run."""

    def __init__(self, run: Trained, config: Config) -> None:
        self.run, self.config = run, config
        self.device = next(run.model.parameters()).device
        self.loss = IgnoringDetectionLoss(run.model)
        self.outputs = taps(run.model, (FINE, COARSE))

    def learn(self, samples: list[Sample], share: float) -> dict[str, float]:
        """Forward in bfloat16, losses in full precision, one step; the losses by name."""
        run, gains = self.run, self.config["losses"]
        images, batch, labels = collate(samples)
        images, labels = images.to(self.device, memory_format=torch.channels_last), labels.to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16):
            predictions = run.model(images)
        predictions = {**predictions, "boxes": predictions["boxes"].float(), "scores": predictions["scores"].float()}
        parts = self.loss(predictions, {k: v.to(self.device) for k, v in batch.items()}, samples)
        fine, coarse = self.outputs[FINE].float(), self.outputs[COARSE].float()
        parsing = run.heads.parsing(fine, coarse, labels)
        category = run.heads.category_loss(coarse, samples)
        total = parts.sum() + gains["parsing"] * parsing + gains["category"] * category
        rate = _rate(self.config["optimiser"], run.step, share)
        for group in run.optimiser.param_groups:
            group["lr"] = rate * group["share"]
        run.optimiser.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(run.model.parameters(), self.config["optimiser"]["clip"])
        run.optimiser.step()
        run.step += 1
        run.images += len(samples)
        if run.step % AVERAGE_EVERY == 0:
            _average(run, self.config["optimiser"]["ema"])
        names = ("box", "cls", "dfl", "parse", "category", "loss", "rate")
        values = (
            *parts.detach().tolist(),
            float(parsing.detach()),
            float(category.detach()),
            float(total.detach()),
            rate,
        )
        return dict(zip(names, values, strict=True))


def _rate(optimiser: Config, step: int, share: float) -> float:
    """Linear warm-up, then half a cosine down to `final`."""
    warm = min(1.0, (step + 1) / optimiser["warm_up_steps"])
    cosine = (1 + math.cos(math.pi * min(1.0, share))) / 2
    return float(optimiser["rate"] * warm * (optimiser["final"] + (1 - optimiser["final"]) * cosine))


def _average(run: Trained, horizon: float) -> None:
    """Exponential moving average of weights and batch-norm statistics, quicker at the start."""
    decay = min(horizon, (1 + run.step) / (20 + run.step)) ** AVERAGE_EVERY
    with torch.no_grad():
        for mine, theirs in zip(run.average.state_dict().values(), run.model.state_dict().values(), strict=True):
            if mine.is_floating_point():
                mine.lerp_(theirs, 1 - decay)
