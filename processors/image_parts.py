"""An encoded image taken apart: what makes its pixels, what makes their look (colour profile, animation), and the rest.

The rest is metadata: place, owner, texts, previews, a video behind the photo. Decoders get the first part only, so that
nothing wrong in the rest costs a good photo; the store gets the first and the second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from processors.containers import gif, jpeg, png, webp
from processors.containers.parts import Parts, Use
from processors.image_header import ImageFormat, sniff, unpadded


class _Format(Protocol):
    """A module of `processors.containers`."""

    def parts_of(self, data: bytes, /) -> Parts: ...
    def bare(self, data: bytes, parts: Parts, /) -> bytes: ...
    def clean(self, data: bytes, parts: Parts, /) -> bytes: ...


_FORMATS: dict[ImageFormat, _Format] = {"jpeg": jpeg, "png": png, "webp": webp, "gif": gif}


@dataclass(frozen=True, slots=True)
class Bare:
    """What a decoder is given, and the orientation (1 to 8, as of EXIF) in which its pixels are to be shown.

    `endless`: for a JPEG without its end marker, the same with other bits behind its last scan; else b"".
    """

    data: bytes
    orientation: int
    scans: int
    endless: bytes = b""
    every_scan: bool = True


def bare(data: bytes) -> Bare:
    """What decoders need of an image, repaired where only the file around the pixels is damaged.

    Raises:
        Poison: no image, or one of too many parts.
    """
    data, kind, parts = _taken_apart(data)
    if kind == "jpeg":
        scans = jpeg.scans(data, parts)
        if parts.ended:
            return Bare(jpeg.bare(data, parts), parts.orientation, scans)
        tailed = jpeg.bare(data, parts, tail=True)
        return Bare(jpeg.bare(data, parts), parts.orientation, scans, tailed, jpeg.has_every_scan(data, parts))
    return Bare(_FORMATS[kind].bare(data, parts), parts.orientation, 0)


def clean(data: bytes) -> bytes:
    """The image without metadata, losslessly: its encoded pixels, colour profile, animation and orientation stay as they are.

    A photo without metadata is returned byte by byte; twice is once. What is cut off stays cut off, and what holds no picture
    at all stays as it is: decoding refuses it.

    Raises:
        Poison: no image, or one of too many parts.
    """
    data, kind, parts = _taken_apart(data)
    if not any(part.use is Use.PIXELS for part in parts.parts):
        return data
    return _FORMATS[kind].clean(data, parts)


def scans(data: bytes) -> int:
    """Scans of a JPEG that a decoder might see, up to the image's end; 0 for other formats. Raises as `bare` does."""
    data, kind, parts = _taken_apart(data)
    return jpeg.scans(data, parts) if kind == "jpeg" else 0


def _taken_apart(data: bytes) -> tuple[bytes, ImageFormat, Parts]:
    data = unpadded(data)
    kind = sniff(data)
    return data, kind, _FORMATS[kind].parts_of(data)
