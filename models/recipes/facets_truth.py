"""What the labels of the training sources say of a garment, in the values that the shipped heads learn.

A label allows some values and excludes the others: a drawn collar is a shirt's or a polo's, a "top" of `street` no hoodie. A facet
of which it says nothing is absent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from processors.drawn import GarmentSpec
from processors.second_look import CATEGORY, NOTHING
from processors.values import CATEGORIES

Allowed: TypeAlias = Mapping[str, tuple[str, ...]]
"""Facet → the values that the label allows."""

VALUES: dict[str, tuple[str, ...]] = {
    CATEGORY: (*CATEGORIES, NOTHING),
    "kind": (
        "t-shirt", "long-sleeved top", "shirt", "polo", "blouse", "tank top", "sweater", "hoodie", "sweatshirt", "cardigan", "tunic",
        "jacket", "coat", "blazer", "jeans", "trousers", "leggings", "shorts", "skirt", "dress", "jumpsuit",
        "sneakers", "boots", "sandals", "heels", "flats", "hat", "bag", "sunglasses",
    ),
    "pattern": ("solid", "striped", "checked", "dotted", "floral", "printed", "colourblocked"),
    "sleeve": ("sleeveless", "short", "three-quarter", "long"),
    "neckline": ("round", "v", "collar", "polo", "hood", "high"),
    "length": ("mini", "knee", "midi", "maxi", "cropped", "regular"),
}  # fmt: skip
"""Facet → what its head can say. Of joggers, caps, beanies, backpacks and three-quarter sleeves the sources have none."""
COVERS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "pattern": {"printed": ("dotted", "floral")},
    "neckline": {"collar": ("polo",)},
}
"""Facet → wide values and the narrower ones of which they are true as well."""
SILENT = frozenset({("length", "regular")})
"""Values that are learnt so that the others can be told from them, and never stated: they say nothing."""

_WORN = ("shirt", "dress", "jacket")
_KIND_CATEGORIES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("t-shirt", "long-sleeved top", "shirt", "polo", "blouse", "tank top", "sweater", "hoodie", "sweatshirt"), ("shirt",)
    ),
    "tunic": ("shirt", "dress"),  # a long one is boxed as a dress
    "cardigan": ("shirt", "jacket"),
    **dict.fromkeys(("jacket", "coat", "blazer"), ("jacket",)),
    **dict.fromkeys(("jeans", "trousers", "leggings"), ("pants",)),
    "shorts": ("shorts",),
    "skirt": ("skirt",),
    **dict.fromkeys(("dress", "jumpsuit"), ("dress",)),
    **dict.fromkeys(("sneakers", "boots", "sandals", "heels", "flats"), ("shoe",)),
    "hat": ("hat",),
    "bag": ("bag",),
    "sunglasses": ("sunglass",),
}  # fmt: skip
CATEGORIES_OF: dict[str, Callable[[str], tuple[str, ...]]] = {
    CATEGORY: lambda _value: (),
    "kind": lambda value: _KIND_CATEGORIES[value],
    "pattern": lambda _value: ("shirt", "dress", "jacket", "skirt", "shorts", "pants", "bag"),
    "sleeve": lambda _value: _WORN,
    "neckline": lambda value: ("shirt", "dress") if value != "hood" else ("shirt", "jacket"),
    "length": lambda value: ("dress", "skirt") if value != "cropped" else ("shirt", "jacket", "pants"),
}
"""Facet → of which of the detector's categories a value may be said."""

_TOPS = (
    "t-shirt",
    "long-sleeved top",
    "shirt",
    "polo",
    "blouse",
    "tank top",
    "sweater",
    "hoodie",
    "sweatshirt",
    "cardigan",
)
_SHOES = ("sneakers", "boots", "sandals", "heels", "flats")
_OPEN_NECK = ("round", "v")

PHONE: dict[str, Allowed] = {
    "t-shirt": {CATEGORY: ("shirt",), "kind": ("t-shirt",), "sleeve": ("short",), "neckline": ("round",)},
    "longsleeve": {
        CATEGORY: ("shirt",), "kind": ("long-sleeved top", "sweater", "sweatshirt"), "sleeve": ("long",), "neckline": ("round", "v", "high"),
    },
    "shirt": {CATEGORY: ("shirt",), "kind": ("shirt",), "neckline": ("collar",), "sleeve": ("short", "long")},
    "polo": {CATEGORY: ("shirt",), "kind": ("polo",), "neckline": ("polo",), "sleeve": ("short",)},
    "undershirt": {CATEGORY: ("shirt",), "kind": ("tank top",), "sleeve": ("sleeveless",), "neckline": _OPEN_NECK},
    "hoodie": {CATEGORY: ("shirt",), "kind": ("hoodie",), "neckline": ("hood",), "sleeve": ("long",)},
    "blouse": {CATEGORY: ("shirt",), "kind": ("blouse",)},
    "top": {CATEGORY: ("shirt",), "kind": ("tank top", "blouse", "t-shirt")},
    "outwear": {CATEGORY: ("jacket",), "kind": ("jacket", "coat"), "sleeve": ("long",)},
    "blazer": {CATEGORY: ("jacket",), "kind": ("blazer",), "sleeve": ("long",)},
    "pants": {CATEGORY: ("pants",), "kind": ("jeans", "trousers", "leggings")},
    "shorts": {CATEGORY: ("shorts",), "kind": ("shorts",)},
    "skirt": {CATEGORY: ("skirt",), "kind": ("skirt",)},
    "dress": {CATEGORY: ("dress",), "kind": ("dress",)},
    "hat": {CATEGORY: ("hat",), "kind": ("hat",)},
    "shoes": {CATEGORY: ("shoe",), "kind": _SHOES},
}  # fmt: skip
"""Labels of `phone`; "body" (of a baby) is none of our kinds."""

