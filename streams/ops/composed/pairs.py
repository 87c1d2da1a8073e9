"""Pairs of a catalogue that differ in one facet: the queries of `weft eval composed`, and how a shopper words them."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from processors.facets import COLOUR
from streams.facets.labelled import Labelled

EDITED: tuple[str, ...] = (COLOUR, "pattern", "sleeve", "neckline")
SAME: tuple[str, ...] = ("kind", "gender")
"""Type and audience: of a pair both are of one."""
PHRASINGS = 6


@dataclass(frozen=True, slots=True)
class Pair:
    """Ask for `reference`, but with this value; every product of `right` is a right answer."""

    reference: str
    facet: str
    before: str
    value: str
    right: frozenset[str]


def pairs_of(products: Sequence[Labelled], most: int, seed: int) -> list[Pair]:
    """Up to `most` of each facet, drawn by `seed`: one type and audience, one facet differs, the others agree."""
    groups: dict[tuple[str, ...], list[Labelled]] = defaultdict(list)
    for one in products:
        groups[tuple(one.labels.get(facet, "") for facet in SAME)].append(one)
    found: dict[str, list[Pair]] = {facet: [] for facet in EDITED}
    for kind, members in groups.items():
        if kind[0]:
            for facet in EDITED:
                found[facet] += _of_facet(members, facet)
    drawn = random.Random(seed)
    return [pair for facet in EDITED for pair in drawn.sample(found[facet], min(most, len(found[facet])))]


def _of_facet(members: Sequence[Labelled], facet: str) -> list[Pair]:
    others = [name for name in EDITED if name != facet]
    alike: dict[tuple[str, ...], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for one in members:
        if facet in one.labels:
            alike[tuple(one.labels.get(name, "") for name in others)][one.labels[facet]].append(one.product_id)
    return [
        Pair(reference, facet, before, value, frozenset(right))
        for by_value in alike.values()
        for before, references in by_value.items()
        for value, right in by_value.items()
        if value != before
        for reference in references
    ]


def texts_of(facet: str, value: str) -> tuple[str, ...]:
    """Six ways to ask for it; the first is the one of which the tables are."""
    adjective, phrase, noun, bare = _words(facet, value)
    article = "an" if adjective[0] in "aeiou" else "a"
    return (
        f"the same but {phrase}",
        f"this, but {phrase}",
        f"can I get it {phrase} instead?",
        f"{article} {adjective} version of this",
        f"I like this one, only {phrase}, please",
        f"change the {noun} to {bare}",
    )


def refusal_of(facet: str, value: str) -> str:
    """An explicit negative."""
    adjective, phrase, _, _ = _words(facet, value)
    return f"like this but not {adjective if facet == 'pattern' else phrase}"


_PATTERNS = {"solid": ("plain", "plain"), "striped": ("striped", "with stripes"), "checked": ("checked", "with checks")}


def _words(facet: str, value: str) -> tuple[str, str, str, str]:
    """(adjective, phrase, the facet's noun, the value behind it)."""
    if facet == COLOUR:
        return value, f"in {value}", "colour", value
    if facet == "pattern":
        adjective, phrase = _PATTERNS.get(value, (value, value))
        return adjective, phrase, "pattern", adjective
    if facet == "sleeve":
        bare = value == "sleeveless"
        return (
            value if bare else f"{value}-sleeved",
            "without sleeves" if bare else f"with {value} sleeves",
            "sleeves",
            value,
        )
    return _neck(value)


def _neck(value: str) -> tuple[str, str, str, str]:
    if value in ("collar", "polo", "mandarin"):
        name = "shirt collar" if value == "collar" else f"{value} collar"
        return name, f"with a {name}", "neckline", f"a {name}"
    if " " in value or value in ("hood", "strapless", "halter"):
        return value, f"with {value}", "neckline", value
    return f"{value}-neck", f"with a {value} neck", "neckline", value
