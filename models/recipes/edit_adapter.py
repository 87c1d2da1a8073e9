"""Train the inversion adapter, and the UNet beside it, of edits by diffusion: `weft train edit-adapter --recipe FILE --data DIR`.

A pair is a garment's photo and a photo of somebody who wears it. The worn garment is hidden; the network learns to paint it back from
its own photo, as 16 words, and from what is said of it (Fashion-RAG; the loss is that of the diffusion). VAE, text and image encoder
stay as they are. One line of `pairs.jsonl` is `{"garment": F, "worn": F, "text": "a red dress", "box": [x0, y0, x1, y1]}`, with files
beside it; `mask`, a drawing of the worn photo's size, may stand for `box`. The result, RUN/fashion-rag, is what
`weft models pull full --from RUN` takes.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import cv2
import msgspec
import numpy as np
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

from models.editor.diffusion_editor import ADAPTER, SETTINGS, DiffusionEditor, Settings, Shown, diffusers, load_networks
from models.editor.inversion import encoded, penultimate
from models.editor.tiny_networks import write_tiny
from models.ports import Inpaint
from models.recipes.kept_training import kept_training, save_training, take_model, take_moments
from models.weights.hashes import MARKER, check_folder, list_folder
from processors.decode import DecodeLimits, decode
from processors.drawn import catalogue
from processors.editing import mask as masks
from processors.editing.mask import EditMask
from processors.errors import Poison
from processors.values import Box, Pixels

TINY = "tiny"
FOLDER = "fashion-rag"
CHECKPOINT = "last.safetensors"
LOGGED = 10
SIDE = 1024


class EditAdapterRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`base`: folder below the data folder, or "tiny": random weights. `pairs`: a file below it; or `drawn`: how many are drawn.

    `unet`: what of it learns beside the adapter. `drop`: of how many pairs nothing is said, so that guidance has something to lead away from.
    """

    base: str
    steps: int
    batch: int
    rate: float
    pairs: str = ""
    drawn: int = 0
    unet: Literal["nothing", "conv_in", "all"] = "conv_in"
    drop: float = 0.2
    weight_decay: float = 0.01
    save_steps: int = 500
    seed: int = 7
    threads: int = 1


@dataclass(frozen=True, slots=True)
class Pair:
    """A garment alone, and worn where `mask` is."""

    garment: Pixels
    worn: Pixels
    mask: EditMask
    text: str


class Pairs(Protocol):
    """Those there are to learn from."""

    def __len__(self) -> int: ...
    def __getitem__(self, at: int, /) -> Pair: ...


class _Line(msgspec.Struct, frozen=True):
    garment: str
    worn: str
    text: str
    box: Box | None = None
    mask: str = ""


class FilePairs:
    """`pairs.jsonl`; photos are read when they are asked for.

    Raises:
        FileNotFoundError: the file is not there.
        Poison: a line of it is no pair; a photo that does not decode, or whose garment is not to be seen, when it is asked for.
    """

    def __init__(self, path: Path) -> None:
        self._folder, self._lines = path.parent, list[_Line]()
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            try:
                self._lines.append(msgspec.json.decode(line, type=_Line))
            except msgspec.DecodeError as error:
                raise Poison(f"{path}, line {number}: {error}") from error
        if not self._lines:
            raise Poison(f"{path} holds no pair")

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, at: int, /) -> Pair:
        line = self._lines[at]
        garment, worn = self._photo(line.garment), self._photo(line.worn)
        if line.mask:
            drawn = self._photo(line.mask).max(axis=2)
            size = (worn.shape[1], worn.shape[0])
            found = masks.given(np.asarray(cv2.resize(drawn, size, interpolation=cv2.INTER_NEAREST)) > 127)
        else:
            box = line.box or (0.0, 0.0, float(worn.shape[1]), float(worn.shape[0]))
            found = masks.garment(worn, box)
        if found is None:
            raise Poison(f"{line.worn}: hardly a pixel is the garment's")
        return Pair(garment, worn, found, line.text)

    def _photo(self, name: str) -> Pixels:
        return decode((self._folder / name).read_bytes(), DecodeLimits(), max_side=SIDE).pixels


