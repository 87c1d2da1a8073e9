"""What every model that sees pictures does to them first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from processors.errors import Code, Poison
from processors.values import Pixels

if TYPE_CHECKING:
    from torch import Tensor


def checked(pixels: Pixels) -> Pixels:
    """Refuse what is no RGB picture, in words that may go to the dead letters.

    Raises:
        Poison: not (height, width, 3) uint8, or empty.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or not pixels.size:
        raise Poison(f"no RGB picture: shape {pixels.shape}, {pixels.dtype}", field="image", code=Code.BAD_IMAGE)
    return pixels


def letterbox(pixels: Pixels, side: int) -> NDArray[np.float32]:
    """Fit a photo into a square without changing its proportions.

    Args:
        pixels: (height, width, 3) uint8 RGB.
        side: of the square, pixels.

    Returns:
        (3, side, side) float32 in −1..1; exactly 0 where there is no photo (no pixel value maps to 0).
    """
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    shrunk = cv2.resize(np.ascontiguousarray(pixels), size, interpolation=how).astype(np.float32)
    square = np.zeros((3, side, side), np.float32)
    top, left = (side - size[1]) // 2, (side - size[0]) // 2
    square[:, top : top + size[1], left : left + size[0]] = (shrunk.transpose(2, 0, 1) - 127.5) / 127.5
    return square


def stacked(views: Sequence[NDArray[np.float32]], device: str) -> Tensor:
    """Views of one shape as one tensor (n, ...) on a device; for a GPU from memory that it reads by itself, four times as fast.

    Args:
        views: one at least.
        device: "cpu" or "cuda:<number>".
    """
    import torch

    if device == "cpu":
        return torch.from_numpy(np.stack(views))
    held = torch.empty((len(views), *views[0].shape), pin_memory=True)
    np.stack(views, out=held.numpy())
    return held.to(device, non_blocking=True)
