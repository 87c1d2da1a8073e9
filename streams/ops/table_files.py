"""The files of a shop's tables: CSV, TSV, JSON lines, Excel and XML, in the encodings that shops' programs write → cells by column."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from infra.fetch import read_regular
from processors.errors import Code, Poison, Retryable
from streams.ops.table_csv import Bad, Numbered, separated
from streams.ops.table_xml import read_items

MAX_TABLE_BYTES = 256 * 2**20
"""Of a table's file, and of what an Excel workbook unfolds to."""
SUFFIXES = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".xlsx", ".xml")
UNREAD_SUFFIXES = (".xls", ".xlsm", ".xlsb", ".ods", ".numbers", ".parquet")
"""Of tables that are named, and whose photos are left out: nobody knows their ids."""
# products.csv, Products.csv, products_export_1.csv (Shopify), products (2).csv (a second download)
_NAME = re.compile(r"products?(?:[ _-]?export)?(?:[ _-]?\(?\d+\)?)?")
_BOMS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\0\0", "utf-32"),  # before UTF-16's, which it begins with
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)

_MOJIBAKE = re.compile(r"[ÂÃÄÅâ][\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]")
# What other encodings look like when they are read as Windows-1252: Cyrillic as words of accented letters only, Polish with
# signs within words, a Mac's umlauts as capitals within words.
_MISREAD_WORD = re.compile(r"[À-ÿŠŒŽšœžŸƒˆ¨¸¹³¿]{4,}")
_MISREAD_LETTER = re.compile(r"[^\W\d_][³¹¿£¥][a-zß-ÿ]|[a-zß-ÿ][ŸŠŽ][a-zß-ÿ]")
_FOREIGN_LETTER = re.compile(r"[\x80-\uffff]")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table: its cells by column, or `problem`, and then the `raw` words that stand in it."""

    where: str
    cells: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""
    raw: tuple[str, ...] = ()


def is_table(name: str) -> bool:
    """Whether a file of this name is the table of its folder, in a form that is read or not."""
    path = Path(name.casefold())
    return path.suffix in (*SUFFIXES, *UNREAD_SUFFIXES) and _NAME.fullmatch(path.stem) is not None


def is_feed(name: str) -> bool:
    """Whether a file that was named outright may be a table, whatever it is called."""
    return Path(name.casefold().removesuffix(".gz")).suffix in (*SUFFIXES, *UNREAD_SUFFIXES)


def read_lines(file: Path, shown: str, columns: frozenset[str]) -> Iterator[Line]:
    """The lines of a table, in order.

    Args:
        file: the table.
        shown: how it is called in messages.
        columns: canonical names (`canonical`) of which it must have one.

    Raises:
        Poison: the table as a whole cannot be used.
        Retryable: the disk is in trouble.
    """
    packed = file.suffix.casefold() == ".gz"
    suffix = Path(file.stem if packed else file.name).suffix.casefold()
    if suffix in UNREAD_SUFFIXES:
        raise Poison(f"is a table in a form that is not read: save it as one of {', '.join(SUFFIXES)}")
    data = read_regular(file, MAX_TABLE_BYTES, field="")
    data = _unpacked(data) if packed else data
    if suffix == ".xlsx":
        return _by_column(_workbook(data, columns), f"{shown} row", columns)
    if suffix == ".xml":
        return (Line(f"{shown} item {number}", cells) for number, cells in read_items(data))
    text = _text(data)
    if suffix == ".jsonl":
        return _json_lines(text, shown)
    if suffix == ".json":
        return _json_list(text, shown)
    return _by_column(separated(text, lambda name: canonical(name) in columns), f"{shown} line", columns)


def words_of(file: Path) -> frozenset[str]:
    """What stands in the cells of a table of whatever columns, to tell which photos it may be about; none where it cannot be read."""
    try:
        data = read_regular(file, MAX_TABLE_BYTES, field="")
        if file.suffix.casefold() not in (".xlsx", ".ods"):
            return frozenset(word.strip() for word in re.split(r'[,;|"\t\r\n{}\[\]]+', _text(data)))
        with zipfile.ZipFile(io.BytesIO(data)) as book:
            parts = [
                info
                for info in book.infolist()
                if info.filename.endswith((".xml",)) and info.file_size < MAX_TABLE_BYTES // 8
            ]
            text = " ".join(book.read(part).decode("utf-8", "replace") for part in parts[:64])
        return frozenset(word.strip() for word in re.split(r"[<>]+", text))
    except (Poison, Retryable, zipfile.BadZipFile, zlib.error, OSError, RuntimeError, NotImplementedError):
        return frozenset()


def _unpacked(data: bytes) -> bytes:
    """What a gzip file holds; no more of it than a table may have."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        unfolded = unpacker.decompress(data, MAX_TABLE_BYTES + 1)
    except zlib.error as error:
        raise Poison(f"is no gzip file: {error}", code=Code.MALFORMED) from None
    if len(unfolded) > MAX_TABLE_BYTES:
        raise Poison(f"unfolds to more than {MAX_TABLE_BYTES:,} bytes", code=Code.OUT_OF_RANGE)
    if not unpacker.eof:
        raise Poison("is a gzip file that ends too early", code=Code.MALFORMED)
    return unfolded


