"""Whether two photos are one: copies in every dress, look-alikes, recoloured ones, and plain ones of which nothing is said."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.geometry import Match, compare, features, mirrored
from processors.values import Pixels


def drawn(seed: int, height: int = 360, width: int = 270) -> Pixels:
    """A photo of sorts: shapes of many colours before a plain ground."""
    rng = np.random.default_rng(seed)
    pixels = np.full((height, width, 3), 235, np.uint8)
    for _ in range(70):
        colour = tuple(int(c) for c in rng.integers(0, 255, 3))
        x, y = int(rng.integers(width // 5, width * 4 // 5)), int(rng.integers(height // 8, height * 7 // 8))
        size = int(rng.integers(6, 40))
        if rng.random() < 0.5:
            cv2.rectangle(pixels, (x, y), (x + size, y + int(rng.integers(6, 40))), colour, -1)
        else:
            cv2.circle(pixels, (x, y), size // 2, colour, -1)
    return cv2.GaussianBlur(pixels, (3, 3), 0)  # type: ignore[return-value]


def jpeg(pixels: Pixels, quality: int) -> Pixels:
    done, data = cv2.imencode(".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[:, :, ::-1])  # type: ignore[return-value]


def marked(pixels: Pixels) -> Pixels:
    over = pixels.copy()
    for y in (80, 180, 280):
        cv2.putText(over, "SHOP EXAMPLE", (20, y), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (255, 255, 255), 3)
    return cv2.addWeighted(over, 0.6, pixels, 0.4, 0)  # type: ignore[return-value]


def matched(one: Pixels, other: Pixels) -> Match:
    there = features(other)
    return compare(features(one), there, mirrored(there))


PHOTO = drawn(1)


@pytest.mark.parametrize(
    ("other", "kind"),
    [
        (PHOTO, "copy"),
        (jpeg(PHOTO, 40), "recompressed"),
        (cv2.resize(PHOTO, (540, 720)), "recompressed"),
        (jpeg(np.ascontiguousarray(PHOTO[40:320, 30:240]), 85), "crop"),
        (jpeg(np.ascontiguousarray(PHOTO[:, ::-1]), 80), "mirrored"),
        (jpeg(marked(PHOTO), 85), "watermarked"),
    ],
    ids=["copy", "recompressed", "enlarged", "crop", "mirrored", "watermarked"],
)
def test_one_photo_in_every_dress(other: Pixels, kind: str) -> None:
    """Whichever of the two is asked about; a part of a photo is a crop from both sides."""
    for one, two in ((PHOTO, other), (other, PHOTO)):
        found = matched(one, two)
        assert found.kind == kind, found
        assert found.proved
        assert found.inliers >= 8


def test_other_photos_are_none() -> None:
    """Of other shapes, of the same shapes in other colours, and one that shares a corner."""
    assert matched(PHOTO, drawn(2)).kind is None
    recoloured = np.ascontiguousarray(PHOTO[:, :, [2, 0, 1]])
    assert matched(PHOTO, recoloured).kind is None
    shared = drawn(3)
    shared[:80, 50:130] = PHOTO[:80, 50:130]
    assert matched(PHOTO, shared).kind is None


@pytest.mark.parametrize("pixels", [np.full((200, 150, 3), 240, np.uint8), np.zeros((16, 16, 3), np.uint8)])
def test_a_plain_photo_abstains(pixels: Pixels) -> None:
    """There is nothing to go by, and nothing is said: neither that it is one nor that it is not."""
    found = matched(pixels, pixels)
    assert found.abstains
    assert (found.kind, found.fits, found.confidence) == (None, False, 0.0)
    assert matched(PHOTO, pixels).abstains


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 40), st.integers(0, 60), st.floats(0.6, 0.95), st.integers(35, 95))
def test_a_crop_is_found_wherever_it_was_cut(x: int, y: int, share: float, quality: int) -> None:
    """And the same two photos fit the same way each time."""
    height, width = (int(side * share) for side in PHOTO.shape[:2])
    part = jpeg(np.ascontiguousarray(PHOTO[y : y + height, x : x + width]), quality)
    first = matched(PHOTO, part)
    assert first.proved
    assert first == matched(PHOTO, part)
    assert not first.mirrored
