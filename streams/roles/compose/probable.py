"""What the garment of a shopper's photo probably is, by the heads that read the catalogue's photos."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from processors import chances
from processors.colour_shares import colour_shares
from processors.colours import colours_of_pixels
from processors.facets import Head, Heads, of_garment
from processors.garment_mask import garment_pixels
from processors.garments import main_garment
from processors.values import Box, Pixels, Vector
from streams.roles.compose.shown import Worn


def no_heads(_maker: str) -> Heads | None:
    """Nothing reads facets."""
    return None


HeadsOf = Callable[[str], Heads | None]
"""The facet heads that are live, by whose features they read."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What is known of one garment: the garment itself, and the features of its crop."""

    worn: Worn
    features: Vector


def told(
    looked: Sequence[Looked], whole: Vector | None, pixels: Pixels, scale: float, heads: Heads, judge: Head | None
) -> tuple[Worn, ...]:
    """The garments with what they probably are.

    Args:
        looked: all garments of the photo.
        whole: features of the whole photo; None where only a part of it was looked at.
        pixels: of the photo.
        scale: their share of the original's, in which boxes are.
        heads: that are live.
        judge: tells the detector's categories.
    """
    garments = [one.worn.garment for one in looked]
    main = main_garment(garments)
    boxes = [_times(garment.box, scale) for garment in garments]
    found = []
    for number, (one, garment, box) in enumerate(zip(looked, garments, boxes, strict=True)):
        features = one.features if whole is None else of_garment(one.features, whole, main=garment is main)
        others = [other for place, other in enumerate(boxes) if place != number]
        own = garment_pixels(pixels, box, garment.category, others, garment.mask)
        shares = None if own is None else colour_shares(own)
        colours = () if own is None else colours_of_pixels(own)
        known = chances.read(heads, judge, features, shares, garment.category, colours)
        found.append(replace(one.worn, chances=known, heads=heads.version))
    return tuple(found)


def _times(box: Box, scale: float) -> Box:
    return (box[0] * scale, box[1] * scale, box[2] * scale, box[3] * scale)