def encoding_of(data: bytes) -> str:
    """By its mark, by the zero bytes of UTF-16, else UTF-8 where it is that, else the one of Windows in the West."""
    for bom, name in _BOMS:
        if data.startswith(bom):
            return name
    start = data[:4096]
    for name in ("utf-16-le", "utf-16-be") if 0 in start else ():
        # Of a table in another alphabet only the marks and the column names have zero bytes.
        header = start.decode(name, "ignore").partition("\n")[0]
        if set(header) & set(",;\t|") and 4 * sum(map(str.isascii, header)) > len(header):
            return name
    if start.count(0) > len(start) // 4:
        return "utf-16-le" if start[1::2].count(0) > start[::2].count(0) else "utf-16-be"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def canonical(column: str) -> str:
    """A column's name in one spelling: "g:Image Link", "image_link" and "Image-Link" are the same."""
    name = column.strip().casefold().removeprefix("g:")
    return re.sub(r"[\W_]+", "_", name).strip("_")


def _text(data: bytes) -> str:
    encoding = encoding_of(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise Poison(f"is neither UTF-8 nor {encoding} (byte {error.start})", code=Code.MALFORMED) from None
    # UTF-8 read as Windows-1252 has pairs like "Ã¤": a file that was UTF-8 but for a damaged byte would come in garbled.
    if encoding == "cp1252" and len(_MOJIBAKE.findall(text)) > len(_FOREIGN_LETTER.findall(text)) // 4:
        raise Poison("is UTF-8 with damaged bytes in it", code=Code.MALFORMED)
    if encoding == "cp1252" and _is_misread(text):
        raise Poison("is neither UTF-8 nor Windows-1252: save it as UTF-8", code=Code.MALFORMED)
    return text


def _is_misread(text: str) -> bool:
    """Whether a text was written in another encoding than Windows-1252; its titles would come in as other letters."""
    words = sum(len(word) for word in _MISREAD_WORD.findall(text))
    foreign = len(_FOREIGN_LETTER.findall(text))
    return 2 * words > foreign or 10 * len(_MISREAD_LETTER.findall(text)) > foreign


def _by_column(rows: Numbered, place: str, columns: frozenset[str]) -> Iterator[Line]:
    names: list[str] | None = None
    for number, cells in rows:
        where = f"{place} {number}"
        if isinstance(cells, Bad):
            yield Line(where, problem=cells.problem, raw=cells.raw)
            continue
        filled = [cell for cell in cells if not _is_empty(cell)]
        if not filled:
            continue
        if names is None:
            names = [str(cell or "").strip() for cell in cells]
            if not columns & {canonical(name) for name in names}:
                raise Poison(f"no column is called {', '.join(sorted(columns))}", code=Code.MISSING_FIELD)
        elif any(not _is_empty(cell) for cell in cells[len(names) :]):
            problem = f"{len(cells)} cells under {len(names)} columns"
            yield Line(where, problem=problem, raw=tuple(str(cell) for cell in filled))
        else:
            yield Line(where, _cells(names, cells, columns))
    if names is None:  # cut off, or saved before it was filled: what its photos are called nobody knows
        raise Poison("is empty", code=Code.MALFORMED)


def _cells(names: Sequence[str], values: Sequence[Any], columns: frozenset[str]) -> dict[str, Any]:
    """Cells by column. Of columns with one name the first filled cell counts; those that tell photos are numbered ("image 2")."""
    cells: dict[str, Any] = {}
    for name, value in zip(names, values, strict=False):
        if _is_empty(cells.get(name)):
            cells[name] = value
        elif not _is_empty(value) and canonical(name) in columns:
            number = next(n for n in range(2, len(names) + 2) if f"{name} {n}" not in cells)
            cells[f"{name} {number}"] = value
    return cells


def _is_empty(cell: object) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())


