"""The card of a writer that was trained on a shop's products: the loss on held-out brands, before and after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models.recipes import card
from models.recipes.shop import ShopItems
from models.recipes.writer_data import Example
from models.recipes.writer_shop import example_of

WEIGHTS = "writer.safetensors"
ASKED = 64
"""Held-out products that are judged, at most: each costs a pass of the language model, twice."""
LEAST = 3
"""Held-out products of a brand that has a line of its own."""

Held = tuple[str, Example]
"""A brand and a pack of one of its products."""


def held_out(items: ShopItems, seed: int) -> list[Held]:
    """Packs of held-out brands, the first of each brand in turn."""
    by_brand: dict[str, list[int]] = {}
    for number, item in enumerate(items.items):
        if item.held_out:
            by_brand.setdefault(item.brand or "no brand", []).append(number)
    turns = [
        (brand, numbers[turn])
        for turn in range(max(map(len, by_brand.values()), default=0))
        for brand, numbers in sorted(by_brand.items())
        if turn < len(numbers)
    ]
    return [(brand, example_of(items.items[number], number, seed)) for brand, number in turns[:ASKED]]


def losses(
    model: Any,
    tokenizer: Any,
    held: Sequence[Held],
    weights: Mapping[str, nn.Parameter],
    masters: Mapping[str, nn.Parameter],
) -> list[float]:
    """Mean negative log-likelihood of each answer's tokens, by the adapter as it is now."""
    from models.recipes.writer import Batch, _collate, _loss, encode

    found = []
    for name, weight in weights.items():
        weight.data.copy_(masters[name].data)
    model.eval()
    with torch.inference_mode():
        for _, example in held:
            batch = _collate([encode(tokenizer, example)])
            found.append(float(_loss(model, Batch(*(tensor.to(model.device) for tensor in batch)))))
    model.train()
    return found


def write(
    run: Path,
    items: ShopItems,
    config: Mapping[str, Any],
    start: Path | None,
    held: Sequence[Held],
    before: Sequence[float],
    after: Sequence[float],
) -> Path:
    """Write `card.md` of the run."""
    data: dict[str, object] = {
        "products trained on": sum(not item.held_out for item in items.items),
        "products held out": sum(item.held_out for item in items.items),
        "brands trained on": len(items.brands(held_out=False)),
        "brands held out": len(items.brands(held_out=True)),
    }
    data |= {f"rows left out: {why}": count for why, count in items.left_out.items()}

    def row(what: str, chosen: Sequence[int]) -> card.Figure:
        sides = [{"loss": sum(side[n] for n in chosen) / len(chosen)} for side in (before, after)]
        return card.Figure(what, len(chosen), *sides)

    figures = []
    if held:
        figures.append(row("all held out", range(len(held))))
        counts = Counter(brand for brand, _ in held)
        often = sorted(brand for brand, count in counts.items() if count >= LEAST)
        figures += [row(brand, [n for n, (one, _) in enumerate(held) if one == brand]) for brand in often]
    return card.write(
        run,
        "A writer of a shop's own",
        data=data,
        settings={**config, "started from": start.name if start is not None else "nothing"},
        figures=figures,
        held_out="One brand in five by the hash of its name: mean negative log-likelihood of a token of the grammar's captions of its products "
        "(less is better). What captions are worth to readers `weft eval writer` and `weft models compare` measure.",
        weights=run / WEIGHTS,
    )
