"""Photos of a folder or of a zip file, found by the name that a table gives them, decoded as the engine decodes them."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TypeAlias, TypeVar

from processors.decode import Decoded, decode
from processors.errors import Poison

SERVING_SIDE = 1024
"""Longest side, in pixels, that the engine keeps of a photo (`streams.roles.enrich`)."""
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})

T = TypeVar("T")
Tick: TypeAlias = Callable[[int], None]
"""Called with how many items are done since the last call."""


def quietly(_done: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class UnreadableInput:
    """An input that could not be measured, and why."""

    name: str
    cause: str


@dataclass(frozen=True, slots=True)
class Picture:
    """One decoded photo; `digest` is the SHA-256 of its file's bytes."""

    decoded: Decoded
    digest: str


class Photos:
    """The photos below a folder, or in a zip file.

    Args:
        root: the folder, or the zip.
        inner: paths of the photos relative to it, as posix paths.
        read: gives the bytes of one of these.
    """

    def __init__(self, root: Path, inner: Sequence[str], read: Callable[[str], bytes]) -> None:
        self.root = root
        self._read = read
        self._whole = set(inner)
        self._by_name: dict[str, list[str]] = {}
        for path in inner:
            for name in {PurePosixPath(path).name, PurePosixPath(path).stem}:
                self._by_name.setdefault(name, []).append(path)

    @classmethod
    def open(cls, root: Path) -> Photos:
        """List a folder (sub-folders included) or a zip file. Raises `Poison` when it is neither, or without photos."""
        if root.is_dir():
            inner = [p.relative_to(root).as_posix() for p in sorted(root.rglob("*")) if _is_photo(p.name)]
            found = cls(root, inner, lambda path: (root / path).read_bytes())
        elif root.is_file() and zipfile.is_zipfile(root):
            archive = zipfile.ZipFile(root)
            found = cls(root, sorted(n for n in archive.namelist() if _is_photo(n)), archive.read)
        else:
            what = "is neither a folder nor a zip file" if root.exists() else "does not exist"
            raise Poison(f"{root} {what}: photos are looked for there")
        if not found._whole:
            raise Poison(f"{root} holds no JPEG, PNG or WebP photos")
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._whole))

    def find(self, name: str) -> str | None:
        """The path inside of the photo that a table calls `name`: its path, its file name, or its stem; None of none.

        Raises:
            Poison: several photos go by that name.
        """
        if name in self._whole:
            return name
        paths = self._by_name.get(name) or self._by_name.get(PurePosixPath(name).name) or []
        if len(paths) > 1:
            raise Poison(f"{self.root}: {name!r} is the name of {len(paths)} photos ({', '.join(paths[:3])})")
        return paths[0] if paths else None

    def bytes_of(self, path: str) -> bytes:
        """The bytes of one photo's file. Raises `Poison` naming it when it cannot be read."""
        try:
            return self._read(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise Poison(f"{self.root / path}: {error}") from error

    def load(self, path: str) -> Picture:
        """Decode one photo, as the engine does. Raises `Poison` naming it when it cannot be read."""
        try:
            data = self._read(path)
            return Picture(decode(data, max_side=SERVING_SIDE), hashlib.sha256(data).hexdigest())
        except (OSError, zipfile.BadZipFile, Poison) as error:
            raise Poison(f"{self.root / path}: {error}") from error


def load_all(photos: Photos, paths: Sequence[str], refused: list[UnreadableInput]) -> Iterator[tuple[int, Picture]]:
    """(index into `paths`, picture) of every photo that can be read, in order; the others are told in `refused`."""
    for index, path in enumerate(paths):
        try:
            yield index, photos.load(path)
        except Poison as error:
            refused.append(UnreadableInput(path, str(error)))


def in_batches(items: Iterator[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items, the last one shorter: a thousand decoded photos at once would not fit a small machine."""
    while batch := list(islice(items, size)):
        yield batch


def _is_photo(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
