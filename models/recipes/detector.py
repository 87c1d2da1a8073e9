"""Train, evaluate and export the starter detector: yolo11n from its YAML, from zero, on CPU.

    python -m models.recipes.detector train --data DIR --run runs/detector
    python -m models.recipes.detector export --run runs/detector --out models/starter/detector.safetensors
    python -m models.recipes.detector evaluate --data DIR --weights models/starter/detector.safetensors

DIR holds `street/` (and `teachers/`, without which the run goes without imitation); WEFT_DATA is its default.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor, nn

from models.recipes.detector_augment import Sample, Settings, boxed_sample, street_sample
from models.recipes.detector_data import BoxedPhoto, Photo, load_drawn, load_held_out, load_street
from models.recipes.detector_evaluate import (
    EVERYTHING,
    detect,
    evaluate,
    operating_points,
    report,
    sheet,
)
from models.recipes.detector_losses import (
    IgnoringDetectionLoss,
    Imitation,
    ParsingHeads,
    collate,
    load_teacher,
    taps,
    teacher_features,
)
from models.yolo_detector import DetectorHeader, YoloDetector, build_network
from processors.values import CATEGORIES

Config = dict[str, Any]
CONFIG = Path(__file__).with_suffix(".yaml")
WEIGHTS = Path(__file__).parent.parent / "starter" / "detector.safetensors"
HELD_OUT_SEEDS = 8_000_000
DRAWN_SEEDS = 9_000_000
"""Training seeds start here; tests and benchmarks draw small seeds."""


@dataclass(slots=True)
class Trained:
    """Everything a checkpoint holds."""

    model: Any
    average: Any
    parsing: ParsingHeads
    imitation: Imitation
    optimiser: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    images: int = 0


def start(config: Config) -> Trained:
    """A run at step 0."""
    torch.manual_seed(config["seed"])
    from ultralytics.cfg import get_cfg

    model = build_network(config["architecture"], len(CATEGORIES))
    model.args = get_cfg()
    model = model.to(memory_format=torch.channels_last)
    gains = config["losses"]
    model.args.box, model.args.cls, model.args.dfl = gains["box"], gains["class"], gains["dfl"]
    parsing, imitation = ParsingHeads(64, 256), Imitation((128, 128, 256), (64, 128, 256))
    modules = nn.ModuleList([model, parsing, imitation])
    decay = [p for p in modules.parameters() if p.ndim > 1]
    plain = [p for p in modules.parameters() if p.ndim <= 1 and p.requires_grad]
    groups = [
        {"params": [p for p in decay if p.requires_grad], "weight_decay": config["optimiser"]["weight_decay"]},
        {"params": plain, "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=config["optimiser"]["rate"], betas=(0.9, 0.99))
    return Trained(model, copy.deepcopy(model).eval(), parsing, imitation, optimiser)


def save(run: Trained, path: Path) -> None:
    """Write a resumable checkpoint aside and rename it, so that a killed run leaves the last one whole."""
    state = {
        name: getattr(run, name).state_dict() for name in ("model", "average", "parsing", "imitation", "optimiser")
    }
    aside = path.with_suffix(".part")
    torch.save({**state, "step": run.step, "seconds": run.seconds, "images": run.images}, aside)
    aside.replace(path)


def resume(run: Trained, path: Path) -> None:
    """Continue from a checkpoint of `save` (tensors and numbers only)."""
    state = torch.load(path, weights_only=True)
    for name in ("model", "average", "parsing", "imitation", "optimiser"):
        getattr(run, name).load_state_dict(state[name])
    run.step, run.seconds, run.images = state["step"], state["seconds"], state["images"]


def settings_at(config: Config, share: float) -> Settings:
    """The augmentation at this share of the run: strong, and light at the end."""
    given = config["augment"]
    if share >= given["light_after"]:
        return Settings((0.8, 1.2), given["rotate"] / 2, 0.05, 0.1, 0.05, given["solo"])
    low, high = given["scale"]
    return Settings(
        (low, high),
        given["rotate"],
        given["second_person"],
        given["loose_garments"],
        given["plain_background"],
        given["solo"],
    )


def rarity(photos: list[Photo]) -> NDArray[np.float64]:
    """How often to show each photo: √(.3 / frequency) of its rarest class (LVIS, arXiv 1908.03195), at least 1."""
    present = [{t.classes[0] for t in p.targets if not t.ignore} for p in photos]
    frequency = {c: sum(c in classes for classes in present) / len(photos) for c in range(len(CATEGORIES))}
    weights = np.array([max([1.0, *(math.sqrt(0.3 / frequency[c]) for c in classes)]) for classes in present])
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


class Batches:
    """An endless stream of batches; `share` (0..1) of the run decides canvas and augmentation."""

    def __init__(self, config: Config, photos: list[Photo], scenes: list[BoxedPhoto], seed: int) -> None:
        self.config, self.photos, self.scenes = config, photos, scenes
        self.rng = np.random.default_rng(seed)
        self.weights = rarity(photos)
        self.queue: Iterator[int] = iter(())

    def _next(self) -> Photo:
        for index in self.queue:
            return self.photos[index]
        self.queue = iter(self.rng.choice(len(self.photos), len(self.photos), p=self.weights).tolist())
        return self._next()

    def draw(self, share: float) -> list[Sample]:
        """One batch of one canvas size."""
        canvases = next(c for since, c in reversed(self.config["stages"]) if share >= since)
        pick = self.rng.choice(len(canvases), p=[c[2] for c in canvases])
        canvas = (int(canvases[pick][0]), int(canvases[pick][1]))
        settings = settings_at(self.config, share)
        drawn = round(self.config["batch"] * self.config["drawn"]["share"]) if self.scenes else 0
        samples = [
            boxed_sample(self.scenes[int(self.rng.integers(len(self.scenes)))], canvas, settings, self.rng)
            for _ in range(drawn)
        ]
        while len(samples) < self.config["batch"]:
            samples.append(street_sample(self._next(), self.photos, canvas, settings, self.rng))
        return samples


def learn(run: Trained, samples: list[Sample], config: Config, kit: Kit, share: float) -> dict[str, float]:
    """One optimiser step."""
    images, batch, labels = collate(samples)
    gains = config["losses"]
    parts = kit.loss(run.model(images), batch, samples)
    parsing = run.parsing(kit.outputs[16], kit.outputs[10], labels)
    total = parts.sum() + gains["parsing"] * parsing
    fade = max(0.0, 1 - share / gains["imitation_until"])
    imitation = torch.zeros(())
    if kit.teacher is not None and fade > 0:
        imitation = run.imitation([kit.outputs[i] for i in (4, 6, 10)], teacher_features(kit.teacher, images))
        total = total + gains["imitation"] * fade * imitation
    rate = _rate(config["optimiser"], run.step, share)
    for group in run.optimiser.param_groups:
        group["lr"] = rate
    run.optimiser.zero_grad(set_to_none=True)
    total.backward()
    nn.utils.clip_grad_norm_(run.model.parameters(), config["optimiser"]["clip"])
    run.optimiser.step()
    run.step += 1
    run.images += len(samples)
    _average(run, config["optimiser"]["ema"])
    box, category, dfl = (float(p) for p in parts.detach())
    return {
        "box": box,
        "cls": category,
        "dfl": dfl,
        "parse": float(parsing.detach()),
        "imit": float(imitation.detach()),
        "lr": rate,
    }


def _rate(optimiser: Config, step: int, share: float) -> float:
    """Linear warm-up, then half a cosine down to `final`."""
    warm = min(1.0, (step + 1) / optimiser["warm_up_steps"])
    cosine = (1 + math.cos(math.pi * min(1.0, share))) / 2
    return float(optimiser["rate"] * warm * (optimiser["final"] + (1 - optimiser["final"]) * cosine))


def _average(run: Trained, horizon: float) -> None:
    """Exponential moving average of weights and batch-norm statistics, quicker at the start."""
    decay = min(horizon, (1 + run.step) / (20 + run.step))
    with torch.no_grad():
        for mine, theirs in zip(run.average.state_dict().values(), run.model.state_dict().values(), strict=True):
            if mine.is_floating_point():
                mine.lerp_(theirs, 1 - decay)


@dataclass(frozen=True, slots=True)
class Kit:
    """What a step needs beside the run itself."""

    loss: IgnoringDetectionLoss
    outputs: dict[int, Tensor]
    teacher: nn.Module | None


def viewed(network: Any, config: Config) -> YoloDetector:
    """The network as the served detector, keeping every detection."""
    header = DetectorHeader(config["architecture"], CATEGORIES, config["size"])
    return YoloDetector(
        network, header, size=config["size"], thresholds=EVERYTHING, device="cpu", weights_sha256="in training"
    )


def train(config: Config, data: Path, folder: Path) -> None:
    """Run (or go on) until `minutes` of training have passed; the checkpoint is `folder/last.pt`."""
    torch.set_num_threads(config["threads"])
    folder.mkdir(parents=True, exist_ok=True)
    street = data / "street"
    photos = load_street(street, longest_side=config["longest_side"], modulus=config["held_out_modulus"])
    held_out = load_held_out(street, modulus=config["held_out_modulus"])
    scenes = _scenes(config)
    print(f"{len(photos)} photos to learn, {len(held_out)} held out, {len(scenes)} drawn scenes", flush=True)
    run = start(config)
    if (folder / "last.pt").exists():
        resume(run, folder / "last.pt")
    kit = Kit(
        IgnoringDetectionLoss(run.model),
        taps(run.model),
        load_teacher(data / "teachers/yolov5n_coco80_state_nopickle.npz"),
    )
    print(f"teacher: {'yes' if kit.teacher is not None else 'none'}", flush=True)
    batches = Batches(config, photos, scenes, config["seed"] + run.step)
    budget, evaluated = config["minutes"] * 60.0, run.seconds
    run.model.train()
    while run.seconds < budget:
        began = time.monotonic()
        losses = learn(run, batches.draw(run.seconds / budget), config, kit, run.seconds / budget)
        run.seconds += time.monotonic() - began
        if run.step % 100 == 0:
            save(run, folder / "last.pt")
        if run.step % 25 == 0:
            line = " ".join(f"{k} {v:.4g}" for k, v in losses.items())
            print(f"{run.step} {run.seconds:.0f}s {run.images / run.seconds:.1f} img/s {line}", flush=True)
        if run.seconds - evaluated > config.get("evaluate_seconds", 480):
            evaluated = run.seconds
            save(run, folder / "last.pt")
            print(
                f"{run.step} some held-out: {report(evaluate(viewed(run.average, config), held_out[::2]))}", flush=True
            )
    save(run, folder / "last.pt")
    print(
        f"done: {run.images} images in {run.seconds:.0f}s; {report(evaluate(viewed(run.average, config), held_out))}",
        flush=True,
    )


def _scenes(config: Config) -> list[BoxedPhoto]:
    """Drawn scenes, or none as long as the generator is not there."""
    if not config["drawn"]["scenes"]:
        return []
    drawn = config["drawn"]
    return load_drawn(DRAWN_SEEDS, drawn["scenes"], size=320, products=drawn.get("products", 0))


def export(config: Config, folder: Path, out: Path) -> None:
    """Write the averaged weights as safetensors: convolutions in half precision, batch norms in full."""
    from safetensors.torch import save_file

    run = start(config)
    resume(run, folder / "last.pt")
    state = {k: v for k, v in run.average.state_dict().items() if not k.endswith("num_batches_tracked")}
    tensors = {k: (v.half() if v.ndim > 1 else v.float()).contiguous() for k, v in state.items()}
    metadata = {
        "architecture": config["architecture"],
        "classes": json.dumps(CATEGORIES),
        "size": str(config["size"]),
        "licence": config["licence"],
        "provenance": f"{config['provenance']} {run.images} images in {run.step} steps, {run.seconds:.0f} s.",
    }
    aside = out.with_suffix(".part")
    save_file(tensors, aside, metadata=metadata)
    aside.chmod(0o644)  # save_file makes it the owner's alone, which an installed package must not be
    aside.replace(out)
    print(f"{out}: {out.stat().st_size} bytes after {run.step} steps")


def measure(held_out: list[BoxedPhoto], weights: Path, pictures: Path | None, size: int | None) -> None:
    """Print mAP and operating points of `weights` on `held_out`; draw every tenth picture where asked to."""
    everything = YoloDetector.load(weights, size=size, confidence=EVERYTHING.confidence, duplicate_iou=1.0)
    began = time.monotonic()
    print(report(evaluate(everything, held_out)))
    print(f"{len(held_out)} photos in {time.monotonic() - began:.1f} s")
    served = YoloDetector.load(weights, size=size, confidence=0.1)
    answers = detect(served, held_out)
    for at in operating_points(held_out, answers, (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)):
        print(f"confidence {at.confidence:.2f}: precision {at.precision:.3f} recall {at.recall:.3f} F1 {at.f1:.3f}")
    if pictures:
        shown = detect(YoloDetector.load(weights, size=size), held_out[::10])
        sheet(held_out[::10], shown, pictures, columns=5)


def main() -> None:
    """The command line of the recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("train", "export", "evaluate"))
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("WEFT_DATA", "../shared/data")))
    parser.add_argument("--run", type=Path, default=Path("runs/detector"))
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--minutes", type=float, help="instead of the configuration's")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="export: the file to write")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="evaluate: the file to measure")
    parser.add_argument("--size", type=int, help="evaluate: longest side, instead of the weights' own")
    parser.add_argument("--drawn", type=int, help="evaluate: on so many drawn scenes instead of the street photos")
    parser.add_argument("--pictures", type=Path, help="evaluate: draw every tenth picture into this PNG")
    options = parser.parse_args()
    config = yaml.safe_load(options.config.read_text())
    if options.minutes:
        config["minutes"] = options.minutes
    if options.action == "train":
        train(config, options.data, options.run)
    elif options.action == "export":
        export(config, options.run, options.out)
    else:
        torch.set_num_threads(config["threads"])
        if options.drawn:
            pictures = load_drawn(HELD_OUT_SEEDS, options.drawn, size=480)
        else:
            pictures = load_held_out(options.data / "street", modulus=config["held_out_modulus"])
        measure(pictures, options.weights, options.pictures, options.size)


if __name__ == "__main__":
    main()
