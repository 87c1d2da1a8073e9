"""A list of prices is no catalogue: its rows change what they name, and leave the rest of their products alone."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from infra.memory_store import MemoryStore
from streams.contract import topics
from streams.contract.codecs import encode
from streams.contract.part_of_columns import part_of_columns
from streams.engine.message import Message
from streams.ops.ingest import Photo, announce
from streams.ops.sources import walk
from tests.fixtures.stack import photo_of


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("prices.csv", b'id,price,stock,size\nsku-1,"9,50 EUR",3,M\nsku-2,12,0,\n'),
        ("prices.tsv", b"sku\tprice\tquantity\tsizes\nsku-1\t9.50 EUR\t3\tM\nsku-2\t12\t0\t\n"),
        (
            "prices.jsonl",
            (
                b'{"product_id": "sku-1", "metadata": {"price": 9.5, "currency": "EUR", "stock": 3, "size": "M"}}\n'
                b'{"product_id": "sku-2", "metadata": {"price": 12, "stock": 0}}\n'
            ),
        ),
        ("prices.csv.gz", gzip.compress(b'id,price,stock,size\nsku-1,"9,50 EUR",3,M\nsku-2,12,0,\n', mtime=0)),
    ],
)
def test_rows_of_a_price_list_are_updates(tmp_path: Path, name: str, content: bytes) -> None:
    """In any form of table; each becomes a record that says columns alone."""
    (tmp_path / name).write_bytes(content)
    catalogue = walk(tmp_path / name, updates=True)
    assert not catalogue.rejected
    said = {}
    for one in catalogue.sources:
        upload = announce(Photo(one.product_id, one.path, dict(one.metadata), one.address), MemoryStore("test"), 2**20)
        assert (upload.image, upload.images) == (None, None)
        part = part_of_columns(Message(topics.UPLOADS, 0, 0, upload.product_id.encode(), encode(upload)))
        assert part is not None
        said[part[0]] = {name: value for name, value in part[1].items() if value is not None}
    assert said["sku-1"].pop("currency") == "EUR"
    assert {key: float(said[key].pop("price")) for key in said} == {"sku-1": 9.5, "sku-2": 12}
    assert [set(said[key].values()) for key in ("sku-1", "sku-2")] == [{"3", "M"}, {"0"}]


def test_a_price_list_beside_photos_is_the_table_of_these(tmp_path: Path) -> None:
    """As it always was: its products are sent whole; it is said what that does."""
    photo_of(tmp_path, "sku-1", (90, 0, 90))
    (tmp_path / "prices.csv").write_text("id,price\nsku-1,9.5\n")
    catalogue = walk(tmp_path / "prices.csv", updates=True)
    assert [one.path is not None for one in catalogue.sources] == [True]
    assert ["replaces all" in row.cause for row in catalogue.noted] == [True]


@pytest.mark.parametrize("more", ["title", "image", "colour"])
def test_what_says_more_than_columns_needs_its_photos(tmp_path: Path, more: str) -> None:
    """A catalogue whose photos were forgotten is refused, and so is a list of prices that is said to be the whole catalogue."""
    (tmp_path / "feed.csv").write_text(f"id,price,{more}\nsku-1,9.5,red\nsku-2,9.5,\n")
    assert not walk(tmp_path / "feed.csv", updates=True).sources
    (tmp_path / "prices.csv").write_text("id,price\nsku-1,9.5\n")
    assert not walk(tmp_path / "prices.csv").sources


def test_two_rows_that_say_different_things_are_refused(tmp_path: Path) -> None:
    """Nobody knows which is meant; where they say the same, they are one."""
    (tmp_path / "prices.csv").write_text("id,price\nsku-1,9.5\nsku-2,1\nsku-2,2\nsku-1,9.5\nsku-2,3\n")
    catalogue = walk(tmp_path / "prices.csv", updates=True)
    assert [one.product_id for one in catalogue.sources] == ["sku-1"]
    assert [row.where.rpartition(" ")[2] for row in catalogue.rejected] == ["3", "4", "6"]
