"""What an image file is made of, whatever its format."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from processors.containers.orientation import UPRIGHT
from processors.errors import Code, Poison

MAX_PARTS = 100_000
"""More segments, chunks or blocks than any camera or program writes: a file of nothing else would be walked for seconds."""


class Use(Enum):
    """What a part of a file is for."""

    PIXELS = "pixels"
    LOOK = "look"
    """Colour profile, animation: a viewer needs it, our decoder does not."""
    REST = "rest"
    """Place, owner, texts, previews, private data."""


@dataclass(frozen=True, slots=True)
class Part:
    """The bytes from `start` to `end`; `kind` is the marker, the chunk's or the block's name."""

    use: Use
    kind: bytes
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Parts:
    """A file taken apart.

    `ended` is whether the file has its end marker, and nothing before it is cut. `orientation` is 1 to 8, as of EXIF.
    """

    parts: tuple[Part, ...]
    ended: bool
    orientation: int = UPRIGHT


def count(parts: int, what: str) -> None:
    """Refuse a file of too many parts.

    Raises:
        Poison: more than `MAX_PARTS`.
    """
    if parts > MAX_PARTS:
        raise Poison(f"the image has more than {MAX_PARTS:,} {what}", field="image", code=Code.OUT_OF_RANGE)
