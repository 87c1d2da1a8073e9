"""What a shop's colour words are read from."""

from __future__ import annotations

import numpy as np
import pytest

from processors.colour_shares import colour_shares, look_of
from processors.colours import MULTICOLOURED
from processors.garment_mask import GarmentPixels, garment_pixels
from processors.lab import cells_of, to_lab
from processors.palette import PALETTE
from processors.values import Colour
from processors.weighed import CERTAINTY, LIGHT


def _cut(rgb: tuple[int, int, int], ground: tuple[int, int, int] = (255, 255, 255)) -> GarmentPixels:
    pixels = np.full((80, 80, 3), ground, np.uint8)
    pixels[16:64, 20:60] = rgb
    found = garment_pixels(pixels, (20, 16, 60, 64), "shirt")
    assert found is not None
    return found


def test_a_garments_swatch_has_the_largest_share() -> None:
    """A red garment on white is near the palette's red, and hardly near its white."""
    names = [name for name, _ in PALETTE]
    shares = colour_shares(_cut((200, 32, 47)))[: len(names)]
    assert names[int(shares.argmax())] == "red"
    assert shares[names.index("white")] < 0.1


def test_the_ground_is_not_counted() -> None:
    """The same garment before another wall gives nearly the same numbers."""
    on_white, on_green = colour_shares(_cut((28, 39, 71))), colour_shares(_cut((28, 39, 71), (40, 160, 70)))
    assert on_white.shape == on_green.shape
    assert np.abs(on_white - on_green).max() < 0.25


def test_every_garment_gives_finite_numbers_of_one_length() -> None:
    """Also one whose pixels are all unsure, and one of a single pixel."""
    lab = to_lab(np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8))
    unsure = GarmentPixels(lab, cells_of(lab), np.full((9, 7), 1e-9), np.ones((9, 7), np.bool_))
    one = GarmentPixels(lab[:1, :1], cells_of(lab[:1, :1]), np.ones((1, 1)), np.ones((1, 1), np.bool_))
    usual = colour_shares(_cut((1, 2, 3)))
    for found in (colour_shares(unsure), colour_shares(one)):
        assert found.shape == usual.shape
        assert found.dtype == np.float32
        assert np.isfinite(found).all()


@pytest.mark.parametrize(("level", "light"), [(30, 0.11), (128, 0.54), (250, 0.98)])
def test_how_light_the_lightest_part_is(level: int, light: float) -> None:
    """CIELAB's lightness, of 1; a garment without pixels has none, and one where no colour leads is of no certain one."""
    shares = colour_shares(_cut((level, level, level), (40, 160, 70)))
    assert look_of(shares, ())[LIGHT] == pytest.approx(light, abs=0.02)
    assert look_of(None, (Colour("red", "#c8202f", 0.7, 0.6),)) == {CERTAINTY: 0.6}
    assert look_of(None, (Colour(MULTICOLOURED, "#c8202f", 1.0, 1.0),)) == {CERTAINTY: 0.0}
    assert look_of(None, (Colour("red", "#c8202f", 0.7),)) == {}, "a record of before there was a certainty"
