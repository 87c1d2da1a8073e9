"""A visible mark on an edited garment, for whoever asks for one: within the mask, as everything that an edit changes."""

from __future__ import annotations

import cv2
import numpy as np

from processors.editing.mask import EditMask
from processors.values import Pixels

TEXT = "EDITED"


def marked(pixels: Pixels, mask: EditMask) -> Pixels:
    """The photo with the word on the lower part of the garment, as large as the garment allows."""
    left, top, right, bottom = mask.region
    height, width = bottom - top, right - left
    rows = np.flatnonzero(mask.inside.any(axis=1))
    row = int(rows[min(len(rows) - 1, round(0.8 * len(rows)))])
    columns = np.flatnonzero(mask.inside[row])
    room = int(columns[-1] - columns[0]) + 1
    (wide, _), _ = cv2.getTextSize(TEXT, cv2.FONT_HERSHEY_SIMPLEX, 1.0, 2)
    scale = max(0.2, 0.8 * room / max(wide, 1))
    scale = min(scale, 0.006 * height + 0.2)
    ink = np.zeros((height, width), np.uint8)
    start = (int(columns[0]) + round(0.1 * room), row)
    cv2.putText(ink, TEXT, start, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, max(1, round(2 * scale)), cv2.LINE_AA)
    part = pixels[mask.window].astype(np.float32)
    light = float(part[mask.inside].mean()) < 128
    share = (ink.astype(np.float32) / 255 * 0.75)[..., None]
    mixed = np.rint(part * (1 - share) + (245.0 if light else 20.0) * share).astype(np.uint8)
    result = pixels.copy()
    result[mask.window] = np.where(mask.inside[..., None], mixed, pixels[mask.window])
    return result
