"""What the heads are worth on catalogue photos that nothing was trained on, and from which probability a value may be stated.

`products` is evaluation data by its licence: no photo, label or feature of it is in the weights. What is taken from it are the numbers
printed here: a sharpness for each facet and a threshold for each value, found on the brands of four folds and judged on the fifth.
"""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import yaml
from numpy.typing import NDArray

from models.detector.yolo_detector import YoloDetector
from models.encoder.clip_encoder import ClipImageEncoder
from models.facets.facet_fit import BINS, JUDGED, fold_of
from models.facets.facet_heads import BinWorth, FacetWorth, ValueWorth
from models.recipes.facets import CONFIG, FITTED, Config, Fit, heads_of
from models.recipes.facets_learning import Floats
from models.recipes.facets_truth import CATEGORIES_OF, SILENT, VALUES
from models.weights.starter import shipped_path
from models.yardsticks import charts
from models.yardsticks.shop_words import truth_of
from processors import crops, evidence
from processors.colour_shares import colour_shares, look_of
from processors.colours import colours_of_pixels
from processors.facets import Chances, Head, of_garment
from processors.garment_mask import garment_pixels
from processors.garments import main_garment
from processors.second_look import CATEGORY, subject_box
from processors.values import Garment, Pixels
from processors.weighed import LOOK

WANTED: Mapping[str, float] = {"kind": 0.92, "sleeve": 0.92, "pattern solid": 0.85, "pattern printed": 0.95}
"""Share of what is stated that must be right, by facet or by value; the others `USUAL`. Chosen so that the last claim of each facet is worth
about as much: three right ones for a wrong one."""
USUAL = 0.9
FLOOR = 0.5
SIDE = 1024
PHOTOS = ("images_480x640.zip", "images_168x224.zip")


@dataclass(frozen=True, slots=True)
class Shown:
    """Products with the features of the garment that each is named after: (n, numbers), its category as detected, the shop's words, and what
    its own pixels say (`processors.colour_shares.look_of`).
    """

    features: Floats
    categories: tuple[str, ...]
    brands: tuple[str, ...]
    truths: tuple[Mapping[str, frozenset[str]], ...]
    looks: tuple[Mapping[str, float], ...]


def shown(run: Path, data: Path) -> Shown:
    """The products, looked at once a run (`RUN/products.npz`)."""
    path = run / "products.npz"
    if not path.exists():
        from models.recipes.facets import encoder_of

        encoder, detector = encoder_of(), YoloDetector.load(shipped_path("detector.safetensors"))
        rows: list[dict[str, Any]] = []
        features: list[NDArray[np.float16]] = []
        for pixels, row in _photos(data / "products"):
            found = _look(pixels, row["type"], detector, encoder)
            rows.append(row | {"found": found[1], "look": found[2]})
            features.append(found[0].astype(np.float16))
        np.savez(path, features=np.stack(features), rows=json.dumps(rows))
    with np.load(path, allow_pickle=False) as file:
        features_of, rows = file["features"].astype(np.float32), json.loads(str(file["rows"]))
    truths = tuple({facet: frozenset(values) for facet, values in row["truth"].items()} for row in rows)
    categories, brands = tuple(row["found"] for row in rows), tuple(row["brand"] for row in rows)
    return Shown(features_of, categories, brands, truths, tuple(row.get("look", {}) for row in rows))


def _photos(folder: Path) -> Iterator[tuple[Pixels, dict[str, Any]]]:
    with gzip.open(folder / "products.jsonl.gz", "rt") as file:
        known = {str(row["id"]): row for row in map(json.loads, file)}
    seen: set[str] = set()
    for archive in PHOTOS:
        with zipfile.ZipFile(folder / archive) as photos:
            for name in photos.namelist():
                row = known.get(Path(name).stem)
                if row is None or Path(name).stem in seen:
                    continue
                seen.add(Path(name).stem)
                fields = {k: v for k, v in row.items() if isinstance(v, str)} | (row.get("articleAttributes") or {})
                truth = truth_of({k: v for k, v in fields.items() if v != "NA"}, row["brandName"])
                pixels = cv2.imdecode(np.frombuffer(photos.read(name), np.uint8), cv2.IMREAD_COLOR_RGB)
                if pixels is None or CATEGORY not in truth:
                    continue
                [category] = truth[CATEGORY]
                told = {facet: sorted(values) for facet, values in truth.items()}
                yield np.asarray(pixels, np.uint8), {"brand": row["brandName"], "type": category, "truth": told}


