"""The evidence pack: all that a caption may claim (Pixels to Posts, arXiv 2511.19149, section 3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec

from processors.kinds import claims_of, noun_of
from processors.values import CATEGORIES, Box, Evidence, Garment, StyleExample
from processors.vocabulary import BODY_LENGTHS, COLLARS, EXTRA_FACETS, base_forms, canonical, clean, known_values

DUPLICATE_IOU = 0.7
MAX_STYLE_EXAMPLES = 3
SECOND_COLOUR_SHARE = 0.2
"""Of a garment's pixels, from which a second colour is told of cloth that has a pattern …"""
SURE_SECOND_SHARE = 0.3
"""… and of any other: what less is, is sole, seam, shadow or wall."""
RENDERED_GARMENTS = 4
SURELY_BESIDE = 0.5
"""Confidence of a garment beside the product from which it is named: an eye taken for sunglasses must not be sold along."""
_GLOSS = frozenset({"charcoal", "grey", "light grey"})
"""What light on black is taken for."""
_ONE_OF = (
    frozenset({"pants", "shorts", "skirt"}),
    frozenset({"dress", "shirt"}),
    frozenset({"dress", "skirt"}),
    frozenset({"dress", "shorts"}),
)
"""Categories of which a person wears one: two boxes of the same cloth, of which the detector is not sure what it is."""


def build(garments: Iterable[Garment], style_examples: Sequence[StyleExample] = ()) -> Evidence:
    """The pack of one photo: garments in descending confidence, named "g0", "g1" …, each seen once.

    Of two boxes of one category that cover each other (IoU ≥ 0.7) the surer stays. Idempotent, and independent of the
    order of the input, so `enrich` may call it before it names the views of an item.
    """
    ranked = sorted(garments, key=lambda g: (-g.confidence, g.category, g.box, g.id))
    kept: list[Garment] = []
    for garment in ranked:
        if not any(k.category == garment.category and iou(k.box, garment.box) >= DUPLICATE_IOU for k in kept):
            kept.append(garment)
    named = tuple(msgspec.structs.replace(garment, id=f"g{n}") for n, garment in enumerate(kept))
    return Evidence(garments=named, style_examples=tuple(style_examples[:MAX_STYLE_EXAMPLES]))


def anonymous(evidence: Evidence) -> Evidence:
    """The pack without the ids and the sentences of other products."""

    def bare(garment: Garment) -> Garment:
        decided = {f: msgspec.structs.replace(a, neighbours=()) for f, a in garment.attributes.items()}
        return msgspec.structs.replace(garment, attributes=decided)

    return Evidence(garments=tuple(bare(garment) for garment in evidence.garments), said=evidence.said)


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0..1."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union > 0 else 0.0


_FUNCTION_WORDS = frozenset(
    """
    a an and are as at be but by for from has have in is it its more no not of on one or so some that the their them these
    they this those to too was what which who will with without you your
    """.split()  # noqa: SIM905 (a paragraph reads better than a list of forty strings)
)
"""As a value of a shop they would make claims of the sentences around all other values."""


_MARKUP = frozenset("{}<>[]|\\#;:=`$@_*~^")
"""Signs that no value has which a shop would print: markup, a prompt's own marks, code."""


@lru_cache(maxsize=8192)
def stateable(facet: str, value: str) -> str:
    """The value as a writer may print it, or "" when it cannot stand in a sentence.

    Values come from shops' metadata: a sentence, a number, an instruction to a language model, or a word that would
    claim something else ("fabric": "dress") is kept in the pack but never written.
    """
    text = clean(value)
    if facet in ("gender", *EXTRA_FACETS):
        known = text if facet == "length" and text in BODY_LENGTHS else canonical(facet, value)
        if known != text or known in known_values(facet):
            return known
        if facet == "gender":
            return ""
    if not text or len(text) > 24 or len(text.split()) > 3 or not all(c.isalpha() or c == " " for c in text):
        return ""
    if len(text) == 1 or text in _FUNCTION_WORDS or _MARKUP.intersection(value) or not value.strip().isprintable():
        return ""
    claimed = base_forms().get(text)
    if claimed is not None:
        names = [name for name, _ in claimed]
        return text if set(names) == {facet} or (facet == "category" and facet in names) else ""
    # A value that no list knows must not hide a word of another facet ("red wool"; but "cotton blend" may stay).
    hidden = {name for word in text.split() for name, _ in base_forms().get(word, ())}
    # Several words, none of which says anything of a garment, may be a sentence ("ignore your instructions").
    spoken = len(text.split()) > 1 and not hidden and facet != "category"
    return text if hidden <= {facet} and not spoken else ""


