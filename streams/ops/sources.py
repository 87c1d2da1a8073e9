"""A folder of product photos → products to ingest, with the shop's metadata where a table lies beside them.

    photos/                         products.csv, .tsv, .jsonl or .xlsx, one product a row:
      products.csv                    product_id or id   → the product's id
      dress-1.jpg                     image or file      → its photo, relative to the table's folder
      shoes/boot.webp                 everything else    → metadata (title, brand, price, fabric, any facet)

Further columns (image_2, additional_image_link), further rows of the same id, and a folder that a row names have further
photos of its product. Without an image column a row belongs to the photo, or the folder, whose name is its id. A photo of which no row speaks keeps an id made of
its relative path ("shoes/boot"), the same at every run; one whose row is bad, or fits several photos, does not come in
at all. What is not used is named in `rejected` or `noted`, never skipped silently.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from processors.errors import Poison
from processors.image_header import sniff
from processors.photo_roles import MAX_PHOTOS
from streams.ops.file_kinds import (
    FOREIGN_SUFFIXES,
    IMAGE_SUFFIXES,
    TABLE_LIKE,
    has_columns,
    head_of,
    is_foreign,
    is_image,
    is_utf8,
    why_not,
)
from streams.ops.photo_names import PhotoNames, name_in, without_suffix
from streams.ops.price_lists import is_price_list, updates_in
from streams.ops.table_files import is_feed, is_table, words_of
from streams.ops.tables import Option, RejectedRow, Row, read_table

# Previews and waste that a NAS or an operating system keeps beside the photos: nobody's products.
_THUMBNAIL_FOLDERS = frozenset({"@eadir", "__macosx", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "$recycle.bin", "lost+found", "system volume information"})  # fmt: skip
_THUMBNAIL_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})

Metadata: TypeAlias = Mapping[str, str | float]


@dataclass(frozen=True, slots=True)
class SourcePhoto:
    """One product to ingest. `metadata` holds strings, and `price` as a number.

    Its photo is a file, or (of a feed) lies at an `address` of somebody's host: then `path` is None. With neither it is an update
    of columns (`streams.ops.price_lists`). `further`: files and
    addresses of its other photos. `equal`: they came as a folder, of which none is named the product's image. `roles`: what photos
    show, where the row says so.
    """

    product_id: str
    path: Path | None
    metadata: Metadata = field(default_factory=dict)
    address: str = ""
    further: tuple[Path | str, ...] = ()
    equal: bool = False
    roles: Mapping[Path | str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What a folder holds: products by id; what is a product and cannot be used; and what was left out beside them."""

    sources: tuple[SourcePhoto, ...]
    rejected: tuple[RejectedRow, ...]
    noted: tuple[RejectedRow, ...] = ()


def walk(path: Path, *, by_folder: bool = False, updates: bool = False) -> Catalogue:
    """Find the products of a folder (sub-folders included), of a feed (a table of any name), or of a single image file.

    Formats go by the files' bytes. The photos of a feed lie beside it, or at the `https://` addresses that it names; photos
    of which it does not speak are no products.

    With `by_folder` each folder below `path` that photos lie in is one product, with all of them.

    With `updates` a feed of nothing but ids, prices, stock, sizes and launch days, of whose products no photo lies beside it, is a
    list of updates.

    Hidden files and folders, and the previews of NAS systems, are left out; links to folders are not followed (a link to a
    parent would never end).

    Raises:
        Poison: `path` does not exist, cannot be read, or is a file that is no image.
    """
    if path.is_file():
        head = head_of(path)
        if isinstance(head, str):
            raise Poison(f"{path}: {head}", field="path")
        if path.suffix.lower() not in IMAGE_SUFFIXES or is_table(path.name):
            try:
                sniff(head)
            except Poison as error:
                if is_feed(path.name):
                    return _feed(path, updates=updates)
                raise Poison(f"{path}: {error.message}", field="path") from None
        return Catalogue((SourcePhoto(without_suffix(path.name), path),), ())
    if not path.is_dir():
        raise Poison(f"{path} does not exist", field="path")
    found = _Walk(path)
    found.collect()
    found.join_tables()
    if by_folder:
        found.join_folders()
    found.name_the_rest()
    sources = sorted(found.sources.values(), key=lambda source: source.product_id)
    return Catalogue(tuple(sources), tuple(found.rejected), tuple(found.noted))


