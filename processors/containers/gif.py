"""GIF: blocks up to the trailer (GIF89a, 17 to 26). Decoders get the file as it is; the store gets it without comments."""

from __future__ import annotations

from processors.containers.parts import Part, Parts, Use, count

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_COMMENT, _APPLICATION = 0xFE, 0xFF
_LOOKS = (b"NETSCAPE2.0", b"ANIMEXTS1.0", b"ICCRGBG1012")


def parts_of(data: bytes) -> Parts:
    """A GIF taken apart. Where it is damaged, all that follows counts as pixels: decoders skip it or refuse it."""
    at = _behind_table(6 + 7, data[10] if len(data) > 10 else 0)
    parts = [Part(Use.PIXELS, b"header", 0, min(at, len(data)))]
    while at < len(data):
        count(len(parts), "blocks")
        start, kind = at, data[at]
        if kind == _TRAILER:
            return Parts((*parts, Part(Use.PIXELS, b"end", at, at + 1)), ended=True)
        if kind == _EXTENSION and at + 1 < len(data):
            at = _behind_blocks(data, at + 2)
            parts.append(Part(_use(data, start), b"extension", start, at))
        elif kind == _IMAGE and at + 9 < len(data):
            at = _behind_blocks(data, _behind_table(at + 10, data[at + 9]) + 1)
            parts.append(Part(Use.PIXELS, b"image", start, at))
        else:
            parts.append(Part(Use.PIXELS, b"damaged", at, len(data)))
            break
    return Parts(tuple(parts), ended=False)


def bare(data: bytes, _parts: Parts) -> bytes:
    """The GIF itself."""
    return data


def clean(data: bytes, parts: Parts) -> bytes:
    """The GIF without comments and the data of applications: the same frames."""
    return b"".join(data[part.start : part.end] for part in parts.parts if part.use is not Use.REST)


def _use(data: bytes, start: int) -> Use:
    label = data[start + 1]
    if label == _APPLICATION:
        return Use.LOOK if data[start + 3 : start + 14] in _LOOKS else Use.REST
    return Use.REST if label == _COMMENT else Use.PIXELS


def _behind_table(at: int, flags: int) -> int:
    return at + (3 << (flags & 7) + 1 if flags & 0x80 else 0)


def _behind_blocks(data: bytes, at: int) -> int:
    """Behind the data blocks that begin at `at` and their terminator; the end of the file where it is cut off."""
    while at < len(data) and data[at]:
        at += 1 + data[at]
    return min(at + 1, len(data))
