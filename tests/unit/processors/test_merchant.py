"""The shop's word beside the photo's."""

from __future__ import annotations

import msgspec

from processors.merchant import Difference, conflicts, seen_kind, told_facets, told_kind
from processors.values import Attribute, Garment, Metadata

SHIRT = Garment(
    "g0",
    "shirt",
    (0, 0, 90, 90),
    0.9,
    attributes={
        "pattern": Attribute("striped", 0.93, source="pixels"),
        "sleeve": Attribute("long", 0.98, source="pixels"),
        "kind": Attribute("t-shirt", 0.9, source="pixels"),
    },
)


def test_a_difference_is_told_with_both_words() -> None:
    """Of the facets that both speak of; the same in other words is none."""
    said = Metadata(category="Shirts", facets={"Pattern": "Checks", "Sleeve Length": "Full Sleeves"})
    assert conflicts([SHIRT], said) == (
        Difference("g0", "kind", "shirt", "t-shirt", 0.9),
        Difference("g0", "pattern", "checked", "striped", 0.93),
    )
    assert conflicts([SHIRT], Metadata(facets={"Pattern": "Stripes", "article type": "Tshirts"})) == ()


def test_what_is_not_sold_is_in_no_conflict() -> None:
    """The shop sells shoes; that the shirt beside them is striped contradicts nothing."""
    assert conflicts([SHIRT], Metadata(category="Shoes", facets={"pattern": "plain"})) == ()
    assert conflicts([], Metadata(category="Shirts", facets={"pattern": "plain"})) == ()


def test_a_wider_word_is_no_conflict() -> None:
    """ "Apparel" names no kind, and a T-shirt is a top."""
    for metadata in (Metadata(category="Apparel"), Metadata(category="Tops")):
        assert conflicts([SHIRT], metadata) == ()
    assert told_kind(Metadata(category="Apparel")) == ""
    assert told_kind(Metadata(category="Apparel", facets={"articleType": "Kurtas"})) == "kurtas"


def test_the_shops_kind_is_one_of_its_facets() -> None:
    """With what it says else; unstated facets are absent."""
    told = told_facets(Metadata(category="Polos", fabric="Linen"))
    assert {facet: attribute.value for facet, attribute in told.items()} == {"kind": "polo", "fabric": "linen"}
    assert "kind" not in told_facets(Metadata())


def test_the_garment_is_not_changed() -> None:
    """What was seen stays on the item as it was seen."""
    before = msgspec.json.encode(SHIRT)
    conflicts([SHIRT], Metadata(category="Shirts", facets={"Pattern": "Checks"}))
    assert msgspec.json.encode(SHIRT) == before


def test_a_category_does_not_replace_a_kind_that_only_a_detector_of_ones_own_knows() -> None:
    """A kaftan is one of the shop's shirts; another garment that Weft has a word for, or a kind that the shop names, is not."""
    kaftan = msgspec.structs.replace(SHIRT, attributes={"kind": Attribute("kaftan", 0.9, source="pixels")})
    assert seen_kind(kaftan) == "kaftan"
    assert seen_kind(None) == ""
    for said in (Metadata(category="Shirts"), Metadata(category="Women > Tops")):
        assert told_kind(said, "kaftan") == ""
        assert "kind" not in told_facets(said, "kaftan")
        assert conflicts([kaftan], said) == ()
        assert told_kind(said, "t-shirt") == told_kind(said) != ""
    assert told_kind(Metadata(category="Polos"), "kaftan") == "polo"
    assert told_kind(Metadata(category="Shirts", facets={"kind": "Shirts"}), "kaftan") == "shirt"


def test_one_and_many_are_one_kind() -> None:
    """ "Kaftans" of the shop's table and "kaftan" of a detector contradict nothing; two kinds do."""
    kaftan = msgspec.structs.replace(SHIRT, attributes={"kind": Attribute("kaftan", 0.9, source="pixels")})
    assert conflicts([kaftan], Metadata(facets={"articleType": "Kaftans"})) == ()
    assert len(conflicts([kaftan], Metadata(facets={"articleType": "Saris"}))) == 1
