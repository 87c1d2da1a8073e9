"""The shop's own words: group, category path, tags, and what else it sends."""

from __future__ import annotations

import pytest

from processors import said
from processors.errors import Poison
from processors.values import Metadata
from streams.contract.codecs import decode_item, encode
from streams.contract.metadata import metadata_of
from streams.contract.records import ImageRef, Item, Source, Upload, View


def of(metadata, group_id=None):
    return metadata_of(Upload("a", ImageRef(uri="images/a.jpg"), metadata, group_id))


def test_whatever_a_shop_sends_stays_with_its_product():
    """Lists, numbers, objects: on the item as they came, through its bytes, and for hits to show."""
    sent = {
        "title": "Dress", "category_path": ["Women", "Dresses"], "tags": "summer, beach", "collection": "Riviera",
        "occasion": ["party", "wedding"], "heel": 7.5, "vegan": True, "dimensions": {"chest": [90, 96]},
    }  # fmt: skip
    metadata = of(sent, "style-7")
    assert (metadata.group_id, metadata.category_path, metadata.tags) == (
        "style-7",
        ("Women", "Dresses"),
        ("summer", "beach"),
    )
    assert metadata.facets == {"collection": "Riviera"}
    assert metadata.more == {name: sent[name] for name in ("occasion", "heel", "vegan", "dimensions")}
    view = View("whole", "dress", bytes(4))
    item = Item("a", "images/a.jpg", 1, 1, (), (view,), metadata, "e", 1, "d", Source("u", 0, 0), "0")
    read = decode_item(encode(item)).metadata
    assert read == metadata
    assert said.shown(read)["dimensions"] == {"chest": [90, 96]}
    assert said.shown(read)["tags"] == ("summer", "beach")


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({"a": [[[[[[[[[1]]]]]]]]]}, "metadata.a"),
        ({"a": ["x" * 10_000], "b": ["y" * 10_000]}, "metadata"),
        ({"a": [2**70]}, "metadata.a"),
        ({f"f{n}": n for n in range(101)}, "metadata"),
        ({"tags": ["a", 1]}, "metadata.tags"),
        ({"tags": ["t" * 129]}, "metadata.tags"),
        ({"category_path": {"a": 1}}, "metadata.category_path"),
        ({"group_id": ["a"]}, "metadata.group_id"),
        ({"group_id": "g" * 513}, "metadata.group_id"),
    ],
)
def test_what_cannot_stay_is_refused_by_its_name(metadata, field):
    """Too deep, too large, too many, or a number that no record holds."""
    with pytest.raises(Poison) as refused:
        of(metadata)
    assert refused.value.field == field


def test_the_group_may_stand_in_the_upload_or_in_its_metadata():
    """Feeds know it as item_group_id, also as a number; the upload's own field wins; blanks are none."""
    assert of({"item_group_id": 17}).group_id == "17"
    assert of({"group_id": "a"}, "b").group_id == "b"
    assert of({"group_id": "a"}, " ").group_id == "a"


def test_a_category_with_ways_is_a_path():
    """Google's product types; a filter finds each category of it, and each way to it."""
    assert of({"category": "Women > Dresses"}).category_path == ("Women", "Dresses")
    assert said.paths_in(("Women", "Dresses", "Maxi")) == (
        "Women", "Dresses", "Women > Dresses", "Maxi", "Women > Dresses > Maxi",
    )  # fmt: skip


def test_long_texts_are_not_shown():
    """The index keeps no descriptions."""
    assert said.shown(Metadata(title="t", facets={"story": "x" * 1001})) == {"title": "t"}
