"""The orientation of a photo: which way up its camera was held. Read from EXIF and XMP, and written as EXIF that says nothing else.

Sources: Exif 2.32, 4.6.4 A (tag 0x0112, values 1 to 8); TIFF 6.0, section 2; XMP part 2, 2.7 (`tiff:Orientation`).
"""

from __future__ import annotations

import re
import struct

UPRIGHT = 1
_TAG = 0x0112
_XMP = re.compile(rb"tiff:Orientation(?:\s*=\s*[\"']|(?:\s[^<>]{0,200})?>)\s*([1-8])\b")
_BYTE, _SHORT, _LONG = 1, 3, 4


def of_exif(tiff: bytes) -> int | None:
    """The orientation in the TIFF structure of an EXIF block (behind its name); None where there is none that can be read."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return None
    try:
        (at,) = struct.unpack_from(f"{order}I", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, at)
        for entry in range(at + 2, at + 2 + 12 * entries, 12):
            tag, kind = struct.unpack_from(f"{order}HH", tiff, entry)
            if tag != _TAG:
                continue
            form = {_BYTE: "B", _SHORT: f"{order}H", _LONG: f"{order}I"}.get(kind)
            return None if form is None else _checked(struct.unpack_from(form, tiff, entry + 8)[0])
    except struct.error:  # broken EXIF must not cost a good photo: it is shown as stored
        return None
    return None


def of_xmp(packet: bytes) -> int | None:
    """The orientation in an XMP packet, or None."""
    found = _XMP.search(packet)
    return None if found is None else int(found[1])


def as_exif(orientation: int) -> bytes:
    """The TIFF structure of an EXIF block that says the orientation and nothing else."""
    return b"MM\0*\0\0\0\x08" + struct.pack(">HHHIHHI", 1, _TAG, _SHORT, 1, orientation, 0, 0)


def _checked(value: int) -> int | None:
    return value if 1 <= value <= 8 else None
