"""The drawn catalogue: seeded pictures of garments whose boxes, masks, facets and captions are known by construction."""

from processors.drawn.product import Product, catalogue, draw_product
from processors.drawn.scene import DrawnGarment, Scene, draw_scene
from processors.drawn.spec import (
    FABRICS,
    GENDERS,
    LENGTHS,
    NECKLINES,
    PATTERNS,
    SLEEVES,
    GarmentSpec,
    outfit,
    random_spec,
)
from processors.drawn.words import describe

__all__ = [
    "FABRICS",
    "GENDERS",
    "LENGTHS",
    "NECKLINES",
    "PATTERNS",
    "SLEEVES",
    "DrawnGarment",
    "GarmentSpec",
    "Product",
    "Scene",
    "catalogue",
    "describe",
    "draw_product",
    "draw_scene",
    "outfit",
    "random_spec",
]
