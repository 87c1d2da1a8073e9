"""Whatever the seed: the truth is consistent."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.drawn import draw_scene, outfit, random_spec
from processors.drawn.curves import smooth, tube
from processors.values import CATEGORIES


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**63), style=st.sampled_from(["any", "figure", "flat"]))
def test_any_seed_draws_a_consistent_scene(seed: int, style: str):
    """Masks lie inside the picture, are disjoint, and fill their boxes tightly."""
    scene = draw_scene(seed, size=64, style=style)  # type: ignore[arg-type]
    owners = np.zeros((64, 64), np.int64)
    for garment in scene.garments:
        x0, y0, x1, y1 = garment.box
        assert 0 <= x0 < x1 <= 64
        assert 0 <= y0 < y1 <= 64
        rows, columns = np.nonzero(garment.mask)
        assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (x0, y0, x1, y1)
        owners += garment.mask
    assert owners.max() <= 1
    assert scene.caption.endswith(".")


@given(seed=st.integers(0, 2**63), count=st.integers(1, 6))
def test_an_outfit_can_be_worn(seed: int, count: int):
    """At most one garment of a category, no trousers under a dress, one gender."""
    specs = outfit(np.random.Generator(np.random.PCG64(seed)), count)
    kinds = [s.category for s in specs]
    assert len(kinds) == len(set(kinds)) == count
    assert not ("dress" in kinds and {"shirt", "pants", "shorts", "skirt"} & set(kinds))
    assert len({s.gender for s in specs} - {"unisex"}) <= 1


@given(seed=st.integers(0, 2**63), category=st.sampled_from(CATEGORIES))
def test_a_spec_keeps_its_category(seed: int, category: str):
    """Facets that do not apply are None; a second colour comes with a pattern."""
    spec = random_spec(np.random.Generator(np.random.PCG64(seed)), category)
    assert spec.category == category
    assert (spec.second_colour is None) == (spec.pattern == "solid")
    assert (spec.sleeve is None) == (category not in {"shirt", "dress", "jacket"})
    assert spec.second_colour != spec.colour


_POINT = st.tuples(st.floats(-5, 5), st.floats(-5, 5))


@given(st.lists(_POINT, min_size=3, max_size=9))
def test_smooth_outlines_stay_within_their_corners(points: list[tuple[float, float]]):
    """Corner cutting never leaves the bounding box."""
    outline = smooth(points)
    corners = np.array(points)
    assert (outline.min(axis=0) >= corners.min(axis=0) - 1e-9).all()
    assert (outline.max(axis=0) <= corners.max(axis=0) + 1e-9).all()


@given(st.lists(_POINT, min_size=2, max_size=5), st.floats(0.01, 1.0))
def test_tubes_are_finite(spine: list[tuple[float, float]], width: float):
    """Even a limb of no length has an outline of numbers."""
    assert np.isfinite(tube(spine, [width] * len(spine), cap=True)).all()
