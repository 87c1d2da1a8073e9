"""What a photo of a product shows of it."""

from __future__ import annotations

ROLES: tuple[str, ...] = ("main", "front", "back", "detail", "model", "swatch", "packshot")
MAIN, PACKSHOT = "main", "packshot"
NO_GARMENT = frozenset({"detail", "swatch"})
"""Of a photo of these roles nothing is taken for a garment: a collar is no shirt, and a piece of cloth no dress."""
MAX_PHOTOS = 16
"""Of one product."""
