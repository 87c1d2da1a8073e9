"""Fine-tune BLIP on photos and captions, in full: `weft train writer --recipe blip --data DIR [--products FILE --images DIR]`.

Every weight learns (5 epochs at 5e-5, as published for the baseline). A pair is a photo and what the caption grammar says of what is
seen in it: of a shop's products what the shop says of them, else of drawn ones. A shop's own sentences are no targets: they state what
no photo shows. A run that was stopped goes on at the step of its last save, to the same bits. The result,
RUN/blip-image-captioning-base, is what `weft models add writer` and `weft models pull full --from RUN` take.
"""

from __future__ import annotations

import json
import math
import random
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol

import msgspec
import numpy as np
import torch
import yaml
from torch import Tensor

from models.recipes import blip_tiny, card
from models.recipes import shop as shop_data
from models.recipes.kept_training import kept_training, save_training, take_model, take_moments
from models.recipes.writer_shop import pack_of
from models.squashed import picture, preprocessing_of
from models.weights.hashes import MARKER, check_folder, list_folder
from models.writer.blip_writer import MOST_TOKENS, network, tokenizer_of
from processors.caption_grammar import compose
from processors.captions import DEFAULT_TONE
from processors.drawn import catalogue
from processors.drawn.product import Product
from processors.errors import Poison
from processors.evidence import build
from processors.palette import PALETTE
from processors.values import Attribute, Colour, Evidence, Garment, Pixels

NETWORK = "blip"
TINY = "tiny"
FOLDER = "blip-image-captioning-base"
WEIGHTS = "model.safetensors"
CHECKPOINT = "last.safetensors"
PROGRESS = "progress.jsonl"
IGNORED = -100
DRAWN_SIDE = 160
HELD_OUT_EVERY = 10
"""Of drawn pairs one in so many is held out."""
JUDGED = 64
"""Held-out pairs whose loss is measured, at most."""


class BlipRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`base`: folder below the data folder, or "tiny": a small network with random weights. `drawn`: pairs, where no shop is given.

    `share`: of the steps, over which the rate rises at first; after that it falls to zero.
    """

    network: Literal["blip"]
    base: str
    drawn: int = 4000
    epochs: int = 5
    rate: float = 5e-5
    batch: int = 16
    share: float = 0.1
    weight_decay: float = 0.05
    clip: float = 1.0
    save_steps: int = 200
    logged: int = 10
    seed: int = 7
    threads: int = 1


class Pairs(Protocol):
    """Photos with what is said of them."""

    def __len__(self) -> int: ...
    def __getitem__(self, at: int, /) -> tuple[Pixels, str]: ...


class ShopPairs:
    """A shop's products on one side of the split; a photo is read when it is asked for."""

    def __init__(self, items: shop_data.ShopItems, seed: int, *, held_out: bool) -> None:
        self._items, self._seed = items, seed
        self._rows = [n for n, item in enumerate(items.items) if item.held_out == held_out and items.photos[n]]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, at: int, /) -> tuple[Pixels, str]:
        """Raises `Poison` for a photo that cannot be decoded."""
        row = self._rows[at]
        item, photos = self._items.items[row], self._items.photos[row]
        assert photos is not None  # `__init__` looked
        pack = pack_of(item, random.Random(f"shop:{self._seed}:{item.name}"))
        return photos.load(item.photo).decoded.pixels, sentences_of(pack, row)


def drawn_pairs(count: int, seed: int) -> list[tuple[Pixels, str]]:
    """Drawn products, each with what its picture shows: no fabric, and nobody's gender."""
    drawn = catalogue(seed, count, size=DRAWN_SIDE)
    return [(product.pixels, sentences_of(seen_in(product), number)) for number, product in enumerate(drawn)]


def seen_in(product: Product) -> Evidence:
    """What is to be seen of a drawn product, the garment that is sold first."""
    codes = dict(PALETTE)
    garments = []
    for number, worn in enumerate(product.scene.garments):
        spec = worn.spec
        told = {name: getattr(spec, name) for name in ("pattern", "sleeve", "neckline", "length")}
        names = [spec.colour, spec.second_colour] if spec.second_colour else [spec.colour]
        garments.append(
            Garment(
                id=f"g{number}",
                category=spec.category,
                box=worn.box,
                confidence=0.99 - 0.1 * number,
                colours=tuple(Colour(name, codes[name], 0.6 - 0.25 * n) for n, name in enumerate(dict.fromkeys(names))),
                attributes={name: Attribute(value, 0.9) for name, value in told.items() if value and value != "solid"},
            )
        )
    return build(garments)


def sentences_of(pack: Evidence, seed: int) -> str:
    """The grammar's sentences, without hashtags."""
    return compose(pack, DEFAULT_TONE, seed)[0]


