"""What the shop says of a garment, and what was seen of it, as far as each facet's policy lets it count."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from processors.attributes import STATED_FACETS
from processors.evidence import stateable
from processors.facets import MERCHANT
from processors.labels import read_label
from processors.palette import PALETTE
from processors.policies import Policies
from processors.values import Attribute, Colour, Garment, Metadata
from processors.vocabulary import canonical, clean

CERTAIN = 0.5
"""Certainty from which a garment's first colour is told (`processors.values.Colour.certainty`): between .3 and this one a shop calls the garment
otherwise in nearly half of the catalogue photos of the evaluation data, on whichever brands. A caption without a colour is better than a wrong one."""
_VIVID = ("blue", "navy", "green", "dark green", "olive", "mint", "teal", "turquoise", "yellow", "brown")
_BORDERING = ("burgundy", "cream", "rust")
_BETWEEN = ("pink", "grey", "light grey", "beige", "steel blue")
CERTAIN_OF: Mapping[str, float] = {
    **dict.fromkeys(_VIVID, 0.36),
    **dict.fromkeys(_BORDERING, 0.6),
    **dict.fromkeys(_BETWEEN, 0.66),
    "white": 0.55,
}
"""The same of names that shops give as they are seen (a garment that is a third surely blue is called blue), of those on the border of
another, and of those that lie between others: what looks pink is sold as red, coral or lavender, grey as black or white, and of white, which a light grey looks like. Found on
catalogue photos of the evaluation data, brands of four folds of five, each where two in three of the last that are told are right; on the
fifth 645 colours are told rightly and 112 wrongly (652 and 124 before)."""
LEADING = 0.45
"""The same of its share, for records of before there was a certainty."""


def told_of(garment: Garment, told: Mapping[str, Attribute], policies: Policies) -> Garment:
    """The garment with the colours and attributes that may be said of it before any neighbour is asked.

    Args:
        garment: as `enrich` saw it; attributes that it has are seen ones.
        told: facet → what the shop says of this garment, "colour" among them.
        policies: whose word counts.
    """
    attributes: dict[str, Attribute] = {}
    for facet in (*told, *garment.attributes):
        policy = policies.of(facet)
        shop = told.get(facet) if policy in ("merchant", "seen", "neighbours") else None
        seen = garment.attributes.get(facet) if policy in ("pixels", "seen") else None
        if shop is not None and facet != "colour":
            attributes[facet] = msgspec.structs.replace(shop, source=MERCHANT)
        elif seen is not None and facet != "colour":
            attributes[facet] = seen
    # A caption says nothing of the mask, and its record would carry it to every reader.
    colours = _colours(garment, told, policies)
    return msgspec.structs.replace(garment, colours=colours, attributes=attributes, mask=msgspec.UNSET)


def own_colour(metadata: Metadata) -> str:
    """The shop's own word for its product's colour ("emerald"), where a sentence may name it; else the canonical one, or ""."""
    given = {clean(name): value for name, value in metadata.facets.items()}
    value = next((v for name in STATED_FACETS["colour"] if (v := given.get(name, "")) and read_label("colour", v)), "")
    return stateable("colour", value) or read_label("colour", value)


def _colours(garment: Garment, told: Mapping[str, Attribute], policies: Policies) -> tuple[Colour, ...]:
    policy = policies.of("colour")
    hexes = dict(PALETTE)
    if policy in ("seen", "pixels"):
        return _renamed(garment, hexes)
    name = told["colour"].value if policy == "merchant" and "colour" in told else ""
    # A name that the palette does not know has no swatch to show, and nothing is shown instead of a guess.
    return (Colour(name, hexes[name], 1.0),) if name in hexes else ()


def _renamed(garment: Garment, hexes: Mapping[str, str]) -> tuple[Colour, ...]:
    """What was seen, the first colour under the shop's own word where heads read one: "maroon" for a burgundy."""
    word = garment.attributes.get("colour")
    name = stateable("colour", word.value) if word is not None else ""
    if not name or not garment.colours:
        return garment.colours if garment.colours and _leads(garment) else ()
    meant = canonical("colour", name)
    first, *others = sorted(garment.colours, key=lambda c: canonical("colour", c.name) != meant)
    if meant == canonical("colour", first.name) and (word is None or word.source != MERCHANT):
        return (first, *others)
    return (Colour(name, hexes.get(meant, first.hex), first.share), *others)


def _leads(garment: Garment) -> bool:
    """Whether the first colour has enough of the garment, with what is light on it; of stripes, checks and fields two share it."""
    first, *others = garment.colours
    pattern = garment.attributes.get("pattern")
    together = first.name == "black" and bool(others) and others[0].name in ("charcoal", "grey", "light grey")
    if first.certainty is not None:
        certainty = first.certainty + (sum(other.certainty or 0.0 for other in others) if together else 0.0)
        return certainty >= CERTAIN_OF.get(first.name, CERTAIN)
    together |= pattern is not None and pattern.value in ("striped", "checked", "colourblocked")
    return first.share + (sum(other.share for other in others) if together else 0.0) >= LEADING
