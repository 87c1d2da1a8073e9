"""Heads of facets: what is sure enough to state, and of which garment."""

from __future__ import annotations

import numpy as np
import pytest

from processors.errors import Fatal
from processors.facets import COLOUR, NEVER, Head, Heads, Line, of_garment, reconsidered
from tests.fakes.facet_heads import head

STRIPES, DOTS, BOTH = (np.array(f, np.float32) for f in ((4.0, 0.0), (0.0, 4.0), (1.0, 1.0)))


def test_the_likeliest_value_is_stated_with_its_probability_and_the_next_one() -> None:
    """softmax of (4, 0, 0): .965 for the first."""
    found = head(["striped", "dotted", "solid"], [[1, 0], [0, 1], [0, 0]]).read(STRIPES, "shirt")
    assert found is not None
    assert (found.value, found.source) == ("striped", "pixels")
    assert found.confidence == pytest.approx(np.exp(4) / (np.exp(4) + 2), abs=1e-4)
    assert found.second in {"dotted", "solid"}


def test_below_its_threshold_a_value_is_unknown() -> None:
    """Each value has its own: the same probability is enough for one and not for the other; NEVER is never enough."""
    reading = head(["striped", "dotted"], [[1, 0], [0, 1]], thresholds=[0.9, 0.99])
    assert reading.read(STRIPES, "shirt") is not None
    assert reading.read(DOTS, "shirt") is None
    assert reading.read(BOTH, "shirt") is None
    assert head(["striped", "dotted"], [[1, 0], [0, 1]], thresholds=[NEVER, 0]).read(100 * STRIPES, "shirt") is None


def test_a_value_is_said_of_its_categories_only() -> None:
    """A shoe has no sleeves, however sure the head is."""
    reading = head(["long", "short"], [[1, 0], [0, 1]], categories=[["shirt", "dress"], []])
    assert reading.read(STRIPES, "shirt") is not None
    assert reading.read(STRIPES, "shoe") is None
    assert reading.read(DOTS, "shoe") is not None, "a value without categories is said of any"


def test_colour_words_are_read_from_the_garments_own_pixels() -> None:
    """And from nothing else: without pixels of its own a garment has no colour word, and its other facets stay."""
    heads = Heads(
        "sha256:v",
        "sha256:m",
        {
            "pattern": head(["striped", "dotted"], [[1, 0], [0, 1]]),
            COLOUR: head(["navy blue", "maroon"], [[1, 0, 0], [0, 1, 0]]),
        },
    )
    shares = np.array([0, 9, 0], np.float32)
    assert {f: a.value for f, a in heads.read(STRIPES, shares, "shirt").items()} == {
        "pattern": "striped",
        "colour": "maroon",
    }
    assert set(heads.read(STRIPES, None, "shirt")) == {"pattern"}


def test_the_main_garment_is_read_from_its_crop_and_the_whole_photo() -> None:
    """The mean of both; any other garment from its crop alone."""
    assert of_garment(STRIPES, DOTS, main=True).tolist() == [2.0, 2.0]
    assert of_garment(STRIPES, DOTS, main=False).tolist() == STRIPES.tolist()


def test_a_head_whose_parts_do_not_fit_is_refused() -> None:
    """It would state a value under another's name."""
    two = np.zeros((2, 3), np.float32)
    for values, bias, thresholds in (
        (("a",), np.zeros(1, np.float32), (0.5,)),
        (("a", "b"), np.zeros(3, np.float32), (0.5, 0.5)),
        (("a", "b"), np.zeros(2, np.float32), (0.5,)),
        (("a", "a"), np.zeros(2, np.float32), (0.5, 0.5)),
    ):
        with pytest.raises(Fatal):
            Head(values, two, bias, thresholds, ((),) * len(values))


def covering(*thresholds: float) -> Head:
    """Plain, floral, dotted, printed; a printed thing may be either."""
    values = ("plain", "floral", "dotted", "printed")
    return Head(
        values,
        np.eye(4, dtype=np.float32),
        np.zeros(4, np.float32),
        thresholds,
        ((),) * 4,
        ((), (), (), ("floral", "dotted")),
    )


