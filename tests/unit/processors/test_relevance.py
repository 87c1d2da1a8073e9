"""Relevance: what a score is worth by kind of query, and what else counts."""

from __future__ import annotations

import pytest

from processors.relevance import SURE, UNTOLD, WRONG, Curve, Evidence, Relevance, knows

FITTED = Relevance("sha256:a", {"photo": Curve(20.0, 0.6, 0.4), "words": Curve(40.0, 0.2, 0.4)})


def test_a_score_is_worth_what_its_kind_of_query_says() -> None:
    """.4 is a sure answer to words and none to a photo."""
    photo = FITTED.of("sha256:a", Evidence("photo"))
    words = FITTED.of("sha256:a", Evidence("words"))
    assert photo is not None
    assert words is not None
    assert photo.at(0.4, "dress") < 0.05 < 0.95 < words.at(0.4, "dress")
    assert photo.at(0.6, "dress") == 0.5
    assert photo.at(0.7, "") > photo.at(0.65, "")


def test_nobody_says_what_was_not_fitted() -> None:
    """Another encoder, and a kind of query without a curve."""
    assert FITTED.of("sha256:b", Evidence("photo")) is None
    assert FITTED.of("sha256:a", Evidence("composed")) is None
    assert Relevance().of("", Evidence("photo")) is None


def test_another_category_than_was_asked_for_is_hardly_right() -> None:
    """Boots in a shop of shirts; a product whose category nobody knows must be nearer."""
    asked = FITTED.of("sha256:a", Evidence("words", ("shoe",)))
    assert asked is not None
    assert asked.at(0.9, "shirt") == pytest.approx(WRONG, abs=1e-3)
    assert asked.at(0.9, "shoe") > 0.99
    assert asked.at(0.9, "") == pytest.approx(UNTOLD, abs=1e-3)
    assert SURE < UNTOLD < 1
    open_to_all = FITTED.of("sha256:a", Evidence("words"))
    assert open_to_all is not None
    assert open_to_all.at(0.9, "") > 0.99


def test_the_category_that_is_asked_for_speaks_for_a_hit() -> None:
    """A hat that is not navy is nearer to a navy hat than its score says; a shirt is not, nor a hat where no category is asked for."""
    curves = {"words": Curve(40.0, 0.2, 0.4, agreeing=0.1)}
    hats = Relevance("sha256:a", curves).of("sha256:a", Evidence("words", ("hat",)))
    anything = Relevance("sha256:a", curves).of("sha256:a", Evidence("words"))
    assert hats is not None
    assert anything is not None
    assert hats.at(0.1, "hat") == anything.at(0.2, "hat") == 0.5
    assert hats.at(0.2, "") == pytest.approx(0.5 * UNTOLD)
    assert hats.at(0.2, "shirt") == pytest.approx(0.5 * WRONG)


def test_where_nothing_is_seen_no_score_is_sure() -> None:
    """Noise may lie near to something."""
    blind = FITTED.of("sha256:a", Evidence("photo", seen=False))
    assert blind is not None
    assert blind.at(1.0, "") < SURE


@pytest.mark.parametrize(
    ("text", "known"),
    [("navy", True), ("something for men", True), ("three-quarter sleeves", True), ("asdf qwer", False), ("", False)],
)
def test_words_that_are_said_of_clothes_are_known(text: str, known: bool) -> None:
    """By any word of them."""
    assert knows(text) is known


def test_scores_without_bound_are_no_trouble() -> None:
    """Zero and one, not an overflow."""
    assert Curve(1e6, 0.0).at(-10.0) == pytest.approx(0.0)
    assert Curve(1e6, 0.0).at(10.0) == pytest.approx(1.0)
