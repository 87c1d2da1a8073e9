"""What the commands print: records as JSON on stdout for programs, tables for people; progress and logs on stderr."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable, Sequence

import msgspec
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from processors.identity import key_of
from streams.contract.records import Caption, Record, Result

out = Console(file=None, highlight=False, soft_wrap=False)
err = Console(stderr=True, highlight=False)


def print_json(value: object) -> None:
    """One JSON document on one line of stdout, flushed, so that a pipe reader sees it at once."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def printable(text: str) -> str:
    """`text` without characters that a terminal obeys (a product's name may hold any); line breaks and tabs stay."""
    return "".join(c if c in "\n\t" or not _obeyed(c) else f"\\x{ord(c):02x}" for c in text)


def _obeyed(character: str) -> bool:
    """Control characters, and those that turn the direction of writing around."""
    return unicodedata.category(character) == "Cc" or character in _TURNS


_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def shown(value: object) -> str:
    """Anything as a cell or a line: printable, and its brackets no markup."""
    return escape(printable(str(value)))


def say(text: str) -> None:
    """A line of progress, on stderr."""
    # A path that is broken over two lines cannot be copied.
    err.print(shown(text), soft_wrap=True)


def new_table(*headers: str, ids: Sequence[str] = (), title: str | None = None, lines: bool = False) -> Table:
    """A table in which nothing is cut: what does not fit is broken over lines, but never an id.

    Args:
        headers: of the columns.
        ids: those of them that hold what is copied (an id, an address): on one line however narrow the terminal is.
        title: above the table.
        lines: between the rows.
    """
    table = Table(title=title, title_justify="left", show_lines=lines)
    for header in headers:
        table.add_column(header, overflow="fold", no_wrap=header in ids)
    return table


def print_table(table: Table) -> None:
    """A table on stdout: as wide as the terminal, or as what is in it where nobody looks at a width (a pipe, a file)."""
    for column in table.columns:
        longest = max((cell_len(line) for cell in column.cells for line in _lines_of(cell)), default=0)
        # A table that is wider than the terminal is read more easily than a column of one letter a line.
        column.min_width = longest if column.no_wrap else min(longest, _NARROWEST)
    needed = Measurement.get(out, out.options.update(max_width=_ENDLESS), table)
    width = max(out.width, needed.minimum) if out.is_terminal else needed.maximum
    # `print` of a console takes no width beyond the console's own.
    Console(file=out.file, width=width, highlight=False).print(table, crop=False)


def _lines_of(cell: object) -> list[str]:
    return Text.from_markup(cell).plain.splitlines() if isinstance(cell, str) else []


_ENDLESS = 100_000
_NARROWEST = 16


def captions_table(captions: Iterable[Caption]) -> Table:
    table = new_table("product", "garments and colours", "caption", "hashtags", ids=("product",), lines=True)
    for caption in captions:
        garments = [
            f"{garment.category} ({', '.join(colour.name for colour in garment.colours)})"
            if garment.colours
            else garment.category
            for garment in caption.evidence.garments
        ]
        product = key_of(caption.shop, caption.product_id)
        row = (product, "\n".join(garments) or "none found", caption.caption, " ".join(caption.hashtags))
        table.add_row(*map(shown, row))
    return table


def result_table(result: Result, offset: int = 0) -> Table:
    note = " (partial)" if result.partial else ""
    shards = f"{result.shards.answered}/{result.shards.of} shards"
    title = f"{shards}{note}, {result.took_ms} ms"
    names = list(dict.fromkeys(name for hit in result.hits for name in hit.fields))
    also = ["also in"] if any(hit.variants for hit in result.hits) else []
    table = new_table("#", "product", "score", "category", *also, *names, ids=("product",), title=title)
    for rank, hit in enumerate(result.hits, start=1 + offset):
        variants = ", ".join(variant.colour or variant.product_id for variant in hit.variants)
        more = [variants] if also else []
        row = [str(rank), hit.product_id, f"{hit.score:.3f}", hit.category, *more]
        table.add_row(*map(shown, [*row, *(_cell(hit.fields.get(name)) for name in names)]))
    return table


def _cell(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_cell, value))
    return "" if value is None else str(value)


def result_notes(result: Result) -> list[str]:
    """What is told beside the hits: how the words were read, how many there are, what may not be exact."""
    lines = ["nothing that was found surely fits"] if result.confident is False else []
    if result.understood is not None and result.understood.filters:
        said = ", ".join(f"{name} {_condition(value)}" for name, value in result.understood.filters.items())
        lines.append(f"understood: {said}")
    if result.total is not None:
        lines.append(f"{result.total:,} products match")
    for name, counts in result.facets.items():
        lines.append(f"{name}: {', '.join(f'{value} ({count})' for value, count in list(counts.items())[:20])}")
    for name, (least, most) in result.ranges.items():
        lines.append(f"{name}: {least:g} to {most:g}")
    if result.approximate:
        lines.append(f"may not be exact: {', '.join(result.approximate)}")
    return lines


_SYMBOLS = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}


def _condition(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{_SYMBOLS.get(bound, bound)} {number}" for bound, number in value.items())
    return f"is {_cell(value)}"


def garment_lines(result: Result) -> list[str]:
    """What a photo shows, a garment a line: where, and which products are most like it."""
    lines = []
    for one in result.garments:
        box = ",".join(f"{side:.0f}" for side in one.box)
        found = ", ".join(f"{hit.product_id} {hit.score:.3f}" for hit in one.hits[:3])
        lines.append(f"{one.id} {one.category or 'unknown'} at {box}: {found or 'nothing'}")
    return lines


def rows_table(headers: Sequence[str], rows: Iterable[Sequence[object]], ids: Sequence[str] = ()) -> Table:
    table = new_table(*headers, ids=ids)
    for row in rows:
        table.add_row(*map(shown, row))
    return table


def show(value: Record, table: Table, *, as_json: bool) -> None:
    """The record for programs, or the table for people."""
    if as_json:
        print_json(value)
    else:
        print_table(table)
