"""WebP: the chunks of a RIFF file (RFC 9649, 2.3 to 2.7)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from processors.containers import orientation
from processors.containers.parts import Part, Parts, Use, count

_PIXELS = frozenset({b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF"})
_FRAMES = frozenset({b"VP8 ", b"VP8L", b"ANMF"})
_HAS_PROFILE, _HAS_EXIF, _HAS_XMP = 0x20, 0x08, 0x04


def parts_of(data: bytes) -> Parts:
    """A WebP taken apart. What lies behind the length that the file states is no part of it, once there is a picture."""
    parts: list[Part] = []
    exif = xmp = None
    ended = True
    for kind, start, end in _chunks(data):
        (length,) = struct.unpack_from("<I", data, start + 4)
        ended = ended and (end - start >= 8 + length or kind not in _PIXELS)
        parts.append(Part(_use(kind), kind, start, end))
        if kind == b"EXIF" and exif is None:
            exif = orientation.of_exif(data[start + 8 : end].removeprefix(b"Exif\0\0"))
        elif kind == b"XMP " and xmp is None:
            xmp = orientation.of_xmp(data[start + 8 : end])
    if not any(part.kind == b"VP8X" for part in parts):
        exif = xmp = None  # only the extended form may hold them: viewers show the photo as it is stored, and so do we
    return Parts(tuple(parts), ended, exif or xmp or orientation.UPRIGHT)


def bare(data: bytes, parts: Parts) -> bytes:
    """The WebP with what decoders need, its length set right."""
    return _riff(data, [p for p in parts.parts if p.use is Use.PIXELS], _HAS_PROFILE | _HAS_EXIF | _HAS_XMP)


def clean(data: bytes, parts: Parts) -> bytes:
    """The WebP without its metadata: the same frames, the same colours, the same way up."""
    kept = [part for part in parts.parts if part.use is not Use.REST]
    exif = b""
    if parts.orientation != orientation.UPRIGHT:
        body = orientation.as_exif(parts.orientation)
        exif = b"EXIF" + struct.pack("<I", len(body)) + body
    return _riff(data, kept, _HAS_EXIF | _HAS_XMP, exif)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    stated = 8 + struct.unpack_from("<I", data, 4)[0]
    at, number, seen = 12, 0, False
    while at + 8 <= len(data) and not (seen and at >= stated):
        number += 1
        count(number, "chunks")
        kind, length = struct.unpack_from("<4sI", data, at)
        end = min(at + 8 + length + length % 2, len(data))
        yield kind, at, end
        seen = seen or kind in _FRAMES
        at = end


def _use(kind: bytes) -> Use:
    if kind in _PIXELS:
        return Use.PIXELS
    return Use.LOOK if kind == b"ICCP" else Use.REST


def _riff(data: bytes, parts: list[Part], absent: int, exif: bytes = b"") -> bytes:
    """A RIFF file of `parts` and `exif`; the flags `absent` of the extended form are taken away, that of EXIF is as it is.

    A reader that goes by the flags passes over EXIF that they do not name, and shows the photo on its side.
    """
    present = _HAS_EXIF if exif else 0
    pieces, total = [], 4 + len(exif)
    for part in parts:
        piece = data[part.start : part.end]
        (length,) = struct.unpack_from("<I", piece, 4)
        if len(piece) == 8 + length and length % 2:
            piece += b"\0"  # the last chunk of some writers lacks its padding
        if part.kind == b"VP8X" and len(piece) > 8:
            piece = piece[:8] + bytes([piece[8] & ~absent | present]) + piece[9:]
        pieces.append(piece)
        total += 8 + length + length % 2
    return b"".join((b"RIFF", struct.pack("<I", total & 0xFFFFFFFF), b"WEBP", *pieces, exif))
