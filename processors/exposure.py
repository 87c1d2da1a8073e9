"""A photo taken in poor light, brought to the exposure of a shop's photos before it is compared with them.

Colours in the index are those of well-lit photos. A dim photo of a white shirt lies nearer to other people's grey ones: of 269
garments of 70 street photos, darkened to .6, the same garment was first for .67, and for .996 once the photo was brought back.
"""

from __future__ import annotations

import numpy as np

from processors.values import Pixels

BRIGHTEST = 99.5
"""Per cent: the share of pixels that are darker than what counts as the brightest. Street photos have something bright in them:
this percentile is below `DIM` in 3 of 1,004."""
DIM = 225.0
"""The brightest of a photo below which it is dim …"""
BRIGHT = 245.0
"""… and to which it is brought …"""
MOST = 2.0
"""… but by no more than this factor: of a photo of black cloth alone nothing is bright."""
_SIDE = 128


def lifted(pixels: Pixels) -> Pixels:
    """The photo, uint8 (height, width, 3), multiplied so that its brightest parts are bright; the same array where they are."""
    step = max(1, max(pixels.shape[:2]) // _SIDE)
    brightest = float(np.percentile(pixels[::step, ::step].max(axis=2), BRIGHTEST))
    if brightest >= DIM:
        return pixels
    gain = min(MOST, BRIGHT / max(brightest, 1.0))
    table = np.minimum(np.round(np.arange(256) * gain), 255).astype(np.uint8)
    return np.asarray(table[pixels], np.uint8)
