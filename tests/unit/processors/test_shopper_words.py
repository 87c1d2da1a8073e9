"""Words of other languages, slips of a finger, and what is asked for beside facets: what an edit is read from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.edit_text import ParsedEdit, joined, parse_edit
from processors.shopper_words import corrected, in_english

FOREIGN = (
    ("in rot", {"colour": "red"}, {}),
    ("in blau mit langen Ärmeln", {"colour": "blue", "sleeve": "long"}, {}),
    ("das gleiche in schwarz, bitte", {"colour": "black"}, {}),
    ("la même en noir", {"colour": "black"}, {}),
    ("en bleu marine", {"colour": "navy"}, {}),
    ("sans manches", {"sleeve": "sleeveless"}, {}),
    ("vestido rojo", {"category": "dress", "colour": "red"}, {}),
    ("ein rotes Kleid", {"category": "dress", "colour": "red"}, {}),
    ("robe rouge à manches longues", {"category": "dress", "colour": "red", "sleeve": "long"}, {}),
    ("camicia bianca", {"category": "shirt", "colour": "white"}, {}),
    ("in het zwart", {"colour": "black"}, {}),
    ("ohne Streifen", {}, {"pattern": ("striped",)}),
    ("nicht schwarz", {}, {"colour": ("black",)}),
    ("pas de rayures, s'il vous plaît", {}, {"pattern": ("striped",)}),
)


@pytest.mark.parametrize(("text", "wanted", "refused"), FOREIGN, ids=[text for text, _, _ in FOREIGN])
def test_an_edit_in_another_language_sets_and_refuses_the_same(
    text: str, wanted: dict[str, str], refused: dict[str, tuple[str, ...]]
) -> None:
    """Before, nothing was read, and the answer was the photo's own neighbours."""
    edit = parse_edit(in_english(text))
    assert edit.set == wanted
    assert edit.exclude == refused
    assert not edit.rest


@pytest.mark.parametrize(
    "text",
    [
        "the same but in navy", "a dress for the barn dance", "wit and charm", "Marine style jacket", "Rosa Parks shirt", "a robe",
        "no stripes", "not black", "", "🔥 RED 🔥", "Levi's jeans", "for a lady in her hut", "die-cut handbag", "赤",
        "Fila Men Blanc Black Sweater", "s.Oliver", "s.Oliver top", "Timberland Women Femmes Boot", "Lisa", "Arrow Woman Lana Shirt", "Mango dress noir for women",
    ],
)  # fmt: skip
def test_english_stays_as_it_is(text: str) -> None:
    """Also where a word of it is one of another language, too."""
    assert in_english(text) == text


def test_darker_and_another_colour_are_read_in_other_languages() -> None:
    """Steps and differences, too."""
    assert parse_edit(in_english("etwas dunkler")).shade == "darker"
    assert parse_edit(in_english("plus clair")).shade == "lighter"
    assert parse_edit(in_english("in einer anderen Farbe")).another == ("colour",)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("in gren", {"colour": "green"}),
        ("blck", {"colour": "black"}),
        ("in navi blue", {"colour": "navy"}),
        ("stripped", {"pattern": "striped"}),
        ("without slevees", {"sleeve": "sleeveless"}),
        ("long sleave", {"sleeve": "long"}),
        ("in purpel, with a colllar", {"colour": "purple", "neckline": "collar"}),
    ],
)
def test_a_slip_is_mended(text: str, wanted: dict[str, str]) -> None:
    """In words that name a facet."""
    edit = parse_edit(corrected(text))
    assert edit.set == wanted
    assert not edit.rest
    assert not edit.ignored


@pytest.mark.parametrize("text", ["an open back", "in reed", "brow", "greek sandals", "with strips", "Plan B", "a wide cellar", "lines", "bleak", "x" * 3000])  # fmt: skip
def test_what_is_a_word_is_no_slip(text: str) -> None:
    """However near it is to a colour."""
    assert corrected(text) == text


@given(st.text(max_size=120))
def test_any_text_can_be_read(text: str) -> None:
    """Nothing fails, and what is English already stays so."""
    once = in_english(text)
    parse_edit(corrected(once))
    assert in_english(once) == once or once != text


@pytest.mark.parametrize(
    ("text", "facets"),
    [
        ("the same in a different colour", ("colour",)),
        ("any other color", ("colour",)),
        ("in another pattern", ("pattern",)),
        ("not the same colour", ("colour",)),
        ("different print than this, other sleeves", ("pattern", "sleeve")),
    ],
)
def test_what_is_to_differ_in_whatever_way(text: str, facets: tuple[str, ...]) -> None:
    """Nothing of it is left for the vector."""
    edit = parse_edit(text)
    assert edit.another == facets
    assert not edit.rest


def test_a_colour_that_is_named_needs_no_other() -> None:
    """Neither in the sentence nor in a later turn; and "other than black" refuses black alone."""
    assert parse_edit("another colour: red").another == ()
    assert joined([parse_edit("in a different colour"), parse_edit("in red")]).another == ()
    assert joined([parse_edit("in red"), parse_edit("in a different colour")]).another == ("colour",)
    other = parse_edit("in other colours than black")
    assert (other.another, other.exclude) == ((), {"colour": ("black",)})


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("2 of these", ParsedEdit("these", ignored=("2 of",))),
        ("for my husband", ParsedEdit("for men", set={"gender": "men"})),
        ("for my 8-year-old son", ParsedEdit("for boys", set={"gender": "boys"})),
        ("half sleeves", ParsedEdit("short-sleeves", set={"sleeve": "short"})),
        ("wine red", ParsedEdit("burgundy", set={"colour": "burgundy"})),
        ("greener", ParsedEdit("green", set={"colour": "green"})),
    ],
)
def test_what_shoppers_say_otherwise(text: str, read: ParsedEdit) -> None:
    """What was left to the vector, which knows little of it."""
    found = parse_edit(text)
    assert (found.set, found.ignored, found.rest) == (read.set, read.ignored, read.rest)


def test_a_reason_is_no_wish() -> None:
    """What somebody loves or hates is not asked for, and what is to be replaced is refused."""
    edit = parse_edit("instead of blue I would like it in green because my wife loves red and hates blue")
    assert edit.set == {"colour": "green"}
    assert "blue" in edit.exclude["colour"]
    assert not edit.rest


def test_shoes_that_go_with_it_are_shoes_and_nothing_more() -> None:
    """ "Go" and "matching" are no look."""
    for text in ("shoes that go with this", "matching shoes", "shoes to match this"):
        edit = parse_edit(text)
        assert (edit.set, edit.rest) == ({"category": "shoe"}, "")


def test_less_of_a_look_is_its_opposite() -> None:
    """An encoder finds "casual", and finds "less formal" among suits; both were ignored."""
    assert parse_edit("something less formal").rest == "casual"
    assert parse_edit("less casual").rest == "elegant"
    assert parse_edit("not tight").rest == "loose"
