"""What a shop says of a product, in the values of Weft's facets: the written tables of `weft eval captions`.

A facet's truth is a set of values, any of which may be said: a shop's "Printed" is true of a floral print as well. What no
table maps ("Washed", "Self Design" of a sleeve) is not known, and nothing is held against a caption for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

from models.yardsticks.colour_names import true_names
from models.yardsticks.seen import TYPES
from processors.attributes import attributes_of
from processors.claims import mentions
from processors.garments import kind_of
from processors.labels import read_label
from processors.values import CATEGORIES, Metadata
from processors.vocabulary import clean, known_values

Truth: TypeAlias = Mapping[str, frozenset[str]]
"""Facet → the values that may be said of it; a facet that the shop leaves open is absent."""

FACETS = ("category", "colour", "pattern", "sleeve", "neckline", "fabric", "audience")
SEEN_FACETS = FACETS[:5]
"""Those that a photo can tell: `coverage` counts them. Fabric and audience are told by metadata."""

_TYPE = ("articletype", "article type", "product type", "google product category", "category", "type", "sub category")
_COLOUR = ("basecolour", "base colour", "base color", "colour", "color", "colour name", "color name")
_FURTHER_COLOURS = ("colour1", "colour2", "colour 2", "color 2", "second colour", "secondary colour", "secondary color")
_PATTERN = ("pattern", "print", "print or pattern type", "pattern type")
_SLEEVE = ("sleeve length", "sleeve", "sleeves")
_NECKLINE = ("neck", "neckline", "collar")
_FABRIC = ("fabric", "material", "fabric type", "composition")

_PRINTS = frozenset(
    "printed graphic floral dotted paisley geometric animal camouflage tie-dye patterned ombre".split()  # noqa: SIM905
)
_ROUND = frozenset({"round", "crew"})
_COLLAR = frozenset({"collar", "shirt"})
_POLO = frozenset({"polo", "collar"})

PATTERNS: dict[str, frozenset[str]] = {
    "solid": frozenset({"solid"}), "plain": frozenset({"solid"}), "self design": frozenset({"solid", "patterned"}),
    "printed": _PRINTS, "print": _PRINTS, "patterned": _PRINTS | {"striped", "checked"}, "abstract": _PRINTS, "ethnic motifs": _PRINTS,
    "conversational": _PRINTS, "graphic": frozenset({"graphic", "printed"}), "typography": frozenset({"graphic", "printed"}),
    "striped": frozenset({"striped"}), "stripes": frozenset({"striped"}), "horizontal stripes": frozenset({"striped"}),
    "vertical stripes": frozenset({"striped"}), "checked": frozenset({"checked"}), "checks": frozenset({"checked"}),
    "tartan checks": frozenset({"checked"}), "floral": frozenset({"floral", "printed"}),
    "polka dots": frozenset({"dotted", "printed"}), "animal": frozenset({"animal", "printed"}),
    "geometric": frozenset({"geometric", "printed"}), "tie and dye": frozenset({"tie-dye", "printed"}),
    "colourblocked": frozenset({"colourblocked"}), "camouflage": frozenset({"camouflage", "printed"}),
}  # fmt: skip
SLEEVES: dict[str, frozenset[str]] = {
    "short sleeves": frozenset({"short", "cap"}), "long sleeves": frozenset({"long"}), "sleeveless": frozenset({"sleeveless"}),
    "no sleeves": frozenset({"sleeveless"}), "three quarter sleeves": frozenset({"three-quarter"}), "cap sleeves": frozenset({"cap", "short"}),
}  # fmt: skip
NECKLINES: dict[str, frozenset[str]] = {
    "round neck": _ROUND, "crew neck": _ROUND, "scoop neck": frozenset({"scoop", "round"}), "v neck": frozenset({"v"}),
    "polo collar": _POLO, "spread collar": _COLLAR, "shirt collar": _COLLAR, "cutaway collar": _COLLAR,
    "slim collar": _COLLAR, "mandarin collar": frozenset({"mandarin", "high", "collar"}), "mock collar": frozenset({"high"}),
    "high neck": frozenset({"high"}), "hood": frozenset({"hood"}), "hooded": frozenset({"hood"}), "boat neck": frozenset({"boat"}),
    "square neck": frozenset({"square"}), "halter neck": frozenset({"halter"}), "off shoulder": frozenset({"off-shoulder"}),
    "strapless": frozenset({"off-shoulder", "strapless"}),
}  # fmt: skip
_SILENT = frozenset(
    {"shoulder straps", "cowl neck", "tie up neck", "keyhole neck", "washed", "dyed", "textured", "embellished"}
)
"""Words that no value of ours is right or wrong for."""

KINDS: dict[str, frozenset[str]] = {
    "tshirts": frozenset({"t-shirt"}), "shirts": frozenset({"shirt"}), "innerwear vests": frozenset({"tank top"}),
    "tops": frozenset({"blouse", "tank top", "t-shirt", "long-sleeved top", "tunic", "shirt", "top"}),
    "kurtas": frozenset({"tunic", "kurta"}), "kurtis": frozenset({"tunic", "kurta"}), "tunics": frozenset({"tunic"}),
    "camisoles": frozenset({"tank top"}), "sweaters": frozenset({"sweater", "cardigan"}),
    "sweatshirts": frozenset({"sweatshirt", "hoodie"}), "jackets": frozenset({"jacket", "coat"}),
    "blazers": frozenset({"blazer", "jacket"}), "waistcoat": frozenset({"waistcoat"}), "shrug": frozenset({"cardigan", "jacket"}),
    "rain jacket": frozenset({"jacket", "coat"}), "nehru jackets": frozenset({"jacket"}), "trousers": frozenset({"trousers"}),
    "jeans": frozenset({"jeans"}), "track pants": frozenset({"joggers", "trousers"}), "lounge pants": frozenset({"joggers", "trousers"}),
    "capris": frozenset({"capris", "trousers", "leggings"}), "leggings": frozenset({"leggings"}), "jeggings": frozenset({"leggings", "jeans"}),
    "tights": frozenset({"leggings"}), "churidar": frozenset({"leggings", "trousers"}), "salwar": frozenset({"trousers"}),
    "patiala": frozenset({"trousers"}), "rain trousers": frozenset({"trousers"}), "shorts": frozenset({"shorts"}),
    "lounge shorts": frozenset({"shorts"}), "skirts": frozenset({"skirt"}), "dresses": frozenset({"dress"}), "nightdress": frozenset({"dress"}),
    "jumpsuit": frozenset({"jumpsuit"}), "casual shoes": frozenset({"sneakers", "flats"}), "sports shoes": frozenset({"sneakers"}),
    "formal shoes": frozenset({"flats", "shoe"}), "heels": frozenset({"heels", "sandals"}), "flats": frozenset({"flats", "sandals"}),
    "sandals": frozenset({"sandals"}), "sports sandals": frozenset({"sandals"}), "flip flops": frozenset({"flip-flops", "sandals"}),
    "handbags": frozenset({"bag"}), "backpacks": frozenset({"backpack"}), "rucksacks": frozenset({"backpack"}), "clutches": frozenset({"bag"}),
    "laptop bag": frozenset({"bag"}), "duffel bag": frozenset({"bag"}), "messenger bag": frozenset({"bag"}),
    "sunglasses": frozenset({"sunglasses"}), "caps": frozenset({"cap"}), "hat": frozenset({"hat"}),
}  # fmt: skip
"""A shop's type, cleaned → the kinds that it may be called; wider words ("a top") are right or wrong by their category."""