def _json_lines(text: str, shown: str) -> Iterator[Line]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where, raw = f"{shown} line {number}", tuple(re.findall(r'[^",:{}\[\]]+', line[:10_000]))
        try:
            cells = msgspec.json.decode(line)
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            yield Line(where, problem=f"is no JSON: {error}", raw=raw)
            continue
        yield Line(where, cells) if isinstance(cells, dict) else Line(where, problem="is no JSON object", raw=raw)


def _json_list(text: str, shown: str) -> Iterator[Line]:
    """A list of objects, or an object that holds one list."""
    try:
        document = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise Poison(f"is no JSON: {error}", code=Code.MALFORMED) from error
    lists = (
        [value for value in document.values() if isinstance(value, list)] if isinstance(document, dict) else [document]
    )
    if len(lists) != 1 or not isinstance(lists[0], list):
        raise Poison("is no list of products", code=Code.MALFORMED)
    for number, cells in enumerate(lists[0], start=1):
        where = f"{shown} item {number}"
        yield (
            Line(where, cells)
            if isinstance(cells, dict)
            else Line(where, problem="is no JSON object", raw=(str(cells),))
        )


def _workbook(data: bytes, columns: frozenset[str]) -> Numbered:
    """(row, cells) of the first sheet whose first filled row names one of `columns`, else of the first sheet."""
    from openpyxl import load_workbook

    if data.startswith(b"\xd0\xcf\x11\xe0"):
        raise Poison("is an old workbook or one with a password: save it as .xlsx without one", code=Code.MALFORMED)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unfolded = sum(entry.file_size for entry in archive.infolist())
        if unfolded > MAX_TABLE_BYTES:
            raise Poison(f"unfolds to {unfolded:,} bytes, more than {MAX_TABLE_BYTES:,}", code=Code.OUT_OF_RANGE)
        # Read-only: row by row, and the values that Excel computed last instead of formulas.
        book = load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
        sheets = list(book.worksheets)
        chosen = next((sheet for sheet in sheets if columns & _header(sheet)), sheets[0])
        yield from enumerate(chosen.iter_rows(values_only=True), start=1)
    except (Poison, GeneratorExit):
        raise
    except Exception as error:  # a broken workbook makes its reader raise anything
        raise Poison(f"is no Excel workbook that can be read ({type(error).__name__})", code=Code.MALFORMED) from error


def _header(sheet: Any) -> set[str]:
    for row in sheet.iter_rows(max_row=20, values_only=True):
        if any(not _is_empty(cell) for cell in row):
            return {canonical(str(cell or "")) for cell in row}
    return set()
