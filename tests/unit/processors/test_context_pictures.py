"""Retrieval of articles' pictures: what two encoders name, and what geometry makes of it."""

from __future__ import annotations

import numpy as np

from processors.context.pictures import AGAIN, judged, nearest, together
from processors.geometry import Match

NO = Match(0.1, 3, abstains=False)
FITS = Match(0.7, 20, abstains=False)
SURER = Match(0.9, 40, abstains=False)
PLAIN = Match(0.0, 0, abstains=True)


def test_an_encoder_names_its_two_nearest() -> None:
    """By likeness; equal ones by name, so that a start finds the same."""
    vectors = np.array([[1, 0], [0, 1], [1, 0], [0.6, 0.8]], np.float32)
    assert nearest(["b", "c", "a", "d"], vectors, np.array([1, 0], np.float32)) == [("a", 1.0), ("b", 1.0)]
    assert nearest([], np.zeros((0, 2), np.float32), np.array([1, 0], np.float32)) == []


def test_the_second_rank_counts_less_and_a_second_list_a_little_more() -> None:
    """The paper's weights: 1 and .8 by rank, .03 for each further appearance."""
    found = together([[("a", 0.9), ("b", 0.9)], [("b", 0.8), ("c", 0.7), ("d", 0.9)]])
    assert [(one.picture, one.score) for one in found] == [("a", 0.9), ("b", round(0.8 + AGAIN, 4)), ("c", 0.56)]
    assert dict(found[1].likeness) == {0: 0.9, 1: 0.8}
    assert together([[], []]) == []


def test_geometry_puts_first_what_it_is_sure_of_and_else_changes_nothing() -> None:
    """What abstains, or agrees too little, stays where the encoders had it."""
    a, b, c = together([[("a", 0.9), ("b", 0.8)], [("c", 0.5)]])
    assert [one.candidate.picture for one in judged([a, b, c], [NO, PLAIN, NO])] == ["a", "b", "c"]
    found = judged([a, b, c], [NO, FITS, SURER])
    assert [(one.candidate.picture, one.swapped) for one in found] == [("c", True), ("b", False), ("a", False)]
    assert [one.swapped for one in judged([a, b, c], [SURER, NO, NO])] == [False, False, False]