def truth_of(fields: Mapping[str, str | float], brand: str = "") -> dict[str, frozenset[str]]:
    """What a shop says of one product.

    Args:
        fields: its fields by name, nested ones opened ("articleType", "Sleeve Length", "title" …).
        brand: left out of the title: brands are called "Black Coffee" and "Classic Polo".

    Returns:
        Facet (`FACETS` and "kind") → values. Of a facet that no field states, what the title says.
    """
    given = {clean(name): value for name, value in fields.items() if isinstance(value, str) and value.strip()}
    found: dict[str, frozenset[str]] = {}
    category, kinds = _category(given)
    found["category"] = frozenset({category} - {""})
    found["colour"] = frozenset(true_names(_first(given, _COLOUR)))
    found["pattern"] = _pattern(given)
    found["sleeve"] = _mapped(given, _SLEEVE, SLEEVES, "sleeve")
    found["neckline"] = _mapped(given, _NECKLINE, NECKLINES, "neckline")
    found["fabric"] = _fabric(_first(given, _FABRIC))
    found["audience"] = _audience(given)
    title = given.get("title") or given.get("productdisplayname", "")
    title = re.sub(re.escape(brand), " ", title, flags=re.IGNORECASE) if brand else title
    for facet, values in _of_title(title).items():
        # A type that is none of ours ("Watches") stays none, whatever else the title names.
        if facet != "category" or not given.get("articletype"):
            found[facet] = found.get(facet) or values
    found["kind"] = _kinds_beside(kinds, found)
    return {facet: values for facet, values in found.items() if values}


