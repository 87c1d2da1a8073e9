"""Folders and tables as shops have them: other programs' columns, encodings, spellings and waste."""

from __future__ import annotations

import io
import unicodedata
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import Workbook

from processors.errors import Poison
from streams.contract.metadata import metadata_of
from streams.contract.records import ImageRef, Upload
from streams.ops.prices import price_of
from streams.ops.sources import Catalogue, walk
from streams.ops.table_files import MAX_TABLE_BYTES, is_table
from tests.fixtures import hostile

JPEG, PNG = hostile.encoded(hostile.picture(), "JPEG"), hostile.encoded(hostile.picture(), "PNG")


def fill(folder: Path, *names: str, data: bytes = JPEG) -> Path:
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return folder


def found(catalogue: Catalogue) -> dict[str, str]:
    return {source.product_id: source.path.name for source in catalogue.sources}


def fields(catalogue: Catalogue, product_id: str) -> dict[str, str | float]:
    (source,) = [source for source in catalogue.sources if source.product_id == product_id]
    return dict(source.metadata)


# ---------------------------------------------------------------- files


def test_formats_go_by_the_bytes(tmp_path: Path) -> None:
    """Endings that few programs write, none at all, wrong ones: a photo is a photo. A version in a name is no ending."""
    fill(tmp_path, "a.jfif", "b.jpe", "c", "d.dat", "dress.v2", "f.HEIC", "g.txt")
    fill(tmp_path, "h.gif", data=hostile.encoded(hostile.picture(), "GIF"))
    catalogue = walk(tmp_path)
    assert sorted(found(catalogue)) == ["a", "b", "c", "d.dat", "dress.v2", "f", "g.txt", "h"]
    assert (catalogue.rejected, catalogue.noted) == ((), ())
    assert found(walk(tmp_path / "c")) == {"c": "c"}
    assert found(walk(tmp_path / "a.jfif")) == {"a": "a.jfif"}


def test_every_file_that_is_left_out_is_named(tmp_path: Path) -> None:
    """A photo in a format that we do not read is a missing product; what is no photo is only named."""
    fill(tmp_path, "a.jpg")
    fill(tmp_path, "b.tif", "c.psd", data=b"whatever")
    fill(tmp_path, "phone", data=b"\0\0\0\x18ftypheic" + bytes(20))
    fill(tmp_path, "scan", data=b"II*\0" + bytes(20))
    fill(tmp_path, "readme.txt", data=b"hello")
    fill(tmp_path, "page.html", data=b"<!DOCTYPE html><p>")
    fill(tmp_path, "stock.csv", "prices.xls", data=b"a,b")
    fill(tmp_path, "empty", data=b"")
    catalogue = walk(tmp_path)
    assert found(catalogue) == {"a": "a.jpg"}
    assert {row.where for row in catalogue.rejected} == {"b.tif", "c.psd", "phone", "scan"}
    assert {row.where: row.cause for row in catalogue.noted}.keys() == {
        "readme.txt", "page.html", "stock.csv", "prices.xls", "empty"
    }  # fmt: skip
    causes = {row.where: row.cause for row in catalogue.noted}
    assert "an HTML page" in causes["page.html"]
    assert "are called products.csv" in causes["stock.csv"]
    assert "empty" in causes["empty"]


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("EtsyListingsDownload.csv", "TITLE,PRICE,IMAGE1,SKU\nx,1,https://i.etsy.test/x/a.jpg,s-1\ny,2,https://i.etsy.test/x/b.jpg,s-2\n"),
        ("Artikel.csv", "Artikelnummer;Bezeichnung;Bild\ns-1;x;a.jpg\ns-2;y;b.jpg\n"),
        ("export_catalog_product.csv", "sku,name,base_image\ns-1,x,/a/_/a.jpg\ns-2,y,/b/_/b.jpg\n"),
        ("produkte.csv", "product_number;cover_media_url\ns-1;https://x.test/a.jpg\ns-2;//x.test/b.jpg\n"),
        ("flat.txt", "item_sku\tname\tmain_image_url\ns-1\tx\thttps://x.test/a.jpg\ns-2\ty\thttps://x.test/b.jpg\n"),
    ],
)  # fmt: skip
def test_the_one_table_that_gives_ids_is_read_whatever_it_is_called(tmp_path: Path, name: str, table: str) -> None:
    """Its photos came in under their files' names, and the table was passed over with a line."""
    fill(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / name).write_text(table)
    catalogue = walk(tmp_path)
    assert found(catalogue) == {"s-1": "a.jpg", "s-2": "b.jpg"}
    assert (catalogue.rejected, catalogue.noted) == ((), ())


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("liste.csv", "nummer,datei\ns-1,a.jpg\n"),
        ("liste.json", '[{"nummer": "s-1", "datei": "x/a.jpg"}]'),
        ("flat.txt", "TemplateType=x\tVersion=1\t\nNummer\tDatei\tPreis\ns-1\ta.jpg\t3\n"),
    ],
)
def test_a_photo_of_a_table_that_is_not_read_keeps_out(tmp_path: Path, name: str, table: str) -> None:
    """Its file's name is not what the shop calls it. A photo that the table does not name is nobody's business of it."""
    fill(tmp_path, "a.jpg", "other.jpg")
    (tmp_path / name).write_text(table)
    catalogue = walk(tmp_path)
    assert found(catalogue) == {"other": "other.jpg"}
    [rejected] = catalogue.rejected
    assert rejected.where == name
    assert "a.jpg" in rejected.cause
    assert "product_id and image" in rejected.cause


