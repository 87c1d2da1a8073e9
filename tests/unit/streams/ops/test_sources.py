"""A folder becomes products; what is unusable in it is named."""

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.errors import Poison
from streams.ops.sources import Catalogue, walk
from streams.ops.tables import read_table


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"photo")
    return folder


def ids(catalogue: Catalogue) -> list[str]:
    return [source.product_id for source in catalogue.sources]


def test_photos_alone_are_named_by_their_path(tmp_path: Path) -> None:
    """Sub-folders, all three formats, any case; other files and hidden ones do not count."""
    fill(tmp_path, "b.PNG", "a.jpg", "shoes/boot 1.webp", "shoes/x.jpeg", "readme.txt", ".hidden.jpg", ".git/c.jpg")
    catalogue = walk(tmp_path)
    assert ids(catalogue) == ["a", "b", "shoes/boot 1", "shoes/x"]
    assert catalogue.rejected == ()
    assert ids(walk(tmp_path)) == ids(catalogue)


def test_ids_have_one_form_of_accents(tmp_path: Path) -> None:
    """A Mac's folder and its copy elsewhere are the same products."""
    assert ids(walk(fill(tmp_path, unicodedata.normalize("NFD", "Jäckchen.jpg")))) == ["Jäckchen"]


def test_same_stem_twice_gives_two_products(tmp_path: Path) -> None:
    """a.jpg and a.png are two photos; the later keeps its suffix."""
    assert ids(walk(fill(tmp_path, "a.jpg", "a.png"))) == ["a", "a.png"]


def test_csv_beside_the_photos(tmp_path: Path) -> None:
    """Ids, images and metadata come from the table; a photo without a row comes in by its path."""
    fill(tmp_path, "one.jpg", "sub/two.png", "three.jpg")
    (tmp_path / "products.csv").write_text(
        "product_id,image,title,Fabric,price,colour\nsku-1,one.jpg,Wrap dress,linen,79.0,navy\nsku-2,sub/two.png,Boots,,,\n"
    )
    catalogue = walk(tmp_path)
    found = {one.product_id: (one.path and one.path.name, dict(one.metadata)) for one in catalogue.sources}
    assert found == {
        "sku-1": ("one.jpg", {"title": "Wrap dress", "fabric": "linen", "price": 79.0, "colour": "navy"}),
        "sku-2": ("two.png", {"title": "Boots"}),
        "three": ("three.jpg", {}),
    }
    assert catalogue.rejected == ()


