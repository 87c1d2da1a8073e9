"""The records by which garments are edited: `edits.requests`, `edits.progress`, `edits.results` (JSON)."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from processors.errors import EDIT_CODES
from processors.values import Box
from streams.contract.compatibility import OPEN_ENUM
from streams.contract.records import ImageRef, Record, Source

MAX_REFERENCES = 3
MAX_SEED = 2**53
DEADLINE_MS = 30_000
STEPS = ("read", "seen", "retrieved", "painted", "stored")
"""What is told on `edits.progress`, in this order."""
PAINTING = "painting"
"""Told besides while a model paints, every few steps: `done` of `of` steps of the diffusion."""

EditCode: TypeAlias = Annotated[
    str, msgspec.Meta(extra_json_schema={"enum": [code.value for code in EDIT_CODES], OPEN_ENUM: True})
]


class EditRequest(Record, frozen=True):
    """A photo, and in words what a garment of it is to become. A null value under its key cancels it.

    One of `image` (bytes, an address, or a product of the catalogue) and `product`.
    """

    request_id: str
    text: str = ""
    image: ImageRef | None = None
    product: str | None = None  # the same as `image.product_id`
    garment: str | None = None  # as an earlier result named it ("g0"); without it, the one that the words name
    box: tuple[float, float, float, float] | None = None  # the garment, in pixels of the photo as it is shown
    mask: ImageRef | None = None  # of the photo's size: only where it is light may anything change
    references: tuple[str, ...] = ()  # products whose look is wanted, instead of those that the words find
    seed: int | None = None
    steps: int | None = None  # of a diffusion; "transfer" has none
    shop: str | None = None  # whose products may be used; without it, only those of no shop
    deadline_ms: int = DEADLINE_MS
    consent: bool | None = None  # who is to be seen on the photo has agreed
    mark: bool = False  # write on the garment that it was edited


class EditReference(Record, frozen=True, omit_defaults=False):
    """A product of the catalogue that was retrieved for the words; `used`: its look is on the garment now."""

    product_id: str
    score: float
    image: str
    category: str
    used: bool = False


class EditGarment(Record, frozen=True, omit_defaults=False):
    """A garment of the photo; `box` in pixels of the photo as it is shown."""

    id: str
    category: str
    box: Box


class EditLineage(Record, frozen=True, omit_defaults=False):
    """What made an edit."""

    source: Source
    input: str  # SHA-256 of the photo
    detector: str
    encoder: str
    generation: str  # of the index
    version: str
    editor: str = ""  # the model that painted; "" where none did
    profile: str = ""  # the profile whose models the process runs; "" before there were others


class EditError(Record, frozen=True, omit_defaults=False):
    """Why there is no image."""

    code: EditCode
    message: str
    field: str = ""


class EditResult(Record, frozen=True):
    """What became of a request: an image, or `error`. Addresses are relative to the object store.

    `scale`: pixels of the image for each of the photo (below 1 where that was too large). `colour_difference`: CIEDE2000
    between the mean colours of the edited garment and of what it was to become, before and after.
    """

    request_id: str
    image: str = ""
    mask: str = ""  # a PNG of the image's size: white where it may differ from the photo
    manifest: str = ""  # its provenance, as JSON; the image holds it as well
    method: str = ""  # how it was painted: "transfer" or "diffusion"; "" where it was not
    seed: int = 0
    garment: EditGarment | None = None
    garments: tuple[EditGarment, ...] = ()  # all that were found
    retrieved: tuple[EditReference, ...] = ()
    from_words: tuple[
        str, ...
    ] = ()  # what of the look is of the words alone, where no garment has it: "red", "striped"
    width: int = 0
    height: int = 0
    scale: float = 1.0
    colour_difference: tuple[float, float] | None = None
    shop: str = ""
    lineage: EditLineage | None = None
    took_ms: int = 0
    stages_ms: dict[str, int] = {}  # noqa: RUF012 - msgspec gives each record a dict of its own
    warnings: tuple[str, ...] = ()
    error: EditError | None = None


class EditProgress(Record, frozen=True, omit_defaults=False):
    """How far a request has come."""

    request_id: str
    step: Annotated[str, msgspec.Meta(extra_json_schema={"enum": [*STEPS, PAINTING], OPEN_ENUM: True})]
    done: int
    of: int
