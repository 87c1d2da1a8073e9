"""Is the first colour that Weft names the one that the shop names?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np

from models.guard import Guarded
from models.yardsticks.colour_names import right_names
from models.yardsticks.intervals import Interval, of_mean
from models.yardsticks.photos import Photos, Tick, UnreadableInput, in_batches, load_all, quietly
from models.yardsticks.seen import TYPES, look
from processors.errors import Poison
from processors.values import Box, Colour, Detection, Pixels
from processors.vocabulary import clean


class ColourReport(msgspec.Struct, frozen=True):
    """`weft eval colour --json`. `items` were judged: products of a colour in our table in whose photo a garment was found.

    `top1`: the first colour named is right; `top2`: one of the two is. `top1_of_all` counts products in whose photo
    nothing was found as wrong. `right_garment`: share of the judged that were called what the shop's type is.
    `not_comparable`: products whose colour (Multi, NA) our table does not map; `without_photo`: products that the
    folder has no photo of (a catalogue may be larger than a folder).
    """

    top1: float
    top2: float
    items: int
    top1_ci: Interval
    top2_ci: Interval
    top1_of_all: float
    nothing_found: int
    right_garment: float
    not_comparable: int
    per_colour: dict[str, tuple[float, int]]
    without_photo: int
    refused: tuple[UnreadableInput, ...]


class Asked(NamedTuple):
    """One product to judge: its photo, the shop's colour, and the category of ours that its type is ("": none)."""

    product_id: str
    path: str
    shops: str
    category: str


@dataclass(frozen=True, slots=True)
class Named:
    """What Weft said of one product; no colours when nothing was found."""

    asked: Asked
    box: Box | None
    category: str
    colours: tuple[Colour, ...]

    @property
    def first(self) -> bool:
        """The first colour is right."""
        return bool(self.colours) and self.colours[0].name in right_names(self.asked.shops)

    @property
    def either(self) -> bool:
        """One of the two is."""
        return any(colour.name in right_names(self.asked.shops) for colour in self.colours[:2])


def ask(products: Sequence[dict[str, Any]], photos: Photos) -> tuple[list[Asked], list[str], int]:
    """The products to judge, the ids without a photo, and how many have a colour that no table compares."""
    asked, missing, beyond = [], [], 0
    for product in products:
        shops = str(product.get("baseColour") or "")
        if not right_names(shops):
            beyond += 1
            continue
        path = photos.find(str(product["id"]))
        if path is None:
            missing.append(str(product["id"]))
        else:
            category = TYPES.get(clean(str(product.get("articleType") or "")), "")
            asked.append(Asked(str(product["id"]), path, shops, category))
    if not products:
        raise Poison("nothing to judge: the table of products has no row that can be read")
    if not asked:
        what = (
            f"for there is no photo, such as of {missing[0]!r}"
            if missing
            else "for none has a baseColour that the table knows"
        )
        raise Poison(f"{photos.root}: nothing to judge among {len(products)} products, {what}")
    return asked, missing, beyond


def name_all(
    detector: Guarded[Pixels, tuple[Detection, ...]],
    photos: Photos,
    asked: Sequence[Asked],
    refused: list[UnreadableInput],
    *,
    batch: int = 16,
    tick: Tick = quietly,
) -> list[Named]:
    """Detector, mask and names, as served, on the garment that the product is about."""
    named = []
    for group in in_batches(load_all(photos, [one.path for one in asked], refused), batch):
        for (index, _), seen in zip(group, look(detector, [picture for _, picture in group]), strict=True):
            main = seen.main(asked[index].category)
            if main is None:
                named.append(Named(asked[index], None, "", ()))
            else:
                named.append(Named(asked[index], main.box, main.category, main.colours))
        tick(len(group))
    return named


def report(
    named: Sequence[Named], without_photo: int, refused: Sequence[UnreadableInput], not_comparable: int
) -> ColourReport:
    """Count. Raises `Poison` when no product was judged."""
    judged = [one for one in named if one.colours]
    if not judged:
        raise Poison(f"a garment was found in none of {len(named)} photos: no colour to judge")
    first = np.array([one.first for one in judged], np.float64)
    either = np.array([one.either for one in judged], np.float64)
    known = [one.asked.category == one.category for one in judged if one.asked.category]
    counts = Counter(one.asked.shops for one in judged)
    shares = {
        shops: (float(np.mean([one.first for one in judged if one.asked.shops == shops])), count)
        for shops, count in counts.most_common()
    }
    return ColourReport(
        top1=float(first.mean()),
        top2=float(either.mean()),
        items=len(judged),
        top1_ci=of_mean(first),
        top2_ci=of_mean(either),
        top1_of_all=float(first.sum() / len(named)),
        nothing_found=len(named) - len(judged),
        right_garment=float(np.mean(known)) if known else float("nan"),
        not_comparable=not_comparable,
        per_colour=shares,
        without_photo=without_photo,
        refused=tuple(refused),
    )
