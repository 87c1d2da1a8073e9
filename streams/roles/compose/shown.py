"""What is seen in a shopper's photo: on its way to the detector and back, cut into garments, and as vectors."""

from __future__ import annotations

from dataclasses import dataclass, field

from models.ports import Raw, Ready
from processors.chances import Packed
from processors.decode import Decoded
from processors.values import Garment, Pixels, Vector


@dataclass(frozen=True, slots=True)
class Cut:
    """A garment that was found, its box in pixels of the original, and what the encoder is shown of it."""

    garment: Garment
    ready: Ready


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo that was decoded.

    Attributes:
        decoded: as it came.
        bright: at the exposure of a shop's photos (`processors.exposure`).
        ready: what the detector is shown; None once it has looked, or where it need not.
        raw: what it said.
        whole: what the encoder gave for the whole photo, where that was computed beside the detector.
        cuts: the garments that it found.
        boxed: the one garment that was asked for by its box.
        alone: it shows one product on plain ground, as a shop's own photos do.
    """

    decoded: Decoded
    bright: Pixels
    ready: Ready = None
    raw: Raw = None
    whole: Raw = None
    cuts: tuple[Cut, ...] = ()
    boxed: Garment | None = None
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Worn:
    """A garment of the photo, its box in pixels of the original, and its vector."""

    garment: Garment
    vector: Vector
    chances: Packed = field(default_factory=dict)
    """What it probably is (`processors.chances`), where the query's words ask for a change."""
    heads: str = ""
    """The version of the facet heads that told it."""
