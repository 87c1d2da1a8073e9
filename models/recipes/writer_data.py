"""Generated evidence packs and the grammar's captions of them: all that the writer's adapter learns from.

Nothing here comes from a photo or a shop; licence questions end at the word lists.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

from processors.caption_grammar import training_text
from processors.captions import TONES
from processors.evidence import build, colours
from processors.palette import PALETTE
from processors.values import CATEGORIES, Attribute, Colour, Evidence, Garment
from processors.vocabulary import FABRIC_WORDS

# Likely fabrics first: a leather shoe more often than a linen one, but any pair may come.
USUAL_FABRICS: dict[str, tuple[str, ...]] = {
    "sunglass": ("metal", "plastic"),
    "hat": ("straw", "wool", "cotton", "knit"),
    "jacket": ("denim", "leather", "wool", "cotton", "nylon", "suede", "corduroy"),
    "shirt": ("cotton", "linen", "silk", "knit", "polyester", "viscose", "cotton blend", "flannel"),
    "pants": ("denim", "cotton", "linen", "wool", "corduroy", "polyester", "blended"),
    "shorts": ("denim", "cotton", "linen", "nylon"),
    "skirt": ("denim", "cotton", "silk", "satin", "wool", "leather", "knit"),
    "dress": ("cotton", "linen", "silk", "satin", "viscose", "chiffon", "lace", "velvet", "knit"),
    "bag": ("leather", "canvas", "suede", "straw", "nylon"),
    "shoe": ("leather", "suede", "canvas", "synthetic"),
}
PATTERNS = ("striped", "checked", "dotted", "floral", "solid", "printed")
SLEEVES = ("long", "short", "sleeveless")
NECKLINES = ("v", "crew", "round", "collar", "scoop")
LENGTHS = ("mini", "midi", "maxi", "knee", "cropped")
GENDERS = ("women",) * 8 + ("men",) * 8 + ("unisex", "girls", "boys", "kids")
UPPER = frozenset(("shirt", "dress", "jacket"))
HELD_OUT_EVERY = 9


class Example(NamedTuple):
    """A pack, the tone asked for, and the answer to learn."""

    evidence: Evidence
    tone: str
    text: str


def examples(seed: int) -> Iterator[Example]:
    """Endless training examples; none pairs a colour with a category that is held out for evaluation."""
    number = 0
    while True:
        pack = draw(random.Random(f"train:{seed}:{number}"))
        tone = TONES[number % len(TONES)]
        if not any(held_out(colour, g.category) for g in pack.garments for colour in colours(g)):
            yield Example(pack, tone, training_text(pack, tone, seed * 1_000_003 + number))
        number += 1


def unseen(count: int, *, seed: int = 7) -> list[Example]:
    """Packs for evaluation, every one with a colour-category pair that no training example has."""
    kept: list[Example] = []
    number = 0
    while len(kept) < count:
        pack = draw(random.Random(f"test:{seed}:{number}"))
        if any(held_out(colour, g.category) for g in pack.garments for colour in colours(g)):
            tone = TONES[len(kept) % len(TONES)]
            kept.append(Example(pack, tone, training_text(pack, tone, number)))
        number += 1
    return kept


def held_out(colour: str, category: str) -> bool:
    """One in nine pairs of colour and category is never trained on."""
    names = [name for name, _ in PALETTE]
    if colour not in names or category not in CATEGORIES:
        return False
    return (names.index(colour) * 7 + CATEGORIES.index(category) * 4) % HELD_OUT_EVERY == 0


def draw(rng: random.Random) -> Evidence:
    """One to four garments of one person; any facet may be unknown, now and then all of them."""
    if rng.random() < 0.02:
        return Evidence(garments=())
    count = rng.choices((1, 2, 3, 4), (30, 30, 25, 15))[0]
    categories = rng.sample(CATEGORIES, count)
    if "dress" in categories:  # a dress replaces shirt and skirt
        categories = [c for c in categories if c not in ("skirt", "pants", "shorts")]
    person = rng.choice(GENDERS) if rng.random() < 0.6 else ""
    knows_fabric = rng.random() < 0.65
    known = [_garment(n, category, person, knows_fabric, rng) for n, category in enumerate(categories)]
    return build(known)


def _garment(number: int, category: str, person: str, knows_fabric: bool, rng: random.Random) -> Garment:
    attributes: dict[str, str] = {}
    if knows_fabric and rng.random() < 0.7:
        usual = rng.random() < 0.7
        attributes["fabric"] = rng.choice(USUAL_FABRICS[category] if usual else tuple(FABRIC_WORDS))
    if person and rng.random() < 0.85:
        attributes["gender"] = person
    if rng.random() < 0.25:
        attributes["pattern"] = rng.choice(PATTERNS)
    if category in UPPER and rng.random() < 0.2:
        attributes["sleeve"] = rng.choice(SLEEVES)
    if category in UPPER and rng.random() < 0.15:
        attributes["neckline"] = rng.choice(NECKLINES)
    if category in ("dress", "skirt", "jacket") and rng.random() < 0.15:
        attributes["length"] = rng.choice(LENGTHS)
    names = rng.sample(PALETTE, rng.choices((0, 1, 2), (8, 57, 35))[0])
    return Garment(
        id=f"g{number}",
        category=category,
        box=(0.0, 100.0 * number, 100.0, 100.0 * number + 90.0),
        confidence=0.95 - 0.1 * number,
        colours=tuple(Colour(name=name, hex=code, share=0.6 - 0.2 * n) for n, (name, code) in enumerate(names)),
        attributes={facet: Attribute(value=value, confidence=0.8) for facet, value in attributes.items()},
    )
