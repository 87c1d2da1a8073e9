"""Heads learnt from labels, and what they are worth on brands that took no part."""

from __future__ import annotations

import numpy as np
import pytest

from models.facets import facet_fit
from models.facets.facet_fit import Examples, fit, fold_of, thresholds_of
from processors.errors import Poison
from processors.facets import NEVER, Heads

PATTERNS = ("checked", "solid", "striped")


def _brands(count: int) -> list[str]:
    """Names of brands that lie in all folds."""
    names, folds = [], set()
    for n in range(1000):
        if (fold := fold_of(f"brand {n}")) not in folds or len(folds) == facet_fit.FOLDS:
            names.append(f"brand {n}")
            folds.add(fold)
        if len(names) == count:
            break
    return names


def _examples(rows: int = 240, *, noise: float = 0.3, flipped: float = 0.0) -> Examples:
    """Three patterns in three directions of 12 numbers, two colours in the shares; `flipped`: labels that are wrong."""
    rng = np.random.default_rng(1)
    brands = _brands(10)
    truth = rng.integers(0, 3, rows)
    features = np.eye(3, 12)[truth] + noise * rng.normal(size=(rows, 12))
    shade = rng.integers(0, 2, rows)
    shares = np.eye(2, 5)[shade] + 0.1 * rng.normal(size=(rows, 5))
    told = np.where(rng.random(rows) < flipped, (truth + 1) % 3, truth)
    return Examples(
        features.astype(np.float32),
        shares.astype(np.float32),
        ["shirt" if n % 10 else "dress" for n in range(rows)],
        [brands[n % len(brands)] for n in range(rows)],
        {
            "pattern": [PATTERNS[n] for n in told],
            "colour": [("navy blue", "maroon")[n] for n in shade],
            "sleeve": ["long"] * rows,
        },
    )


def test_what_can_be_learnt_is_learnt_and_judged_without_its_brand() -> None:
    """Both inputs; a facet with one value is left out and named."""
    found = fit(_examples())
    assert set(found.heads) == {"pattern", "colour"}
    assert any(note.startswith("sleeve") for note in found.left_out)
    worth = {one.facet: one for one in found.worth}
    for facet in ("pattern", "colour"):
        assert worth[facet].accuracy > 0.9
        assert worth[facet].stated > 0.8 * worth[facet].labelled
        assert worth[facet].right >= 0.9 * worth[facet].stated
        assert sum(value.labelled for value in worth[facet].values) == worth[facet].labelled == 240
    probe = np.zeros(12, np.float32)
    probe[2] = 1
    read = found.heads["pattern"].read(probe, "shirt")
    assert read is not None
    assert read.value == "striped"
    assert found.heads["pattern"].read(probe, "shoe") is None, "the shop never said it of a shoe"


def test_labels_that_mean_nothing_are_never_stated() -> None:
    """Random labels: held-out brands show that no value is right in nine of ten."""
    examples = _examples()
    rng = np.random.default_rng(5)
    labels = {"pattern": [PATTERNS[n] for n in rng.integers(0, 3, 240)]}
    found = fit(Examples(examples.features, examples.shares, examples.categories, examples.groups, labels))
    [worth] = found.worth
    assert worth.accuracy < 0.5
    assert worth.stated < 0.15 * worth.labelled


def test_one_brand_alone_is_refused() -> None:
    """Nothing could be held out: what the heads are worth would be invented."""
    examples = _examples()
    alone = Examples(examples.features, examples.shares, examples.categories, ["one"] * 240, examples.labels)
    with pytest.raises(Poison, match="one brand"):
        fit(alone)


def test_nothing_to_learn_is_refused_with_the_reason() -> None:
    """A table whose facets have one value each."""
    examples = _examples()
    only = Examples(
        examples.features, examples.shares, examples.categories, examples.groups, {"sleeve": ["long"] * 240}
    )
    with pytest.raises(Poison, match="sleeve: fewer than two values"):
        fit(only)


def test_thresholds_are_where_right_statements_less_three_for_a_wrong_one_are_most() -> None:
    """Value 0 is right above .7, in four of five from .6 on and wrong below; value 1 is wrong half of the time, however sure."""
    chances, truth = [], []
    for n in range(40):
        sure = 0.5 + n / 100
        chances.append([sure, 1 - sure])
        truth.append(0 if sure >= 0.7 or (sure >= 0.6 and n % 5) else 1)
    for n in range(40):
        chances.append([0.1, 0.9])
        truth.append(n % 2)
    table = np.array(chances, np.float32), np.array(truth, np.int64)
    first, second = thresholds_of(*table)
    assert first == pytest.approx(0.61, abs=0.002), "the one at .60 is wrong, and so are those below"
    assert second == NEVER
    stricter, _ = thresholds_of(*table, outweighs=6.0)
    assert stricter == pytest.approx(0.66, abs=0.002), "four right ones are no price for the wrong one at .65"
    floored, _ = thresholds_of(*table, floor=0.8)
    assert floored == 0.8


