"""Edits in the words of shoppers, read by rules."""

import pytest

from processors.edit_text import ParsedEdit, joined, parse_edit
from processors.vocabulary import FAMILIES

BLUES = ("blue", *FAMILIES["blue"])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("the same but in red, with long sleeves", {"colour": "red", "sleeve": "long"}),
        ("this dress, but navy", {"colour": "navy"}),
        ("has no sleeves and is solid navy blue", {"sleeve": "sleeveless", "pattern": "solid", "colour": "navy"}),
        ("is black with no sleeves", {"colour": "black", "sleeve": "sleeveless"}),
        ("longer sleeves and no collar", {"sleeve": "long"}),
        ("red and white striped", {"colour": "red and white", "pattern": "striped"}),
        ("something in the same colour but linen", {"fabric": "linen"}),
        ("show me a red coat for women", {"category": "jacket", "kind": "coat", "colour": "red", "gender": "women"}),
        ("is a darker red", {"colour": "dark red"}),
        ("plain", {"pattern": "solid"}),
        ("Grey, sleeveless.", {"colour": "grey", "sleeve": "sleeveless"}),
        ("less striped with a more teal color", {"colour": "teal"}),
        ("not only red but striped", {"colour": "red", "pattern": "striped"}),
    ],
)
def test_wishes(text: str, wanted: dict[str, str]) -> None:
    """What is asked for becomes facets; the garment that is only pointed at does not."""
    assert parse_edit(text).set == wanted


@pytest.mark.parametrize(
    ("text", "refused", "wanted"),
    [
        ("not black", {"colour": ("black",)}, {}),
        ("not black and white", {"colour": ("black", "white")}, {}),
        ("it isn't black", {"colour": ("black",)}, {}),
        ("red instead of blue", {"colour": BLUES}, {"colour": "red"}),
        ("blue but not navy", {"colour": ("navy",)}, {"colour": "blue"}),
        ("navy, not blue", {"colour": tuple(c for c in BLUES if c != "navy")}, {"colour": "navy"}),
        ("without floral pattern", {"pattern": ("floral",)}, {}),
        ("no stripes, in green", {"pattern": ("striped",)}, {"colour": "green"}),
        ("I don't want leather", {"fabric": ("leather",)}, {}),
        ("in cotton rather than silk", {"fabric": ("silk",)}, {"fabric": "cotton"}),
        ("not a dress", {"category": ("dress",)}, {}),
        ("anything but jeans", {"fabric": ("denim",)}, {}),
        ("not for men", {"gender": ("men",)}, {}),
        ("no black or white", {"colour": ("black", "white")}, {}),
        ("no buttons and a red collar", {}, {"colour": "red", "neckline": "collar"}),
    ],
)
def test_refusals_become_filters(text: str, refused: dict[str, tuple[str, ...]], wanted: dict[str, str]) -> None:
    """ "Without", "no" and "not" refuse what follows, up to the end of their clause, and never become wishes."""
    edit = parse_edit(text)
    assert (edit.exclude, edit.set) == (refused, wanted)


def test_no_pattern_at_all() -> None:
    """ "No pattern" wants a plain garment and refuses every pattern that the vocabulary knows."""
    edit = parse_edit("no pattern")
    assert edit.set == {"pattern": "solid"}
    assert {"striped", "floral", "checked"} <= set(edit.exclude["pattern"])
    assert "solid" not in edit.exclude["pattern"]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("the same but in red, with long sleeves", "red, with long sleeves"),
        ("red, no buttons", "red"),
        ("same dress without the floral print, in pale pink please", "dress in pale pink"),
        ("not black", ""),
        ("under $50 in green", "green"),
        ("", ""),
    ],
)
def test_text_keeps_wishes_only(text: str, left: str) -> None:
    """What the encoder reads holds no refused word: it would search for exactly that."""
    assert parse_edit(text).text == left


def test_what_cannot_be_followed_is_named() -> None:
    """Details without a facet and prices are reported instead of being searched for."""
    assert parse_edit("no buttons").ignored == ("buttons",)
    assert parse_edit("cheaper, under $50").ignored == ("cheaper", "under $50")
    assert parse_edit("does not have ruffles and has straps").ignored == ("ruffles",)


def test_steps_from_the_reference() -> None:
    """Comparatives are steps, also when they are said by their opposite."""
    assert parse_edit("is darker").shade == "darker"
    assert parse_edit("lighter in color").shade == "lighter"
    assert parse_edit("is not as bright in color").shade == "darker"
    assert parse_edit("is longer").length == "longer"
    assert parse_edit("shorter and lighter").length == "shorter"


