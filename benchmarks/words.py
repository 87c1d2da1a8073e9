"""The catalogue's own words: does a title find its product, "BRAND t-shirt" the brand, an id its product, and do words harm meaning?

    python -m benchmarks.words --products products.jsonl.gz --images images.zip [--count 500] [--cache FILE.npz] [--weights 0 .5 1 2]

Products of a table (`id`, `productDisplayName`, `brandName`, `articleType`, `gender`, `baseColour`, `articleAttributes`,
`descriptors`) with their photos' vectors by the starter's encoder, in shards, asked as `compose` asks. Titles that several products
share are asked with any of them as right (`shared`) and left out (`unique`). "meaning": queries of a colour, a kind and an audience
("red shirt for women"), and the share of the first ten that are all three. Brands are halved by their names' hash: `fit` is what
weights may be chosen on, `held out` the others.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import random
import time
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from index_sync.entry import Change
from index_sync.shard import Shard
from index_sync.state import Wish, search_states, weigh_states
from infra.settings import Settings
from models.guard import Guarded
from processors import query_terms
from processors.values import Metadata
from streams.contract.records import Item, Query, Source, View
from streams.roles.compose.reading import Reading, read_words
from streams.roles.index.entries import entry_of
from streams.wiring.yardsticks import models_of

SHARDS = 12
ROUNDS = 3


@dataclass(frozen=True)
class Asked:
    """A query, and what of the catalogue is right: of the first hit (`first`), else the share of ten."""

    text: str
    brand: str
    right: frozenset[str]
    first: bool


def rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        return [json.loads(line) for line in lines]


def metadata(row: dict[str, Any]) -> Metadata:
    facets = {name: str(value) for name, value in (row.get("articleAttributes") or {}).items()}
    return Metadata(
        title=row["productDisplayName"] or "",
        description=(row.get("descriptors") or {}).get("description") or "",
        brand=row["brandName"] or "",
        gender=row["gender"] or "",
        category=row["articleType"] or "",
        facets=facets,
        price=float(row["price"] or 0),
    )


def vectors_of(table: Sequence[dict[str, Any]], photos: Path, cache: Path | None) -> dict[str, np.ndarray]:
    """Of the whole photos."""
    if cache is not None and cache.exists():
        kept = np.load(cache)
        return dict(zip(kept["ids"].tolist(), kept["vectors"], strict=True))
    model = Guarded(models_of(Settings()).image_encoder, name="image encoder")
    found: dict[str, np.ndarray] = {}
    with zipfile.ZipFile(photos) as archive:
        there = set(archive.namelist())
        known = [str(row["id"]) for row in table if f"{row['id']}.jpg" in there]
        for start in range(0, len(known), 16):
            ids = known[start : start + 16]
            pixels = [np.asarray(Image.open(io.BytesIO(archive.read(f"{one}.jpg"))).convert("RGB")) for one in ids]
            found |= zip(ids, embedded(model, pixels), strict=True)
    if cache is not None:
        np.savez(cache, ids=np.array(list(found)), vectors=np.stack(list(found.values())))
    return found


def embedded(model: Any, batch: Sequence[Any]) -> list[np.ndarray]:
    raws = model.forward([model.prepare(one) for one in batch])
    return [model.finish(one, raw) for one, raw in zip(batch, raws, strict=True)]


def filled(table: Sequence[dict[str, Any]], vectors: dict[str, np.ndarray]) -> list[Shard]:
    shards = [Shard(partition, "bench", 0) for partition in range(SHARDS)]
    changes: list[list[Change]] = [[] for _ in shards]
    for number, row in enumerate(table):
        key = str(row["id"])
        if key not in vectors:
            continue
        view = View("whole", "", vectors[key].astype("<f4").tobytes())
        item = Item(
            key, "i.jpg", 1, 1, (), (view,), metadata(row), "bench", len(vectors[key]), "d", Source("catalog.uploads", 0, number), "0",
        )  # fmt: skip
        changes[zlib.crc32(key.encode()) % SHARDS].append(Change(number, key, entry_of(item)))
    for shard, own in zip(shards, changes, strict=True):
        for start in range(0, len(own), 200):
            shard.apply_batch(own[start : start + 200])
    return shards


def questions(table: Sequence[dict[str, Any]], count: int, seed: int) -> dict[str, list[Asked]]:
    rng = random.Random(seed)
    by_title: dict[str, set[str]] = defaultdict(set)
    for row in table:
        by_title[" ".join(row["productDisplayName"].lower().split())].add(str(row["id"]))
    titled = [row for row in table if row["productDisplayName"] and row["brandName"]]
    unique = [row for row in titled if len(by_title[" ".join(row["productDisplayName"].lower().split())]) == 1]
    found: dict[str, list[Asked]] = {}

    def titles(chosen: Sequence[dict[str, Any]], change: Callable[[str], str] = str) -> list[Asked]:
        return [
            Asked(
                change(row["productDisplayName"]),
                row["brandName"],
                frozenset(by_title[" ".join(row["productDisplayName"].lower().split())]),
                first=True,
            )
            for row in chosen
        ]

    sample = rng.sample(unique, min(count, len(unique)))
    found["title, unique"] = titles(sample)
    found["title, shared"] = titles(rng.sample(titled, min(count, len(titled))))
    found["title, a typo"] = titles(sample, lambda text: misspelt(text, rng))
    found["title, 3 of its words"] = []
    found["id"] = [Asked(str(row["id"]), row["brandName"], frozenset({str(row["id"])}), first=True) for row in sample]
    shirts = Counter(row["brandName"] for row in titled if row["articleType"] == "Tshirts")
    of_brand: dict[str, set[str]] = defaultdict(set)
    for row in titled:
        of_brand[row["brandName"]].add(str(row["id"]))
    asked = [brand for brand, number in shirts.items() if number >= 10]
    found["BRAND t-shirt"] = [
        Asked(f"{brand} t-shirt", brand, frozenset(of_brand[brand]), first=False) for brand in asked
    ]
    found["brand, first word"] = [
        Asked(f"{brand.split()[0]} t-shirt", brand, frozenset(of_brand[brand]), first=False) for brand in asked
    ]
    del found["title, 3 of its words"]
    found["meaning"] = list(meant(titled, rng, count))
    return found


def misspelt(text: str, rng: random.Random) -> str:
    """One letter of one long word left out."""
    words = text.split()
    long = [place for place, word in enumerate(words) if len(word) > 4 and word.isalpha()]
    if long:
        place = rng.choice(long)
        at = rng.randrange(1, len(words[place]))
        words[place] = words[place][:at] + words[place][at + 1 :]
    return " ".join(words)


def meant(table: Sequence[dict[str, Any]], rng: random.Random, count: int) -> Iterable[Asked]:
    of: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for row in table:
        of[row["baseColour"], row["articleType"], row["gender"]].add(str(row["id"]))
    common = sorted(key for key, ids in of.items() if len(ids) >= 10 and "NA" not in key)
    for colour, kind, gender in rng.sample(common, min(count, len(common))):
        text = f"{colour.lower()} {kind.lower().rstrip('s')} for {gender.lower()}"
        yield Asked(text, kind, frozenset(of[colour, kind, gender]), first=False)


def held_out(brand: str) -> bool:
    return zlib.crc32(brand.encode()) % 2 == 1


def answered(shards: Sequence[Shard], reading: Reading, vector: np.ndarray, mode: str) -> list[str]:
    states = [shard.state for shard in shards]
    words = None if mode == "vectors" or reading.words is None else weigh_states(states, reading.words, "")
    if mode == "words":
        vector = np.zeros_like(vector)
        vector[0] = 1e-9
    wish = Wish(reading.conditions, shop="")
    found = search_states(states, vector, 10, {}, reading.edit.exclude, (), wish, words)
    return [hit.product_id for _, hit in found]


def share(asked: Sequence[Asked], answers: Sequence[Sequence[str]]) -> float:
    told = [
        float(bool(got) and got[0] in one.right) if one.first else len(one.right & set(got)) / 10
        for one, got in zip(asked, answers, strict=True)
    ]
    return float(np.mean(told)) if told else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--products", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cache", type=Path, help="where the photos' vectors are kept")
    parser.add_argument("--weights", type=float, nargs="*", help="tried instead of the weight that is served")
    parser.add_argument("--doubts", type=float, nargs="*", help="likewise")
    asked = parser.parse_args()
    table = rows(asked.products)
    vectors = vectors_of(table, asked.images, asked.cache)
    table = [row for row in table if str(row["id"]) in vectors]
    shards = filled(table, vectors)
    told = questions(table, asked.count, asked.seed)
    model = Guarded(models_of(Settings()).text_encoder, name="text encoder")
    readings = {
        name: [read_words(Query("q", text=one.text), alone=True) for one in some] for name, some in told.items()
    }
    texts = {name: [v for r in some for v in embedded(model, [r.typed])] for name, some in readings.items()}
    modes = [("vectors", 0.0, 0.0), ("words", query_terms.WEIGHT, query_terms.DOUBT)]
    modes += [
        ("both", weight, doubt)
        for weight in asked.weights or [query_terms.WEIGHT]
        for doubt in asked.doubts or [query_terms.DOUBT]
    ]
    print(f"{len(table)} products, {SHARDS} shards; share right, of brands to fit on / held out / all")
    print("| |", " | ".join(told), "| ms CPU |")
    for mode, weight, doubt in modes:
        query_terms.WEIGHT, query_terms.DOUBT = weight or 1.0, doubt or 12.0
        cells, spent, number = [], 0.0, 0
        for name, some in told.items():
            started = time.process_time()
            got = [answered(shards, r, v, mode) for r, v in zip(readings[name], texts[name], strict=True)]
            spent, number = spent + time.process_time() - started, number + len(got)
            halves = [
                share([a for a in some if held_out(a.brand) is half], [g for a, g in zip(some, got, strict=True) if held_out(a.brand) is half])
                for half in (False, True)
            ]  # fmt: skip
            cells.append(f"{halves[0]:.3f} / {halves[1]:.3f} / {share(some, got):.3f}")
        label = mode if mode == "vectors" else f"{mode}, weight {weight:g}, doubt {doubt:g}"
        print(f"| {label} |", " | ".join(cells), f"| {spent / number * 1000:.2f} |", flush=True)
    sizes = [window.segment.columns.words for shard in shards for window in shard.state.windows]
    postings = sum(one.nbytes for one in sizes)
    spelt = sum(len(one.spelt) for one in sizes)
    print(f"postings: {postings / len(table):.0f} bytes a product; {spelt} words of titles kept for typing errors")


if __name__ == "__main__":
    main()