def test_of_two_tables_of_other_names_none_is_guessed(tmp_path: Path) -> None:
    """Which of them is the catalogue nobody knows; beside a `products` table neither counts, and its photos come in."""
    fill(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "one.csv").write_text("sku,image\ns-1,a.jpg\n")
    (tmp_path / "two.csv").write_text("sku,image\ns-2,b.jpg\n")
    catalogue = walk(tmp_path)
    assert found(catalogue) == {}
    assert {row.where for row in catalogue.rejected} == {"one.csv", "two.csv"}
    (tmp_path / "products.csv").write_text("sku,image\nt-1,a.jpg\nt-2,b.jpg\n")
    catalogue = walk(tmp_path)
    assert found(catalogue) == {"t-1": "a.jpg", "t-2": "b.jpg"}
    assert catalogue.rejected == ()


def test_orders_are_no_catalogue(tmp_path: Path) -> None:
    """A table with ids and no photos says nothing of what a photo is called."""
    fill(tmp_path, "s-1.jpg")
    (tmp_path / "orders.csv").write_text("sku,quantity\ns-1,3\ns-1,4\n")
    catalogue = walk(tmp_path)
    assert found(catalogue) == {"s-1": "s-1.jpg"}
    assert [row.where for row in catalogue.noted] == ["orders.csv"]


def test_a_single_file_that_is_no_image_is_told_what_it_is(tmp_path: Path) -> None:
    """By its bytes, too."""
    fill(tmp_path, "page.html", data=b"<html>")
    with pytest.raises(Poison, match="an HTML page"):
        walk(tmp_path / "page.html")


def test_thumbnails_of_storage_systems_are_no_products(tmp_path: Path) -> None:
    """Synology, QNAP, macOS and Windows keep previews beside the photos."""
    fill(
        tmp_path, "a.jpg", "@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg", "sub/@eaDir/b.jpg", ".@__thumb/a.jpg", ".AppleDouble/a.jpg",
        "__MACOSX/a.jpg", "#recycle/old.jpg", "@Recycle/old.jpg", "$RECYCLE.BIN/old.jpg", "._a.jpg", "Thumbs.db", "desktop.ini",
    )  # fmt: skip
    catalogue = walk(tmp_path)
    assert found(catalogue) == {"a": "a.jpg"}
    assert (catalogue.rejected, catalogue.noted) == ((), ())


# ---------------------------------------------------------------- names


COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "Jäckchen Größe é.jpg") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("on_disk", "in_table"),
    [
        (DECOMPOSED, COMPOSED),
        (COMPOSED, DECOMPOSED),
        ("IMG_1.JPG", "img_1.jpg"),
        ("img_1.jpg", "IMG_1.JPG"),
        ("sub/IMG_1.JPG", "Sub\\img_1.jpg"),
        ("sub/a b.jpg", "a b.jpg"),
        ("a b.jpg", "a%20b.jpg"),
        ("a b.jpg", "https://cdn.test/files/a%20b.jpg?v=17"),
        ("a.jpg", "./a.jpg"),
    ],
)
def test_a_table_and_a_disk_spell_names_differently(tmp_path: Path, on_disk: str, in_table: str) -> None:
    """Accents composed or not, upper case, folders, addresses: there is one photo that can be meant."""
    fill(tmp_path, on_disk, "other.jpg")
    (tmp_path / "products.csv").write_text(f"id,image\nsku,{in_table}\n", encoding="utf-8")
    catalogue = walk(tmp_path)
    assert found(catalogue) == {"sku": Path(on_disk).name, "other": "other.jpg"}
    assert catalogue.rejected == ()


