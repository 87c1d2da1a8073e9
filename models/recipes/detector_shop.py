"""Train a detector on a shop's own boxes (a COCO file and its photos), from a detector that is there: the starter's, or one's own.

    weft train detector --coco boxes.json --images photos/ [--start FOLDER] [--minutes 30]

Its classes are the file's categories, under their own names. Every tenth photo is held out, chosen by its name. What comes out is
a folder for `weft models add detector`, with a card.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from models.detector.conversion import write_header
from models.detector.letterbox import Frame, Letterboxed, letterboxed
from models.detector.own_detector import Options
from models.detector.own_yolo import WEIGHTS, Came, OwnClass, OwnHeader, load, read_header
from models.detector.yolo_detector import SUFFIXES_NOT_SHIPPED, build_network
from models.detector.yolo_detector import read_header as read_ours
from models.recipes.detection_metrics import DetectionScores, Found, Truth, score
from models.weights.starter import shipped_path
from models.yardsticks.photos import Photos
from models.yardsticks.tables import read_coco
from models.yardsticks.training import PROGRESS, read_progress
from processors import decode
from processors.class_map import Meaning, meanings
from processors.errors import Fatal, Poison
from processors.values import Pixels

LAST = "last.safetensors"
HELD_OUT_EVERY = 10


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`detector_shop.yaml`. `rate`: of AdamW at its highest; `warm`: the share of the training in which it rises."""

    size: int = 416
    batch: int = 8
    epochs: int = 60
    rate: float = 5e-4
    warm: float = 0.05
    decay: float = 5e-4
    average: float = 0.995
    seed: int = 7
    threads: int = 2


@dataclass(frozen=True, slots=True)
class Boxed:
    """A photo at the size of the training: its boxes (n, 4) as corners in its pixels, classes (n,); crowds are left out of training."""

    name: str
    pixels: Pixels
    boxes: NDArray[np.float32]
    classes: NDArray[np.int64]
    ignore: NDArray[np.bool_]


def train(coco: Path, images: Path, start: Path | None, run: Path, recipe: Recipe, minutes: float | None) -> Path:
    """Train to the end of the recipe (or so many minutes), going on from RUN/last.safetensors; evaluate; export.

    Returns:
        The weights in RUN/detector, the folder for `weft models add detector`.

    Raises:
        Poison: the file or its photos are not what they should be. Fatal: what it starts from cannot be loaded.
    """
    torch.set_num_threads(recipe.threads)
    run.mkdir(parents=True, exist_ok=True)
    names, photos = read(coco, images, recipe.size)
    held_out = [one for one in photos if _held_out(one.name)] or photos[:1]
    taught = [one for one in photos if not _held_out(one.name)]
    if not taught:
        raise Poison(f"{coco}: none of its {len(photos)} photos is left for training")
    architecture, network, taken = begin(start, names)
    steps = read_progress(run)
    average = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
    if (run / LAST).is_file() and steps:
        _fill(network, run / LAST)
        _fill(average, run / LAST)
    device = "cuda:0" if torch.cuda.is_available() else "cpu"
    print(
        f"{len(taught)} photos, {len(held_out)} held out, {len(names)} classes; {taken} tensors of what it starts from",
        flush=True,
    )
    done = _learn(network.to(device), average.to(device), taught, recipe, run, minutes)
    folder = _export(average.cpu(), architecture, names, recipe, coco, run)
    scores = evaluate(folder, held_out, names)
    card = _card(names, architecture, start, recipe, taught, held_out, scores, done)
    (folder / "card.md").write_text(card, encoding="utf-8")
    print(f"mAP@.5 {scores.map_half:.3f} on {len(held_out)} held-out photos", flush=True)
    return folder / WEIGHTS


def _held_out(name: str) -> bool:
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % HELD_OUT_EVERY == 0


