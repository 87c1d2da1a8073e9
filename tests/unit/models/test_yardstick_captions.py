"""What a shop says, what a caption says of it, and how the two are held against each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from models.yardsticks import captions_page
from models.yardsticks.caption_reading import read
from models.yardsticks.captions import Captioned, Judged, Product, judge, products_of, report, score, spread
from models.yardsticks.photos import Photos
from models.yardsticks.shop_words import further_colours, truth_of
from processors.errors import Poison
from processors.values import Colour, Garment

TEE = {
    "articleType": "Tshirts", "baseColour": "Navy Blue", "colour1": "White", "gender": "Men", "ageGroup": "Adults-Men",
    "Pattern": "Printed", "Sleeve Length": "Short Sleeves", "Neck": "Round Neck", "Fabric": "Cotton",
    "productDisplayName": "Classic Polo Men Navy Tshirt", "brandName": "Classic Polo",
}  # fmt: skip


def judged(caption: str, **fields: str) -> Judged:
    told = {**TEE, **fields}
    product = Product("7", "7.jpg", "", truth_of(told, "Classic Polo"), further_colours(told), told)
    return judge(Captioned(product, (), 10, 10, caption, (), "llm"))


def wrong_of(caption: str, **fields: str) -> list[tuple[str, str]]:
    return [(v.statement.facet, v.statement.values[0]) for v in judged(caption, **fields).wrong]


def test_what_a_shop_says() -> None:
    """Each field by the written tables; a shop's coarse word allows the narrower ones."""
    truth = truth_of(TEE, "Classic Polo")
    assert truth["category"] == {"shirt"}
    assert truth["kind"] == {"t-shirt"}
    assert truth["colour"] == {"navy", "blue"}
    assert {"printed", "graphic", "floral"} <= truth["pattern"]
    assert "striped" not in truth["pattern"]
    assert (truth["sleeve"], truth["neckline"]) == ({"short", "cap"}, {"round", "crew"})
    assert truth["audience"] == {"men"}
    assert truth["fabric"] == {"cotton", "denim"}


@pytest.mark.parametrize(
    ("fields", "facet", "values"),
    [
        ({"Neck": "Polo Collar"}, "kind", {"t-shirt", "polo"}),
        ({"articleType": "Innerwear Vests", "Sleeve Length": "No Sleeves"}, "sleeve", {"sleeveless"}),
        ({"Pattern": "Printed", "Print or Pattern Type": "Floral"}, "pattern", {"floral", "printed"}),
        ({"Pattern": "Washed"}, "pattern", None),
        ({"Pattern": "NA"}, "pattern", None),
        ({"Collar": "Mandarin Collar", "Neck": ""}, "neckline", {"mandarin", "high", "collar"}),
        ({"ageGroup": "Kids-Girls", "gender": "Girls"}, "audience", {"girls", "kids"}),
        ({"baseColour": "Multi"}, "colour", {"navy", "blue"}),  # then the title's
        ({"baseColour": "Maroon"}, "colour", {"burgundy", "red"}),
        ({"baseColour": "Cream"}, "colour", {"cream", "beige"}),
        ({"baseColour": "Red"}, "colour", {"red", "burgundy"}),
        ({"articleType": "Watches"}, "category", None),
    ],
)
def test_single_fields(fields: dict[str, str], facet: str, values: set[str] | None) -> None:
    assert truth_of({**TEE, **fields}, "Classic Polo").get(facet) == values


def test_other_tables_say_it_in_other_columns() -> None:
    """Google's path of categories, a feed's colour; and the title where no column says it, without the brand's name."""
    feed = {
        "title": "Black Coffee Men's Checked Shirt",
        "google_product_category": "Apparel > Clothing > Shirts & Tops > Shirt",
    }
    truth = truth_of({**feed, "color": "Light Blue"}, "Black Coffee")
    assert truth == {
        "category": {"shirt"}, "colour": {"light blue"}, "pattern": {"checked"}, "audience": {"men"}, "kind": {"shirt"},
    }  # fmt: skip
    assert "colour" not in truth_of(feed, "Black Coffee")


def test_right_and_stated() -> None:
    """Synonyms count; what stands at other garments' words is not said of the product."""
    found = judged("A navy printed crew-neck tee with short sleeves for men, worn with white trousers and black shoes.")
    assert found.right == {"category", "kind", "colour", "pattern", "sleeve", "neckline", "audience"}
    assert found.wrong == ()
    assert found.coverage == 1.0


