"""Packs of a shop's own products for the writer: what the shop says of each, and the grammar's caption of it.

The shop's own sentences are no targets: they state what no pack knows, and a writer that learns them learns to invent. What is learnt is
how captions of just such products read: their categories, colours, fabrics and how much of them is told.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from models.recipes.shop import ShopItem, ShopItems
from models.recipes.writer_data import Example
from processors.caption_grammar import training_text
from processors.captions import TONES
from processors.errors import Poison
from processors.evidence import build
from processors.palette import PALETTE
from processors.values import Attribute, Colour, Evidence, Garment

_STATED = ("fabric", "pattern", "sleeve", "neckline", "length")
LEFT = 0.15
"""Of the facts of a product, those that a pack is without: no shop says all of everything."""


def pack_of(item: ShopItem, rng: random.Random) -> Evidence:
    """One garment with what the shop says of it, now and then a fact less."""
    known, codes = item.known, dict(PALETTE)
    stated = {facet: known.facets[facet] for facet in _STATED if facet in known.facets and rng.random() >= LEFT}
    garment = Garment(
        id="g0",
        category=known.facets["category"],
        box=(0.0, 0.0, 100.0, 90.0),
        confidence=round(rng.uniform(0.4, 0.98), 3),
        colours=tuple(Colour(name, codes[name], 0.6) for name in known.colours[:1]),
        attributes={facet: Attribute(value=value, confidence=0.8) for facet, value in stated.items()},
    )
    return build([garment])


def example_of(item: ShopItem, number: int, seed: int) -> Example:
    """The pack of a product, a tone, and the answer to learn."""
    pack = pack_of(item, random.Random(f"shop:{seed}:{number}:{item.name}"))
    tone = TONES[number % len(TONES)]
    return Example(pack, tone, training_text(pack, tone, seed * 1_000_003 + number))


def shop_examples(items: ShopItems, seed: int) -> Iterator[Example]:
    """Endless examples of the brands that are not held out, all products in a new order each time. Raises `Poison` where there are none."""
    mine = [item for item in items.items if not item.held_out]
    if not mine:
        raise Poison("every product of the shop is held out: give more of them")
    number = 0
    while True:
        order = list(mine)
        random.Random(f"order:{seed}:{number}").shuffle(order)
        for item in order:
            yield example_of(item, number, seed)
            number += 1


def mixed(generated: Iterator[Example], own: Iterator[Example], share: float, seed: int) -> Iterator[Example]:
    """Endless examples of both; `share` of them the shop's."""
    number = 0
    while True:
        from_shop = random.Random(f"mixed:{seed}:{number}").random() < share
        yield next(own if from_shop else generated)
        number += 1
