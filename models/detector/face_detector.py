"""Whether a face is to be seen on a photo: CenterFace (Xu et al. 2019), by OpenCV's own network reader on the CPU.

It says where faces are, and nothing of whose they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from models.images import checked
from models.weights.hashes import check_weights, fingerprint
from processors.evidence import iou
from processors.values import Box, Detection, Pixels

Found: TypeAlias = tuple[tuple[float, Box], ...]
Plane: TypeAlias = NDArray[np.float32]

SIDE, TURNED_SIDE = 640, 320
"""Longest side, in pixels, at which a photo is looked at; and at which it is looked at again on its sides and on its head."""
CONFIDENCE = 0.5
OVERLAP = 0.3
"""Boxes of more intersection over union are of one face."""
STRIDE = 4
CLASS = "face"
OUTPUTS = ("537", "538", "539", "540")
"""Of the published file: centres, sizes, offsets, landmarks."""


class CenterFace:
    """A `FaceDetector`.

    Args:
        data: the published ONNX file.
        digest: of the file, for the fingerprint.
        confidence: what a face must have at least.
    """

    def __init__(self, data: bytes, digest: str, *, confidence: float = CONFIDENCE) -> None:
        self._net = cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8))
        self._confidence = confidence
        self.fingerprint = fingerprint("centerface", digest, str(SIDE), str(TURNED_SIDE), str(confidence))

    @classmethod
    def load(cls, path: Path) -> CenterFace:
        """From the model cache. Raises `Fatal` where the file is missing or its bytes are others than were pinned."""
        digest = check_weights(path)
        return cls(path.read_bytes(), digest)

    def prepare(self, item: Pixels, /) -> Pixels:
        """The photo with its longest side at `SIDE`, or as it is where that is smaller."""
        return _reduced(checked(item), SIDE)

    def forward(self, batch: Sequence[Pixels], /) -> list[tuple[Found, float]]:
        """Faces, and the longest side of what they were found on. One photo after the other: their sizes differ."""
        return [(self._look(small), float(max(small.shape[:2]))) for small in batch]

    def finish(self, item: Pixels, raw: tuple[Found, float], /) -> tuple[Detection, ...]:
        """Boxes in pixels of the photo, the surest first."""
        found, side = raw
        times = max(item.shape[:2]) / side
        return tuple(
            Detection(CLASS, (box[0] * times, box[1] * times, box[2] * times, box[3] * times), confidence)
            for confidence, box in found
        )

    def example(self) -> Pixels:
        """A grey photo."""
        return np.full((96, 64, 3), 128, np.uint8)

    def _look(self, small: Pixels) -> Found:
        """Upright; and only where there is no face, turned: a photo that lies on its side hides nobody."""
        found = self._faces(small)
        if found:
            return found
        less = _reduced(small, TURNED_SIDE)
        times = max(small.shape[:2]) / max(less.shape[:2])
        for turns in (1, 3, 2):
            turned = np.ascontiguousarray(np.rot90(less, turns))
            boxes = [(sure, _turned_back(box, turned.shape[:2], turns)) for sure, box in self._faces(turned)]
            if boxes:
                return tuple(
                    (sure, (box[0] * times, box[1] * times, box[2] * times, box[3] * times)) for sure, box in boxes
                )
        return ()

    def _faces(self, small: Pixels) -> Found:
        height, width = small.shape[:2]
        padded = np.zeros((-(-height // 32) * 32, -(-width // 32) * 32, 3), np.uint8)
        padded[:height, :width] = small
        self._net.setInput(cv2.dnn.blobFromImage(padded))
        centres, sizes, offsets, _ = (np.asarray(one, np.float32)[0] for one in self._net.forward(OUTPUTS))
        rows, columns = np.nonzero(centres[0] > self._confidence)
        found: list[tuple[float, Box]] = []
        for row, column in sorted(zip(rows, columns, strict=True), key=lambda at: -float(centres[0][at])):
            box = _box(sizes[:, row, column], offsets[:, row, column], int(row), int(column), width, height)
            if all(iou(box, other) <= OVERLAP for _, other in found):
                found.append((float(centres[0, row, column]), box))
        return tuple(found)


def _box(size: Plane, offset: Plane, row: int, column: int, width: int, height: int) -> Box:
    tall, wide = (STRIDE * float(np.exp(min(float(one), 8.0))) for one in size)
    x, y = (column + float(offset[1]) + 0.5) * STRIDE, (row + float(offset[0]) + 0.5) * STRIDE
    return (
        min(max(x - wide / 2, 0.0), width - 1.0),
        min(max(y - tall / 2, 0.0), height - 1.0),
        min(max(x + wide / 2, 1.0), float(width)),
        min(max(y + tall / 2, 1.0), float(height)),
    )


def _turned_back(box: Box, shape: tuple[int, int], turns: int) -> Box:
    """A box of a photo that `np.rot90` turned so often, in the photo as it was; `shape`: height and width of the turned one."""
    height, width = shape
    for _ in range(turns):
        # Turned by a quarter against the clock, the top of what was turned is the right side of what it was.
        box = (height - box[3], box[0], height - box[1], box[2])
        height, width = width, height
    return box


def _reduced(pixels: Pixels, side: int) -> Pixels:
    factor = side / max(pixels.shape[:2])
    if factor >= 1:
        return pixels
    size = (max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
