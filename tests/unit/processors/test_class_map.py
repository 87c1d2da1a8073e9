"""What the classes of a detector of one's own are in Weft's words."""

from __future__ import annotations

import pytest

from processors.class_map import Meaning, UnknownWordError, meanings
from processors.values import CATEGORIES


def test_names_that_weft_knows_need_no_map() -> None:
    """Plurals, spellings and kinds name a category; what they say beyond it is the kind."""
    names = ["Dresses", "T-Shirt", "jeans", "casual shoes", "long_sleeve_top", "bag", "sunglass"]
    assert [(one.category, one.kind) for one in meanings(names)] == [
        ("dress", ""),
        ("shirt", "t-shirt"),
        ("pants", "jeans"),
        ("shoe", "casual shoes"),
        ("shirt", "long-sleeved top"),
        ("bag", ""),
        ("sunglass", ""),
    ]


def test_several_to_one_and_one_to_none() -> None:
    """The map's word is the category; the class's own name stays as its kind."""
    found = meanings(["kurta", "sari", "person"], {"kurta": "dress", "sari": "dress", "person": None})
    assert found == (Meaning("kurta", "dress", "kurta"), Meaning("sari", "dress", "sari"), Meaning("person", "", ""))


def test_a_class_that_weft_has_no_word_for_stays_what_it_is_called() -> None:
    """As the category and as a kind, by which it is filtered."""
    assert meanings(["scarf", "dupatta", "人"]) == (
        Meaning("scarf", "scarf", "scarf"),
        Meaning("dupatta", "dupatta", "dupatta"),
        Meaning("人", "人", "人"),
    )
    assert "scarf" not in CATEGORIES


def test_the_right_side_may_name_a_kind() -> None:
    """Then it is that kind, whatever the class is called."""
    assert meanings(["cls_3"], {"cls_3": "t-shirt"}) == (Meaning("cls_3", "shirt", "t-shirt"),)


def test_keys_are_compared_without_case_and_signs() -> None:
    """ "T Shirt" is the class "t-shirt"."""
    assert meanings(["t-shirt"], {"T Shirt": None}) == (Meaning("t-shirt", ""),)


@pytest.mark.parametrize(
    ("given", "told", "value"),
    [
        ({"skirt_lng": "skirt"}, "did you mean 'skirt_long'", False),
        ({"skirt_long": "skrt"}, "did you mean 'skirt'", True),
        ({"skirt_long": "xyzzy"}, "its categories are sunglass", True),
        ({"skirt_long": "skirt", "skirt long": "skirt"}, "a second time", False),
    ],
)
def test_words_that_are_none_are_told_with_the_nearest(given: dict[str, str | None], told: str, value: bool) -> None:
    """On either side, and on which."""
    with pytest.raises(UnknownWordError, match=told) as error:
        meanings(["skirt_long"], given)
    assert error.value.value is value
    assert error.value.key in given
