"""JPEG: segments up to the end of the image (ITU-T T.81 B.1.1, B.2). What lies behind it is no part of the photo.

A motion photo has a video there, an MPO more pictures, an Ultra HDR photo a gain map: all with metadata of their own.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from processors.containers import orientation
from processors.containers.parts import Part, Parts, Use, count

SOI, EOI, SOS, DNL, COM = 0xD8, 0xD9, 0xDA, 0xDC, 0xFE
APP0, APP1, APP2, APP14, APP15 = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF
_PROGRESSIVE = frozenset({0xC2, 0xCA})
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# What may stand between two scans. Anything else there is damage, which decoders skip as part of the scan.
_BETWEEN_SCANS = frozenset({*range(0xC0, 0xD0), SOI, EOI, SOS, 0xDB, DNL, 0xDD, COM, *range(APP0, APP15 + 1)})
# A marker that has a meaning of its own: not a stuffed 0xFF, a filler, a restart or TEM, which have no length either.
_MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd7]", re.DOTALL)
_JFIF_BYTES, _ADOBE_BYTES = 14, 12
"""Of the segments' contents without a preview (JFIF 1.02; Adobe's technical note 5116, section 18)."""
_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_TAIL = bytes((n * 89 + 41) % 255 for n in range(8192))


def segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end) of each segment, in order; that of a scan goes on to the next marker. Ends with EOI if there is one.

    Raises:
        struct.error: cut off within the length of a segment.
        Poison: too many segments.
    """
    at, scans, number = 2, 0, 0
    while (found := _MARKER.search(data, at)) is not None:
        start, marker = found.start(), data[found.end() - 1]
        number += 1
        count(number, "segments")
        if marker == EOI or (marker == SOI and scans):
            if marker == EOI:
                yield marker, start, start + 2
            return
        if marker == SOI or (scans and marker not in _BETWEEN_SCANS):
            at = start + 2
            continue
        end = start + 2 + struct.unpack_from(">H", data, start + 2)[0]
        if marker == SOS:
            scans += 1
            end = _end_of_scan(data, end)
        yield marker, start, min(end, len(data))
        at = end


def parts_of(data: bytes) -> Parts:
    """A JPEG taken apart; a segment that is cut off belongs to it as far as it goes."""
    parts: list[Part] = []
    exif = xmp = None
    ended = False
    try:
        for marker, start, end in segments(data):
            body = memoryview(data)[start + 4 : end]
            ended = marker == EOI
            parts.append(Part(_use(marker, bytes(body[:14])), bytes([marker]), start, end))
            if marker == APP1 and exif is None and body[:6] == _EXIF:
                exif = orientation.of_exif(bytes(body[6:]))
            elif marker == APP1 and xmp is None and body[: len(_XMP)] == _XMP:
                xmp = orientation.of_xmp(bytes(body))
    except struct.error:
        pass
    return Parts(tuple(parts), ended, exif or xmp or orientation.UPRIGHT)


def bare(data: bytes, parts: Parts, *, tail: bool = False) -> bytes:
    """The JPEG with what decoders need, and an end marker in any case.

    Args:
        data: the file.
        parts: of the file.
        tail: put other bits before the end marker: a picture that needs bits from there changes, one that is whole does not.
    """
    pieces = [data[p.start : p.end] for p in parts.parts if p.use is Use.PIXELS and p.kind[0] != EOI]
    if pieces and not parts.ended:
        pieces[-1] = pieces[-1].rstrip(b"\xff")  # half of a marker
    return b"".join((b"\xff\xd8", *pieces, _TAIL if tail else b"", b"\xff\xd9"))


def clean(data: bytes, parts: Parts) -> bytes:
    """The JPEG without its metadata: the same scans, the same colours, the same way up."""
    kept = [part for part in parts.parts if part.use is not Use.REST]
    pieces = [_stored(data, part) for part in kept]
    if parts.orientation != orientation.UPRIGHT:
        body = _EXIF + orientation.as_exif(parts.orientation)
        # Behind JFIF's own segment, where cameras put it too.
        at = 1 if kept and kept[0].kind[0] == APP0 else 0
        pieces.insert(at, b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body)
    return b"".join((b"\xff\xd8", *pieces))


def _stored(data: bytes, part: Part) -> bytes:
    """A segment as it is stored: JFIF's without its preview, which may show what was cut away, Adobe's up to what it says of colours."""
    whole = data[part.start : part.end]
    marker, body = part.kind[0], whole[4:]
    if marker == APP0 and len(body) >= _JFIF_BYTES:
        body = body[: _JFIF_BYTES - 2] + b"\0\0"
    elif marker == APP14:
        body = body[:_ADOBE_BYTES]
    else:
        return whole
    # A segment that is cut off keeps the length that it states.
    return whole[:2] + (struct.pack(">H", len(body) + 2) if len(body) < len(whole) - 4 else whole[2:4]) + body


def scans(data: bytes, parts: Parts) -> int:
    """Start-of-scan markers in what a decoder is given, wherever they stand: it may take for one what we do not."""
    return sum(data.count(b"\xff\xda", p.start, p.end) for p in parts.parts if p.use is Use.PIXELS)


def has_every_scan(data: bytes, parts: Parts) -> bool:
    """Whether the scans together hold every component, and of a progressive JPEG every bit of every coefficient (T.81 G.1.1).

    Tells a photo that lacks only its end marker from one that was cut between two scans.
    """
    frame = next((part for part in parts.parts if part.kind[0] in FRAMES), None)
    if frame is None or frame.end < frame.start + 10:
        return False
    components = data[frame.start + 10 : frame.end : 3][: data[frame.start + 9]]
    missing = {(component, k): -1 for component in components for k in range(64)}  # the lowest bit that came
    for scan in (part for part in parts.parts if part.kind[0] == SOS):
        number = data[scan.start + 4] if scan.end > scan.start + 4 else 0
        header = data[scan.start + 5 : scan.start + 8 + 2 * number]
        if len(header) < 2 * number + 3:
            return False
        first, last, bits = header[2 * number :]
        if frame.kind[0] not in _PROGRESSIVE:
            first, last, bits = 0, 63, 0
        for component in header[: 2 * number : 2]:
            missing |= {(component, k): bits & 15 for k in range(first, min(last, 63) + 1)}
    return all(bit == 0 for bit in missing.values())


def _end_of_scan(data: bytes, at: int) -> int:
    while (found := _MARKER.search(data, at)) is not None:
        if data[found.end() - 1] in _BETWEEN_SCANS:
            return found.start()
        at = found.end()
    return len(data)


def _use(marker: int, body: bytes) -> Use:
    if marker == APP0:
        return Use.PIXELS if body.startswith(b"JFIF\0") else Use.REST
    if marker == APP14:  # tells YCCK from CMYK, RGB from YCbCr
        return Use.PIXELS if body.startswith(b"Adobe") else Use.REST
    if marker == APP2 and body.startswith(b"ICC_PROFILE\0"):
        return Use.LOOK
    return Use.REST if marker == COM or APP0 < marker <= APP15 else Use.PIXELS
