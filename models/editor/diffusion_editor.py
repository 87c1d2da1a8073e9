"""Fashion-RAG's painter behind the port `Inpainter`: Stable Diffusion 2 inpainting with retrieved garments as words of its prompt.

    prepare: a window of the photo at one size, the masked photo, pose, the garments, the prompt
    forward: text (words of the garments in the places of "$"), DDIM with guidance, all items of one number of steps together
    finish: the window put back, blended inside the mask; outside it nothing changes

An item that nobody wants any more leaves its batch between two steps; what it raised is raised by `finish`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.editor.inversion import InversionAdapter, Prompt, Prompts, encoded, penultimate, widened
from models.images import checked
from models.ports import Inpaint, PoseEstimator
from models.weights.hashes import MARKER, check_folder, fingerprint, sha256_of
from processors.editing import mask as masks
from processors.errors import Fatal, Poison
from processors.values import Pixels

INSTALL = "the extra `edit` is not installed: pip install 'weft[edit]' (it brings diffusers)"
ADAPTER = "inversion_adapter.safetensors"
SETTINGS = "editor.json"
PARTS = ("unet", "vae", "text_encoder", "image_encoder", "scheduler", "tokenizer")
JOINTS = 18
WATCH_EVERY = 5
"""Steps between two looks at who still waits."""
MARGIN = 0.3
"""Around the mask, in its sides: what the painter sees of the person."""
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class Settings(msgspec.Struct, frozen=True):
    """`editor.json` beside the weights; what it leaves out is as in the paper."""

    height: int = 512
    width: int = 384
    guidance: float = 7.5


@dataclass(frozen=True, slots=True)
class Networks:
    """All that is loaded, in eval mode on one device. `scheduler`: its configuration, for a `DDIMScheduler`."""

    unet: Any
    vae: Any
    text_encoder: Any
    image_encoder: Any
    adapter: InversionAdapter
    prompts: Prompts
    scheduler: Any


@dataclass(frozen=True, slots=True)
class Shown:
    """What `prepare` makes. Images are (3, h, w) in -1..1, `hidden` (1, h, w) is 1 where it is to be painted, `garments` as CLIP sees them."""

    image: Tensor
    hidden: Tensor
    pose: Tensor
    garments: Tensor
    prompt: Prompt
    job: Inpaint


class DiffusionEditor:
    """An `Inpainter`; make one with `load`.

    Args:
        networks: see there.
        settings: size and guidance.
        digest: of the weights.
        pose: where joints are; None: the 18 maps are zeros.
    """

    method = "diffusion"

    def __init__(self, networks: Networks, settings: Settings, digest: str, pose: PoseEstimator | None = None) -> None:
        self._net, self._settings, self._pose = networks, settings, pose
        self._urgent: Callable[[], None] | None = None
        self.fingerprint = fingerprint(
            "fashion-rag", digest, str(settings), "no pose" if pose is None else pose.fingerprint
        )

    @classmethod
    def load(cls, folder: Path, *, device: str = "cpu", pose: PoseEstimator | None = None) -> DiffusionEditor:
        """From a folder in the layout of diffusers, with the adapter beside its parts.

        A UNet of nine channels (Stable Diffusion 2 inpainting as published) is widened for the pose.

        Raises:
            Fatal: the extra is not installed; a file is missing, damaged or in no list; the parts do not fit each other.
        """
        check_folder(folder)
        networks = load_networks(folder, device)
        path = folder / SETTINGS
        settings = msgspec.json.decode(path.read_bytes(), type=Settings) if path.is_file() else Settings()
        return cls(networks, settings, sha256_of(folder / MARKER), pose)

    def give_way_to(self, urgent: Callable[[], None]) -> bool:
        """See `models.ports.GivesWay`: between two steps."""
        self._urgent = urgent
        return True

    def prepare(self, item: Inpaint, /) -> Shown:
        """Raises `Poison`: more words and garments than the text encoder reads."""
        height, width = self._settings.height, self._settings.width
        part, inside = windowed(checked(item.pixels), item.mask, height / width)
        image = _resized(part, width, height)
        hidden = cv2.resize(inside.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
        # Half a latent pixel at the border would show the old garment through.
        hidden = cv2.dilate(hidden, np.ones((9, 9), np.uint8))
        scale = self._scale
        small = (height // scale, width // scale)
        pose = np.zeros((JOINTS, *small), np.float32) if self._pose is None else self._pose.maps(image, *small)
        prompt = self._net.prompts.of([(words, photo is not None) for words, photo in item.worn])
        side = int(self._net.image_encoder.config.image_size)
        garments = [_as_clip_sees(photo, side) for _, photo in item.worn if photo is not None]
        return Shown(
            torch.from_numpy(image.astype(np.float32).transpose(2, 0, 1) / 127.5 - 1),
            torch.from_numpy(np.asarray(hidden, np.float32)[None]),
            torch.from_numpy(np.asarray(pose, np.float32)),
            torch.stack(garments) if garments else torch.zeros((0, 3, side, side)),
            prompt,
            item,
        )

    def forward(self, batch: Sequence[Shown], /) -> list[Pixels | Poison]:
        """Of each (height, width, 3), or why it was given up."""
        found: dict[int, Pixels | Poison] = {}
        for steps in sorted({one.job.steps for one in batch}):
            places = [at for at, one in enumerate(batch) if one.job.steps == steps]
            with torch.inference_mode():
                done = self._painted([batch[at] for at in places], steps)
            found.update(zip(places, done, strict=True))
        return [found[at] for at in range(len(batch))]

    def finish(self, item: Inpaint, raw: Pixels | Poison, /) -> Pixels:
        """The whole photo. Raises `Poison`: it was given up."""
        if isinstance(raw, Poison):
            raise raw
        return put_back(item.pixels, item.mask, raw)

    def example(self) -> Inpaint:
        """One step on a grey photo."""
        pixels = np.full((64, 48, 3), 200, np.uint8)
        inside = np.zeros((64, 48), np.bool_)
        inside[16:48, 12:36] = True
        found = masks.given(inside)
        assert found is not None
        return Inpaint(pixels, found, (("a dress", pixels),), steps=1)

    @property
    def _scale(self) -> int:
        """Pixels of the image for each of the latents, along a side."""
        return int(2 ** (len(self._net.vae.config.block_out_channels) - 1))

    def _painted(self, batch: Sequence[Shown], steps: int) -> list[Pixels | Poison]:
        scheduler = diffusers().DDIMScheduler.from_config(self._net.scheduler)
        scheduler.set_timesteps(steps)
        text, seen = self._texts(batch), self.seen(batch)
        latents = torch.stack([_noise(one, seen.shape[-2:], self._net.vae.config.latent_channels) for one in batch])
        latents = latents.to(seen) * scheduler.init_noise_sigma
        left, given_up = list(range(len(batch))), dict[int, Poison]()
        for done, moment in enumerate(scheduler.timesteps):
            if done % WATCH_EVERY == 0:
                kept = [place for place, at in enumerate(left) if _wanted(batch[at], done, steps, at, given_up)]
                if len(kept) < len(left):
                    left = [left[place] for place in kept]
                    latents, seen, text = latents[kept], seen[kept], text[:, kept]
                if not left:
                    break
            latents = self._step(scheduler, latents, moment, seen, text)
            if self._urgent is not None:
                self._urgent()
        images = iter(self._images(latents) if left else ())
        return [given_up[at] if at in given_up else next(images) for at in range(len(batch))]

    def _step(self, scheduler: Any, latents: Tensor, moment: Tensor, seen: Tensor, text: Tensor) -> Tensor:
        given = torch.cat([scheduler.scale_model_input(latents, moment), seen], dim=1)
        both = torch.cat([given, given])
        said = self._net.unet(both, moment, encoder_hidden_states=text.flatten(0, 1)).sample
        plain, told = said.chunk(2)
        noise = plain + self._settings.guidance * (told - plain)
        found: Tensor = scheduler.step(noise, moment, latents, eta=0.0).prev_sample
        return found

    def _texts(self, batch: Sequence[Shown]) -> Tensor:
        """(2, n, length, width): of the empty prompt, and of each one."""
        device = next(self._net.unet.parameters()).device
        empty = self._net.prompts.of(())
        words = [self._words(one.garments.to(device)) for one in batch]
        plain = encoded(self._net.text_encoder, [empty], [words[0][:0]])
        told = encoded(self._net.text_encoder, [one.prompt for one in batch], words)
        return torch.stack([plain.expand_as(told), told])

    def _words(self, garments: Tensor) -> Tensor:
        width = self._net.adapter.text_width
        if not len(garments):
            return torch.zeros((0, width), device=garments.device)
        words: Tensor = self._net.adapter(penultimate(self._net.image_encoder, garments))
        return words.flatten(0, 1)

    def seen(self, batch: Sequence[Shown]) -> Tensor:
        """(n, 1 + latent channels + 18, h, w): what is hidden, the rest of the photo, the pose."""
        unet, vae = self._net.unet, self._net.vae
        weight = next(unet.parameters())
        image = torch.stack([one.image for one in batch]).to(weight)
        hidden = torch.stack([one.hidden for one in batch]).to(weight)
        rest = vae.encode(image * (1 - hidden)).latent_dist.mode() * vae.config.scaling_factor
        small = torch.nn.functional.interpolate(hidden, rest.shape[-2:], mode="nearest")
        pose = torch.stack([one.pose for one in batch]).to(weight)
        return torch.cat([small, rest, pose], dim=1)

    def _images(self, latents: Tensor) -> list[Pixels]:
        vae = self._net.vae
        images = vae.decode(latents / vae.config.scaling_factor).sample.float().cpu()
        found = ((images.permute(0, 2, 3, 1) / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).numpy()
        return list(found)


def diffusers() -> Any:
    """The library of the extra. Raises `Fatal` where it is not installed."""
    try:
        return import_module("diffusers")
    except ImportError as error:
        raise Fatal(INSTALL) from error


def load_networks(folder: Path, device: str, *, adapter: bool = True) -> Networks:
    """The parts of a folder, as safetensors only; `adapter` False: a fresh one, to be trained. Raises `Fatal`."""
    found = diffusers()
    from safetensors.torch import load_file
    from transformers import CLIPTextModel, CLIPVisionModel

    missing = [name for name in PARTS if not (folder / name).is_dir()]
    missing += [ADAPTER] if adapter and not (folder / ADAPTER).is_file() else []
    if missing:
        raise Fatal(f"{folder} lacks {', '.join(missing)} (docs/models/edit.md says how it is made)")
    how = {"local_files_only": True, "use_safetensors": True}
    try:
        unet = widened(found.UNet2DConditionModel.from_pretrained(folder / "unet", **how), 9 + JOINTS)
        vae = found.AutoencoderKL.from_pretrained(folder / "vae", **how)
        text_encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", **how)
        image_encoder = CLIPVisionModel.from_pretrained(folder / "image_encoder", **how)
        inversion = InversionAdapter(image_encoder.config, int(text_encoder.config.hidden_size))
        if adapter:
            inversion.load_state_dict(load_file(folder / ADAPTER))
        scheduler = found.DDIMScheduler.load_config(folder / "scheduler", local_files_only=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise Fatal(f"{folder}: {error}") from error
    for net in (unet, vae, text_encoder, image_encoder, inversion):
        net.to(device).eval().requires_grad_(requires_grad=False)
    prompts = Prompts.load(folder / "tokenizer", int(text_encoder.config.max_position_embeddings))
    return Networks(unet, vae, text_encoder, image_encoder, inversion, prompts, scheduler)


def windowed(pixels: Pixels, mask: masks.EditMask, aspect: float) -> tuple[Pixels, NDArray[np.bool_]]:
    """The part of a photo that is painted in, with its mask: around the garment, as tall as `aspect` times its width.

    What would lie beyond the photo repeats its edge.
    """
    left, top, right, bottom = window_of(pixels.shape[:2], mask, aspect)
    height, width = pixels.shape[:2]
    rows, columns = np.clip(np.arange(top, bottom), 0, height - 1), np.clip(np.arange(left, right), 0, width - 1)
    within = ((np.arange(top, bottom) >= 0) & (np.arange(top, bottom) < height))[:, None]
    within = within & ((np.arange(left, right) >= 0) & (np.arange(left, right) < width))[None]
    inside = mask.whole(height, width)
    return pixels[rows][:, columns], inside[rows][:, columns] & within


def window_of(shape: tuple[int, int], mask: masks.EditMask, aspect: float) -> tuple[int, int, int, int]:
    """Left, top, right, bottom; may reach beyond the photo."""
    left, top, right, bottom = mask.region
    wide, tall = (right - left) * (1 + 2 * MARGIN), (bottom - top) * (1 + 2 * MARGIN)
    wide, tall = max(wide, tall / aspect), max(tall, wide * aspect)
    centre = ((left + right) / 2, (top + bottom) / 2)
    start = [round(centre[0] - wide / 2), round(centre[1] - tall / 2)]
    size = (max(1, round(wide)), max(1, round(tall)))
    for axis, most in enumerate((shape[1], shape[0])):
        if size[axis] <= most:  # it fits: keep it within the photo
            start[axis] = min(max(start[axis], 0), most - size[axis])
    return start[0], start[1], start[0] + size[0], start[1] + size[1]


def put_back(pixels: Pixels, mask: masks.EditMask, painted: Pixels) -> Pixels:
    """The photo with what was painted into its window, where the mask allows it."""
    left, top, right, bottom = window_of(pixels.shape[:2], mask, painted.shape[0] / painted.shape[1])
    whole = _resized(painted, right - left, bottom - top)
    x0, y0, x1, y1 = mask.region
    fresh = whole[y0 - top : y1 - top, x0 - left : x1 - left].astype(np.float32)
    result = pixels.copy()
    result[mask.window] = masks.blended(pixels[mask.window], fresh, mask)
    return result


def _wanted(one: Shown, done: int, steps: int, at: int, given_up: dict[int, Poison]) -> bool:
    try:
        one.job.watch(done, steps)
    except Poison as reason:
        given_up[at] = reason
        return False
    return True


def _noise(one: Shown, shape: tuple[int, ...], channels: int) -> Tensor:
    generator = torch.Generator("cpu").manual_seed(one.job.seed)
    return torch.randn((channels, *shape), generator=generator)


def _resized(pixels: Pixels, width: int, height: int) -> Pixels:
    smaller = width * height < pixels.shape[0] * pixels.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=how), np.uint8)


def _as_clip_sees(pixels: Pixels, side: int) -> Tensor:
    """(3, side, side): the whole garment on white, normalised as CLIP was trained."""
    factor = side / max(pixels.shape[:2])
    width, height = (max(1, round(one * factor)) for one in (pixels.shape[1], pixels.shape[0]))
    square = np.full((side, side, 3), 255, np.uint8)
    x, y = (side - width) // 2, (side - height) // 2
    square[y : y + height, x : x + width] = _resized(pixels, width, height)
    found = (square.astype(np.float32) / 255 - np.array(CLIP_MEAN, np.float32)) / np.array(CLIP_STD, np.float32)
    return torch.from_numpy(np.ascontiguousarray(found.transpose(2, 0, 1)))
