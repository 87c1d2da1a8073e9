"""Evaluate the shipped encoder by its serving path: `python -m models.recipes.encoder_evaluate DATA`.

- phone: class of photos by contributors who are not in the gallery, from the nearest photo and from ten (ten classes).
- held-out crops, drawn and street: text → image for each (colour, category) that occurs, and the composed query
  image + text(wanted) − text(seen), which is how edits are served by default.
- unseen: text → image on drawn combinations of category, colour, pattern and sleeve that were never trained.
- products: neighbours' type, gender, colour and fabric, leave one out; titles → photos. Evaluation only: they never train.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.encoder.clip_encoder import ClipImageEncoder, ClipTextEncoder
from models.guard import Guarded
from models.recipes import encoder_data
from models.recipes.encoder_facets import COLOURS, Claim, Known, encode_claims, encode_pictures, truth
from models.recipes.encoder_texts import NOUNS, phrase, phrase_plain
from models.yardsticks.intervals import of_mean
from processors.values import CATEGORIES, Pixels, Vector

TAU = 12.0
"""Weight of a neighbour at cosine s is exp(TAU · s)."""


def nearest_label(
    queries: NDArray[np.float32],
    gallery: NDArray[np.float32],
    labels: Sequence[str],
    k: int = 10,
    *,
    skip: bool = False,
) -> list[str]:
    """The label that a query's k nearest neighbours vote for; `skip` leaves out the query itself (row i of the gallery)."""
    similar = queries @ gallery.T
    if skip:
        np.fill_diagonal(similar, -1)
    found = []
    for row in similar:
        votes: dict[str, float] = {}
        for near in np.argpartition(-row, k)[:k]:
            votes[labels[near]] = votes.get(labels[near], 0.0) + float(np.exp(TAU * row[near]))
        found.append(max(votes, key=lambda label: votes[label]))
    return found


