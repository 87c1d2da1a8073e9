"""Photos as the networks of BLIP see them: squashed to a square, with the mean and deviation that their folder says."""

from __future__ import annotations

from pathlib import Path

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from models.images import checked
from models.weights.hashes import check_weights
from processors.errors import Fatal
from processors.values import Pixels

FILE = "preprocessor_config.json"
_MEAN, _DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of CLIP, which BLIP and BLIP-2 kept; the file may say others."""


class Preprocessing(msgspec.Struct, frozen=True):
    """What Weft reads of `preprocessor_config.json`."""

    image_mean: tuple[float, float, float] = _MEAN
    image_std: tuple[float, float, float] = _DEVIATION


def preprocessing_of(folder: Path) -> Preprocessing:
    """Mean and deviation of the photos. Raises `Fatal` where the file says no such thing."""
    path = folder / FILE
    if not path.is_file():
        return Preprocessing()
    check_weights(path)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Preprocessing)
    except msgspec.DecodeError as error:
        raise Fatal(f"{path}: {error}") from error


def picture(pixels: Pixels, side: int, how: Preprocessing) -> NDArray[np.float32]:
    """(3, side, side), squashed as the networks were trained. Raises `Poison` when it is no (height, width, 3) uint8 array."""
    seen = cv2.resize(checked(pixels), (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    normal = (seen - np.array(how.image_mean, np.float32)) / np.array(how.image_std, np.float32)
    return np.ascontiguousarray(normal.transpose(2, 0, 1))