def test_less_moves_away_without_refusing() -> None:
    """ "Less floral" is no filter."""
    edit = parse_edit("less floral")
    assert edit.less == {"pattern": ("floral",)}
    assert edit.exclude == {}


def test_free_words_are_kept() -> None:
    """Wishes that no facet expresses stay as words, and an empty edit is empty."""
    assert parse_edit("more elegant, with ruffles").rest == "more elegant ruffles"
    assert parse_edit("   ") == ParsedEdit("")


@pytest.mark.parametrize(
    "text",
    ["cannot be black", "can't be black", "won't be black", "could not be black", "no more black", "no longer black", "nothing black",
     "avoid black", "excluding black", "exclude black", "everything but black", "all but black", "every colour but black",
     "other colours than black", "hate black", "I dislike black", "nor black", "sick of black"],
)  # fmt: skip
def test_a_refusal_in_other_words(text: str) -> None:
    """Each of these wanted black."""
    edit = parse_edit(text)
    assert edit.exclude == {"colour": ("black",)}
    assert edit.set == {}
    assert edit.length == ""
    assert "longer" not in edit.ignored


@pytest.mark.parametrize(
    "text",
    ["swap black for red", "change black to red", "replace the black with red", "from black to red", "black → red", "black -> red",
     "turn the black into red"],
)  # fmt: skip
def test_one_value_for_another(text: str) -> None:
    """The first one is refused, and not wanted beside the second."""
    edit = parse_edit(text)
    assert edit.set == {"colour": "red"}
    assert edit.exclude == {"colour": ("black",)}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("change it to red", {"colour": "red"}),
        ("change the dress to red", {"colour": "red"}),
        ("made from cotton to last", {"fabric": "cotton"}),
        ("nothing but black", {"colour": "black"}),
        ("why not black", {"colour": "black"}),
        ("I can't find black", {"colour": "black"}),
        ("no problem if black", {"colour": "black"}),
    ],
)
def test_what_refuses_nothing(text: str, wanted: dict[str, str]) -> None:
    """A change without an old value of the same kind, and "not" that is none."""
    edit = parse_edit(text)
    assert edit.exclude == {}
    assert edit.set == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("change the sleeves to short", {"sleeve": "short"}),
        ("make the sleeves long", {"sleeve": "long"}),
        ("switch the sleeve length to three-quarter", {"sleeve": "three-quarter"}),
        ("with sleeves that are short", {"sleeve": "short"}),
        ("change the neckline to a v", {"neckline": "v"}),
        ("neckline: boat", {"neckline": "boat"}),
        ("the neckline should be square", {"neckline": "square"}),
        ("change the collar to a polo", {"neckline": "polo"}),
        ("with a shirt collar", {"neckline": "collar"}),
        ("a v-neck, long-sleeved version of this", {"neckline": "v", "sleeve": "long"}),
    ],
)
def test_the_facets_noun_may_stand_before_its_value(text: str, wanted: dict[str, str]) -> None:
    """As in "change the X to Y"; the nouns themselves are no wishes."""
    edit = parse_edit(text)
    assert (edit.set, edit.rest) == (wanted, "")


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("but not with a round neck", {"neckline": ("round",)}),
        ("not in black", {"colour": ("black",)}),
        ("like this but not with long sleeves", {"sleeve": ("long",)}),
        ("but not in red and not striped", {"colour": ("red", "burgundy"), "pattern": ("striped",)}),
    ],
)
def test_a_refusal_goes_through_with_and_in(text: str, refused: dict[str, tuple[str, ...]]) -> None:
    """ "Not with a round neck" was read as a wish for one."""
    edit = parse_edit(text)
    assert (edit.exclude, edit.set) == (refused, {})


def test_turns_are_one_edit_of_which_the_latest_wish_counts() -> None:
    """What was refused may be wished for later, and the other way."""
    turns = [
        parse_edit(text)
        for text in ("in navy with long sleeves, no stripes", "rather in green", "striped after all", "no sleeves")
    ]
    edit = joined(turns)
    assert edit.set == {"colour": "green", "sleeve": "sleeveless", "pattern": "striped"}
    assert "striped" not in edit.exclude.get("pattern", ())
    gone = joined([parse_edit("in green"), parse_edit("not in green")])
    assert (gone.set, gone.exclude["colour"][0]) == ({}, "green")
    assert joined(turns[:1]) == turns[0]
