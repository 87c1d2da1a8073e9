"""What a file beside product photos is, by its first bytes and its name: a photo, one of a format that is not read, or neither."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from processors.errors import Poison
from processors.image_header import sniff

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif"})
FOREIGN_SUFFIXES = frozenset({".heic", ".heif", ".avif", ".bmp", ".tif", ".tiff", ".jp2", ".jxl", ".psd", ".dng", ".cr2", ".nef"})  # fmt: skip
_FOREIGN_STARTS = (b"BM", b"II*\0", b"MM\0*", b"8BPS")
TABLE_LIKE = frozenset({".csv", ".tsv", ".jsonl", ".json", ".xlsx", ".xls", ".ods", ".numbers", ".xml"})
_HEAD_BYTES = 4096


def head_of(file: Path) -> bytes | str:
    """The first bytes of a regular file, or why there are none. A pipe would wait for ever."""
    try:
        with os.fdopen(os.open(file, os.O_RDONLY | os.O_NONBLOCK), "rb") as opened:
            if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                return "is not a regular file"
            return opened.read(_HEAD_BYTES)
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def has_columns(head: bytes) -> bool:
    """Whether a text begins with a line of columns, as Amazon's flat files do."""
    return head.partition(b"\n")[0].count(b"\t") > 1


def is_image(head: bytes) -> bool:
    """A photo in a format that we read."""
    try:
        sniff(head)
    except Poison:
        return False
    return True


def is_foreign(head: bytes) -> bool:
    """A photo in a format that we do not read: HEIC, AVIF, BMP, TIFF, Photoshop."""
    if head[4:8] == b"ftyp":
        return head[8:12] in {b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis"}
    return head.startswith(_FOREIGN_STARTS) and b"\0" in head


def why_not(head: bytes | str, suffix: str) -> str:
    """Why a file of these first bytes (or of which there are none, and why) is no product's photo."""
    if isinstance(head, str):
        return head
    if suffix in TABLE_LIKE:
        return "is not used: the tables that are read are called products.csv, .tsv, .jsonl or .xlsx"
    if not head:
        return "is not used: it is empty"
    try:
        sniff(head)
    except Poison as error:
        return f"is not used: {error.message}"
    return "is not used"


def is_utf8(file: Path) -> bool:
    """Whether its name can become an id."""
    try:
        str(file).encode()
    except UnicodeEncodeError:
        return False
    return True
