"""Prices, stock, sizes and days in shops' spellings."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.contract.metadata import metadata_of
from streams.contract.records import ImageRef, Upload
from streams.ops.prices import price_of
from streams.ops.sources import walk
from tests.unit.streams.ops.test_shop_tables import fields, fill, found


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("79", 79), ("79.90", 79.9), ("79,90", 79.9), ("1.299,00", 1299), ("1,299.00", 1299), ("€ 1,299.00", 1299),
        ("1.299,90 €", 1299.9), ("Rs. 1499", 1499), ("Rs.1499/-", 1499), ("₹1,49,999.00", 149_999), ("1 299 kr", 1299),
        ("1\u00a0299,00\u00a0€", 1299), ("1\u202f299 kr", 1299), ("1'299.–", 1299), ("CHF 1’299.50", 1299.5), ("79,-", 79),
        ("1299.-", 1299), ("79.00 EUR", 79), ("US$ 1,000,000.00", 1_000_000), ("1.299", 1299), ("1,299", 1299), ("0.299", 0.299),
        ("12,5", 12.5), ("９９", 99), ("0", 0), ("١٢٫٥٠", 12.5), ("1٬299٫00", 1299), ("\u200f۱۲۳ ر.س", 123), (".99", 0.99), ("$.99", 0.99),
        ("Rs.99", 99), ("1.299 KWD", 1.299), ("KWD1.299", 1.299), ("1,299.500 BHD", 1299.5), ("12.999 EUR", 12_999),
        ("EUR 12,00 inkl. 19% MwSt", 12), ("12.00 (VAT 20%)", 12), ("12 kr", 12), ("5 000 Kč", 5000),
        ("99¢", 0.99), ("99 ct", 0.99), ("50p", 0.5), ("£12.00p", 12), ("12€99", 12.99), ("12 € 99", 12.99),
    ],
)  # fmt: skip
def test_prices_in_shops_spellings(text: str, price: float) -> None:
    """One number, whatever parts its thousands and whatever stands around it."""
    assert price_of(text) == price


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cheap",
        "10-20",
        "10 – 20 €",
        "from 9.99",
        "ab 19,90 €",
        "2 for 30",
        "-5",
        "$-5",
        "12 34",
        "1.2.3",
        "79 EUR / 85 USD",
        "(5.00)",
        "($5.00)",
        "30%",
        "20% off",
        "20 off",
        "save 12",
        "10+",
        "10 and up",
        "> 10",
        "max. 10",
        "à partir de 12 €",
        "1.5k",
    ],
)
def test_what_is_no_single_price(text: str) -> None:
    """Ranges, offers and negative amounts are not set: a guess would be filtered by."""
    assert price_of(text) is None


@given(st.text(max_size=40))
def test_any_text_as_a_price(text: str) -> None:
    """A price that is none never ends an ingest."""
    price = price_of(text)
    assert price is None or 0 <= price < 1e15


@given(st.integers(0, 10**7), st.sampled_from([",.", ".,", " ,", "',"]))
def test_a_formatted_price_is_read_back(cents: int, marks: str) -> None:
    """Thousands and decimals by any pair of marks."""
    thousands, decimal = marks
    whole = f"{cents // 100:,}".replace(",", thousands)
    assert price_of(f"{whole}{decimal}{cents % 100:02}") == cents / 100


def test_columns_of_price_and_stock_under_the_names_of_shops(tmp_path: Path) -> None:
    """Google's, Shopify's and plain ones; a price that was higher before is the price, and that of now the sale price."""
    fill(tmp_path, "1.jpg", "2.jpg", "3.jpg")
    (tmp_path / "products.csv").write_text(
        "id,image,price,sale price,availability,size,item_group_id,launch date,tags,Variant Compare At Price\n"
        '1,1.jpg,79.00 EUR,49.00 EUR,in stock,"S, M",wrap,2026-03-01,"summer, beach",\n'
        "2,2.jpg,30.00,,out of stock,,,,,45.00\n"
        "3,3.jpg,30.00,cheap,,,,,,20.00\n"
    )
    catalogue = walk(tmp_path)
    typed = {name: metadata_of(Upload(name, ImageRef(uri="a"), dict(fields(catalogue, name)))) for name in "123"}
    one = typed["1"]
    assert (one.price, one.sale_price, one.currency, one.in_stock) == (79.0, 49.0, "EUR", True)
    assert (one.sizes, one.group_id, one.launched, one.tags) == (("S", "M"), "wrap", "2026-03-01", ("summer", "beach"))
    assert (typed["2"].price, typed["2"].sale_price, typed["2"].in_stock) == (45.0, 30.0, False)
    assert (typed["3"].price, typed["3"].sale_price) == (30.0, None)
    assert ["sale_price 'cheap'" in row.cause for row in catalogue.noted] == [True]


def test_sizes_of_shopifys_lines_are_those_of_the_product(tmp_path: Path) -> None:
    """Only the first line of a product names its options. Those in stock count, or all where none is; a product without
    options has none; other options are fields under their own names.
    """
    fill(tmp_path, "a.jpg", "b.jpg", "c.jpg", "d.jpg")
    head = "Handle,Title,Option1 Name,Option1 Value,Option2 Name,Option2 Value,Variant Price,Variant Inventory Qty,Image Src\n"
    lines = (
        "wrap,Wrap dress,Size,S,Color,Navy,79,0,a.jpg",
        "wrap,,,M,,Navy,79,3,b.jpg",
        "wrap,,,L,,Navy,79,-2,",
        "wrap,,,XL,,Navy,79,1,",
        "hat,Hat,Title,Default Title,,,20,1,c.jpg",
        "sock,Sock,Taille,38,,,5,0,d.jpg",
        "sock,,,40,,,5,-1,",
    )
    (tmp_path / "products_export.csv").write_text(head + "\n".join(lines))
    catalogue = walk(tmp_path)
    assert (catalogue.rejected, catalogue.noted) == ((), ())
    wrap = fields(catalogue, "wrap")
    assert wrap == {"title": "Wrap dress", "Color": "Navy", "price": 79.0, "in_stock": "true", "sizes": "M, XL"}
    assert fields(catalogue, "hat") == {"title": "Hat", "price": 20.0, "in_stock": "1"}
    sock = metadata_of(Upload("sock", ImageRef(uri="images/a.jpg"), fields(catalogue, "sock")))
    assert (sock.sizes, sock.in_stock, sock.facets) == (("38", "40"), False, {})
    assert [len(source.further) for source in catalogue.sources] == [0, 0, 1]


def test_a_sale_price_of_nothing_is_none(tmp_path: Path) -> None:
    """Some programs write 0 where there is no sale; a filter on the price would find everything."""
    fill(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "products.csv").write_text("id,price,sale_price\na,79.00,0.00\nb,79.00,59.00\n")
    catalogue = walk(tmp_path)
    assert fields(catalogue, "a") == {"price": 79.0}
    assert fields(catalogue, "b") == {"price": 79.0, "sale_price": 59.0}


def test_products_of_a_feed_may_share_a_photo(tmp_path: Path) -> None:
    """Sizes of one style, each a product with an id of its own. In a folder's table a photo named twice is a slip."""
    fill(tmp_path, "a.jpg", "b.jpg")
    rows = "id,image,additional_image_link,size\nsku-s,a.jpg,b.jpg,S\nsku-m,a.jpg,b.jpg,M\n"
    (tmp_path / "feed.csv").write_text(rows)
    shared = walk(tmp_path / "feed.csv")
    assert found(shared) == {"sku-s": "a.jpg", "sku-m": "a.jpg"}
    assert [len(source.further) for source in shared.sources] == [1, 1]
    assert (shared.rejected, shared.noted) == ((), ())
    (tmp_path / "feed.csv").rename(tmp_path / "products.csv")
    [refused] = walk(tmp_path).rejected
    assert "belongs to another row already" in refused.cause


