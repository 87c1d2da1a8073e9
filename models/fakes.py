"""Hand-written twins of the four ports: deterministic, no torch, no weights. The profile `fake` runs on them.

They are small but not empty: the detector finds what stands out from the border, the encoders put "red" near red
pictures, the writer states the evidence. So tests of the plumbing can check that the right answer came to the right item.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from models.images import checked
from models.ports import Composition, WriterRequest
from models.weights.hashes import fingerprint
from processors import captions
from processors.lab import lab_of_hex, to_lab
from processors.palette import PALETTE, SYNONYMS
from processors.values import Detection, Evidence, Garment, Pixels, Vector

DIMENSION = 64
OWN_SHADE, OWN = (0, 255, 254), ("shirt", "kaftan")
"""A garment of this RGB is of a kind that no list of Weft's knows, as a detector of one's own may call it: category and kind."""
_MIN_SIDE = 8
_WORDS = re.compile(r"[a-z]+")


class FakeDetector:
    """One box around all that differs from the border's mean colour; its shape says what it is."""

    fingerprint = fingerprint("fake detector", "1")

    def prepare(self, item: Pixels, /) -> Pixels:
        return checked(item)

    def forward(self, batch: Sequence[Pixels], /) -> list[tuple[Detection, ...]]:
        return [_stands_out(pixels) for pixels in batch]

    def finish(self, _item: Pixels, raw: tuple[Detection, ...], /) -> tuple[Detection, ...]:
        return raw

    def example(self) -> Pixels:
        return _example()


class FakeFaceDetector:
    """A face is what is of pure magenta: no photo of a test has one by chance."""

    fingerprint = fingerprint("fake face detector", "1")

    def prepare(self, item: Pixels, /) -> Pixels:
        return checked(item)

    def forward(self, batch: Sequence[Pixels], /) -> list[tuple[Detection, ...]]:
        return [_magenta(pixels) for pixels in batch]

    def finish(self, _item: Pixels, raw: tuple[Detection, ...], /) -> tuple[Detection, ...]:
        return raw

    def example(self) -> Pixels:
        return _example()


class FakeImageEncoder:
    """Shares of the palette's colours in the middle of the picture, in the space of `FakeTextEncoder`."""

    fingerprint = fingerprint("fake encoder", "1", str(DIMENSION))
    dimension = DIMENSION

    def prepare(self, item: Pixels, /) -> NDArray[np.float32]:
        """Mean colour of a coarse grid, (64, 3) in CIELAB."""
        return to_lab(cv2.resize(checked(item), (8, 8), interpolation=cv2.INTER_AREA)).reshape(-1, 3)

    def forward(self, batch: Sequence[NDArray[np.float32]], /) -> list[Vector]:
        anchors = np.stack([lab_of_hex(code) for _, code in PALETTE])
        return [_unit(_histogram(grid, anchors)) for grid in batch]

    def finish(self, _item: Pixels, raw: Vector, /) -> Vector:
        return raw

    def features(self, raw: Vector, /) -> Vector:
        return raw

    @property
    def features_maker(self) -> str:
        return self.fingerprint

    def example(self) -> Pixels:
        return _example()


class FakeTextEncoder:
    """Colour words on the palette's axes; all other words by their CRC-32 on the axes that remain."""

    fingerprint = FakeImageEncoder.fingerprint
    dimension = DIMENSION

    def prepare(self, item: str, /) -> list[str]:
        return _WORDS.findall(item.lower())

    def forward(self, batch: Sequence[list[str]], /) -> list[Vector]:
        return [_unit(_bag(words)) for words in batch]

    def finish(self, _item: str, raw: Vector, /) -> Vector:
        return raw

    def example(self) -> str:
        return "a red dress"


class FakeComposer:
    """Between the image and the words, in the space of `FakeImageEncoder`."""

    name = "fake"
    fingerprint = fingerprint("fake composer", "1")
    target = FakeImageEncoder.fingerprint
    dimension = DIMENSION

    def prepare(self, item: Composition, /) -> Composition:
        return item

    def forward(self, batch: Sequence[Composition], /) -> list[Vector]:
        return [_unit((one.image + one.text).astype(np.float64)) for one in batch]

    def finish(self, _item: Composition, raw: Vector, /) -> Vector:
        return raw

    def example(self) -> Composition:
        axes = np.eye(DIMENSION, dtype=np.float32)
        return Composition(axes[0], axes[1])


