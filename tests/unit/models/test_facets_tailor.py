"""Garments cut anew: what is true of them is what was done to them, and nothing but the garment is changed."""

from __future__ import annotations

import numpy as np
import pytest

from models.recipes.facets_data import DRAWN_SEEDS
from models.recipes.facets_rucksacks import rucksack_sample
from models.recipes.facets_tailor import knee_long, neck_opened, outline, shortened, sleeveless, tailored
from models.recipes.facets_truth import PHONE, VALUES
from processors.second_look import CATEGORY
from processors.values import Mask, Pixels

TALL, WIDE = 240, 200


def lying(sleeves: int) -> Mask:
    """A top lying flat: its body between columns 60 and 140, sleeves of a length beside it."""
    mask = np.zeros((TALL, WIDE), np.bool_)
    mask[20:220, 60:140] = True
    mask[20 : 20 + sleeves, 30:170] = True
    return mask


def cloth(mask: Mask) -> Pixels:
    """Navy, on beige."""
    return np.where(mask[..., None], (30, 40, 90), (220, 205, 180)).astype(np.uint8)


def test_without_sleeves_a_top_has_its_body_left() -> None:
    """What was beside the body is gone, and the lower part stays as it was."""
    top = lying(60)
    for seed in range(20):
        bare = sleeveless(top, np.random.default_rng(seed))
        assert not bare[:, :55].any()
        assert not bare[:, 145:].any()
        assert bare[120:220, 60:140].all()
        assert bare[40, 100], "the chest stays"


def test_sleeves_are_cut_to_a_share_of_their_length() -> None:
    """Sleeves of 160 rows that end after half of them."""
    half = shortened(lying(160), 0.5)
    assert half is not None
    assert half[95, 40]
    assert not half[110, 40]
    assert half[200, 100], "the body stays"


def test_trousers_become_knee_long() -> None:
    """Between two and two thirds of their height stays."""
    legs = np.zeros((TALL, WIDE), np.bool_)
    legs[10:230, 60:95] = legs[10:230, 105:140] = legs[10:60, 60:140] = True
    for seed in range(20):
        rows = np.flatnonzero(knee_long(legs, np.random.default_rng(seed)).any(1))
        assert rows[0] == 10
        assert 0.38 * 220 < len(rows) < 0.68 * 220


@pytest.mark.parametrize("shape", ["v", "round"])
def test_an_opened_neck_is_in_the_garment_only(shape: str) -> None:
    """At the top of its middle; a pointed one is narrower below than above, and nothing beside the garment changes."""
    top = lying(60)
    before = cloth(top)
    after = neck_opened(before, top, shape, np.array([230.0, 190.0, 160.0]), np.random.default_rng(2))
    assert after is not None
    changed = np.abs(after.astype(int) - before).sum(2) > 60
    assert changed.any()
    assert not (changed & ~top).any()
    rows = np.flatnonzero(changed.any(1))
    assert rows[0] < 26
    assert rows[-1] < 100
    columns = np.flatnonzero(changed.any(0))
    assert 60 < columns[0] < 100 < columns[-1] < 140
    if shape == "v":
        assert changed[rows[-3]].sum() < changed[rows[len(rows) // 3]].sum()


@pytest.mark.parametrize("label", ["t-shirt", "longsleeve", "pants", "polo", "shirt"])
def test_what_is_known_of_it_are_values_of_the_heads(label: str) -> None:
    """Its box lies in the picture; trousers are shorts, and never trousers."""
    mask = lying(160 if label == "longsleeve" else 60)
    for seed in range(12):
        made = tailored(cloth(mask), mask, label, PHONE[label], np.random.default_rng(seed))
        if made is None:
            continue
        picture, (left, top, right, bottom), known = made
        assert 0 <= left < right <= picture.shape[1]
        assert 0 <= top < bottom <= picture.shape[0]
        assert {value for facet in known for value in known[facet]} <= {v for some in VALUES.values() for v in some}
        if label == "pants":
            assert known[CATEGORY] == ("shorts",)


def test_the_body_of_a_top_is_told_from_its_sleeves() -> None:
    """From the rows above the hem."""
    assert outline(lying(60)) == (30, 20, 140, 200, 60, 140)


def test_a_rucksack_is_a_bag_and_the_same_for_the_same_seed() -> None:
    """On a ground of its own each."""
    one, again, other = (rucksack_sample(DRAWN_SEEDS + seed) for seed in (1, 1, 2))
    assert one.allowed[CATEGORY] == ("bag",)
    assert (one.pixels == again.pixels).all()
    assert one.pixels.shape != other.pixels.shape or (one.pixels != other.pixels).any()
