"""Heads of facets: what is sure enough to state, and of which garment."""

from __future__ import annotations

import numpy as np
import pytest

from processors.errors import Fatal
from processors.facets import COLOUR, NEVER, Head, Heads, of_garment
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
