"""A shop's own table as truth: which value of each facet it gives each product, and which photo shows it."""

from __future__ import annotations

import gzip
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from models.yardsticks.photos import Photos
from processors.attributes import normalised
from processors.errors import Poison
from processors.facets import COLOUR
from processors.kinds import kind_label
from processors.vocabulary import clean
from streams.ops.tables import Row, read_table

COLUMNS: dict[str, tuple[str, ...]] = {
    "kind": ("kind", "articletype", "producttype", "category", "type", "subcategory"),
    "pattern": ("pattern", "print", "printorpatterntype"),
    "sleeve": ("sleeve", "sleeves", "sleevelength"),
    "neckline": ("neckline", "neck", "collar"),
    "length": ("length", "dresslength"),
    "gender": ("gender", "audience", "targetgender", "sex"),
    COLOUR: ("colour", "color", "basecolour", "basecolor", "colourname", "colorname"),
}
"""Facet → the columns, cleaned and without spaces, in which shops write it; the first that says something counts."""
BRAND = ("brand", "brandname", "vendor")


@dataclass(frozen=True, slots=True)
class Labelled:
    """One product: `labels` are values by facet, the known ones only; `photo` a path in the photos."""

    product_id: str
    photo: str
    brand: str
    category: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Table:
    """The products that can teach, and how many rows cannot, by reason. `mapped`: what the shop calls otherwise."""

    products: tuple[Labelled, ...]
    left_out: Mapping[str, int]
    mapped: Mapping[str, Mapping[str, str]]


def read_labelled(file: Path, photos: Photos) -> Table:
    """The labelled products of a table (CSV, TSV, JSON lines, Excel; `.gz` is unpacked) that have a photo.

    Raises:
        Poison: the table cannot be read, or no product of it has both a photo and a label.
    """
    rows, problem = _rows(file)
    if problem:
        raise Poison(f"{file}: {problem}", field="products")
    found: list[Labelled] = []
    left_out: Counter[str] = Counter()
    mapped: dict[str, dict[str, str]] = {}
    for row in rows:
        given = {clean(name).replace(" ", ""): str(value) for name, value in row.metadata.items()}
        labels = _labels(given, mapped)
        photo = (photos.find(row.image) if row.image else None) or (
            photos.find(row.product_id) if row.product_id else None
        )
        if row.problem:
            left_out["unreadable rows"] += 1
        elif photo is None:
            left_out["without a photo"] += 1
        elif not labels:
            left_out["without a label"] += 1
        else:
            brand = next((given[name] for name in BRAND if given.get(name)), "")
            category = next((given[name] for name in COLUMNS["kind"] if given.get(name)), "")
            found.append(Labelled(row.product_id or photo, photo, brand, category, labels))
    if not found:
        why = ", ".join(f"{count} {reason}" for reason, count in left_out.items()) or "it has no rows"
        raise Poison(f"{file}: no product has a photo and a label of a facet ({why})", field="products")
    return Table(tuple(found), dict(left_out), mapped)


def _rows(file: Path) -> tuple[list[Row], str]:
    if file.suffix != ".gz":
        return read_table(file, file.name)
    with tempfile.TemporaryDirectory(prefix="weft-facets-") as folder:
        plain = Path(folder) / file.stem
        try:
            plain.write_bytes(gzip.decompress(file.read_bytes()))
        except (OSError, EOFError, gzip.BadGzipFile) as error:
            return [], f"cannot be read: {getattr(error, 'strerror', None) or error}"
        return read_table(plain, file.name)


def _labels(given: Mapping[str, str], mapped: dict[str, dict[str, str]]) -> dict[str, str]:
    labels = {}
    for facet, columns in COLUMNS.items():
        for column in columns:
            said = given.get(column, "")
            value = label_of(facet, said)
            if value:
                labels[facet] = value
                if value != clean(said):
                    mapped.setdefault(facet, {})[said] = value
                break
    return labels


def label_of(facet: str, said: str) -> str:
    """The value of a label: as filters and captions read it; a colour keeps the shop's own word, a kind that is no known one too."""
    if not normalised(facet, said):
        return ""
    if facet == "kind":
        return kind_label(said)
    return clean(said) if facet == COLOUR else normalised(facet, said)