def _look(
    pixels: Pixels, category: str, detector: YoloDetector, encoder: ClipImageEncoder
) -> tuple[Floats, str, dict[str, float]]:
    """The features of the garment that the product is named after, its category, and what its own pixels say; of the whole photo ("") where
    nothing is found.
    """
    found = crops.worth_keeping(detector.finish(pixels, detector.forward([detector.prepare(pixels)])[0]), pixels.shape)
    garments = evidence.build(Garment("", one.category, one.box, one.confidence) for one in found).garments
    garment = main_garment(garments, category)
    box = subject_box(pixels) if garment is None else garment.box
    views = [encoder.prepare(crops.cut(pixels, box)), encoder.prepare(pixels)]
    crop, whole = (encoder.features(raw) for raw in encoder.forward(views))
    main = garment is None or garment is main_garment(garments)
    features = of_garment(crop, whole, main=main)
    if garment is None:
        return features, "", {}
    others = [one.box for one in garments if one is not garment]
    own = garment_pixels(pixels, garment.box, garment.category, others)
    look = {} if own is None else look_of(colour_shares(own), colours_of_pixels(own))
    return features, garment.category, look


def calibrate(run: Path, data: Path, pictures: Path | None = None) -> None:
    """Print sharpness and thresholds as they are found for the recipe, and what those that stand in it (and its lines) are worth; keep
    `RUN/worth.json`.

    Args:
        run: of the recipe, with `fitted.npz`.
        data: the folder with `products`.
        pictures: where the reliability diagram is drawn; None: nowhere.
    """
    products = shown(run, data)
    fitted = Fit.read(run / FITTED)
    held_out = np.array([fold_of(brand) == 0 for brand in products.brands])
    sharpness: dict[str, float] = {}
    thresholds: dict[str, dict[str, float]] = {}
    worth: list[FacetWorth] = []
    config = yaml.safe_load(CONFIG.read_text())
    categories = np.array(products.categories)
    rows_of: dict[str, NDArray[np.bool_]] = {}
    chances_of: dict[str, Floats] = {}
    for facet in VALUES:
        scores = fitted.scores(facet, products.features)
        rows_of[facet] = np.array([bool(truth.get(facet)) for truth in products.truths])
        fits = rows_of[facet] & ~held_out
        if not fits.any():  # the shops say nothing of it: what it is worth is not known, and none of it is stated
            continue
        right = _right(facet, products)
        sharpness[facet] = _sharpness(scores[fits], right[fits])
        chances_of[facet] = _softmax(scores * sharpness[facet])
        if facet != CATEGORY:
            thresholds[facet] = _thresholds(facet, chances_of[facet][fits], right[fits], categories[fits])
    known = [
        {facet: dict(zip(VALUES[facet], chances[n].tolist(), strict=True)) for facet, chances in chances_of.items()}
        | {LOOK: dict(products.looks[n])}
        for n in range(len(categories))
    ]
    for facet in thresholds:
        judged = np.flatnonzero(rows_of[facet] & held_out)
        beside = [known[n] for n in judged]
        head = _head(facet, config)
        worth.append(
            _worth(head, facet, chances_of[facet][judged], _right(facet, products)[judged], categories[judged], beside)
        )
    print(yaml.safe_dump({"sharpness": sharpness, "thresholds": thresholds}, sort_keys=False))
    print(report(worth))
    (run / "worth.json").write_bytes(msgspec.json.encode(tuple(worth)))
    if pictures is not None:
        print(draw(worth, pictures / "facets-reliability.png"))


def _right(facet: str, products: Shown) -> NDArray[np.bool_]:
    """(products, values): what the shop allows."""
    return np.array([[value in truth.get(facet, ()) for value in VALUES[facet]] for truth in products.truths])


def draw(worth: Sequence[FacetWorth], path: Path) -> Path:
    """The reliability of every facet: how sure, and how often right."""

    def figure(sheet: Any) -> None:
        for axes, facet in zip(sheet.subplots(1, len(worth), squeeze=False)[0], worth, strict=True):
            axes.plot([0, 1], [0, 1], color=charts.PALE, linewidth=1, linestyle="--")
            axes.plot([b.confidence for b in facet.bins], [b.accuracy for b in facet.bins], "o-", color=charts.LINES[0])
            for one in facet.bins:
                at = (one.confidence, one.accuracy)
                axes.annotate(str(one.count), at, textcoords="offset points", xytext=(0, 7), fontsize=7)
            axes.set(xlim=(0, 1.02), ylim=(0, 1.08), xlabel="probability", ylabel="how often right", title=facet.facet)

    return charts.picture(path, (4.0 * len(worth), 4.2), figure)


