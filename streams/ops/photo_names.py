"""Which photo of a folder a table means: names differ in case, in how accents are composed, in how a path is written."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

# What ends a name that is no suffix ("dress.v2") stays a part of it.
_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".heic", ".heif", ".avif", ".bmp", ".tif", ".tiff"})  # fmt: skip


class PhotoNames:
    """The photos below a folder, by what they may be called."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._paths: dict[Path, None] = {}
        self._by_path: dict[str, list[Path]] = defaultdict(list)
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        self._by_stem: dict[str, list[Path]] = defaultdict(list)

    def add(self, photo: Path) -> None:
        """One more photo."""
        self._paths[photo] = None
        self._by_path[_key(photo.relative_to(self._root).as_posix())].append(photo)
        self._by_name[_key(photo.name)].append(photo)
        self._by_stem[_key(without_suffix(photo.name))].append(photo)

    def all(self) -> Iterator[Path]:
        """In the order in which they were added."""
        return iter(self._paths)

    def within(self, folder: Path) -> list[Path]:
        """Those below a folder."""
        return [photo for photo in self._paths if photo.is_relative_to(folder)]

    def named(self, image: str, folder: Path) -> list[Path]:
        """The photos that a table in `folder` may mean by a path, a file's name or an address; more than one is no answer."""
        if "://" in image:
            return self._some(self._by_name, name_in(image), folder)
        exact = Path(os.path.normpath(folder / image))
        if exact in self._paths:
            return [exact]
        for spelling in (image, unquote(image)):
            path = Path(os.path.normpath(folder / spelling))
            found = self._by_path.get(_key(path.relative_to(self._root).as_posix()), []) if self._holds(path) else []
            if not found and "/" not in spelling:
                found = self._some(self._by_name, spelling, folder)
            if found:
                return found
        return []

    def called(self, product_id: str, folder: Path) -> list[Path]:
        """The photos whose name is a product's id: "a" or "a.jpg"; those that are spelled alike go first."""
        for name in (product_id, without_suffix(product_id)):
            found = self._some(self._by_stem, name, folder)
            alike = [photo for photo in found if without_suffix(photo.name) == name]
            if found:
                return alike or found
        return []

    def like(self, word: str, folder: Path) -> list[Path]:
        """The photos that a word of a bad row may be about, whatever their suffix; with a folder in it, those of a folder of that name."""
        name = name_in(word)
        found = self._some(self._by_stem, without_suffix(name), folder) if name else []
        parent = _key(PurePosixPath(word).parent.name) if "://" not in word else ""
        if not parent or len(found) == 1:
            return found
        return [photo for photo in found if _key(photo.parent.name) == parent]

    def _some(self, table: Mapping[str, list[Path]], name: str, folder: Path) -> list[Path]:
        return [photo for photo in table.get(_key(name), []) if photo.is_relative_to(folder)]

    def _holds(self, path: Path) -> bool:
        return path.is_relative_to(self._root)


def name_in(text: str) -> str:
    """The file's name at the end of a path or an address: "https://cdn.test/a%20b.jpg?v=1" → "a b.jpg"."""
    text = text.strip()
    if "://" in text:
        try:
            text = unquote(urlsplit(text).path)
        except ValueError:
            return ""
    return PurePosixPath(text.replace("\\", "/")).name


def without_suffix(name: str) -> str:
    """A name without the suffix of an image format."""
    path = PurePosixPath(name)
    return name[: -len(path.suffix)] if path.suffix.lower() in _SUFFIXES else name


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
