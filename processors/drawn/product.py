"""Products: drawn scenes with the words a shop would send along, some of them missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from processors.drawn.scene import Scene, draw_scene
from processors.drawn.spec import GarmentSpec, outfit, random_spec
from processors.drawn.words import describe, length_word
from processors.values import CATEGORIES, Pixels

_BRANDS: tuple[str, ...] = (
    "Alder & Finch", "Bellwether", "Corvo", "Dune Street", "Estuary", "Fennimore", "Harbour Nine", "Ivory Lane",
    "Juniper Co", "Kestrel", "Lindqvist", "Marlowe", "Northmoor", "Ostara", "Pell Mell", "Quillon",
)  # fmt: skip
_NAMES: dict[str, str] = {"sunglass": "Sunglasses", "shoe": "Shoes"}
_PRICES: dict[str, tuple[float, float]] = {
    "sunglass": (15, 140),
    "hat": (12, 70),
    "jacket": (50, 320),
    "shirt": (12, 95),
    "pants": (25, 130),
    "shorts": (15, 70),
    "skirt": (20, 110),
    "dress": (30, 220),
    "bag": (25, 280),
    "shoe": (30, 210),
}
_CARE: dict[str, str] = {
    "cotton": "Soft cotton that washes well at 40 degrees.",
    "linen": "Airy linen that creases in the best way.",
    "denim": "Sturdy denim that fades with its wearer.",
    "wool": "Warm wool; air it rather than wash it.",
    "knit": "A ribbed knit with a gentle stretch.",
    "leather": "Leather with a quiet gloss that ages gracefully.",
    "silk": "Fluid silk with a soft sheen.",
    "polyester": "Light polyester that dries overnight.",
    "": "Lenses with full UV protection.",
}
_OPENERS: tuple[str, ...] = ("Meet {}.", "New this season: {}.", "A piece to live in: {}.")
_CLOSERS: tuple[str, ...] = (
    "Made to be worn often.",
    "Easy to combine.",
    "Designed in our own studio.",
    "Cut for everyday life.",
    "Ships in recycled paper.",
)


@dataclass(frozen=True, slots=True)
class Product:
    """A catalogue entry.

    `metadata` has title, brand, category and price (float, euros), and mostly description, fabric and gender: a key
    that is absent is a thing the shop did not say. `scene.garments[0]` is the garment that is sold.
    """

    product_id: str
    pixels: Pixels
    scene: Scene
    metadata: dict[str, str | float]


def draw_product(seed: int, size: int = 320) -> Product:
    """Draw the catalogue entry "drawn-<seed>" with complete metadata; categories take turns with the seed."""
    rng = np.random.Generator(np.random.PCG64([seed, 1]))
    category = CATEGORIES[seed % len(CATEGORIES)]
    specs: tuple[GarmentSpec, ...] = (random_spec(rng, category),)
    if rng.random() < 0.3:
        specs = _ensemble(specs[0], rng)
    styled = category in {"shirt", "pants", "shorts", "skirt", "dress", "jacket"} or len(specs) > 1
    worn = styled and rng.random() < 0.6
    scene = draw_scene(seed, size=size, garments=specs, style="figure" if worn else "flat")
    if not scene.garments or scene.garments[0].spec != specs[0] or scene.garments[0].visible < 0.25:
        scene = draw_scene(seed, size=size, garments=specs, style="flat")  # nobody sells what is not seen
    return Product(f"drawn-{seed:06d}", scene.pixels, scene, _metadata(specs[0], rng))


def _ensemble(main: GarmentSpec, rng: np.random.Generator) -> tuple[GarmentSpec, ...]:
    """Return the main garment with one or two that a person can wear with it, the main one first."""
    clash = {main.category}
    if main.category == "dress":
        clash |= {"shirt", "pants", "shorts", "skirt"}
    if main.category in {"shirt", "pants", "shorts", "skirt"}:
        clash |= {"dress"}
    if main.category in {"pants", "shorts", "skirt"}:
        clash |= {"pants", "shorts", "skirt"}
    others = [s for s in outfit(rng, 5) if s.category not in clash]
    need = {"shirt": "pants", "pants": "shirt", "shorts": "shirt", "skirt": "shirt"}.get(main.category)
    if need is not None and not {s.category for s in others} & {"shirt", "pants", "shorts", "skirt"}:
        others.insert(0, random_spec(rng, need))
    dressed = main.category in {"sunglass", "hat", "bag", "shoe"}  # an accessory needs someone who is dressed
    count = (1 if others[0].category == "dress" else 2) if dressed else int(rng.integers(1, 3))
    return (main, *others[:count])


def _metadata(spec: GarmentSpec, rng: np.random.Generator) -> dict[str, str | float]:
    low, high = _PRICES[spec.category]
    price = round(float(low * (high / low) ** rng.random())) - 0.05
    brand = _BRANDS[int(rng.integers(len(_BRANDS)))]
    said: dict[str, str | float] = {
        "title": _title(spec, rng),
        "description": _copy(spec, rng),
        "brand": brand,
        "gender": spec.gender,
        "category": spec.category,
        "price": round(price, 2),
    }
    if spec.fabric:
        said["fabric"] = spec.fabric
    return said


def _title(spec: GarmentSpec, rng: np.random.Generator) -> str:
    name = _NAMES.get(spec.category, spec.category.capitalize())
    pattern = "" if spec.pattern == "solid" else spec.pattern
    length = length_word(spec.length, spec.category) if spec.length and rng.random() < 0.5 else ""
    words = [length, pattern, spec.fabric, name]
    head = " ".join(w for w in words if w)
    if rng.random() < 0.5:
        return f"{head[0].upper()}{head[1:]} in {spec.colour}"
    full = f"{spec.colour} {head}"
    return full[0].upper() + full[1:]


def _copy(spec: GarmentSpec, rng: np.random.Generator) -> str:
    """Return two to four sentences of shop copy, true to the spec."""
    opener = _OPENERS[int(rng.integers(len(_OPENERS)))].format(describe(spec, rng))
    sentences = [opener, _CARE[spec.fabric]]
    if spec.gender != "unisex" and rng.random() < 0.6:
        sentences.append(f"Made for {spec.gender}.")
    if rng.random() < 0.6:
        sentences.append(_CLOSERS[int(rng.integers(len(_CLOSERS)))])
    return " ".join(sentences)


def catalogue(seed: int, n: int, size: int = 320) -> Iterator[Product]:
    """Yield `n` products; a quarter of them lack fabric, gender or description, or several of these.

    Categories take turns, so that ten products show them all. Different seeds share no product below 100,000 each.
    """
    rng = np.random.Generator(np.random.PCG64([seed, 2]))
    for i in range(n):
        product = draw_product(seed * 100_000 + i, size)
        if rng.random() < 0.25:
            lost = [k for k in ("fabric", "gender", "description") if rng.random() < 0.6] or ["fabric"]
            kept = {k: v for k, v in product.metadata.items() if k not in lost}
            product = Product(product.product_id, product.pixels, product.scene, kept)
        yield product
