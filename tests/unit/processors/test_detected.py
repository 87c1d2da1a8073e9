"""Masks and kinds of a detector of one's own on their way: packed, laid over boxes, used for colours and edits."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.colours import dominant_colours
from processors.crops import worth_keeping
from processors.detected import garment_of
from processors.editing import mask as edit_mask
from processors.facets import Head
from processors.mask_runs import packed, unpacked
from processors.second_look import NOTHING, settle
from processors.values import Detection, Garment, GarmentMask, Mask


@given(st.integers(1, 40), st.integers(1, 40), st.randoms(use_true_random=False))
def test_runs_give_the_mask_back(height: int, width: int, random: object) -> None:
    """Whatever it is, but for one of hardly any cell."""
    mask = np.array([[random.random() < 0.4 for _ in range(width)] for _ in range(height)])  # type: ignore[attr-defined]
    found = packed(mask)
    if found is None:
        assert np.count_nonzero(mask) < 12
    else:
        assert np.array_equal(unpacked(found), mask)


@pytest.mark.parametrize("broken", [GarmentMask(4, 4, (1, 2)), GarmentMask(4, 4, (-1, 17)), GarmentMask(0, 4, ()), GarmentMask(9000, 9000, (81_000_000,))])  # fmt: skip
def test_runs_that_fill_no_grid_are_no_mask(broken: GarmentMask) -> None:
    """A record of a topic may be damaged."""
    assert unpacked(broken) is None


def half(left: bool) -> tuple[np.ndarray, Mask]:
    """A picture that is red on the left and blue on the right; a mask of one half of it."""
    pixels = np.zeros((80, 80, 3), np.uint8)
    pixels[:, :40], pixels[:, 40:] = (200, 20, 30), (20, 90, 200)
    mask = np.zeros((16, 16), np.bool_)
    mask[:, slice(0, 8) if left else slice(8, 16)] = True
    return pixels, mask


@pytest.mark.parametrize(("left", "name"), [(True, "red"), (False, "blue")])
def test_colours_are_those_of_the_mask(left: bool, name: str) -> None:
    """And of nothing else in the box."""
    pixels, mask = half(left)
    found = dominant_colours(pixels, (0.0, 0.0, 80.0, 80.0), "shirt", (), packed(mask))
    assert [colour.name for colour in found] == [name]
    both = {colour.name for colour in dominant_colours(pixels, (0.0, 0.0, 80.0, 80.0), "shirt")}
    assert both != {name}


def test_an_edit_changes_the_mask_alone() -> None:
    """Followed to the photo's edges."""
    pixels, mask = half(left=True)
    found = edit_mask.garment(pixels, (0.0, 0.0, 80.0, 80.0), "shirt", (), packed(mask))
    assert found is not None
    inside = found.whole(80, 80)
    assert inside[:, :37].mean() > 0.95
    assert not inside[:, 43:].any()


def test_a_mask_goes_with_its_box_or_not_at_all() -> None:
    """A box that is cut at the photo's border has another grid."""
    mask = packed(np.ones((8, 8), np.bool_))
    inside, cut = Detection("scarf", (10.0, 10.0, 60.0, 60.0), 0.9, "scarf", mask), Detection("hat", (-9.0, 0.0, 50.0, 50.0), 0.8, "", mask)  # fmt: skip
    kept = worth_keeping((inside, cut), (80, 80, 3))
    assert kept[0] == inside
    assert (kept[1].box, kept[1].mask) == ((0.0, 0.0, 50.0, 50.0), None)


def test_a_garment_keeps_kind_and_mask() -> None:
    """The kind as an attribute, read from the pixels; nothing of either where the detector says no more."""
    mask = GarmentMask(4, 4, (0, 16))
    found = garment_of(Detection("scarf", (0.0, 0.0, 4.0, 4.0), 0.87654, "scarf", mask))
    assert found.attributes["kind"].value == "scarf"
    assert (found.attributes["kind"].source, found.attributes["kind"].confidence) == ("pixels", 0.8765)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=Garment) == found
    plain = msgspec.json.encode(garment_of(Detection("dress", (0.0, 0.0, 4.0, 4.0), 0.9)))
    assert b"mask" not in plain


def test_the_second_look_leaves_named_kinds_alone() -> None:
    """It was fitted against the faults of the starter's detector: what one's own names by its own classes is not renamed."""
    judge = Head(
        ("dress", NOTHING), np.zeros((2, 3), np.float32), np.array([0.0, 9.0], np.float32), (0.5, 0.5), ((), ())
    )
    named = msgspec.structs.replace(garment_of(Detection("scarf", (0.0, 0.0, 9.0, 9.0), 0.4, "scarf")), id="g0")
    other = Garment("g1", "dress", (0.0, 0.0, 9.0, 9.0), 0.4)
    features = np.ones(3, np.float32)
    stay = settle([named, other], features, {"g0": features, "g1": features}, judge)
    assert [one.garment.category for one in stay] == ["scarf"]
