"""A dress over trousers is a long top; bare legs, a floor-length hem and a ground that is not plain change nothing."""

from __future__ import annotations

import numpy as np
import pytest

from processors.hem import worn_over
from processors.values import Box, Garment, Pixels

BOX: Box = (50.0, 40.0, 150.0, 240.0)
SKIN, BLACK, BLUE, RED = (224, 180, 150), (25, 25, 28), (40, 80, 170), (190, 30, 40)
Rgb = tuple[int, int, int]


def worn(legs: Rgb | None, hem: int = 240, ground: Rgb = (250, 250, 250)) -> Pixels:
    """Somebody in blue from row 40 to `hem`, with legs of a colour below."""
    pixels = np.full((320, 200, 3), ground, np.uint8)
    pixels[10:40, 85:115] = SKIN
    if legs is not None:
        pixels[hem:320, 70:95] = legs
        pixels[hem:320, 105:130] = legs
    pixels[40:hem, 50:150] = BLUE
    return pixels


def dress(box: Box = BOX, confidence: float = 0.7) -> Garment:
    return Garment("g0", "dress", box, confidence)


def categories(pixels: Pixels, *garments: Garment, scale: float = 1.0) -> list[str]:
    return [one.category for one in worn_over(garments, pixels, scale)]


@pytest.mark.parametrize("legs", [BLACK, RED], ids=["black", "red"])
def test_a_dress_over_trousers_is_a_top(legs: Rgb) -> None:
    """Leggings of any other colour: a kurta. Nothing else of the garment changes."""
    [found] = worn_over([dress()], worn(legs))
    assert found == Garment("g0", "shirt", BOX, 0.7)


@pytest.mark.parametrize(
    ("legs", "why"), [(SKIN, "bare legs"), (None, "nothing below: it lies or hangs"), (BLUE, "the box ends too early")]
)
def test_what_shows_no_trousers_stays_a_dress(legs: Rgb | None, why: str) -> None:
    """Only cloth of another colour speaks against a dress."""
    assert categories(worn(legs), dress()) == ["dress"], why


def test_a_box_that_ends_above_the_hem_is_followed_down() -> None:
    """The garment's own cloth below its box is no trousers; what comes after it is looked at."""
    assert categories(worn(BLACK, hem=260), dress()) == ["shirt"]
    assert categories(worn(SKIN, hem=260), dress()) == ["dress"]


def test_a_box_that_reaches_over_the_legs_is_looked_into() -> None:
    """Boxes often end at the photo's edge: legs in other cloth begin above it, and are narrower than the garment."""
    tall = dress((50.0, 40.0, 150.0, 318.0))
    assert categories(worn(BLACK, hem=270), tall) == ["shirt"]
    assert categories(worn(SKIN, hem=270), tall) == ["dress"]


def test_a_border_at_the_hem_is_no_trousers() -> None:
    """Other cloth as wide as the garment is a part of it."""
    pixels = worn(None, hem=270)
    pixels[270:318, 50:150] = RED
    assert categories(pixels, dress((50.0, 40.0, 150.0, 318.0))) == ["dress"]


def test_before_a_street_nothing_is_told() -> None:
    """Where the ground is not plain, pavement below a dress would be trousers."""
    noise = np.random.default_rng(3).integers(0, 255, (320, 200, 3)).astype(np.uint8)
    pixels = worn(BLACK)
    ground = (pixels == 250).all(2)
    pixels[ground] = noise[ground]
    assert categories(pixels, dress()) == ["dress"]


def test_shoes_below_a_long_dress_are_no_trousers() -> None:
    """A floor-length dress has black shoes at its hem."""
    pixels = worn(None, hem=300)
    pixels[300:316, 70:130] = BLACK
    shoes = Garment("g1", "shoe", (70.0, 296.0, 130.0, 316.0), 0.8)
    long = dress((50.0, 40.0, 150.0, 300.0))
    assert categories(pixels, long, shoes) == ["dress", "shoe"]


def test_boxes_are_of_the_photo_as_it_was_sent() -> None:
    """A photo of twice the size is looked at small."""
    x0, y0, x1, y1 = BOX
    assert categories(worn(BLACK), dress((2 * x0, 2 * y0, 2 * x1, 2 * y1)), scale=0.5) == ["shirt"]


@pytest.mark.parametrize("box", [(0.0, 0.0, 0.5, 0.5), (-40.0, -40.0, 260.0, 500.0), (190.0, 300.0, 199.0, 319.0)])
def test_odd_boxes_are_left_alone(box: Box) -> None:
    """Boxes without an inside, beyond the photo, or of nothing but ground."""
    assert categories(worn(BLACK), dress(box)) == ["dress"]


def test_other_garments_are_not_looked_at() -> None:
    """A skirt over leggings is a skirt."""
    skirt = Garment("g0", "skirt", BOX, 0.7)
    assert worn_over([skirt], worn(BLACK)) == (skirt,)
