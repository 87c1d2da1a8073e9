"""Training texts: what a shopper may type, from what is known of a garment."""

from __future__ import annotations

import numpy as np

from models.recipes.encoder_facets import ALL_KINDS, COLOURS, Claim, Known
from processors.drawn import PATTERNS
from processors.palette import SYNONYMS
from processors.values import CATEGORIES

NOUNS: dict[str, tuple[str, ...]] = {
    "sunglass": ("sunglasses", "pair of sunglasses"),
    "hat": ("hat",),
    "jacket": ("jacket",),
    "shirt": ("shirt", "top"),
    "pants": ("pants", "trousers", "pair of pants"),
    "shorts": ("shorts", "pair of shorts"),
    "skirt": ("skirt",),
    "dress": ("dress",),
    "bag": ("bag", "handbag"),
    "shoe": ("shoes", "pair of shoes", "shoe"),
}
_PLURAL = frozenset(
    "sunglasses pants trousers shorts shoes jeans leggings boots heels sneakers sandals flats".split()  # noqa: SIM905
)
_PATTERN_WORDS: dict[str, tuple[str, ...]] = {
    "solid": ("plain", "solid"),
    "striped": ("striped", "stripy"),
    "checked": ("checked", "plaid"),
    "dotted": ("dotted", "polka dot"),
    "floral": ("floral", "flower print"),
}
_SLEEVE_WORDS = {"sleeveless": "without sleeves", "short": "with short sleeves", "long": "with long sleeves"}
_NECK_WORDS = {
    "crew": "crew neck",
    "v": "V-neck",
    "scoop": "scoop neck",
    "square": "square neck",
    "high": "high neck",
    "collar": "collared",
    "lapel": "lapel",
    "hood": "hooded",
}
_LENGTH_WORDS = {"knee": "knee-length", "full": "full-length", "hip": "hip-length"}
_FRAMES = ("{}", "{}", "{}", "a photo of {}", "wearing {}", "the {bare}", "{bare}", "someone in {}")
_OTHER_NAMES: dict[str, tuple[str, ...]] = {
    name: tuple(other for other, canonical in SYNONYMS.items() if canonical == name) for name in COLOURS
}


def random_text(known: Known, rng: np.random.Generator) -> tuple[str, Claim]:
    """A phrase that is true of the garment, stating some of what is known, and what it states."""
    facets = known.facets
    stated: dict[str, str] = {}
    if rng.random() < 0.95 or not known.colours:
        stated["category"] = facets["category"]
        if "kind" in facets and rng.random() < 0.5:
            stated["kind"] = facets["kind"]
    for facet, chance in (("pattern", 0.35), ("sleeve", 0.3), ("neckline", 0.15), ("length", 0.25), ("fabric", 0.2)):
        if facet in facets and "category" in stated and rng.random() < chance:
            stated[facet] = facets[facet]
    colours: tuple[str, ...] = ()
    if known.colours and (rng.random() < 0.75 or not stated):
        colours = known.colours[: 2 if rng.random() < 0.35 else 1]
    claim = Claim(stated, colours)
    return phrase(claim, rng), claim


def phrase(claim: Claim, rng: np.random.Generator) -> str:
    """Words for a claim, in varied order and framing."""
    facets = claim.facets
    words = [_colour_word(name, rng) for name in claim.colours]
    before = [" and ".join(words)] if words else []
    if "pattern" in facets:
        before.insert(int(rng.integers(len(before) + 1)), _pick(rng, _PATTERN_WORDS[facets["pattern"]]))
    if "length" in facets:
        word = "short" if facets["length"] == "mini" and rng.random() < 0.4 else facets["length"]
        before.insert(0, _LENGTH_WORDS.get(word, word))
    if "neckline" in facets:
        before.append(_NECK_WORDS[facets["neckline"]])
    if "fabric" in facets:
        before.append(facets["fabric"])
    noun = facets.get("kind") or (_pick(rng, NOUNS[facets["category"]]) if "category" in facets else "")
    after = [_SLEEVE_WORDS[facets["sleeve"]]] if "sleeve" in facets else []
    if noun.startswith("pair of "):
        before, noun = ["pair of", *before], noun.removeprefix("pair of ")
        bare = " ".join([*before, noun, *after])
        full = f"a {bare}"
    else:
        bare = " ".join([*before, *([noun] if noun else ["clothes"] if rng.random() < 0.5 else []), *after])
        article = "an" if bare[0] in "aeiou" else "a"
        full = bare if noun in _PLURAL or not noun else f"{article} {bare}"
    return _pick(rng, _FRAMES).format(full, bare=bare)


def phrase_plain(claim: Claim) -> str:
    """The plainest words for a colour and a category: "a red dress"."""
    noun = NOUNS[claim.facets["category"]][0]
    bare = " ".join([*claim.colours, noun])
    return bare if noun in _PLURAL else f"{'an' if bare[0] in 'aeiou' else 'a'} {bare}"


def canonical_claims() -> list[Claim]:
    """The claims that every picture is compared with: each colour of each category, and each alone, and the patterns."""
    claims = [Claim({"category": category}, (colour,)) for category in CATEGORIES for colour in COLOURS]
    claims += [Claim({"category": category}) for category in CATEGORIES]
    claims += [Claim({}, (colour,)) for colour in COLOURS]
    claims += [Claim({"category": category, "pattern": pattern}) for category in CATEGORIES for pattern in PATTERNS]
    return claims + [Claim({"kind": kind}) for kind in ALL_KINDS]


def _colour_word(name: str, rng: np.random.Generator) -> str:
    """Mostly the palette's own name, sometimes another that shops use."""
    return _pick(rng, _OTHER_NAMES[name]) if _OTHER_NAMES[name] and rng.random() < 0.2 else name


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]