def test_photos_of_json_are_told_as_an_upload_tells_them(tmp_path: Path) -> None:
    """With their roles; a role that there is not, and a photo without an address, cost themselves only."""
    fill(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    rows = [
        '{"product_id": "one", "images": [{"uri": "a.jpg", "role": "back"}, {"uri": "b.jpg", "role": "main"}]}',
        '{"product_id": "two", "image": {"uri": "c.jpg", "role": "behind"}, "images": [{"role": "main"}, "c.jpg"]}',
    ]
    (tmp_path / "products.jsonl").write_text("\n".join(rows))
    catalogue = walk(tmp_path)
    one, two = catalogue.sources
    assert {role: Path(place).name for place, role in one.roles.items()} == {"back": "a.jpg", "main": "b.jpg"}
    assert (one.product_id, one.path and one.path.name) == ("one", "a.jpg")
    assert (two.path and two.path.name, two.roles, two.further) == ("c.jpg", {}, ())
    assert [note.cause.partition(", and")[0] for note in catalogue.noted] == [
        "the role 'behind' of 'c.jpg' is none of main, front, back, detail, model, swatch, packshot",
        "a photo in images has no uri",
    ]
    assert catalogue.rejected == ()


def test_a_stock_and_a_day_that_no_filter_will_know_are_told(tmp_path: Path) -> None:
    """Beside the product, which comes in with the shop's own word."""
    fill(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "products.csv").write_text(
        "image,stock,launched\na.jpg,many,yesterday\nb.jpg,3,2026-03-01\n", encoding="utf-8"
    )
    catalogue = walk(tmp_path)
    assert [note.cause.partition(" is ")[0] for note in catalogue.noted] == ["in_stock 'many'", "launched 'yesterday'"]
    assert fields(catalogue, "a")["in_stock"] == "many"
