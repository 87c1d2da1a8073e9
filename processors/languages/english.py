"""English."""

from __future__ import annotations

from processors.languages.grammar import After, Noun, Words, joined
from processors.vocabulary import cloth_of

_OWNERS = {"women": "women's", "men": "men's", "boys": "boys'", "girls": "girls'", "kids": "kids'", "unisex": "unisex"}
_AUDIENCES = {"unisex": "everyone"}
_PATTERNS = {"solid": "plain", "colourblocked": "colour-blocked", "animal": "animal-print"}
_PATTERNED = {
    "striped": "stripes", "checked": "checks", "dotted": "dots", "floral": "a floral print", "printed": "a print", "animal": "an animal print",
    "graphic": "a graphic print", "colourblocked": "colour blocks", "tie-dye": "tie-dye", "camouflage": "a camouflage print",
}  # fmt: skip
_SLEEVES = {"sleeveless": "sleeveless"}
_NECKS = {"v": "V-neckline", "collar": "collar", "polo": "polo collar", "mandarin": "mandarin collar", "hood": "hood"}
_NECKED = {
    "v": "V-neck",
    "collar": "collared",
    "hood": "hooded",
    "crew": "crew-neck",
    "round": "round-neck",
    "high": "high-neck",
}
_LENGTHS = frozenset({"full", "knee", "hip", "ankle", "calf", "floor", "waist"})
_NOUNS: dict[str, str] = {
    "t-shirt": "T-shirt", "top": "top", "shirt": "shirt", "polo": "polo", "blouse": "blouse", "tank top": "tank top",
    "sweater": "sweater", "hoodie": "hoodie", "sweatshirt": "sweatshirt", "cardigan": "cardigan", "jacket": "jacket", "coat": "coat",
    "blazer": "blazer", "skirt": "skirt", "dress": "dress", "jumpsuit": "jumpsuit", "cap": "cap", "hat": "hat", "beanie": "beanie",
    "bag": "bag", "backpack": "backpack", "tunic": "tunic", "kurta": "kurta",
}  # fmt: skip
_PLURALS = "jeans trousers leggings joggers shorts sneakers boots sandals heels flats sunglasses"


class English(Words):
    """Facts before the noun where the order has them there, else after it."""

    code = "en"
    nouns = {  # noqa: RUF012 - read only, as the protocol says
        **{name: Noun(text) for name, text in _NOUNS.items()},
        **{name: Noun(name, plural=True) for name in _PLURALS.split()},
        "category:shirt": Noun("top"),
        "category:pants": Noun("trousers", plural=True),
        "category:shoe": Noun("shoes", plural=True),
        "category:sunglass": Noun("sunglasses", plural=True),
    }
    order = ("length", "colour", "pattern", "fabric", "kind", "sleeve", "neckline", "audience")
    conjunction = "and"
    commas: frozenset[str] = frozenset()
    joining = frozenset({"pattern", "sleeve", "neckline"})
    frames = {  # noqa: RUF012
        "plain": ("{A}.",),
        "warm": ("Meet {a}.", "There is something lovely about {a}.", "Build your day around {a}."),
        "editorial": ("The season opens with {a}.", "Attention falls on {a}.", "Consider {a}."),
        "playful": ("Say hello to {a}!", "Mood of the day: {a}.", "Look what showed up: {a}!"),
    }
    bare = frozenset({""})
    others = "Worn with {others}."
    made_of = "Made of {fabric}."
    detailed = "With {details}."
    made_for = "For {audience}."
    neutral = ("A new arrival in the shop.", "New in the catalogue.")
    tags = (
        "newin",
        "ootd",
        "outfitideas",
        "fashion",
        "style",
        "wardrobe",
        "lookoftheday",
        "newarrivals",
        "styleinspo",
        "outfit",
    )

    def before(self, facet: str, values: tuple[str, ...], noun: Noun) -> str:  # noqa: ARG002 - English nouns agree with nothing
        """Such as "navy and white", "striped", "women's", "long-sleeved"."""
        value = values[0]
        if facet == "sleeve":
            return _SLEEVES.get(value, "" if value in ("puff", "cap") else f"{value}-sleeved")
        return {
            "colour": joined(values, self.conjunction),
            "pattern": _PATTERNS.get(value, value),
            "fabric": value,
            "audience": _OWNERS.get(value, ""),
            "length": f"{value}-length" if value in _LENGTHS else value,
            "neckline": _NECKED.get(value, ""),
        }.get(facet, "")

    def after(self, facet: str, values: tuple[str, ...], noun: Noun) -> After | None:  # noqa: ARG002
        """Such as "with long sleeves", "in navy", "made of linen", "for women"."""
        value = values[0]
        if facet == "sleeve":
            return After("without", "sleeves") if value == "sleeveless" else After("with", f"{value} sleeves")
        if facet == "neckline":
            name = _NECKS.get(value, f"{value} neckline")
            return After("with", f"{'an' if name[0] in 'aeiou' else 'a'} {name}")
        if facet == "pattern":
            if value == "solid":
                return None  # "a dress in navy" is plain
            return After("with", _PATTERNED.get(value, f"{'an' if value[0] in 'aeiou' else 'a'} {value} pattern"))
        found = {
            "colour": After("in", joined(values, self.conjunction)),
            "fabric": After("made of", cloth_of(value)),  # "in cotton in red" says "in" twice
            "audience": After("for", _AUDIENCES.get(value, value)),
            "length": After("in", f"{value} length"),
        }
        return found.get(facet)

    def article(self, noun: Noun, text: str) -> str:
        """Such as "a navy dress", "an olive bag", "black shoes"."""
        if noun.plural:
            return text
        return f"{'an' if text[:1].lower() in 'aeiou' and not text.startswith('uni') else 'a'} {text}"
