"""An upload on its way through `enrich`: what it says, and its photos, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from infra.host_answers import NO_VALIDATORS, Validators
from models.ports import Raw, Ready
from processors import decode
from processors.identity import key_of
from processors.offers import without_other_names
from processors.product import PhotoPlace
from processors.values import Garment, Vector
from streams.contract.checks import fields_of
from streams.contract.records import Item, Source, Upload
from streams.contract.versions import version_of
from streams.engine.message import Message
from streams.roles.items import PhotoContent
from streams.roles.remote import Kept

T = TypeVar("T")
U = TypeVar("U")


def _said_in(upload: Upload) -> dict[str, Any] | None:
    """What it says of the product; of a part, so that it counts under whatever name the column was said before."""
    fields = fields_of(upload)
    whole = upload.image is not None or upload.images is not None
    return fields if fields is None or whole else without_other_names(fields)


@dataclass(frozen=True, slots=True)
class About:
    """What an upload says beside its photos. `metadata` None: nothing; `pictured`: whether it gives photos; `partial`: no metadata."""

    product_id: str
    metadata: dict[str, Any] | None
    version: int | float | None
    pictured: bool
    partial: bool
    source: Source
    shop: str = ""
    again: Item | None = None
    """The item that is thought again: then nothing was uploaded (streams.roles.rethink)."""

    @classmethod
    def of(cls, message: Message, upload: Upload) -> About:
        """Of the upload in a record."""
        pictured = upload.image is not None or upload.images is not None
        return cls(
            upload.product_id,
            _said_in(upload),
            version_of(upload.version),
            pictured,
            upload.metadata is None,
            Source(*message.first_source),
            upload.shop or "",
        )

    @property
    def product(self) -> str:
        """Its key."""
        return key_of(self.shop, self.product_id)


@dataclass(frozen=True, slots=True)
class Known:
    """A photo of which is remembered what the models said."""

    place: PhotoPlace
    content: PhotoContent


@dataclass(frozen=True, slots=True)
class Stored:
    """A photo that lies in our store, whose hash is known without reading it; `asked`: what its host said is unchanged."""

    place: PhotoPlace
    field: str = "image"
    asked: Kept | None = None


@dataclass(frozen=True, slots=True)
class Photo:
    """The bytes of a photo; `suffix` of the key it gets ("" where it lies in our store already: then `place` has its address).

    `field`: of the upload, that gave it.
    """

    place: PhotoPlace
    data: bytes
    suffix: str
    uri: str = ""
    validators: Validators = NO_VALIDATORS
    """Of the host of `uri`: what it is asked with when the photo comes again."""
    field: str = "image"


@dataclass(frozen=True, slots=True)
class Opened:
    """A decoded photo, made ready for the detector; `unkept` holds its encoded bytes until they are stored."""

    place: PhotoPlace
    decoded: decode.Decoded
    ready: Ready
    unkept: Photo | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What the detector's forward pass gave for a photo."""

    opened: Opened
    raw: Raw


@dataclass(frozen=True, slots=True)
class Described:
    """The garments with their colours, and the views to be embedded: (view id, category, ready for the encoder)."""

    opened: Opened
    garments: tuple[Garment, ...]
    views: tuple[tuple[str, str, Ready], ...]
    shares: Mapping[str, Vector]
    """Garment → what its colour word is read from; empty while no heads are live that read it."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """A photo with all that the models said, but for its memo being durable."""

    place: PhotoPlace
    content: PhotoContent


@dataclass(frozen=True, slots=True)
class Work(Generic[T]):
    """An upload on its way, with all of its photos: those that need a model, as far as they are, and those that are known."""

    about: About
    photos: tuple[T | Known, ...]

    def new(self) -> list[T]:
        """The photos that need a model."""
        return [photo for photo in self.photos if not isinstance(photo, Known)]

    def with_new(self, photos: Sequence[U]) -> Work[U]:
        """The same with these instead of `new`, in their order."""
        rest = iter(photos)
        return Work(self.about, tuple(photo if isinstance(photo, Known) else next(rest) for photo in self.photos))
