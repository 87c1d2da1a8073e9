"""The frozen values that flow between the rooms; EVENTS.md embeds the msgspec structs as they are.

Conventions: pixels are `uint8` RGB arrays of shape (height, width, 3); vectors are `float32` of shape (dimension,)
with L2 norm 1; boxes are `(x0, y0, x1, y1)` in pixels of the original image, origin top left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels: TypeAlias = NDArray[np.uint8]
    Mask: TypeAlias = NDArray[np.bool_]
    Vector: TypeAlias = NDArray[np.float32]
else:  # the records of the topics are read by tools that compute nothing: numpy would be most of their start
    Pixels = Mask = Vector = Any
Box: TypeAlias = tuple[float, float, float, float]
WriterKind: TypeAlias = Literal["llm", "template"]

MAX_QUERY_TEXT = 2_000
"""Characters of a query's text, for whoever takes one: the codec, and the text encoders."""

# The detector's classes, in the order of its output channels.
CATEGORIES: tuple[str, ...] = (
    "sunglass",
    "hat",
    "jacket",
    "shirt",
    "pants",
    "shorts",
    "skirt",
    "dress",
    "bag",
    "shoe",
)


class Colour(msgspec.Struct, frozen=True, gc=False):
    """A named colour and its share (0..1) of the garment's own pixels.

    `certainty`: the share again, where a pixel between two names counts for both; None in records of before there was one.
    """

    name: str
    hex: str
    share: float
    certainty: float | None = None


class Attribute(msgspec.Struct, frozen=True, gc=False):
    """A decided facet ("fabric": "linen"): the neighbours that voted for it, or none when the shop itself said so.

    `source`: "pixels", "merchant" or "neighbours"; "" in records of before there was one. `second`: of what was read from the
    pixels, the value that was next likely.
    """

    value: str
    confidence: float
    neighbours: tuple[str, ...] = ()
    source: str = ""
    second: str = ""


class GarmentMask(msgspec.Struct, frozen=True):
    """Which part of a garment's box is the garment: a grid of `height` × `width` cells over the box.

    `runs`: row by row, how many cells in a row are outside, then inside, then outside …; the first may be 0 (`processors.mask_runs`).
    """

    height: int
    width: int
    runs: tuple[int, ...]


class Detection(msgspec.Struct, frozen=True):
    """One garment as the detector saw it.

    `kind`: what the detector itself calls it, beyond the category; "" where it says no more (`processors.class_map`).
    `mask`: of a detector that segments.
    """

    category: str
    box: Box
    confidence: float
    kind: str = ""
    mask: GarmentMask | None = None


class Garment(msgspec.Struct, frozen=True, gc=False):
    """One garment with everything known of it. `id` is "g0", "g1" … in descending confidence.

    `photo`: the address of the photo that `box` lies in, where that is not the item's own image. `mask`: of a detector that segments.
    """

    id: str
    category: str
    box: Box
    confidence: float
    colours: tuple[Colour, ...] = ()
    attributes: dict[str, Attribute] = {}
    photo: str | msgspec.UnsetType = msgspec.UNSET
    mask: GarmentMask | msgspec.UnsetType = msgspec.UNSET


class StyleExample(msgspec.Struct, frozen=True):
    """What the shop wrote about a near neighbour: an example of its tone, never a source of facts."""

    product_id: str
    text: str


class Evidence(msgspec.Struct, frozen=True):
    """The evidence pack: all that a caption may claim. `said`: brand, collection, category path and tags, as the shop says them."""

    garments: tuple[Garment, ...]
    style_examples: tuple[StyleExample, ...] = ()
    said: dict[str, tuple[str, ...]] = {}


class Span(msgspec.Struct, frozen=True):
    """caption[start:end] states `facet` ("category", "colour", "fabric", "gender") of garment `garment`."""

    start: int
    end: int
    garment: str
    facet: str


class CaptionText(msgspec.Struct, frozen=True):
    """A checked caption: its text, its hashtags ("#linendress"), and where each claim stands in the text.

    `coverage` is the share of the pack's facets that the sentences state; None when the pack has none.
    """

    caption: str
    hashtags: tuple[str, ...]
    spans: tuple[Span, ...]
    coverage: float | None
    writer: WriterKind


class Metadata(msgspec.Struct, frozen=True, gc=False):
    """What the shop says of a product. `facets` holds every other string it sent (see `streams.contract.records`).

    `sale_price` to `launched` are its typed columns (`processors.offers`). `group_id` names the style of which the product
    is a colour or size. `category_path` goes from the widest to the narrowest. `more` holds what was sent and is no string, as it came.
    """

    title: str = ""
    description: str = ""
    brand: str = ""
    gender: str = ""
    fabric: str = ""
    category: str = ""
    price: float | None = None
    facets: dict[str, str] = {}
    sale_price: float | None = None
    currency: str = ""
    in_stock: bool | None = None
    sizes: tuple[str, ...] = ()
    launched: str = ""
    group_id: str = ""
    category_path: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    more: dict[str, Any] = {}