def read(coco: Path, images: Path, size: int) -> tuple[tuple[str, ...], list[Boxed]]:
    """The categories' names, and the photos that are there. Raises `Poison`."""
    document, photos = read_coco(coco), Photos.open(images)
    names = tuple(category.name for category in document.categories)
    if not names or len(set(names)) < len(names):
        raise Poison(f"{coco}: its categories must have names, each its own; not {', '.join(names) or 'none'}")
    numbers = {category.id: number for number, category in enumerate(document.categories)}
    by_image: dict[int | str, list[Any]] = {}
    for box in document.annotations:
        by_image.setdefault(box.image_id, []).append(box)
    found = []
    for image in document.images:
        path = photos.find(image.file_name)
        if path is None:
            print(f"{image.file_name} is not below {images}: left out", flush=True)
            continue
        try:
            opened = decode.decode(photos.bytes_of(path), decode.DecodeLimits(), max_side=size)
        except Poison as error:
            print(f"{image.file_name}: {error}: left out", flush=True)
            continue
        own = by_image.get(image.id, [])
        corners = [(b.bbox[0], b.bbox[1], b.bbox[0] + b.bbox[2], b.bbox[1] + b.bbox[3]) for b in own]
        found.append(
            Boxed(
                image.file_name,
                opened.pixels,
                np.array(corners, np.float32).reshape(-1, 4) * np.float32(opened.scale),
                np.array([numbers[b.category_id] for b in own], np.int64),
                np.array([bool(b.iscrowd) for b in own], np.bool_),
            )
        )
    if not any(len(one.boxes) for one in found):
        raise Poison(f"{images} holds no photo of {coco} with a box")
    return names, found


def begin(start: Path | None, names: Sequence[str]) -> tuple[str, Any, int]:
    """The network for these classes, filled with what fits of the one that it starts from; and how many tensors did.

    Raises:
        Fatal: `start` is no folder of `weft models add detector`. Poison: it segments, which this recipe does not teach.
    """
    from safetensors.torch import load as load_tensors

    if start is None:
        weights = shipped_path("detector.safetensors")
        ours = read_ours(weights, weights.read_bytes())
        architecture, before = ours.architecture, ours.classes
    else:
        header = read_header(start)
        if header.graph is not None or header.task != "detect":
            raise Poison(
                f"{start}: training starts from a network that detects, not from one that segments or an ONNX export"
            )
        weights, architecture, before = (
            start / header.weights,
            header.architecture,
            tuple(one.name for one in header.classes),
        )
    network = build_network(architecture, len(names), source=weights)
    tensors = load_tensors(weights.read_bytes())
    state = network.state_dict()
    fitting = {k: v.float() for k, v in tensors.items() if k in state and v.shape == state[k].shape}
    fitting |= _rows(tensors, state, before, names)
    if not fitting:
        raise Fatal(f"{weights}: none of its tensors fits {architecture}")
    network.load_state_dict(fitting, strict=False)
    return architecture, network, len(fitting)


def _rows(
    tensors: Mapping[str, Any], state: Mapping[str, Any], before: Sequence[str], names: Sequence[str]
) -> dict[str, Any]:
    """Of the last layer of the classes, the rows of classes that were known by the same name."""
    if tuple(before) == tuple(names):
        return {}
    found = {}
    for key, old in tensors.items():
        new = state.get(key)
        if (
            new is None
            or ".cv3." not in key
            or len(old) != len(before)
            or len(new) != len(names)
            or old.shape[1:] != new.shape[1:]
        ):
            continue
        made = new.clone()
        for number, name in enumerate(names):
            if name in before:
                made[number] = old[list(before).index(name)].float()
        found[key] = made
    return found


