"""A cloth laid onto a garment: what may change changes as asked, and nothing else does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.drawn import catalogue
from processors.drawn.product import Product
from processors.editing import cloth, mask, transfer
from processors.lab import ciede2000, lab_of_hex, to_lab
from processors.palette import PALETTE
from processors.values import CATEGORIES, Pixels

NAMES = tuple(name for name, _ in PALETTE)


def _noise(height: int, width: int, seed: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(16, 90),
    width=st.integers(16, 90),
    seed=st.integers(0, 2**20),
    corners=st.tuples(*[st.floats(-0.3, 1.3)] * 4),
    colour=st.sampled_from(NAMES),
    pattern=st.sampled_from(("", *cloth.PATTERNS)),
)
def test_whatever_the_photo_and_the_box_only_pixels_of_the_mask_change(
    height: int, width: int, seed: int, corners: tuple[float, float, float, float], colour: str, pattern: str
) -> None:
    """Outside the mask the greatest difference is 0, twice gives the same bytes, and the photo handed in is left alone."""
    pixels = _noise(height, width, seed)
    before = pixels.copy()
    (x0, x1), (y0, y1) = sorted((corners[0], corners[2])), sorted((corners[1], corners[3]))
    box = (x0 * width, y0 * height, x1 * width, y1 * height)
    found = mask.garment(pixels, box, CATEGORIES[seed % len(CATEGORIES)])
    if found is None:
        return
    wanted = cloth.of_words((colour,), pattern, seed)
    assert wanted is not None
    once = transfer.transferred(pixels, found, wanted, seed)
    outside = ~found.whole(height, width)
    assert np.array_equal(once[outside], pixels[outside])
    assert once.tobytes() == transfer.transferred(before, found, wanted, seed).tobytes()
    assert np.array_equal(pixels, before)


@settings(max_examples=20, deadline=None)
@given(height=st.integers(1, 80), width=st.integers(1, 80), seed=st.integers(0, 2**20), share=st.floats(0, 1))
def test_a_mask_of_any_shape_has_its_border_inside(height: int, width: int, seed: int, share: float) -> None:
    """`alpha` is 0 outside, and reaches 1 only where it is at least `feather` pixels from the outline."""
    drawn = np.random.default_rng(seed).random((height, width)) < share
    found = mask.given(drawn)
    if found is None:
        assert np.count_nonzero(drawn) < mask.LEAST_PIXELS
        return
    assert np.array_equal(found.whole(height, width), drawn)
    assert found.alpha.shape == found.inside.shape
    assert not found.alpha[~found.inside].any()
    assert (found.alpha[found.inside] > 0).all()
    assert found.alpha.max() <= 1


def test_the_border_is_as_wide_as_it_says() -> None:
    """In the middle an edit is complete; on the outline it has hardly begun."""
    drawn = np.zeros((100, 100), np.bool_)
    drawn[20:80, 20:80] = True
    found = mask.given(drawn)
    assert found is not None
    assert found.region == (20, 20, 80, 80)
    assert found.feather == 2.0
    assert found.alpha[30, 30] == 1
    whole = mask.of(drawn, (0, 0, 100, 100))
    assert whole is not None
    assert 0 < whole.alpha[20, 50] < 1
    assert whole.alpha[19, 50] == 0


def _worn(seed: int, count: int) -> list[Product]:
    return list(catalogue(seed, count))


def _garment_of(product: Product) -> tuple[Pixels, mask.EditMask] | None:
    garment = max(product.scene.garments, key=lambda one: (one.box[2] - one.box[0]) * (one.box[3] - one.box[1]))
    others = [one.box for one in product.scene.garments if one is not garment]
    found = mask.garment(product.pixels, garment.box, garment.spec.category, others)
    return None if found is None else (product.pixels, found)


def test_an_edit_moves_the_garment_towards_the_colour_of_the_one_retrieved() -> None:
    """The difference to the reference's mean colour falls in 95 of 100 drawn cases (here of twenty: in all but one)."""
    things = [one for one in map(_garment_of, _worn(31, 22)) if one is not None]
    fell, cases = 0, 0
    for (pixels, found), (other, its_mask) in zip(things, things[1:] + things[:1], strict=True):
        wanted = cloth.of_garment(other, its_mask)
        assert wanted is not None
        edited = transfer.transferred(pixels, found, wanted)
        inside = found.whole(*pixels.shape[:2])
        before, after = (float(ciede2000(to_lab(one)[inside].mean(axis=0), wanted.mean)) for one in (pixels, edited))
        cases += 1
        # Where both are of one colour already there is nothing to fall.
        fell += after < before or after < 2
    assert cases >= 20
    assert fell >= 0.95 * cases


