"""What the models make of a photo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from models.fakes import FakeDetector, FakeImageEncoder
from processors.decode import Decoded
from processors.product import PhotoPlace
from processors.values import Box, Detection, Pixels
from streams.roles.seeing import Seeing
from streams.roles.work import Opened, Seen


class Counting(FakeImageEncoder):
    """An encoder that knows how many views it was shown."""

    def __init__(self) -> None:
        self.shown: list[int] = []

    def forward(self, batch: Sequence[Any], /) -> list[Any]:
        self.shown.append(len(batch))
        return super().forward(batch)


def photo() -> Pixels:
    """Of no symmetry: each part of it is another view."""
    return np.random.default_rng(3).integers(0, 256, (120, 90, 3)).astype(np.uint8)


def seen(pixels: Pixels, *boxes: Box) -> Seen:
    found = tuple(Detection("dress", box, 0.9 - number / 10) for number, box in enumerate(boxes))
    decoded = Decoded(pixels, pixels.shape[1], pixels.shape[0], 1.0)
    return Seen(Opened(PhotoPlace("sha256:0", "images/0.jpg"), decoded, None, None), found)


@pytest.mark.parametrize(
    ("box", "views"), [((0.0, 0.0, 90.0, 120.0), 1), ((1.0, 1.0, 89.0, 119.0), 1), ((20.0, 30.0, 60.0, 80.0), 2)]
)
def test_a_garment_that_fills_its_photo_is_seen_once_for_both(box: Box, views: int) -> None:
    encoder = Counting()
    seeing = Seeing(FakeDetector(), encoder, lambda: None, None)
    described = [seeing.described(seen(photo(), box)), seeing.described(seen(photo()[::-1].copy(), box))]
    photos = [seeing.embedded(one, raws) for one, raws in zip(described, seeing.raws(described), strict=True)]
    assert encoder.shown == [2 * views]
    for one, pixels in zip(photos, (photo(), photo()[::-1]), strict=True):
        whole, garment = one.content.views
        left, top, right, bottom = (0, 0, 90, 120) if views == 1 else (17, 27, 63, 83)
        expected = [encoder.forward([encoder.prepare(part)])[0] for part in (pixels, pixels[top:bottom, left:right])]
        assert whole.vector == np.asarray(expected[0], "<f4").tobytes()
        assert garment.vector == np.asarray(expected[1], "<f4").tobytes()
        assert garment.category == "dress"
