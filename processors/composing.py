"""A composed query as one inner product over facets: "this, but in navy, with long sleeves, no stripes".

With p_f(x) the distribution of facet f of garment x (`processors.chances`), a product stores √p_f(x), and what is asked is one weight
a value: of a facet that the words do not touch w·√p_f(reference), so that the sum is w times the Bhattacharyya coefficient; of one
that they set, more on what is wanted; of what they refuse, less than nothing. Beside it stands the inner product of the embeddings,
for what no facet says. A facet that a product does not know adds what it would on average, and so counts neither way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from math import exp, sqrt
from types import MappingProxyType
from typing import Literal, TypeAlias

from processors.chances import CATEGORY, FACETS, GENDER, KIND, Chances, canonical_colour, swatches
from processors.edit_text import ParsedEdit
from processors.facets import COLOUR
from processors.fusion import edited_facets
from processors.kinds import claims_of, kind_label
from processors.values import CATEGORIES
from processors.vocabulary import CATEGORY_NOUNS, COLLARS, FAMILIES, KINDS

Blocks: TypeAlias = dict[str, dict[str, float]]
"""Facet → value → weight of the square root of its probability; `UNKNOWN` is what a product gets that does not know the facet."""
UNKNOWN = ""

WANTED: Mapping[str, float] = MappingProxyType(
    {
        COLOUR: 2.4,
        "pattern": 2.0,
        "sleeve": 2.4,
        "neckline": 1.5,
        "length": 1.5,
        CATEGORY: 4.0,
        KIND: 6.0,
        GENDER: 2.0,
        "fabric": 1.5,
    }
)
KEPT: Mapping[str, float] = MappingProxyType(
    {
        CATEGORY: 3.0,
        KIND: 1.2,
        COLOUR: 1.0,
        "pattern": 1.0,
        "sleeve": 1.0,
        "neckline": 1.0,
        "length": 0.5,
        GENDER: 1.0,
        "fabric": 0.3,
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """How much each part of a composed query counts (docs/models/composer.md says how they were found).

    Args:
        embedding: of the inner product of the embeddings.
        wanted: of the facets that the words set; what heads tell badly counts for less.
        refused: of each value that they refuse.
        misnamed: of what the reference has where it is to be another, and of the colours that it seems to have where one that is
            not far from them is refused: to the shopper it has that one.
        kept: of the facets that the words do not touch.
        neutral: of the most that a facet adds, what a product gets that does not know it.
        near: how far colours are alike, in CIELAB: exp(−(distance / near)²).
        family: how much "blue" is met by navy.
    """

    embedding: float = 1.5
    wanted: Mapping[str, float] = field(default_factory=lambda: WANTED)
    refused: float = 40.0
    misnamed: float = 8.0
    kept: Mapping[str, float] = field(default_factory=lambda: KEPT)
    neutral: float = 0.4
    near: float = 8.0
    family: float = 0.5


WEIGHTS = Weights()
WORDS = Weights(embedding=1.0, wanted=MappingProxyType({**dict.fromkeys(FACETS, 0.1), CATEGORY: 0.5}), refused=0.0)
"""Of words alone: the vector has the colour already, and outweighs the kind of garment with it ("red hat" found red shirts)."""
GARMENT = (CATEGORY, KIND)
"""Facets that say what kind of garment it is."""
SAYING_MORE = replace(WORDS, wanted=MappingProxyType({**dict.fromkeys(FACETS, 0.0), CATEGORY: 0.5}))
"""Of words that say more than facets ("a red hat for the beach"): the vector, and the catalogue's own words, tell the rest."""
_ALIKE: Mapping[tuple[str, str], Mapping[str, float]] = MappingProxyType(
    {
        ("neckline", "crew"): {"round": 1.0},
        ("neckline", "round"): {"crew": 1.0},
        ("neckline", "collar"): {"polo": 0.7, "mandarin": 0.5},
        ("neckline", "polo"): {"collar": 0.7},
        ("neckline", "mandarin"): {"collar": 0.6},
        ("neckline", "scoop"): {"round": 0.5, "boat": 0.3},
        ("neckline", "boat"): {"round": 0.5, "scoop": 0.3},
        ("neckline", "square"): {"round": 0.3, "scoop": 0.3},
        ("neckline", "high"): {"mandarin": 0.2},
        ("pattern", "printed"): {"graphic": 0.8, "floral": 0.5, "animal": 0.5, "camouflage": 0.5, "paisley": 0.5, "geometric": 0.5, "dotted": 0.3},
        ("pattern", "graphic"): {"printed": 0.8},
        ("pattern", "floral"): {"printed": 0.5},
        ("pattern", "animal"): {"printed": 0.5},
        ("pattern", "camouflage"): {"printed": 0.5},
        ("pattern", "paisley"): {"printed": 0.5, "floral": 0.4},
        ("pattern", "geometric"): {"printed": 0.5, "checked": 0.3},
        ("pattern", "colourblocked"): {"striped": 0.2},
        ("pattern", "patterned"): dict.fromkeys(("printed", "striped", "checked", "dotted", "floral", "colourblocked"), 1.0),
        ("sleeve", "cap"): {"short": 0.7},
        ("sleeve", "puff"): {"short": 0.5, "long": 0.3},
        ("sleeve", "three-quarter"): {"long": 0.5, "short": 0.2},
        ("gender", "men"): {"unisex": 0.5},
        ("gender", "women"): {"unisex": 0.5},
        ("gender", "kids"): {"boys": 1.0, "girls": 1.0},
    }
)  # fmt: skip
"""Values that meet a wish for another one, and how far."""
_WITH_ANOTHER_GARMENT = frozenset({COLOUR, "pattern", GENDER, "fabric"})
"""What is kept where the words ask for another category."""
_MISNAMED = 50.0
"""CIELAB distance within which a colour that is refused may be the reference's, read as another one."""
_BECOMES = replace(WEIGHTS, embedding=0.5, wanted=MappingProxyType({**WANTED, CATEGORY: 20.0}))
"""Where another kind of garment is asked for ("as a skirt"): photo and colour, which still tell, found the reference's own kind first."""
_OF_IT, _OF_OTHERS = 2.0, -3.0
"""Of kinds of the asked category, and of others: a tunic that is boxed as a dress is told by its kind."""
_SURELY = 0.3
_LIKE_SLEEVED = frozenset({"shirt", "dress", "jacket"})


