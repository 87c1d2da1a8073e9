"""Tables for people: nothing in them is cut, and an id stays on one line."""

import io

import pytest
from rich.console import Console

from processors.values import Evidence
from streams.cli import output
from streams.cli.output import captions_table, print_table, result_table, rows_table
from streams.contract.records import Caption, Hit, Lineage, Result, Shards, Source

LONG = "catalog.uploads/3/81/decode-" + "x" * 150
CAUSE = "image.uri: the host 'cdn-of-a-shop-with-a-very-long-name.example' is not on the list of allowed hosts"
SOURCE = Source("catalog.uploads", 3, 81)


def printed(table, monkeypatch, *, terminal, width=60):
    file = io.StringIO()
    monkeypatch.setattr(output, "out", Console(file=file, width=width, force_terminal=terminal, color_system=None))
    print_table(table)
    return file.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_an_id_is_never_cut(terminal, monkeypatch):
    """In `dlq list`, on a narrow terminal and in a pipe; nor is the cause, which may be broken over lines."""
    table = rows_table(("letter", "product", "cause"), [(LONG, "sku-" + "9" * 80, CAUSE)], ids=("letter", "product"))
    text = printed(table, monkeypatch, terminal=terminal)
    assert any(LONG in line for line in text.splitlines())
    assert any("sku-" + "9" * 80 in line for line in text.splitlines())
    assert "…" not in text
    if not terminal:
        assert any(CAUSE in line for line in text.splitlines()), "a pipe has no width"


@pytest.mark.parametrize("terminal", [True, False])
def test_the_ids_of_captions_and_hits_are_whole(terminal, monkeypatch):
    """The other tables with ids."""
    lineage = Lineage(SOURCE, "", "", "", "", "0")
    caption = Caption(LONG, "A dress. " * 30, ("#dress",), Evidence(()), (), 1.0, "llm", lineage)
    result = Result("q", (Hit(LONG, 0.5, "s3://x", "dress"),), False, "g", {}, Shards(1, 1), 3)
    for table in (captions_table([caption]), result_table(result)):
        text = printed(table, monkeypatch, terminal=terminal)
        assert any(LONG in line for line in text.splitlines())
        assert "…" not in text


def test_a_word_that_does_not_fit_is_broken_not_cut(monkeypatch):
    """An address of a thousand characters in a column that is no id."""
    text = printed(rows_table(("found", "advice"), [("https://" + "a" * 1000, "x")]), monkeypatch, terminal=True)
    assert text.count("a") == 1000 + len("advice".replace("dvice", ""))
