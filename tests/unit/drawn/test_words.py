"""Captions say what is true and nothing else."""

from __future__ import annotations

import re

import numpy as np
import pytest

from processors.drawn import FABRICS, GarmentSpec, describe, draw_scene, random_spec
from processors.palette import PALETTE, SYNONYMS
from processors.values import CATEGORIES

PATTERN_WORDS = {
    "striped": {"striped", "stripy"},
    "checked": {"checked", "plaid", "checkered"},
    "dotted": {"dotted", "polka", "spotted"},
    "floral": {"floral", "flower"},
    "solid": {"plain"},
}
SLEEVE_WORDS = {"long": "long sleeves", "short": "short sleeves", "sleeveless": "sleeve"}


def _colours_in(text: str) -> set[str]:
    found = set()
    for name in sorted((n for n, _ in PALETTE), key=len, reverse=True):
        if re.search(rf"\b{name}\b", text):
            found.add(name)
            text = text.replace(name, "")
    return found


@pytest.mark.parametrize("seed", range(120))
def test_a_description_is_true_of_its_spec(seed: int):
    """Its colours are the spec's colours; pattern, fabric and sleeve words are the spec's or absent."""
    rng = np.random.Generator(np.random.PCG64(seed))
    spec = random_spec(rng)
    text = describe(spec, rng)
    assert _colours_in(text) == {spec.colour, *([spec.second_colour] if spec.second_colour else [])}
    words = set(re.findall(r"[a-z]+", text.lower()))
    for pattern, names in PATTERN_WORDS.items():
        assert pattern == spec.pattern or not words & names
    assert not (words & set(FABRICS)) - {spec.fabric}
    for sleeve, said in SLEEVE_WORDS.items():
        if f" {said}" in text and sleeve != "sleeveless":
            assert spec.sleeve == sleeve


def test_descriptions_vary():
    """One spec has many phrases."""
    spec = GarmentSpec("shirt", "navy", "white", "striped", "long", "crew", None, "cotton", "men")
    rng = np.random.Generator(np.random.PCG64(0))
    assert len({describe(spec, rng) for _ in range(60)}) > 20


def test_captions_name_only_visible_garments():
    """The colours of a caption are those of the garments in the truth, all of them."""
    for seed in range(30):
        scene = draw_scene(seed, size=64)
        held = {c for g in scene.garments for c in (g.spec.colour, g.spec.second_colour) if c}
        assert _colours_in(scene.caption) == held
        assert 1 <= scene.caption.count(".") <= 2


def test_articles_and_plurals_are_english():
    """No "a olive", no "a pants"."""
    for seed in range(200):
        rng = np.random.Generator(np.random.PCG64(seed))
        text = describe(random_spec(rng), rng)
        assert not re.match(r"a [aeiou]", text), text
        assert not re.search(r"^an? (?!pair\b).*(pants|trousers|shorts|shoes|sunglasses|shades)$", text), text


def test_synonyms_lead_to_palette_names():
    """Every synonym leads to a name, and none shadows one."""
    names = {n for n, _ in PALETTE}
    assert set(SYNONYMS.values()) <= names
    assert not set(SYNONYMS) & names
    assert len(names) == len(PALETTE) >= 24


def test_a_spec_that_cannot_be_is_refused():
    """A solid shirt has no second colour; a colour is a palette name; a category is one of ten."""
    with pytest.raises(ValueError, match="second_colour"):
        GarmentSpec("shirt", "navy", "white", "solid", "long", "crew", None, "cotton", "men")
    with pytest.raises(ValueError, match="palette"):
        GarmentSpec("shirt", "blurple", None, "solid", "long", "crew", None, "cotton", "men")
    with pytest.raises(ValueError, match="category"):
        random_spec(np.random.Generator(np.random.PCG64(0)), "sock")
    assert "sock" not in CATEGORIES
