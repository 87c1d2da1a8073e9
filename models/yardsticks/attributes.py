"""Fabric and gender by the vote of labelled neighbours: how often it answers, how often it is right, and whether its
confidence means what it says. Catalogue photos, split by brand: a brand's photos look alike, and would find each other.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.guard import Guarded
from models.yardsticks.intervals import Interval, of_mean
from models.yardsticks.photos import Photos, Tick, UnreadableInput, in_batches, load_all, quietly
from models.yardsticks.seen import TYPES, look
from processors import crops
from processors.attributes import Calibration, Calibrations, normalised, vote
from processors.errors import Poison
from processors.values import Detection, Pixels, Vector
from processors.vocabulary import clean

FACETS = ("fabric", "gender")
BINS = 10
HELD_OUT_EVERY = 5


class Bin(msgspec.Struct, frozen=True):
    """Votes of one tenth of confidence: how many, how sure on average, how often right."""

    votes: int
    confidence: float
    accuracy: float


class FacetReport(msgspec.Struct, frozen=True):
    """One facet. `accuracy` is over the answered; `ece` over all votes, answered or not (arXiv 1706.04599).

    `forced_accuracy`: when every vote had to be stated; `majority`: when all were given the gallery's commonest value.
    """

    accuracy: float
    accuracy_ci: Interval
    unknown: float
    ece: float
    forced_accuracy: float
    majority: float
    queries: int
    bins: list[Bin]
    confusion: dict[str, dict[str, int]]


class AttributesReport(msgspec.Struct, frozen=True):
    """`weft eval attributes --json`. `queries` are products of held-out brands; `gallery` those of all others."""

    fabric: FacetReport | None
    gender: FacetReport | None
    queries: int
    gallery: int
    brands: int
    held_out_brands: int
    whole_photos: int
    without_photo: int
    refused: tuple[UnreadableInput, ...]


@dataclass(frozen=True, slots=True)
class Product:
    """A labelled product: `labels` are normalised values by facet, without those that the shop left out."""

    product_id: str
    path: str
    brand: str
    category: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Neighbour:
    """What `processors.attributes.vote` wants of a neighbour."""

    product_id: str
    similarity: float
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Embedded:
    """Products whose photo could be read, their unit vectors (n, dimension), and in how many no garment was found."""

    products: tuple[Product, ...]
    vectors: NDArray[np.float32]
    whole: int


@dataclass(frozen=True, slots=True)
class Vote:
    """One query's vote on a facet: what won (""; too few neighbours knew it), how surely, whether it is stated."""

    truth: str
    value: str
    confidence: float
    stated: bool


def products_of(rows: Sequence[dict[str, Any]], photos: Photos) -> tuple[list[Product], int]:
    """The products with a photo and a label, and how many have no photo.

    Raises:
        Poison: none has both, or all are of one brand.
    """
    found, lost = [], 0
    for row in rows:
        details = row.get("articleAttributes") or {}
        given = {
            "fabric": str(row.get("fabric") or details.get("Fabric") or ""),
            "gender": str(row.get("gender") or ""),
        }
        labels = {facet: value for facet, text in given.items() if (value := normalised(facet, text))}
        path = photos.find(str(row["id"]))
        if path is None:
            lost += 1
        elif labels:
            brand = str(row.get("brandName") or row.get("brand") or "")
            category = TYPES.get(clean(str(row.get("articleType") or row.get("category") or "")), "")
            found.append(Product(str(row["id"]), path, brand, category, labels))
    if not found:
        raise Poison(f"{photos.root}: none of {len(rows)} products has a photo there and a fabric or a gender")
    if len({held_out(product.brand) for product in found}) < 2:
        raise Poison(f"{photos.root}: too few brands to hold some out (field 'brandName'): nothing to vote with")
    return found, lost


def held_out(brand: str) -> bool:
    """One brand in five asks, the others answer; the same brands on every machine."""
    return zlib.crc32(brand.strip().lower().encode()) % HELD_OUT_EVERY == 0