def test_ids_that_are_names_are_spelled_differently_too(tmp_path: Path) -> None:
    """Without an image column; the id stays as the table has it."""
    fill(tmp_path, DECOMPOSED, "SKU-2.JPG")
    (tmp_path / "products.csv").write_text(f"id\n{COMPOSED.removesuffix('.jpg').upper()}\nsku-2\n", encoding="utf-8")
    assert sorted(found(walk(tmp_path)).values()) == sorted([DECOMPOSED, "SKU-2.JPG"])
    assert "sku-2" in found(walk(tmp_path))


def test_two_photos_that_may_be_meant_are_none(tmp_path: Path) -> None:
    """Case alone does not decide; a photo that is spelled exactly so is meant."""
    fill(tmp_path, "a.jpg", "A.jpg")
    (tmp_path / "products.csv").write_text("id,image\nexact,a.jpg\n")
    assert found(walk(tmp_path))["exact"] == "a.jpg"
    (tmp_path / "products.csv").write_text("id,image\nneither,A.JPG\n")
    catalogue = walk(tmp_path)
    assert found(catalogue) == {}
    assert "2 photos are named 'A.JPG'" in catalogue.rejected[0].cause


# ---------------------------------------------------------------- tables


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("products.csv", True), ("Products.CSV", True), ("PRODUCTS.tsv", True), ("products.xlsx", True), ("product.jsonl", True),
        ("products_export_1.csv", True), ("products (2).csv", True), ("products-export.csv", True), ("products.txt", True),
        ("products.json", True), ("products.xls", True), ("my products.csv", False), ("stock.xls", False), ("products.md", False), ("stock.csv", False),
    ],
)  # fmt: skip
def test_names_of_tables(name: str, *, table: bool) -> None:
    """Upper case, exports and second downloads are the table; other tables are not taken for it."""
    assert is_table(name) == table


TEXT = "id;image;title;price\r\nsku;a.jpg;Jäckchen für größere – „schön“;1.299,00 €\r\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("hint", ["", "sep=;\r\n", '"sep=;"\n'])
def test_encodings_of_excel(tmp_path: Path, encoding: str, hint: str) -> None:
    """As Excel saves CSV in the West, as "Unicode text", with its hint of a separator."""
    fill(tmp_path, "a.jpg")
    (tmp_path / "Products.csv").write_bytes((hint + TEXT).encode(encoding))
    catalogue = walk(tmp_path)
    assert catalogue.rejected == ()
    assert fields(catalogue, "sku") == {"title": "Jäckchen für größere – „schön“", "price": 1299.0, "currency": "EUR"}


@pytest.mark.parametrize("name", ["products.xls", "Products.ods", "products.parquet"])
def test_a_table_in_a_form_that_is_not_read_holds_its_photos_back(tmp_path: Path, name: str) -> None:
    """Its ids are the shop's, and we do not know them; the line says in what form to save it."""
    fill(tmp_path, "a.jpg")
    fill(tmp_path, name, data=b"whatever")
    catalogue = walk(tmp_path)
    assert found(catalogue) == {}
    (refused,) = catalogue.rejected
    assert "save it as one of .csv" in refused.cause
    assert "a.jpg" in refused.cause


