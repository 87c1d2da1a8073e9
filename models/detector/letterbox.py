"""A photo as ultralytics shows it to its networks: scaled to fit, in the middle of a grey frame (`ultralytics.data.augment.LetterBox`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from processors.errors import Poison
from processors.values import Box, Pixels

if TYPE_CHECKING:
    from torch import Tensor

GREY = 114
STRIDE = 32


@dataclass(frozen=True, slots=True)
class Frame:
    """What a network is shown: sides in pixels. `square`: always so; else as small a frame as the photo fits in, in whole strides."""

    height: int
    width: int
    square: bool = False


@dataclass(frozen=True, slots=True)
class Letterboxed:
    """A picture in its frame: `image` (3, H, W) uint8 RGB, and the photo's place in it, in pixels of the frame."""

    image: Tensor
    left: int
    top: int
    width: int
    height: int

    def in_photo(self, box: Box, photo: tuple[int, ...]) -> Box:
        """A box of the frame in pixels of the photo (height, width, …), cut at its borders."""
        # Each side is rounded to whole pixels when the photo is scaled, so they differ a little in scale.
        across, along = self.width / photo[1], self.height / photo[0]
        x = [min(max((one - self.left) / across, 0.0), float(photo[1])) for one in (box[0], box[2])]
        y = [min(max((one - self.top) / along, 0.0), float(photo[0])) for one in (box[1], box[3])]
        return (x[0], y[0], x[1], y[1])


def letterboxed(item: Pixels, frame: Frame) -> Letterboxed:
    """Scale and frame a photo.

    Raises:
        Poison: `item` is not a `uint8` array of shape (height, width, 3) with at least one pixel.
    """
    import cv2
    import torch

    if item.ndim != 3 or item.shape[2] != 3 or item.dtype != np.uint8 or not item.size:
        raise Poison(f"the detector takes RGB pixels (height, width, 3) uint8, not {item.shape} {item.dtype}")
    ratio = min(frame.height / item.shape[0], frame.width / item.shape[1])
    height, width = (max(1, round(side * ratio)) for side in item.shape[:2])
    spare = [frame.height - height, frame.width - width]
    if not frame.square:
        spare = [one % STRIDE for one in spare]
    top, left = (round(one / 2 - 0.1) for one in spare)
    canvas = np.full((height + spare[0], width + spare[1], 3), GREY, np.uint8)
    small = (
        item if item.shape[:2] == (height, width) else cv2.resize(item, (width, height), interpolation=cv2.INTER_LINEAR)
    )
    canvas[top : top + height, left : left + width] = small
    return Letterboxed(torch.from_numpy(canvas).permute(2, 0, 1), left, top, width, height)