class FakeWriter:
    """The rule-based caption, laid out as a language model would: sentences, then a line of hashtags."""

    fingerprint = fingerprint("fake writer", "1")
    prompt_fingerprint = captions.PROMPT_FINGERPRINT

    def prepare(self, item: WriterRequest, /) -> WriterRequest:
        return item

    def forward(self, batch: Sequence[WriterRequest], /) -> list[str]:
        return [_written(request) for request in batch]

    def finish(self, _item: WriterRequest, raw: str, /) -> str:
        return raw

    def example(self) -> WriterRequest:
        garment = Garment("g0", "dress", (0.0, 0.0, 64.0, 128.0), 0.9)
        return WriterRequest(Evidence((garment,)), captions.TONES[0], 0)


def _stands_out(pixels: Pixels) -> tuple[Detection, ...]:
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]).astype(np.float32)
    apart = np.abs(pixels.astype(np.float32) - np.median(border, axis=0)).max(axis=2) > 40
    rows, columns = np.flatnonzero(apart.any(axis=1)), np.flatnonzero(apart.any(axis=0))
    if len(rows) < _MIN_SIDE or len(columns) < _MIN_SIDE:
        return ()
    x0, x1, y0, y1 = int(columns[0]), int(columns[-1]) + 1, int(rows[0]), int(rows[-1]) + 1
    box = (float(x0), float(y0), float(x1), float(y1))
    confidence = 0.5 + 0.5 * float(apart[y0:y1, x0:x1].mean())
    category, kind = _category((x1 - x0) / (y1 - y0)), ""
    if (pixels == OWN_SHADE).all(axis=2).any():
        category, kind = OWN
    return (Detection(category, box, min(confidence, 0.99), kind=kind),)


def _magenta(pixels: Pixels) -> tuple[Detection, ...]:
    rows, columns = np.nonzero((pixels == (255, 0, 255)).all(axis=2))
    if not rows.size:
        return ()
    box = (float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1))
    return (Detection("face", box, 0.9),)


def _category(aspect: float) -> str:
    for most, category in ((0.45, "pants"), (0.75, "dress"), (1.3, "shirt"), (2.0, "skirt")):
        if aspect < most:
            return category
    return "shoe"


def _histogram(grid: NDArray[np.float32], anchors: NDArray[np.float32]) -> NDArray[np.float64]:
    middle = grid.reshape(8, 8, 3)[2:6, 2:6].reshape(-1, 3)
    nearest = np.linalg.norm(middle[:, None] - anchors[None], axis=2).argmin(axis=1)
    features = np.zeros(DIMENSION)
    features[: len(PALETTE)] = np.bincount(nearest, minlength=len(PALETTE)) / len(middle)
    features[-1] = 0.1  # no picture is the zero vector
    return features


def _bag(words: Sequence[str]) -> NDArray[np.float64]:
    axes = {name: axis for axis, (name, _) in enumerate(PALETTE)}
    axes |= {other: axes[name] for other, name in SYNONYMS.items()}
    features = np.zeros(DIMENSION)
    for word in words:
        spare = len(PALETTE) + zlib.crc32(word.encode()) % (DIMENSION - len(PALETTE) - 1)
        features[axes.get(word, spare)] += 1.0 if word in axes else 0.1
    features[-1] = 0.1
    return features


def _unit(features: NDArray[np.float64]) -> Vector:
    return np.asarray(features / np.linalg.norm(features), np.float32)


def _written(request: WriterRequest) -> str:
    caption = captions.template_caption(request.evidence, request.tone, request.seed)
    return f"{caption.caption}\n{' '.join(caption.hashtags)}"


def _example() -> Pixels:
    pixels = np.full((96, 64, 3), 240, np.uint8)
    pixels[16:80, 16:48] = (200, 32, 47)
    return pixels
