"""Two models on the same items: differences, whether they are beyond noise, and neighbours that are no copies."""

from __future__ import annotations

import numpy as np
import pytest

from models.yardsticks.detection import Judged, Scene
from models.yardsticks.paired import nearest, precision, ratio
from processors.values import CATEGORIES, Box, Detection


def hits(*values: float) -> dict[object, tuple[float, float]]:
    return {n: (value, 1.0) for n, value in enumerate(values)}


def test_a_clear_difference_is_beyond_noise_and_a_small_one_is_not() -> None:
    """Sums over sums, of the items that both have; the verdict follows what is better."""
    one, two = hits(*[1.0] * 36, *[0.0] * 4), hits(*[1.0] * 18, *[0.0] * 22)
    found = ratio("recall", "more", "products", one, two, rounds=200)
    assert found is not None
    assert (found.profile.value, found.other.value, found.items) == (0.9, pytest.approx(0.45), 40)
    assert found.difference.value == pytest.approx(0.45)
    assert found.difference.ci[0] > 0.2
    assert (found.beyond_noise, found.verdict) == (True, "better")
    less = ratio("errors", "less", "products", one, two, rounds=200)
    assert less is not None
    assert less.verdict == "worse"
    near = ratio("recall", "more", "products", one, hits(*[1.0] * 35, *[0.0] * 5), rounds=200)
    assert near is not None
    assert (near.beyond_noise, near.verdict) == (False, "level")


def test_items_are_drawn_in_pairs() -> None:
    """Where one side is better on every single item by the same, there is no doubt, however different the items are."""
    rng = np.random.default_rng(0)
    base = {n: (float(value), 1.0) for n, value in enumerate(rng.normal(0, 100, 50))}
    found = ratio("score", "more", "products", {n: (v + 1, 1.0) for n, (v, _) in base.items()}, base, rounds=200)
    assert found is not None
    assert found.difference.ci == (pytest.approx(1.0), pytest.approx(1.0))
    assert found.verdict == "better"
    assert found.profile.ci[1] - found.profile.ci[0] > 20


def test_nothing_to_count_is_no_figure() -> None:
    """Rather than a share of nothing; items of one side only do not count."""
    assert ratio("none", "more", "products", {}, {}) is None
    assert ratio("none", "more", "products", {"a": (0.0, 0.0)}, {"a": (0.0, 0.0)}) is None
    found = ratio("some", "more", "products", {"a": (1.0, 1.0), "b": (0.0, 1.0)}, {"a": (0.0, 1.0)}, rounds=10)
    assert found is not None
    assert (found.items, found.profile.value) == (1, 1.0)


def test_a_copy_of_the_photo_is_no_neighbour() -> None:
    """Nearest first; where there are too few, the rest is -1."""
    vectors = np.array([[1, 0], [1, 0], [0.6, 0.8], [0, 1]], np.float32)
    found, cosines = nearest(vectors, ["x", "x", "y", "z"], 3)
    assert found.tolist() == [[2, 3, -1], [2, 3, -1], [3, 0, 1], [2, 0, 1]]
    assert cosines[0].tolist() == pytest.approx([0.6, 0.0, -1.0])


def test_the_better_of_two_detectors() -> None:
    """By COCO's integral, on the same pictures; without a box to find there is no figure."""
    box: Box = (10.0, 10.0, 60.0, 90.0)
    scene = Scene("a.jpg", np.array([box]), np.array([CATEGORIES.index("dress")]), np.zeros(1, np.bool_))
    right, wrong = (Detection("dress", box, 0.9),), (Detection("dress", (80.0, 10.0, 90.0, 20.0), 0.9),)
    good = Judged((scene,) * 6, (right,) * 6, ())
    bad = Judged((scene,) * 6, (right,) * 2 + (wrong,) * 4, ())
    fifty, _ = precision(good, bad)
    assert (fifty.name, fifty.profile.value) == ("detection: mAP@.5", pytest.approx(1.0))
    assert fifty.other.value < 0.5
    assert fifty.verdict == "better"
    bare = Scene("b.jpg", np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0, np.bool_))
    assert precision(Judged((bare,), ((),), ()), Judged((bare,), ((),), ())) == []
