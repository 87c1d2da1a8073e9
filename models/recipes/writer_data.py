"""Generated evidence packs and the grammar's captions of them: all that the writer's adapter learns from.

Nothing here comes from a photo or a shop; licence questions end at the word lists.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from processors.caption_grammar import training_text
from processors.captions import TONES
from processors.drawn.spec import GarmentSpec, outfit
from processors.evidence import build, colours
from processors.kinds import KINDS, claims_of
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


SEEN_PATTERNS = (
    "striped",
    "checked",
    "dotted",
    "floral",
    "printed",
    "colourblocked",
    "animal",
    "graphic",
    "camouflage",
)
SEEN_SLEEVES = ("short",) * 6 + ("long",) * 5 + ("sleeveless",) * 3 + ("three-quarter", "cap", "puff")
SEEN_NECKS = (
    ("round",) * 6
    + ("collar",) * 5
    + ("v",) * 3
    + ("polo", "high", "hood", "mandarin", "boat", "square", "off-shoulder")
)
FIXED_NECKS = {"polo": "polo", "shirt": "collar", "hoodie": "hood"}
SHORTEST = 12
"""Characters: "A top." is refused as a caption, so it is no answer to learn."""
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


def examples(
    seed: int, *, worn: float = 0.0, catalogue: float = 0.0, tones: Sequence[str] = TONES, start: int = 0, step: int = 1
) -> Iterator[Example]:
    """Endless training examples; none pairs a colour with a category that is held out for evaluation.

    Args:
        seed: other seeds, other packs.
        worn: share of packs that are a drawn outfit (`dress`) instead of garments drawn at random (`draw`).
        catalogue: share of packs that are a product as a shop has it (`product`); the others as `worn` says.
        tones: asked for in turns.
        start: of the packs of this seed, the first that is made.
        step: … and every how many-th behind it: several processes share a seed.
    """
    number = start
    while True:
        rng = random.Random(f"train:{seed}:{number}")
        if catalogue > 0 and rng.random() < catalogue:  # at 0 not one die is thrown: older recipes keep their packs
            pack = product(rng, rng.choice(KNOWN))
        elif worn > 0 and rng.random() < worn:
            pack = dress(rng, rng.choice(KNOWN)).evidence
        else:
            pack = draw(rng)
        tone = tones[number % len(tones)]
        if not any(held_out(colour, g.category) for g in pack.garments for colour in colours(g)):
            text = training_text(pack, tone, seed * 1_000_003 + number)
            if catalogue == 0 or len(text.partition("\n")[0]) >= SHORTEST:
                yield Example(pack, tone, text)
        number += step


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


def product(rng: random.Random, known: float) -> Evidence:
    """What is known of a catalogue photo: the product with its kind, and up to three garments that it is worn with.

    What the pixels tell (kind, pattern, sleeve, neckline) is known with probability `known`, what only a shop can tell (fabric,
    length) with half of it, for whom it is with `known`. Of what is worn beside it little is known. Cloth has no pattern in a third of what is told of one.
    """
    person = rng.choice(GENDERS) if rng.random() < known else ""
    beside = rng.choices((0, 1, 2, 3), (55, 20, 15, 10))[0]
    worn = rng.sample(CATEGORIES, 1 + beside)
    garments = [_sold(0, worn[0], known, person, rng)]
    garments += [_sold(n, category, known / 3, "", rng) for n, category in enumerate(worn[1:], 1)]
    return build(garments)


@lru_cache
def kinds_of(category: str) -> tuple[str, ...]:
    """What a shop or the heads call a garment of this category."""

    def worn_as(kind: str) -> set[str]:
        return {value for facet, values in claims_of(kind) if facet == "category" for value in values}

    return tuple(kind for kind in KINDS if category in worn_as(kind))


def _sold(number: int, category: str, known: float, person: str, rng: random.Random) -> Garment:
    """A garment of a catalogue photo; facets that its kind cannot have are left out."""
    kind = rng.choice(kinds_of(category)) if kinds_of(category) and rng.random() < known else ""
    stated = {"kind": kind, "gender": person}
    cloth = category not in ("sunglass", "hat", "shoe")
    if cloth and rng.random() < known:
        stated["pattern"] = "solid" if rng.random() < 0.35 else rng.choice(SEEN_PATTERNS)
    if category in UPPER:
        stated["sleeve"] = rng.choice(SEEN_SLEEVES) if rng.random() < known else ""
        neck = FIXED_NECKS.get(kind) or rng.choice(SEEN_NECKS)
        stated["neckline"] = neck if rng.random() < known else ""
    if rng.random() < known / 2:
        stated["fabric"] = rng.choice(USUAL_FABRICS[category] if rng.random() < 0.7 else tuple(FABRIC_WORDS))
    if category in ("dress", "skirt", "jacket", "shirt", "pants") and rng.random() < known / 6:
        stated["length"] = rng.choice(LENGTHS)
    patterned = stated.get("pattern", "solid") != "solid"
    names = rng.sample(PALETTE, rng.choices((0, 1, 2), (15, 35, 50) if patterned else (15, 75, 10))[0])
    return Garment(
        id=f"g{number}",
        category=category,
        box=(0.0, 100.0 * number, 100.0, 100.0 * number + 90.0),
        confidence=0.97 - 0.1 * number,
        colours=tuple(Colour(name=name, hex=code, share=0.6 - 0.25 * n) for n, (name, code) in enumerate(names)),
        attributes={facet: Attribute(value=value, confidence=0.8) for facet, value in stated.items() if value},
    )


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
