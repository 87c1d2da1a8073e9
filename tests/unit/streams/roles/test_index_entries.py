"""Items as the index sees them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from index_sync.entry import fold_wanted, postings_of
from index_sync.shard import Shard
from processors.errors import Poison
from processors.values import Attribute, Colour, Garment, Metadata
from streams.contract import codecs
from streams.contract.codecs import encode
from streams.contract.records import Item, ItemPhoto, Source, View
from streams.engine.message import Message
from streams.roles.index.entries import change_of, entry_of
from tests.fakes.index_items import unit


def _garment(garment_id: str, category: str, colour: str, side: float) -> Garment:
    return Garment(garment_id, category, (0, 0, side, side), 0.9, (Colour(colour, "#000000", 1.0),))


ITEM = Item(
    product_id="p",
    image="file:///p.jpg",
    width=10,
    height=10,
    garments=(_garment("g0", "bag", "red", 2), _garment("g1", "dress", "navy", 9)),
    views=tuple(View(name, "x", unit(i).tobytes()) for i, name in enumerate(("whole", "g0", "g1"))),
    metadata=Metadata(gender="Ladies", category="dress", brand="Acme", facets={"season": "SS26"}),
    encoder="sha256:e",
    dimension=8,
    detector="sha256:d",
    source=Source("catalog.uploads", 0, 0),
    version="0",
)


def _message(value: bytes | None, key: bytes | None = b"p") -> Message:
    return Message("catalog.items", 0, 7, key, value)


def test_each_garment_answers_for_itself_and_the_whole_view_for_each() -> None:
    """Facets of garments are kept apart; what the shop says holds for all of them, in both spellings."""
    whole, bag, dress = entry_of(ITEM).payload.views
    assert bag.facets[0]["colour"] == ("red",)
    assert bag.facets[0]["category"] == ("bag",)
    assert dress.facets[0]["category"] == ("dress",)
    assert whole.facets == (bag.facets[0], dress.facets[0])
    for facets in whole.facets:
        assert facets["gender"] == ("Ladies", "women")
        assert facets["brand"] == ("Acme",)
        assert facets["season"] == ("SS26",)


def test_the_reference_of_a_query_is_the_main_garment() -> None:
    """One value a facet, canonical, of the garment that the product is named after."""
    payload = entry_of(ITEM).payload
    assert payload.category == "dress"
    assert payload.facets == {"gender": "women", "category": "dress", "colour": "navy"}
    assert [colour.name for colour in payload.colours] == ["navy"]


def test_an_item_without_garments_is_found_by_what_the_shop_says() -> None:
    """Nothing was detected: the whole view still has the shop's category."""
    item = msgspec.structs.replace(ITEM, garments=(), views=ITEM.views[:1])
    (whole,) = entry_of(item).payload.views
    assert whole.facets[0]["category"] == ("dress", "x")
    assert entry_of(item).payload.facets == {"gender": "women", "category": "dress"}


@pytest.mark.parametrize(
    ("facet", "written", "asked", "found"),
    [
        ("fabric", "vegan leather", "leather", False),
        ("fabric", "PU leather", "faux leather", True),
        ("fabric", "Kunstleder", "leather-look", True),
        ("fabric", "cotton-free", "cotton", False),
        ("fabric", "silky", "silk", False),
        ("fabric", "100% Cotton", "cotton", True),
        ("gender", "not for men", "men", False),
        ("gender", "Damen", "women", True),
        ("neckline", "no collar", "collar", False),
        ("sleeve", "without sleeves", "sleeveless", True),
    ],
)
def test_a_filter_reads_labels_as_captions_do(facet: str, written: str, asked: str, found: bool) -> None:
    """Both ends by the one function: what a shop denies is not found under what it denies."""
    item = msgspec.structs.replace(ITEM, metadata=Metadata(facets={facet: written}))
    given = entry_of(item).payload.views[0].facets[0].get(facet, ())
    kept = {value for _, value in postings_of(facet, tuple(given))}
    assert bool(kept & set(fold_wanted({facet: (asked,)})[facet])) == found