@pytest.mark.parametrize(
    ("caption", "fields", "wrong"),
    [
        ("A grey dress.", {}, [("colour", "grey"), ("category", "dress")]),
        ("A navy sweater.", {}, [("kind", "sweater")]),
        ("A blue shirt.", {}, []),  # of a navy one
        ("A light blue shirt.", {}, [("colour", "light blue")]),
        ("A black shirt.", {}, [("colour", "black")]),
        ("A navy and white shirt.", {}, []),  # white is the shop's second colour
        ("A navy and red shirt.", {}, []),  # of a print only the ground is named
        ("A navy and red shirt.", {"Pattern": "Solid"}, [("colour", "red")]),
        ("A red and navy shirt.", {}, [("colour", "red")]),
        ("A checked shirt. Made for women.", {}, [("pattern", "checked"), ("audience", "women")]),
        ("A plain V-neck top with long sleeves.", {}, [("pattern", "solid"), ("neckline", "v"), ("sleeve", "long")]),
        ("A shirt that is not navy.", {}, [("colour", "navy")]),
        ("A navy shirt beside a red bag.", {}, []),
        ("Polo shirt in navy.", {"Neck": "Polo Collar"}, []),
        ("New in the shop. The rest is posture.", {}, []),
    ],
)
def test_wrong_claims(caption: str, fields: dict[str, str], wrong: list[tuple[str, str]]) -> None:
    assert wrong_of(caption, **fields) == wrong


def test_a_first_colour_that_is_not_the_shops_is_not_right() -> None:
    """White is among its colours, but the shop calls the garment navy."""
    found = judged("A white and navy shirt.")
    assert ("colour" in found.stated, "colour" in found.right, found.wrong) == (True, False, ())


def test_a_kind_says_what_it_cannot_be_without() -> None:
    """A polo has its collar; a hoodie that the shop calls a T-shirt is one wrong claim, not two."""
    assert "neckline" in judged("A navy polo.", Neck="Polo Collar").right
    found = judged("A navy hoodie.")
    assert [(v.statement.facet) for v in found.wrong] == ["kind"]
    assert "neckline" not in found.stated


def test_reading() -> None:
    found = read("Black jeans and a tank top in white.")
    assert [(word.category, word.kind) for word in found.garments] == [("pants", "jeans"), ("shirt", "tank top")]
    assert [s.values[0] for s in found.garments[0].said] == ["black"]


def rows_of(brands: dict[str, int]) -> list[tuple[str, str, dict[str, Any]]]:
    names = [brand for brand, count in brands.items() for _ in range(count)]
    return [(str(n), "", {"articleType": "Tshirts", "brandName": brand}) for n, brand in enumerate(names)]


@pytest.fixture
def photos(tmp_path: Path) -> Photos:
    for n in range(12):
        cv2.imwrite(str(tmp_path / f"{n}.png"), np.full((40, 30, 3), 200, np.uint8))
    return Photos.open(tmp_path)


def test_a_limit_takes_one_brand_after_the_other(photos: Photos) -> None:
    """Two brands of very different size give two each; the same ones each time."""
    rows = rows_of({"big": 9, "small": 3})
    products, missing, beyond = products_of(
        [*rows, ("99", "", {"articleType": "Tshirts"}), ("5", "", {"articleType": "Ties"})], photos
    )
    assert (len(products), missing, beyond) == (12, ["99"], 1)
    chosen = spread(products, 4)
    assert sorted(one.brand for one in chosen) == ["big", "big", "small", "small"]
    assert spread(products[::-1], 4) == chosen
    assert spread(products, 0) == products
    with pytest.raises(Poison, match="nothing to judge among 1 products, for there is no photo, such as of '99'"):
        products_of([("99", "", {"articleType": "Tshirts"})], photos)
    with pytest.raises(Poison, match="no row that can be read"):  # it said that none has a type that Weft knows
        products_of([], photos)


def test_the_figures_and_the_page(photos: Photos, tmp_path: Path) -> None:
    """Counts by facet, shares of captions, and a page with the worst first that needs no other file."""
    box = Garment("g0", "shirt", (3, 4, 27, 30), 0.9, (Colour("navy", "#1c2747", 1.0),))

    def one(n: int, caption: str, garments: tuple[Garment, ...]) -> Judged:
        product = Product(str(n), f"{n}.png", "b", truth_of(TEE, ""), frozenset(), {"title": "A <b>tee</b>"})
        return judge(Captioned(product, garments, 30, 40, caption, ("#navyshirt",), "template"))

    some = [one(0, "A navy printed shirt.", (box,)), one(1, "A red checked dress.", ()), one(2, "New in.", (box,))]
    found = report(some, None, 2, 1, ())
    assert (found.facets["colour"].right, found.facets["colour"].stated, found.facets["colour"].of) == (1, 2, 3)
    assert (found.facets["pattern"].wrong, found.facets["category"].wrong) == (1, 1)
    assert found.coverage == pytest.approx(3 / 15)
    assert found.wrong_per_caption == pytest.approx(1.0)
    assert (found.nothing_found, found.category_found) == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert (found.without_photo, found.not_comparable, found.brands, found.template_share) == (2, 1, {"b": 3}, 1.0)
    assert score(some[:1]).coverage == pytest.approx(3 / 5)
    captions_page.write(tmp_path / "page.html", found, some, (), photos)
    page = (tmp_path / "page.html").read_text()
    assert page.index('id="p1"') < page.index('id="p2"') < page.index('id="p0"')
    assert '<mark class="wrong" title="colour: red">red</mark>' in page
    assert '<mark class="right" title="colour: navy">navy</mark>' in page
    assert page.count("data:image/jpeg;base64,") == 3
    assert "left:10.0%;top:10.0%;width:80.0%;height:65.0%" in page
    assert "<b>tee</b>" not in page