@pytest.mark.parametrize("around", ["{}", '{{"products": {}, "page": 1}}'])
def test_a_list_in_json(tmp_path: Path, around: str) -> None:
    """A list of products, bare or under a name; an item that is none costs its photo only."""
    fill(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    rows = '[{"id": "sku", "image": "A.jpg", "price": 1.299}, "b"]'
    (tmp_path / "products.json").write_text(around.format(rows))
    catalogue = walk(tmp_path)
    assert found(catalogue) == {"sku": "a.jpg", "c": "c.jpg"}
    assert fields(catalogue, "sku") == {"price": 1.299}
    assert [row.where for row in catalogue.rejected] == ["products.json item 2"]
    (tmp_path / "products.json").write_text('{"id": "sku"}')
    assert found(walk(tmp_path)) == {}


def test_a_line_is_named_by_its_number_in_the_file(tmp_path: Path) -> None:
    """The hint of a separator is a line of it."""
    fill(tmp_path, "a.jpg")
    (tmp_path / "products.csv").write_text("sep=;\nid;image\nx;gone.jpg\n")
    assert walk(tmp_path).rejected[0].where == "products.csv line 3"


def further(catalogue: Catalogue) -> dict[str, list[str]]:
    """The photos of each product beside its first."""
    return {s.product_id: [getattr(place, "name", place) for place in s.further] for s in catalogue.sources}


def test_a_feed_of_google_merchant(tmp_path: Path) -> None:
    """Tab-separated, with or without the prefix "g:"; prices with a currency; further photos are the product's."""
    fill(tmp_path, "1.jpg", "1-back.jpg", "2.jpg")
    (tmp_path / "products.tsv").write_text(
        "g:id\tg:title\tg:image_link\tg:additional_image_link\tg:price\tg:brand\tg:color\n"
        "S1\tLinen dress\thttps://cdn.test/1.jpg?v=2\thttps://cdn.test/1-back.jpg\t79.00 EUR\tAcme\tnavy\n"
        "S2\tBoots\thttps://cdn.test/2.jpg\t\t\t\t\n"
    )
    catalogue = walk(tmp_path)
    assert found(catalogue) == {"S1": "1.jpg", "S2": "2.jpg"}
    assert fields(catalogue, "S1") == {
        "title": "Linen dress",
        "price": 79.0,
        "currency": "EUR",
        "brand": "Acme",
        "color": "navy",
    }
    assert further(catalogue) == {"S1": ["1-back.jpg"], "S2": []}
    assert catalogue.noted == ()


def test_an_export_of_shopify(tmp_path: Path) -> None:
    """A product has a line with its texts, then one for each size and each further photo; the handle names them all."""
    fill(tmp_path, "front.jpg", "back.jpg", "boots.jpg")
    (tmp_path / "products_export.csv").write_text(
        "Handle,Title,Body (HTML),Vendor,Type,Option1 Value,Variant SKU,Variant Price,Image Src,Image Position\n"
        'dress,Linen dress,"<p>Soft &amp; light</p>",Acme,Dresses,S,SKU-S,79.00,https://cdn.shopify.test/front.jpg?v=1,1\n'
        "dress,,,,,M,SKU-M,79.00,https://cdn.shopify.test/back.jpg?v=1,2\n"
        "dress,,,,,L,SKU-L,79.00,,\n"
        "boots,Boots,,Acme,Shoes,,SKU-B,120,https://cdn.shopify.test/boots.jpg,1\n"
    )
    catalogue = walk(tmp_path)
    assert found(catalogue) == {"dress": "front.jpg", "boots": "boots.jpg"}
    dress = fields(catalogue, "dress")
    assert dress["description"] == "Soft & light"
    assert (dress["title"], dress["brand"], dress["category"], dress["price"]) == (
        "Linen dress",
        "Acme",
        "Dresses",
        79.0,
    )
    assert catalogue.rejected == ()
    assert further(catalogue) == {"dress": ["back.jpg"], "boots": []}
    assert catalogue.noted == ()


def test_an_export_of_woocommerce(tmp_path: Path) -> None:
    """Several addresses in one cell: the first is the product's photo."""
    fill(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "products.csv").write_text(
        'ID,SKU,Name,Regular price,Images\n7,S7,Coat,"1.299,00","https://x.test/a.jpg, https://x.test/b.jpg"\n'
    )
    catalogue = walk(tmp_path)
    assert found(catalogue) == {"7": "a.jpg"}
    assert fields(catalogue, "7") == {"SKU": "S7", "title": "Coat", "price": 1299.0}
    assert further(catalogue) == {"7": ["b.jpg"]}


def test_woocommerces_type_is_no_category_and_its_attributes_are_fields(tmp_path: Path) -> None:
    """Every product was of the category "simple", and its colour lay in a field called "Attribute 1 value(s)"."""
    fill(tmp_path, "a.jpg")
    (tmp_path / "products.csv").write_text(
        "ID,Type,Name,Categories,Images,Attribute 1 name,Attribute 1 value(s)\n"
        '7,"simple, virtual",Coat,"Sale, Women > Coats",https://x.test/a.jpg,Colour,Red\n'
    )
    assert fields(walk(tmp_path), "7") == {"title": "Coat", "category": "Women > Coats", "Colour": "Red"}


def test_a_row_without_its_id_does_not_come_in_under_its_photos_name(tmp_path: Path) -> None:
    """Nor under a spreadsheet's error: the shop knows no such product."""
    fill(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    (tmp_path / "products.csv").write_text("id,image\nx,a.jpg\n,b.jpg\n#REF!,c.jpg\n")
    catalogue = walk(tmp_path)
    assert found(catalogue) == {"x": "a.jpg"}
    assert [(row.where, row.cause) for row in catalogue.rejected] == [
        ("products.csv line 3", "has no id"),
        ("products.csv line 4", "has no id"),
    ]


def test_an_empty_table_is_no_table(tmp_path: Path) -> None:
    """It was cut off: its photos' names are not their products'."""
    fill(tmp_path, "a.jpg")
    (tmp_path / "products.csv").write_bytes(b"")
    catalogue = walk(tmp_path)
    assert found(catalogue) == {}
    assert "is empty" in catalogue.rejected[0].cause


def test_an_inch_mark_is_no_quotation_that_is_open(tmp_path: Path) -> None:
    """With a line break in the last cell the whole table was refused. Commas in a column's name part nothing either."""
    fill(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "products.csv").write_text('id;image;title, long, and, plain\nx;a.jpg;5" heel\ny;b.jpg;"two\nlines"')
    catalogue = walk(tmp_path)
    assert found(catalogue) == {"x": "a.jpg", "y": "b.jpg"}
    assert fields(catalogue, "y") == {"title, long, and, plain": "two\nlines"}


def test_an_address_whose_photo_is_not_there_is_told(tmp_path: Path) -> None:
    """Nothing is fetched by an ingest."""
    fill(tmp_path, "b.jpg")
    (tmp_path / "products.csv").write_text("id,image_link\nsku,https://cdn.test/a.jpg\n")
    assert "put the photo beside the table" in walk(tmp_path).rejected[0].cause


def workbook(*rows: tuple[object, ...], sheet: str = "Sheet1", before: tuple[tuple[object, ...], ...] = ()) -> bytes:
    book = Workbook()
    if before:
        for row in before:
            book.active.append(row)
        page = book.create_sheet(sheet)
    else:
        page = book.active
    for row in rows:
        page.append(row)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def test_an_excel_workbook(tmp_path: Path) -> None:
    """Numbers as ids and prices, empty rows and cells, a sheet that is not the first."""
    fill(tmp_path, "10001.jpg", "b.jpg")
    rows = (
        ("ID", "Image Src", "Title", "Price", "New"),
        (),
        (10001, None, "Kleid", 1299.5, True),
        ("b", "B.JPG", None, "cheap"),
    )
    (tmp_path / "Products.xlsx").write_bytes(workbook(*rows, before=(("Notes", "of the shop"),)))
    catalogue = walk(tmp_path)
    assert found(catalogue) == {"10001": "10001.jpg", "b": "b.jpg"}
    assert fields(catalogue, "10001") == {"title": "Kleid", "price": 1299.5, "New": "true"}
    assert [(row.where, "'cheap'" in row.cause) for row in catalogue.noted] == [("Products.xlsx row 4", True)]


def test_an_excel_workbook_is_bounded(tmp_path: Path) -> None:
    """A few kilobytes that unfold to more than a table may have are refused before they unfold."""
    fill(tmp_path, "a.jpg")
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as page,
    ):
        for _ in range(MAX_TABLE_BYTES // 2**24 + 1):
            page.write(bytes(2**24))
    (tmp_path / "products.xlsx").write_bytes(buffer.getvalue())
    (refused,) = walk(tmp_path).rejected
    assert "unfolds to" in refused.cause


def test_a_bad_optional_field_costs_itself_only(tmp_path: Path) -> None:
    """The product comes in without it, and the report names line and field."""
    fill(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    long = "x" * 20_001
    (tmp_path / "products.csv").write_text(
        f"id,image,price,description,{'n' * 129}\na,a.jpg,10-20,fine,x\nb,b.jpg,from 9.99,{long},\nc,c.jpg,12,fine,\n"
    )
    catalogue = walk(tmp_path)
    assert sorted(found(catalogue)) == ["a", "b", "c"]
    assert fields(catalogue, "a") == {"description": "fine"}
    assert fields(catalogue, "b") == {}
    assert fields(catalogue, "c") == {"price": 12.0, "description": "fine"}
    assert [row.where for row in catalogue.noted] == ["products.csv line 2"] * 2 + ["products.csv line 3"] * 2
    assert catalogue.rejected == ()


def test_more_fields_than_an_upload_may_have(tmp_path: Path) -> None:
    """Those that are too many are left out, and named."""
    fill(tmp_path, "a.jpg")
    names = [f"f{n}" for n in range(103)]
    (tmp_path / "products.csv").write_text(f"id,image,{','.join(names)}\na,a.jpg,{','.join('v' * 103)}\n")
    catalogue = walk(tmp_path)
    assert len(fields(catalogue, "a")) == 100
    assert [row.cause.split()[0] for row in catalogue.noted] == ["f100", "f101", "f102"]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("title", ["Платье красное", "連衣裙紅色"])
def test_wide_encodings_of_other_alphabets(tmp_path: Path, encoding: str, title: str) -> None:
    """Without a mark of their own, too: only separators and column names have zero bytes then."""
    fill(tmp_path, "a.jpg")
    (tmp_path / "products.csv").write_bytes(f"id,image,title\na,a.jpg,{title * 300}\n".encode(encoding))
    assert fields(walk(tmp_path), "a") == {"title": title * 300}


@pytest.mark.parametrize(
    ("encoding", "title"),
    [
        ("cp1251", "Платье красное"),
        ("cp1250", "Suknia żółta i łagodna"),
        ("mac_roman", "Kleid für Jürgen"),
        ("cp1253", "Φόρεμα κόκκινο"),
    ],
)
def test_other_encodings_of_one_byte_are_named(tmp_path: Path, encoding: str, title: str) -> None:
    """They came in as other letters; now the table is refused, and its photos wait."""
    fill(tmp_path, "a.jpg")
    (tmp_path / "products.csv").write_bytes(f"id,image,title\na,a.jpg,{title}\n".encode(encoding))
    catalogue = walk(tmp_path)
    assert catalogue.sources == ()
    assert "save it as UTF-8" in catalogue.rejected[0].cause


def test_windows_1252_is_still_read(tmp_path: Path) -> None:
    """Words of the West with as many accents as they have."""
    fill(tmp_path, "a.jpg")
    title = "Été déjà créée – ¿Qué? Größe: 3 m² “soft”… 12 € œuvre Žena"
    (tmp_path / "products.csv").write_bytes(f"id,image,title\na,a.jpg,{title}\n".encode("cp1252"))
    assert fields(walk(tmp_path), "a") == {"title": title}


def test_columns_of_one_name(tmp_path: Path) -> None:
    """The first filled cell counts; further photos are the product's, not products of their own."""
    fill(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    (tmp_path / "products.csv").write_text("id,image,image,Image 3,colour,colour\na,a.jpg,b.jpg,c.jpg,,blue\n")
    catalogue = walk(tmp_path)
    assert {source.product_id: source.path.name for source in catalogue.sources} == {"a": "a.jpg"}
    assert further(catalogue) == {"a": ["b.jpg", "c.jpg"]}
    assert fields(catalogue, "a") == {"colour": "blue"}
    (tmp_path / "products.csv").write_text("id,image,colour,colour\na,a.jpg,red,\n")
    assert fields(walk(tmp_path), "a") == {"colour": "red"}


@pytest.mark.parametrize("cell", ["a.jpg, b.jpg", "a.jpg|b.jpg", "a.jpg ; b.jpg"])
def test_a_list_of_files_in_one_cell(tmp_path: Path, cell: str) -> None:
    """The first is the product's image, the others are further photos."""
    fill(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "products.csv").write_text(f'id,image\np,"{cell}"\n')
    assert {source.product_id: source.path.name for source in walk(tmp_path).sources} == {"p": "a.jpg"}
    assert further(walk(tmp_path)) == {"p": ["b.jpg"]}


def test_a_quotation_mark_that_is_not_closed(tmp_path: Path) -> None:
    """All later lines stand in one cell then; their photos do not come in under their files' names."""
    fill(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "products.csv").write_text('id,image,title\nx,a.jpg,"open\ny,b.jpg,t\n')
    catalogue = walk(tmp_path)
    assert catalogue.sources == ()
    assert "line 2 is not closed" in catalogue.rejected[0].cause


def test_cells_as_excel_and_browsers_leave_them(tmp_path: Path) -> None:
    """Text in a formula, blanks of no width, a path with a drive, prices with their currency in the column's name."""
    fill(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "products.csv").write_text(
        'id,image,Price (EUR)\n"=""00012""",C:\\shop\\a.jpg,"12,50"\n\u200bb,b.jpg\u200b,13\n'
    )
    catalogue = walk(tmp_path)
    assert {source.product_id: source.metadata for source in catalogue.sources} == {
        "00012": {"price": 12.5},
        "b": {"price": 13.0},
    }


# ---------------------------------------------------------------- prices


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
