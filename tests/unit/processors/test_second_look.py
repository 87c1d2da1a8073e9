"""The second look: what stays of what a detector found, under which name, and where the subject of a photo is."""

from __future__ import annotations

import numpy as np
import pytest

from processors.second_look import CATEGORY, NOTHING, UNTOLD, Rules, overlooked, settle, subject_box
from processors.values import Garment, Vector
from tests.fakes.facet_heads import head

VALUES = ("shirt", "hat", "bag", NOTHING)
JUDGE = head(VALUES, np.eye(4).tolist())
"""Its features are the logits of its values."""
NO_IDEA: Vector = np.zeros(4, np.float32)


def logits(value: str, size: float = 8.0) -> Vector:
    return np.array([size * (name == value) for name in VALUES], np.float32)


def garment(name: str, category: str, confidence: float, box: tuple[float, float, float, float]) -> Garment:
    return Garment(name, category, box, confidence)


SHIRT = garment("g0", "shirt", 0.9, (20, 40, 120, 200))
HAIR = garment("g1", "hat", 0.7, (50, 5, 90, 35))


def test_what_is_nothing_goes_and_the_others_are_named_anew() -> None:
    """Short hair is no hat; a bag that was third is second."""
    bag = garment("g2", "bag", 0.4, (130, 100, 160, 160))
    crops = {"g0": logits("shirt"), "g1": logits(NOTHING), "g2": logits("bag")}
    found = settle([SHIRT, HAIR, bag], NO_IDEA, crops, JUDGE)
    assert [(one.view, one.garment.id, one.garment.category) for one in found] == [
        ("g0", "g0", "shirt"),
        ("g2", "g1", "bag"),
    ]


def test_a_garment_takes_the_category_that_the_head_is_sure_of() -> None:
    """And is then no second garment beside one that is there already."""
    twin = garment("g1", "bag", 0.5, (21, 41, 121, 199))
    crops = {"g0": logits("shirt", 30), "g1": logits("shirt", 30)}
    found = settle([SHIRT, twin], logits("shirt", 30), crops, JUDGE)
    assert [(one.view, one.garment.category) for one in found] == [("g0", "shirt")]
    alone = settle([twin], logits("shirt", 30), crops, JUDGE)
    assert alone[0].garment.category == "shirt"
    assert alone[0].garment.confidence == 0.5, "no surer than the box was"


@pytest.mark.parametrize(("bottom", "stays"), [(300.0, False), (400.0, True)])
def test_legs_that_the_photo_cuts_off_are_in_no_shorts(bottom: float, stays: bool) -> None:
    """Beside the product; where the photo goes on below them, they are."""
    judge = head(("shirt", "shorts", NOTHING), np.eye(3).tolist())
    legs = garment("g1", "shorts", 0.8, (30, 220, 110, 299))
    nothing: Vector = np.zeros(3, np.float32)
    found = settle([SHIRT, legs], nothing, {"g0": nothing, "g1": nothing}, judge, bottom=bottom)
    assert ("shorts" in [one.garment.category for one in found]) is stays


@pytest.mark.parametrize(
    ("height", "likely", "bottom", "told"),
    [
        (120.0, 0.05, 400.0, "shorts"),
        (120.0, 0.001, 400.0, "pants"),
        (200.0, 0.05, 400.0, "pants"),
        (120.0, 0.05, 140.5, "pants"),
    ],
    ids=["short", "the head rules them out", "long", "the photo cuts them off"],
)
def test_trousers_as_short_as_shorts_are_shorts(height: float, likely: float, bottom: float, told: str) -> None:
    """The photo's main garment, whole in it; a head that gives shorts one chance in twenty only does not rule them out."""
    judge = head(("pants", "shorts", NOTHING), np.eye(3).tolist())
    worn = garment("g0", "pants", 0.8, (0, 20, 100, 20 + height))
    odds: Vector = np.array([0.0, np.log(likely / (1 - likely)), -9.0], np.float32)
    [found] = settle([worn], odds, {"g0": odds}, judge, bottom=bottom)
    assert found.garment.category == told


def test_no_idea_changes_nothing() -> None:
    """The first look holds where the second does not know."""
    found = settle([SHIRT, HAIR], NO_IDEA, {"g0": NO_IDEA, "g1": NO_IDEA}, JUDGE)
    assert [one.garment for one in found] == [SHIRT, HAIR]


@pytest.mark.parametrize(("seen", "expected"), [("shirt", ["shirt"]), (NOTHING, []), ("", [])])
def test_the_whole_photo_is_judged_where_nothing_was_found(seen: str, expected: list[str]) -> None:
    """A white shirt on white is told, a basketball is not, and neither is what nobody knows."""
    whole = garment("g0", UNTOLD, 0.0, (0, 0, 100, 100))
    found = settle([whole], logits(seen), {"g0": logits(seen)}, JUDGE, Rules(found=0.5))
    assert [one.garment.category for one in found] == expected
    assert all(0.5 <= one.garment.confidence <= 1 for one in found)


def test_the_head_is_no_facet() -> None:
    """Its name is none of a garment's facets: nobody filters or captions by it."""
    from processors.facets import FACETS, Heads

    assert CATEGORY not in FACETS
    assert Heads("v", "m", {CATEGORY: JUDGE}).read(logits("shirt"), None, "shirt") == {}


def test_the_subject_of_a_packshot_is_where_the_ground_is_not() -> None:
    """Of a photo without a plain ground it is nearly all."""
    pixels = np.full((300, 200, 3), 250, np.uint8)
    pixels[60:240, 50:150] = (30, 60, 120)
    box = subject_box(pixels)
    assert np.allclose(box, (50, 60, 150, 240), atol=5)
    noise = np.random.default_rng(0).integers(0, 256, (300, 200, 3)).astype(np.uint8)
    assert subject_box(noise) == (8.0, 12.0, 192.0, 288.0)
    assert subject_box(np.full((40, 40, 3), 255, np.uint8)) == (1.6, 1.6, 38.4, 38.4)


@pytest.mark.parametrize(
    ("boxes", "scale", "more"),
    [
        ([], 1.0, True),
        ([(20, 40, 120, 200)], 1.0, False),
        ([(60, 90, 80, 110)], 1.0, True),
        ([(60, 90, 80, 110), (20, 40, 120, 200)], 1.0, False),
        ([(40, 80, 240, 400)], 0.5, False),
        ([(120, 180, 160, 220)], 0.5, True),
    ],
    ids=["nothing", "the subject", "a print", "a print and its shirt", "a large photo", "a print in a large photo"],
)
def test_a_print_that_was_found_is_not_all_of_the_photo(
    boxes: list[tuple[float, float, float, float]], scale: float, more: bool
) -> None:
    """A shirt of 100 × 160 on white, of which the detector may have found its picture only."""
    pixels = np.full((240, 160, 3), 252, np.uint8)
    pixels[40:200, 20:120] = (30, 60, 140)
    garments = [garment(f"g{n}", "bag", 0.4, box) for n, box in enumerate(boxes)]
    assert overlooked(garments, pixels, scale) is more


def test_a_small_thing_in_a_small_subject_is_the_subject() -> None:
    """Sunglasses on a large empty ground."""
    pixels = np.full((400, 400, 3), 252, np.uint8)
    pixels[180:220, 160:240] = 20
    assert not overlooked([garment("g0", "sunglass", 0.8, (160, 180, 240, 220))], pixels)