class Training:
    """The network and one step of it.

    Args:
        recipe: what to do.
        base: folder of the network.
        pairs: what to learn from.
        held: what is judged.
        device: of torch.
    """

    def __init__(self, recipe: BlipRecipe, base: Path, pairs: Pairs, held: Pairs, device: str = "cpu") -> None:
        if not len(pairs):
            raise Poison("there is no pair of a photo and a caption to learn from")
        self.recipe, self.pairs, self.held, self.device = recipe, pairs, held, device
        self.net = network(base).to(device).train()
        self.tokenizer, self.preprocessing = tokenizer_of(base), preprocessing_of(base)
        self.tokenizer.enable_truncation(MOST_TOKENS)
        self.side: int = self.net.config.vision_config.image_size
        self.step, self.seconds = 0, 0.0
        self.began: float | None = None
        """The loss on held-out pairs before the first step."""
        learning = [one for _, one in self.learning()]
        self.optimizer = torch.optim.AdamW(learning, lr=recipe.rate, weight_decay=recipe.weight_decay)

    @property
    def an_epoch(self) -> int:
        """Steps of one epoch."""
        return math.ceil(len(self.pairs) / self.recipe.batch)

    @property
    def steps(self) -> int:
        """Of all epochs."""
        return self.recipe.epochs * self.an_epoch

    def learning(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        """Everything, by name; what is shared once."""
        return iter(self.net.named_parameters())

    def train_step(self) -> float:
        """The next step; every draw depends on the step alone."""
        recipe = self.recipe
        epoch, within = divmod(self.step, self.an_epoch)
        order = np.random.default_rng([recipe.seed, epoch]).permutation(len(self.pairs))
        rows = order[within * recipe.batch : (within + 1) * recipe.batch]
        torch.manual_seed(recipe.seed * 1_000_003 + self.step)
        rise = max(1, round(recipe.share * self.steps))
        rate = min((self.step + 1) / rise, max(0.0, (self.steps - self.step) / max(1, self.steps - rise)))
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.rate * rate
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
            loss = self.loss([self.pairs[int(row)] for row in rows])
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([one for _, one in self.learning()], recipe.clip)
        self.optimizer.step()
        self.step += 1
        return float(loss.detach())

    def loss(self, pairs: Sequence[tuple[Pixels, str]]) -> Tensor:
        """Mean cross-entropy of the captions' tokens, smoothed as the network's configuration says."""
        photos = torch.from_numpy(np.stack([picture(pixels, self.side, self.preprocessing) for pixels, _ in pairs]))
        rows = [self.tokenizer.encode(text).ids for _, text in pairs]
        ids = torch.full((len(rows), max(map(len, rows))), self.net.config.text_config.pad_token_id, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = torch.tensor(row)
            mask[place, : len(row)] = 1
        ids[:, 0] = self.net.config.text_config.bos_token_id
        labels = ids.masked_fill(mask == 0, IGNORED)
        found = self.net(
            pixel_values=photos.to(self.device),
            input_ids=ids.to(self.device),
            attention_mask=mask.to(self.device),
            labels=labels.to(self.device),
        )
        return torch.as_tensor(found.loss)

    def judged(self) -> float | None:
        """The loss on held-out pairs; None where there are none."""
        if not len(self.held):
            return None
        self.net.eval()
        with torch.inference_mode():
            found = [float(self.loss([self.held[at]])) for at in range(min(JUDGED, len(self.held)))]
        self.net.train()
        return float(np.mean(found))

    def save(self, path: Path) -> None:
        """Weights and moments, written aside and renamed."""
        told = {"step": str(self.step), "seconds": str(self.seconds)}
        told |= {} if self.began is None else {"began": repr(self.began)}
        named = dict(self.learning())
        save_training(path, named, named.values(), self.optimizer, told)

    def resume(self, path: Path) -> None:
        """Go on from `save`."""
        told, tensors = kept_training(path, self.device)
        self.step, self.seconds = int(told["step"]), float(told["seconds"])
        self.began = float(told["began"]) if "began" in told else None
        named = dict(self.learning())
        take_model(tensors, named)
        take_moments(tensors, named.values(), self.optimizer)

    def export(self, base: Path, folder: Path) -> Path:
        """The network with the tokenizer of its base, listed; made aside and renamed. Returns the weights."""
        aside = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(aside, ignore_errors=True)
        shutil.copytree(base, aside, ignore=shutil.ignore_patterns(MARKER, "*.safetensors", "*.safetensors.index.json"))
        self.net.save_pretrained(aside, max_shard_size="100GB")
        list_folder(aside, FOLDER)
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)
        return folder / WEIGHTS


def train(
    recipe: Path, run: Path, data: Path, minutes: float | None = None, shop: shop_data.Shop = shop_data.NO_SHOP
) -> Path:
    """Train, going on where the run was stopped, and export RUN/blip-image-captioning-base.

    Args:
        recipe: a YAML like `writer-blip.yaml`.
        run: folder of the checkpoint, of `progress.jsonl`, of the card and of the result.
        data: folder that holds the recipe's `base`.
        minutes: train no longer.
        shop: products to learn from; `start`: weights of an earlier result, in its folder.

    Raises:
        FileNotFoundError: the base is not there.
        Poison: the recipe says what no recipe does, or there is nothing to learn from.
        Fatal: the base is damaged, or no BLIP.
    """
    try:
        told = msgspec.convert(yaml.safe_load(recipe.read_text()), BlipRecipe)
    except (msgspec.ValidationError, yaml.YAMLError) as error:
        raise Poison(f"--recipe {recipe}: {error}") from error
    run.mkdir(parents=True, exist_ok=True)
    items = shop_data.read(shop) if shop.products is not None or shop.labels is not None else None
    pairs, held = _pairs(told, items)
    base = _base(told, run, data, Path(shop.start).parent if shop.start else None, pairs)
    check_folder(base)
    torch.set_num_threads(told.threads)
    state = Training(told, base, pairs, held, "cuda" if torch.cuda.is_available() else "cpu")
    follow(state, run, minutes)
    weights = state.export(base, run / FOLDER)
    _card(state, run, items, weights)
    return weights


def _pairs(told: BlipRecipe, items: shop_data.ShopItems | None) -> tuple[Pairs, Pairs]:
    if items is not None:
        return ShopPairs(items, told.seed, held_out=False), ShopPairs(items, told.seed, held_out=True)
    drawn = drawn_pairs(told.drawn, told.seed)
    held = drawn[::HELD_OUT_EVERY]
    return [pair for number, pair in enumerate(drawn) if number % HELD_OUT_EVERY], held


def _base(told: BlipRecipe, run: Path, data: Path, start: Path | None, pairs: Pairs) -> Path:
    if start is not None:
        return start
    if told.base == TINY:
        base = run / "base"
        if not (base / MARKER).is_file():
            blip_tiny.write(base, [pairs[at][1] for at in range(len(pairs))], told.seed)
        return base
    base = data / told.base
    if not base.is_dir():
        raise FileNotFoundError(2, "BLIP is not there", str(base))
    return base


def follow(state: Training, run: Path, minutes: float | None) -> None:
    """Go on where the run was stopped."""
    if (run / CHECKPOINT).is_file():
        state.resume(run / CHECKPOINT)
    _cut_progress(run, state.step)
    if state.began is None:
        state.began = state.judged()
    began, before = time.monotonic(), state.seconds
    losses: list[float] = []
    with (run / PROGRESS).open("a") as progress:
        while state.step < state.steps and (minutes is None or time.monotonic() - began < 60 * minutes):
            losses.append(state.train_step())
            state.seconds = before + time.monotonic() - began
            if state.step % state.recipe.logged == 0 or state.step == state.steps:
                told = {"step": state.step, "seconds": round(state.seconds, 1)}
                told |= {"images": min(state.step * state.recipe.batch, state.recipe.epochs * len(state.pairs))}
                progress.write(json.dumps({**told, "loss": round(float(np.mean(losses)), 4)}) + "\n")
                progress.flush()
                losses.clear()
            if state.step % state.recipe.save_steps == 0:
                state.save(run / CHECKPOINT)
    state.save(run / CHECKPOINT)


def _cut_progress(run: Path, done: int) -> None:
    """Lines of steps after the last save will be written again."""
    path = run / PROGRESS
    if path.is_file():
        kept = [line for line in path.read_text().splitlines() if line and json.loads(line)["step"] <= done]
        path.write_text("".join(f"{line}\n" for line in kept))


def _card(state: Training, run: Path, items: shop_data.ShopItems | None, weights: Path) -> None:
    ended = state.judged()
    figures = []
    if ended is not None and state.began is not None:
        count = min(JUDGED, len(state.held))
        figures = [card.Figure("held-out photos", count, {"loss": state.began}, {"loss": ended})]
    data: dict[str, object] = {"photos trained on": len(state.pairs), "photos held out": len(state.held)}
    data |= {} if items is None else {f"rows left out: {why}": count for why, count in items.left_out.items()}
    how = "One brand in five by the hash of its name" if items is not None else "One drawn product in ten"
    card.write(
        run,
        "BLIP as a writer",
        data=data,
        settings={**msgspec.structs.asdict(state.recipe), "steps taken": state.step},
        figures=figures,
        held_out=f"{how}: mean cross-entropy of a token of the grammar's caption, smoothed as the network's configuration says (less is better)."
        " What its captions are worth `weft eval captions --writers blip` measures.",
        weights=weights,
    )