def test_a_null_value_is_a_delete_and_a_value_an_upsert() -> None:
    """The key names the product, the offset is the version."""
    assert change_of(_message(None)).entry is None
    change = change_of(_message(codecs.encode(ITEM)))
    assert (change.product_id, change.offset) == ("p", 7)
    assert change.entry is not None
    assert change.entry.vectors.shape == (3, 8)


@pytest.mark.parametrize(
    ("value", "key", "field"),
    [
        (codecs.encode(ITEM), None, "key"),
        (codecs.encode(ITEM), b"\xff", "key"),
        (codecs.encode(ITEM), b"other", "product_id"),
        (b"garbage", b"p", "value"),
        (codecs.encode(msgspec.structs.replace(ITEM, views=())), b"p", "views"),
        (codecs.encode(msgspec.structs.replace(ITEM, dimension=9)), b"p", "views.vector"),
    ],
)
def test_what_can_never_be_indexed_is_poison(value: bytes, key: bytes | None, field: str) -> None:
    """And names its field."""
    with pytest.raises(Poison) as caught:
        change_of(_message(value, key))
    assert caught.value.field == field


def test_products_of_which_the_shop_says_the_same_keep_what_was_seen_apart() -> None:
    """What is remembered of one is not told of another: colours, attributes, and the stated category of its main garment."""
    other = msgspec.structs.replace(
        ITEM,
        garments=(_garment("g0", "bag", "teal", 9), _garment("g1", "dress", "navy", 2)),
        metadata=msgspec.structs.replace(ITEM.metadata, category="bag"),
    )
    first, second, again = (entry_of(item).payload for item in (ITEM, other, ITEM))
    assert first == again
    assert [view.facets[0]["colour"] for view in second.views[1:]] == [("teal",), ("navy",)]
    assert [view.facets[0]["category"] for view in second.views[1:]] == [("bag",), ("dress",)]
    assert (first.category, second.category) == ("dress", "bag")


def _seen(garment: Garment, **facets: str) -> Garment:
    attributes = {facet: Attribute(value, 0.9, source="pixels") for facet, value in facets.items()}
    return msgspec.structs.replace(garment, attributes=attributes)


def test_what_the_photo_shows_is_filtered_by_and_the_shops_word_wins() -> None:
    """Of the garment that is sold the shop's pattern counts; the bag beside it is what it was seen to be."""
    bag, dress = ITEM.garments
    item = msgspec.structs.replace(
        ITEM,
        garments=(_seen(bag, pattern="dotted"), _seen(dress, pattern="striped", sleeve="long", kind="jumpsuit")),
        metadata=Metadata(category="dress", facets={"Pattern": "Checks"}),
    )
    entry = entry_of(item)
    _, of_bag, of_dress = entry.payload.views
    assert of_dress.facets[0]["pattern"] == ("checked",)
    assert of_dress.facets[0]["sleeve"] == ("long",)
    assert of_dress.facets[0]["kind"] == ("dress",)
    assert of_bag.facets[0]["pattern"] == ("dotted",)
    assert entry.payload.facets["pattern"] == "checked"
    assert entry.payload.facets["sleeve"] == "long"


@pytest.mark.parametrize(
    ("facet", "seen", "asked"),
    [
        ("pattern", "striped", "Stripes"),
        ("pattern", "solid", "plain"),
        ("kind", "t-shirt", "Tees"),
        ("articleType", "Tshirts", "t-shirt"),
        ("neckline", "polo collar", "Polo Collar"),
        ("colour", "navy blue", "navy"),
        ("kind", "Kaftans", "kaftan"),
        ("kind", "kaftan", "Kaftans"),
        ("category", "Snoods", "snood"),
        ("category", "snood", "snoods"),
    ],
)
def test_a_filter_finds_what_was_seen_by_any_spelling(facet: str, seen: str, asked: str) -> None:
    """`weft query --filter pattern=plain` finds what a shop calls solid."""
    wanted = fold_wanted({facet: (asked,)})
    [(name, values)] = wanted.items()
    assert {(name, value) for value in values} & set(postings_of(facet, (seen,)))


