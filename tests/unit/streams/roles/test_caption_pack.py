"""Which colours may be told of a garment that models saw."""

from __future__ import annotations

import pytest

from processors.policies import Policies
from processors.values import Attribute, Colour, Garment
from streams.roles.caption.pack import told_of

BOX = (0.0, 0.0, 10.0, 10.0)


def seen(*shares: tuple[str, float], word: str = "", pattern: str = "") -> Garment:
    """A shirt of these colours; `word`: what heads of the shop call it."""
    given = {"colour": word, "pattern": pattern}
    told = {facet: Attribute(value, 0.9, source="pixels") for facet, value in given.items() if value}
    return Garment("g0", "shirt", BOX, 0.9, tuple(Colour(name, "#000000", share) for name, share in shares), told)


@pytest.mark.parametrize(
    ("garment", "names"),
    [
        (seen(("navy", 0.7), ("white", 0.3)), ["navy", "white"]),
        (seen(("navy", 0.46), ("white", 0.4)), ["navy", "white"]),
        (seen(("mint", 0.31), ("white", 0.41)), []),
        (seen(("multicoloured", 1.0)), ["multicoloured"]),
        (seen(("black", 0.42), ("grey", 0.33)), ["black", "grey"]),
        (seen(("red", 0.4), ("navy", 0.3), pattern="striped"), ["red", "navy"]),
        (seen(("mint", 0.31), ("white", 0.41), word="white"), ["white", "mint"]),
        (seen(word="white"), []),
    ],
)
def test_a_colour_that_does_not_lead_is_not_told(garment: Garment, names: list[str]) -> None:
    """Unless heads that were fitted on a shop's words are sure of it."""
    assert [colour.name for colour in told_of(garment, {}, Policies()).colours] == names


def certain(*colours: tuple[str, float, float], pattern: str = "") -> Garment:
    """A shirt of these colours, each with its share and its certainty."""
    told = {"pattern": Attribute(pattern, 0.9, source="pixels")} if pattern else {}
    found = tuple(Colour(name, "#000000", share, certainty) for name, share, certainty in colours)
    return Garment("g0", "shirt", BOX, 0.9, found, told)


@pytest.mark.parametrize(
    ("garment", "names"),
    [
        (certain(("navy", 0.9, 0.7)), ["navy"]),
        (certain(("navy", 0.95, 0.35)), []),
        (certain(("navy", 0.95, 0.4)), ["navy"]),
        (certain(("white", 0.95, 0.4)), []),
        (certain(("pink", 0.95, 0.6)), []),
        (certain(("pink", 0.95, 0.7)), ["pink"]),
        (certain(("cream", 0.95, 0.55)), []),
        (certain(("cream", 0.95, 0.62)), ["cream"]),
        (certain(("red", 0.4, 0.52), ("white", 0.3, 0.2)), ["red", "white"]),
        (certain(("white", 0.95, 0.52)), []),
        (certain(("black", 0.5, 0.3), ("grey", 0.3, 0.2)), ["black", "grey"]),
        (certain(("red", 0.4, 0.35), ("navy", 0.3, 0.3), pattern="striped"), []),
        (certain(("multicoloured", 1.0, 1.0)), ["multicoloured"]),
    ],
    ids=[
        "sure",
        "between two names",
        "a name that shops give as it is seen",
        "a usual name",
        "a name between others",
        "surely between others",
        "a name on the border of another",
        "surely that name",
        "less than half",
        "white that may be grey",
        "black that shines",
        "one of two stripes",
        "multicoloured",
    ],
)
def test_a_colour_between_two_names_is_not_told(garment: Garment, names: list[str]) -> None:
    """Nearly the whole garment may be of one colour, and nobody be sure what it is called."""
    assert [colour.name for colour in told_of(garment, {}, Policies()).colours] == names