def embed(
    detector: Guarded[Pixels, tuple[Detection, ...]],
    encoder: Guarded[Pixels, Vector],
    photos: Photos,
    products: Sequence[Product],
    refused: list[UnreadableInput],
    *,
    batch: int = 16,
    tick: Tick = quietly,
) -> Embedded:
    """The vector of the garment that each product is about, as the engine cuts it; of the whole photo where none is found."""
    kept: list[Product] = []
    vectors: list[Vector] = []
    whole = 0
    for group in in_batches(load_all(photos, [product.path for product in products], refused), batch):
        seen = look(detector, [picture for _, picture in group], colours=False)
        views = []
        for (index, picture), one in zip(group, seen, strict=True):
            main = one.main(products[index].category)
            whole += main is None
            views.append(picture.decoded.pixels if main is None else crops.cut(picture.decoded.pixels, main.box))
            kept.append(products[index])
        vectors += encoder.run(views)
        tick(len(group))
    if not kept:
        raise Poison(f"{photos.root}: none of {len(products)} photos can be read, such as {refused[0].cause}")
    return Embedded(tuple(kept), np.stack(vectors), whole)


def votes(embedded: Embedded, facet: str, calibration: Calibration) -> list[Vote]:
    """Let the other brands' products of the same kind vote on `facet` for each product of a held-out brand that knows it."""
    asks = np.array([held_out(product.brand) for product in embedded.products])
    gallery = [p for p, ask in zip(embedded.products, asks, strict=True) if not ask]
    shelf = embedded.vectors[~asks]
    kinds = np.array([product.category for product in gallery])
    anyhow = replace(calibration, theta=0.0)
    found = []
    for product, vector in zip(embedded.products, embedded.vectors, strict=True):
        if not held_out(product.brand) or facet not in product.labels:
            continue
        cosines = np.where(kinds == product.category, shelf @ vector, -2.0)
        top = np.argsort(-cosines, kind="stable")[: calibration.k]
        near = [Neighbour(gallery[n].product_id, float(cosines[n]), gallery[n].labels) for n in top]
        best = vote(near, facet, anyhow)
        stated = vote(near, facet, calibration)
        value, confidence = ("", 0.0) if best is None else (best.value, best.confidence)
        found.append(Vote(product.labels[facet], value, confidence, stated is not None))
    return found


def facet_report(cast: Sequence[Vote], commonest: str) -> FacetReport | None:
    """Count the votes on one facet; None when no product of a held-out brand knows it."""
    if not cast:
        return None
    stated = [vote for vote in cast if vote.stated]
    right = np.array([vote.truth == vote.value for vote in stated], np.float64)
    voted = [vote for vote in cast if vote.value]
    bins = _bins(voted)
    confusion: dict[str, dict[str, int]] = {}
    for one in cast:
        row = confusion.setdefault(one.truth, {})
        said = one.value if one.stated else "unknown"
        row[said] = row.get(said, 0) + 1
    return FacetReport(
        accuracy=float(right.mean()) if len(right) else float("nan"),
        accuracy_ci=of_mean(right),
        unknown=1 - len(stated) / len(cast),
        ece=sum(b.votes * abs(b.confidence - b.accuracy) for b in bins if b.votes) / max(1, len(voted)),
        forced_accuracy=float(np.mean([vote.truth == vote.value for vote in cast])),
        majority=float(np.mean([vote.truth == commonest for vote in cast])),
        queries=len(cast),
        bins=bins,
        confusion=confusion,
    )


def _bins(voted: Sequence[Vote]) -> list[Bin]:
    found = []
    for n in range(BINS):
        own = [vote for vote in voted if min(BINS - 1, int(vote.confidence * BINS)) == n]
        if own:
            sure = float(np.mean([vote.confidence for vote in own]))
            found.append(Bin(len(own), sure, float(np.mean([vote.truth == vote.value for vote in own]))))
        else:
            found.append(Bin(0, float("nan"), float("nan")))
    return found


def report(
    embedded: Embedded, calibration: Calibration | Calibrations, without_photo: int, refused: Sequence[UnreadableInput]
) -> AttributesReport:
    """Vote on every facet and count."""
    asks = [held_out(product.brand) for product in embedded.products]
    facets: dict[str, FacetReport | None] = {}
    for facet in FACETS:
        taught = Counter(p.labels[facet] for p in embedded.products if facet in p.labels and not held_out(p.brand))
        commonest = taught.most_common(1)[0][0] if taught else ""
        facets[facet] = facet_report(votes(embedded, facet, calibration.of(facet)), commonest)
    brands = {product.brand for product in embedded.products}
    return AttributesReport(
        fabric=facets["fabric"],
        gender=facets["gender"],
        queries=sum(asks),
        gallery=len(asks) - sum(asks),
        brands=len(brands),
        held_out_brands=sum(held_out(brand) for brand in brands),
        whole_photos=embedded.whole,
        without_photo=without_photo,
        refused=tuple(refused),
    )