@pytest.mark.parametrize(
    ("chances", "value", "confidence"),
    [
        ((0.4, 0.25, 0.2, 0.15), "printed", 0.6),
        ((0.1, 0.7, 0.1, 0.1), "floral", 0.7),
        ((0.1, 0.45, 0.3, 0.15), "printed", 0.9),
        ((0.8, 0.1, 0.05, 0.05), "plain", 0.8),
        ((0.49, 0.21, 0.15, 0.15), "", 0.0),
    ],
    ids=["no print alone", "sure which", "not sure which", "plain", "not sure at all"],
)
def test_the_word_for_both_is_said_of_what_is_either(chances: tuple[float, ...], value: str, confidence: float) -> None:
    """Floral or dotted is printed; the narrower word where it is sure enough by itself."""
    found = covering(0.5, 0.5, 0.5, 0.55).told(np.array(chances, np.float32), "shirt")
    assert (found.value if found else "") == value
    if found:
        assert found.confidence == pytest.approx(confidence, abs=1e-4)
        assert found.second not in ("", value)


def test_a_wide_value_that_is_never_stated_says_nothing() -> None:
    """However likely; the narrower one still speaks for itself."""
    head_of = covering(0.5, 0.5, 0.5, NEVER)
    assert head_of.told(np.array([0.1, 0.45, 0.3, 0.15], np.float32), "shirt") is None
    said = head_of.told(np.array([0.1, 0.6, 0.2, 0.1], np.float32), "shirt")
    assert said is not None
    assert said.value == "floral"


def test_a_head_covers_its_own_values_only() -> None:
    """A file with others is damaged."""
    with pytest.raises(Fatal, match="covers"):
        Head(("a", "b"), np.eye(2, dtype=np.float32), np.zeros(2, np.float32), (0.5, 0.5), ((), ()), (("c",), ()))


def lined(*lines: Line) -> Head:
    """Plain or printed, stated from .9 where no line says otherwise."""
    return Head(
        ("plain", "printed"), np.eye(2, dtype=np.float32), np.zeros(2, np.float32), (0.9, 0.9), ((), ()), lines=lines
    )


@pytest.mark.parametrize(
    ("category", "plain", "value"),
    [
        ("pants", 0.6, "plain"),
        ("shirt", 0.6, ""),
        ("shirt", 0.85, "plain"),
        ("shirt", 0.2, ""),
        ("shirt", 0.05, "printed"),
    ],
    ids=["trousers", "a shirt", "surely plain", "below the threshold of another value", "above it"],
)
def test_a_line_says_of_which_garments_less_is_enough(category: str, plain: float, value: str) -> None:
    """Trousers are mostly plain; any line of the value is enough, and a value without lines keeps its threshold."""
    found = lined(Line("plain", 0.5, ("pants",)), Line("plain", 0.8)).told(
        np.array([plain, 1 - plain], np.float32), category
    )
    assert (found.value if found else "") == value


def test_a_line_may_ask_what_another_head_says() -> None:
    """Printed needs less where no collar is likely; of a garment whose collar nobody asked for nothing is held against it."""
    reading = lined(Line("printed", 0.55, (), "neckline", ("collar", "polo"), 0.3))
    chances = np.array([0.4, 0.6], np.float32)
    for collar, polo, told in ((0.1, 0.1, True), (0.25, 0.2, False), (0.9, 0.0, False)):
        known = {"neckline": {"round": 1 - collar - polo, "collar": collar, "polo": polo}}
        assert (reading.told(chances, "shirt", known) is not None) == told
    assert reading.told(chances, "shirt") is not None


def test_heads_tell_each_other_what_their_lines_ask() -> None:
    """The same features: printed where its own version reads no collar, and unknown where it does."""
    necks = head(["round", "collar"], [[2, 0], [0, 0]])
    collared = head(["round", "collar"], [[0, 0], [2, 0]])
    prints = lined(Line("printed", 0.6, (), "neckline", ("collar",), 0.3))
    for neck, told in ((necks, True), (collared, False)):
        heads = Heads("sha256:v", "sha256:m", {"pattern": prints, "neckline": neck})
        read = heads.read(np.array([0.5, 1.5], np.float32), None, "shirt")
        assert ("pattern" in read) == told


