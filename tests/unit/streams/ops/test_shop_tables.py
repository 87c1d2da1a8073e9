"""Folders and tables as shops have them: other programs' columns, encodings, spellings and waste."""

from __future__ import annotations

import io
import unicodedata
import zipfile
from pathlib import Path

import pytest
from openpyxl import Workbook

from processors.errors import Poison
from streams.ops.sources import Catalogue, walk
from streams.ops.table_files import MAX_TABLE_BYTES, is_table
from streams.ops.tables import read_table
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


@pytest.mark.parametrize(
    "heads", ["Artikelnummer;Bild;Preis;Titel;Marke", "sku;foto;Prezzo;Titolo;Marca", "sku;image;Precio;Título;Marca"]
)
def test_shops_head_their_columns_in_their_language(tmp_path: Path, heads: str) -> None:
    """A price under "Preis" is a price, and no facet that nobody can filter by."""
    table = tmp_path / "products.csv"
    table.write_text(f"{heads}\nA1;a.jpg;1.299,50;Kleid;Acme\n")
    [row], _ = read_table(table, table.name)
    assert row.metadata == {"price": 1299.5, "title": "Kleid", "brand": "Acme"}
