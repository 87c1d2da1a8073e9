"""Encoders by their kind in a profile (`models.profiles.kinds`): two towers of one space, each loaded when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from models.weights.starter import IMAGE_TRUNK, TEXT_TOWER, StarterPaths, resolve

if TYPE_CHECKING:
    from models.packed import Precision
    from models.ports import ImageEncoder, TextEncoder
    from models.profiles.kinds import Place, Towers
    from models.profiles.profile import Part

WEIGHTS = "encoder.safetensors"
"""What a run of `weft train encoder` leaves."""


def starter(_part: Part, place: Place) -> Towers:
    """Ours."""
    return _Starter(place)


def starter_bf16(_part: Part, place: Place) -> Towers:
    """Ours, its photos computed in bfloat16."""
    return _Starter(place, "bfloat16")


def trained(part: Part, place: Place) -> Towers:
    """Our networks with the weights of a run of `weft train encoder`; the bases are the starter's."""
    return _Starter(place, own=place.path(part) / WEIGHTS)


def open_clip(part: Part, place: Place) -> Towers:
    """A folder in open_clip's layout."""
    return _OpenClip(place.path(part), place, part.needs)


def transformers(part: Part, place: Place) -> Towers:
    """A vision-text model of transformers in a folder."""
    return _Transformers(place.path(part), place)


def timm(part: Part, place: Place) -> Towers:
    """An image tower of timm in a folder; texts are refused."""
    return _Timm(place.path(part), place)


def look(part: Part, place: Place) -> None:
    """Load both towers of one's own, as `weft models add` did. Raises `Fatal` where it is none."""
    from models.device import stay_offline
    from models.profiles.kinds import load

    stay_offline()
    towers: Towers = load("encoder", part, place)
    towers.images()
    towers.texts()


@dataclass(frozen=True, slots=True)
class _Starter:
    place: Place
    precision: Precision = "float32"
    own: Path | None = None
    """Other weights than those that ship."""

    def _paths(self, base: str) -> StarterPaths:
        return resolve(self.place.cache, (base,) if self.own is not None else ("encoder", base))

    def images(self) -> ImageEncoder:
        from models.encoder.clip_encoder import ClipImageEncoder

        paths = self._paths(IMAGE_TRUNK)
        return ClipImageEncoder.load(
            self.own or paths.encoder,
            paths.image_trunk,
            device=self.place.device,
            precision=self.precision,
            choices=self.place.measured,
        )

    def texts(self) -> TextEncoder:
        from models.encoder.clip_encoder import ClipTextEncoder

        paths = self._paths(TEXT_TOWER)
        return ClipTextEncoder.load(
            self.own or paths.encoder, paths.text_tower, device=self.place.device, precision=self.precision
        )

    def sentences(self) -> TextEncoder:
        return sentences(self.place)


@dataclass(frozen=True, slots=True)
class _OpenClip:
    folder: Path
    place: Place
    needs: tuple[str, ...]

    def images(self) -> ImageEncoder:
        from models.encoder.full_encoder import load_images

        return load_images(self.folder, device=self.place.device)

    def texts(self) -> TextEncoder:
        from models.encoder.full_encoder import load_texts

        return load_texts(self.folder, device=self.place.device)

    def sentences(self) -> TextEncoder:
        """The text tower, where the profile names none that was made for sentences."""
        return sentences(self.place) if TEXT_TOWER in self.needs else self.texts()


@dataclass(frozen=True, slots=True)
class _Transformers:
    folder: Path
    place: Place

    def images(self) -> ImageEncoder:
        from models.encoder.transformers_encoder import load_images

        return load_images(self.folder, device=self.place.device)

    def texts(self) -> TextEncoder:
        from models.encoder.transformers_encoder import load_texts

        return load_texts(self.folder, device=self.place.device)

    def sentences(self) -> TextEncoder:
        return sentences(self.place)


@dataclass(frozen=True, slots=True)
class _Timm:
    folder: Path
    place: Place

    def images(self) -> ImageEncoder:
        from models.encoder.timm_encoder import load_images

        return load_images(self.folder, device=self.place.device)

    def texts(self) -> TextEncoder:
        from models.encoder.timm_encoder import load_texts

        return load_texts(self.folder)

    def sentences(self) -> TextEncoder:
        return sentences(self.place)


def second(folder: str, place: Place) -> ImageEncoder:
    """The second opinion on which photos are alike: the image tower in a folder, in open_clip's, transformers' or timm's layout; without one
    ImageNet's EfficientNet-lite0, which `make install` fetches anyway.

    Raises:
        Fatal: it is missing or damaged, or nobody's layout.
    """
    if not folder:
        from models.encoder.second_tower import ImageNetEncoder

        return ImageNetEncoder.load(resolve(place.cache, (IMAGE_TRUNK,)).image_trunk, device=place.device)
    from models.encoder.adding import KINDS, kind_of
    from models.profiles.profile import Part

    towers: Towers = KINDS[kind_of(Path(folder))](Part(kind="", path=folder), place)
    return towers.images()


def sentences(place: Place) -> TextEncoder:
    """The starter's, which was made for it."""
    from models.encoder.sentence_encoder import SentenceEncoder

    return SentenceEncoder.load(resolve(place.cache, (TEXT_TOWER,)).text_tower, device=place.device)
