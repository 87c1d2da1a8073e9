"""Recipe: floor, τ, θ and K of the neighbours' votes on fabric and gender → `models/starter/attributes.json`.

    python -m models.recipes.attributes --data DIR [--limit N] [--pictures DIR] [--ship]

DIR holds `products/` (`products.jsonl.gz`, `images_168x224.zip`). Products are embedded by the serving path: detector, crop
of the garment, encoder; the vectors are kept under `runs/attributes`, by the encoder's fingerprint. Four brands in five
calibrate, each product asking the *other* brands; the fifth reports (`models.yardsticks.attributes.held_out`).
About six minutes on one core, nearly all of it embedding. Only the numbers are written: no product data is shipped.

Only products of the same kind are asked. The floor is the inner product that one in twenty pairs of products of the same kind
and of different brands reaches, 0.9 at most: what is less like is just another product of the kind. Of the votes above it, τ and K minimise the log loss of the true value's share. θ is the smallest share from which a statement is worth its
risk: a right one counts 1, a wrong one −3, "unknown" 0.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from models import calibration
from models.weights.starter import STARTER_FOLDER
from models.yardsticks import attributes as yardstick
from processors.attributes import Calibration, Calibrations

TAUS = (0.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 70.0)
KS = (5, 10, 20, 30, 50)
THETAS = tuple(np.round(np.arange(0.35, 1.0, 0.025), 3))
RARE = 0.95
"""The share of pairs of one kind that are less like than a neighbour that may vote."""
HIGHEST_FLOOR = 0.9
"""So like may vote in any catalogue: in one of a few series, most pairs are nearly the same."""
WRONG = 3.0
MIN_VOTES = 3
SMALLEST_SHARE = 0.02
"""A value that got no vote at all has this probability: the log loss of one odd product must not decide."""


@dataclass(frozen=True, slots=True)
class Near:
    """The nearest products of other brands and of the same kind, for each product that knows a facet: (n, most).

    `labels` and `truth` are numbers of `values`; −1 is a neighbour that does not know the facet. `floor`: the likeness that
    few of all that might have been asked reach.
    """

    similarity: NDArray[np.float32]
    labels: NDArray[np.int64]
    truth: NDArray[np.int64]
    values: tuple[str, ...]
    floor: float = -1.0


def nearest(embedded: yardstick.Embedded, facet: str) -> Near:
    """Of the calibrating brands only; nobody is asked about a product of their own brand."""
    mine = [n for n, product in enumerate(embedded.products) if not yardstick.held_out(product.brand)]
    products, vectors = [embedded.products[n] for n in mine], embedded.vectors[mine]
    values = tuple(sorted({p.labels[facet] for p in products if facet in p.labels}))
    number = {value: n for n, value in enumerate(values)}
    labels = np.array([number[p.labels[facet]] if facet in p.labels else -1 for p in products])
    brands = np.array([hash_of(p.brand) for p in products])
    asks = np.flatnonzero(labels >= 0)
    similarity = vectors[asks] @ vectors.T
    kinds = np.array([p.category for p in products])
    asked = (brands[asks][:, None] != brands[None]) & (kinds[asks][:, None] == kinds[None])
    similarity[~asked] = -2.0
    floor = min(HIGHEST_FLOOR, float(np.quantile(similarity[asked], RARE))) if asked.any() else HIGHEST_FLOOR
    order = np.argsort(-similarity, axis=1, kind="stable")[:, : max(KS)]
    return Near(np.take_along_axis(similarity, order, axis=1), labels[order], labels[asks], values, round(floor, 3))


def hash_of(brand: str) -> str:
    return brand.strip().lower()


def shares(near: Near, tau: float, k: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(n, values) share of the votes of each value, and how many voted (n,): `processors.attributes.vote`, for all at once."""
    similarity, labels = near.similarity[:, :k].astype(np.float64), near.labels[:, :k]
    knows = (labels >= 0) & (similarity >= max(near.floor, -1.5))
    weight = np.where(knows, np.exp(tau * (similarity - similarity.max(axis=1, keepdims=True))), 0.0)
    score = np.stack([(weight * (labels == value)).sum(axis=1) for value in range(len(near.values))], axis=1)
    return score / np.maximum(score.sum(axis=1, keepdims=True), 1e-12), knows.sum(axis=1)


