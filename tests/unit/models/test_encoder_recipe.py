"""The encoder's training: which texts are true of which pictures, the loss, and the texts themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.recipes.encoder import contrast
from models.recipes.encoder_data import augment, spec_known
from models.recipes.encoder_facets import COLOURS, Claim, Known, encode_claims, encode_pictures, near_colours, truth
from models.recipes.encoder_texts import canonical_claims, phrase, phrase_plain, random_text
from processors.drawn import random_spec

NAVY_STRIPED = Known({"category": "shirt", "pattern": "striped", "sleeve": "long"}, ("navy", "white"))
UNKNOWN_COLOUR = Known({"category": "shirt"})


def verdict(known: tuple[Known, ...], claim: Claim) -> int:
    return int(truth(encode_pictures([known]), encode_claims([claim]))[0, 0])


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        (Claim({"category": "shirt"}), 1),
        (Claim({"category": "dress"}), 0),
        (Claim({"category": "shirt", "pattern": "striped"}, ("navy",)), 1),
        (Claim({"category": "shirt", "sleeve": "short"}, ("navy",)), 0),
        (Claim({"category": "shirt"}, ("red",)), 0),
        (Claim({"category": "shirt"}, ("white",)), -1),
        (Claim({"category": "shirt"}, ("navy", "white")), 1),
        (Claim({"category": "shirt"}, ("navy", "red")), 0),
        (Claim({"category": "shirt", "fabric": "linen"}), -1),
        (Claim({"category": "dress", "fabric": "linen"}), 0),
        (Claim({}, ("navy",)), 1),
    ],
)
def test_truth_of_a_text(claim: Claim, expected: int) -> None:
    """True, false, or open where a facet is unknown or only the print has the colour."""
    assert verdict((NAVY_STRIPED,), claim) == expected


def test_a_near_colour_is_open() -> None:
    """A photo does not decide between neighbours of the palette, so training must not either."""
    near = near_colours()
    pair = next((a, b) for a in range(len(COLOURS)) for b in range(len(COLOURS)) if a != b and near[a, b])
    known = Known({"category": "hat"}, (COLOURS[pair[0]],))
    assert verdict((known,), Claim({"category": "hat"}, (COLOURS[pair[1]],))) == -1


def test_an_unknown_colour_denies_no_colour() -> None:
    """Nothing is learned against a colour that was not measured."""
    assert verdict((UNKNOWN_COLOUR,), Claim({"category": "shirt"}, ("red",))) == -1


def test_any_garment_of_a_picture_may_make_a_text_true_but_facets_do_not_mix() -> None:
    """A red dress with a black bag is no black dress."""
    outfit = (Known({"category": "dress"}, ("red",)), Known({"category": "bag"}, ("black",)))
    assert verdict(outfit, Claim({"category": "bag"}, ("black",))) == 1
    assert verdict(outfit, Claim({"category": "dress"}, ("black",))) == 0
    assert verdict((outfit[0], UNKNOWN_COLOUR), Claim({"category": "shirt"}, ("red",))) == -1


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_every_text_is_true_of_its_own_garment(seed: int) -> None:
    """Whatever facets are drawn and stated, training never calls a true text false or open."""
    rng = np.random.default_rng(seed)
    known = spec_known(random_spec(rng))
    text, claim = random_text(known, rng)
    assert verdict((known,), claim) == 1
    assert text.strip() == text
    assert "  " not in text


def test_texts_say_what_they_claim() -> None:
    """The colour and the noun of a claim stand in its words; articles agree."""
    rng = np.random.default_rng(0)
    for claim in canonical_claims()[:300]:
        assert claim.colours[0] in phrase_plain(claim)
        assert phrase(claim, rng)
    assert phrase_plain(Claim({"category": "dress"}, ("orange",))) == "an orange dress"
    assert phrase_plain(Claim({"category": "pants"}, ("red",))) == "red pants"


def test_loss_is_zero_only_when_true_pairs_stand_out() -> None:
    """Known values: two classes at cosine scale, right way round and wrong way round."""
    similar = torch.tensor([[20.0, 0.0], [0.0, 20.0]])
    eye = torch.eye(2, dtype=torch.int8)
    assert contrast(similar, eye).item() == pytest.approx(0, abs=1e-6)
    assert contrast(similar, 1 - eye).item() == pytest.approx(20, abs=1e-3)
    assert contrast(torch.zeros(2, 2), eye).item() == pytest.approx(math.log(2))


def test_loss_ignores_open_pairs_and_other_true_ones() -> None:
    """An open pair may be as similar as it likes; two true texts of one picture do not push each other away."""
    true = torch.tensor([[1, 0, -1, 1]], dtype=torch.int8)
    quiet = contrast(torch.tensor([[5.0, 0.0, 0.0, 5.0]]), true)
    loud = contrast(torch.tensor([[5.0, 0.0, 90.0, 5.0]]), true)
    assert quiet.item() == pytest.approx(loud.item())
    assert quiet.item() == pytest.approx(math.log1p(math.exp(-5.0)), abs=1e-6)


def test_augmenting_keeps_the_hue() -> None:
    """Colour is what is learned: a red crop stays red through mirror, exposure and JPEG."""
    red = np.full((64, 48, 3), (200, 32, 47), np.uint8)
    for seed in range(12):
        seen = augment(red, (0, 0, 48, 64), np.random.default_rng(seed)).reshape(-1, 3).astype(int)
        assert (seen[:, 0] > seen[:, 1] + 90).all()
        assert (seen[:, 0] > seen[:, 2] + 80).all()
