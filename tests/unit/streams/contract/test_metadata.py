"""What is wrong with a part of columns is told as of any other metadata; values that are kept by the thousand are nobody's garbage."""

from __future__ import annotations

import gc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.errors import Poison
from processors.offers import COLUMN_NAMES
from processors.product import Change, PhotoPlace, Product, Said, Stamp
from streams.contract.metadata import check_metadata, metadata_of
from streams.contract.records import Source, Upload
from streams.roles.product_states import Kept

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 10**400),
    st.floats(),
    st.sampled_from(["19.90", "in stock", "S, M", "EUR", "2026-03-01", "soon", "", "x" * 100_000]),
    st.lists(st.one_of(st.none(), st.text(max_size=3), st.integers(), st.booleans()), max_size=3),
    st.just(["size"] * 201),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
)
PARTS = st.dictionaries(st.sampled_from([*sorted(COLUMN_NAMES), "title"]), VALUES, max_size=4)


def told_by(check: Any, upload: Upload) -> tuple[str, str | None, object] | None:
    try:
        check(upload)
    except Poison as error:
        return (error.message, error.field, error.code)
    return None


@given(PARTS, st.sampled_from([None, "style-1", "", "g" * 10_000]))
def test_a_part_is_refused_by_the_check_exactly_where_its_metadata_cannot_be_made(
    part: dict[str, Any], group: str | None
) -> None:
    """A price of ten thousand an hour is not made into metadata to be checked, and a wrong one is still told in the same words."""
    upload = Upload("sku-1", metadata=part, group_id=group)
    assert told_by(check_metadata, upload) == told_by(metadata_of, upload)


def test_what_is_known_of_products_is_not_looked_through_by_the_garbage_collector() -> None:
    """Tens of thousands of states in memory cost every full collection, which stops the role; none can be part of a cycle."""
    at = Stamp(None, 1, 0, 5)
    place = PhotoPlace("images/a.jpg", "a")
    product = Product({"price": Said(10.0, at)}, photos=(place,), touched=at)
    kept = Kept(product, b"digest", source=Source("catalog.uploads", 0, 5))
    change = Change({"price": 11.0})
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(kept), type=Kept)
    assert again == kept
    held = [at, place, product, product.said["price"], kept, kept.source, change, again, again.product]
    assert not [one for one in held if gc.is_tracked(one)]


@pytest.mark.parametrize("name", ["price", "sale_price", "sizes", "size", "tags", "length_in_steps"])
@pytest.mark.parametrize("wrapped", [lambda number: number, lambda number: [number]])
def test_a_number_that_no_machine_holds_is_refused_by_the_name_of_its_field(name: str, wrapped: Any) -> None:
    """Whole numbers have no end in JSON; of a size of 400 digits the reader made an error that names nothing."""
    with pytest.raises(Poison) as refused:
        metadata_of(Upload("sku-1", metadata={name: wrapped(10**400)}))
    assert refused.value.field == f"metadata.{name}"