def test_folds_stay_where_they_were() -> None:
    """The light on the old garment is found on the new one: their lightness rises and falls together."""
    rows = 0.75 + 0.25 * np.sin(np.linspace(0, 12 * np.pi, 200))
    pixels = np.full((220, 220, 3), 235, np.uint8)
    pixels[10:210, 10:210] = (rows[:, None, None] * np.array([60, 90, 190])).astype(np.uint8)
    drawn = np.zeros((220, 220), np.bool_)
    drawn[10:210, 10:210] = True
    found, wanted = mask.given(drawn), cloth.of_words(("mustard",))
    assert found is not None
    assert wanted is not None
    edited = to_lab(transfer.transferred(pixels, found, wanted))[20:200, 20:200]
    before = to_lab(pixels)[20:200, 20:200, 0].mean(axis=1)
    assert np.corrcoef(before, edited[..., 0].mean(axis=1))[0, 1] > 0.95
    assert edited[..., 0].std() > 3
    assert ciede2000(edited.reshape(-1, 3).mean(axis=0), lab_of_hex(dict(PALETTE)["mustard"])) < 5


def test_a_print_is_carried_over_and_the_old_one_does_not_show_through() -> None:
    """Stripes of the reference stand on the result; those of the photo do not."""
    pixels = np.full((200, 200, 3), 235, np.uint8)
    pixels[20:180, 20:180] = (200, 40, 40)
    pixels[20:180, 20:180:8] = pixels[20:180, 21:180:8] = pixels[20:180, 22:180:8] = (240, 240, 240)
    drawn = np.zeros((200, 200), np.bool_)
    drawn[20:180, 20:180] = True
    found = mask.given(drawn)
    reference = np.full((200, 200, 3), 30, np.uint8)
    reference[::20] = reference[1::20] = reference[2::20] = reference[3::20] = 230
    its_mask = mask.given(np.ones((200, 200), np.bool_))
    assert found is not None
    assert its_mask is not None
    wanted = cloth.of_garment(reference, its_mask)
    assert wanted is not None
    light = to_lab(transfer.transferred(pixels, found, wanted))[30:170, 30:170, 0]
    assert light.mean(axis=1).std() > 15  # the new ones, down the photo
    assert light.mean(axis=0).std() < 3  # the old ones, across it


def test_words_draw_what_they_name_and_nothing_else() -> None:
    """A colour of the palette, a second one, a pattern; without a colour there is no cloth, and a seed moves the pattern."""
    plain = cloth.of_words(("red",))
    striped = cloth.of_words(("navy", "white"), "striped", 1)
    assert plain is not None
    assert striped is not None
    assert plain.lab.std(axis=(0, 1)).max() < 0.1
    assert striped.lab[..., 0].mean(axis=1).std() > 10
    assert striped.lab[..., 0].mean(axis=0).std() < 1
    assert cloth.of_words(()) is None
    assert cloth.of_words(("no colour",)) is None
    moved = cloth.of_words(("navy", "white"), "striped", 2)
    assert moved is not None
    assert not np.array_equal(moved.lab, striped.lab)


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize("shape", [(1, 1), (3, 900), (900, 3), (2, 2), (777, 64)])
def test_a_cloth_fits_every_box(shape: tuple[int, int], seed: int) -> None:
    """However much narrower the box is than the cloth."""
    wanted = cloth.of_words(("red", "white"), "checked")
    assert wanted is not None
    found = cloth.laid(wanted, shape[1], shape[0], seed)
    assert found.shape == (*shape, 3)
    assert np.isfinite(found).all()