def test_lines_are_of_the_heads_own_values() -> None:
    """A file with others is damaged."""
    with pytest.raises(Fatal, match="lines"):
        lined(Line("striped", 0.5))


@pytest.mark.parametrize(
    ("category", "kinds", "found"),
    [
        ("dress", {"tunic": 0.25, "long-sleeved top": 0.2, "dress": 0.5}, "shirt"),
        ("dress", {"tunic": 0.3, "dress": 0.6, "jumpsuit": 0.1}, "dress"),
        ("jacket", {"shirt": 0.5, "cardigan": 0.1, "coat": 0.4}, "shirt"),
        ("jacket", {"jacket": 0.5, "blazer": 0.2, "shirt": 0.3}, "jacket"),
        ("pants", {"shirt": 0.9}, "pants"),
        ("dress", {"kurtas": 0.6, "dress": 0.4}, "shirt"),
        ("dress", {}, "dress"),
    ],
    ids=["a long top", "a dress", "an open shirt", "a jacket", "of no such box", "a shop's own kinds", "no kinds"],
)
def test_what_its_kinds_call_a_top_is_a_top(category: str, kinds: dict[str, float], found: str) -> None:
    """Together: none of a tunic, a blouse and a shirt has to be likely by itself."""
    assert reconsidered(category, kinds) == found


@pytest.mark.parametrize(
    ("category", "tops", "found"), [("jacket", 0.2, "shirt"), ("jacket", 0.1, "jacket"), ("dress", 0.2, "dress")]
)
def test_the_heads_that_ship_are_too_sure_of_jackets(category: str, tops: float, found: str) -> None:
    """A kurta that they call a jacket keeps some of a top's kinds; those of a shop know its jackets, and dresses are not doubted so easily."""
    kinds = {"tunic": tops, category: 1 - tops}
    assert reconsidered(category, kinds, shipped=True) == found
    assert reconsidered(category, kinds) == category


LENT = {"pattern": [[1, 0], [0, 1]], "neckline": [[1, 0], [0, 1]], "sleeve": [[1, 0], [0, 1]]}


def lending(**thresholds: float) -> Heads:
    """Heads of a shop that are sure from these probabilities on (else never), above heads that ship."""
    words = {"pattern": ("striped", "dotted"), "neckline": ("round", "collar"), "sleeve": ("long", "short")}
    under = {f: head(words[f], weight) for f, weight in LENT.items()}
    own = {
        f: head(words[f], [[0.1, 0], [0, 0.1]], thresholds=[thresholds.get(f, NEVER)] * 2)
        for f in ("pattern", "sleeve")
    }
    return Heads("sha256:shop", "sha256:m", own, under=Heads("sha256:shipped", "sha256:m", under))


def test_where_a_shops_heads_are_silent_others_tell_patterns_and_necklines() -> None:
    """What the shop's give .55 is possible; a neckline they do not know; of sleeves nobody is asked."""
    read = lending().read(np.array([2.0, 0.0], np.float32), None, "shirt")
    assert {facet: one.value for facet, one in read.items()} == {"pattern": "striped", "neckline": "round"}


def test_what_a_shops_heads_say_stands() -> None:
    """However sure the others are of something else; and what they think improbable is not told."""
    said = np.array([2.0, 0.0], np.float32)
    heads = lending(pattern=0.5)
    assert heads.read(said, None, "shirt")["pattern"].confidence == pytest.approx(1 / (1 + np.exp(-0.2)), abs=1e-4)
    against = Heads(
        "sha256:shop",
        "sha256:m",
        {"pattern": head(["striped", "dotted"], [[0, 0], [1, 0]], thresholds=[NEVER] * 2)},
        under=heads.under,
    )
    assert "pattern" not in against.read(said, None, "shirt")
