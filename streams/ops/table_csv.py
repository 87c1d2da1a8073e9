"""Text in columns (CSV, TSV and their relatives) → cells by line, also where a quotation mark is not closed."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from processors.errors import Code, Poison

LONGEST_CELL = 256 * 2**20
_SEPARATOR = re.compile(r'"?sep=(.)"?\r?\n', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Bad:
    """A line that cannot be used: why, and the words that stand in it."""

    problem: str
    raw: tuple[str, ...] = ()


Numbered: TypeAlias = Iterator[tuple[int, Sequence[Any] | Bad]]


def separated(text: str, known: Callable[[str], bool]) -> Numbered:
    """(line, cells) or (line, what is wrong) of CSV and its relatives.

    Args:
        text: the table.
        known: whether a column's name is one that we know: its separator is the one that parts them out.

    Raises:
        Poison: a quotation mark is open to the end, and what stands behind it is no line of the table.
    """
    first = _SEPARATOR.match(text)
    if first is not None:  # a hint for Excel, written by Excel
        text, delimiter = text[first.end() :], first[1]
    else:
        header = text.lstrip("\r\n").partition("\n")[0]
        # The one that parts out a column that we know: a column's name may hold commas.
        delimiter = max(",;\t|", key=lambda mark: (_parts_out(header, mark, known), header.count(mark)))
    # An overlong cell costs itself, not its whole line unnamed.
    longest = csv.field_size_limit(LONGEST_CELL)
    try:
        yield from _records(io.StringIO(text, newline="").readlines(), delimiter, 1 if first is None else 2)
    finally:
        csv.field_size_limit(longest)


def _records(lines: Sequence[str], delimiter: str, number: int) -> Numbered:
    """The records of these lines, each with the number of its last line; the first line has `number`.

    A quotation mark that is not closed takes the lines behind it into its cell, to the end or to the next mark. Where each of these is
    a line of the table by itself, it costs its own line alone.
    """
    begun, width, reader = 0, 0, _Reader(lines, 0, delimiter)
    while begun < len(lines):
        start = begun
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:  # this line is none; those after it may be
            begun = start + 1
            yield begun - 1 + number, Bad(f"is no CSV: {error}", _words(lines[start], delimiter))
            reader = _Reader(lines, begun, delimiter)
            continue
        begun = reader.next_line
        record = lines[start:begun]
        if (len(record) > 1 or begun == len(lines) or len(cells) < width) and _is_unclosed(record, delimiter):
            is_open = _is_open(record, delimiter)
            if width and all(len(_words(line, delimiter)) == width for line in record[1:] if line.strip()):
                if len(record) > 1 or is_open or len(cells) < width:
                    words = _words(record[0].replace('"', ""), delimiter)
                    yield start + number, Bad("a quotation mark in it is not closed", words)
                    begun = start + 1
                    reader = _Reader(lines, begun, delimiter)
                    continue
            elif is_open:
                # All lines from there on stand in one cell: which photos they name is not known.
                cause = f"a quotation mark that begins in line {start + number} is not closed"
                raise Poison(cause, code=Code.MALFORMED)
        width = width or len(cells)
        yield begun - 1 + number, cells


class _Reader:
    """`csv.reader` from a line on, which knows the line that is read next."""

    def __init__(self, lines: Sequence[str], start: int, delimiter: str) -> None:
        self.next_line = start
        self._reader = csv.reader(self._from(lines), delimiter=delimiter)

    def _from(self, lines: Sequence[str]) -> Iterator[str]:
        while self.next_line < len(lines):
            self.next_line += 1
            yield lines[self.next_line - 1]

    def __next__(self) -> list[str]:
        return next(self._reader)


def _words(line: str, delimiter: str) -> tuple[str, ...]:
    """The cells of one line by itself."""
    return tuple(cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), []))


def _is_unclosed(record: Sequence[str], delimiter: str) -> bool:
    """Whether a quoted cell goes on behind its closing mark, or to the end."""
    try:
        list(csv.reader(record, delimiter=delimiter, strict=True))
    except csv.Error:
        return True
    return False


def _parts_out(header: str, mark: str, known: Callable[[str], bool]) -> int:
    """How many of the columns that we know a separator finds in the first line."""
    return sum(known(name.strip('"')) for name in header.split(mark)) if mark in header else 0


def _is_open(record: Sequence[str], delimiter: str) -> bool:
    """Whether a quotation mark in the record is never closed: then a line that is added is part of it."""
    last = record[-1] if record[-1].endswith(("\r", "\n")) else record[-1] + "\n"
    return len(list(csv.reader([*record[:-1], last, "end\n"], delimiter=delimiter))) == 1
