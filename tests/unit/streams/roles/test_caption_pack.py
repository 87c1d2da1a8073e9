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
