"""Photos of labelled products → what facets are read from, by the very steps of `enrich`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.facet_fit import Examples, Floats
from models.guard import Guarded, GuardedImageEncoder
from models.yardsticks.photos import Photos, Tick, UnreadableInput, in_batches, load_all, quietly
from models.yardsticks.seen import Seen, look
from processors import crops
from processors.colour_shares import colour_shares
from processors.facets import of_garment
from processors.garment_mask import garment_pixels
from processors.garments import kind_of, main_garment
from processors.values import Detection, Garment, Pixels, Vector
from streams.facets.labelled import Labelled

BATCH = 8


@dataclass(frozen=True, slots=True)
class Looked:
    """The products whose garment was found, with its features; the others are counted."""

    examples: Examples
    products: tuple[Labelled, ...]
    nothing_found: int
    refused: tuple[UnreadableInput, ...]


def look_at(
    products: Sequence[Labelled],
    photos: Photos,
    detector: Guarded[Pixels, tuple[Detection, ...]],
    encoder: GuardedImageEncoder,
    tick: Tick = quietly,
) -> Looked:
    """Run detector and encoder over every photo; of each product the garment that it is named after."""
    refused: list[UnreadableInput] = []
    kept: list[Labelled] = []
    features: list[Vector] = []
    shares: list[Vector] = []
    categories: list[str] = []
    nothing = 0
    for batch in in_batches(load_all(photos, [product.photo for product in products], refused), BATCH):
        seen = look(detector, [picture for _, picture in batch], colours=False)
        for (index, _), one in zip(batch, seen, strict=True):
            garment = one.main(kind_of(products[index].category))
            found = None if garment is None else _features(one, garment, encoder)
            if garment is None or found is None:
                nothing += 1
                continue
            kept.append(products[index])
            features.append(found[0])
            shares.append(found[1])
            categories.append(garment.category)
        tick(len(batch))
    width = len(features[0]) if features else 0
    labels = {
        facet: [product.labels.get(facet, "") for product in kept]
        for facet in dict.fromkeys(facet for product in kept for facet in product.labels)
    }
    examples = Examples(
        np.stack(features) if features else np.zeros((0, width), np.float32),
        np.stack(shares) if shares else np.zeros((0, 0), np.float32),
        categories,
        groups_of(kept),
        labels,
    )
    return Looked(examples, tuple(kept), nothing, tuple(refused))


def groups_of(products: Sequence[Labelled]) -> list[str]:
    """What is held out together: brands; where the table has fewer than two, single products."""
    several = len({product.brand.strip().lower() for product in products}) > 1
    return [product.brand if several else product.product_id for product in products]


def _features(seen: Seen, garment: Garment, encoder: GuardedImageEncoder) -> tuple[Floats, Floats] | None:
    pixels = seen.picture.decoded.pixels
    others = [other.box for other in seen.garments if other is not garment]
    own = garment_pixels(pixels, garment.box, garment.category, others)
    if own is None:
        return None
    views = [encoder.prepare(pixels), encoder.prepare(crops.cut(pixels, garment.box))]
    whole, crop = (encoder.features(raw) for raw in encoder.forward(views))
    return of_garment(crop, whole, main=garment is main_garment(seen.garments)), colour_shares(own)
