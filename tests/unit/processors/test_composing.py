"""A composed query as weights on facets: what is asked for counts most, what was not mentioned stays, what is refused is pushed away."""

from __future__ import annotations

from math import sqrt

import pytest

from processors import composing
from processors.chances import pack, unpacked, with_stated
from processors.composing import UNKNOWN, WEIGHTS, Composed, compose
from processors.edit_text import parse_edit

SHIRT = {
    "category": {"shirt": 0.9, "jacket": 0.1},
    "kind": {"shirt": 0.8, "blouse": 0.2},
    "colour": {"blue": 0.7, "navy": 0.3},
    "pattern": {"striped": 0.9, "checked": 0.1},
    "sleeve": {"long": 1.0},
    "neckline": {"collar": 1.0},
}


def score(composed: Composed, product: dict[str, dict[str, float]]) -> float:
    """The inner product that a shard computes, without the embedding."""
    total = 0.0
    for facet, weights in composed.blocks.items():
        known = product.get(facet)
        if known is None:
            total += weights[UNKNOWN]
        else:
            total += sum(weight * sqrt(known.get(value, 0.0)) for value, weight in weights.items() if value)
    return total


def like(**other: dict[str, float]) -> dict[str, dict[str, float]]:
    """The same shirt, but for some facets."""
    return {**SHIRT, **other}


def test_what_is_wanted_counts_more_than_what_is_kept() -> None:
    """The shirt in green comes before the blue one; and before green things of another kind."""
    composed = compose(SHIRT, parse_edit("this, but in green"))
    green = like(colour={"green": 1.0})
    assert score(composed, green) > score(composed, SHIRT)
    trousers = {"category": {"pants": 1.0}, "kind": {"trousers": 1.0}, "colour": {"green": 1.0}}
    assert score(composed, SHIRT) > score(composed, trousers), "the kind of garment stays first of all"
    assert score(composed, green) > score(composed, like(colour={"green": 1.0}, pattern={"solid": 1.0}))
    assert composed.wishes == {"colour": ("green", "dark green", "mint", "olive")}
    assert composed.kept == ("category", "kind", "pattern", "sleeve", "neckline")


def test_several_edits_and_a_refusal_in_one_sentence() -> None:
    """Each is weighed by itself."""
    composed = compose(SHIRT, parse_edit("in white, with short sleeves, no stripes"))
    assert set(composed.wishes) == {"colour", "sleeve"}
    asked = like(colour={"white": 1.0}, sleeve={"short": 1.0}, pattern={"solid": 1.0})
    striped = like(colour={"white": 1.0}, sleeve={"short": 1.0})
    blue, long = asked | {"colour": {"blue": 1.0}}, asked | {"sleeve": {"long": 1.0}}
    assert score(composed, asked) > max(score(composed, one) for one in (striped, blue, long))
    assert score(composed, striped) < score(composed, asked) - 1


def test_what_a_product_does_not_know_counts_neither_way() -> None:
    """It lies between one that is as wished and one that is not; of a refusal, between one that has it and one that has not."""
    unknown = {facet: values for facet, values in SHIRT.items() if facet != "pattern"}
    wished = compose(SHIRT, parse_edit("but dotted"))
    assert score(wished, SHIRT) < score(wished, unknown) < score(wished, like(pattern={"dotted": 1.0}))
    refused = compose(SHIRT, parse_edit("but not striped"))
    assert score(refused, SHIRT) < score(refused, unknown) < score(refused, like(pattern={"solid": 1.0}))


def test_no_score_is_above_one_and_the_perfect_product_has_nearly_that() -> None:
    """`most` bounds what a product can reach: scores of composed queries compare."""
    composed = compose(SHIRT, parse_edit("in green"))
    perfect = like(colour={"green": 1.0})
    assert 0.95 < (score(composed, perfect) + WEIGHTS.embedding) / composed.most <= 1.0 + 1e-9


def test_another_garment_keeps_its_colour_and_not_its_kind() -> None:
    """Of a skirt nobody asks for sleeves."""
    composed = compose(SHIRT, parse_edit("as a skirt"))
    assert composed.kept == ("colour", "pattern")
    assert "sleeve" in compose(SHIRT, parse_edit("as a dress")).kept
    skirt = {"category": {"skirt": 1.0}, "kind": {"skirt": 1.0}, "colour": {"blue": 1.0}}
    assert score(composed, skirt) > score(composed, SHIRT)


@pytest.mark.parametrize(
    ("wanted", "met", "not_met"),
    [("with a polo collar", {"collar": 1.0}, {"round": 1.0}), ("with a crew neck", {"round": 1.0}, {"v": 1.0})],
)
def test_a_value_that_no_head_tells_is_met_by_one_that_means_nearly_the_same(
    wanted: str, met: dict[str, float], not_met: dict[str, float]
) -> None:
    """Shipped heads know no crew neck."""
    plain = like(neckline={"v": 1.0})
    composed = compose(plain, parse_edit(wanted))
    assert score(composed, like(neckline=met)) > score(composed, like(neckline=not_met))


def test_a_step_is_told_as_what_it_comes_to() -> None:
    """ "Darker" than blue is navy."""
    composed = compose(like(colour={"blue": 1.0}), parse_edit("the same but darker"))
    assert composed.wishes["colour"][0] == "navy"


def test_the_shops_word_replaces_what_the_pixels_say() -> None:
    """And its kind says the category; a facet that it does not say stays."""
    told = unpacked(with_stated(pack(SHIRT), {"colour": "Navy Blue", "kind": "jeans"}))
    assert list(told["colour"]) == ["navy"]
    assert list(told["category"]) == ["pants"]
    assert told["sleeve"] == {"long": 1.0}


