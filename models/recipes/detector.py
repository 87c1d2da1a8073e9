"""Train, evaluate and export the starter detector: EfficientNet-lite0 below a YOLO11 neck, on CPU cores or a GPU.

    python -m models.recipes.detector train --data DIR --run runs/detector
    python -m models.recipes.detector export --run runs/detector --out models/starter/detector.safetensors
    python -m models.recipes.detector evaluate --data DIR --weights models/starter/detector.safetensors [--proxy]

DIR holds `street/` and `phone/`; WEFT_DATA is its default. The base is the one that `weft models pull starter` fetched.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from models.detector.yolo_detector import DetectorHeader, Thresholds, YoloDetector
from models.recipes import ship
from models.recipes.detector_data import BoxedPhoto, keep, kept, load_catalogue, load_drawn, load_held_out, load_street
from models.recipes.detector_evaluate import EVERYTHING, detect, evaluate, operating_points, report, sheet
from models.recipes.detector_learning import Batches, Config, Lesson, Trained, resume, save, start
from models.recipes.detector_phone import boxed, load_phone
from models.recipes.detector_proxy import named, proxy, read_masks, report_proxy
from models.recipes.detector_trunk import plain
from processors.values import CATEGORIES, Detection, Pixels

CONFIG = Path(__file__).with_suffix(".yaml")
WEIGHTS = Path(__file__).parent.parent / "starter" / "detector.safetensors"
HELD_OUT_SEEDS = 8_000_000
DRAWN_SEEDS = 9_000_000
"""Training seeds start here; tests and benchmarks draw small seeds."""


def viewed(network: Any, config: Config, thresholds: Thresholds = EVERYTHING) -> YoloDetector:
    """The network as the served detector."""
    header = DetectorHeader(config["architecture"], CATEGORIES, config["size"])
    return YoloDetector(
        network,
        header,
        size=config["size"],
        thresholds=thresholds,
        device=str(next(network.parameters()).device),
        weights_sha256="in training",
    )


def train(recipe: Path, run: Path, data: Path, minutes: float | None = None) -> Path:
    """Train (or go on from RUN/last.pt) to the end of the recipe, and export.

    Args:
        recipe: a YAML like `detector.yaml`.
        run: folder of the checkpoint `last.pt`, of `progress.jsonl` (a line of losses every 25 steps) and the result.
        data: folder with `street/` and `phone/`.
        minutes: end after so many minutes of training instead of the recipe's number of pictures.

    Returns:
        RUN/detector.safetensors.

    Raises:
        FileNotFoundError: the photos or the pretrained base are not there.
    """
    config: Config = yaml.safe_load(recipe.read_text())
    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(config["threads"])
    torch.set_flush_denormal(True)  # squares of vanishing gradients would slow every step down more and more
    run.mkdir(parents=True, exist_ok=True)
    photos = load_street(data / "street", longest_side=config["longest_side"], modulus=config["held_out_modulus"])
    held_out = load_held_out(data / "street", modulus=config["held_out_modulus"])
    phone = load_phone(data / "phone", longest_side=config["longest_side"], held_out=False)
    drawn = _drawn(config, run / "drawn.npz")
    state = start(config, base_of(config), device)
    if (run / "last.pt").exists():
        resume(state, run / "last.pt")
    batches = Batches(config, photos, drawn, phone, config["seed"] + state.step)
    print(
        f"{len(photos)} street photos, {len(phone)} phone photos, {len(drawn)} drawn; at step {state.step}", flush=True
    )
    lesson, saved, evaluated, pseudo = Lesson(state, config), state.seconds, state.seconds, False
    state.model.train()
    with (run / "progress.jsonl").open("a") as progress:
        while (share := _share(state, config, minutes)) < 1:
            if not pseudo and share >= config["phone"]["boxes_from"]:
                batches.show_phone(_boxed_phone(state, config, phone))
                pseudo = True
            began = time.monotonic()
            losses = lesson.learn(batches.draw(share), share)
            state.seconds += time.monotonic() - began
            if state.step % 25 == 0:
                row = {"step": state.step, "seconds": round(state.seconds, 1), "images": state.images, **losses}
                progress.write(json.dumps(row) + "\n")
                progress.flush()
            if state.seconds - saved > config["save_seconds"]:
                saved = state.seconds
                save(state, run / "last.pt")
            if state.seconds - evaluated > config["evaluate_seconds"]:
                evaluated = state.seconds
                scores = evaluate(viewed(state.average, config), held_out[::2])
                print(f"{state.step}, {share:.2f}, some held-out: {report(scores)}", flush=True)
    save(state, run / "last.pt")
    scores = evaluate(viewed(state.average, config), held_out)
    print(f"{state.images} pictures in {state.seconds:.0f} s; {report(scores)}", flush=True)
    return ship.list_run(export(config, run, run / "detector.safetensors"))


def _drawn(config: Config, cache: Path) -> list[BoxedPhoto]:
    """Drawn scenes and catalogue photos, drawn once a run."""
    if not cache.exists():
        keep(load_drawn(DRAWN_SEEDS, config["drawn"]["scenes"], size=320, products=config["drawn"]["products"]), cache)
    return kept(cache)


def base_of(config: Config) -> Path:
    """The converted EfficientNet-lite0 in the model cache (WEFT_MODEL_CACHE, as everywhere)."""
    cache = Path(os.environ.get("WEFT_MODEL_CACHE", "~/.cache/weft/models")).expanduser()
    return cache / str(config["base"]) / "model.safetensors"


def _share(state: Trained, config: Config, minutes: float | None) -> float:
    return state.images / config["images"] if minutes is None else state.seconds / (60 * minutes)


def _boxed_phone(state: Trained, config: Config, phone: list[BoxedPhoto]) -> list[BoxedPhoto]:
    """The phone photos, some of each class with the boxes that the averaged network is sure of."""
    seen = {**config, "size": config["phone"]["size"]}
    detector = viewed(state.average, seen, Thresholds(confidence=0.2, iou=0.5, duplicate_iou=0.5))
    rng = np.random.default_rng(config["seed"])
    some: set[int] = set()
    for category in range(len(CATEGORIES)):
        mine = [index for index, photo in enumerate(phone) if photo.category == category]
        some.update(rng.permutation(mine)[: config["phone"]["boxed"]].tolist())

    def find(pixels: Pixels) -> tuple[Detection, ...]:
        return detector.finish(pixels, detector.forward([detector.prepare(pixels)])[0])

    asked = boxed([phone[i] for i in sorted(some)], find, confidence=config["phone"]["confidence"])
    found = [p for i, p in enumerate(phone) if i not in some] + asked
    each = {n: sum(len(p.boxes) for p in found if p.category == c) for c, n in enumerate(CATEGORIES)}
    print(f"boxes for {sum(each.values())} of {len(some)} phone photos: {each}", flush=True)
    return found


def export(config: Config, folder: Path, out: Path) -> Path:
    """Write the averaged weights as safetensors: convolutions in half precision, everything else in full."""
    from safetensors.torch import save_file

    run = start(config, base_of(config))
    resume(run, folder / "last.pt")
    network = copy.deepcopy(run.average)
    plain(network.model[0])
    state = {k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
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
    print(f"{out}: {out.stat().st_size} bytes after {run.step} steps", flush=True)
    return out


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


def measure_proxy(data: Path, weights: Path, size: int | None, *, modulus: int, every: int) -> None:
    """Print how `weights` do under shifts, on phone photos of held-out contributors, and on drawn catalogue photos.

    `every`: one in so many of the held-out photos of each kind.
    """
    everything = YoloDetector.load(weights, size=size, confidence=EVERYTHING.confidence, duplicate_iou=1.0)
    photos = load_held_out(data / "street", modulus=modulus)[::every]
    print(report_proxy(proxy(everything, photos, read_masks(data / "street", photos))))
    served = YoloDetector.load(weights, size=size, confidence=0.1)
    phone = load_phone(data / "phone", longest_side=448, held_out=True)[::every]
    for name, pictures in (("phone", phone), ("catalogue", load_catalogue(HELD_OUT_SEEDS, 120, size=320))):
        right = named(served, pictures)
        each = " ".join(f"{c} {right.right[c] / n:.2f} ({n})" for c, n in sorted(right.photos.items()))
        print(
            f"{name}: surest box of the right class {right.share:.3f}, mean of classes {right.mean_of_classes:.3f} | {each}"
        )


def main() -> None:
    """The command line of the recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("train", "export", "evaluate"))
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("WEFT_DATA", "../shared/data")))
    parser.add_argument("--run", type=Path, default=Path("runs/detector"))
    parser.add_argument("--minutes", type=float, help="train: so long, instead of the recipe's number of pictures")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="export: the file to write")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="evaluate: the file to measure")
    parser.add_argument("--size", type=int, help="evaluate: longest side, instead of the weights' own")
    parser.add_argument("--drawn", type=int, help="evaluate: on so many drawn scenes instead of the street photos")
    parser.add_argument("--proxy", action="store_true", help="evaluate: under shifts, on phone and catalogue photos")
    parser.add_argument("--every", type=int, default=2, help="evaluate --proxy: one in so many photos")
    parser.add_argument("--pictures", type=Path, help="evaluate: draw every tenth picture into this PNG")
    options = parser.parse_args()
    config = yaml.safe_load(options.config.read_text())
    if options.action == "train":
        train(options.config, options.run, options.data, options.minutes)
    elif options.action == "export":
        export(config, options.run, options.out)
    elif options.proxy:
        torch.set_num_threads(config["threads"])
        measure_proxy(
            options.data, options.weights, options.size, modulus=config["held_out_modulus"], every=options.every
        )
    else:
        torch.set_num_threads(config["threads"])
        if options.drawn:
            pictures = load_drawn(HELD_OUT_SEEDS, options.drawn, size=480)
        else:
            pictures = load_held_out(options.data / "street", modulus=config["held_out_modulus"])
        measure(pictures, options.weights, options.pictures, options.size)


if __name__ == "__main__":
    main()