def _feed(path: Path, *, updates: bool) -> Catalogue:
    """The products of a table of any name.

    Raises:
        Poison: the table as a whole cannot be used.
    """
    rows, problem = read_table(path, path.name)
    if problem or not rows:
        raise Poison(f"{path}: {problem or 'holds no products'}", field="path")
    found = _Walk(path.parent, addresses=True)
    if any("://" not in row.image for row in rows if not row.problem):
        found.collect()
        found.tables.clear()
    # What else lies in the folder is not what was asked about.
    found.rejected, found.noted = [], []
    found.join(rows, path.parent)
    if updates and is_price_list(rows):
        if not found.sources:
            return _updates(rows)
        cause = (
            "gives prices and stock alone, and photos of its products lie beside it: each row replaces all that was said of"
            " its product; to change prices alone, move it away from the photos"
        )
        found.noted.append(RejectedRow(path.name, cause))
    sources = sorted(found.sources.values(), key=lambda source: source.product_id)
    return Catalogue(tuple(sources), tuple(found.rejected), tuple(found.noted))


def _updates(rows: Sequence[Row]) -> Catalogue:
    found, rejected = updates_in(rows)
    noted = [RejectedRow(row.where, note) for row in found.values() for note in row.notes]
    sources = [SourcePhoto(product, None, row.metadata) for product, row in sorted(found.items())]
    return Catalogue(tuple(sources), tuple(rejected), tuple(noted))


