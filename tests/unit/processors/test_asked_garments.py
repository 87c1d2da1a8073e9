"""Which boxes of a shopper's photo are searched for."""

from __future__ import annotations

from processors.asked_garments import searched, sure
from processors.values import Detection

SHAPE = (240, 200, 3)
SHIRT = Detection("shirt", (60, 20, 140, 100), 0.9)
JACKET = Detection("jacket", (62, 22, 142, 104), 0.31)
FAINT_JACKET = Detection("jacket", (62, 22, 142, 104), 0.2)
FAINT_SHOE = Detection("shoe", (60, 200, 100, 230), 0.12)


def test_unsure_boxes_count_where_no_surer_one_lies() -> None:
    """A shoe that nothing else covers; not another name for the shirt's pixels, unless that is sure as well."""
    assert searched([FAINT_SHOE, FAINT_JACKET, SHIRT], SHAPE, 6) == (SHIRT, FAINT_SHOE)
    assert searched([JACKET, SHIRT], SHAPE, 6) == (SHIRT, JACKET)
    assert sure((SHIRT, JACKET, FAINT_SHOE)) == (SHIRT, JACKET)


def test_the_surest_are_taken_and_what_is_too_small_for_a_vector_is_none() -> None:
    """At most so many, clipped to the photo."""
    speck = Detection("hat", (0, 0, 4, 4), 0.99)
    beyond = Detection("bag", (150, 100, 260, 200), 0.5)
    found = searched([FAINT_SHOE, speck, beyond, SHIRT], SHAPE, 2)
    assert [one.category for one in found] == ["shirt", "bag"]
    assert found[1].box == (150, 100, 200, 200)
    assert searched([], SHAPE, 6) == ()