def report(worth: Sequence[FacetWorth]) -> str:
    """A table for the card: each value at its threshold."""
    lines = ["| facet | value | products | stated | right of stated | found | from |", "|---|---|---|---|---|---|---|"]
    for facet in worth:
        share = f"{facet.right / facet.stated:.3f}" if facet.stated else ""
        reached = f"{facet.right / facet.labelled:.2f}" if facet.labelled else ""
        lines.append(f"| **{facet.facet}** | all | {facet.labelled} | {facet.stated} | {share} | {reached} | |")
        for value in facet.values:
            if not value.labelled and not value.stated:
                continue
            share = f"{value.right / value.stated:.3f}" if value.stated else ""
            reached = f"{value.right / value.labelled:.2f}" if value.labelled else ""
            since = f"{value.threshold:.2f}" if value.threshold <= 1 else "never"
            lines.append(f"| | {value.value} | {value.labelled} | {value.stated} | {share} | {reached} | {since} |")
    return "\n".join(lines)


def _least(head: Head, number: int) -> float:
    """The lowest probability from which a value is stated of any garment."""
    value = head.values[number]
    weighed = [one.threshold for one in head.weighed if one.value == value]
    lines = weighed or [line.threshold for line in head.lines if line.value == value]
    return min(lines, default=float(head.thresholds[number]))


def _softmax(scores: Floats) -> Floats:
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True), np.float32)


def _sharpness(scores: Floats, right: NDArray[np.bool_]) -> float:
    """The factor on the scores under which what the shops allow is likeliest (temperature scaling, arXiv 1706.04599)."""
    tried = np.geomspace(0.2, 2.0, 24)
    losses = [-np.log((_softmax(scores * np.float32(t)) * right).sum(1) + 1e-6).mean() for t in tried]
    return round(float(tried[int(np.argmin(losses))]), 3)


def _head(facet: str, config: Config) -> Head:
    """A head that reads probabilities, with the thresholds and lines of a recipe; its weights are not used."""
    blank = {facet: (np.zeros((len(VALUES[facet]), 1), np.float32), np.zeros(len(VALUES[facet]), np.float32))}
    return heads_of({**config, "sharpness": {}}, blank)[facet]


def _thresholds(
    facet: str, chances: Floats, right: NDArray[np.bool_], categories: NDArray[np.str_]
) -> dict[str, float]:
    """For each value that is right often enough the lowest probability from which it is; the others are never stated.

    A value that another covers is judged where it is likeliest alone, the others with what they cover.
    """
    head = _head(facet, {"thresholds": {}})
    wide = np.stack([head.widened(one) for one in chances])
    covered = {value for some in head.covers for value in some}
    each = np.arange(len(chances))
    found = {}
    for number, value in enumerate(VALUES[facet]):
        scores = chances if value in covered else wide
        said, sure, of = scores.argmax(1), scores.max(1), CATEGORIES_OF[facet](value)
        good, may = right[each, said], np.isin(categories, of) if of else np.ones(len(said), np.bool_)
        mine = np.flatnonzero((said == number) & may)
        if (facet, value) in SILENT or len(mine) < JUDGED:
            continue
        order = mine[np.argsort(-sure[mine], kind="stable")]
        share = np.cumsum(good[order]) / np.arange(1, len(order) + 1)
        enough = np.flatnonzero(share >= WANTED.get(f"{facet} {value}", WANTED.get(facet, USUAL)))
        enough = enough[enough >= JUDGED - 1]
        if len(enough):
            found[value] = round(max(FLOOR, float(sure[order[enough[-1]]]) - 0.005), 2)
    return found


def _worth(
    head: Head,
    facet: str,
    chances: Floats,
    right: NDArray[np.bool_],
    categories: NDArray[np.str_],
    known: Sequence[Chances],
) -> FacetWorth:
    wide = np.stack([head.widened(one) for one in chances])
    order = np.argsort(-wide, axis=1, kind="stable")
    likeliest, second, sure = order[:, 0], order[:, 1], np.minimum(wide.max(1), 1.0)
    each = np.arange(len(likeliest))
    good = right[each, likeliest]
    either = good | right[each, second]
    told = [
        head.told(one, str(category), beside) for one, category, beside in zip(chances, categories, known, strict=True)
    ]
    stated = np.array([one is not None for one in told])
    said = np.array(
        [n if one is None else head.values.index(one.value) for n, one in zip(likeliest, told, strict=True)]
    )
    fine = stated & right[each, said]
    values = tuple(
        ValueWorth(
            value,
            int(right[:, n].sum()),
            int((said == n).sum()),
            int((stated & (said == n)).sum()),
            int((fine & (said == n)).sum()),
            _least(head, n),
        )
        for n, value in enumerate(VALUES[facet])
    )
    place = np.minimum((sure * BINS).astype(int), BINS - 1)
    bins = tuple(
        BinWorth(int(mine.sum()), round(float(sure[mine].mean()), 4), round(float(good[mine].mean()), 4))
        for b in range(BINS)
        if (mine := place == b).any()
    )
    return FacetWorth(
        facet,
        len(likeliest),
        round(float(good.mean()), 4),
        round(float(either.mean()), 4),
        int(stated.sum()),
        int(fine.sum()),
        int((stated & (fine | either)).sum()),
        values,
        bins,
    )