@dataclass(slots=True)
class _Walk:
    """One walk under way. `addresses`: whether a photo may lie at an address of another host."""

    root: Path
    addresses: bool = False
    photos: PhotoNames = field(init=False)
    claimed: set[Path] = field(default_factory=set)
    held: dict[Path, str] = field(default_factory=dict)
    """Photos whose row is bad, and where it stands ("" where they were named already): another row may still name them,
    but they never come in under their own name."""
    tables: list[Path] = field(default_factory=list)
    unnamed: list[Path] = field(default_factory=list)
    """Tables that are called otherwise (`Artikel.csv`): a shop's catalogue, or anything else."""
    ids: set[str] = field(default_factory=set)
    tables_of: dict[str, str] = field(default_factory=dict)
    options: dict[str, list[Option]] = field(default_factory=dict)
    sources: dict[str, SourcePhoto] = field(default_factory=dict)
    rejected: list[RejectedRow] = field(default_factory=list)
    noted: list[RejectedRow] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.photos = PhotoNames(self.root)

    def collect(self) -> None:
        """List images and tables, in an order that does not depend on the file system."""

        def unreadable(error: OSError) -> None:
            self.rejected.append(RejectedRow(self.shown(Path(error.filename)), f"cannot be read: {error.strerror}"))

        for folder, folders, files in os.walk(self.root, onerror=unreadable):
            folders[:] = sorted(n for n in folders if not n.startswith(".") and n.casefold() not in _THUMBNAIL_FOLDERS)
            for name in sorted(files):
                if not name.startswith(".") and name.casefold() not in _THUMBNAIL_FILES:
                    self._sort_in(Path(folder) / name)

    def _sort_in(self, file: Path) -> None:
        suffix = file.suffix.lower()
        if is_table(file.name) and suffix != ".txt":
            self.tables.append(file)
            return
        head = head_of(file)
        is_photo = suffix in IMAGE_SUFFIXES or (isinstance(head, bytes) and is_image(head))
        if is_photo and not is_utf8(file):
            self.rejected.append(RejectedRow(self.shown(file), "the file's name is not UTF-8"))  # it becomes an id
        elif is_photo:
            self.photos.add(file)
        elif suffix in FOREIGN_SUFFIXES or (isinstance(head, bytes) and is_foreign(head)):
            kind = suffix[1:].upper() if suffix in FOREIGN_SUFFIXES else "its format"
            self.rejected.append(RejectedRow(self.shown(file), f"{kind} is not JPEG, PNG, WebP or GIF"))
        elif is_table(file.name):
            self.tables.append(file)
        elif isinstance(head, bytes) and (suffix in TABLE_LIKE or (suffix == ".txt" and has_columns(head))):
            self.unnamed.append(file)
        else:
            self.noted.append(RejectedRow(self.shown(file), why_not(head, suffix)))

    def join_tables(self) -> None:
        """Give the rows of every table their photos; the deepest table knows its folder best."""
        unusable: list[tuple[Path, str]] = []
        self._adopt()
        for table in sorted(self.tables, key=lambda file: (-len(file.parts), file)):
            rows, problem = read_table(table, self.shown(table))
            if problem:
                unusable.append((table, problem))
            self.join(rows, table.parent)
        for table, problem in unusable:
            self._hold_all_beside(table, problem)
        for table in self.unnamed:
            self._hold_named_in(table)

    def _adopt(self) -> None:
        """In a folder without a `products` table, the one table that gives ids to photos of the folder is its table, whatever it is called."""
        ruled = {table.parent for table in self.tables}
        folders = {table.parent for table in self.unnamed} - ruled
        for folder in folders:
            fitting = [table for table in self.unnamed if table.parent == folder and self._fits(table)]
            if len(fitting) == 1:
                self.tables += fitting
                self.unnamed.remove(fitting[0])

    def _fits(self, table: Path) -> bool:
        rows, _ = read_table(table, self.shown(table))
        good = [row for row in rows if not row.problem and row.product_id and row.image]
        return any(isinstance(self._photos_of(row, table.parent), list) for row in good)

    def _hold_named_in(self, table: Path) -> None:
        """A photo that stands in a table that is not read has a row, which did not join: its file's name is no id of the shop's."""
        named = [word for word in words_of(table) if without_suffix(name_in(word)) != name_in(word)]
        photos = {photo for word in named for photo in self.photos.named(name_in(word), table.parent)}
        left = sorted(photo for photo in photos if photo not in self.claimed and photo not in self.held)
        if not left:
            self.noted.append(RejectedRow(self.shown(table), why_not(b"", table.suffix.lower())))
            return
        self.held.update(dict.fromkeys(left, ""))
        cause = (
            f"is not used, and names photos ({len(left)}: {self.shown(left[0])} …), which are left out: call it products"
            f"{table.suffix} and its columns product_id and image, or move it away"
        )
        self.rejected.append(RejectedRow(self.shown(table), cause))

    def join(self, rows: Iterable[Row], folder: Path) -> None:
        """Give the rows of a table in `folder` their photos."""
        for row in rows:
            self._join(row, folder)

    def _hold_all_beside(self, table: Path, problem: str) -> None:
        """Nobody knows what the shop calls the photos of a table that cannot be read; their files' names it is not."""
        left = [p for p in self.photos.within(table.parent) if p not in self.claimed and p not in self.held]
        self.held.update(dict.fromkeys(left, ""))
        if left:
            problem += (
                f"; its photos ({len(left)}: {self.shown(left[0])} …) are left out: mend the table, or move it away"
            )
        self.rejected.append(RejectedRow(self.shown(table), problem))

    def _join(self, row: Row, folder: Path) -> None:
        if row.problem:
            self._refuse(row, folder, row.problem)
            return
        found = self._photos_of(row, folder)
        if row.product_id in self.sources and self._continues(row):
            # Further photos (and, of Shopify, sizes) of the product above.
            self._add_option(row)
            self._add_further(row, folder, row.product_id, (row.image, *row.further))
            return
        if row.continues and row.product_id in self.ids:
            return  # sizes of a product that was refused
        self.ids.add(row.product_id)
        if self.addresses and row.product_id and row.image.startswith("https://") and isinstance(found, str):
            self._at_address(row, folder)
            return
        if isinstance(found, str):
            within = self._folder_of(row, folder)
            if within:
                self._join_folder(row, within)
            else:
                self._refuse(row, folder, found)
            return
        if len(found) > 1:
            names = ", ".join(self.shown(image) for image in found[:3])
            self._refuse(row, folder, f"{len(found)} photos are named {row.image or row.product_id!r} ({names})", found)
            return
        (image,) = found
        product_id = row.product_id or self._path_id(image)
        if product_id in self.sources:
            self._refuse(row, folder, f"product {product_id!r} is in the table twice", found)
        elif image in self.claimed and not (self.addresses and row.product_id and row.image):
            self._refuse(row, folder, f"{self.shown(image)} belongs to another row already", found)
        else:
            self.claimed.add(image)
            self._take(row, SourcePhoto(product_id, image, row.metadata, roles=_role(row, row.image, image)))
            self._add_further(row, folder, product_id, row.further)

    def _at_address(self, row: Row, folder: Path) -> None:
        """A product whose photo the engine fetches."""
        if row.product_id in self.sources:
            self._refuse(row, folder, f"product {row.product_id!r} is in the table twice")
            return
        roles = _role(row, row.image, row.image)
        self._take(row, SourcePhoto(row.product_id, None, row.metadata, row.image, roles=roles))
        self._add_further(row, folder, row.product_id, row.further)

    def _take(self, row: Row, source: SourcePhoto) -> None:
        self.sources[source.product_id] = source
        self.tables_of[source.product_id] = row.table
        self.options[source.product_id] = [] if row.option is None else [row.option]
        self.noted.extend(RejectedRow(row.where, note) for note in row.notes)

    def _continues(self, row: Row) -> bool:
        """Whether a row has further photos of a product of the same table: it says nothing else of it."""
        if self.tables_of.get(row.product_id) != row.table:
            return False
        said = self.sources[row.product_id].metadata
        return row.continues or (
            bool(row.image) and all(said.get(n, value) == value for n, value in row.metadata.items())
        )

    def _add_option(self, row: Row) -> None:
        """One more size: those that are there count, or all where none is."""
        options = self.options.setdefault(row.product_id, [])
        if row.option is None:
            return
        options.append(row.option)
        there = [option for option in options if option.in_stock is not False]
        source = self.sources[row.product_id]
        metadata = {**source.metadata, "sizes": ", ".join(dict.fromkeys(o.size for o in there or options))}
        if any(option.in_stock is not None for option in options):
            metadata["in_stock"] = "true" if there else "false"
        self.sources[row.product_id] = replace(source, metadata=metadata)

    def _add_further(self, row: Row, folder: Path, product_id: str, images: Iterable[str]) -> None:
        """Photos beside the first; what cannot be used of them is named, and costs nothing else."""
        for image in (image for image in images if image):
            source = self.sources[product_id]
            found = self.photos.named(image, folder)
            fetched = self.addresses and image.startswith("https://")
            place: Path | str = found[0] if len(found) == 1 else image
            if place in (source.path, source.address, *source.further):
                continue
            cause = ""
            if isinstance(place, str) and not fetched:
                cause = f"{len(found)} photos are named {image!r}" if found else _not_there(image)
            elif place in self.claimed and not self.addresses:
                cause = f"{self.shown(found[0])} belongs to another row already"
            elif len(source.further) + 1 >= MAX_PHOTOS:
                cause = f"{image!r} is left out: more than {MAX_PHOTOS} photos of {product_id!r}"
            if cause:
                self.noted.append(RejectedRow(row.where, cause))
                self.held.update((photo, "") for photo in found if photo not in self.claimed)
                continue
            self.claimed.update(found)
            roles = {**source.roles, **_role(row, image, place)}
            self.sources[product_id] = replace(source, further=(*source.further, place), roles=roles)

    def _folder_of(self, row: Row, folder: Path) -> list[Path]:
        """The photos of the folder that a row names, by its image or its id; none where it names none."""
        name = row.image or row.product_id
        there = Path(os.path.normpath(folder / name)) if name and "://" not in name else None
        if there is None or there == folder or not there.is_relative_to(self.root):
            return []
        return [photo for photo in self.photos.within(there) if photo not in self.claimed]

    def _join_folder(self, row: Row, photos: Sequence[Path]) -> None:
        product_id = row.product_id or self.shown(photos[0].parent)
        if product_id in self.sources:
            self._refuse(row, photos[0].parent, f"product {product_id!r} is in the table twice", photos)
            return
        self._take(row, self._of_folder(product_id, photos, row.metadata))

    def _of_folder(self, product_id: str, photos: Sequence[Path], metadata: Metadata) -> SourcePhoto:
        first, *further = photos[:MAX_PHOTOS]
        for photo in photos[MAX_PHOTOS:]:
            cause = f"is left out: more than {MAX_PHOTOS} photos of {product_id!r}"
            self.noted.append(RejectedRow(self.shown(photo), cause))
        self.claimed.update(photos)
        return SourcePhoto(product_id, first, metadata, further=tuple(further), equal=True)

    def join_folders(self) -> None:
        """Each folder with photos that no row speaks of is a product; those beside the tables at the top are not of one."""
        folders: dict[Path, list[Path]] = {}
        for photo in self.photos.all():
            if photo not in self.claimed and photo not in self.held and photo.parent != self.root:
                folders.setdefault(photo.parent, []).append(photo)
        for folder, photos in folders.items():
            product_id = unicodedata.normalize("NFC", folder.relative_to(self.root).as_posix())
            if product_id not in self.sources:
                self.sources[product_id] = self._of_folder(product_id, photos, {})

    def _refuse(self, row: Row, folder: Path, cause: str, photos: Iterable[Path] = ()) -> None:
        """Name a row that did not join, and hold back the photos that it may have been about."""
        words = (row.image, row.product_id, *row.raw)
        self.rejected.append(RejectedRow(row.where, cause, words))
        for photo in (*photos, *(photo for word in words for photo in self.photos.like(word, folder))):
            self.held.setdefault(photo, row.where)

    def _photos_of(self, row: Row, folder: Path) -> list[Path] | str:
        """The photos that may be the row's, or why there is none."""
        if row.image:
            # normpath, not resolve: a photo may be a link, but "../../" must not leave the folder.
            if "://" not in row.image and not Path(os.path.normpath(folder / row.image)).is_relative_to(self.root):
                # Of another machine's path ("/a/_/a.jpg" of Magento) the file's name counts, as of an address.
                named = self.photos.named(name_in(row.image), folder) if row.image.startswith("/") else []
                return named or f"image {row.image!r} lies outside the folder"
            return self.photos.named(row.image, folder) or _not_there(row.image)
        if not row.product_id:
            return "neither an id nor an image"
        return self.photos.called(row.product_id, folder) or f"no photo is named {row.product_id!r}"

    def name_the_rest(self) -> None:
        """Photos without a row: their relative path is their id."""
        for image in self.photos.all():
            if image in self.claimed:
                continue
            if image in self.held:
                if self.held[image]:
                    cause = f"is not used: {self.held[image]} may be about it, and is refused"
                    self.noted.append(RejectedRow(self.shown(image), cause))
                continue
            product_id = self._path_id(image)
            if product_id in self.sources:
                # a.jpg and a.png: the later one keeps its suffix.
                product_id = self.shown(image)
            if product_id in self.sources:
                self.rejected.append(RejectedRow(self.shown(image), f"product {product_id!r} exists already"))
            else:
                self.sources[product_id] = SourcePhoto(product_id, image)

    def _path_id(self, image: Path) -> str:
        # One form of accents, so that a Mac's folder and its copy elsewhere give the same products.
        return unicodedata.normalize("NFC", without_suffix(image.relative_to(self.root).as_posix()))

    def shown(self, file: Path) -> str:
        """The path as it is shown and used in ids: relative, with forward slashes, printable."""
        name = file.relative_to(self.root).as_posix() if file.is_relative_to(self.root) else str(file)
        return name.encode(errors="replace").decode()


def _role(row: Row, image: str, place: Path | str) -> Mapping[Path | str, str]:
    """What the row says that this photo shows."""
    return {place: row.roles[image]} if image in row.roles else {}


def _not_there(image: str) -> str:
    if "://" in image:
        return f"{name_in(image)!r} of the address {image[:200]!r} is not there: put the photo beside the table"
    return f"image {image!r} is not there, or is no JPEG, PNG, WebP or GIF"
