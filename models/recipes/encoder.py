"""Train and export the starter encoder: `python -m models.recipes.encoder DATA RUN`, or `weft train encoder`.

    pictures → memory, once → warm up: the new layers, on features of the frozen base → train all but the base's first
    stages, each picture cropped and coloured anew each time → the running mean of the weights is exported

Texts whose truth is known facet by facet (`encoder_facets`) tie pictures to words; labels of phone photos draw each kind
together. Everything is resumable: RUN keeps the decoded pictures, the texts' vectors and the last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from models.encoder import encoder_net
from models.recipes import encoder_card, encoder_data, encoder_fast, ship
from models.recipes import shop as shop_data
from models.recipes.encoder_augment import LABELLED
from models.recipes.encoder_batches import (
    Texts,
    Truths,
    changed_views,
    draw_rows,
    make_texts,
    plain_view,
    truths,
)
from models.recipes.encoder_facets import truth
from models.recipes.encoder_losses import classes, contrast, edits, same_kind
from models.recipes.encoder_pictures import Album, gather
from models.recipes.encoder_settings import Recipe
from models.weights.starter import shipped_path
from processors.errors import Fatal

CACHE = "WEFT_MODEL_CACHE"
CHECKPOINT = "last.safetensors"
WEIGHTS = "encoder.safetensors"
MODEL, MEAN, FIRST, SECOND = "model.", "mean.", "adam1.", "adam2."


class Run:
    """The network, its optimiser, and one step of each phase."""

    def __init__(self, recipe: Recipe, album: Album, known: Truths, texts: Texts, image: Any, text: Any) -> None:
        self.recipe, self.album, self.known, self.texts = recipe, album, known, texts
        self.image, self.text = image, text
        self.device = next(image.parameters()).device
        self.scale = torch.nn.Parameter(torch.tensor(math.log(20.0), device=self.device))
        generator = torch.Generator().manual_seed(recipe.seed)
        places = torch.randn(len(known.classes), encoder_net.DIMENSION, generator=generator)
        self.proxies = torch.nn.Parameter(places.to(self.device))
        self.step, self.seconds = 0, 0.0
        for name, parameter in image.trunk.net.named_parameters():
            parameter.requires_grad_(_is_trained(name, recipe.first_trained))
        self.deep = {n: p for n, p in image.trunk.net.named_parameters() if p.requires_grad}
        self.fresh = {f"image.{n}": p for n, p in image.named_parameters() if not n.startswith("trunk.net.")}
        self.fresh |= {f"text.{n}": p for n, p in text.proj.named_parameters()}
        self.fresh |= {"scale": self.scale, "proxies": self.proxies}
        self.named = {f"net.{n}": p for n, p in self.deep.items()} | self.fresh
        self.mean = {name: parameter.detach().clone() for name, parameter in self.named.items()}
        self.optimizer = torch.optim.AdamW(
            [
                {"params": list(self.deep.values()), "top": recipe.rates.trunk},
                {"params": list(self.fresh.values()), "top": recipe.rates.new},
            ],
            lr=0.0,
            betas=(0.9, 0.99),
            weight_decay=recipe.weight_decay,
        )

    def start_from(self, weights: Path) -> None:
        """Go on from an exported encoder instead of warming up; the classes' places begin at the mean of a few photos."""
        tensors = {name: tensor.float() for name, tensor in load_file(weights).items()}
        _, unknown = self.image.load_state_dict(
            {n.removeprefix("visual."): t for n, t in tensors.items() if n.startswith("visual.")}, strict=False
        )
        self.text.proj.load_state_dict(
            {n.removeprefix("text.proj."): t for n, t in tensors.items() if n.startswith("text.proj.")}
        )
        if unknown:
            raise ValueError(f"{weights} has tensors that the network does not: {unknown[:3]}")
        for number, label in enumerate(self.known.classes):
            rows = np.flatnonzero((self.known.labels == label) & np.isin(self.known.origins, LABELLED))[:24]
            images = self._tensor([plain_view(self.album, int(row), self.recipe.side) for row in rows])
            with torch.no_grad():
                self.proxies[number] = self.encode(images, images).mean(0)
        self.mean = {name: parameter.detach().clone() for name, parameter in self.named.items()}

    # -- the warm-up

    def base_features(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Of the frozen base, for one plain view of each picture, 64 at a time: deep features, maps and colour cells."""
        net, anchors = self.image.trunk.net, self.image.trunk.anchors
        for start in range(0, len(self.album.rows), 64):
            rows = range(start, min(start + 64, len(self.album.rows)))
            images = self._tensor([plain_view(self.album, row, self.recipe.side) for row in rows])
            with torch.inference_mode():
                maps = encoder_fast.stem(net, images.to(encoder_fast.training_dtype()), 5)
                yield encoder_fast.deep(net, maps).half(), maps.half(), encoder_net.colour_cells(images, anchors).half()

    def warm_up(self) -> None:
        """Train what is new, so that the base is not torn by random gradients later."""
        parts = list(zip(*self.base_features(), strict=True))
        kept = [torch.cat(part) for part in parts]
        warm = self.recipe.warm_up
        optimizer = torch.optim.AdamW(list(self.fresh.values()), lr=warm.rate, weight_decay=self.recipe.weight_decay)
        for step in range(warm.steps):
            rng = np.random.default_rng((self.recipe.seed, 1, step))
            for group in optimizer.param_groups:
                group["lr"] = warm.rate * _rate(step / warm.steps)
            rows = rng.choice(len(self.album.rows), min(warm.batch, len(self.album.rows)), replace=False)
            deep, maps, cells = (part[rows].float() for part in kept)
            joined = self.image.trunk.joined(deep, maps, cells)
            images = F.normalize(self.image.head(F.dropout(joined, 0.15)), dim=1)
            phone = np.flatnonzero(np.isin(self.known.origins[rows], LABELLED))
            losses = self._losses(images, rows, rng)
            losses["class"] = classes(images[phone], self.proxies, self._one_hot(rows[phone]))
            self._descend(losses, optimizer)
            if step % 50 == 0:
                print("warm-up", step, _shown(losses), flush=True)
        self.mean = {name: parameter.detach().clone() for name, parameter in self.named.items()}

    # -- the training proper

    def train_step(self, progress: float) -> dict[str, torch.Tensor]:
        """One batch; `progress` 0..1 sets the rates (cosine after a short rise). Returns its losses."""
        recipe = self.recipe
        rng = np.random.default_rng((recipe.seed, 2, self.step))
        for group in self.optimizer.param_groups:
            group["lr"] = group["top"] * _rate(progress)
        rows = draw_rows(self.known, recipe.batch, rng)
        pairs = [changed_views(self.album, int(row), recipe.side, rng) for row in rows]
        shapes, hues = self._tensor([pair[0] for pair in pairs]), self._tensor([pair[1] for pair in pairs])
        phone = np.flatnonzero(np.isin(self.known.origins[rows], LABELLED))
        wanted = self._one_hot(rows[phone])
        mixed, partners = phone[: recipe.mixed], np.roll(phone[: recipe.mixed], 1)
        share = paste(shapes, hues, mixed, partners, rng)
        wanted[: len(mixed)] = wanted[: len(mixed)] * (1 - share) + wanted[: len(mixed)].roll(1, 0) * share
        images = self.encode(shapes, hues)
        whole = np.setdiff1d(np.arange(len(rows)), mixed)
        losses = self._losses(images[torch.from_numpy(whole)], rows[whole], rng)
        losses["class"] = classes(images[torch.from_numpy(phone)], self.proxies, wanted)
        self._descend(losses, self.optimizer)
        self.step += 1
        decay = min(recipe.ema, self.step / (self.step + 10))
        with torch.no_grad():
            for name, parameter in self.named.items():
                self.mean[name].lerp_(parameter, 1 - decay)
        return losses

    def encode(self, shapes: torch.Tensor, hues: torch.Tensor) -> torch.Tensor:
        """(n, 256), normalised, with features dropped: the pictures are few."""
        trunk = self.image.trunk
        maps = encoder_fast.stem(trunk.net, shapes.to(encoder_fast.training_dtype()), self.recipe.first_trained)
        cells = encoder_net.colour_cells(hues, trunk.anchors)
        joined = trunk.joined(encoder_fast.deep(trunk.net, maps), maps.float(), cells)
        return F.normalize(self.image.head(F.dropout(joined, 0.15)), dim=1)

    def _losses(
        self, images: torch.Tensor, rows: NDArray[np.int64], rng: np.random.Generator
    ) -> dict[str, torch.Tensor]:
        of = self.texts.of_picture[rows]
        own = of[np.arange(len(rows)), rng.integers(of.shape[1], size=len(rows))]
        others = rng.choice(self.texts.canonical, min(self.recipe.canonical, len(self.texts.canonical)), replace=False)
        chosen = np.unique(np.concatenate([own, others]))
        words = F.normalize(self.text.proj(self.texts.vectors[chosen].to(self.device)), dim=1)
        claims = self.texts.claims.take(chosen)
        true = torch.from_numpy(truth(self.known.pictures.take(rows), claims)).to(self.device)
        heat = self.scale.exp().clamp(max=60)
        similar = images @ words.T * heat
        losses = {"i2t": contrast(similar, true), "t2i": contrast(similar.T, true.T)}
        asked = edits(images, words, claims, true, rng)
        if asked:
            losses["edit"] = contrast(asked[0] @ images.T * heat, asked[1])
        losses["kind"] = same_kind(images, self.known.labels[rows], self.known.origins[rows])
        return losses

    def _descend(self, losses: dict[str, torch.Tensor], optimizer: torch.optim.Optimizer) -> None:
        total = sum((self.recipe.weights[name] * loss for name, loss in losses.items()), torch.zeros(()))
        if not torch.isfinite(total):
            raise FloatingPointError(f"the loss of step {self.step} is {total.item()}: {_shown(losses)}")
        optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], 2.0)
        optimizer.step()

    def _one_hot(self, rows: NDArray[np.int64]) -> torch.Tensor:
        numbers = [self.known.classes.index(label) for label in self.known.labels[rows]]
        return F.one_hot(torch.tensor(numbers, dtype=torch.long), len(self.known.classes)).float().to(self.device)

    def _tensor(self, pictures: list[NDArray[np.float32]]) -> torch.Tensor:
        return torch.from_numpy(np.stack(pictures)).to(self.device)

    # -- keeping and resuming

    def save(self, path: Path) -> None:
        """Everything that a resumed run needs, aside and renamed."""
        kept = {MODEL + n: p.detach() for n, p in self.named.items()} | {MEAN + n: t for n, t in self.mean.items()}
        for name, parameter in self.named.items():
            state = self.optimizer.state.get(parameter)
            if state:
                kept |= {FIRST + name: state["exp_avg"], SECOND + name: state["exp_avg_sq"]}
        aside = path.with_suffix(".partial")
        save_file(
            {name: tensor.cpu().contiguous() for name, tensor in kept.items()},
            aside,
            metadata={"step": str(self.step), "seconds": str(self.seconds)},
        )
        aside.rename(path)

    def resume(self, path: Path) -> None:
        """The inverse of `save`."""
        from safetensors import safe_open

        with safe_open(path, framework="pt") as file:
            said = file.metadata()
        kept = load_file(path, device=str(self.device))
        self.step, self.seconds = int(said["step"]), float(said["seconds"])
        with torch.no_grad():
            for name, parameter in self.named.items():
                parameter.copy_(kept[MODEL + name])
                self.mean[name].copy_(kept[MEAN + name])
                if FIRST + name in kept:
                    self.optimizer.state[parameter] = {
                        "step": torch.tensor(float(self.step)),
                        "exp_avg": kept[FIRST + name],
                        "exp_avg_sq": kept[SECOND + name],
                    }

    def export(self, target: Path) -> None:
        """The running mean, in fp16 (the palette's anchors stay fp32: they are compared with colours)."""
        with torch.no_grad():
            for name, parameter in self.named.items():
                parameter.copy_(self.mean[name])
        tensors = {f"visual.{name}": tensor for name, tensor in self.image.state_dict().items()}
        first = self.recipe.first_trained
        tensors = {n: t for n, t in tensors.items() if not _is_before(n.removeprefix("visual.trunk.net."), first)}
        tensors |= {f"text.proj.{name}": tensor for name, tensor in self.text.proj.state_dict().items()}
        kept = {
            name: (tensor.float() if name.endswith("anchors") else tensor.half()).cpu().contiguous()
            for name, tensor in tensors.items()
            if "num_batches" not in name
        }
        aside = target.with_suffix(".partial")
        save_file(kept, aside, metadata={"recipe": "models/recipes/encoder.yaml", "licence": "Apache-2.0"})
        aside.chmod(0o644)  # save_file makes it the owner's alone, which an installed package must not be
        aside.rename(target)


def paste(
    shapes: torch.Tensor,
    hues: torch.Tensor,
    into: NDArray[np.int64],
    of: NDArray[np.int64],
    rng: np.random.Generator,
) -> float:
    """CutMix (Yun et al. 2019), one rectangle for all: in place; returns the share that comes from the other picture."""
    if not len(into):
        return 0.0
    side = shapes.shape[2]
    size = int(side * math.sqrt(rng.uniform(0.1, 0.5)))
    top, left = (int(v) for v in rng.integers(0, side - size + 1, 2))
    window = (..., slice(top, top + size), slice(left, left + size))
    for pictures in (shapes, hues):
        taken = pictures[torch.from_numpy(of)][window].clone()
        part = pictures[torch.from_numpy(into)]
        part[window] = taken
        pictures[torch.from_numpy(into)] = part
    return size * size / side**2


def train(
    recipe: Path, run: Path, data: Path, minutes: float | None = None, shop: shop_data.Shop = shop_data.NO_SHOP
) -> Path:
    """Train by a recipe, from where `run` stopped if it was begun; export the encoder.

    Args:
        recipe: a YAML file like `encoder.yaml`.
        run: folder of the run: pictures, checkpoint, `progress.jsonl`; made when it is missing.
        data: the folder with `phone` and `street`.
        minutes: end after so much training by the clock, the rates falling accordingly; without, after `steps`.
        shop: photos and labels of a shop; `phone` and `street` are added where `data` has them.

    Returns:
        `run/encoder.safetensors`; beside it `card.md` where there is a shop.

    Raises:
        Poison: nothing of the shop's data can teach.
    """
    chosen = msgspec.yaml.decode(recipe.read_bytes(), type=Recipe)
    run.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(chosen.seed)
    torch.set_num_threads(chosen.threads)
    cv2.setNumThreads(chosen.threads)
    items = shop_data.read(shop) if shop.given else None
    start = Path(shop.start or chosen.start or (shipped_path(WEIGHTS) if items else ""))
    album = gather(_views(chosen, data, items), run)
    image, text, tokenizer = towers(_cache())
    texts = make_texts(album, run, text, tokenizer)
    known = truths(album)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    state = Run(chosen, album, known, texts, image.to(device), text.to(device))
    print(f"{len(album.rows)} pictures, {len(texts.vectors)} texts, {device}", flush=True)
    if (run / CHECKPOINT).exists():
        state.resume(run / CHECKPOINT)
        print(f"resumed at step {state.step}, after {state.seconds:.0f} s", flush=True)
    else:
        if start.name:
            _begin_at(state, start)
        else:
            state.warm_up()
        state.save(run / CHECKPOINT)
    _train(state, run, minutes)
    state.save(run / CHECKPOINT)
    state.export(run / WEIGHTS)
    weights = ship.list_run(run / WEIGHTS)
    if items is not None:
        encoder_card.write(run, items, chosen, album, start, _cache())
    return weights


def _begin_at(state: Run, start: Path) -> None:
    try:
        state.start_from(start)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise Fatal(f"{start} is no encoder of ours to start from: {str(error).splitlines()[0]}") from error


def _views(chosen: Recipe, data: Path, items: shop_data.ShopItems | None) -> Iterator[encoder_data.View]:
    if items is None:
        yield from encoder_data.training_views(data, drawn=chosen.drawn, street_every=chosen.street_every)
        return
    yield from items.views(held_out=False)
    if "phone" in chosen.batch and (data / "phone").is_dir():
        yield from encoder_data.phone(data / "phone", held_out=False)
    if "street" in chosen.batch and (data / "street").is_dir():
        margin, every = encoder_data.MARGIN, chosen.street_every
        yield from encoder_data.street(data / "street", margin=margin, every=every, held_out=False)
    yield from encoder_data.drawn_views(range(chosen.drawn), margin=encoder_data.MARGIN)


def _train(state: Run, run: Path, minutes: float | None) -> None:
    """Steps until the recipe's number or the minutes are spent, with a line of progress every tenth."""
    before, started, saved = state.seconds, time.monotonic(), time.monotonic()
    images = sum(state.recipe.batch.values())
    with (run / "progress.jsonl").open("a") as file:
        while True:
            state.seconds = before + time.monotonic() - started
            progress = state.seconds / (minutes * 60) if minutes else state.step / state.recipe.steps
            if progress >= 1:
                return
            losses = state.train_step(progress)
            if state.step % 10 == 0:
                line: dict[str, float] = {"step": state.step, "seconds": round(state.seconds, 1)}
                line |= {"images": state.step * images}
                line |= {"loss": sum(state.recipe.weights[n] * v.item() for n, v in losses.items())}
                line |= {name: round(value.item(), 4) for name, value in losses.items()}
                file.write(json.dumps(line) + "\n")
                file.flush()
            if time.monotonic() - saved > state.recipe.save_seconds:
                state.save(run / CHECKPOINT)
                saved = time.monotonic()


def _cache() -> Path:
    return Path(os.environ.get(CACHE) or "~/.cache/weft/models").expanduser()


def towers(cache: Path) -> tuple[Any, Any, Any]:
    """The image tower with ImageNet's weights in its trunk, MiniLM with a fresh projection, MiniLM's tokenizer."""
    from transformers import AutoTokenizer

    image: Any = encoder_net.image_tower().eval()
    base = load_file(cache / "efficientnet-lite0" / "model.safetensors")
    image.trunk.net.load_state_dict({n: t for n, t in base.items() if not n.startswith("classifier.")})
    folder = cache / "all-minilm-l6-v2"
    return image, encoder_net.text_tower(folder).eval(), AutoTokenizer.from_pretrained(folder)


def _is_trained(name: str, first: int) -> bool:
    """Of the trunk: pointwise kernels and all biases from stage `first` on (see `encoder_fast`)."""
    depthwise = "conv_dw" in name or name.endswith("bn2.weight")
    return not _is_before(name, first) and (not depthwise or name == "bn2.weight")


def _is_before(name: str, first: int) -> bool:
    """Whether a tensor of the trunk lies before stage `first`: it stays the base's, and is not exported."""
    return name.startswith(("conv_stem.", "bn1.", *(f"blocks.{stage}." for stage in range(first))))


def _rate(progress: float) -> float:
    """Share of the top rate: a short rise, then cosine to a fiftieth."""
    return min(1.0, progress / 0.04 + 0.02) * (0.02 + 0.98 * math.cos(progress * math.pi / 2) ** 2)


def _shown(losses: dict[str, torch.Tensor]) -> str:
    return " ".join(f"{name} {value.item():.3f}" for name, value in losses.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--recipe", type=Path, default=Path(__file__).with_name("encoder.yaml"))
    parser.add_argument("--minutes", type=float)
    chosen = parser.parse_args()
    print(train(chosen.recipe, chosen.run, chosen.data, chosen.minutes))


if __name__ == "__main__":
    main()
