"""Values that several heads and the garment's own pixels tell together."""

from __future__ import annotations

import numpy as np
import pytest

from processors.errors import Fatal
from processors.facets import Head, Heads
from processors.weighed import CERTAINTY, GARMENT, LIGHT, LOOK, Term, Weighed
from tests.fakes.facet_heads import head


def odds(chance: float | None) -> float:
    """Of a probability."""
    assert chance is not None
    return float(np.log(chance / (1 - chance)))


def test_what_counts_is_added_up_as_log_odds() -> None:
    """Probabilities of values together by their logarithm, numbers of the pixels as they are, categories as one or nothing."""
    one = Weighed(
        "solid",
        0.5,
        -1.0,
        (
            Term("pattern", ("floral", "printed"), 2.0),
            Term(LOOK, (CERTAINTY,), 3.0),
            Term(GARMENT, ("pants", "shorts"), 0.5),
        ),
    )
    known = {"pattern": {"floral": 0.2, "printed": 0.3}, LOOK: {CERTAINTY: 0.4}}
    assert odds(one.chance("shirt", known)) == pytest.approx(-1 + 2 * np.log(0.501) + 1.2)
    assert odds(one.chance("shorts", known)) == pytest.approx(-1 + 2 * np.log(0.501) + 1.7)


@pytest.mark.parametrize("known", [{}, {"pattern": {"solid": 0.9}}, {"pattern": {"solid": 0.9}, LOOK: {LIGHT: 0.3}}])
def test_what_is_not_known_is_no_zero(known: dict[str, dict[str, float]]) -> None:
    """A garment without pixels of its own has no certainty of 0: nothing is told of it."""
    one = Weighed("solid", 0.5, 5.0, (Term("pattern", ("solid",), 1.0), Term(LOOK, (CERTAINTY,), 1.0)))
    assert one.chance("shirt", known) is None


def test_extreme_probabilities_stay_finite() -> None:
    """A value that a head rules out altogether is not minus infinity, and far odds do not overflow."""
    one = Weighed("solid", 0.5, 0.0, (Term("pattern", ("solid",), 500.0),))
    assert one.chance("shirt", {"pattern": {"solid": 0.0}}) == pytest.approx(0.0, abs=1e-12)
    one = Weighed("solid", 0.5, 5000.0, (Term("pattern", ("solid",), 1.0),))
    assert one.chance("shirt", {"pattern": {"solid": 1.0}}) == pytest.approx(1.0)


@pytest.mark.parametrize(("facet", "values"), [(LOOK, ("weight",)), (LOOK, (CERTAINTY, LIGHT)), ("pattern", ())])
def test_a_term_of_nothing_is_refused(facet: str, values: tuple[str, ...]) -> None:
    """A misspelt number would make the value unknown for ever, in silence."""
    with pytest.raises(Fatal, match="weighed"):
        Term(facet, values, 1.0)


def plain_or_printed(*weighed: Weighed) -> Head:
    """Printed from .6 on; solid as it is weighed, of tops only."""
    return Head(
        ("solid", "printed"),
        np.eye(2, dtype=np.float32),
        np.zeros(2, np.float32),
        (0.0, 0.6),
        (("shirt",), ()),
        weighed=weighed,
    )


SOLID = Weighed("solid", 0.7, -4.0, (Term(LOOK, (CERTAINTY,), 6.0),))


@pytest.mark.parametrize(
    ("solid", "certainty", "category", "told"),
    [
        (0.45, 0.9, "shirt", ("solid", 0.8022)),
        (0.45, 0.6, "shirt", ("", 0.0)),
        (0.9, 0.6, "shirt", ("", 0.0)),
        (0.3, 0.9, "shirt", ("printed", 0.7)),
        (0.45, 0.9, "pants", ("", 0.0)),
    ],
    ids=["less likely than another", "not enough", "its own threshold is not asked", "another is stated", "category"],
)
def test_a_weighed_value_is_told_where_no_other_is(
    solid: float, certainty: float, category: str, told: tuple[str, float]
) -> None:
    """From its own probability on, which is its confidence."""
    chances = np.array([solid, 1 - solid], np.float32)
    found = plain_or_printed(SOLID).told(chances, category, {LOOK: {CERTAINTY: certainty}})
    assert (found.value if found else "", round(found.confidence, 4) if found else 0.0) == told


def test_of_two_weighed_values_the_likelier_is_told() -> None:
    """And the other is the second, however sure the head itself is of it."""
    both = plain_or_printed(SOLID, Weighed("printed", 0.7, 0.0, (Term(LOOK, (CERTAINTY,), 2.0),)))
    for certainty, told in ((0.9, "printed"), (1.0, "solid")):
        found = both.told(np.array([0.2, 0.8], np.float32), "shirt", {LOOK: {CERTAINTY: certainty}})
        assert found is not None
        assert {found.value, found.second} == {"solid", "printed"}
        assert found.value == told


def test_heads_tell_each_other_what_is_weighed() -> None:
    """A neckline that is read from the same features, and what the caller saw in the pixels."""
    necks = head(["round", "collar"], [[4, 0], [0, 4]])
    weighed = Weighed("solid", 0.5, 0.0, (Term("neckline", ("collar",), 3.0), Term(LOOK, (CERTAINTY,), 2.0)))
    heads = Heads("sha256:v", "sha256:m", {"pattern": plain_or_printed(weighed), "neckline": necks})
    even_prints = np.array([0.0, 0.3], np.float32)
    assert heads.read(even_prints, None, "shirt", {CERTAINTY: 0.9})["pattern"].value == "solid"
    assert "pattern" not in heads.read(even_prints[::-1].copy(), None, "shirt", {CERTAINTY: 0.9})
    assert "pattern" not in heads.read(even_prints, None, "shirt"), "nobody looked at its pixels"


def test_weighed_values_are_the_heads_own() -> None:
    """A file with others is damaged."""
    with pytest.raises(Fatal, match="lines"):
        plain_or_printed(Weighed("striped", 0.5, 0.0, ()))
