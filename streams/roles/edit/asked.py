"""What the stages of `edit` hand on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field

from models.ports import Inpaint, Raw, Ready
from processors.decode import Decoded
from processors.editing.wishes import Wish
from processors.values import Garment
from streams.contract.edits import EditReference, EditRequest, EditResult
from streams.engine.message import Message
from streams.roles import reserve
from streams.roles.compose.asked import QUERY_SIDE, Asked, Embedded, Prepared

EDIT_SIDE = 1600
"""Longest side, in pixels, of an edited image: a larger photo is reduced to it (`EditResult.scale`)."""
REFERENCE_SIDE = 960
"""Likewise of a retrieved garment's photo."""


@dataclass(slots=True)
class Track:
    """Of one request, what is told beside its result: the progress that is on its way, and the time of each stage."""

    stages_ms: dict[str, int] = field(default_factory=dict)
    told: list[Awaitable[object]] = field(default_factory=list)
    since: float = 0.0
    loop: asyncio.AbstractEventLoop | None = None

    def done(self, stage: str, now: float) -> None:
        """A stage has ended, at `now` seconds."""
        self.stages_ms[stage] = max(0, round((now - self.since) * 1000))
        self.since = now


@dataclass(frozen=True, slots=True)
class EditAsked:
    """A checked request. `query`: what `compose` would read of it: photo and words. `wish`: see `processors.editing.wishes`."""

    message: Message
    request: EditRequest
    query: Asked
    wish: Wish
    mask: bytes
    track: Track
    look_for_faces: bool = False

    @property
    def started(self) -> float:
        """Seconds since the epoch."""
        return self.query.started

    @property
    def deadline(self) -> float:
        """Likewise."""
        return self.query.deadline

    @property
    def data(self) -> bytes:
        """The photo."""
        return self.query.reference.data


@dataclass(frozen=True, slots=True)
class EditPrepared:
    """On its way through the detectors and the encoders. `shown`, `faces`: before and after the detector of faces; None of a photo that
    nobody looks at for them.
    """

    asked: EditAsked
    prepared: Prepared
    shown: Ready = None
    faces: Raw = None


@dataclass(frozen=True, slots=True)
class EditSeen:
    """With the garments of the photo and the vector of the words."""

    asked: EditAsked
    embedded: Embedded

    @property
    def garments(self) -> tuple[Garment, ...]:
        """Those of the photo, the surest first."""
        return tuple(one.garment for one in self.embedded.worn)


@dataclass(frozen=True, slots=True)
class Sketch:
    """What a model is to paint: `canvas`, the photo as it is edited; `ready` and `raw`, before and after its pass."""

    canvas: Decoded
    job: Inpaint
    ready: Ready = None
    raw: Raw = None


@dataclass(frozen=True, slots=True)
class Retrieved:
    """With what was found for the words.

    Attributes:
        seen: the photo.
        garment: what is edited; None where a mask alone says it.
        hits: the products, the best first.
        generation: of the index that they are of.
        look: the product whose look is used, its category, and its photo; "" and no bytes for none.
        from_words: what of the look is the words' own.
        opened, shown, raw: the photo of the look, and before and after the detector's pass.
        sketch: where a model paints.
    """

    seen: EditSeen
    garment: Garment | None
    hits: tuple[EditReference, ...] = ()
    generation: str = ""
    look: str = ""
    category: str = ""
    photo: bytes = b""
    from_words: tuple[str, ...] = ()
    opened: Decoded | None = None
    shown: Ready = None
    raw: Raw = None
    sketch: Sketch | None = None


@dataclass(frozen=True, slots=True)
class Painted:
    """The finished image, its mask and its manifest, and all of the result that is known before they are stored."""

    asked: EditAsked
    image: bytes
    mask: bytes
    manifest: bytes
    result: EditResult


def size_of_asked(asked: EditAsked) -> int:
    """Bytes that a request holds until its photo is opened."""
    return reserve.held_by(asked.data, QUERY_SIDE) + len(asked.mask)


def size_of_prepared(one: EditPrepared) -> int:
    """Bytes that a request holds until it is retrieved for."""
    photo = one.prepared.photo
    pixels = 0 if photo is None else photo.decoded.pixels.nbytes + photo.bright.nbytes
    shown = 0 if one.shown is None else reserve.SHOWN_BYTES
    return len(one.asked.data) + len(one.asked.mask) + pixels + reserve.SHOWN_BYTES + shown


def size_of_retrieved(one: Retrieved) -> int:
    """Bytes that a request holds until it is painted."""
    photo = one.seen.embedded.prepared.photo
    pixels = 0 if photo is None else photo.decoded.pixels.nbytes + photo.bright.nbytes
    opened = 0 if one.opened is None else one.opened.pixels.nbytes + reserve.SHOWN_BYTES
    sketched = 0 if one.sketch is None else one.sketch.canvas.pixels.nbytes + reserve.SHOWN_BYTES
    return len(one.seen.asked.data) + len(one.seen.asked.mask) + pixels + len(one.photo) + opened + sketched


def size_of_painted(one: Painted) -> int:
    """Bytes that a request holds until it is stored."""
    return len(one.image) + len(one.mask) + len(one.manifest)
