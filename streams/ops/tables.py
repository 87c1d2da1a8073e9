"""The shop's tables: `products.csv` or `products.jsonl` → rows with an id, an image and metadata."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from infra.fetch import read_regular
from processors.errors import Poison, Retryable

TABLES = ("products.csv", "products.jsonl")
MAX_TABLE_BYTES = 256 * 2**20
ID_COLUMNS = ("product_id", "id", "sku")
IMAGE_COLUMNS = ("image", "file", "filename", "image_path", "photo")
# Other names for the typed fields of EVENTS.md.
_TYPED = {
    "title": "title", "name": "title", "product_name": "title", "productdisplayname": "title",
    "description": "description", "brand": "brand", "brandname": "brand", "gender": "gender", "fabric": "fabric",
    "category": "category", "price": "price",
}  # fmt: skip
_NOTHING = frozenset({"", "-", "na", "n/a", "null", "none", "nan"})


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """Something in the folder that cannot be used: where it stands ("products.csv line 3"), and why."""

    where: str
    cause: str


@dataclass(frozen=True, slots=True)
class Row:
    """One row. `problem` is "" for a good one; `product_id` and `image` may be "" each."""

    where: str
    product_id: str
    image: str
    metadata: Mapping[str, str | float] = field(default_factory=dict)
    problem: str = ""


def read_table(file: Path, shown: str) -> tuple[list[Row], list[RejectedRow]]:
    """All rows of a table, and those that are none.

    Args:
        file: `products.csv` (comma, semicolon or tab, first line names the columns) or `products.jsonl`; UTF-8.
        shown: how the file is called in messages.
    """
    try:
        text = read_regular(file, MAX_TABLE_BYTES, field="").decode("utf-8-sig")
    except (Poison, Retryable) as error:
        return [], [RejectedRow(shown, str(error))]
    except UnicodeDecodeError as error:
        return [], [RejectedRow(shown, f"is not UTF-8 (byte {error.start})")]
    rows: list[Row] = []
    rejected: list[RejectedRow] = []
    # An overlong cell is refused with its product, by the checks of an upload: not with its whole line, unnamed.
    longest = csv.field_size_limit(MAX_TABLE_BYTES)
    try:
        for where, cells in _csv(text, shown) if file.suffix == ".csv" else _jsonl(text, shown):
            if isinstance(cells, str):
                rejected.append(RejectedRow(where, cells))
            else:
                rows.append(_row(where, cells))
    finally:
        csv.field_size_limit(longest)
    return rows, rejected


def _csv(text: str, shown: str) -> Iterator[tuple[str, dict[str, Any] | str]]:
    """(where, cells by column) or (where, what is wrong)."""
    header = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns: list[str] | None = None
    while True:
        try:
            cells = next(lines)
        except StopIteration:
            return
        except csv.Error as error:  # this line is none; those after it may be
            yield f"{shown} line {lines.line_num}", f"is no CSV: {error}"
            continue
        where = f"{shown} line {lines.line_num}"
        if columns is None:
            columns = [name.strip() for name in cells]
            if not {name.lower() for name in columns} & {*ID_COLUMNS, *IMAGE_COLUMNS}:
                yield f"{shown} line 1", f"no column is called {', '.join((*ID_COLUMNS, *IMAGE_COLUMNS))}"
                return
        elif len(cells) > len(columns):
            yield where, f"{len(cells)} cells under {len(columns)} columns"
        elif any(cell.strip() for cell in cells):
            yield where, dict(zip(columns, cells, strict=False))


def _jsonl(text: str, shown: str) -> Iterator[tuple[str, dict[str, Any] | str]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            cells = msgspec.json.decode(line)
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            yield f"{shown} line {number}", f"is no JSON: {error}"
            continue
        yield f"{shown} line {number}", cells if isinstance(cells, dict) else "is no JSON object"


def _row(where: str, cells: Mapping[str, Any]) -> Row:
    flat = _flat(cells)
    named = {name.lower(): name for name in flat}
    id_column = next((named[c] for c in ID_COLUMNS if flat.get(named.get(c, ""))), "")
    image_column = next((named[c] for c in IMAGE_COLUMNS if flat.get(named.get(c, ""))), "")
    product_id, image = flat.pop(id_column, ""), flat.pop(image_column, "")
    metadata: dict[str, str | float] = {}
    problem = ""
    for name, value in flat.items():
        known = _TYPED.get(name.lower(), name)
        if known == "price":
            price = _price(value)
            if price is None:
                problem = f"price {value!r} is no number"
            else:
                metadata["price"] = price
        else:
            metadata.setdefault(known, value)
    return Row(where, product_id, image.replace("\\", "/"), metadata, problem)


def _flat(cells: Mapping[str, Any], *, nested: bool = False) -> dict[str, str]:
    """Cells as text, empty ones left out. Objects are opened one level deep ("attributes": {"Fabric": …})."""
    flat: dict[str, str] = {}
    inner: dict[str, str] = {}
    for name, value in cells.items():
        if isinstance(value, Mapping):
            inner |= {} if nested else _flat(value, nested=True)
            continue
        text = _text(value)
        if text.lower() not in _NOTHING and name.strip():
            flat[name.strip()] = text
    taken = {name.lower() for name in flat}
    return flat | {name: text for name, text in inner.items() if name.lower() not in taken}


def _text(value: object) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list):
        return ", ".join(text for item in value if (text := _text(item)))
    return ""


def _price(text: str) -> float | None:
    """A price ("79", "€ 1,299.00", "79,90") as a number; None when it is none."""
    match = re.fullmatch(r"[^\d,.-]*(\d[\d., ]*)[^\d,.]*", text)
    if match is None:
        return None
    digits = match.group(1).replace(" ", "").rstrip(".,")
    if re.fullmatch(r"\d{1,3}(?:\.\d{3})*,\d{1,2}|\d+,\d{1,2}", digits):  # 1.299,90
        digits = digits.replace(".", "").replace(",", ".")
    digits = digits.replace(",", "")
    try:
        price = float(digits)
    except ValueError:
        return None
    return price if math.isfinite(price) else None
