"""What an image file says of itself in its first bytes: format and size, read before any decoder allocates memory.

Sources: JPEG ITU-T T.81 B.2, PNG (ISO/IEC 15948) 11.2.2, GIF89a 18, WebP container specification (RFC 9649).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Literal, TypeAlias

from processors.containers import jpeg
from processors.errors import Code, Poison

ImageFormat: TypeAlias = Literal["jpeg", "png", "webp", "gif"]

# Foreign files that people upload by mistake, so that the dead letter can say what came instead of a photo.
_FOREIGN: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a zip archive"),
    (b"%PDF", "a PDF"),
    (b"BM", "a BMP image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x00\x00\x01\x00", "an icon (ICO)"),
    (b"8BPS", "a Photoshop file"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL image"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"%!PS", "a PostScript file"),
    (b"\x89PNG", "a PNG that was damaged on its way (its line ends were changed)"),
    (b"HTTP/", "the answer of a web server with its headers"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an XML document"),
    (b"<!DOCTYPE", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"{", "a JSON document"),
)
# A script that prints a photo prints its own byte-order mark or an empty line before it.
_PADDING = re.compile(
    rb"(?:\xef\xbb\xbf|[\0\t\n\r ]){1,64}(?=\xff\xd8\xff|\x89PNG\r\n\x1a\n|RIFF....WEBP|GIF8[79]a)", re.DOTALL
)
_HTML = re.compile(
    rb"(?:\xef\xbb\xbf|\s|<!--.*?-->)*<(?:!doctype\s+html|html|head|body|title|script)\b", re.DOTALL | re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """Format and size in pixels as stored, before any EXIF rotation."""

    format: ImageFormat
    width: int
    height: int


def unpadded(data: bytes) -> bytes:
    """The image without blanks or a byte-order mark before its first byte; anything else is returned as it is."""
    found = _PADDING.match(data)
    return data if found is None else data[found.end() :]


def is_web_page(data: bytes) -> bool:
    """Whether this is HTML: what hosts answer with, under status 200, instead of a photo they do not have."""
    return _HTML.match(data[:4096]) is not None


def sniff(data: bytes) -> ImageFormat:
    """The format by its magic bytes, whatever the file is called.

    Raises:
        Poison: no bytes, or not one of JPEG, PNG, WebP and GIF; the message says what it looks like instead.
    """
    if not data:
        raise Poison("the image is empty (0 bytes)", field="image", code=Code.BAD_IMAGE)
    data = unpadded(data[:128])
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    raise Poison(f"not a JPEG, PNG, WebP or GIF image but {_foreign(data)}", field="image", code=Code.BAD_IMAGE)


def read_header(data: bytes) -> ImageHeader:
    """Format and size of an encoded image, without decoding it.

    Raises:
        Poison: unknown format (see `sniff`), or a header that is cut off or states no size.
    """
    kind = sniff(data)
    data = unpadded(data)
    try:
        width, height = _SIZES[kind](data)
    except (struct.error, IndexError) as error:
        raise Poison(
            f"the {kind.upper()} header is cut off after {len(data)} bytes", field="image", code=Code.BAD_IMAGE
        ) from error
    if width < 1 or height < 1:
        raise Poison(f"the {kind.upper()} header states no size ({width}x{height})", field="image", code=Code.BAD_IMAGE)
    return ImageHeader(kind, width, height)


def _foreign(data: bytes) -> str:
    start = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
    if data[4:8] == b"ftyp":
        return "a HEIC, AVIF or video file"
    if is_web_page(data):
        return "an HTML page"
    for magic, name in _FOREIGN:
        if start.lower().startswith(magic.lower()):
            return name
    return f"unknown bytes (they begin with {data[:4].hex(' ')})"


def _jpeg_size(data: bytes) -> tuple[int, int]:
    for marker, start, _ in jpeg.segments(data):
        if marker in jpeg.FRAMES:
            height, width = struct.unpack_from(">HH", data, start + 5)
            return width, height
        if marker in (jpeg.EOI, jpeg.SOS):  # the end, or pixels before any size
            return 0, 0
    raise IndexError


def _png_size(data: bytes) -> tuple[int, int]:
    if data[12:16] == b"CgBI":
        # Apple's own form, out of an app's package: its pixels are packed otherwise, and no other program reads them.
        raise Poison(
            "a PNG in Apple's own form (CgBI), out of an app: export it as a PNG", field="image", code=Code.BAD_IMAGE
        )
    if data[12:16] != b"IHDR":
        return 0, 0
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _gif_size(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _webp_size(data: bytes) -> tuple[int, int]:
    chunk = data[12:16]
    if chunk == b"VP8X":
        flags_and_size = data[24:30]
        if len(flags_and_size) < 6:
            raise IndexError
        return 1 + int.from_bytes(flags_and_size[:3], "little"), 1 + int.from_bytes(flags_and_size[3:], "little")
    if chunk == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if chunk == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return 0, 0


_SIZES = {"jpeg": _jpeg_size, "png": _png_size, "gif": _gif_size, "webp": _webp_size}