def _learn(
    network: Any, average: Any, photos: Sequence[Boxed], recipe: Recipe, run: Path, minutes: float | None
) -> dict[str, float]:
    from safetensors.torch import save_file
    from ultralytics.cfg import get_cfg

    network.args = get_cfg()
    device = next(network.parameters()).device
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    steps = read_progress(run)
    step, seconds, seen = (steps[-1].step, steps[-1].seconds, steps[-1].images) if steps else (0, 0.0, 0)
    rng = np.random.default_rng(recipe.seed + step)
    total, saved = recipe.epochs * len(photos), seconds
    network.train()

    def keep() -> None:
        aside = run / f"{LAST}.partial"
        save_file({k: v.contiguous().cpu() for k, v in average.state_dict().items()}, aside)
        aside.replace(run / LAST)

    with (run / PROGRESS).open("a") as progress:
        while (share := seen / total if minutes is None else seconds / (60 * minutes)) < 1:
            began = time.monotonic()
            loss = _step(network, optimizer, _batch(photos, recipe, rng, device), recipe, share)
            step, seen = step + 1, seen + recipe.batch
            with torch.no_grad():
                beta = min(recipe.average, step / (step + 10))
                for kept, now in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
                    if kept.dtype.is_floating_point:
                        kept.lerp_(now, 1 - beta)
            seconds += time.monotonic() - began
            row = {"step": step, "seconds": round(seconds, 2), "images": seen, "loss": round(loss, 4)}
            progress.write(json.dumps(row) + "\n")
            progress.flush()
            if seconds - saved > 60:
                saved = seconds
                keep()
    keep()
    return {"steps": step, "seconds": seconds, "images": seen}


def _step(network: Any, optimizer: Any, batch: dict[str, Any], recipe: Recipe, share: float) -> float:
    rise = min(1.0, share / recipe.warm) if recipe.warm else 1.0
    for group in optimizer.param_groups:
        group["lr"] = recipe.rate * rise * (0.02 + 0.98 * (1 + math.cos(math.pi * share)) / 2)
    optimizer.zero_grad(set_to_none=True)
    loss, _ = network.loss(batch)
    total = loss.sum() / recipe.batch
    if not bool(torch.isfinite(total)):
        raise Fatal("the loss is not finite: lower `rate` in the recipe")
    total.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 10.0)
    optimizer.step()
    return float(total.detach())