@dataclass(frozen=True, slots=True)
class Composed:
    """What is asked of the facets.

    Args:
        blocks: weights; what they are multiplied with is a square root of a probability.
        most: the largest sum that a product can reach, embedding included: scores are divided by it.
        wishes: facet → the values that meet what the words set.
        kept: facets of the reference that count, most first.
        heads: the version of the facet heads that told what the reference is.
        embedding: how much the inner product of the embeddings counts.
        refused: facet → values of the reference that are refused without having been named ("in a different colour").
    """

    blocks: Blocks
    most: float
    wishes: dict[str, tuple[str, ...]]
    kept: tuple[str, ...]
    heads: str = ""
    refused: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    embedding: float = 1.5


def compose(
    reference: Chances,
    edit: ParsedEdit,
    weights: Weights = WEIGHTS,
    *,
    heads: str = "",
    lent: Chances = MappingProxyType({}),
) -> Composed:
    """What is asked, from what the reference probably is and how it is to differ.

    Args:
        reference: what the query starts from.
        edit: its words.
        weights: of the parts.
        heads: the version that told what the reference is.
        lent: facets of other products, that are wanted as those have them; the words lead.
    """
    wanted = _wanted(reference, edit)
    becomes = _becomes(reference, wanted)
    if becomes and weights is WEIGHTS:
        weights = _BECOMES
    lent = {facet: given for facet, given in lent.items() if facet not in wanted}
    blocks: Blocks = {}
    most = weights.embedding
    wishes: dict[str, tuple[str, ...]] = {}
    differing = {
        f: _likely(reference[f]) for f in edit.another if reference.get(f) and f not in wanted and f not in lent
    }
    refused = {facet: _refused(facet, values) for facet, values in edit.exclude.items() if facet in FACETS}
    less = {facet: _refused(facet, values) for facet, values in edit.less.items() if facet in FACETS}
    kept = [
        f
        for f in _kept(reference, {**wanted, **lent})
        if f not in differing and not _is(reference[f], (*refused.get(f, ()), *less.get(f, ())))
    ]
    for facet, values in wanted.items():
        meeting = _meeting(facet, values, weights)
        blocks[facet] = {value: weights.wanted[facet] * share for value, share in meeting.items()}
        wishes[facet] = tuple(value for value, share in meeting.items() if share >= 0.5)
        most += weights.wanted[facet]
    if becomes and KIND not in wanted and KIND not in lent:
        of_kinds = _categories_of_kinds()
        blocks[KIND] = {kind: _OF_IT if of == becomes else _OF_OTHERS for kind, of in of_kinds.items()}
        # Of what may be heels, sandals or flats each adds its root.
        most += _OF_IT * sqrt(sum(of == becomes for of in of_kinds.values()))
    for facet, given in lent.items():
        blocks[facet] = {value: weights.wanted[facet] * sqrt(p) for value, p in given.items()}
        wishes[facet] = _likely(given)
        most += weights.wanted[facet]
    for facet in kept:
        weight, standing = weights.kept.get(facet, 0.0), _standing(facet, reference[facet])
        blocks[facet] = {value: weight * share for value, share in standing.items()}
        # Where values mean nearly the same, a product with some of each may reach more than 1.
        most += weight * max(1.0, sqrt(sum(share * share for share in standing.values())))
    _refuse(blocks, refused, weights, 1.0)
    _refuse(blocks, less, weights, 0.2)
    for facet, alike in _pushed(reference, {**wanted, **lent}, refused, differing).items():
        block = blocks.setdefault(facet, {})
        for value, p in alike.items():
            block[value] = block.get(value, 0.0) - weights.misnamed * sqrt(p)
    for block in blocks.values():
        # Of what is only refused most products have nothing: so an unknown one is far nearer to those.
        best = max(block.values())
        block[UNKNOWN] = weights.neutral * (best if best > 0 else 0.5 * min(block.values()))
    return Composed(blocks, most, wishes, tuple(kept), heads, differing, weights.embedding)


