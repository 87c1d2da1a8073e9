"""Queries that name the one before them: what is taken over, what is forgotten, and what is told of it."""

from __future__ import annotations

import pytest

from processors.values import MAX_QUERY_TEXT
from streams.contract.checks import BadQuery
from streams.contract.limits import MAX_EDITS
from streams.contract.records import ImageRef, Query
from streams.roles.compose.turns import Turns

SKU = ImageRef(product_id="sku-1")


def asked(turns: Turns, query: Query) -> Query:
    """As the role does it: resolve, then remember."""
    resumed = turns.resumed(query)
    turns.keep(resumed)
    return resumed


def test_a_turn_has_the_image_and_the_words_of_all_before_it() -> None:
    """The first first; filters and pages are those of the query itself."""
    turns = Turns()
    asked(turns, Query("q-1", SKU, "in navy", filters={"size": ("M",)}, top_k=3))
    asked(turns, Query("q-2", text="with short sleeves", previous="q-1"))
    third = asked(turns, Query("q-3", text="no stripes", previous="q-2", top_k=7))
    assert third == Query("q-3", SKU, "no stripes", edits=("in navy", "with short sleeves"), top_k=7)


def test_an_image_of_its_own_counts_instead_of_the_one_before() -> None:
    """The wishes go on, from another start."""
    turns = Turns()
    asked(turns, Query("q-1", SKU, "in navy"))
    other = ImageRef(product_id="sku-2")
    assert asked(turns, Query("q-2", other, previous="q-1")) == Query("q-2", other, edits=("in navy",))


def test_a_query_that_is_not_known_is_told_what_to_send_instead() -> None:
    """Another worker may have read it: an answer without its wishes would look like one with them."""
    with pytest.raises(BadQuery, match="`edits`") as refused:
        Turns().resumed(Query("q-2", text="in navy", previous="q-1"))
    assert (refused.value.code, refused.value.field, refused.value.query_id) == ("unknown_name", "previous", "q-2")


def test_no_shop_goes_on_from_the_query_of_another() -> None:
    """Ids are the shops' own, and photos too."""
    turns = Turns()
    asked(turns, Query("q-1", SKU, "in navy", shop="one"))
    for shop in (None, "two"):
        with pytest.raises(BadQuery):
            turns.resumed(Query("q-2", text="in red", shop=shop, previous="q-1"))
    assert turns.resumed(Query("q-2", text="in red", shop="one", previous="q-1")).edits == ("in navy",)


def test_the_oldest_are_forgotten_and_bytes_are_bounded() -> None:
    """By count, and by the bytes of photos and words; a photo larger than all of it is not kept, and pushes nothing out."""
    turns = Turns(most=3)
    for number in range(5):
        asked(turns, Query(f"q-{number}", SKU, "in navy"))
    assert len(turns) == 3
    with pytest.raises(BadQuery):
        turns.resumed(Query("q", text="in red", previous="q-1"))
    small = Turns(most_bytes=1000)
    asked(small, Query("a", ImageRef(bytes=bytes(400))))
    asked(small, Query("b", ImageRef(bytes=bytes(400))))
    asked(small, Query("c", ImageRef(bytes=bytes(2000))))
    assert (len(small), small.held_bytes) == (2, 808)
    asked(small, Query("d", ImageRef(bytes=bytes(400))))
    assert (len(small), small.held_bytes) == (2, 808)
    asked(small, Query("d", ImageRef(bytes=bytes(100))))
    assert (len(small), small.held_bytes) == (2, 508), "the same id again takes the place of the first"


def test_too_many_turns_are_refused() -> None:
    """As they are where a client sends them itself."""
    turns = Turns()
    asked(turns, Query("q-0", SKU, "in navy"))
    for number in range(MAX_EDITS):
        asked(turns, Query(f"q-{number + 1}", text="in red", previous=f"q-{number}"))
    with pytest.raises(BadQuery, match="turns") as refused:
        turns.resumed(Query("q", text="in red", previous=f"q-{MAX_EDITS}"))
    assert (refused.value.code, refused.value.field) == ("out_of_range", "previous")
    long = Turns()
    asked(long, Query("q-1", SKU, "x" * MAX_QUERY_TEXT, edits=("in navy",)))
    with pytest.raises(BadQuery, match="characters"):
        long.resumed(Query("q-2", text="in red", previous="q-1"))
