"""Which garments are kept, and what is cut out for them."""

import numpy as np
import pytest

from processors.crops import MAX_GARMENTS, cut, padded, worth_keeping
from processors.errors import Poison
from processors.values import Detection

SHAPE = (200, 100, 3)


def seen(box: tuple[float, float, float, float], confidence: float = 0.9) -> Detection:
    return Detection("dress", box, confidence)


def test_surest_first_and_bounded() -> None:
    """A wall of boxes keeps the surest few, in descending confidence."""
    kept = worth_keeping([seen((0, 0, 50, 50), n / 40) for n in range(1, 30)], SHAPE)
    assert len(kept) == MAX_GARMENTS
    assert [d.confidence for d in kept] == sorted((n / 40 for n in range(22, 30)), reverse=True)


def test_boxes_are_clipped_to_the_photo() -> None:
    """A box that reaches out of the photo ends at its edge."""
    assert worth_keeping([seen((-10, -10, 130, 90))], SHAPE)[0].box == (0.0, 0.0, 100.0, 90.0)


@pytest.mark.parametrize(
    "box",
    [(10, 10, 15, 90), (10, 10, 18, 18), (110, 10, 150, 90), (50, 50, 40, 90), (float("nan"), 0, 50, 50)],
)
def test_specks_and_impossible_boxes_are_dropped(box: tuple[float, float, float, float]) -> None:
    """Too thin, too small, outside, inverted, not a number."""
    assert worth_keeping([seen(box)], SHAPE) == ()


def test_cut_has_a_little_around_the_box() -> None:
    """The crop is the box with six percent on each side, within the photo."""
    assert padded((20, 40, 70, 140), SHAPE) == (17, 34, 73, 146)
    pixels = np.arange(200 * 100 * 3, dtype=np.uint32).astype(np.uint8).reshape(SHAPE)
    crop = cut(pixels, (20, 40, 70, 140))
    assert np.array_equal(crop, pixels[34:146, 17:73])
    assert crop.flags["C_CONTIGUOUS"]
    assert crop.base is None


def test_cut_outside_the_photo_is_poison() -> None:
    """No empty array ever reaches an encoder."""
    with pytest.raises(Poison, match="no pixel"):
        cut(np.zeros(SHAPE, np.uint8), (300, 300, 400, 400))
