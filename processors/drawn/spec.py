"""What a drawn garment is, before it is drawn: its facets, and how shops combine them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from processors.palette import PALETTE
from processors.values import CATEGORIES

PATTERNS: tuple[str, ...] = ("solid", "striped", "checked", "dotted", "floral")
SLEEVES: tuple[str, ...] = ("sleeveless", "short", "long")
NECKLINES: tuple[str, ...] = ("crew", "v", "scoop", "square", "high", "collar", "lapel", "hood")
LENGTHS: tuple[str, ...] = ("mini", "knee", "midi", "maxi", "cropped", "full", "hip", "long")
FABRICS: tuple[str, ...] = ("cotton", "linen", "denim", "wool", "knit", "leather", "silk", "polyester")
GENDERS: tuple[str, ...] = ("women", "men", "unisex")

# For each category the plausible values and their weights; an empty table means that the facet does not apply.
_SLEEVE: dict[str, dict[str, float]] = {
    "shirt": {"sleeveless": 0.15, "short": 0.4, "long": 0.45},
    "dress": {"sleeveless": 0.45, "short": 0.3, "long": 0.25},
    "jacket": {"long": 1.0},
}
_NECK: dict[str, dict[str, float]] = {
    "shirt": {"crew": 0.3, "v": 0.15, "scoop": 0.1, "high": 0.08, "collar": 0.3, "hood": 0.07},
    "dress": {"crew": 0.2, "v": 0.25, "scoop": 0.2, "square": 0.15, "high": 0.06, "collar": 0.14},
    "jacket": {"lapel": 0.45, "collar": 0.3, "hood": 0.15, "crew": 0.1},
}
_LENGTH: dict[str, dict[str, float]] = {
    "skirt": {"mini": 0.3, "knee": 0.25, "midi": 0.25, "maxi": 0.2},
    "dress": {"mini": 0.25, "knee": 0.35, "midi": 0.2, "maxi": 0.2},
    "pants": {"full": 0.75, "cropped": 0.25},
    "shorts": {"mini": 0.5, "knee": 0.5},
    "jacket": {"cropped": 0.2, "hip": 0.55, "long": 0.25},
}
_FABRIC: dict[str, dict[str, float]] = {
    "sunglass": {},
    "hat": {"cotton": 0.35, "wool": 0.3, "knit": 0.25, "denim": 0.1},
    "jacket": {"denim": 0.2, "leather": 0.25, "wool": 0.3, "cotton": 0.1, "polyester": 0.15},
    "shirt": {"cotton": 0.4, "linen": 0.15, "knit": 0.2, "silk": 0.1, "denim": 0.07, "polyester": 0.08},
    "pants": {"denim": 0.4, "cotton": 0.3, "wool": 0.12, "linen": 0.1, "leather": 0.08},
    "shorts": {"denim": 0.35, "cotton": 0.35, "linen": 0.2, "polyester": 0.1},
    "skirt": {"cotton": 0.3, "denim": 0.2, "leather": 0.15, "silk": 0.15, "wool": 0.2},
    "dress": {"cotton": 0.35, "silk": 0.2, "linen": 0.2, "knit": 0.12, "polyester": 0.13},
    "bag": {"leather": 0.7, "cotton": 0.2, "polyester": 0.1},
    "shoe": {"leather": 0.65, "cotton": 0.2, "polyester": 0.15},
}
_PATTERNED: dict[str, float] = {"sunglass": 0.0, "shoe": 0.05, "bag": 0.15, "hat": 0.2, "jacket": 0.25, "pants": 0.25}
_SHAPES: dict[str, tuple[str, ...]] = {
    "sunglass": ("square", "round", "aviator", "cat-eye"),
    "hat": ("cap", "fedora", "beanie", "bucket", "sun"),
    "bag": ("tote", "handbag", "crossbody", "clutch", "backpack"),
    "shoe": ("sneaker", "boot", "pump", "loafer", "sandal"),
}
_COLOURS: tuple[str, ...] = tuple(name for name, _ in PALETTE)
_DENIM = ("steel blue", "navy", "light blue", "black", "grey", "white")
_LEATHER = ("black", "brown", "tan", "burgundy", "charcoal", "cream", "red", "white", "olive", "rust")
_NEUTRAL = ("black", "white", "grey", "navy", "charcoal", "beige", "brown", "cream", "light grey")
_GLASS = ("black", "brown", "charcoal", "burgundy", "navy", "tan", "olive", "red", "dark green", "purple")


@dataclass(frozen=True, slots=True)
class GarmentSpec:
    """The facets of one garment. Colours are names of `processors.palette`; None: the facet does not apply.

    `second_colour` is the ink of a pattern, and None exactly when `pattern` is "solid". `fabric` is "" for sunglasses.
    """

    category: str
    colour: str
    second_colour: str | None
    pattern: str
    sleeve: str | None
    neckline: str | None
    length: str | None
    fabric: str
    gender: str

    def __post_init__(self) -> None:
        """Refuse a spec that no picture could be true to (ValueError)."""
        if self.category not in CATEGORIES or self.pattern not in PATTERNS:
            raise ValueError(f"unknown category or pattern: {self.category!r}, {self.pattern!r}")
        names = (self.colour,) if self.second_colour is None else (self.colour, self.second_colour)
        if any(name not in _COLOURS for name in names):
            raise ValueError(f"not names of the palette: {names}")
        if (self.second_colour is None) != (self.pattern == "solid"):
            raise ValueError("second_colour belongs to a pattern, and a pattern needs one")


def _pick(rng: np.random.Generator, table: dict[str, float]) -> str | None:
    if not table:
        return None
    weights = np.array(list(table.values()))
    return str(rng.choice(list(table), p=weights / weights.sum()))


def _colour(rng: np.random.Generator, category: str, fabric: str) -> str:
    if category == "sunglass":
        return str(rng.choice(_GLASS, p=[0.4, *[0.6 / (len(_GLASS) - 1)] * (len(_GLASS) - 1)]))
    if fabric == "denim":
        return str(rng.choice(_DENIM, p=[0.4, 0.2, 0.2, 0.1, 0.05, 0.05]))
    if fabric == "leather" and rng.random() < 0.8:
        return str(rng.choice(_LEATHER))
    return str(rng.choice(_NEUTRAL if rng.random() < 0.25 else _COLOURS))


def _second(rng: np.random.Generator, colour: str) -> str:
    """Return an ink that stands out: at least 90 apart in weighted RGB, or the pattern would not be seen."""
    ground = _rgb(colour)
    names = [n for n in _COLOURS if np.abs(_rgb(n) - ground) @ np.array([0.6, 0.9, 0.5]) > 90]
    neutral = [n for n in names if n in _NEUTRAL]
    return str(rng.choice(neutral if neutral and rng.random() < 0.5 else names))


def _rgb(name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    value = dict(PALETTE)[name]
    return np.array([int(value[i : i + 2], 16) for i in (1, 3, 5)], np.float64)


def _gender(rng: np.random.Generator, category: str) -> str:
    if category in {"dress", "skirt"}:
        return "women"
    if category in {"sunglass", "hat"}:
        return str(rng.choice(GENDERS, p=[0.25, 0.25, 0.5]))
    return str(rng.choice(GENDERS, p=[0.45, 0.4, 0.15]))


def random_spec(rng: np.random.Generator, category: str | None = None) -> GarmentSpec:
    """Draw a plausible garment; `category` fixes what it is (one of `values.CATEGORIES`, else ValueError)."""
    kind = str(rng.choice(CATEGORIES)) if category is None else category
    if kind not in CATEGORIES:
        raise ValueError(f"unknown category: {kind!r}")
    fabric = _pick(rng, _FABRIC[kind]) or ""
    patterned = _PATTERNED.get(kind, 0.5) * (0.15 if fabric in {"denim", "leather"} else 1.0)
    pattern = str(rng.choice(PATTERNS[1:])) if rng.random() < patterned else "solid"
    colour = _colour(rng, kind, fabric)
    neckline, sleeve = _pick(rng, _NECK.get(kind, {})), _pick(rng, _SLEEVE.get(kind, {}))
    if neckline == "hood" and kind == "shirt":
        sleeve = "long"
    return GarmentSpec(
        category=kind,
        colour=colour,
        second_colour=None if pattern == "solid" else _second(rng, colour),
        pattern=pattern,
        sleeve=sleeve,
        neckline=neckline,
        length=_pick(rng, _LENGTH.get(kind, {})),
        fabric=fabric,
        gender=_gender(rng, kind),
    )


def random_shape(rng: np.random.Generator, category: str) -> str:
    """Draw the silhouette of an accessory ("fedora"): a matter of drawing, not a facet; "" for clothes."""
    shapes = _SHAPES.get(category)
    return str(rng.choice(shapes)) if shapes else ""


def outfit(rng: np.random.Generator, count: int) -> tuple[GarmentSpec, ...]:
    """Draw `count` (1 to 7, a dress counts for one) garments that one person can wear at once, of one gender."""
    gender = str(rng.choice(("women", "men"), p=[0.6, 0.4]))
    dressed = gender == "women" and rng.random() < (0.5 if count < 3 else 0.3)
    legs = {"pants": 0.4, "shorts": 0.25, "skirt": 0.35} if gender == "women" else {"pants": 0.6, "shorts": 0.4}
    base = ["dress"] if dressed else ["shirt", _pick(rng, legs) or "pants"]
    extras = ["shoe", "bag", "jacket", "hat", "sunglass"]
    order = rng.permutation(len(extras))
    chosen = [*base, *(extras[i] for i in order)]
    if count == 1:
        chosen = [str(rng.choice(["shirt", "dress", "jacket"] if gender == "women" else ["shirt", "jacket"]))]
    specs = [random_spec(rng, c) for c in chosen[:count]]
    return tuple(_of_gender(s, gender) for s in specs)


def _of_gender(spec: GarmentSpec, gender: str) -> GarmentSpec:
    if spec.gender in {gender, "unisex"}:
        return spec
    return replace(spec, gender=gender)
