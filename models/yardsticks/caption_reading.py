"""What a caption says of the product: each statement with its place, its facet and the garment word that it belongs to.

Words and negations are those of the verifier (`processors.claims`, `processors.verify`), with the words beside them that
captions of other writers use. What stands at another garment's word ("worn with black shoes") is not said of the product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from processors.claims import Mention, mentions
from processors.references import owners_of
from processors.values import CATEGORIES
from processors.verify import denies
from processors.vocabulary import CATEGORY_NOUNS, clean

_FACETS = {"colour", "pattern", "sleeve", "neckline", "fabric", "gender"}
_NAMES = {"gender": "audience"}

_KIND_WORDS: dict[str, tuple[str, str]] = {
    "t-shirt": ("shirt", "t shirt, t shirts, tshirt, tshirts, tee, tees"),
    "long-sleeved top": ("shirt", "long sleeved top, long sleeved tops, long sleeve top"),
    "polo": ("shirt", "polo, polos, polo shirt, polo shirts"),
    "blouse": ("shirt", "blouse, blouses"),
    "tank top": ("shirt", "tank top, tank tops, tank, vest top, cami, camisole, camisoles"),
    "tunic": ("shirt", "tunic, tunics"),
    "kurta": ("shirt", "kurta, kurtas, kurti, kurtis"),
    "sweater": ("shirt", "sweater, sweaters, jumper, jumpers, pullover, pullovers"),
    "hoodie": ("shirt", "hoodie, hoodies"),
    "sweatshirt": ("shirt", "sweatshirt, sweatshirts"),
    "cardigan": ("shirt", "cardigan, cardigans"),
    "waistcoat": ("jacket", "waistcoat, waistcoats"),
    "coat": ("jacket", "coat, coats, overcoat, overcoats, parka, parkas, trench, raincoat, raincoats, trench coat"),
    "blazer": ("jacket", "blazer, blazers"),
    "jeans": ("pants", "jeans, jean"),
    "leggings": ("pants", "leggings, tights"),
    "joggers": ("pants", "joggers, sweatpants, track pants, tracksuit bottoms"),
    "capris": ("pants", "capris"),
    "jumpsuit": ("dress", "jumpsuit, jumpsuits, romper, rompers, playsuit"),
    "sneakers": ("shoe", "sneaker, sneakers, trainer, trainers"),
    "boots": ("shoe", "boot, boots, ankle boots"),
    "sandals": ("shoe", "sandal, sandals"),
    "heels": ("shoe", "heel, heels, pumps, stilettos"),
    "flats": ("shoe", "flats, loafer, loafers, ballerinas, oxfords, brogues"),
    "flip-flops": ("shoe", "flip flops, slippers"),
    "backpack": ("bag", "backpack, backpacks, rucksack, rucksacks"),
    "beanie": ("hat", "beanie, beanies"),
}
"""Kind → its category of ours, and the words that name it and nothing wider."""
_WIDE = {"caps": "cap", "cap": "cap", "shirts": "shirt", "trouser": "trousers"}
"""Words of a whole category that are also the name of one of its kinds, in the spelling of `shop_words.KINDS`."""
_SURFACES = {clean(word): kind for kind, (_, words) in _KIND_WORDS.items() for word in words.split(", ")}
_CATEGORY_WORDS = {word: category for category, words in CATEGORY_NOUNS.items() for word in words}

_MORE = (
    *(("category", surface) for surface in _SURFACES),
    *(("pattern", word) for word in ("plain", "colour blocked", "color blocked", "multi print", "all over print")),
    *(("colour", word) for word in ("multicoloured", "multicolored", "sea green", "lime green", "coffee brown")),
    *(("neckline", word) for word in ("mandarin collar", "crew neckline", "hooded", "hood", "polo collar", "polo neckline", "scoop")),
    *(("sleeve", word) for word in ("half sleeves", "half sleeve", "full sleeves", "three quarter sleeves")),
)  # fmt: skip
_SAME = {
    "plain": "solid", "unpatterned": "solid", "colour blocked": "colourblocked", "color blocked": "colourblocked",
    "multi print": "printed", "all over print": "printed", "crew": "round", "crew neckline": "round", "hooded": "hood",
    "mandarin collar": "mandarin", "polo collar": "polo", "polo neckline": "polo", "half sleeves": "short", "half sleeve": "short",
    "full sleeves": "long", "three quarter sleeves": "three-quarter", "multicolored": "multicoloured", "multicolour": "multicoloured",
}  # fmt: skip
_FIXED = {
    "polo": ("neckline", "polo"), "hoodie": ("neckline", "hood"), "tank top": ("sleeve", "sleeveless"),
    "long-sleeved top": ("sleeve", "long"), "turtleneck": ("neckline", "high"),
}  # fmt: skip
"""What a kind says by its name alone."""


@dataclass(frozen=True, slots=True)
class Statement:
    """text[start:end] says that `facet` of a garment is one of `values` (the plainest first).

    `implied`: by another word ("polo shirt" has a polo collar): it may be right, and is never held against a caption.
    `denied`: the sentence says that it is not so.
    """

    start: int
    end: int
    facet: str
    values: tuple[str, ...]
    implied: bool = False
    denied: bool = False


@dataclass(frozen=True, slots=True)
class GarmentWord:
    """A garment that the text names, with what is said of it. `kind`: "" for a word of a whole category."""

    start: int
    end: int
    category: str
    kind: str
    said: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """A caption read. `loose`: what belongs to no garment word in particular ("The fabric is linen")."""

    garments: tuple[GarmentWord, ...]
    loose: tuple[Statement, ...]

    def of_product(self, category: str) -> tuple[GarmentWord, ...]:
        """The words for the product: those of its category, else the first, for that is what the caption is of."""
        return tuple(word for word in self.garments if word.category == category) or self.garments[:1]


def read(text: str) -> Reading:
    """Read a caption's sentences."""
    found = mentions(text, tuple(dict.fromkeys(_MORE)))
    nouns = [m for m in found if m.values("category") is not None]
    said: dict[int, list[Statement]] = {noun.start: [] for noun in nouns}
    loose: list[Statement] = []
    for mention in found:
        for facet, values in mention.claims:
            if facet not in _FACETS or (facet == "fabric" and mention in nouns):  # "jeans" are no claim of denim
                continue
            owner = _owner(mention, nouns, found, text)
            if owner is None and mention.surface in ("plain", "hood", "scoop", "down", "rose", "felt"):
                continue  # "keep the rest plain"
            (loose if owner is None else said[owner.start]).append(_statement(mention, facet, values, text))
    return Reading(tuple(_garment(noun, said[noun.start]) for noun in nouns), tuple(loose))


