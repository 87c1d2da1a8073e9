"""The yardstick of edits: its distances against values known by hand, and what it says of edits that are right and wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.fakes import FakeImageEncoder, FakeTextEncoder
from models.guard import Guarded
from models.yardsticks import editing, editing_page, likeness
from models.yardsticks.editing import Clock, Embeds, Look, Transfer, Worn
from models.yardsticks.photos import quietly
from processors.editing import mask
from processors.values import Pixels

COLOURS = ((200, 30, 40), (30, 40, 160), (40, 140, 60), (230, 200, 60), (120, 120, 120), (240, 150, 180))


def test_the_frechet_distance_of_two_normal_sets() -> None:
    """The squared distance of their means, and of one dimension the squared difference of their deviations besides."""
    one = np.array([[0.0], [2.0]], np.float32)
    assert likeness.frechet(one, one) == pytest.approx(0, abs=1e-9)
    assert likeness.frechet(one, one + 3) == pytest.approx(9)
    # Deviations √2 and 2√2: (√2)² apart.
    assert likeness.frechet(one, 2 * one) == pytest.approx(1 + 2)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**20), st.integers(2, 12), st.integers(2, 12), st.integers(1, 30))
def test_the_frechet_distance_needs_no_more_pictures_than_dimensions(seed: int, n: int, m: int, d: int) -> None:
    """Symmetric, never below 0, and as by the covariances themselves."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(n, d)).astype(np.float32), rng.normal(1, 2, size=(m, d)).astype(np.float32)
    found = likeness.frechet(a, b)
    assert found == pytest.approx(likeness.frechet(b, a), rel=1e-6)
    one, other = (np.atleast_2d(np.cov(x.astype(np.float64), rowvar=False)) for x in (a, b))
    # √ of what rounding left of 0 would be large beside it: only the real part of the spectrum counts.
    shared = np.sqrt(np.clip(np.linalg.eigvals(one @ other).real, 0, None)).sum()
    apart = a.mean(axis=0, dtype=np.float64) - b.mean(axis=0, dtype=np.float64)
    assert found == pytest.approx(apart @ apart + np.trace(one) + np.trace(other) - 2 * shared, rel=1e-3, abs=1e-4)


def test_the_kernel_distance_is_unbiased_and_grows() -> None:
    """Of two sets of one distribution about 0, of others more."""
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(300, 4)).astype(np.float32), rng.normal(size=(300, 4)).astype(np.float32)
    assert abs(likeness.kernel(a, b)) < 0.1
    assert likeness.kernel(a, b + 1) > 1


def test_structural_similarity_looks_where_it_is_told() -> None:
    """1 of equal pixels, whatever is elsewhere; less where they differ."""
    rng = np.random.default_rng(2)
    one = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    other = one.copy()
    other[:20] = 255 - other[:20]
    lower = np.zeros((40, 40), np.bool_)
    lower[20:] = True
    assert likeness.ssim(one, other, lower) == pytest.approx(1)
    assert likeness.ssim(one, other, ~lower) < 0.2
    assert (likeness.greatest_difference(one, other, lower), likeness.greatest_difference(one, one, ~lower)) == (0, 0)
    assert likeness.greatest_difference(one, other, ~lower) > 200
    assert likeness.feature_distance(np.float32([1, 0]), np.float32([2, 0])) == pytest.approx(0)
    assert likeness.feature_distance(np.float32([1, 0]), np.float32([0, 1])) == pytest.approx(1)


def worn(number: int, colour: tuple[int, int, int]) -> Worn:
    pixels = np.full((120, 90, 3), 235, np.uint8)
    pixels[20:100, 20:70] = colour
    inside = (pixels != 235).any(axis=2)
    found = mask.given(inside)
    assert found is not None
    return Worn(number, f"{number}.png", "dress", (20.0, 20.0, 70.0, 100.0), pixels, found)


class Careless(Transfer):
    """Paints over everything in grey."""

    method = "careless"

    def edit(self, worn: Worn, look: Look, words: str, seed: int) -> Pixels:
        return np.full_like(worn.pixels, 128)


def test_good_edits_and_careless_ones_are_told_apart(tmp_path: Path) -> None:
    """By what changed outside the mask, by the colour, by the words; and the page shows each."""
    things = [worn(number, colour) for number, colour in enumerate(COLOURS)]
    embeds = Embeds(FakeImageEncoder(), Guarded(FakeTextEncoder(), name="texts"))
    reports = {}
    for edits in (Transfer(), Careless()):
        clock = Clock()
        cases = editing.measured(edits, things, embeds, clock, seed=3, tick=quietly)
        reports[edits.method] = editing.report(edits, embeds, cases, (0, 0), clock)
        assert all(one.look.whose != one.worn.path for one in cases), "no garment lends itself its look"
        assert set(clock.spent) == {"cloth", "edit"}
    good, bad = reports["transfer"], reports["careless"]
    assert good.edits == bad.edits == len(COLOURS)
    assert (good.ssim_outside, good.greatest_difference_outside) == (pytest.approx(1), 0)
    assert bad.ssim_outside < 0.9
    assert bad.greatest_difference_outside > 100
    assert good.colour_fell == 1
    assert good.colour_after < bad.colour_after
    assert good.garment_score_encoder > bad.garment_score_encoder
    assert good.paired_feature_distance_encoder < bad.paired_feature_distance_encoder
    assert good.kernel_distance_encoder < bad.kernel_distance_encoder
    editing_page.write(tmp_path / "page.html", good, cases)
    assert (tmp_path / "page.html").read_text().count("<article>") == len(COLOURS)


def test_drawn_garments_take_the_colour_of_the_next_one() -> None:
    """All of them: `weft eval edit` measures a hundred."""
    assert editing.drawn(Transfer(), 4, 77, quietly) == (4, 4)
