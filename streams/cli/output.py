"""What the commands print: records as JSON on stdout for programs, tables for people; progress and logs on stderr."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable, Sequence

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

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


def captions_table(captions: Iterable[Caption]) -> Table:
    table = Table("product", "garments and colours", "caption", "hashtags", show_lines=True)
    for caption in captions:
        garments = [
            f"{garment.category} ({', '.join(colour.name for colour in garment.colours)})"
            if garment.colours
            else garment.category
            for garment in caption.evidence.garments
        ]
        row = (caption.product_id, "\n".join(garments) or "none found", caption.caption, " ".join(caption.hashtags))
        table.add_row(*map(shown, row))
    return table


def result_table(result: Result) -> Table:
    note = " (partial)" if result.partial else ""
    shards = f"{result.shards.answered}/{result.shards.of} shards"
    table = Table(
        "#", "product", "score", "category", title=f"{shards}{note}, {result.took_ms} ms", title_justify="left"
    )
    for rank, hit in enumerate(result.hits, start=1):
        table.add_row(str(rank), shown(hit.product_id), f"{hit.score:.3f}", shown(hit.category))
    return table


def rows_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    table = Table(*headers)
    for row in rows:
        table.add_row(*map(shown, row))
    return table


def show(value: Record, table: Table, *, as_json: bool) -> None:
    """The record for programs, or the table for people."""
    if as_json:
        print_json(value)
    else:
        out.print(table)