def phone_accuracy(data: Path, encoder: Guarded[Pixels, Vector]) -> dict[str, float]:
    """Of held-out contributors' photos among the others': the nearest one's class, and the vote of ten."""
    with (data / "labels.csv").open() as file:
        ten = {row["image"]: row["label"] for row in csv.DictReader(file)}
    with (data / "labels_full.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["image"] in ten]
    vectors = embed(encoder, (encoder_data.read(data / "photos" / f"{row['image']}.jpg") for row in rows))
    labels = [ten[row["image"]] for row in rows]
    held = np.array([encoder_data.is_held_out(row["sender"]) for row in rows])
    train = [label for label, out in zip(labels, held, strict=True) if not out]
    wanted = [label for label, out in zip(labels, held, strict=True) if out]
    result = {"phone_held_out": float(held.sum())}
    for name, k in (("r1", 1), ("knn10", 10)):
        found = nearest_label(vectors[held], vectors[~held], train, k)
        result |= share(f"phone_{name}", [a == b for a, b in zip(found, wanted, strict=True)])
    return result


def share(name: str, right: Sequence[bool] | NDArray[np.bool_]) -> dict[str, float]:
    """A share and its 95 % interval."""
    low, high = of_mean(np.asarray(right, np.float64))
    return {name: float(np.mean(right)), f"{name}_low": low, f"{name}_high": high}


def unseen(images: Guarded[Pixels, Vector], texts: Guarded[str, Vector], count: int) -> dict[str, float]:
    """Text → image on combinations never trained: all four facets in one text, and each facet beside the category."""
    views = list(encoder_data.unseen_views(count))
    vectors = embed(images, (view.pixels for view in views))
    pictures = encode_pictures([view.garments for view in views])
    result = {"unseen_photos": float(len(views))}
    for name in ("category", "colour", "pattern", "sleeve", "all"):
        claims = list({str(claim): claim for view in views if (claim := asked(view.garments[0], name))}.values())
        rng = np.random.default_rng(3)
        words = np.stack(texts.run([phrase(claim, rng) for claim in claims]))
        true = truth(pictures, encode_claims(claims)).T == 1
        hits = np.take_along_axis(true, np.argsort(-(words @ vectors.T), axis=1), axis=1)
        result |= {f"unseen_{name}_texts": float(len(claims))} | share(f"unseen_{name}_r1", hits[:, 0])
        result |= share(f"unseen_{name}_r10", np.asarray(hits[:, :10].any(1)))
    return result


def asked(known: Known, facet: str) -> Claim | None:
    """What is asked for: "category", one facet beside it, or "all"; None where the garment has no such facet."""
    stated = {"category": known.facets["category"]}
    for name in ("pattern", "sleeve"):
        if facet in {name, "all"} and name in known.facets:
            stated[name] = known.facets[name]
    if facet in {"pattern", "sleeve"} and facet not in stated:
        return None
    return Claim(stated, known.colours[:1] if facet in {"colour", "all"} else ())


def crops(
    views: Sequence[encoder_data.View], images: Guarded[Pixels, Vector], texts: Guarded[str, Vector], name: str
) -> dict[str, float]:
    """Text → image by colour and category, and composed queries, over crops of single garments."""
    claims = [Claim({"category": category}, (colour,)) for category in CATEGORIES for colour in COLOURS]
    true = truth(encode_pictures([view.garments for view in views]), encode_claims(claims))
    vectors = embed(images, (view.pixels for view in views))
    words = np.stack(texts.run([phrase_plain(claim) for claim in claims]))
    asked = np.flatnonzero((true == 1).any(0))
    order = np.argsort(-(words[asked] @ vectors.T), axis=1)
    hits = np.take_along_axis((true.T[asked] == 1), order, axis=1)
    result = {"texts": float(len(asked)), "r1": float(hits[:, 0].mean()), "r10": float(hits[:, :10].any(1).mean())}
    result |= zero_shot(views, vectors, texts)
    result |= composed(vectors, words, true)
    return {f"{name}_{key}": value for key, value in result.items()}


def zero_shot(
    views: Sequence[encoder_data.View], vectors: NDArray[np.float32], texts: Guarded[str, Vector]
) -> dict[str, float]:
    """Which category's plain noun is nearest to each crop."""
    words = np.stack(texts.run([f"a photo of {NOUNS[category][0]}" for category in CATEGORIES]))
    best = [CATEGORIES[i] for i in (vectors @ words.T).argmax(1)]
    right = [b == view.garments[0].facets["category"] for b, view in zip(best, views, strict=True)]
    return {"zero_shot_category": float(np.mean(right))}


def composed(vectors: NDArray[np.float32], words: NDArray[np.float32], true: NDArray[np.int8]) -> dict[str, float]:
    """For each picture of one known colour, ask for two other colours of the same category; the picture itself is excluded.

    Reported is how often the first answer (open ones skipped) is true, for the ways a query can be fused.
    """
    rng = np.random.default_rng(1)
    count = len(COLOURS)
    scores: dict[str, list[bool]] = {"direction": [], "sum": [], "text": [], "image": []}
    for row in range(len(vectors)):
        seen = np.flatnonzero(true[row] == 1)
        if not len(seen):
            continue
        same = np.arange(seen[0] // count * count, (seen[0] // count + 1) * count)
        wanted = [claim for claim in same if true[row, claim] == 0 and (true[:, claim] == 1).any()]
        for claim in rng.permutation(wanted)[:2]:
            fused = {
                "direction": vectors[row] + words[claim] - words[seen[0]],
                "sum": vectors[row] + words[claim],
                "text": words[claim],
                "image": vectors[row],
            }
            for name, query in fused.items():
                similar = vectors @ query
                similar[row] = -np.inf
                similar[true[:, claim] == -1] = -np.inf
                scores[name].append(bool(true[similar.argmax(), claim] == 1))
    return {f"composed_{name}_r1": float(np.mean(found)) for name, found in scores.items()}


def products_accuracy(data: Path, images: Guarded[Pixels, Vector], texts: Guarded[str, Vector]) -> dict[str, float]:
    """Zero-shot transfer to a catalogue: leave-one-out 10-NN of its own words that occur at least 20 times, and titles → photos."""
    rows = list(encoder_data.products(data))
    vectors = embed(images, (pixels for pixels, _ in rows))
    result = {"products_photos": float(len(rows))}
    for name in ("type", "gender", "colour", "fabric"):
        labels = [product.facets[name] for _, product in rows]
        often = [i for i, label in enumerate(labels) if label not in {"", "NA"} and labels.count(label) >= 20]
        kept = [labels[i] for i in often]
        found = nearest_label(vectors[often], vectors[often], kept, skip=True)
        result |= share(f"products_{name}_knn10", [a == b for a, b in zip(found, kept, strict=True)])
        result[f"products_{name}_commonest"] = max(kept.count(label) for label in set(kept)) / len(kept)
    words = np.stack(texts.run([product.title.removeprefix(product.brand).strip() for _, product in rows]))
    similar = words @ vectors.T
    ranks = (similar > np.diag(similar)[:, None]).sum(1) + 1
    return result | {"products_mrr": float((1 / ranks).mean()), "products_median_rank": float(np.median(ranks))}


def embed(encoder: Guarded[Pixels, Vector], pictures: object) -> NDArray[np.float32]:
    """(n, dimension), in batches of 16; unreadable pictures are an error of the data, not skipped."""
    vectors: list[Vector] = []
    source = iter(pictures)  # type: ignore[call-overload]
    while batch := list(itertools.islice(source, 16)):
        vectors += encoder.run(batch)
    return np.stack(vectors)


def speed(encoder: ClipImageEncoder, pixels: Pixels) -> float:
    """Images a second of `forward` in batches of 16, on the threads torch is set to."""
    ready = [encoder.prepare(pixels)] * 16
    encoder.forward(ready)
    started = time.perf_counter()
    for _ in range(4):
        encoder.forward(ready)
    return 64 / (time.perf_counter() - started)


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", type=Path, default=Path("models/starter/encoder.safetensors"))
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/weft/models").expanduser())
    parser.add_argument("--drawn", type=int, default=600, help="scenes, and garments of unseen combinations")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32", help="of the image tower")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    trunk = chosen.cache / "efficientnet-lite0" / "model.safetensors"
    image = ClipImageEncoder.load(chosen.weights, trunk, precision=chosen.precision)
    images = Guarded(image, name="image encoder")
    texts = Guarded(ClipTextEncoder.load(chosen.weights, chosen.cache / "all-minilm-l6-v2"), name="text encoder")
    seeds = range(encoder_data.EVALUATION_SEED, encoder_data.EVALUATION_SEED + chosen.drawn)
    report({"images_per_second_one_thread": speed(image, image.example())})
    report(phone_accuracy(chosen.data / "phone", images))
    street = encoder_data.street(chosen.data / "street", held_out=True)
    report(crops([view for view in street if view.origin == "street"], images, texts, "street"))
    drawn = encoder_data.drawn_views(seeds, unseen=True)
    report(crops([view for view in drawn if view.origin == "drawn"], images, texts, "drawn"))
    report(unseen(images, texts, chosen.drawn))
    report(products_accuracy(chosen.data / "products", images, texts))


def report(figures: dict[str, float]) -> None:
    """One JSON line a part, as soon as it is known."""
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}), flush=True)


if __name__ == "__main__":
    main()
