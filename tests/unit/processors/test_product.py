"""What is known of a product is a function of what was said of it: of its order, and of nothing else."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.product import MAX_REMOVED, Change, PhotoPlace, Product, Stamp, merged, says_otherwise

TWO = (PhotoPlace("images/b.jpg", "b"),)
PHOTOS = {"a": (PhotoPlace("images/a.jpg", "a"),), "b": TWO}


def said(*changes: Any, product: Product | None = None) -> Product:
    """The product after these changes (None: a delete), in the order of one partition."""
    product = product or Product()
    for offset, change in enumerate(changes):
        product = told(product, change, offset)
    return product


def told(product: Product, change: Change | None, offset: int) -> Product:
    at = product.stamp(None if change is None else change.version, 1000 + offset, 0, offset)
    return (product.without(at) if change is None else product.after(change, at)).having_seen(0, offset)


def full(name: str = "a", version: float | None = None, **metadata: Any) -> Change:
    return Change(metadata, PHOTOS[name], version)


def part(version: float | None = None, **metadata: Any) -> Change:
    return Change(metadata, None, version)


def test_a_part_is_merged_and_null_removes() -> None:
    """RFC 7386, and the photo stays."""
    product = said(full(title="A dress", price=5.0, brand="x"), part(price=6.0, brand=None, season="summer"))
    assert product.metadata == {"title": "A dress", "price": 6.0, "season": "summer"}
    assert product.photos == PHOTOS["a"]


def test_a_full_upload_replaces_what_parts_have_said() -> None:
    """Fields that it does not name are gone."""
    assert said(full(title="A"), part(season="summer"), full("b", title="B")).metadata == {"title": "B"}


def test_a_photo_without_metadata_leaves_the_metadata() -> None:
    """So that photos may come later."""
    product = said(part(title="A"), Change(None, TWO))
    assert (product.metadata, product.photos) == ({"title": "A"}, TWO)


def test_a_deleted_product_is_known_no_more_and_may_come_again() -> None:
    """What is said afterwards is all there is."""
    product = said(full(title="A", brand="x"), None)
    assert not product.alive
    again = told(product, part(title="B"), 2)
    assert (again.alive, again.metadata, again.photos) == (True, {"title": "B"}, ())


def test_the_newer_version_wins_whenever_it_comes() -> None:
    """Field by field: what an older one says that no newer one has touched counts."""
    versions = [full("a", 1, title="one", brand="x"), part(2, title="two", fabric="linen"), part(3, title="three")]
    found = {
        (tuple(sorted(p.metadata.items())), p.photos) for p in (said(*o) for o in itertools.permutations(versions))
    }
    assert found == {((("brand", "x"), ("fabric", "linen"), ("title", "three")), PHOTOS["a"])}


def test_an_older_full_upload_changes_nothing_of_a_newer_one() -> None:
    """Neither photo nor fields; a field that was removed in a newer version stays removed."""
    product = said(full("b", 5, title="new"), full("a", 4, title="old", brand="x"))
    assert (product.metadata, product.photos) == ({"title": "new"}, TWO)
    assert said(full("a", 1, title="A", brand="x"), part(3, brand=None), part(2, brand="y")).metadata == {"title": "A"}


def test_without_a_version_an_upload_comes_after_all_versions_so_far() -> None:
    """And a late older version does not undo it."""
    product = said(full("a", 5, title="five"), part(title="by hand"), part(4, title="four"))
    assert product.metadata == {"title": "by hand"}
    assert told(product, part(6, title="six"), 3).metadata == {"title": "six"}


def test_a_late_version_does_not_bring_a_deleted_product_back() -> None:
    """A newer one does."""
    product = said(full("a", 5, title="five"), None, full("b", 4, title="four"))
    assert not product.alive
    assert told(product, part(6, title="six"), 3).alive


def test_between_partitions_the_time_counts() -> None:
    """An upload that was passed on late, and was said before another."""
    product = said(full(title="A"))
    late = product.stamp(None, 900, 7, 3)
    assert product.after(part(title="older", season="summer"), late).metadata == {"title": "A"}
    parts = said(full(title="A"), part(title="B"))
    between = parts.stamp(None, 1000, 7, 3)
    assert parts.after(part(title="older", season="summer"), between).metadata == {"title": "B", "season": "summer"}


def test_removed_fields_are_remembered_up_to_a_bound() -> None:
    """For versions that come late; a shop that removes names without end fills no store."""
    product = said(*(part(n, **{f"f{n}": None}) for n in range(MAX_REMOVED + 5)))
    assert len(product.said) == MAX_REMOVED
    assert f"f{MAX_REMOVED + 4}" in product.said


def test_a_merge_of_nested_values() -> None:
    """The examples of RFC 7386 that differ in kind."""
    assert merged({"a": "b", "c": {"d": "e", "f": "g"}}, {"a": "z", "c": {"f": None}}) == {"a": "z", "c": {"d": "e"}}
    assert merged({"a": [1, 2]}, {"a": "c"}) == {"a": "c"}
    assert merged("foo", {"a": {"bb": {"ccc": None}}}) == {"a": {"bb": {}}}
    assert merged({"a": "b"}, ["c"]) == ["c"]


NAMES = st.sampled_from(["title", "brand", "season"])
VALUES = st.one_of(st.none(), st.sampled_from(["x", "y", "z"]))
METADATA = st.dictionaries(NAMES, VALUES, max_size=3)
CHANGES = st.lists(
    st.one_of(
        st.none(),
        st.builds(Change, METADATA, st.sampled_from([None, PHOTOS["a"], TWO]), st.sampled_from([None, 1, 2, 3])),
    ),
    min_size=1,
    max_size=8,
)


@given(CHANGES)
def test_unversioned_changes_are_the_plain_fold(changes: list[Change | None]) -> None:
    """In order and without versions: what anybody would write in five lines."""
    expected: dict[str, Any] = {}
    photos: tuple[PhotoPlace, ...] = ()
    for change in changes:
        if change is None:
            expected, photos = {}, ()
            continue
        patch = change.metadata or {}
        expected = merged({} if change.photos is not None else expected, patch)
        photos = photos if change.photos is None else change.photos
    plain = [None if c is None else Change(c.metadata, c.photos) for c in changes]
    product = said(*plain)
    assert (product.metadata, product.photos) == (expected, photos)


@given(CHANGES, CHANGES)
def test_one_product_is_as_another_where_fields_photos_and_life_are(
    ours: list[Change | None], theirs: list[Change | None]
) -> None:
    """Compared field by field: one that was removed, and is remembered as removed, is as one that never was."""
    one, other = said(*ours), said(*theirs)
    same = (one.metadata, one.photos, one.alive) == (other.metadata, other.photos, other.alive)
    assert one.is_as(other) is same
    assert other.is_as(one) is same


def test_a_removed_field_is_as_one_that_never_was() -> None:
    one = said(full(brand="x"), part(1, season="y"), part(2, season=None))
    assert "season" in one.said
    assert one.is_as(said(full(brand="x")))
    assert said(full(brand="x")).is_as(one)


@given(
    st.permutations(
        [full("a", 1, title="1", brand="1"), part(2, title="2"), full("b", 3, title="3"), part(4, brand=None)]
    )
)
def test_versions_give_one_product_in_any_order(changes: list[Change]) -> None:
    """A function of what was said."""
    product = said(*changes)
    assert (product.metadata, product.photos, product.latest) == ({"title": "3"}, TWO, 4)


@pytest.mark.parametrize(
    ("part", "otherwise"),
    [
        ({"price": 10}, False),
        ({"price": 10.5}, True),
        ({"price": None}, True),
        ({"stock": None}, False),
        ({"stock": 3}, True),
        ({"sizes": ["M"]}, False),
        ({"sizes": ["M", "L"]}, True),
        ({"more": {"fit": "wide"}}, False),
        ({"price": 10, "sizes": []}, True),
    ],
)
def test_what_plainly_says_otherwise_changes_the_product(part: dict[str, Any], otherwise: bool) -> None:
    """Told without merging anything; of objects, whose members are merged, it says nothing."""
    known = Product().after(Change({"price": 10.0, "sizes": ["M"], "more": {"fit": "slim"}}, ()), Stamp(None, 0, 0, 1))
    assert says_otherwise(known, part) == otherwise
    after = known.after(Change(part, partial=True), Stamp(None, 0, 0, 2))
    assert not (otherwise and after.is_as(known))
