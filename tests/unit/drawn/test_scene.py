"""The truth that comes with a drawn scene is the truth of its pixels."""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
import pytest

from processors.drawn import GarmentSpec, Scene, draw_scene, random_spec
from processors.drawn.spec import PATTERNS
from processors.palette import PALETTE
from processors.values import CATEGORIES

SEEDS = range(40)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw_scene(seed, size=160) for seed in SEEDS]


def _lab(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor((rgb.reshape(1, -1, 3) / 255).astype(np.float32), cv2.COLOR_RGB2Lab)[0]


def test_one_seed_is_one_picture():
    """The same seed gives the same bits, truth included; another seed gives other bits."""
    first, again, other = draw_scene(5), draw_scene(5), draw_scene(6)
    assert hashlib.sha256(first.pixels).digest() == hashlib.sha256(again.pixels).digest()
    assert first.caption == again.caption
    assert all(np.array_equal(a.mask, b.mask) for a, b in zip(first.garments, again.garments, strict=True))
    assert not np.array_equal(first.pixels, other.pixels)


def test_the_global_random_state_does_not_matter():
    """Nobody's np.random.seed reaches the pictures."""
    np.random.seed(1)  # noqa: NPY002
    first = draw_scene(3, size=96).pixels
    np.random.seed(2)  # noqa: NPY002
    assert np.array_equal(first, draw_scene(3, size=96).pixels)


@pytest.mark.parametrize("size", [64, 97, 320])
def test_pixels_have_the_size_asked_for(size: int):
    """Odd sizes too: (size, size, 3) uint8, and masks of the same size."""
    scene = draw_scene(1, size=size)
    assert scene.pixels.shape == (size, size, 3)
    assert scene.pixels.dtype == np.uint8
    assert all(g.mask.shape == (size, size) for g in scene.garments)


def test_too_small_is_refused():
    """Below 64 pixels there is nothing to see."""
    with pytest.raises(ValueError, match="at least 64"):
        draw_scene(1, size=32)


def test_boxes_are_the_tight_bounds_of_the_masks(scenes: list[Scene]):
    """Inside the box the mask touches all four sides; outside there is none of it."""
    for garment in (g for s in scenes for g in s.garments):
        x0, y0, x1, y1 = (int(v) for v in garment.box)
        inside = garment.mask[y0:y1, x0:x1]
        assert inside.sum() == garment.mask.sum()
        assert inside[0].any()
        assert inside[-1].any()
        assert inside[:, 0].any()
        assert inside[:, -1].any()


def test_masks_are_disjoint(scenes: list[Scene]):
    """A pixel shows one garment at most."""
    for scene in scenes:
        layers = np.sum([g.mask for g in scene.garments], axis=0)
        assert layers.max() <= 1


def test_every_scene_shows_one_to_three_garments(scenes: list[Scene]):
    """By chance there are one to three, each with something to see and a share of visibility."""
    assert {len(s.garments) for s in scenes} == {1, 2, 3}
    assert all(0 < g.visible <= 1 for s in scenes for g in s.garments)


@pytest.mark.parametrize("category", [c for c in CATEGORIES if c not in {"shoe", "sunglass"}])
def test_a_solid_garment_has_the_colour_it_is_said_to_have(category: str):
    """The median of its pixels lies within 22 (CIELAB) of the palette colour, and mostly within 14."""
    apart = []
    for i, (name, value) in enumerate(PALETTE):
        rng = np.random.Generator(np.random.PCG64(i))
        base = random_spec(rng, category)
        spec = GarmentSpec(category, name, None, "solid", base.sleeve, base.neckline, base.length, "cotton", "unisex")
        scene = draw_scene(i, size=128, garments=[spec], style="flat")
        seen = np.median(_lab(scene.pixels[scene.garments[0].mask]), axis=0)
        meant = _lab(np.array([int(value[k : k + 2], 16) for k in (1, 3, 5)]))[0]
        apart.append(float(np.linalg.norm(seen - meant)))
    assert max(apart) < 22, dict(zip([n for n, _ in PALETTE], apart, strict=True))
    assert np.median(apart) < 14


@pytest.mark.parametrize("pattern", PATTERNS[1:])
@pytest.mark.parametrize("category", ["shirt", "dress", "pants", "bag"])
def test_a_pattern_shows_both_its_colours(category: str, pattern: str):
    """At least a twentieth of the pixels is nearer to each colour than to the other."""
    spec = GarmentSpec(category, "white", "red", pattern, "short", "crew", "knee", "cotton", "women")
    if category in {"pants", "bag"}:
        spec = GarmentSpec(category, "white", "red", pattern, None, None, "full", "cotton", "women")
    scene = draw_scene(11, size=256, garments=[spec], style="flat")
    lab = _lab(scene.pixels[scene.garments[0].mask])
    white, red = _lab(np.array([[244, 244, 242], [200, 32, 47]]))
    share = float((np.linalg.norm(lab - red, axis=1) < np.linalg.norm(lab - white, axis=1)).mean())
    assert 0.05 < share < 0.95


@pytest.mark.parametrize("style", ["figure", "flat"])
@pytest.mark.parametrize("category", CATEGORIES)
def test_a_garment_asked_for_is_in_the_picture(category: str, style: str):
    """Each category can be drawn alone, worn or lying, and is mostly seen."""
    for seed in range(6):
        spec = random_spec(np.random.Generator(np.random.PCG64(seed)), category)
        scene = draw_scene(seed, size=128, garments=[spec], style=style)
        assert [g.spec for g in scene.garments] == [spec]
        assert scene.garments[0].visible > 0.3


def test_chance_reaches_every_category_and_pattern():
    """Among 200 scenes every category, and among their garments every pattern, occurs."""
    categories, patterns = set(), set()
    for seed in range(200):
        garments = [garment.spec for garment in draw_scene(seed, size=64).garments]
        categories |= {garment.category for garment in garments}
        patterns |= {garment.pattern for garment in garments}
        if (len(categories), len(patterns)) == (len(CATEGORIES), len(PATTERNS)):
            break  # the others would show nothing new
    assert categories == set(CATEGORIES)
    assert patterns == set(PATTERNS)
