"""Generated evidence packs and the grammar's captions of them: all that the writer's adapter learns from.

Nothing here comes from a photo or a shop; licence questions end at the word lists.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from processors.caption_grammar import training_text
from processors.captions import TONES
from processors.drawn.spec import GarmentSpec, outfit
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


KNOWN = (0.3, 0.6, 0.9)
"""How much of fabric and gender a shop states, in the packs of outfits that train: some state little, some nearly all."""
MISNAMED = 0.05
"""Colours of an outfit's pack that are not the garment's: the eye errs, and the writer cannot know."""


class Example(NamedTuple):
    """A pack, the tone asked for, and the answer to learn."""

    evidence: Evidence
    tone: str
    text: str


class Case(NamedTuple):
    """A pack to be judged by: what the writer is told, and what is true of the drawn garments behind it."""

    evidence: Evidence
    tone: str
    truth: tuple[GarmentSpec, ...]


def examples(seed: int, *, worn: float = 0.0) -> Iterator[Example]:
    """Endless training examples; none pairs a colour with a category that is held out for evaluation.

    Args:
        seed: other seeds, other packs.
        worn: share of packs that are a drawn outfit (`dress`) instead of garments drawn at random (`draw`).
    """
    number = 0
    while True:
        rng = random.Random(f"train:{seed}:{number}")
        from_outfit = worn > 0 and rng.random() < worn  # at 0 not one die is thrown: the first recipe keeps its packs
        pack = dress(rng, rng.choice(KNOWN)).evidence if from_outfit else draw(rng)
        tone = TONES[number % len(TONES)]
        if not any(held_out(colour, g.category) for g in pack.garments for colour in colours(g)):
            yield Example(pack, tone, training_text(pack, tone, seed * 1_000_003 + number))
        number += 1


def cases(count: int, *, seed: int = 11, known: float = 0.9) -> list[Case]:
    """Outfits for the yardsticks, each with a colour-category pair that no training example has; tones take turns."""
    kept: list[Case] = []
    number = 0
    while len(kept) < count:
        case = dress(random.Random(f"yardstick:{seed}:{number}"), known)
        if any(held_out(colour, g.category) for g in case.evidence.garments for colour in colours(g)):
            kept.append(case._replace(tone=TONES[len(kept) % len(TONES)]))
        number += 1
    return kept


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


def dress(rng: random.Random, known: float) -> Case:
    """One to four garments that one drawn person wears, and the pack that a photo and a shop give of them.

    A fabric and the gender are stated with probability `known`, pattern, sleeve, neckline and length with half of it;
    one colour in twenty is another name of the palette.
    """
    count = rng.choices((1, 2, 3, 4), (20, 30, 30, 20))[0]
    truth = outfit(np.random.default_rng(rng.getrandbits(32)), count)
    person = rng.random() < known
    garments = build(_seen(n, spec, known, rng, person=person) for n, spec in enumerate(truth))
    return Case(garments, rng.choice(TONES), truth)


def _seen(number: int, spec: GarmentSpec, known: float, rng: random.Random, *, person: bool) -> Garment:
    stated = {"fabric": spec.fabric if rng.random() < known else "", "gender": spec.gender if person else ""}
    for facet in ("pattern", "sleeve", "neckline", "length"):
        value = getattr(spec, facet)
        stated[facet] = value if value and value != "solid" and rng.random() < known / 2 else ""
    code = dict(PALETTE)
    main = rng.choice(PALETTE)[0] if rng.random() < MISNAMED else spec.colour
    names = [main, spec.second_colour] if spec.second_colour and spec.second_colour != main else [main]
    return Garment(
        id=f"g{number}",
        category=spec.category,
        box=(0.0, 100.0 * number, 100.0, 100.0 * number + 90.0),
        confidence=round(rng.uniform(0.4, 0.98), 3),
        colours=tuple(Colour(name=name, hex=code[name], share=0.6 - 0.3 * n) for n, name in enumerate(names)),
        attributes={facet: Attribute(value=value, confidence=0.8) for facet, value in stated.items() if value},
    )


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
