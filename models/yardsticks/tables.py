"""The tables that yardsticks read: COCO, `labels.csv`, a folder of classes, `products.jsonl[.gz]`.

Whatever is wrong with one raises `Poison` with a sentence that names the file and the field.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from models.yardsticks.photos import Photos
from processors.errors import Poison


class CocoImage(msgspec.Struct, frozen=True):
    id: int | str
    file_name: str


class CocoBox(msgspec.Struct, frozen=True):
    """`bbox` is x, y, width, height in pixels; `iscrowd` marks a region in which nothing is judged."""

    image_id: int | str
    category_id: int
    bbox: tuple[float, float, float, float]
    iscrowd: int | bool = 0


class CocoCategory(msgspec.Struct, frozen=True):
    id: int
    name: str


class Coco(msgspec.Struct, frozen=True):
    """The parts of a COCO file (cocodataset.org/#format-data) that boxes need."""

    images: list[CocoImage]
    annotations: list[CocoBox]
    categories: list[CocoCategory]


class Labelled(NamedTuple):
    """One photo with its class. `box` (x0, y0, x1, y1): the part of it that is meant; None: all of it."""

    path: str
    label: str
    box: tuple[float, float, float, float] | None = None


def read_coco(file: Path) -> Coco:
    """Read and check a COCO file."""
    try:
        coco = msgspec.json.decode(_bytes(file), type=Coco)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Poison(f"{file} is no COCO file: {error}") from error
    if not coco.images:
        raise Poison(f"{file}: its list `images` is empty")
    _known(file, "image_id", [box.image_id for box in coco.annotations], {image.id for image in coco.images})
    _known(file, "category_id", [box.category_id for box in coco.annotations], {c.id for c in coco.categories})
    for number, box in enumerate(coco.annotations):
        if not (box.bbox[2] >= 0 and box.bbox[3] >= 0):
            raise Poison(f"{file}: annotations[{number}].bbox has a negative width or height: {box.bbox}")
    return coco


def _known(file: Path, field: str, used: list[Any], listed: set[Any]) -> None:
    for number, value in enumerate(used):
        if value not in listed:
            raise Poison(f"{file}: annotations[{number}].{field} is {value!r}, which the file does not list")


def read_labels(file: Path) -> list[tuple[str, str]]:
    """(image, label) of every row of a CSV with these columns."""
    text = _text(file)
    rows = csv.DictReader(io.StringIO(text, newline=""))
    for column in ("image", "label"):
        if column not in (rows.fieldnames or ()):
            raise Poison(f"{file} has no column {column!r}; it has {', '.join(rows.fieldnames or ('none',))}")
    found = []
    for row in rows:
        if not row["image"] or not row["label"]:
            raise Poison(f"{file}: line {rows.line_num} has no {'image' if not row['image'] else 'label'}")
        found.append((row["image"], row["label"]))
    if not found:
        raise Poison(f"{file} has no rows")
    return found


def read_products(file: Path) -> list[dict[str, Any]]:
    """The objects of a JSON-lines file, one product a line; `.gz` is unpacked."""
    found = []
    for number, line in enumerate(_text(file).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            product = msgspec.json.decode(line, type=dict[str, Any])
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise Poison(f"{file}: line {number} is no JSON object: {error}") from error
        if "id" not in product:
            raise Poison(f"{file}: line {number} has no field 'id'")
        found.append(product)
    if not found:
        raise Poison(f"{file} has no products")
    return found


def require_field(file: Path, products: list[dict[str, Any]], field: str) -> None:
    """Refuse a table none of whose products has `field`: a misspelt name must not look like an empty result."""
    if not any(product.get(field) for product in products):
        raise Poison(f"{file}: no product has a field {field!r}")


def read_labelled(source: Path, images: Path | None, field: str) -> tuple[Photos, list[Labelled], list[str]]:
    """Photos with their classes, from any of the four forms.

    Args:
        source: `labels.csv` (photos in `photos/` beside it), a folder of classes (`dress/1.jpg`), a COCO `.json`
            (each box is one garment), or `products.jsonl[.gz]`.
        images: folder or zip of the photos, where it is not the one above; COCO and products need it.
        field: for products, which field is the class.

    Returns:
        The photos, one entry a labelled photo, and the names that have no photo.
    """
    if source.is_dir():
        photos = Photos.open(source)
        found = [Labelled(path, Path(path).parent.as_posix()) for path in photos if "/" in path]
        if not found:
            raise Poison(f"{source} has no sub-folders with photos: one folder a class is expected")
        return photos, found, []
    if not source.is_file():
        raise Poison(f"{source} does not exist")
    name = source.name.removesuffix(".gz")
    if name.endswith(".csv"):
        photos = Photos.open(images or source.parent / "photos")
        entries = [(image, label, None) for image, label in read_labels(source)]
    elif name.endswith(".jsonl"):
        photos = Photos.open(_needed(images, source))
        products = read_products(source)
        require_field(source, products, field)
        entries = [(str(p["id"]), str(p[field]), None) for p in products if p.get(field)]
    elif name.endswith(".json"):
        photos = Photos.open(_needed(images, source))
        entries = list(_coco_entries(read_coco(source)))
    else:
        raise Poison(f"{source} is none of labels.csv, products.jsonl[.gz], a COCO .json or a folder of classes")
    return _placed(photos, entries)


def _coco_entries(coco: Coco) -> Iterator[tuple[str, str, Any]]:
    names = {category.id: category.name for category in coco.categories}
    files = {image.id: image.file_name for image in coco.images}
    for annotation in coco.annotations:
        if not annotation.iscrowd:
            x, y, width, height = annotation.bbox
            yield files[annotation.image_id], names[annotation.category_id], (x, y, x + width, y + height)


def _placed(photos: Photos, entries: list[tuple[str, str, Any]]) -> tuple[Photos, list[Labelled], list[str]]:
    placed, missing = [], []
    for name, label, box in entries:
        path = photos.find(name)
        if path is None:
            missing.append(name)
        else:
            placed.append(Labelled(path, label, box))
    if not placed:
        raise Poison(f"{photos.root} has none of the {len(entries)} photos, such as {missing[0]!r}")
    return photos, placed, list(dict.fromkeys(missing))


def _needed(images: Path | None, source: Path) -> Path:
    if images is None:
        raise Poison(f"{source} says nothing of where its photos are: give --images")
    return images


def _bytes(file: Path) -> bytes:
    try:
        data = file.read_bytes()
        return gzip.decompress(data) if file.suffix == ".gz" else data
    except (OSError, EOFError, gzip.BadGzipFile) as error:
        raise Poison(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _text(file: Path) -> str:
    try:
        return _bytes(file).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Poison(f"{file} is not UTF-8: {error.reason} at byte {error.start}") from error