def test_what_was_learnt_on_boxes_of_dresses_is_told_of_tops() -> None:
    """A box of a dress, a jacket or a skirt is called a top where the kinds say so: its values would all be left out."""
    given = _examples()
    dresses = ["dress"] * len(given.categories)
    found = fit(Examples(given.features, given.shares, dresses, given.groups, given.labels))
    assert set(found.heads["pattern"].categories) == {("dress", "shirt")}
    hats = ["hat"] * len(given.categories)
    other = fit(Examples(given.features, given.shares, hats, given.groups, given.labels))
    assert set(other.heads["pattern"].categories) == {("hat",)}


def test_products_without_a_label_decide_nothing() -> None:
    """−1 in the truth: not wrong, unknown."""
    chances = np.repeat(np.array([[0.9, 0.1], [0.6, 0.4]], np.float32), (30, 15), axis=0)
    truth = np.array([0] * 15 + [-1] * 15 + [1] * 15, np.int64)
    assert thresholds_of(chances, truth)[0] == pytest.approx(0.9, abs=0.002)


def test_what_was_never_wrong_is_stated_where_it_is_likelier_than_not() -> None:
    """Products that are told apart easily are all as sure as .9998; one of another shade, a little less sure, has the value too."""
    chances = np.array([[0.9998, 0.0002], [0.0002, 0.9998]] * 20, np.float32)
    assert thresholds_of(chances, np.array([0, 1] * 20, np.int64)) == (facet_fit.FLOOR, facet_fit.FLOOR)
    unsure = np.array([[0.3, 0.25, 0.45]] * 20, np.float32)
    assert thresholds_of(unsure, np.full(20, 2, np.int64))[2] == pytest.approx(0.45, abs=0.002)


def test_what_is_equally_sure_is_stated_together() -> None:
    """Right in 70 of 100, all of one probability: that the first seventy in the table happen to be right makes no threshold."""
    chances = np.tile(np.array([[0.05, 0.95]], np.float32), (100, 1))
    truth = np.array([1] * 70 + [0] * 30, np.int64)
    assert thresholds_of(chances, truth)[1] == NEVER
    assert thresholds_of(chances, truth, outweighs=2.0)[1] < 0.95


def test_a_few_that_happen_to_be_right_make_no_threshold() -> None:
    """Twenty predictions, the surest three right and all others wrong: the value is never stated."""
    chances = np.array([[0.5 + n / 50, 0.5 - n / 50] for n in range(20)], np.float32)
    truth = np.array([1] * 17 + [0] * 3, np.int64)
    assert thresholds_of(chances, truth)[0] == NEVER


def test_what_no_line_divides_is_told_by_the_network() -> None:
    """Striped where two signs agree, checked where they differ: a linear head is right in half; the other facet keeps what is better for it."""
    rng = np.random.default_rng(3)
    rows, brands = 1200, _brands(10)
    signs = rng.choice([-1.0, 1.0], size=(rows, 2))
    features = np.repeat(signs, 12, axis=1) + 0.2 * rng.normal(size=(rows, 24))
    shade = rng.integers(0, 2, rows)
    shares = np.eye(2, 5)[shade] + 0.1 * rng.normal(size=(rows, 5))
    found = fit(
        Examples(
            features.astype(np.float32),
            shares.astype(np.float32),
            ["shirt"] * rows,
            [brands[n % len(brands)] for n in range(rows)],
            {
                "pattern": ["striped" if a * b > 0 else "checked" for a, b in signs],
                "colour": [("navy blue", "maroon")[n] for n in shade],
            },
        )
    )
    assert found.heads["pattern"].layered
    worth = {one.facet: one for one in found.worth}
    assert worth["pattern"].accuracy > 0.95
    assert worth["colour"].accuracy > 0.95
    heads = Heads("v", "m", found.heads, found.layer)
    grey = np.full(5, 0.2, np.float32)
    for a, b, value in ((1, 1, "striped"), (-1, 1, "checked"), (-1, -1, "striped")):
        probe = np.repeat(np.array([a, b], np.float32), 12)
        for given in (grey, None):
            read = heads.read(probe, given, "shirt")
            assert read["pattern"].value == value
            assert ("colour" in heads.probabilities(probe, given)) == (given is not None)
