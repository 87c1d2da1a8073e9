"""Photos → garments with their colours, as the role `enrich` sees them (`streams.roles.enrich`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.guard import Guarded
from models.yardsticks.photos import Picture
from processors import crops, evidence
from processors.colours import dominant_colours
from processors.detected import garment_of
from processors.garments import main_garment
from processors.values import Box, Detection, Garment, Pixels

TYPES: dict[str, str] = {
    "tshirts": "shirt", "shirts": "shirt", "tops": "shirt", "kurtas": "shirt", "kurtis": "shirt", "tunics": "shirt",
    "sweaters": "shirt", "sweatshirts": "shirt", "innerwear vests": "shirt", "camisoles": "shirt",
    "jackets": "jacket", "waistcoat": "jacket", "blazers": "jacket", "shrug": "jacket", "rain jacket": "jacket",
    "nehru jackets": "jacket",
    "trousers": "pants", "jeans": "pants", "track pants": "pants", "capris": "pants", "leggings": "pants",
    "tights": "pants", "churidar": "pants", "salwar": "pants", "patiala": "pants", "jeggings": "pants",
    "lounge pants": "pants", "rain trousers": "pants",
    "shorts": "shorts", "lounge shorts": "shorts",
    "skirts": "skirt",
    "dresses": "dress", "jumpsuit": "dress", "nightdress": "dress",
    "casual shoes": "shoe", "sports shoes": "shoe", "formal shoes": "shoe", "heels": "shoe", "flats": "shoe",
    "sandals": "shoe", "flip flops": "shoe", "sports sandals": "shoe",
    "handbags": "bag", "backpacks": "bag", "laptop bag": "bag", "duffel bag": "bag", "clutches": "bag",
    "messenger bag": "bag", "waist pouch": "bag", "trolley bag": "bag", "rucksacks": "bag",
    "sunglasses": "sunglass",
    "caps": "hat", "hat": "hat", "headband": "hat",
}  # fmt: skip
"""A shop's `articleType`, cleaned → our category. What is not here (watches, ties) is no garment that Weft finds."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The garments of one photo, surest first; boxes in pixels of `picture.decoded.pixels`."""

    picture: Picture
    garments: tuple[Garment, ...]

    def main(self, category: str) -> Garment | None:
        """The garment that the product is about: the largest of its stated category, else the largest; None of none."""
        return main_garment(self.garments, category)


def look(
    detector: Guarded[Pixels, tuple[Detection, ...]], pictures: Sequence[Picture], *, colours: bool = True
) -> list[Seen]:
    """Detect, keep what the engine keeps, name the colours on each garment's own pixels."""
    answers = detector.run([picture.decoded.pixels for picture in pictures])
    return [Seen(picture, _garments(picture, found, colours)) for picture, found in zip(pictures, answers, strict=True)]


def _garments(picture: Picture, detections: Sequence[Detection], colours: bool) -> tuple[Garment, ...]:
    pixels = picture.decoded.pixels
    found = crops.worth_keeping(detections, pixels.shape)
    garments = []
    for one in found:
        others: list[Box] = [other.box for other in found if other is not one]
        named = dominant_colours(pixels, one.box, one.category, others, one.mask) if colours else ()
        garments.append(garment_of(one, colours=named))
    return evidence.build(garments).garments
