"""Average precision, against cases small enough to work out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from models.recipes.detection_metrics import Found, Truth, average_precision, match, overlaps, score

SQUARE = (0.0, 0.0, 10.0, 10.0)
FAR = (50.0, 50.0, 60.0, 60.0)
NAMES = ("shirt", "bag")


def truth(*items: tuple[tuple[float, float, float, float], int, bool]) -> Truth:
    return Truth(
        np.array([i[0] for i in items], np.float32).reshape(-1, 4),
        np.array([i[1] for i in items], np.int64),
        np.array([i[2] for i in items], np.bool_),
    )


def found(*items: tuple[tuple[float, float, float, float], int, float]) -> Found:
    return Found(
        np.array([i[0] for i in items], np.float32).reshape(-1, 4),
        np.array([i[1] for i in items], np.int64),
        np.array([i[2] for i in items], np.float32),
    )


def test_a_perfect_detector_scores_one() -> None:
    """Every box found where it is gives 1 at every threshold."""
    scores = score([truth((SQUARE, 0, False), (FAR, 1, False))], [found((SQUARE, 0, 0.9), (FAR, 1, 0.8))], NAMES)
    assert scores.map_half == pytest.approx(1)
    assert scores.map_mean == pytest.approx(1)


def test_a_missed_half_costs_half() -> None:
    """One of two found, nothing wrong: precision 1 up to recall .5, which is 51 of the 101 recalls."""
    scores = score([truth((SQUARE, 0, False), (FAR, 0, False))], [found((SQUARE, 0, 0.9))], NAMES)
    assert scores.map_half == pytest.approx(51 / 101)


def test_a_wrong_box_above_the_right_one_halves_the_precision() -> None:
    """The surer detection is false, the next is true: precision ½ at every recall."""
    scores = score([truth((SQUARE, 0, False))], [found((FAR, 0, 0.9), (SQUARE, 0, 0.5))], NAMES)
    assert scores.map_half == pytest.approx(0.5)


def test_a_wrong_box_below_the_right_one_costs_nothing() -> None:
    """AP asks how the detections are ranked: a false one after full recall does not matter."""
    scores = score([truth((SQUARE, 0, False))], [found((SQUARE, 0, 0.9), (FAR, 0, 0.5))], NAMES)
    assert scores.map_half == pytest.approx(1)


def test_the_second_box_on_one_truth_is_false() -> None:
    """A truth is found once; the double on another picture's way to recall 1 costs."""
    truths = [truth((SQUARE, 0, False)), truth((SQUARE, 0, False))]
    founds = [found((SQUARE, 0, 0.9), (SQUARE, 0, 0.8)), found((SQUARE, 0, 0.7))]
    expected = (51 * 1 + 50 * 2 / 3) / 101
    assert score(truths, founds, NAMES).map_half == pytest.approx(expected)


def test_ignored_truths_count_neither_way() -> None:
    """What lies on an ambiguous region is neither right nor wrong, however often, and need not be found."""
    truths = [truth((SQUARE, 0, False), (FAR, 0, True))]
    founds = [found((FAR, 0, 0.95), (FAR, 0, 0.9), (SQUARE, 0, 0.5))]
    scores = score(truths, founds, NAMES)
    assert scores.map_half == pytest.approx(1)
    assert scores.per_class["shirt"].instances == 1


def test_a_small_box_inside_an_ignored_region_is_ignored() -> None:
    """Against a crowd the overlap is measured by the detection's own area, as COCO has it."""
    crowd, inside = (0.0, 0.0, 100.0, 100.0), (10.0, 10.0, 20.0, 20.0)
    truths = [truth((crowd, 0, True), ((200.0, 200.0, 210.0, 210.0), 0, False))]
    founds = [found((inside, 0, 0.9), ((200.0, 200.0, 210.0, 210.0), 0, 0.5))]
    assert score(truths, founds, NAMES).map_half == pytest.approx(1)


def test_a_real_truth_goes_before_an_ignored_one() -> None:
    """A detection that fits both is a true positive, not swallowed by the ambiguous region."""
    assert match(np.array([[0.6, 0.9]]), np.array([False, True]), 0.5).tolist() == [1]


def test_the_class_matters() -> None:
    """The right box under the wrong name is a miss for one class and false for the other."""
    scores = score([truth((SQUARE, 0, False))], [found((SQUARE, 1, 0.9))], NAMES)
    assert scores.map_half == 0
    assert math.isnan(scores.per_class["bag"].at_half)


def test_a_loose_box_counts_only_at_low_thresholds() -> None:
    """IoU .7 is a hit at .5, .55, .6, .65 and .7: half of the ten thresholds."""
    scores = score([truth((SQUARE, 0, False))], [found(((0.0, 0.0, 10.0, 7.0), 0, 0.9))], NAMES)
    assert scores.map_half == pytest.approx(1)
    assert scores.map_mean == pytest.approx(0.5)


def test_nothing_to_find_is_no_number() -> None:
    """No truth at all: NaN, which no report can mistake for a score."""
    assert math.isnan(score([truth()], [found((SQUARE, 0, 0.9))], NAMES).map_half)


def test_lists_of_different_length_are_refused() -> None:
    """A dropped picture would shift every comparison after it."""
    with pytest.raises(ValueError, match="shorter"):
        score([truth(), truth()], [found()], NAMES)


def test_no_detections_score_zero() -> None:
    """A silent detector has an AP of 0, not of NaN."""
    assert score([truth((SQUARE, 0, False))], [found()], NAMES).map_half == 0


def test_overlap_by_hand() -> None:
    """Two squares of 100 that share 50: IoU 50/150."""
    iou = overlaps(np.array([SQUARE], np.float32), np.array([(5.0, 0.0, 15.0, 10.0)], np.float32), np.array([False]))
    assert iou[0, 0] == pytest.approx(1 / 3)


@given(
    npst.arrays(np.int8, st.integers(1, 40), elements=st.integers(-1, 1)),
    st.integers(0, 2**32 - 1),
)
def test_average_precision_lies_between_zero_and_recall(verdicts: np.ndarray, seed: int) -> None:
    """AP is never above the recall reached (to the grid of 101), whatever the order."""
    confidences = np.random.default_rng(seed).random(len(verdicts)).astype(np.float32)
    positives = len(verdicts)
    reached = (verdicts == 1).sum() / positives
    assert 0 <= average_precision(verdicts, confidences, positives) <= reached + 1 / 101 + 1e-9
