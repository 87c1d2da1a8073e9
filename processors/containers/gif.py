"""GIF: blocks up to the trailer (GIF89a, 17 to 26). Decoders get the file as it is; the store gets it without its texts."""

from __future__ import annotations

from processors.containers.parts import Part, Parts, Use, count

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_GRAPHIC_CONTROL, _APPLICATION = 0xF9, 0xFF
_LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
_PROFILE = b"ICCRGBG1012"


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
    """The GIF without comments, plain text and the data of applications: the same frames, times and loop."""
    return b"".join(_stored(data, part) for part in parts.parts if part.use is not Use.REST)


def _stored(data: bytes, part: Part) -> bytes:
    """A part without data blocks that no viewer reads: whoever writes a text there has it stored with the photo."""
    whole = data[part.start : part.end]
    if part.kind != b"extension" or whole[2 : 3 + len(_PROFILE)].endswith(_PROFILE):
        return whole
    first, *others = _blocks(whole[2:]) or [b""]
    if whole[1] == _GRAPHIC_CONTROL:
        kept = [first[:4]]
    else:
        loops = [block for block in others if len(block) == 3 and block[0] == 1][:1]
        kept = [first, *loops] if loops else []
    return whole[:2] + b"".join(bytes([len(block)]) + block for block in kept) + b"\0" if kept else b""


def _blocks(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(data) and data[at]:
        found.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return found


def _use(data: bytes, start: int) -> Use:
    """Plain text is drawn by no viewer of today, and labels that the format does not know are skipped by all."""
    label = data[start + 1]
    if label == _APPLICATION:
        return Use.LOOK if data[start + 3 : start + 14] in {*_LOOPS, _PROFILE} else Use.REST
    return Use.PIXELS if label == _GRAPHIC_CONTROL else Use.REST


def _behind_table(at: int, flags: int) -> int:
    return at + (3 << (flags & 7) + 1 if flags & 0x80 else 0)


def _behind_blocks(data: bytes, at: int) -> int:
    """Behind the data blocks that begin at `at` and their terminator; the end of the file where it is cut off."""
    while at < len(data) and data[at]:
        at += 1 + data[at]
    return min(at + 1, len(data))
