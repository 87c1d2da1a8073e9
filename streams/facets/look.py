"""Photos of labelled products → what facets are read from, by the very steps of `enrich`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.facets.facet_fit import Examples, Floats
from models.guard import Guarded, GuardedImageEncoder
from models.yardsticks.photos import Photos, Tick, UnreadableInput, in_batches, load_all, quietly
from models.yardsticks.seen import Seen, look
from processors import crops, second_look
from processors.colour_shares import colour_shares
from processors.facets import Head, of_garment
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
    *,
    judge: Head | None = None,
) -> Looked:
    """Run detector and encoder over every photo; of each product the garment that it is named after.

    `judge` looks at every box a second time, as enrich does (`processors.second_look`).
    """
    refused: list[UnreadableInput] = []
    kept: list[Labelled] = []
    features: list[Vector] = []
    shares: list[Vector] = []
    categories: list[str] = []
    nothing = 0
    for batch in in_batches(load_all(photos, [product.photo for product in products], refused), BATCH):
        seen = look(detector, [picture for _, picture in batch], colours=False)
        for (index, _), one in zip(batch, seen, strict=True):
            found = _features(_with_subject(one, judge), encoder, judge, kind_of(products[index].category))
            if found is None:
                nothing += 1
                continue
            kept.append(products[index])
            features.append(found[0])
            shares.append(found[1])
            categories.append(found[2])
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


def _with_subject(seen: Seen, judge: Head | None) -> Seen:
    """Where nothing was found, what the photo is of; the second look says whether anybody wears it."""
    if seen.garments or judge is None:
        return seen
    box = second_look.subject_box(seen.picture.decoded.pixels)
    return Seen(seen.picture, (Garment("g0", second_look.UNTOLD, box, 0.0),))


def _features(
    seen: Seen, encoder: GuardedImageEncoder, judge: Head | None, category: str
) -> tuple[Vector, Floats, str] | None:
    """Of the product's garment its features, what its colour is read from, and its category; None where there is none."""
    pixels = seen.picture.decoded.pixels
    if not seen.garments:
        return None
    wanted = seen.garments if judge is not None else (seen.main(category),)
    boxes = [garment for garment in wanted if garment is not None]
    views = [encoder.prepare(pixels), *(encoder.prepare(crops.cut(pixels, garment.box)) for garment in boxes)]
    whole, *rest = (encoder.features(raw) for raw in encoder.forward(views))
    found = dict(zip((garment.id for garment in boxes), rest, strict=True))
    garments = seen.garments
    if judge is not None:
        settled = second_look.settle(garments, whole, found, judge, bottom=pixels.shape[0])
        garments = tuple(one.garment for one in settled)
        found = {one.garment.id: found[one.view] for one in settled}
    garment = main_garment(garments, category)
    if garment is None:
        return None
    others = [one.box for one in garments if one is not garment]
    own = garment_pixels(pixels, garment.box, garment.category, others, garment.mask)
    if own is None:
        return None
    main = garment is main_garment(garments)
    return of_garment(found[garment.id], whole, main=main), colour_shares(own), garment.category
