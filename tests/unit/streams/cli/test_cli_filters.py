"""`--filter`: what a shopper's conditions mean together, and which are refused before anything is asked."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from streams.cli.client import parsed_filters
from streams.cli.exits import Exit


@pytest.mark.parametrize(
    ("pairs", "found"),
    [
        (["price<=50", "size=M"], {"price": {"lte": 50.0}, "size": ("M",)}),
        (["size=M, L", "size=XL"], {"size": ("M", "L", "XL")}),
        (["brand=M, L"], {"brand": ("M, L",)}),
        (["price=20..40", "price<=50"], {"price": {"gte": 20.0, "lte": 40.0}}),
        (["price<=50", "price=20..40"], {"price": {"gte": 20.0, "lte": 40.0}}),
        (["price>3", "price>5", "price<9", "price<7"], {"price": {"gt": 5.0, "lt": 7.0}}),
        (["launched>=2026-01-01", "launched>=2026-03-01"], {"launched": {"gte": "2026-03-01"}}),
        (["price=20.."], {"price": {"gte": 20.0}}),
    ],
)
def test_conditions_hold_together(pairs: list[str], found: dict[str, Any]) -> None:
    """Values of one field are alternatives; of two bounds of one kind the stricter counts, whichever is written first."""
    assert parsed_filters(pairs) == found


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        (["price=.."], "write a bound"),
        (["price<=a", "price<=5"], "expected a number, got 'a'"),
        (["price<=5", "price<=a"], "expected a number, got 'a'"),
        (["price<=1_000"], "expected a number, got '1_000'"),
        (["size=,"], "names no size"),
        (["price<=50", "price=50"], "exclude each other"),
        (["price<=50", "price>=60"], "nothing lies in"),
        (["price"], "write facet=value"),
    ],
)
def test_what_is_no_condition_is_refused(pairs: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the cause, and the exit code of a wrong command line."""
    with pytest.raises(typer.Exit) as refused:
        parsed_filters(pairs)
    assert refused.value.exit_code == Exit.USAGE
    assert told in " ".join(capsys.readouterr().err.split())
