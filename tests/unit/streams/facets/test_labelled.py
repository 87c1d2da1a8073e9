"""A shop's table as truth."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.yardsticks.photos import Photos
from processors.errors import Poison
from streams.facets.labelled import label_of, read_labelled


def _photos(folder: Path, *names: str) -> Photos:
    folder.mkdir(exist_ok=True)
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(buffer, "PNG")
    for name in names:
        (folder / f"{name}.png").write_bytes(buffer.getvalue())
    return Photos.open(folder)


def test_json_lines_with_nested_attributes(tmp_path: Path) -> None:
    """As large shops export them, packed: the facets are found by their names, and mapped words are told."""
    rows = [
        {
            "id": 1,
            "articleType": "Tshirts",
            "brandName": "Acme",
            "baseColour": "Navy Blue",
            "articleAttributes": {"Pattern": "Solid", "Sleeve Length": "Half Sleeves", "Neck": "Polo Collar"},
        },
        {"id": 2, "articleType": "Shirts", "brandName": "Bell", "articleAttributes": {"Pattern": "NA"}},
        {"id": 3, "articleType": "Shirts"},
        {"id": 4, "title": "something"},
    ]
    table = tmp_path / "products.jsonl.gz"
    table.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    found = read_labelled(table, _photos(tmp_path / "photos", "1", "2", "4"))
    first, second = found.products
    assert first.labels == {
        "kind": "t-shirt",
        "pattern": "solid",
        "sleeve": "short",
        "neckline": "polo",
        "colour": "navy blue",
    }
    assert (first.brand, first.category) == ("Acme", "Tshirts")
    assert second.labels == {"kind": "shirt"}
    assert found.left_out == {"without a photo": 1, "without a label": 1}
    assert found.mapped["kind"] == {"Tshirts": "t-shirt", "Shirts": "shirt"}
    assert found.mapped["sleeve"] == {"Half Sleeves": "short"}


def test_a_csv_with_an_image_column(tmp_path: Path) -> None:
    """The photo goes by its file's name; columns by what shops call them."""
    table = tmp_path / "products.csv"
    table.write_text("sku,image,vendor,product type,color,print\nA,front.png,Acme,Polos,Off White,Stripes\n")
    [product] = read_labelled(table, _photos(tmp_path / "photos", "front")).products
    assert product.photo == "front.png"
    assert product.labels == {"kind": "polo", "colour": "off white", "pattern": "striped"}


def test_a_colour_keeps_the_shops_own_word() -> None:
    """Filters read "Off White" as cream; the word that is learnt is the shop's."""
    assert label_of("colour", "Off White") == "off white"
    assert label_of("colour", "NA") == ""
    assert label_of("length", "Regular") == "", "it says nothing, and a caption would print it"
    assert label_of("sleeve", "No Sleeves") == "sleeveless"
    assert label_of("neckline", "Tie-Up Neck") == "tie up neck"


@pytest.mark.parametrize("text", ["", "sku,title\n1,x\n", "sku,pattern\nnowhere,striped\n"])
def test_a_table_that_teaches_nothing_is_refused(tmp_path: Path, text: str) -> None:
    """The sentence names the file, and why none of its rows can be used."""
    table = tmp_path / "products.csv"
    table.write_text(text)
    with pytest.raises(Poison, match=r"products\.csv"):
        read_labelled(table, _photos(tmp_path / "photos", "1"))
