"""Lines of CSV as shops' programs write them: quotation marks that are open, and numbers that a spreadsheet has shortened."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.ops.sources import walk
from streams.ops.tables import read_table
from tests.unit.streams.ops.test_shop_tables import fields, fill, found

LINES = [f"s{n},{n}.jpg,Dress {n},1{n}" for n in range(1, 8)]
OPEN = "a quotation mark in it is not closed"


def test_an_inch_mark_is_no_quotation_that_is_open(tmp_path: Path) -> None:
    """With a line break in the last cell the whole table was refused. Commas in a column's name part nothing either."""
    fill(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "products.csv").write_text('id;image;title, long, and, plain\nx;a.jpg;5" heel\ny;b.jpg;"two\nlines"')
    catalogue = walk(tmp_path)
    assert found(catalogue) == {"x": "a.jpg", "y": "b.jpg"}
    assert fields(catalogue, "y") == {"title, long, and, plain": "two\nlines"}


@pytest.mark.parametrize(
    ("number", "line"),
    [
        (3, 's3,3.jpg,"Dress 3,13'),
        (3, '"s3,3.jpg,Dress 3,13'),
        (7, 's7,7.jpg,"Dress 7,17'),
        (1, '"s1","1.jpg,"Dress 1",11'),
    ],
)
@pytest.mark.parametrize("later", ["s6,6.jpg,Dress 6,16", 's6,6.jpg,"Dress 6",16', 's6,6.jpg,"a ""6""",16'])
@pytest.mark.parametrize("end", ["", "\n", "\n\n", "\r\n"])
def test_a_quotation_mark_that_is_not_closed_costs_its_own_line(
    tmp_path: Path, number: int, line: str, later: str, end: str
) -> None:
    """It cost the whole table, or, closed by a later mark, the products between were gone in silence and one had all their words."""
    table = fill(tmp_path, *(f"{n}.jpg" for n in range(1, 8))) / "products.csv"
    lines = ["id,image,title,price", *LINES]
    lines[6], lines[number] = later, line
    table.write_text(("\r\n" if end == "\r\n" else "\n").join(lines) + end, newline="")
    catalogue = walk(tmp_path)
    assert found(catalogue) == {f"s{n}": f"{n}.jpg" for n in range(1, 8) if n != number}
    assert fields(catalogue, "s5") == {"title": "Dress 5", "price": 15.0}
    assert [(row.where, row.cause) for row in catalogue.rejected if row.cause == OPEN] == [
        (f"products.csv line {number + 1}", OPEN)
    ]


def test_what_is_no_line_behind_an_open_mark_is_guessed_at_by_nobody(tmp_path: Path) -> None:
    """The whole table is refused, with the line; no photo comes in under its file's name."""
    fill(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "products.csv").write_text('id,image,title\nx,a.jpg,"open\nand more of it\ny,b.jpg,t\n')
    catalogue = walk(tmp_path)
    assert catalogue.sources == ()
    assert "line 2 is not closed" in catalogue.rejected[0].cause


def test_descriptions_of_several_lines_stay_whole(tmp_path: Path) -> None:
    """Also with commas in each line, an inch mark within, and a hint for Excel before them."""
    table = tmp_path / "products.csv"
    table.write_text(
        'sep=,\nid,image,title\nx,a.jpg,"one, two, three\nfour, five, six"\ny,b.jpg,"3"" heel\n4" sole"\nz,c.jpg,t\n'
    )
    rows, problem = read_table(table, table.name)
    assert (problem, [(row.where, row.product_id, row.metadata.get("title")) for row in rows]) == (
        "",
        [
            ("products.csv line 4", "x", "one, two, three\nfour, five, six"),
            ("products.csv line 6", "y", '3" heel\n4 sole"'),
            ("products.csv line 7", "z", "t"),
        ],
    )


@pytest.mark.parametrize("number", ["1.23457E+12", '"1,23457E+12"', "9e+15"])
def test_an_id_that_a_spreadsheet_has_shortened_is_none(tmp_path: Path, number: str) -> None:
    """All numbers that begin so are the same word then: two products became one with two photos."""
    fill(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    (tmp_path / "products.csv").write_text(
        f"id,image,ean,style\n{number},a.jpg,,\n{number},b.jpg,,\n1E5,c.jpg,{number},2E4\n"
    )
    catalogue = walk(tmp_path)
    assert found(catalogue) == {"1E5": "c.jpg"}
    assert fields(catalogue, "1E5") == {"style": "2E4"}
    causes = [row.cause for row in catalogue.rejected]
    assert len([cause for cause in causes if "shortened: make its column text" in cause]) == 2
    assert any("ean" in row.cause and "left out" in row.cause for row in catalogue.noted)
