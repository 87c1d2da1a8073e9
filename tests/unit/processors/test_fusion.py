"""One query vector from a reference and an edit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.errors import Poison
from processors.fusion import captions_for, edited_facets, fuse_direction, fuse_slerp, norm, parse_edit
from processors.palette import PALETTE

DRESS = {"category": "dress", "colour": "blue", "pattern": "floral", "sleeve": "short", "gender": "women"}


def unit(*values: float) -> np.ndarray:
    return norm(np.array(values, dtype=np.float32))


@pytest.mark.parametrize(
    ("text", "edited"),
    [
        ("the same but in red", "a floral red dress with short sleeves for women"),
        ("no sleeves", "a floral blue dress without sleeves for women"),
        ("no pattern", "a plain blue dress with short sleeves for women"),
        ("without the floral print", "a blue dress with short sleeves for women"),
        ("less floral", "a blue dress with short sleeves for women"),
        ("lighter", "a floral light blue dress with short sleeves for women"),
        ("a skirt instead", "a floral blue skirt for women"),
        ("more elegant", "a floral blue dress with short sleeves for women, more elegant"),
        ("shorter", "a short floral blue dress with short sleeves for women"),
    ],
)
def test_edited_captions(text: str, edited: str) -> None:
    """The edited caption says what the edit says and repeats the rest, so that it cancels out."""
    found = captions_for(DRESS, parse_edit(text))
    assert found == ("a floral blue dress with short sleeves for women", edited)


def test_no_direction_without_a_reference_or_a_change() -> None:
    """Unknown reference, or an edit that changes nothing: the caller falls back to slerp."""
    assert captions_for({}, parse_edit("in red")) is None
    assert captions_for({"category": ""}, parse_edit("in red")) is None
    assert captions_for(DRESS, parse_edit("in blue")) is None
    assert captions_for(DRESS, parse_edit("no buttons")) is None


def test_captions_read_as_english() -> None:
    """Articles and plurals."""
    assert captions_for({"category": "shoe", "colour": "red"}, parse_edit("white"))[1] == "white shoes"
    assert captions_for({"category": "shirt"}, parse_edit("orange"))[1] == "an orange shirt"
    assert captions_for({"colour": "red"}, parse_edit("green"))[0] == "a red garment"


def test_lengths_and_shades_step_along_their_scales() -> None:
    """Longer than mini is knee-length, darker than light blue is blue; the ends stay."""
    assert edited_facets({"length": "mini"}, parse_edit("longer"))["length"] == "knee"
    assert edited_facets({"length": "maxi"}, parse_edit("longer"))["length"] == "maxi"
    assert edited_facets({"colour": "light blue"}, parse_edit("darker"))["colour"] == "blue"
    assert edited_facets({"colour": "dark plum"}, parse_edit("lighter"))["colour"] == "plum"


def test_direction_moves_along_the_edit() -> None:
    """On a toy space of (dress, red, navy) the fused query is the red twin of a navy dress."""
    dress, red, navy = np.eye(3, dtype=np.float32)
    fused = fuse_direction(norm(dress + navy), norm(dress + red), norm(dress + navy))
    assert fused @ norm(dress + red) > fused @ norm(dress + navy)
    assert fused @ norm(dress + red) == pytest.approx(1.0, abs=1e-6)


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_slerp_stays_on_the_sphere_between_its_ends(seed: int, t: float) -> None:
    """Norm 1, and the angle to the image is t of the whole angle."""
    rng = np.random.default_rng(seed)
    a, b = unit(*rng.normal(size=8)), unit(*rng.normal(size=8))
    fused = fuse_slerp(a, b, t)
    whole = np.arccos(np.clip(a @ b, -1, 1))
    assert np.linalg.norm(fused) == pytest.approx(1, abs=1e-5)
    assert np.arccos(np.clip(a @ fused, -1, 1)) == pytest.approx(t * whole, abs=2e-3)
    assert fused.dtype == np.float32


def test_slerp_of_equal_and_of_opposite_vectors() -> None:
    """The two places where the formula divides by zero."""
    a = unit(1, 2, 3)
    assert np.allclose(fuse_slerp(a, a, 0.3), a)
    assert np.allclose(fuse_slerp(a, -a, 0.3), a)
    assert np.allclose(fuse_slerp(a, -a, 0.7), -a)


@pytest.mark.parametrize("broken", [[0.0, 0.0], [float("nan"), 1.0], [float("inf"), 1.0]])
def test_no_direction_is_poison(broken: list[float]) -> None:
    """A zero or non-finite query is refused instead of scoring NaN against everything."""
    with pytest.raises(Poison, match="direction"):
        norm(np.array(broken, dtype=np.float32))


def test_shades_step_within_the_palette() -> None:
    """Lighter and darker lead from palette names to palette names only, so a renamed colour is noticed here."""
    names = {name for name, _ in PALETTE}
    for text in ("lighter", "darker"):
        steps = {name: edited_facets({"colour": name}, parse_edit(text))["colour"] for name in names}
        invented = {step for step in steps.values() if step not in names}
        assert all(step.startswith(("light ", "dark ")) for step in invented)
        assert len(invented) <= 8