def worded(edit: ParsedEdit, weights: Weights = WORDS) -> Composed:
    """What words alone ask of the facets, beside the inner product with their vector, which counts as it is.

    What they refuse is a filter of the query (`ParsedEdit.exclude`), and no part of this.
    """
    # Of an edit nothing else counts where there is no reference and nothing refused.
    return _worded(tuple(edit.set.items()), edit.shade, edit.length, weights)


@lru_cache(maxsize=1024)  # many queries ask for a red hat, each in its own words
def _worded(
    wanted: tuple[tuple[str, str], ...],
    shade: Literal["", "lighter", "darker"],
    length: Literal["", "longer", "shorter"],
    weights: Weights,
) -> Composed:
    return compose({}, ParsedEdit("", set=dict(wanted), shade=shade, length=length), weights)


def _refuse(blocks: Blocks, refused: Mapping[str, tuple[str, ...]], weights: Weights, times: float) -> None:
    for facet, values in refused.items():
        block = blocks.setdefault(facet, {})
        for value, share in _refusing(facet, values, weights).items():
            block[value] = min(block.get(value, 0.0), 0.0) - times * share * weights.refused


def _wanted(reference: Chances, edit: ParsedEdit) -> dict[str, tuple[str, ...]]:
    """Facet → the values that the words set, steps from the reference among them ("lighter", "longer")."""
    known = {facet: max(given, key=lambda value: given[value]) for facet, given in reference.items() if given}
    after = edited_facets(known, edit)
    stepped = {f for f, step in ((COLOUR, edit.shade), ("length", edit.length)) if step and f in after}
    found = {}
    for facet in FACETS:
        if facet in edit.set or facet in stepped:
            values = after[facet].split(" and ") if facet == COLOUR else [after[facet]]
            found[facet] = tuple(values)
    kind = found.get(KIND, ("",))[0]
    if kind:
        found[KIND] = (kind_label(kind),)
        named = [v for name, values in claims_of(kind) if name == CATEGORY for v in values if v in CATEGORIES]
        if named:
            found[CATEGORY] = (named[0],)
    return found


def _becomes(reference: Chances, wanted: Mapping[str, tuple[str, ...]]) -> str:
    """The category that is asked for, where the reference hardly is of it; else ""."""
    asked, known = wanted.get(CATEGORY, ("",))[0], reference.get(CATEGORY, {})
    return asked if known and asked in CATEGORIES and known.get(asked, 0.0) < _SURELY else ""


@cache
def _categories_of_kinds() -> dict[str, str]:
    """Kind, as heads and shops call it → the category that it is of."""
    named = (word for words in KINDS.values() for word in words.split())
    found = {}
    for word in (*named, *(noun for nouns in CATEGORY_NOUNS.values() for noun in nouns), "jeans"):
        kind = kind_label(word)
        of = [v for facet, values in claims_of(kind) if facet == CATEGORY for v in values if v in CATEGORIES]
        if of:
            found[kind] = of[0]
    return found


