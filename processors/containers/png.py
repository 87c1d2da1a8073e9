"""PNG: chunks up to IEND (ISO/IEC 15948, 5.3 and 11). A chunk that is not needed for the picture cannot cost it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress

from processors.containers import orientation
from processors.containers.parts import Part, Parts, Use, count

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LOOK = {
    b"acTL": 8, b"bKGD": 6, b"cHRM": 32, b"cICP": 4, b"cLLI": 8, b"fcTL": 26, b"fdAT": 2**31, b"gAMA": 4, b"hIST": 512,
    b"iCCP": 2**31, b"mDCV": 24, b"pHYs": 9, b"sBIT": 4, b"sRGB": 1,
}  # fmt: skip
"""The most bytes of each: readers pass over a longer one, and what stands in it is a text."""
_NAMES = frozenset({b"ICC Profile", b"ICC profile", b"icc", b"ICC", b"1", b"Photoshop ICC profile", b"kCGColorSpaceDisplayP3", b"kCGColorSpaceGenericRGB", b"kCGColorSpaceICCBased", b"Display P3", b"Adobe RGB (1998)", b"sRGB IEC61966-2.1", b"sRGB IEC61966-2-1", b"sRGB"})  # fmt: skip
"""Names that programs give to profiles; any other one may be a person's or a screen's."""
_COLOUR_TYPE = len(SIGNATURE) + 17
_TRANSPARENT = {b"\0": 2, b"\2": 6}
"""The least bytes of a tRNS chunk by the PNG's colour type, grey and RGB (ISO/IEC 15948, 11.3.2.1)."""
_ANCILLARY = 0x20  # bit 5 of a name's first byte
_MOST_TEXT = 2**20


def parts_of(data: bytes) -> Parts:
    """A PNG taken apart. An ancillary chunk whose checksum is wrong counts as metadata, as libpng drops it."""
    parts: list[Part] = []
    exif = raw = xmp = None
    ended = False
    for kind, start, end in _chunks(data):
        whole = end - start >= 12 and end == start + 12 + struct.unpack_from(">I", data, start)[0]
        if kind[:1].isalpha() and kind[0] & _ANCILLARY and not (whole and _is_sound(data, start, end)):
            parts.append(Part(Use.REST, kind, start, end))
            continue
        use = _use(kind)
        if kind == b"tRNS" and end - start - 12 < _TRANSPARENT.get(data[_COLOUR_TYPE : _COLOUR_TYPE + 1], 1):
            use = Use.REST  # decoders refuse the whole photo for it
        if use is Use.LOOK and end - start - 12 > _LOOK[kind]:
            use = Use.REST
        parts.append(Part(use, kind, start, end))
        ended = kind == b"IEND" and whole
        body = data[start + 8 : min(end - 4, start + 8 + _MOST_TEXT)] if use is Use.REST else b""
        if kind == b"eXIf":
            exif = exif or orientation.of_exif(body.removeprefix(b"Exif\0\0"))
        elif kind in {b"tEXt", b"zTXt"} and body.startswith(b"Raw profile type exif\0"):
            raw = raw or _of_raw_profile(_text(kind, body))
        elif kind == b"iTXt" and body.startswith(b"XML:com.adobe.xmp\0"):
            xmp = xmp or orientation.of_xmp(_text(kind, body))
    return Parts(tuple(parts), ended, exif or raw or xmp or orientation.UPRIGHT)


def bare(data: bytes, parts: Parts) -> bytes:
    """The PNG with what decoders need; a last chunk that is cut off is given its true length, so that its pixels count."""
    pieces = [SIGNATURE]
    for part in parts.parts:
        if part.use is not Use.PIXELS or part.kind == b"IEND":
            continue
        length = struct.unpack_from(">I", data, part.start)[0]
        if part.end < part.start + 12 + length:
            body = data[part.start + 8 : min(part.end, part.start + 8 + length)]
            pieces.append(_chunk(part.kind, body))
        else:
            pieces.append(data[part.start : part.end])
    return b"".join((*pieces, _chunk(b"IEND", b"")))


def clean(data: bytes, parts: Parts) -> bytes:
    """The PNG without its metadata: the same pixels, the same colours, the same way up."""
    pieces = [SIGNATURE]
    turned = parts.orientation != orientation.UPRIGHT
    for part in parts.parts:
        if turned and part.kind in {b"IDAT", b"IEND"}:
            pieces.append(_chunk(b"eXIf", orientation.as_exif(parts.orientation)))
            turned = False
        if part.use is not Use.REST:
            pieces.append(_profile(data, part) if part.kind == b"iCCP" else data[part.start : part.end])
    return b"".join(pieces)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(name, start, end) of each chunk up to IEND; the last one may be cut off."""
    at, number = len(SIGNATURE), 0
    while at + 8 <= len(data):
        number += 1
        count(number, "chunks")
        length, kind = struct.unpack_from(">I4s", data, at)
        end = min(at + 12 + length, len(data))
        yield kind, at, end
        if kind == b"IEND":
            return
        at = end


def _use(kind: bytes) -> Use:
    if kind in _LOOK:
        return Use.LOOK
    return Use.REST if kind[0] & _ANCILLARY and kind != b"tRNS" else Use.PIXELS


def _profile(data: bytes, part: Part) -> bytes:
    """A colour profile under a name that tells nobody, and without what stands behind its end."""
    name, _, rest = data[part.start + 8 : part.end - 4].partition(b"\0")
    unpacked = zlib.decompressobj()
    with suppress(zlib.error):
        unpacked.decompress(rest[1:], _MOST_TEXT * 4)
    behind = len(unpacked.unused_data)
    if name in _NAMES and not behind:
        return data[part.start : part.end]
    return _chunk(b"iCCP", (name if name in _NAMES else b"icc") + b"\0" + rest[: len(rest) - behind])


def _is_sound(data: bytes, start: int, end: int) -> bool:
    (stated,) = struct.unpack_from(">I", data, end - 4)
    return zlib.crc32(memoryview(data)[start + 4 : end - 4]) == int(stated)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _text(kind: bytes, body: bytes) -> bytes:
    """The text of a chunk, at most `_MOST_TEXT` bytes of it: a small chunk may unfold into gigabytes."""
    _, _, rest = body.partition(b"\0")
    packed = kind == b"zTXt"
    if kind == b"iTXt":
        packed, rest = rest[:1] == b"\1", rest[2:].split(b"\0", 2)[-1]
    elif packed:
        rest = rest[1:]
    if not packed:
        return rest
    try:
        return zlib.decompressobj().decompress(rest, _MOST_TEXT)
    except zlib.error:
        return b""


def _of_raw_profile(text: bytes) -> int | None:
    """The orientation in EXIF as ImageMagick writes it into texts: a name, a length, then hexadecimal lines."""
    try:
        profile = bytes.fromhex("".join(text.decode("ascii").split("\n")[3:]))
    except ValueError:
        return None
    return orientation.of_exif(profile.removeprefix(b"Exif\0\0"))