def further_colours(fields: Mapping[str, str | float]) -> frozenset[str]:
    """Our names of the further colours that a shop says: right to say, but not what the garment is called first."""
    given = {clean(name): str(value) for name, value in fields.items()}
    return frozenset(name for field in _FURTHER_COLOURS for name in true_names(given.get(field, "")))


def _first(given: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((given[name] for name in names if given.get(name)), "")


def _category(given: Mapping[str, str]) -> tuple[str, frozenset[str]]:
    """The category of ours and the kinds that the shop's type names; "" where it names none of ours."""
    for name in _TYPE:
        # "Apparel > Clothing > Dresses": the last is the narrowest.
        stated = clean(re.split(r"[>/|]", given.get(name, ""))[-1])
        if not stated:
            continue
        category = TYPES.get(stated) or ("" if name == "articletype" else kind_of(stated))
        if category:
            return category, KINDS.get(stated, KINDS.get(f"{stated}s", frozenset()))
        if name == "articletype":
            return "", frozenset()  # a watch; what else its fields say ("Type": "Regular") makes it no garment
    return "", frozenset()


def _kinds_beside(kinds: frozenset[str], found: Truth) -> frozenset[str]:
    """A T-shirt with a polo collar is a polo to most shops, a sleeveless one a tank top, a long-sleeved one a top."""
    if "t-shirt" in kinds:
        kinds |= {"polo"} if "polo" in found.get("neckline", ()) else frozenset()
        kinds |= {"tank top"} if "sleeveless" in found.get("sleeve", ()) else frozenset()
        kinds |= {"long-sleeved top"} if "long" in found.get("sleeve", ()) else frozenset()
    if kinds == {"shirt"} and found.get("audience", frozenset()) & {"women", "girls"}:
        kinds |= {"blouse"}
    return kinds


def _pattern(given: Mapping[str, str]) -> frozenset[str]:
    stated = [PATTERNS.get(clean(given[name])) or _read("pattern", given[name]) for name in _PATTERN if name in given]
    known = [values for values in stated if values]
    if not known:
        return frozenset()
    # "Printed" beside "Floral": the narrower word holds, where the one allows the other.
    narrower = next((values for values in known[1:] if values < known[0]), None)
    return narrower or known[0]


def _mapped(
    given: Mapping[str, str], names: tuple[str, ...], table: Mapping[str, frozenset[str]], facet: str
) -> frozenset[str]:
    stated = [given[name] for name in names if given.get(name)]
    return frozenset(value for text in stated for value in table.get(clean(text)) or _read(facet, text))


def _read(facet: str, text: str) -> frozenset[str]:
    """The value of a label that no table here lists, where the lists of captions know it."""
    if clean(text) in _SILENT:
        return frozenset()
    value = read_label(facet, text)
    return frozenset({value}) if value in known_values(facet) else frozenset()


def _fabric(text: str) -> frozenset[str]:
    value = read_label("fabric", text) if text else ""
    parts = {value, *value.split()} if value.endswith(" blend") else {value}
    # Denim is cotton, and a shop that says cotton of its jeans does not deny it.
    return frozenset(parts | ({"denim"} if "cotton" in value else set())) - {""}


def _audience(given: Mapping[str, str]) -> frozenset[str]:
    told = attributes_of(Metadata(gender=given.get("gender", ""), facets={n: given[n] for n in given if n != "gender"}))
    value = _AGES.get(clean(given.get("agegroup", "")), told["gender"].value if "gender" in told else "")
    if value == "unisex":
        return frozenset({"unisex", "men", "women"})
    return frozenset({value, "kids"} if value in ("boys", "girls") else {value}) - {""}


_AGES = {
    "adults men": "men",
    "adults women": "women",
    "kids boys": "boys",
    "kids girls": "girls",
    "kids unisex": "kids",
}


def _of_title(title: str) -> dict[str, frozenset[str]]:
    """What a title says by the word lists of captions; of several garments it sells the last ("shirt dress")."""
    found: dict[str, frozenset[str]] = {}
    for mention in mentions(title, (("pattern", "check"), ("pattern", "stripe"))):
        for facet, values in mention.claims:
            if facet == "category" and values[0] in CATEGORIES:
                found["category"] = frozenset(values[:1])
            elif facet == "colour":
                found.setdefault("colour", frozenset(true_names(values[0])))
            elif facet in ("pattern", "sleeve", "neckline", "fabric"):
                table = {"pattern": PATTERNS, "sleeve": {}, "neckline": {}}.get(facet, {})
                value = {"check": "checked", "stripe": "striped"}.get(values[0], values[0])
                found.setdefault(facet, table.get(value, frozenset({value})))
            elif facet == "gender":
                found.setdefault("audience", frozenset(values))
    return found
