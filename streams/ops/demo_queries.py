"""Three composed queries about a catalogue that nobody knows beforehand: each asks for a colour that is there to find."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from processors.garments import main_garment
from streams.contract.records import Caption

FALLBACK_COLOURS = ("red", "navy", "black")
PLURALS = {"pants": "pants", "shorts": "shorts", "shoe": "shoes", "sunglass": "sunglasses"}


@dataclass(frozen=True, slots=True)
class Ask:
    """A reference product and what to change about it."""

    product_id: str
    text: str


def choose(captions: Sequence[Caption], count: int = 3) -> list[Ask]:
    """`count` queries, about different categories where there are enough; empty only for an empty catalogue.

    The colour asked for is the most frequent other colour among products of the same category, so that a good engine
    has something to find, and a bad one is seen to miss it.
    """
    coloured: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for caption in sorted(captions, key=lambda c: c.product_id):
        garment = main_garment(caption.evidence.garments)
        if garment is not None and garment.colours:
            coloured[garment.category].append((caption.product_id, garment.colours[0].name))
    # The categories with the most colours first: there a query about colour tells most.
    ranked = sorted(coloured.items(), key=lambda entry: (-len({c for _, c in entry[1]}), -len(entry[1]), entry[0]))
    chosen = [
        Ask(products[turn][0], f"{_this(category)}, but in {_wanted(products[turn][1], products)}")
        for turn in range(count)
        for category, products in ranked
        if turn < len(products)
    ][:count]
    # A catalogue in which nothing was found still gets its queries: the whole photo is a view, too.
    missing = [c.product_id for c in captions if all(c.product_id != ask.product_id for ask in chosen)]
    for product_id, colour in zip(missing, FALLBACK_COLOURS[len(chosen) : count], strict=False):
        chosen.append(Ask(product_id, f"this, but in {colour}"))
    return chosen


def _this(category: str) -> str:
    """As a shopper would say it: "this dress", "these pants"."""
    plural = PLURALS.get(category)
    return f"this {category}" if plural is None else f"these {plural}"


def _wanted(colour: str, products: Sequence[tuple[str, str]]) -> str:
    """The colour most often seen beside `colour`, or a fixed one where all are alike."""
    others = Counter(other for _, other in products if other != colour)
    if others:
        return max(sorted(others), key=lambda name: others[name])
    return next(name for name in FALLBACK_COLOURS if name != colour)
