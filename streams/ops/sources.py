"""A folder of product photos → products to ingest, with the shop's metadata where a table lies beside them.

    photos/                         products.jsonl (or products.csv), one product a row:
      products.csv                    product_id or id   → the product's id
      dress-1.jpg                     image or file      → its photo, relative to the table's folder
      shoes/boot.webp                 everything else    → metadata (title, brand, price, fabric, any facet)

Without an image column a row belongs to the photo whose name is its id. A photo without a row keeps an id made of its
relative path ("shoes/boot"), the same at every run. What cannot be used is named in `rejected`, never skipped silently.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from processors.errors import Poison
from streams.ops.tables import TABLES, RejectedRow, Row, read_table

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
# Photos in formats that we do not read: the owner must hear of them. Any other file is none of our business.
FOREIGN_SUFFIXES = frozenset({".gif", ".heic", ".heif", ".avif", ".bmp", ".tif", ".tiff", ".jp2"})

Metadata: TypeAlias = Mapping[str, str | float]


@dataclass(frozen=True, slots=True)
class SourcePhoto:
    """One product to ingest. `metadata` holds strings, and `price` as a number."""

    product_id: str
    path: Path
    metadata: Metadata = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What a folder holds: products by id, and what was found unusable."""

    sources: tuple[SourcePhoto, ...]
    rejected: tuple[RejectedRow, ...]


def walk(path: Path) -> Catalogue:
    """Find the products of a folder (sub-folders included), or of a single image file.

    Hidden files and folders are left out, and links to folders are not followed (a link to a parent would never end).

    Raises:
        Poison: `path` does not exist, cannot be read, or is a file that is no image.
    """
    if path.is_file():
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            raise Poison(f"{path} is not a JPEG, PNG or WebP file", field="path")
        return Catalogue((SourcePhoto(path.stem, path),), ())
    if not path.is_dir():
        raise Poison(f"{path} does not exist", field="path")
    found = _Walk(path)
    found.collect()
    found.join_tables()
    found.name_the_rest()
    sources = sorted(found.sources.values(), key=lambda source: source.product_id)
    return Catalogue(tuple(sources), tuple(found.rejected))


@dataclass(slots=True)
class _Walk:
    """One walk under way."""

    root: Path
    images: dict[Path, None] = field(default_factory=dict)  # unclaimed, in order
    claimed: set[Path] = field(default_factory=set)
    tables: list[Path] = field(default_factory=list)
    sources: dict[str, SourcePhoto] = field(default_factory=dict)
    rejected: list[RejectedRow] = field(default_factory=list)

    def collect(self) -> None:
        """List images and tables, in an order that does not depend on the file system."""

        def unreadable(error: OSError) -> None:
            self.rejected.append(RejectedRow(self.shown(Path(error.filename)), f"cannot be read: {error.strerror}"))

        for folder, folders, files in os.walk(self.root, onerror=unreadable):
            folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
            for name in sorted(files):
                if not name.startswith("."):
                    self._sort_in(Path(folder) / name)

    def _sort_in(self, file: Path) -> None:
        suffix = file.suffix.lower()
        try:
            str(file).encode()
        except UnicodeEncodeError:
            # The name becomes a product id, and an id is UTF-8.
            if suffix in IMAGE_SUFFIXES:
                self.rejected.append(RejectedRow(self.shown(file), "the file's name is not UTF-8"))
            return
        if file.name in TABLES:
            self.tables.append(file)
        elif suffix in IMAGE_SUFFIXES:
            self.images[file] = None
        elif suffix in FOREIGN_SUFFIXES:
            self.rejected.append(RejectedRow(self.shown(file), f"{suffix[1:].upper()} is not JPEG, PNG or WebP"))

    def join_tables(self) -> None:
        """Give the rows of every table their photos; the deepest table knows its folder best."""
        for table in sorted(self.tables, key=lambda file: (-len(file.parts), file)):
            rows, bad = read_table(table, self.shown(table))
            self.rejected.extend(bad)
            stems = self._stems(table.parent)
            for row in rows:
                self._join(row, table.parent, stems)

    def _stems(self, folder: Path) -> dict[str, list[Path]]:
        stems: dict[str, list[Path]] = {}
        for image in self.images:
            if image.is_relative_to(folder):
                stems.setdefault(image.stem, []).append(image)
        return stems

    def _join(self, row: Row, folder: Path, stems: Mapping[str, list[Path]]) -> None:
        image = self._image_of(row, folder, stems)
        if isinstance(image, str):
            self.rejected.append(RejectedRow(row.where, image))
            return
        product_id = row.product_id or self._path_id(image)
        problem = row.problem
        if product_id in self.sources:
            problem = f"product {product_id!r} is in the table twice"
        elif image in self.claimed:
            problem = f"{self.shown(image)} belongs to another row already"
        # Taken out even when the row is bad: its photo must not come in again under another id.
        self.images.pop(image, None)
        self.claimed.add(image)
        if problem:
            self.rejected.append(RejectedRow(row.where, problem))
        else:
            self.sources[product_id] = SourcePhoto(product_id, image, row.metadata)

    def _image_of(self, row: Row, folder: Path, stems: Mapping[str, list[Path]]) -> Path | str:
        """The row's photo, or why it has none."""
        if row.image:
            # normpath, not resolve: a photo may be a link, but "../../" must not leave the folder.
            image = Path(os.path.normpath(folder / row.image))
            if not image.is_relative_to(self.root):
                return f"image {row.image!r} lies outside the folder"
            if image not in self.images and image not in self.claimed:
                return f"image {row.image!r} is not there, or is no JPEG, PNG or WebP"
            return image
        if not row.product_id:
            return "neither an id nor an image"
        # "a" or "a.jpg": some shops use the file's name as the id.
        images = stems.get(row.product_id) or stems.get(Path(row.product_id).stem, [])
        if len(images) == 1:
            return images[0]
        return f"{len(images) or 'no'} photo{'s are' if len(images) > 1 else ' is'} named {row.product_id!r}"

    def name_the_rest(self) -> None:
        """Photos without a row: their relative path is their id."""
        for image in self.images:
            product_id = self._path_id(image)
            if product_id in self.sources:
                # a.jpg and a.png: the later one keeps its suffix.
                product_id = self.shown(image)
            if product_id in self.sources:
                self.rejected.append(RejectedRow(self.shown(image), f"product {product_id!r} exists already"))
            else:
                self.sources[product_id] = SourcePhoto(product_id, image)

    def _path_id(self, image: Path) -> str:
        return image.relative_to(self.root).with_suffix("").as_posix()

    def shown(self, file: Path) -> str:
        """The path as it is shown and used in ids: relative, with forward slashes, printable."""
        name = file.relative_to(self.root).as_posix() if file.is_relative_to(self.root) else str(file)
        return name.encode(errors="replace").decode()


def iterate(catalogue: Catalogue) -> Iterator[tuple[str, Path, Metadata]]:
    """(product id, path, metadata) of every product, by id."""
    for source in catalogue.sources:
        yield source.product_id, source.path, source.metadata