def _owner(mention: Mention, nouns: Sequence[Mention], found: Sequence[Mention], text: str) -> Mention | None:
    owners, _ = owners_of(mention, nouns, found, text)
    return owners[0] if owners else None


def _statement(mention: Mention, facet: str, values: Sequence[str], text: str) -> Statement:
    same = tuple(_SAME.get(value, value) for value in values)
    name = _NAMES.get(facet, facet)
    return Statement(mention.start, mention.end, name, same, denied=denies(mention, text))


def _garment(noun: Mention, said: Sequence[Statement]) -> GarmentWord:
    kind = _SURFACES.get(noun.surface, "")
    category = (
        _KIND_WORDS[kind][0] if kind else _CATEGORY_WORDS.get(noun.surface, (noun.values("category") or ("",))[0])
    )
    if not kind and noun.surface not in _CATEGORY_WORDS and category in CATEGORIES:
        kind = noun.surface  # "kimono": narrower than its category, and none of our kinds
    facet, value = _FIXED.get(kind, ("", ""))
    implied = (Statement(noun.start, noun.end, facet, (value,), implied=True),) if facet else ()
    return GarmentWord(noun.start, noun.end, category, kind, (*said, *implied))


def wide_kind(word: str, category: str) -> str:
    """The kind that a word of a whole category also names ("trousers"); "" where it names none ("top")."""
    surface = clean(word)
    if surface in ("top", "tops", "outerwear", "footwear", "bottoms", "eyewear", "headwear"):
        return ""
    if surface in _WIDE:
        return _WIDE[surface]
    plain = {"pants": "trousers", "sunglass": "sunglasses"}.get(category, category)
    return plain if _CATEGORY_WORDS.get(surface) == category else ""