def _batch(photos: Sequence[Boxed], recipe: Recipe, rng: np.random.Generator, device: Any) -> dict[str, Any]:
    """Photos with their boxes as ultralytics' losses want them: centres and sides as shares of the frame."""
    images, boxes, classes, numbers = [], [], [], []
    for number in range(recipe.batch):
        one = photos[int(rng.integers(len(photos)))]
        shown, corners, own = _varied(one, recipe.size, rng)
        images.append(shown.image)
        for corner, category in zip(corners, own, strict=True):
            x0, y0, x1, y1 = (float(side) / recipe.size for side in corner)
            boxes.append(((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0))
            classes.append(float(category))
            numbers.append(float(number))
    return {
        "img": torch.stack(images).to(device).float() / 255,
        "bboxes": torch.tensor(boxes, device=device).reshape(-1, 4),
        "cls": torch.tensor(classes, device=device).reshape(-1, 1),
        "batch_idx": torch.tensor(numbers, device=device),
    }


def _varied(
    one: Boxed, size: int, rng: np.random.Generator
) -> tuple[Letterboxed, NDArray[np.float32], NDArray[np.int64]]:
    """Mirrored or not, cut at its edges, lighter or darker; boxes of which hardly anything is left are dropped."""
    height, width = one.pixels.shape[:2]
    left, right = int(rng.uniform(0, 0.15) * width), width - int(rng.uniform(0, 0.15) * width)
    top, bottom = int(rng.uniform(0, 0.15) * height), height - int(rng.uniform(0, 0.15) * height)
    pixels = one.pixels[top:bottom, left:right].astype(np.float32)
    pixels = pixels * np.float32(rng.uniform(0.7, 1.3)) * rng.uniform(0.9, 1.1, 3).astype(np.float32)
    boxes = one.boxes - np.array([left, top, left, top], np.float32)
    cut = np.stack([boxes[:, [0, 2]].clip(0, right - left), boxes[:, [1, 3]].clip(0, bottom - top)], 2).reshape(-1, 4)
    before, after = (np.prod(b[:, 2:] - b[:, :2], axis=1) for b in (boxes, cut))
    kept = (after > 0.3 * before) & ~one.ignore & (after > 16)
    if rng.random() < 0.5:
        pixels = pixels[:, ::-1]
        cut[:, [0, 2]] = (right - left) - cut[:, [2, 0]]
    shown = letterboxed(np.ascontiguousarray(pixels.clip(0, 255).astype(np.uint8)), Frame(size, size, square=True))
    by = np.array([shown.width / (right - left), shown.height / (bottom - top)] * 2, np.float32)
    return shown, cut[kept] * by + np.array([shown.left, shown.top] * 2, np.float32), one.classes[kept]


def _fill(network: Any, path: Path) -> None:
    from safetensors.torch import load_file

    network.load_state_dict(load_file(path), strict=True)


def _export(average: Any, architecture: str, names: Sequence[str], recipe: Recipe, coco: Path, run: Path) -> Path:
    from safetensors.torch import save

    folder = run / "detector"
    folder.mkdir(exist_ok=True)
    state = {k: v for k, v in average.state_dict().items() if not k.endswith(SUFFIXES_NOT_SHIPPED)}
    data = save({k: (v.half() if v.ndim > 1 else v.float()).contiguous() for k, v in sorted(state.items())})
    (folder / WEIGHTS).write_bytes(data)
    classes = tuple(OwnClass(one.name, one.category or None, one.kind) for one in meanings(names))
    came = Came(coco.name, hashlib.sha256(coco.read_bytes()).hexdigest(), licence="your photos'")
    header = OwnHeader(architecture, "detect", recipe.size, hashlib.sha256(data).hexdigest(), classes, came)
    write_header(header, folder)
    return folder


def evaluate(folder: Path, photos: Sequence[Boxed], names: Sequence[str]) -> DetectionScores:
    """COCO's mean average precision of the exported detector, over its own classes."""
    own = tuple(Meaning(name, name) for name in names)
    detector = load(folder, options=Options(confidence=0.001), classes=own)
    founds = []
    for photo in photos:
        found = detector.finish(photo.pixels, detector.forward([detector.prepare(photo.pixels)])[0])
        founds.append(
            Found(
                np.array([d.box for d in found], np.float32).reshape(-1, 4),
                np.array([names.index(d.category) for d in found], np.int64),
                np.array([d.confidence for d in found], np.float32),
            )
        )
    return score([Truth(one.boxes, one.classes, one.ignore) for one in photos], founds, names)


def _card(
    names: Sequence[str], architecture: str, start: Path | None, recipe: Recipe, taught: Sequence[Boxed], held_out: Sequence[Boxed],
    scores: DetectionScores, done: Mapping[str, float],
) -> str:  # fmt: skip
    def boxes(photos: Sequence[Boxed], number: int) -> int:
        return sum(int((one.classes == number).sum()) for one in photos)

    rows = [
        f"| {name} | {boxes(taught, n)} | {boxes(held_out, n)} | {scores.per_class[name].at_half:.3f} |"
        for n, name in enumerate(names)
    ]
    begun = "the starter's detector" if start is None else f"`{start.name}`"
    measured = (
        f"mAP@.5 {scores.map_half:.3f}, mAP@.5:.95 {scores.map_mean:.3f} on {len(held_out)} photos that it was not taught "
        f"(one in {HELD_OUT_EVERY}, by name); {len(taught)} taught."
    )
    return "\n".join(
        [
            "# Detector",
            "",
            f"{architecture}, {recipe.size} px, from {begun}: {done['images']:.0f} photos in {done['steps']:.0f} steps, {done['seconds']:.0f} s.",
            "",
            f"Recipe: {', '.join(f'{k} {v}' for k, v in msgspec.to_builtins(recipe).items())}.",
            "",
            measured,
            "",
            "| class | boxes taught | held out | AP@.5 |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )
