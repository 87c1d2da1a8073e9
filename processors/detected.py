"""A detection as a garment: what the detector itself calls it is its kind, and what it segmented its mask."""

from __future__ import annotations

import msgspec

from processors.facets import PIXELS
from processors.values import Attribute, Box, Colour, Detection, Garment


def garment_of(found: Detection, box: Box | None = None, colours: tuple[Colour, ...] = ()) -> Garment:
    """The garment, still without an id. `box`: in other pixels than the detection's."""
    confidence = round(found.confidence, 4)
    kind = {"kind": Attribute(found.kind, min(1.0, confidence), source=PIXELS)} if found.kind else {}
    mask = msgspec.UNSET if found.mask is None else found.mask
    return Garment("", found.category, found.box if box is None else box, confidence, colours, kind, mask=mask)