def test_a_pattern_goes_on_beyond_the_outline_of_the_garment_that_lends_it() -> None:
    """A striped disc: in the corners of its box, where it does not reach, there are stripes as well, and no blur of their mean."""
    rows = np.where(np.arange(240) // 12 % 2 == 0, 230, 40).astype(np.uint8)
    pixels = np.repeat(np.repeat(rows[:, None, None], 240, axis=1), 3, axis=2)
    middle = np.arange(240) + 0.5 - 120
    its_mask = mask.given(np.hypot(middle[:, None], middle[None]) < 110)
    assert its_mask is not None
    found = cloth.of_garment(pixels, its_mask)
    assert found is not None
    height, width = found.lab.shape[:2]
    corner = found.lab[: height // 6, : width // 6, 0]
    assert corner.std() > 20
    assert ((corner < 40) | (corner > 70)).mean() > 0.8


def test_a_print_stays_whole_on_a_long_garment() -> None:
    """A cloth with a blot, on a box three times as high as wide: the blot is in the upper part once, in the middle, and as wide as it was."""
    lab = np.full((120, 100, 3), (60.0, 0.0, 0.0), np.float32)
    lab[30:60, 20:80] = (20.0, 40.0, 0.0)
    one = cloth.Cloth(lab, lab.reshape(-1, 3).mean(axis=0))
    found = cloth.laid(one, 100, 360)
    columns = np.flatnonzero(found[60, :, 1] > 20)
    assert abs(int(columns[0]) - 20) <= 2
    assert abs(int(columns[-1]) - 79) <= 2
    rows = np.flatnonzero((found[..., 1] > 20).any(axis=1))
    assert len(rows) == rows[-1] - rows[0] + 1 < 60  # once
    assert rows[-1] < 120
    wide = np.flatnonzero((cloth.laid(one, 400, 120)[..., 1] > 20).any(axis=0))
    assert abs(int(wide[0] + wide[-1]) - 400) <= 4
    assert np.array_equal(found, cloth.laid(one, 100, 360))
    assert not np.array_equal(found, cloth.laid(one, 100, 360, seed=4))


def test_a_cloth_in_another_colour_keeps_its_print_as_light_and_dark() -> None:
    """A white print on green is a lighter grey on grey: moved as a whole it would be pink."""
    lab = np.full((60, 60, 3), (50.0, -45.0, 25.0), np.float32)
    lab[20:40, 20:40] = (97.0, 0.0, 0.0)
    one = cloth.Cloth(lab, lab.reshape(-1, 3).mean(axis=0))
    grey = lab_of_hex(dict(PALETTE)["grey"])
    found = cloth.dyed(one, grey)
    assert np.abs(found.lab[..., 1:] - grey[1:]).max() < 1
    assert found.lab[30, 30, 0] > found.lab[5, 5, 0] + 20
    assert found.lab[..., 0].max() <= 100
    assert np.array_equal(found.mean, grey)


def test_a_plain_cloth_has_the_ground_and_not_the_print() -> None:
    """A white blot on red cloth goes, the weave stays; of stripes the colour that is named is left; and no colour comes up that is nowhere."""
    weave = np.random.default_rng(2).normal(0, 1.5, (100, 100)).astype(np.float32)
    lab = np.tile(lab_of_hex(dict(PALETTE)["red"]), (100, 100, 1)).astype(np.float32)
    lab[..., 0] += weave
    lab[20:55, 20:80] = (97.0, 0.0, 0.0)
    for colour in ("red", "coral", "", "navy"):  # by its name or one near it, or as the most of it
        found = cloth.plain(cloth.Cloth(lab, lab.reshape(-1, 3).mean(axis=0)), colour)
        assert ciede2000(found.lab.reshape(-1, 3), lab_of_hex(dict(PALETTE)["red"])).max() < 8
        assert ciede2000(found.mean, lab_of_hex(dict(PALETTE)["red"])) < 1
        assert np.array_equal(found.lab[:20], lab[:20])
    white = cloth.plain(cloth.Cloth(lab, lab.reshape(-1, 3).mean(axis=0)), "white")
    assert ciede2000(white.lab.reshape(-1, 3), np.float32([97, 0, 0])).max() < 1


def test_a_plain_cloth_of_more_colours_than_it_has_a_middle_of_is_one_colour() -> None:
    """Red, green and blue in equal parts: the median of each channel is none of them, and nothing is not a number."""
    lab = np.repeat(np.float32([[50, 80, 60], [60, -70, 60], [30, 60, -90]]), 100, axis=0).reshape(30, 10, 3)
    found = cloth.plain(cloth.Cloth(lab, lab.reshape(-1, 3).mean(axis=0)))
    assert np.isfinite(found.lab).all()
    assert found.lab.reshape(-1, 3).std(axis=0).max() < 1e-3


def _disc(colour: tuple[int, int, int], side: int = 120, radius: float = 40.3, ground: int = 150) -> Pixels:
    """A disc on a grey ground, its rim as a camera sees it: half of each."""
    fine = (np.arange(side * 8) + 0.5) / 8 - side / 2
    inside = ((fine[:, None] ** 2 + fine[None] ** 2) < radius**2).astype(np.float64)
    share = inside.reshape(side, 8, side, 8).mean(axis=(1, 3))[..., None]
    return np.rint(share * np.array(colour) + (1 - share) * ground).astype(np.uint8)


@pytest.mark.parametrize("off", [-2, 0, 2])
def test_no_rim_of_the_old_garment_is_left(off: int) -> None:
    """Though the outline was estimated two pixels too far in or out, the result is as if the new garment had been photographed."""
    old, new = _disc((235, 235, 240)), _disc((20, 120, 60))
    middle = np.arange(120) + 0.5 - 60
    distance = np.hypot(middle[:, None], middle[None])
    found = mask.given(distance < 40.3 + off)
    assert found is not None
    left, top, right, bottom = found.region
    wider = mask.of(np.pad(found.inside, 8), (left - 8, top - 8, right + 8, bottom + 8))
    assert wider is not None
    fresh = np.broadcast_to(np.float32([20, 120, 60]), (*wider.inside.shape, 3))
    errors = {}
    for name, one in (("ramp", wider), ("matted", mask.matted(old, wider))):
        edited = old.copy()
        edited[one.window] = mask.blended(old[one.window], fresh, one)
        rim = (distance > 35) & (distance < 46)
        errors[name] = float(np.abs(edited[rim].astype(float) - new[rim]).mean())
        outside = ~one.whole(120, 120)
        assert np.array_equal(edited[outside], old[outside])
    assert errors["matted"] < 3
    assert errors["matted"] < 0.35 * errors["ramp"]


def test_garment_and_ground_of_one_colour_keep_their_outline() -> None:
    """What cannot be told apart is not guessed: the mask is as it was."""
    pixels = np.full((80, 80, 3), 120, np.uint8)
    drawn = np.zeros((80, 80), np.bool_)
    drawn[20:60, 20:60] = True
    found = mask.of(drawn, (0, 0, 80, 80))
    assert found is not None
    assert np.array_equal(mask.matted(pixels, found).inside, drawn)


def test_red_in_bright_light_is_red_and_not_pink() -> None:
    """A colour that has no lighter one in sRGB keeps its hue; one that has becomes lighter."""
    red, grey = to_lab(np.uint8([[[235, 20, 30]]])), to_lab(np.uint8([[[120, 120, 120]]]))
    bright = np.full((1, 1, 1), 1.4, np.float32)
    lit = to_lab(np.rint(transfer._lit(red, bright)).astype(np.uint8))[0, 0]
    hue, before = (float(np.degrees(np.arctan2(one[2], one[1]))) for one in (lit, red[0, 0]))
    assert abs(hue - before) < 5
    assert np.hypot(lit[1], lit[2]) > 0.9 * np.hypot(red[0, 0, 1], red[0, 0, 2])
    lighter = to_lab(np.rint(transfer._lit(grey, bright)).astype(np.uint8))[0, 0, 0]
    assert lighter == pytest.approx((grey[0, 0, 0] + 16) * 1.4 - 16, abs=1)
