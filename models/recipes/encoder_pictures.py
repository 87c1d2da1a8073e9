"""The encoder's training pictures in memory, decoded once: whole photos, and crops with some of what lies around them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from models.recipes.encoder_data import View
from models.recipes.encoder_facets import Known
from processors.values import Box, Pixels

LONGEST = 288
"""Pictures are kept at most this large: training sees them at 192 to 256 pixels."""


class _Row(msgspec.Struct, frozen=True, array_like=True):
    offset: int
    height: int
    width: int
    inner: tuple[float, float, float, float]
    garments: list[tuple[dict[str, str], tuple[str, ...]]]
    origin: str
    label: str
    held_out: bool


@dataclass(frozen=True, slots=True)
class Album:
    """All pictures as one array of bytes, and a row for each."""

    bytes: NDArray[np.uint8]
    rows: list[_Row]

    def pixels(self, row: int) -> Pixels:
        """(height, width, 3) RGB."""
        found = self.rows[row]
        size = found.height * found.width * 3
        return self.bytes[found.offset : found.offset + size].reshape(found.height, found.width, 3)

    def known(self, row: int) -> tuple[Known, ...]:
        """What is known of each garment in the picture."""
        return tuple(Known(facets, tuple(colours)) for facets, colours in self.rows[row].garments)

    def numbers(self, *origins: str, held_out: bool) -> NDArray[np.int64]:
        """Row numbers of one side of the split, of these origins."""
        return np.array(
            [i for i, row in enumerate(self.rows) if row.origin in origins and row.held_out == held_out], np.int64
        )


def shrunk(view: View) -> View:
    """The view at most `LONGEST` pixels long, its box with it."""
    height, width = view.pixels.shape[:2]
    scale = LONGEST / max(height, width)
    if scale >= 1:
        return view
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    pixels = np.asarray(cv2.resize(view.pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    x0, y0, x1, y1 = view.inner
    inner: Box = (x0 * scale, y0 * scale, x1 * scale, y1 * scale)
    return View(pixels, view.garments, view.origin, view.label, view.held_out, inner)


def gather(views: Iterable[View], folder: Path) -> Album:
    """Decode once, and keep: `album.npy` and `album.json` in `folder` are read instead where they are complete."""
    bytes_path, rows_path = folder / "album.npy", folder / "album.json"
    if not rows_path.exists():
        parts, rows, offset = [], [], 0
        for view in map(shrunk, views):
            height, width = view.pixels.shape[:2]
            garments = [(known.facets, known.colours) for known in view.garments]
            rows.append(_Row(offset, height, width, view.inner, garments, view.origin, view.label, view.held_out))
            parts.append(np.ascontiguousarray(view.pixels).reshape(-1))
            offset += parts[-1].size
        folder.mkdir(parents=True, exist_ok=True)
        np.save(bytes_path, np.concatenate(parts))
        aside = rows_path.with_suffix(".partial")
        aside.write_bytes(msgspec.json.encode(rows))
        aside.rename(rows_path)  # last: it says that the bytes are complete
    return Album(np.load(bytes_path), msgspec.json.decode(rows_path.read_bytes(), type=list[_Row]))