def colours(garment: Garment) -> tuple[str, ...]:
    """The one or two colours worth stating: the dominant one, and a second with a fair share of the pixels.

    Plain cloth has one: what else was seen of it is shadow, skin or the ground.
    """
    pattern = attribute(garment, "pattern")
    names = [
        (stateable("colour", colour.name), colour.share) for colour in garment.colours[: 1 if pattern == "solid" else 2]
    ]
    least = SECOND_COLOUR_SHARE if pattern else SURE_SECOND_SHARE
    stated = [name for n, (name, share) in enumerate(names) if name and (n == 0 or share >= least)]
    if stated[:1] == ["black"] and not pattern and stated[1:] and stated[1] in _GLOSS:
        stated = stated[:1]
    return tuple(dict.fromkeys(stated))


def attribute(garment: Garment, facet: str) -> str:
    """The decided value of a facet, printable, or ""."""
    found = garment.attributes.get(facet)
    if found is None:
        return ""
    return stateable(facet, wider(facet, found.value))


def wider(facet: str, value: str) -> str:
    """What a sentence says of a value with a word of another facet in it: a "spread collar" is a collar; others stay."""
    is_collar = facet == "neckline" and clean(value).endswith(" collar") and canonical(facet, value) not in COLLARS
    return "collar" if is_collar else value


def kind_noun(garment: Garment) -> str:
    """The garment's kind as a noun ("polo", "jeans") where it is decided and a sentence may name it, else ""."""
    found = garment.attributes.get("kind")
    if found is None:
        return ""
    noun = noun_of(found.value)
    # A kind of another category than was found ("jeans" of a shirt) would contradict the rest of the pack.
    named = {value for facet, values in claims_of(found.value) if facet == "category" for value in values}
    return noun if clean(garment.category) in named or not named & set(CATEGORIES) else ""


def worth_stating(evidence: Evidence) -> tuple[Garment, ...]:
    """The product, and up to three garments that it is worn with: those with a printable name, surely seen, one of a kind.

    Two shoes are one pair, and two boxes of a shirt one shirt; nobody wears trousers and shorts, or a dress over a skirt.
    """
    kept: list[Garment] = []
    for garment in evidence.garments:
        beside = not kept or (garment.confidence >= SURELY_BESIDE and not any(_clash(garment, one) for one in kept))
        if beside and stateable("category", garment.category):
            kept.append(garment)
    return tuple(kept[:RENDERED_GARMENTS])


def stated(evidence: Evidence) -> Evidence:
    """The pack with nothing in it but what is worth stating: its garments (`worth_stating`), and of each the colours that are told."""
    kept = []
    for garment in worth_stating(evidence):
        told = colours(garment)
        few = tuple(colour for colour in garment.colours if stateable("colour", colour.name) in told)
        kept.append(msgspec.structs.replace(garment, colours=few))
    return msgspec.structs.replace(evidence, garments=tuple(kept))


def _clash(one: Garment, other: Garment) -> bool:
    return one.category == other.category or any({one.category, other.category} <= kinds for kinds in _ONE_OF)


def led_by(evidence: Evidence, category: str, box: Box) -> Evidence:
    """The pack with the garment of this category and box first: the product before what it is worn with. Ids stay."""
    ranked = sorted(evidence.garments, key=lambda garment: (garment.category, garment.box) != (category, box))
    return msgspec.structs.replace(evidence, garments=tuple(ranked))


def render(evidence: Evidence) -> str:
    """The compact text that the language model reads: one line a garment, surest first, unknown facets left out.

    "dress: navy and white, striped, linen, for women". Style examples are not rendered: a 135 M model takes their
    facts for facts of this photo.
    """
    lines = [_line(garment) for garment in worth_stating(evidence)]
    return "\n".join(lines) if lines else "nothing certain"


def _line(garment: Garment) -> str:
    parts = [" and ".join(colours(garment)), attribute(garment, "pattern"), attribute(garment, "fabric")]
    gender = attribute(garment, "gender")
    tails = {"sleeve": "sleeves", "neckline": "neck", "length": "length"}
    parts += [f"for {gender}" if gender else ""]
    for facet, tail in tails.items():
        value = attribute(garment, facet)
        noun = "collar" if value in COLLARS else tail
        parts.append(f"{value} {noun}" if value and value not in ("sleeveless", "collar", "hood") else value)
    known = ", ".join(part for part in parts if part)
    noun = kind_noun(garment) or clean(garment.category)
    return f"{noun}: {known}" if known else noun
