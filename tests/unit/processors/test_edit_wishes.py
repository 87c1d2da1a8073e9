"""What the words of an edit wish for: one garment of several, and whether a print."""

from __future__ import annotations

import pytest

from processors import fusion
from processors.editing import wishes
from streams.roles.compose import garments


@pytest.mark.parametrize(
    ("text", "first", "others"),
    [
        ("a navy jacket and white trousers", "a navy jacket", ("pants",)),
        ("white shirt, blue jeans and brown shoes", "white shirt", ("pants", "shoe")),
        ("a denim jacket over a red dress", "a denim jacket", ("dress",)),
        ("gray hoodie & joggers", "gray hoodie", ("pants",)),
        ("a red, checked shirt and jeans", "a red, checked shirt", ("pants",)),
        ("a shirt and black and white trousers", "a shirt", ("pants",)),
        ("a black and white dress", "a black and white dress", ()),
        ("a red shirt with a white logo", "a red shirt with a white logo", ()),
        ("a red shirt and a blue shirt", "a red shirt and a blue shirt", ()),
        ("a red dress, no jacket", "a red dress, no jacket", ()),
        ("not a shirt, a jacket", "not a shirt, a jacket", ()),
        ("navy", "navy", ()),
        ("", "", ()),
        (" , and ,", " , and ,", ()),
    ],
)
def test_of_several_garments_the_first_is_meant_with_its_own_words(
    text: str, first: str, others: tuple[str, ...]
) -> None:
    """Its colour is not that of the next one; words for one garment stay whole."""
    assert wishes.first_of(text, garments.named) == (first, others)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("a red coat", True),
        ("brown leather shoes", True),
        ("a leather jacket", True),
        ("a plain red and blue shirt", True),
        ("a floral red dress", False),
        ("a red shirt with a print", False),
        ("red trousers with white stripes", False),
        ("a red and white shirt", False),
        ("a dress", False),
    ],
)
def test_only_words_for_a_colour_or_a_material_ask_for_no_print(text: str, plain: bool) -> None:
    """Two colours may be a pattern; without any, the look is the shop's."""
    assert wishes.wish_of(fusion.parse_edit(text), garments.named(text)).plain is plain