def test_a_kind_of_a_detector_of_ones_own_is_found_beside_the_shops_category() -> None:
    """A "Dresses" that it calls a kaftan is either; where the shop says the kind, or Weft knows both, the shop decides."""
    bag, dress = ITEM.garments
    dresses = msgspec.structs.replace(ITEM.metadata, category="Dresses", facets={})

    def kinds(seen: str, **facets: str) -> tuple[str, ...]:
        said = msgspec.structs.replace(dresses, facets=facets)
        entry = entry_of(msgspec.structs.replace(ITEM, garments=(bag, _seen(dress, kind=seen)), metadata=said))
        return entry.payload.views[2].facets[0]["kind"]

    assert kinds("kaftan") == ("kaftan", "dress")
    assert kinds("jumpsuit") == ("dress",)
    assert kinds("kaftan", kind="Gowns") == ("gowns",)


def test_a_shops_own_colour_word_stands_beside_the_palettes() -> None:
    """The filter finds the garment by either."""
    bag, dress = ITEM.garments
    item = msgspec.structs.replace(ITEM, garments=(bag, _seen(dress, colour="midnight")))
    assert entry_of(item).payload.views[2].facets[0]["colour"] == ("midnight", "navy")


def _of_several(**changed: Any) -> Item:
    """The dress in two photos, the bag in the second only, and a detail."""
    photos = (
        ItemPhoto("images/front.jpg", "front", 9, 9, ("g1",)),
        ItemPhoto("images/model.jpg", "model", 9, 9, ("g0", "g1")),
        ItemPhoto("images/detail.jpg", "detail", 9, 9, ()),
    )
    bag, dress = ITEM.garments
    names = (
        ("whole", UNSET),
        ("g0", "images/model.jpg"),
        ("g1", UNSET),
        ("1/whole", "images/model.jpg"),
        ("1/g1", "images/model.jpg"),
        ("2/whole", "images/detail.jpg"),
    )
    views = tuple(View(name, "", unit(i).tobytes(), photo) for i, (name, photo) in enumerate(names))
    several = {"image": "images/front.jpg", "garments": (bag, dress), "views": views, "photos": photos, "sold": "g1"}
    return msgspec.structs.replace(ITEM, **{**several, **changed})


def test_views_of_each_photo_answer_for_what_it_shows() -> None:
    """The front shows no bag; the detail, in which nothing was seen, is of what is sold."""
    views = {view.id: view for view in entry_of(_of_several()).payload.views}
    shown = {name: [facets["category"][0] for facets in view.facets] for name, view in views.items()}
    assert shown == {
        "whole": ["dress"],
        "g0": ["bag"],
        "g1": ["dress"],
        "1/whole": ["bag", "dress"],
        "1/g1": ["dress"],
        "2/whole": ["dress"],
    }
    assert views["whole"].photo is UNSET
    assert views["2/whole"].photo == "images/detail.jpg"


def test_a_hit_names_the_photo_that_matched_and_a_product_is_one_hit() -> None:
    """Each view finds its own photo; the product's image stands beside it."""
    shard = Shard(0, "sha256:e", 8)
    shard.apply(0, "p", entry_of(_of_several()))
    expected = ["front", "model", "front", "model", "model", "detail"]
    for number, name in enumerate(expected):
        [hit] = shard.search(unit(number), 5)
        assert (hit.product_id, hit.image, hit.photo) == ("p", "images/front.jpg", f"images/{name}.jpg")
    assert [hit.photo for hit in shard.search(unit(5), 5, {"category": ("bag",)})] == ["images/model.jpg"]


def test_the_garment_that_the_photos_agree_on_is_the_reference() -> None:
    """Boxes of two photos say nothing of each other's size."""
    large = _garment("g0", "bag", "red", 90)
    item = _of_several(garments=(large, ITEM.garments[1]), metadata=Metadata())
    assert entry_of(item).payload.category == "dress"


def test_a_product_without_a_photo_is_in_no_index() -> None:
    """It is taken out where it was, and nobody stumbles over it."""
    item = msgspec.structs.replace(ITEM, image="", garments=(), views=(), incomplete=True)
    assert change_of(_message(encode(item))).entry is None
