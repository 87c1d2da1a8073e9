"""The yardsticks of worn garments and of relevance count what they say, and the fit of relevance finds where two sides part."""

from __future__ import annotations

import numpy as np
import pytest

from models.recipes.relevance import STEEPEST, fit
from models.yardsticks.relevance import NOTHING, Judgement, noise, report
from models.yardsticks.worn import Answered, Garment, Listed, changed
from models.yardsticks.worn import report as report_worn
from processors.errors import Poison
from processors.relevance import Curve, knows

SHIRT = Garment("0-0", 0, "shirt", (0, 0, 50, 50), b"")
SHOE = Garment("0-1", 0, "shoe", (0, 80, 30, 100), b"")


def test_a_garment_counts_where_it_was_found_in_its_place() -> None:
    """The shirt is first in its own list; the shoe was never boxed, and is only in the merged list."""
    whole = Answered(0, ("other", "0-0"))
    apart = Answered(0, ("0-0", "other", "0-1"), (Listed((0, 0, 48, 50), ("0-0", "other")),))
    found = report_worn([SHIRT, SHOE], 0.6, [whole], [apart], (), ())
    assert (found.whole.first, found.whole.ten) == (0.0, 1.0)
    assert (found.garments.first, found.garments.garment_first, found.garments.in_ten) == (1.0, 0.5, 1.0)
    assert (found.missed, found.first_by_category) == (0.5, {"shirt": 1.0, "shoe": 0.0})


def test_a_photo_is_mirrored_and_darkened() -> None:
    """Left is right, and at so much of its light."""
    pixels = np.zeros((2, 3, 3), np.uint8)
    pixels[:, 0] = 200
    assert changed(pixels, 0.5)[0, :, 0].tolist() == [0, 0, 100]


def test_unsure_is_counted_by_kind_and_what_says_nothing_is_sure() -> None:
    """A profile without a fit calls nothing unsure, and the yardstick shows it."""
    judged = [
        Judgement("photo", True, 0.9, True, True),
        Judgement("photo", True, 0.9, True, False),
        Judgement("photo", False, 0.3, False, False),
        Judgement("photo", False, 0.3, False, None),
    ]
    found = report("e", judged).kinds["photo"]
    assert (found.unsure_of_good, found.unsure_of_nothing) == (0.5, 0.5)


def test_the_fit_lies_between_both_sides_and_good_queries_stay_sure() -> None:
    """Scores around .7 and .3: one half is between them; where they overlap, one good query in fifty falls below."""
    rng = np.random.default_rng(2)

    def both(good: float, nothing: float, spread: float) -> list[Judgement]:
        return [
            *(Judgement("photo", True, float(s), True, None) for s in rng.normal(good, spread, 200)),
            *(Judgement("photo", False, float(s), True, None) for s in rng.normal(nothing, spread, 200)),
        ]

    apart = fit(both(0.7, 0.3, 0.02))["photo"]
    assert 0.4 < apart.middle < 0.6
    assert apart.slope <= STEEPEST
    close = both(0.5, 0.45, 0.05)
    curve = fit(close)["photo"]
    below = [one for one in close if one.fits and Curve(curve.slope, curve.middle).at(one.score) < 0.5]
    assert len(below) <= 4


def test_too_few_queries_are_no_fit() -> None:
    """A curve over three scores would be taken for a measurement."""
    with pytest.raises(Poison, match="too few"):
        fit([Judgement("words", True, 0.5, True, None)] * 3)


def test_noise_is_photos_that_differ_and_words_of_nothing_say_nothing_of_clothes() -> None:
    """Else the yardstick would ask for what a shop has."""
    drawn = noise(16, 3)
    assert {one.shape for one in drawn} == {(320, 240, 3)}
    assert len({one.tobytes() for one in drawn}) == 16
    assert not np.array_equal(noise(1, 4)[0], drawn[0])
    assert [text for text in NOTHING if knows(text)] == []
