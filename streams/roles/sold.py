"""Which garment of an item the product is."""

from __future__ import annotations

from processors.garments import main_garment
from processors.values import Garment
from streams.contract.records import Item


def sold_garment(item: Item) -> Garment | None:
    """The garment that the photos agree on; of a single photo, that of the shop's category, else the largest; None of none."""
    if isinstance(item.sold, str):
        return next((garment for garment in item.garments if garment.id == item.sold), None)
    return main_garment(item.garments, item.metadata.category)