def fit(near: Near) -> Calibration:
    """τ, K by log loss, then θ by what a statement is worth."""
    best = (np.inf, 0.0, 0)
    for tau, k in itertools.product(TAUS, KS):
        share, voters = shares(near, tau, k)
        of_truth = share[np.arange(len(share)), near.truth][voters >= MIN_VOTES]
        if len(of_truth):
            best = min(best, (float(-np.log(np.maximum(of_truth, SMALLEST_SHARE)).mean()), tau, k))
    _, tau, k = best
    share, voters = shares(near, tau, k)
    confidence, right = share.max(axis=1), share.argmax(axis=1) == near.truth
    worth = [
        (float(np.where(right, 1.0, -WRONG)[(confidence >= theta) & (voters >= MIN_VOTES)].sum()), -theta)
        for theta in THETAS
    ]
    return Calibration(tau, float(THETAS[int(np.argmax([value for value, _ in worth]))]), k, MIN_VOTES, near.floor)


def embedded_products(data: Path, limit: int, keep: Path) -> tuple[yardstick.Embedded, str]:
    """The products' vectors by the serving models, and the encoder's fingerprint. Kept under `keep` for the next run."""
    from infra.settings import Settings
    from models.guard import Guarded
    from models.weights.starter import resolve
    from models.yardsticks import tables
    from models.yardsticks.photos import Photos, UnreadableInput

    paths = resolve(Settings().model_cache)
    from models.detector.yolo_detector import YoloDetector
    from models.encoder.clip_encoder import ClipImageEncoder

    encoder = Guarded(ClipImageEncoder.load(paths.encoder, paths.image_trunk), name="image encoder")
    detector = Guarded(YoloDetector.load(paths.detector), name="detector")
    photos = Photos.open(data / "products" / "images_168x224.zip")
    listed, _ = yardstick.products_of(tables.read_products(data / "products" / "products.jsonl.gz"), photos)
    listed = listed[:: max(1, len(listed) // limit)] if limit else listed
    digest = f"{encoder.fingerprint[7:19]}-{detector.fingerprint[7:19]}-{len(listed)}"
    file = keep / f"{digest}.npy"
    if file.is_file():
        names = json.loads(file.with_suffix(".json").read_text())
        by_name = {product.product_id: product for product in listed}
        return yardstick.Embedded(tuple(by_name[n] for n in names), np.load(file), 0), encoder.fingerprint
    refused: list[UnreadableInput] = []
    done = itertools.count(16, 16)
    embedded = yardstick.embed(
        detector, encoder, photos, listed, refused, tick=lambda _: print(f"{next(done)}/{len(listed)}", end="\r")
    )
    keep.mkdir(parents=True, exist_ok=True)
    np.save(file, embedded.vectors)
    file.with_suffix(".json").write_text(json.dumps([product.product_id for product in embedded.products]))
    return embedded, encoder.fingerprint


def told(found: yardstick.AttributesReport, calibrations: Calibrations | Calibration) -> Sequence[str]:
    """One line a facet, for the model card."""
    lines = []
    for facet in yardstick.FACETS:
        report: yardstick.FacetReport | None = getattr(found, facet)
        if report is not None:
            c = calibrations.of(facet)
            lines.append(
                f"| {facet} | floor {c.floor:g}, τ {c.tau:g}, θ {c.theta:g}, K {c.k} | {report.accuracy:.3f} | {report.unknown:.3f} | "
                f"{report.forced_accuracy:.3f} | {report.majority:.3f} | {report.ece:.3f} | {report.queries} |"
            )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=0, help="at most about so many products; 0: all")
    parser.add_argument("--pictures", type=Path, help="folder for the reliability diagram")
    parser.add_argument("--out", type=Path, default=Path("runs/attributes"))
    parser.add_argument("--ship", action="store_true", help="write models/starter/attributes.json and the manifest")
    chosen = parser.parse_args()
    embedded, encoder = embedded_products(chosen.data, chosen.limit, chosen.out)
    fitted = Calibrations(encoder, {facet: fit(nearest(embedded, facet)) for facet in yardstick.FACETS})
    print("\n| facet | calibration | right of stated | unknown | right if forced | majority | ECE | queries |")
    print("|---|---|---|---|---|---|---|---|")
    for label, one in (("default", Calibration()), ("fitted", fitted)):
        found = yardstick.report(embedded, one, 0, ())
        for line in told(found, one):
            print(line.replace("| ", f"| {label}, ", 1))
        (chosen.out / f"{label}.json").write_bytes(msgspec.json.encode(found))
        if chosen.pictures is not None and label == "fitted":
            from models.yardsticks import charts_attributes

            chosen.pictures.mkdir(parents=True, exist_ok=True)
            charts_attributes.draw(found, lambda facet: fitted.of(facet).theta, chosen.pictures)
    target = STARTER_FOLDER if chosen.ship else chosen.out
    calibration.save(target / calibration.FILE, fitted, "models/recipes/attributes.py")
    if chosen.ship:
        from models.recipes import ship

        ship.write(STARTER_FOLDER)
    print(f"written: {target / calibration.FILE}")


if __name__ == "__main__":
    main()