def _kept(reference: Chances, wanted: Mapping[str, object]) -> list[str]:
    """The facets of the reference that still hold; of another garment its sleeves and its neck only where it has such."""
    kept = [facet for facet in FACETS if reference.get(facet) and facet not in wanted]
    asked = wanted.get(CATEGORY)
    if isinstance(asked, tuple) and asked and reference.get(CATEGORY, {}).get(asked[0], 0.0) < _SURELY:
        before = max(reference.get(CATEGORY, {"": 0.0}), key=lambda value: reference.get(CATEGORY, {"": 0.0})[value])
        alike = {before, asked[0]} <= _LIKE_SLEEVED
        kept = [f for f in kept if f in _WITH_ANOTHER_GARMENT or (alike and f in ("sleeve", "neckline"))]
    elif KIND in wanted or CATEGORY in wanted:
        kept = [facet for facet in kept if facet != KIND or KIND not in wanted]
    return kept


def _standing(facet: str, chances: Mapping[str, float]) -> dict[str, float]:
    """Value → how far it is what the reference has: heads call one garment's collar a polo, and the next one's of the same cut a collar."""
    found: dict[str, float] = {}
    for value, p in chances.items():
        for other, share in {value: 1.0, **_ALIKE.get((facet, value), {})}.items():
            found[other] = found.get(other, 0.0) + share * sqrt(p)
    return found


def _likely(chances: Mapping[str, float]) -> tuple[str, ...]:
    """The likeliest value, and the others that are likely, in that order."""
    first, *others = sorted(chances, key=lambda value: (-chances[value], value))
    return (first, *(value for value in others if chances[value] >= 0.3))


def _is(chances: Mapping[str, float], values: Iterable[str]) -> bool:
    """Whether the likeliest value is one of these."""
    return max(chances, key=lambda value: chances[value]) in values


def _meeting(facet: str, values: Iterable[str], weights: Weights) -> dict[str, float]:
    """Value → how far it meets the wish, 0..1."""
    found: dict[str, float] = {}
    for value in values:
        alike = (
            near(value, weights.near, weights.family)
            if facet == COLOUR
            else {value: 1.0, **_ALIKE.get((facet, value), {})}
        )
        for other, share in alike.items():
            found[other] = max(found.get(other, 0.0), share)
    return found


def _refusing(facet: str, values: Iterable[str], weights: Weights) -> dict[str, float]:
    """Value → how far a refusal is of it: heads that know no polo collar call it a collar."""
    alike = {} if facet == COLOUR else _meeting(facet, values, weights)
    return {**alike, **dict.fromkeys(values, 1.0)}


@lru_cache(maxsize=1024)
def near(colour: str, reach: float, family: float) -> dict[str, float]:
    """Colours → how far they are the same, the colour itself 1. One that the palette does not know is like no other."""
    name = canonical_colour(colour)
    found = {name: 1.0} | dict.fromkeys(FAMILIES.get(name, ()), family)
    known = swatches()
    if name in known:
        here = known[name]
        for other, lab in known.items():
            share = exp(-(float(((here - lab) ** 2).sum()) / reach**2)) if reach else 0.0
            if share >= 0.05:
                found[other] = max(found.get(other, 0.0), share)
    return found


def _pushed(
    reference: Chances,
    asked: Mapping[str, object],
    refused: Mapping[str, tuple[str, ...]],
    differing: Mapping[str, tuple[str, ...]],
) -> dict[str, dict[str, float]]:
    """Facet → values of the reference that are to be another, with their probability."""
    found = {facet: {value: reference[facet][value] for value in values} for facet, values in differing.items()}
    colours = (*refused.get(COLOUR, ()), *differing.get(COLOUR, ()))
    if colours and COLOUR not in asked:
        found[COLOUR] = found.get(COLOUR, {}) | _taken_for(reference.get(COLOUR, {}), colours)
    return found


def _taken_for(chances: Mapping[str, float], refused: Iterable[str]) -> dict[str, float]:
    """The colours among these that a shopper may call by a refused name: of a blouse that is read as lavender, "not purple" means lavender."""
    known = swatches()
    named = [known[name] for name in refused if name in known]
    return {
        colour: p
        for colour, p in chances.items()
        if colour in known and any(float(((known[colour] - one) ** 2).sum()) <= _MISNAMED**2 for one in named)
    }


def _refused(facet: str, values: Iterable[str]) -> tuple[str, ...]:
    """All that a refusal refuses: "no collar" also the polo's."""
    found = dict.fromkeys(canonical_colour(value) if facet == COLOUR else value for value in values)
    if facet == "neckline" and "collar" in found:
        found |= dict.fromkeys(sorted(COLLARS))
    return tuple(found)