def test_a_facet_that_another_product_lends_is_wanted_as_that_has_it() -> None:
    """Of its pattern what it probably is, the rest stays; what the words set leads."""
    lent = {"pattern": {"dotted": 0.7, "floral": 0.3}}
    composed = compose(SHIRT, parse_edit(""), lent=lent)
    assert composed.wishes == {"pattern": ("dotted", "floral")}
    assert composed.kept == ("category", "kind", "colour", "sleeve", "neckline")
    dotted, floral, solid = (like(pattern={value: 1.0}) for value in ("dotted", "floral", "solid"))
    assert score(composed, dotted) > score(composed, floral) > score(composed, solid)
    assert score(composed, like(pattern=lent["pattern"])) > score(composed, SHIRT)
    assert (score(composed, like(pattern=lent["pattern"])) + WEIGHTS.embedding) / composed.most <= 1.0 + 1e-9
    assert compose(SHIRT, parse_edit("but checked"), lent=lent).wishes == {"pattern": ("checked",)}


def test_near_colours_meet_a_wish_a_little() -> None:
    """By their distance on the palette, and by their family."""
    near = composing.near("blue", 8.0, 0.5)
    assert near["blue"] == 1.0
    assert near["navy"] == 0.5
    assert "red" not in near


def test_in_a_different_colour_refuses_the_reference_s_own() -> None:
    """Red and green come before what is as blue as it is, and it is told; the rest stays."""
    composed = compose(SHIRT, parse_edit("the same in a different colour"))
    blue = like(colour={"blue": 0.6, "navy": 0.4})
    assert score(composed, blue) < min(score(composed, like(colour={name: 1.0})) for name in ("red", "green", "white"))
    assert composed.refused == {"colour": ("blue", "navy")}
    assert "pattern" in composed.kept
    assert compose(SHIRT, parse_edit("in another pattern")).refused == {"pattern": ("striped",)}
    assert compose({"category": {"bag": 1.0}}, parse_edit("in a different colour")).refused == {}


def test_a_refused_colour_is_the_reference_s_whatever_it_was_read_as() -> None:
    """A blouse that is read as lavender is "purple" to whoever refuses that; a white one is not black, and stays white."""
    blouse = like(colour={"lavender": 1.0})
    refused = compose(blouse, parse_edit("but not purple"))
    assert score(refused, blouse) < score(refused, like(colour={"white": 1.0}))
    white = like(colour={"white": 1.0})
    assert score(compose(white, parse_edit("but not black")), white) > score(
        compose(white, parse_edit("but not black")), like(colour={"red": 1.0})
    )
    # Where another colour is asked for, that one decides.
    wanted = compose(blouse, parse_edit("in pink, not purple"))
    assert score(wanted, like(colour={"pink": 1.0})) > score(wanted, blouse)


def test_another_kind_of_garment_comes_before_what_looks_the_same() -> None:
    """ "As a skirt": a green skirt, before a shirt in the reference's colour, pattern and place that may be a skirt by a tenth."""
    composed = compose(SHIRT, parse_edit("as a skirt"))
    skirt = {"category": {"skirt": 0.8, "dress": 0.2}, "kind": {"skirt": 0.9}, "colour": {"green": 1.0}}
    alike = like(category={"shirt": 0.9, "skirt": 0.1})
    assert score(composed, skirt) > score(composed, alike) + composed.embedding
    # A tunic that is boxed as a dress is told by its kind.
    dress = compose(SHIRT, parse_edit("as a dress"))
    boxed = {"category": {"dress": 0.9}, "kind": {"tunic": 0.9, "dress": 0.1}}
    assert score(dress, {"category": {"dress": 0.8}, "kind": {"dress": 0.9}}) > score(dress, boxed)
    shoes = compose(SHIRT, parse_edit("shoes that go with this"))
    some = {
        "category": {"shoe": 1.0},
        "kind": dict.fromkeys(("heels", "sandals", "flats", "boots"), 0.25),
        "colour": SHIRT["colour"],
    }
    assert (score(shoes, {**SHIRT, **some}) + shoes.embedding) / shoes.most <= 1.0, "no score is above one"
    # Where the reference may be one already, it is the same kind of garment as ever.
    assert (
        compose(like(category={"shirt": 0.5, "dress": 0.4}), parse_edit("a dress like this")).embedding
        == WEIGHTS.embedding
    )
    assert compose(SHIRT, parse_edit("in green")).embedding == WEIGHTS.embedding


def test_a_different_pattern_is_no_refusal_of_all_that_may_have_a_little_of_it() -> None:
    """A plain shirt that is checked by a twentieth is as different as a print of another cut."""
    checked = like(pattern={"checked": 1.0}, colour={"white": 1.0})
    composed = compose(checked, parse_edit("in a different pattern"))
    plain = like(pattern={"solid": 0.95, "checked": 0.05}, colour={"white": 1.0})
    other = like(pattern={"graphic": 1.0}, colour={"white": 1.0}, neckline={"round": 1.0}, kind={"t-shirt": 1.0})
    assert score(composed, plain) > score(composed, other) > score(composed, checked)
    assert "pattern" not in composed.kept


def test_another_kind_of_the_same_category_comes_before_what_looks_the_same() -> None:
    """ "As sandals" beside a shoe: sandals in another colour, before the same boots in every other facet."""
    boots = {"category": {"shoe": 1.0}, "kind": {"boots": 1.0}, "colour": {"black": 1.0}, "gender": {"women": 1.0}}
    composed = compose(boots, parse_edit("as sandals"))
    sandals = {**boots, "kind": {"sandals": 0.6, "flats": 0.4}, "colour": {"tan": 1.0}, "gender": {"men": 1.0}}
    assert score(composed, sandals) > score(composed, boots) + composed.embedding