STREET: dict[str, Allowed] = {
    "sunglasses": {CATEGORY: ("sunglass",), "kind": ("sunglasses",)},
    "hat": {CATEGORY: ("hat",), "kind": ("hat",)},
    "blazer": {CATEGORY: ("jacket",), "kind": ("blazer",), "sleeve": ("long",)},
    "coat": {CATEGORY: ("jacket",), "kind": ("coat",), "sleeve": ("long",)},
    "jacket": {CATEGORY: ("jacket",), "kind": ("jacket",), "sleeve": ("long",)},
    "cardigan": {CATEGORY: ("shirt", "jacket"), "kind": ("cardigan",), "sleeve": ("long",)},
    "blouse": {CATEGORY: ("shirt",), "kind": ("blouse",)},
    "shirt": {CATEGORY: ("shirt",), "kind": ("shirt",), "neckline": ("collar",)},
    "t-shirt": {CATEGORY: ("shirt",), "kind": ("t-shirt",), "sleeve": ("short",), "neckline": _OPEN_NECK},
    "top": {CATEGORY: ("shirt",), "kind": ("tank top", "blouse", "t-shirt", "long-sleeved top")},
    "sweater": {CATEGORY: ("shirt",), "kind": ("sweater",), "sleeve": ("long",), "neckline": ("round", "v", "high")},
    "jumper": {CATEGORY: ("shirt",), "kind": ("sweater",), "sleeve": ("long",), "neckline": ("round", "v", "high")},
    "sweatshirt": {CATEGORY: ("shirt",), "kind": ("sweatshirt",), "sleeve": ("long",)},
    "hoodie": {CATEGORY: ("shirt",), "kind": ("hoodie",), "sleeve": ("long",), "neckline": ("hood",)},
    "jeans": {CATEGORY: ("pants",), "kind": ("jeans",)},
    "leggings": {CATEGORY: ("pants",), "kind": ("leggings",)},
    "pants": {CATEGORY: ("pants",), "kind": ("trousers",)},
    "shorts": {CATEGORY: ("shorts",), "kind": ("shorts",)},
    "skirt": {CATEGORY: ("skirt",), "kind": ("skirt",)},
    "dress": {CATEGORY: ("dress",), "kind": ("dress",)},
    "romper": {CATEGORY: ("dress", "shorts"), "kind": ("jumpsuit",)},
    "bag": {CATEGORY: ("bag",), "kind": ("bag",)},
    "purse": {CATEGORY: ("bag",), "kind": ("bag",)},
    "wallet": {CATEGORY: ("bag",), "kind": ("bag",)},
    "shoes": {CATEGORY: ("shoe",), "kind": _SHOES},
    "boots": {CATEGORY: ("shoe",), "kind": ("boots",)},
    "flats": {CATEGORY: ("shoe",), "kind": ("flats",)},
    "loafers": {CATEGORY: ("shoe",), "kind": ("flats",)},
    "heels": {CATEGORY: ("shoe",), "kind": ("heels",)},
    "pumps": {CATEGORY: ("shoe",), "kind": ("heels",)},
    "wedges": {CATEGORY: ("shoe",), "kind": ("heels", "sandals")},
    "sandals": {CATEGORY: ("shoe",), "kind": ("sandals",)},
    "sneakers": {CATEGORY: ("shoe",), "kind": ("sneakers",)},
}  # fmt: skip
"""Labels of the masks of `street`."""
NO_GARMENT: Allowed = {CATEGORY: (NOTHING,)}
BESIDE = ("belt", "scarf", "tie", "watch", "necklace", "bracelet", "gloves", "socks", "earrings")
"""Labels of `street` of what is none of the detector's categories."""

_DRAWN_NECKS: dict[str, tuple[str, ...]] = {
    "crew": ("round",),
    "scoop": ("round",),
    "v": ("v",),
    "high": ("high",),
    "collar": ("collar", "polo"),
    "hood": ("hood",),
}


def of_drawn(spec: GarmentSpec) -> Allowed:
    """What is true of a drawn garment."""
    found: dict[str, tuple[str, ...]] = {CATEGORY: (spec.category,), "pattern": (spec.pattern,)}
    if spec.sleeve:
        found["sleeve"] = (spec.sleeve,)
    if spec.category in ("shirt", "dress") and spec.neckline in _DRAWN_NECKS:
        found["neckline"] = _DRAWN_NECKS[spec.neckline]
    if spec.category in ("skirt", "dress", "pants", "shorts", "jacket") and spec.length:
        found["length"] = (spec.length,) if spec.length in VALUES["length"] else ("regular",)
    found["kind"] = {
        "shirt": _TOPS, "jacket": ("jacket", "coat", "blazer"), "pants": ("jeans", "trousers", "leggings"), "shoe": _SHOES,
        "sunglass": ("sunglasses",),
    }.get(spec.category, (spec.category,))  # fmt: skip
    return found
