"""The encoder's training: which texts are true of which pictures, the loss, and the texts themselves."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from hypothesis import given, settings
from hypothesis import strategies as st

from models.encoder import encoder_net
from models.recipes import encoder_data, encoder_fast
from models.recipes.encoder import paste
from models.recipes.encoder_augment import false_colours, true_hues
from models.recipes.encoder_data import View, cut, drawn_views, is_held_out, is_unseen, spec_known, specs_of
from models.recipes.encoder_facets import COLOURS, Claim, Known, encode_claims, encode_pictures, near_colours, truth
from models.recipes.encoder_losses import contrast
from models.recipes.encoder_pictures import gather
from models.recipes.encoder_settings import Recipe
from models.recipes.encoder_texts import canonical_claims, phrase, phrase_plain, random_text
from processors.drawn import draw_scene, random_spec
from processors.values import Colour

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


def test_a_garment_of_many_colours_denies_none() -> None:
    """What is measured of it may be a word that no text says: its colour is open."""
    red, many = Colour("red", "#c8202f", 0.6), Colour("multicoloured", "#8a8c90", 1.0)
    assert encoder_data.taught((red, Colour("navy", "#1c2747", 0.2)), 0.25) == ("red",)
    assert encoder_data.taught((many, red), 0.25) == ()


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


def test_the_colour_branch_sees_true_hues() -> None:
    """Colour is what is learned: a red crop stays red through mirror, turn and exposure, and the trunk's copy may not."""
    red = np.full((64, 48, 3), (200, 32, 47), np.uint8)
    least = 255
    for seed in range(12):
        rng = np.random.default_rng(seed)
        true = true_hues(red, rng).reshape(-1, 3).astype(int)
        assert (true[:, 0] > true[:, 1] + 90).all()
        assert (true[:, 0] > true[:, 2] + 80).all()
        false = false_colours(red, rng).reshape(-1, 3).astype(int)
        least = min(least, int((false[:, 0] - false[:, 1]).min()))
    assert least < 90


def test_a_cut_says_where_its_box_lies() -> None:
    """Near an edge there is less margin, and the box moves with it; training crops by this box again."""
    picture = np.arange(60 * 40 * 3, dtype=np.uint32).reshape(60, 40, 3).astype(np.uint8)
    crop, inner = cut(picture, (0, 10, 20, 50), 0.25)
    assert crop.shape == (60, 25, 3)
    assert inner == pytest.approx((0, 10, 20, 50))
    np.testing.assert_array_equal(crop[10:50, 0:20], picture[10:50, 0:20])


def test_held_out_combinations_are_never_trained() -> None:
    """The fifth of combinations that measures generalisation is in no training picture."""
    views = list(drawn_views(range(4)))
    assert views
    assert any(is_unseen(spec) for seed in range(4) for spec in specs_of(seed))
    for view in views:
        for known in view.garments:
            facets = known.facets
            name = f"{facets['category']} {known.colours[0]} {facets['pattern']} {facets.get('sleeve')}"
            assert not is_held_out(name)


@pytest.mark.parametrize("seed", range(6))
def test_specs_of_a_scene_are_those_it_draws(seed: int) -> None:
    """What the first version was shown is known without drawing it again."""
    assert {garment.spec for garment in draw_scene(seed, size=96).garments} <= set(specs_of(seed))


def test_an_album_survives_the_disk(tmp_path: Path) -> None:
    """A resumed run reads the same pictures, boxes and facets, and decodes nothing."""
    large = np.random.default_rng(0).integers(0, 256, (600, 300, 3), dtype=np.uint8)
    view = View(large, (NAVY_STRIPED,), "street", "shirt", False, (30.0, 60.0, 270.0, 540.0))
    first = gather([view], tmp_path)
    again = gather(iter(()), tmp_path)
    assert again.pixels(0).shape == (288, 144, 3)
    np.testing.assert_array_equal(first.pixels(0), again.pixels(0))
    assert again.known(0) == (NAVY_STRIPED,)
    assert again.rows[0].inner == pytest.approx((14.4, 28.8, 129.6, 259.2))


def test_pasting_moves_both_copies_alike() -> None:
    """CutMix must put the same rectangle into what the trunk and the colour branch see, and say how large it is."""
    shapes, hues = torch.zeros(4, 3, 32, 32), torch.zeros(4, 3, 32, 32)
    shapes[1], hues[1] = 1, 2
    share = paste(shapes, hues, np.array([0, 1]), np.array([1, 0]), np.random.default_rng(2))
    assert 0.05 < share < 0.55
    assert shapes[0].mean().item() == pytest.approx(share)
    assert hues[0].mean().item() == pytest.approx(2 * share)
    assert shapes[1].mean().item() == pytest.approx(1 - share)
    assert not shapes[2:].any()


@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize(("side", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2)])
def test_the_fast_depthwise_convolution_has_the_right_gradients(side: int, stride: int, size: int) -> None:
    """Its backward pass is written by hand: held against torch's own, with TensorFlow's padding, in double precision."""
    torch.manual_seed(side)
    pixels = torch.randn(2, 4, size, size, dtype=torch.float64, requires_grad=True)
    kernel, bias = torch.randn(4, 1, side, side, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
    bias.requires_grad_(True)
    total = max(0, (-(-size // stride) - 1) * stride + side - size)
    padded = F.pad(pixels, [total // 2, total - total // 2] * 2)
    slow = F.relu6(F.conv2d(padded, kernel, bias, stride, groups=4))
    fast: Any = encoder_fast.Depthwise.apply(pixels, kernel, bias, stride)
    torch.testing.assert_close(fast, slow)
    wanted = torch.randn_like(slow)
    served, trained = (torch.autograd.grad((made * wanted).sum(), [pixels, bias]) for made in (slow, fast))
    torch.testing.assert_close(trained, served)


def test_the_fast_trunk_is_the_same_network() -> None:
    """What is trained is what is served: the same features; in training's precision it rounds no worse than torch."""
    torch.manual_seed(0)
    tower: Any = encoder_net.image_tower()
    net = tower.trunk.net
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    for name, module in net.named_modules():
        if "bn" in name and hasattr(module, "momentum"):
            module.momentum = 1.0  # one pass gives statistics under which no layer is saturated
    net.train()(images)
    net.eval()
    with torch.no_grad():
        slow = net.forward_features(images).mean((2, 3))
        maps = encoder_fast.stem(net, images, 3)
        torch.testing.assert_close(encoder_fast.deep(net, maps), slow, rtol=1e-3, atol=1e-3)
        if encoder_fast.training_dtype() is torch.float32:
            pytest.skip("this processor has no bfloat16 convolutions: training is in float32, as compared above")
        rounded = encoder_fast.stem(net, images.to(torch.bfloat16), 3)
        with torch.autocast("cpu", torch.bfloat16):
            theirs = net.blocks[:5](net.bn1(net.conv_stem(images)))
    assert (rounded - maps).norm() < 1.5 * (theirs - maps).norm()


def test_the_recipe_is_complete() -> None:
    """A typing error in the YAML file is found here, not after the pictures were decoded."""
    recipe = msgspec.yaml.decode(Path("models/recipes/encoder.yaml").read_bytes(), type=Recipe)
    assert set(recipe.weights) == {"i2t", "t2i", "edit", "kind", "class"}
    assert recipe.mixed < recipe.batch["phone"]