def drawn_pairs(count: int, seed: int) -> list[Pair]:
    """The main garment of drawn photos, alone on white, and worn."""
    found = []
    for product in catalogue(seed, count, size=96):
        one = max(product.scene.garments, key=lambda g: (g.box[2] - g.box[0]) * (g.box[3] - g.box[1]))
        region = masks.garment(product.pixels, one.box, one.spec.category)
        if region is not None:
            alone = np.where(region.inside[..., None], product.pixels[region.window], np.uint8(255))
            found.append(Pair(np.asarray(alone, np.uint8), product.pixels, region, f"a {one.spec.category}"))
    return found


class Training:
    """The networks and one step.

    Args:
        recipe: what to do.
        base: folder of the networks; without an adapter it begins with a fresh one.
        pairs: what to learn from.
        device: of torch.
    """

    def __init__(self, recipe: EditAdapterRecipe, base: Path, pairs: Pairs, device: str = "cpu") -> None:
        self.recipe, self.pairs, self.device = recipe, pairs, device
        torch.manual_seed(recipe.seed)
        self.net = load_networks(base, device, adapter=(base / ADAPTER).is_file())
        path = base / SETTINGS
        settings = msgspec.json.decode(path.read_bytes(), type=Settings) if path.is_file() else Settings()
        self.editor = DiffusionEditor(self.net, settings, "training")
        self.noise = diffusers().DDIMScheduler.from_config(self.net.scheduler)
        self.net.adapter.train().requires_grad_(requires_grad=True)
        for name, parameter in self.net.unet.named_parameters():
            parameter.requires_grad_(recipe.unet == "all" or (recipe.unet == "conv_in" and name.startswith("conv_in.")))
        self.step, self.seconds = 0, 0.0
        learning = [one for _, one in self.learning()]
        self.optimizer = torch.optim.AdamW(learning, lr=recipe.rate, weight_decay=recipe.weight_decay)

    def learning(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        """What learns, by name."""
        for prefix, net in (("adapter", self.net.adapter), ("unet", self.net.unet)):
            for name, parameter in net.named_parameters():
                if parameter.requires_grad:
                    yield f"{prefix}.{name}", parameter

    def train_step(self) -> float:
        """The next step; every draw depends on the step alone."""
        recipe = self.recipe
        torch.manual_seed(recipe.seed * 1_000_003 + self.step)
        rng = np.random.default_rng([recipe.seed, self.step])
        chosen = rng.choice(len(self.pairs), min(recipe.batch, len(self.pairs)), replace=False)
        silent = rng.random(len(chosen)) < recipe.drop
        batch = [self._shown(self.pairs[int(at)], silent=bool(said)) for at, said in zip(chosen, silent, strict=True)]
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
            loss = self._loss(batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.step += 1
        return float(loss.detach())

    def _shown(self, pair: Pair, *, silent: bool) -> Shown:
        return self.editor.prepare(Inpaint(pair.worn, pair.mask, () if silent else ((pair.text, pair.garment),)))

    def _loss(self, batch: Sequence[Shown]) -> Tensor:
        vae, unet = self.net.vae, self.net.unet
        with torch.no_grad():
            images = torch.stack([one.image for one in batch]).to(self.device)
            latents = vae.encode(images).latent_dist.mode() * vae.config.scaling_factor
            seen = self.editor.seen(batch)
        noise = torch.randn(latents.shape).to(latents)
        moments = torch.randint(0, self.noise.config.num_train_timesteps, (len(batch),)).to(self.device)
        noisy = self.noise.add_noise(latents, noise, moments)
        text = encoded(self.net.text_encoder, [one.prompt for one in batch], [self._words(one) for one in batch])
        said = unet(torch.cat([noisy, seen], 1), moments, encoder_hidden_states=text).sample
        by_velocity = self.noise.config.prediction_type == "v_prediction"
        wanted = self.noise.get_velocity(latents, noise, moments) if by_velocity else noise
        return torch.nn.functional.mse_loss(said.float(), wanted.float())

    def _words(self, one: Shown) -> Tensor:
        if not len(one.garments):
            return torch.zeros((0, self.net.adapter.text_width), device=self.device)
        with torch.no_grad():
            features = penultimate(self.net.image_encoder, one.garments.to(self.device))
        words: Tensor = self.net.adapter(features)
        return words.flatten(0, 1)

    def save(self, path: Path) -> None:
        """Weights and moments, written aside and renamed."""
        named = dict(self.learning())
        told = {"step": str(self.step), "seconds": str(self.seconds)}
        save_training(path, named, named.values(), self.optimizer, told)

    def resume(self, path: Path) -> None:
        """Go on from `save`."""
        told, tensors = kept_training(path, self.device)
        self.step, self.seconds = int(told["step"]), float(told["seconds"])
        named = dict(self.learning())
        take_model(tensors, named)
        take_moments(tensors, named.values(), self.optimizer)

    def export(self, base: Path, folder: Path) -> Path:
        """The base with what learnt in its place, listed; made aside and renamed. Returns the adapter's file."""
        aside = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(aside, ignore_errors=True)
        shutil.copytree(base, aside, ignore=shutil.ignore_patterns(MARKER))
        weights = {name: one.detach().cpu().contiguous() for name, one in self.net.adapter.state_dict().items()}
        save_file(weights, aside / ADAPTER)
        shutil.rmtree(aside / "unet")
        self.net.unet.save_pretrained(aside / "unet")
        list_folder(aside, FOLDER)
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)
        return folder / ADAPTER


def train(recipe: Path, run: Path, data: Path, minutes: float | None = None) -> Path:
    """Train, going on where the run was stopped, and export RUN/fashion-rag.

    Args:
        recipe: a YAML like `edit-adapter.yaml`.
        run: folder of the checkpoint, of `progress.jsonl` and of the result.
        data: folder that holds the recipe's `base` and `pairs`.
        minutes: train no longer.

    Raises:
        FileNotFoundError: base or pairs are not there.
        Poison: the recipe, or a line of the pairs, says what none does.
        Fatal: the extra `edit` is not installed, or the base is damaged.
    """
    try:
        told = msgspec.convert(yaml.safe_load(recipe.read_text()), EditAdapterRecipe)
    except (msgspec.ValidationError, yaml.YAMLError) as error:
        raise Poison(f"--recipe {recipe}: {error}") from error
    if bool(told.pairs) == bool(told.drawn):
        raise Poison(f"--recipe {recipe}: give one of pairs and drawn")
    run.mkdir(parents=True, exist_ok=True)
    base = run / "base" if told.base == TINY else data / told.base
    if told.base == TINY and not (base / MARKER).is_file():
        write_tiny(base, told.seed, adapter=False)
    if not base.is_dir():
        raise FileNotFoundError(2, "the networks are not there", str(base))
    check_folder(base)
    pairs: Pairs = FilePairs(data / told.pairs) if told.pairs else drawn_pairs(told.drawn, told.seed)
    torch.set_num_threads(told.threads)
    state = Training(told, base, pairs, "cuda" if torch.cuda.is_available() else "cpu")
    follow(state, run, minutes)
    return state.export(base, run / FOLDER)


def follow(state: Training, run: Path, minutes: float | None) -> None:
    """Go on where the run was stopped."""
    if (run / CHECKPOINT).is_file():
        state.resume(run / CHECKPOINT)
    began, before = time.monotonic(), state.seconds
    losses: list[float] = []
    with (run / "progress.jsonl").open("a") as progress:
        while state.step < state.recipe.steps and (minutes is None or time.monotonic() - began < 60 * minutes):
            losses.append(state.train_step())
            state.seconds = before + time.monotonic() - began
            if state.step % LOGGED == 0 or state.step == state.recipe.steps:
                images = state.step * state.recipe.batch
                told = {"step": state.step, "seconds": round(state.seconds, 1), "images": images}
                progress.write(json.dumps({**told, "loss": float(np.mean(losses))}) + "\n")
                progress.flush()
                losses.clear()
            if state.step % state.recipe.save_steps == 0:
                state.save(run / CHECKPOINT)
    state.save(run / CHECKPOINT)
