"""The card of an encoder that was trained on a shop's data: held-out brands asked of the others, before and after, as served."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.encoder.clip_encoder import ClipImageEncoder
from models.guard import Guarded
from models.recipes import card
from models.recipes.encoder_data import View
from models.recipes.encoder_evaluate import nearest_label
from models.recipes.encoder_pictures import Album, shrunk
from models.recipes.encoder_settings import Recipe
from models.recipes.shop import ShopItems
from models.weights.starter import IMAGE_TRUNK
from models.yardsticks.photos import in_batches
from processors.values import Pixels

WEIGHTS = "encoder.safetensors"
GALLERY = 2000
"""Photos of the training side that answer, at most."""
ASKED = 1000
LEAST = 5
"""Held-out photos of a brand that has a line of its own."""
BATCH = 32
TEN = 10


def write(run: Path, items: ShopItems, chosen: Recipe, album: Album, start: Path, cache: Path) -> Path:
    """Measure, and write `card.md`.

    Args:
        run: its folder, with the exported weights.
        items: the shop's.
        chosen: the settings.
        album: what was trained on.
        start: weights that it began from; an empty path: none.
        cache: the model cache.
    """
    data: dict[str, object] = {f"photos of {origin}": n for origin, n in Counter(r.origin for r in album.rows).items()}
    data |= {f"rows left out: {why}": n for why, n in items.left_out.items()}
    data["photos that cannot be read"] = len(items.unreadable)
    data["brands trained on"] = len(items.brands(held_out=False))
    data["brands held out"] = len(items.brands(held_out=True))
    settings = msgspec.to_builtins(chosen) | {"started from": start.name or "the base alone"}
    return card.write(
        run,
        "An encoder of a shop's own",
        data=data,
        settings=settings,
        figures=_figures(run, items, start, cache),
        held_out="One brand in five by the hash of its name (one product in five where brands are not told apart): is the nearest photo of the "
        "other side, is the vote of the ten nearest, of the shop's own type? Computed as served, before (the weights that it began from) and after.",
        weights=run / WEIGHTS,
    )


def _figures(run: Path, items: ShopItems, start: Path, cache: Path) -> list[card.Figure]:
    asked = [(view, one.brand or "no brand") for one, view in islice(items.shown(held_out=True), ASKED)]
    if not asked:
        return []
    gallery = [shrunk(view) for view in islice(items.views(held_out=False), GALLERY)]
    if len(gallery) <= TEN:
        return []
    labels = [view.label for view in gallery]
    right: dict[str, dict[str, NDArray[np.bool_]]] = {}
    for when, weights in (("before", start), ("after", run / WEIGHTS)):
        if weights.name:
            encoder = Guarded(
                ClipImageEncoder.load(weights, cache / IMAGE_TRUNK / "model.safetensors"), name="image encoder"
            )
            known, wanted = _embedded(encoder, gallery), _embedded(encoder, [shrunk(view) for view, _ in asked])
            right[when] = {
                name: np.array(
                    [
                        a == view.label
                        for a, (view, _) in zip(nearest_label(wanted, known, labels, k), asked, strict=True)
                    ]
                )
                for name, k in (("R@1", 1), ("10-NN", TEN))
            }
    of = np.array([brand for _, brand in asked])

    def row(what: str, rows: NDArray[np.bool_]) -> card.Figure:
        sides = [{n: float(v[rows].mean()) for n, v in right.get(when, {}).items()} for when in ("before", "after")]
        return card.Figure(what, int(rows.sum()), *sides)

    often = [brand for brand, count in Counter(of.tolist()).most_common() if count >= LEAST]
    return [row("all held out", np.ones(len(of), np.bool_)), *(row(brand, of == brand) for brand in often)]


def _embedded(encoder: Guarded[Pixels, NDArray[np.float32]], views: Iterable[View]) -> NDArray[np.float32]:
    return np.stack(
        [vector for batch in in_batches(iter(views), BATCH) for vector in encoder.run([view.pixels for view in batch])]
    )