def test_jsonl_by_stem_with_numbers_lists_and_objects(tmp_path: Path) -> None:
    """Without an image column the id is the photo's name; values of other types become text."""
    fill(tmp_path, "10000.jpg", "deep/10001.jpg")
    rows = [
        {
            "id": 10000,
            "price": 649,
            "tags": ["a", "b"],
            "new": True,
            "attributes": {"Pattern": "Printed", "x": {"y": 1}},
        },
        {"id": "10001.jpg", "gender": None, "season": "NA"},
    ]
    (tmp_path / "products.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    by_id = {s.product_id: dict(s.metadata) for s in walk(tmp_path).sources}
    assert by_id["10000"] == {"price": 649.0, "tags": "a, b", "new": "true", "Pattern": "Printed"}
    assert by_id["10001.jpg"] == {}


@pytest.mark.parametrize(
    ("row", "cause"),
    [
        ("sku,gone.jpg,5", "is not there"),
        ("sku,../secret.jpg,5", "outside the folder"),
        ("sku,,5", "no photo is named 'sku'"),
        (",,5", "neither an id nor an image"),
        ("sku,a.jpg,5,6,7", "5 cells under 3 columns"),
    ],
)
def test_rubbish_rows_are_named(tmp_path: Path, row: str, cause: str) -> None:
    """Each unusable row is rejected with its line and its cause, and the good row after it still counts."""
    fill(tmp_path / "shop", "a.jpg", "good.jpg")
    (tmp_path / "secret.jpg").write_bytes(b"not yours")
    (tmp_path / "shop" / "products.csv").write_text(f"id,image,price\n{row}\nfine,good.jpg,7\n")
    catalogue = walk(tmp_path / "shop")
    assert [(r.where, cause in r.cause) for r in catalogue.rejected] == [("products.csv line 2", True)]
    assert "fine" in ids(catalogue)
    assert all(source.path.name != "secret.jpg" for source in catalogue.sources)


@pytest.mark.parametrize(
    ("row", "names"),
    [
        ("sku,a.jpg,1,2,3", ["a.jpg"]),
        ("sku,../other/a.jpg,1", ["a.jpg"]),
        ("sku,a.png,1", ["a.jpg"]),
        ("a,gone.jpg,1", ["a.jpg"]),
        ("a,,1", ["one/a.jpg", "two/a.jpg"]),
        ("sku,A.JPG,1", ["a.jpg", "A.jpg"]),
        ("good,a.jpg,2", ["a.jpg"]),
    ],
)
def test_a_photo_whose_row_did_not_join_never_enters_under_its_file_name(
    tmp_path: Path, row: str, names: list[str]
) -> None:
    """Whatever was wrong with the row: it is named, and its photo is not a product by another name."""
    fill(tmp_path, "good.jpg", *names)
    (tmp_path / "products.csv").write_text(f"id,image,price\ngood,good.jpg,1\n{row}\n")
    catalogue = walk(tmp_path)
    assert ids(catalogue) == ["good"]
    assert [r.where for r in catalogue.rejected] == ["products.csv line 3"]
    assert sorted(r.where for r in catalogue.noted) == sorted(names)
    assert all("products.csv line 3 may be about it" in r.cause for r in catalogue.noted)


def test_a_bad_row_holds_back_photos_of_its_own_folder_only(tmp_path: Path) -> None:
    """Where every product has a folder, its photos have the same names in all of them."""
    fill(tmp_path, "one/1.jpg", "two/1.jpg", "three/1.jpg")
    (tmp_path / "products.csv").write_text("id,image\na,one/1.png\nb,two/1.jpg\n")
    catalogue = walk(tmp_path)
    assert ids(catalogue) == ["b", "three/1"]
    assert [r.where for r in catalogue.noted] == ["one/1.jpg"]


def test_a_photo_that_a_later_row_names_rightly_comes_in(tmp_path: Path) -> None:
    """A bad row holds a photo back only as long as no good one wants it."""
    fill(tmp_path, "a.jpg")
    (tmp_path / "products.csv").write_text("id,image\na,gone.jpg\nsku,a.jpg\n")
    assert ids(walk(tmp_path)) == ["sku"]


def test_twice_the_same_id_or_photo(tmp_path: Path) -> None:
    """The first row wins; a second that says something else of the product, or takes its photo, is named."""
    fill(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "products.csv").write_text("id,image,title\nsku,a.jpg,A\nsku,b.jpg,B\nother,a.jpg,C\n")
    catalogue = walk(tmp_path)
    assert [(s.product_id, s.path.name, s.further) for s in catalogue.sources] == [("sku", "a.jpg", ())]
    assert [r.cause for r in catalogue.rejected] == [
        "product 'sku' is in the table twice",
        "a.jpg belongs to another row already",
    ]


def test_a_table_in_a_sub_folder_rules_there(tmp_path: Path) -> None:
    """Image paths are relative to their own table."""
    fill(tmp_path, "men/a.jpg", "women/a.jpg")
    (tmp_path / "men" / "products.csv").write_text("id,file\nm-1,a.jpg\n")
    assert ids(walk(tmp_path)) == ["m-1", "women/a"]


@pytest.mark.parametrize(
    ("name", "content", "cause"),
    [
        ("products.csv", b"colour,size\nred,4\n", "no column is called"),
        ("products.csv", "id,title,image\n1,Jäckchen für,a.jpg\n".encode() + b"2,\xff,b.jpg\n", "damaged bytes"),
        ("products.csv", b"\xff\xfei", "is neither UTF-8 nor utf-16"),
        ("products.csv", b"id,image\n1,\x81.jpg\n", "is neither UTF-8 nor cp1252"),
        ("products.xlsx", b"PK\x03\x04 and no more", "is no Excel workbook"),
        ("products.xlsx", b"id,image\n", "is no Excel workbook"),
        ("products.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "password"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, name: str, content: bytes, cause: str) -> None:
    """One line names the table and the photos that are left out with it: their files' names are not the shop's ids."""
    fill(tmp_path, "shop/a.jpg", "other/b.jpg")
    (tmp_path / "shop" / name).write_bytes(content)
    catalogue = walk(tmp_path)
    assert ids(catalogue) == ["other/b"]
    (refused,) = catalogue.rejected
    assert refused.where == f"shop/{name}"
    assert cause in refused.cause
    assert "shop/a.jpg" in refused.cause


@pytest.mark.parametrize("line", ['{"id": "b", broken', '["b", 2]', '"b.jpg"'])
def test_broken_lines_of_json(tmp_path: Path, line: str) -> None:
    """A bad line is named, and costs the photo that it speaks of only."""
    fill(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "products.jsonl").write_text(line + "\n")
    catalogue = walk(tmp_path)
    assert ids(catalogue) == ["a"]
    assert [r.where for r in catalogue.rejected] == ["products.jsonl line 1"]
    assert "is no JSON" in catalogue.rejected[0].cause


def test_excel_exports(tmp_path: Path) -> None:
    """Semicolons, a byte-order mark, quoted line breaks, Windows paths and European prices."""
    fill(tmp_path, "sub/a.jpg")
    text = '\ufeffid;image;description;price\r\nx;sub\\a.jpg;"two\r\nlines";"1.299,90 €"\r\n'
    (tmp_path / "products.csv").write_bytes(text.encode())
    (source,) = walk(tmp_path).sources
    assert (source.product_id, source.metadata["price"]) == ("x", 1299.9)
    assert str(source.metadata["description"]).split() == ["two", "lines"]


def test_formats_that_we_do_not_read_are_named(tmp_path: Path) -> None:
    """A HEIC photo is not silently missing."""
    catalogue = walk(fill(tmp_path, "a.jpg", "b.HEIC"))
    assert [(r.where, r.cause) for r in catalogue.rejected] == [("b.HEIC", "HEIC is not JPEG, PNG, WebP or GIF")]


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    """A link to the parent would make the walk endless."""
    fill(tmp_path, "sub/a.jpg")
    (tmp_path / "sub" / "again").symlink_to(tmp_path, target_is_directory=True)
    assert ids(walk(tmp_path)) == ["sub/a"]


def test_a_single_file_and_nothing(tmp_path: Path) -> None:
    """One image is one product; a text file or a missing folder is refused; an empty folder is empty."""
    fill(tmp_path, "a.jpg", "b.txt")
    assert ids(walk(tmp_path / "a.jpg")) == ["a"]
    for bad in ("b.txt", "gone"):
        with pytest.raises(Poison):
            walk(tmp_path / bad)
    (tmp_path / "empty").mkdir()
    assert walk(tmp_path / "empty") == Catalogue((), ())


@given(
    st.binary(max_size=300),
    st.sampled_from(["products.csv", "products.jsonl", "products.xlsx", "products.tsv", "products.json"]),
)
def test_any_bytes_as_a_table(tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str) -> None:
    """Whatever a table holds, reading it ends in rows and named rejections."""
    file = tmp_path_factory.getbasetemp() / name
    file.write_bytes(b"id,image\n" + content if name.endswith("csv") else content)
    rows, problem = read_table(file, name)
    assert all(row.where for row in rows)
    assert not (rows and problem)


def photos(catalogue: Catalogue) -> dict[str, list[str]]:
    """The names of all photos of each product, the first one first."""
    return {s.product_id: [p.name for p in (s.path, *s.further) if isinstance(p, Path)] for s in catalogue.sources}


def test_further_rows_of_a_product_are_its_further_photos(tmp_path: Path) -> None:
    """One row a photo, with the same words or none; a photo that is not there costs itself only."""
    fill(tmp_path, "a.jpg", "b.jpg", "c.jpg", "d.jpg")
    (tmp_path / "products.csv").write_text(
        "id,image,title\nx,a.jpg,A\nx,b.jpg,\nx,c.jpg,A\nx,gone.jpg,A\nx,a.jpg,A\ny,d.jpg,D\n"
    )
    catalogue = walk(tmp_path)
    assert photos(catalogue) == {"x": ["a.jpg", "b.jpg", "c.jpg"], "y": ["d.jpg"]}
    assert catalogue.rejected == ()
    assert [(row.where, "not there" in row.cause) for row in catalogue.noted] == [("products.csv line 5", True)]


def test_products_of_two_tables_with_one_id_are_not_mixed(tmp_path: Path) -> None:
    """Two shops' exports in one folder."""
    fill(tmp_path, "men/a.jpg", "women/b.jpg")
    for folder, image in (("men", "a.jpg"), ("women", "b.jpg")):
        (tmp_path / folder / "products.csv").write_text(f"id,image\n1,{image}\n")
    catalogue = walk(tmp_path)
    assert photos(catalogue) == {"1": ["a.jpg"]}
    assert "twice" in catalogue.rejected[0].cause


def test_more_photos_than_a_product_may_have(tmp_path: Path) -> None:
    """The first sixteen come in, the others are named."""
    names = [f"{number:02}.jpg" for number in range(18)]
    fill(tmp_path, *names)
    (tmp_path / "products.csv").write_text("id,image\n" + "".join(f"x,{name}\n" for name in names))
    catalogue = walk(tmp_path)
    assert photos(catalogue) == {"x": names[:16]}
    assert [row.where for row in catalogue.noted] == ["products.csv line 18", "products.csv line 19"]


@pytest.mark.parametrize("row", ["id,title\nsku-1,A\n", "id,image,title\nsku-1,sku-1/,A\n"])
def test_a_row_may_name_a_folder(tmp_path: Path, row: str) -> None:
    """By its id, or by its image: all photos in it are the product's."""
    fill(tmp_path, "sku-1/back.jpg", "sku-1/front.jpg", "other.jpg")
    (tmp_path / "products.csv").write_text(row)
    catalogue = walk(tmp_path)
    assert photos(catalogue) == {"sku-1": ["back.jpg", "front.jpg"], "other": ["other.jpg"]}
    [product] = [source for source in catalogue.sources if source.product_id == "sku-1"]
    assert (product.equal, product.metadata) == (True, {"title": "A"})


def test_a_folder_a_product(tmp_path: Path) -> None:
    """Only where it is asked for: folders are categories as often."""
    fill(tmp_path, "sku-1/back.jpg", "sku-1/front.jpg", "shoes/sku-2/1.jpg", "single.jpg")
    assert ids(walk(tmp_path)) == ["shoes/sku-2/1", "single", "sku-1/back", "sku-1/front"]
    found = photos(walk(tmp_path, by_folder=True))
    assert found == {"shoes/sku-2": ["1.jpg"], "single": ["single.jpg"], "sku-1": ["back.jpg", "front.jpg"]}
