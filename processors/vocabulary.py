"""The words a caption may claim something with, and what each of them claims.

A *claim* is a facet ("colour") and the canonical values that make it true ("blue" is true of "blue", but also of
"navy"). The verifier rejects on these lists, so a claim in words that no list knows passes: the lists err on the side
of too many words. Evidence may hold values that no list knows ("bouclé"); `processors.claims` adds them for one evidence pack.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache

from processors.palette import PALETTE, SYNONYMS
from processors.values import CATEGORIES

FACETS: tuple[str, ...] = ("category", "colour", "fabric", "gender")
"""The facets that coverage counts."""
EXTRA_FACETS: tuple[str, ...] = ("pattern", "sleeve", "neckline", "length")
"""Facets that a caption may state when the evidence has them, and that coverage does not count."""

Claim = tuple[str, tuple[str, ...]]
"""A facet, and the canonical values any of which grounds the claim."""
Forms = dict[str, tuple[Claim, ...]]
"""Lower-case surface ("navy blue", words apart by one space) -> its claims."""

# What the shopper calls each class: any of these names the class and nothing more. The first is the plain noun.
CATEGORY_NOUNS: dict[str, tuple[str, ...]] = {
    "sunglass": ("sunglasses", "sunglass", "shades", "sunnies", "eyewear"),
    "hat": ("hat", "hats", "headwear", "cap", "caps"),
    "jacket": ("jacket", "jackets", "outerwear"),
    "shirt": (
        "shirt",
        "shirts",
        "top",
        "tops",
        "tee",
        "tees",
        "t shirt",
        "t shirts",
        "tshirt",
        "tshirts",
        "blouse",
        "blouses",
    ),
    "pants": ("pants", "trousers", "trouser", "pant", "bottoms"),
    "shorts": ("shorts",),
    "skirt": ("skirt", "skirts"),
    "dress": ("dress", "dresses", "gown", "gowns", "frock", "frocks"),
    "bag": ("bag", "bags", "handbag", "handbags", "purse", "purses"),
    "shoe": ("shoes", "shoe", "footwear"),
}

# Narrower than a class: naming one claims the class *and* the kind, which only the evidence's own words can ground.
KINDS: dict[str, str] = {
    "hat": "beanie beanies beret berets fedora fedoras bonnet visor sunhat turban",
    "jacket": "coat coats blazer blazers parka parkas anorak bomber trench windbreaker overcoat overcoats raincoat cape poncho",
    "shirt": "sweater sweaters jumper jumpers hoodie hoodies sweatshirt sweatshirts pullover pullovers camisole cami "
    "bodysuit polo tunic tunics kurta kurtas henley turtleneck",
    "pants": "chinos leggings joggers slacks capris culottes sweatpants cargos",
    "shorts": "bermudas",
    "skirt": "kilt tutu",
    "dress": "sundress sundresses kaftan",
    "bag": "backpack backpacks tote totes clutch clutches satchel satchels rucksack wallet wallets",
    "shoe": "boot boots sneaker sneakers trainer trainers heel heels sandal sandals loafer loafers pumps flats "
    "stilettos brogues oxfords mules espadrilles flip-flops slippers",
}

# Garments that no class covers.
OTHER_GARMENTS = (
    "belt belts scarf scarves glove gloves sock socks stockings tights necktie cravat necklace necklaces earring "
    "earrings bracelet bracelets ring rings jewellery jewelry wristwatch brooch vest vests waistcoat cardigan "
    "cardigans jumpsuit jumpsuits romper rompers playsuit overalls dungarees tuxedo tracksuit pyjamas pajamas robe "
    "kimono sari saree swimsuit bikini swimwear lingerie underwear bra apron shawl stole mittens suspenders umbrella "
    "a-watch a-tie a-suit watches"
)

FABRIC_WORDS: dict[str, str] = {
    "cotton": "cotton",
    "linen": "linen",
    "denim": "denim",
    "wool": "wool woollen woolen woolly",
    "silk": "silk silky silken",
    "leather": "leather",
    "polyester": "polyester",
    "viscose": "viscose rayon",
    "nylon": "nylon",
    "knit": "knit knitted knitwear",
    "satin": "satin",
    "velvet": "velvet",
    "suede": "suede",
    "corduroy": "corduroy cord",
    "cashmere": "cashmere",
    "chiffon": "chiffon",
    "lace": "lace lacy",
    "tweed": "tweed",
    "fleece": "fleece",
    "jersey": "jersey",
    "canvas": "canvas",
    "synthetic": "synthetic synthetics",
    "acrylic": "acrylic",
    "blended": "blended blend",
    "modal": "modal",
    "elastane": "elastane spandex lycra",
    "mesh": "mesh",
    "tulle": "tulle",
    "straw": "straw",
    "fur": "fur furry",
    "felt": "felted",
    "rubber": "rubber",
    "flannel": "flannel",
    "crepe": "crepe crêpe",
    "organza": "organza",
    "hemp": "hemp",
    "alpaca": "alpaca",
    "mohair": "mohair",
    "bamboo": "bamboo",
    "down": "duvet",
    "chambray": "chambray",
    "poplin": "poplin",
    "gabardine": "gabardine",
    "taffeta": "taffeta",
    "brocade": "brocade",
    "metal": "metal",
    "plastic": "plastic",
}

CLOTH: dict[str, str] = {"knit": "knit fabric", "synthetic": "synthetic fabric", "blended": "blended fabric"}
"""What a garment is made of, where the fabric's word says how the cloth is: "made of knit" is no English."""


def cloth_of(fabric: str) -> str:
    """What a sentence says a garment is made of: "linen", "knit fabric", "a wool blend"."""
    if fabric.endswith(" blend"):
        return f"{'an' if fabric[0] in 'aeiou' else 'a'} {fabric}"
    return CLOTH.get(fabric, fabric)


IMITATED = ("leather", "fur", "suede")
"""Fabrics whose imitations have names of their own; a caption, a tag or a wish that says one of them claims that one."""
_IMITATED_BY = [
    "faux",
    "fake",
    "imitation",
    "artificial",
    "synthetic",
    "simulated",
    "mock",
    "vegan",
    "pu",
    "polyurethane",
    "man-made",
    "manmade",
    "eco",
]
_IMITATED_LIKE = ("look", "like", "effect", "alternative", "substitute", "imitation")
IMITATIONS: dict[str, tuple[str, ...]] = {
    f"faux {name}": (*(f"{by} {name}" for by in _IMITATED_BY), *(f"{name} {like}" for like in _IMITATED_LIKE))
    for name in IMITATED
}
"""Canonical imitation -> what it is called. "Leather" is true of none of them."""
MORE_FABRICS: dict[str, str] = {"polyurethane": "polyurethane pu", "faux leather": "leatherette pleather"}
"""Fabrics of labels that packs are not drawn with (`models.recipes.writer_data`)."""

GENDER_WORDS: dict[str, tuple[tuple[str, ...], str]] = {
    "women": (
        ("women",),
        "women woman womens womans womenswear ladies lady ladieswear female females feminine womanly",
    ),
    "men": (("men",), "men man mens mans menswear male males masculine gentleman gentlemen manly"),
    "unisex": (("unisex",), "unisex genderless androgynous gender-neutral"),
    "boys": (("boys",), "boys boy boyish"),
    "girls": (("girls",), "girls girl girly girlish"),
    "kids": (("kids", "boys", "girls"), "kids kid children child childrens toddler toddlers kidswear"),
    "she": (("women", "girls"), "she her hers herself"),
    "he": (("men", "boys"), "he him his himself"),
}

PATTERN_WORDS: dict[str, str] = {
    "striped": "striped stripes stripe stripy pinstripe pinstriped pinstripes",
    "checked": "checked checks checkered chequered plaid tartan gingham",
    "dotted": "dotted dots polka-dot polka-dots polka spotted spots",
    "floral": "floral florals flower flowers flowery botanical blossom blossoms",
    "printed": "printed print prints",
    "solid": "solid plain unpatterned",
    "animal": "leopard zebra snakeskin animal-print",
    "camouflage": "camouflage camo",
    "paisley": "paisley",
    "geometric": "geometric",
    "graphic": "graphic graphics logo logos slogan",
    "tie-dye": "tie-dye tie-dyed",
    "colourblocked": "colourblock colourblocked colorblock colorblocked colour-block color-block colour-blocked color-blocked",
    "ombre": "ombre ombré",
    "herringbone": "herringbone",
    "houndstooth": "houndstooth dogtooth",
    "argyle": "argyle",
    "patterned": "patterned",
}

SLEEVE_WORDS: dict[str, str] = {
    "long": "long-sleeve long-sleeves long-sleeved",
    "short": "short-sleeve short-sleeves short-sleeved",
    "sleeveless": "sleeveless strapless",
    "three-quarter": "three-quarter-sleeve three-quarter-sleeves three-quarter-sleeved",
    "puff": "puff-sleeve puff-sleeves puff-sleeved puffed-sleeves",
    "cap": "cap-sleeve cap-sleeves cap-sleeved",
}

NECKLINE_WORDS: dict[str, str] = {
    "v": "v-neck v-neckline v-necked",
    "crew": "crew-neck crew-neckline crewneck",
    "round": "round-neck round-neckline",
    "scoop": "scoop-neck scoop-neckline",
    "square": "square-neck square-neckline",
    "boat": "boat-neck boat-neckline",
    "high": "high-neck high-neckline polo-neck roll-neck turtle-neck",
    "halter": "halter halter-neck halterneck",
    "off-shoulder": "off-shoulder off-the-shoulder",
    "collar": "collar collared collars",
    "polo": "polo-collar polo-collars",
    "mandarin": "mandarin-collar mandarin-collars stand-up-collar",
    "hood": "hood hoods hooded",
}

COLLARS = frozenset({"polo", "mandarin"})
"""Necklines that are collars: "with a collar" is true of them."""

LENGTH_WORDS: dict[str, str] = {
    "maxi": "maxi floor-length ankle-length full-length",
    "midi": "midi calf-length",
    "knee": "knee-length",
    "mini": "mini",
    "cropped": "cropped",
    "long": "long longline",
    "short": "short",
}

BODY_LENGTHS = frozenset({"knee", "hip", "ankle", "calf", "floor", "waist", "full"})
"""Lengths that are named by a part of the body, or by none: a "knee-length" skirt, "full-length" trousers."""

# Claims about make and detail, which no facet of the evidence grounds unless its own words hold them.
DETAIL_WORDS = (
    "embroidery embroidered sequin sequins sequined beaded beading beads pearls rhinestone rhinestones ruffle ruffles "
    "ruffled pleat pleats pleated fringe fringed tassel tassels ruched ruching quilted padded lined lining pocket "
    "pockets button buttons buttoned zip zipper zipped buckle buckles drawstring lapel lapels hem hemline "
    "cuff cuffs waistband strap straps sleeve sleeves neckline bow bows lace-up wrap wraparound bodycon peplum "
    "a-line flared skinny wide-leg straight-leg slim-fit oversized fitted tailored high-waisted high-rise low-rise "
    "asymmetric backless slit distressed ripped faded waterproof waterproofed handmade hand-made organic recycled "
    "vegan sustainable designer vintage retro eyelet studded studs metallic sheer transparent glossy shiny sparkly "
    "glitter embellished textured ribbed crochet crocheted stretch stretchy breathable insulated reversible"
)

# Colour words beyond the palette: never grounded unless the evidence says the same word.
STRANGE_COLOURS = (
    "bronze amber apricot ruby jade lime pistachio champagne mocha espresso oxblood cherry raspberry aubergine "
    "eggplant orchid periwinkle cerulean azure sapphire ultramarine pearl vanilla saffron brick sienna umber mahogany "
    "chestnut walnut oatmeal seafoam chartreuse multicolour multicolor multicoloured multicolored rainbow neon pastel "
    "gunmetal platinum steel bluish greenish reddish colourless"
)
SHADES = ("light", "dark", "pale", "deep", "bright")

# A family word is true of every shade in it.
FAMILIES: dict[str, tuple[str, ...]] = {
    "blue": ("navy", "steel blue", "light blue"),
    "grey": ("charcoal", "light grey"),
    "green": ("dark green", "mint", "olive"),
    "red": ("burgundy",),
    "yellow": ("mustard",),
    "purple": ("lavender",),
    "pink": ("magenta",),
    "brown": ("tan",),
}


def clean(text: str) -> str:
    """Lower case, letters and digits apart by one space: the form in which surfaces are compared."""
    return _cleaned_word(text) if len(text) <= _WORD_CHARS else _cleaned(text)


_WORD_CHARS = 48
"""Values are as short, and come again with every product; sentences are not worth remembering."""


def _cleaned(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", text.lower()))


@lru_cache(maxsize=16384)
def _cleaned_word(text: str) -> str:
    return _cleaned(text)


@cache
def base_forms() -> Forms:
    """Every surface of the lists above with its claims. Built once, 1,000-odd entries."""
    forms: Forms = {}

    def add(surfaces: Iterable[str], *claims: Claim) -> None:
        for surface in surfaces:
            forms.setdefault(clean(surface), claims)

    for surfaces, claims in _garments():
        add(surfaces, *claims)
    for surface, claim in _colours():
        add((surface,), claim)
    for value, surfaces in _fabrics():
        add(surfaces, ("fabric", (value,)))
    for values, words in GENDER_WORDS.values():
        add(words.split(), ("gender", values))
    tables = {"pattern": PATTERN_WORDS, "sleeve": SLEEVE_WORDS, "neckline": NECKLINE_WORDS, "length": LENGTH_WORDS}
    for facet, table in tables.items():
        for value, words in table.items():
            add(words.split(), (facet, (value,)))
    add(DETAIL_WORDS.split(), ("detail", ()))
    return forms


def _garments() -> Iterator[tuple[Iterable[str], tuple[Claim, ...]]]:
    for category in CATEGORIES:
        yield CATEGORY_NOUNS[category], (("category", (category,)),)
    # "jeans" says pants and denim; both must hold.
    yield ("jeans", "jean"), (("category", ("pants",)), ("fabric", ("denim",)))
    for category, words in KINDS.items():
        for word in words.split():
            yield (word,), (("category", (category, clean(word))), ("kind", (clean(word),)))
    for word in OTHER_GARMENTS.split():
        yield (word,), (("category", (word,)),)


def _fabrics() -> Iterator[tuple[str, Iterable[str]]]:
    for value, words in (*FABRIC_WORDS.items(), *MORE_FABRICS.items()):
        yield value, words.split()
    yield from IMITATIONS.items()


def _colours() -> Iterator[tuple[str, Claim]]:
    names = [name for name, _ in PALETTE]
    for name in names:
        yield name, ("colour", (name, *FAMILIES.get(name, ())))
    for word, name in SYNONYMS.items():
        yield word, ("colour", (name,))
    for word in STRANGE_COLOURS.split():
        yield word, ("colour", (word,))
    for shade in SHADES:
        # "light olive" is no shade of the palette: it is grounded by the same words only.
        for name in (*names, *SYNONYMS):
            yield f"{shade} {name}", ("colour", (f"{shade} {name}",))


@lru_cache(maxsize=8192)
def canonical(facet: str, value: str) -> str:
    """The canonical value of what a shop or a model wrote ("Womens" -> "women", "gray" -> "grey")."""
    text = clean(value)
    if facet == "neckline" and text in NECKLINE_WORDS:
        return text  # "polo" is that collar; a polo neck is a high one
    tails = {"sleeve": (" sleeve", " sleeves", " sleeved"), "neckline": (" neck", " neckline"), "length": (" length",)}
    for surface in (text, *(text + tail for tail in tails.get(facet, ()))):
        for name, values in base_forms().get(surface, ()):
            if name == facet and values:
                return values[0]
    return text


@cache
def known_values(facet: str) -> frozenset[str]:
    """The canonical values of a facet that the lists know."""
    return frozenset(
        values[0] for claims in base_forms().values() for name, values in claims if name == facet and values
    )


# The facets that Weft itself knows, and the other names under which shops and shoppers call them, cleaned.
FACET_NAMES: dict[str, tuple[str, ...]] = {
    "category": ("categories",),
    "kind": ("kinds", "article type", "articletype"),
    "colour": ("color", "colours", "colors", "colour name", "color name"),
    "brand": ("brands", "brand name"),
    "fabric": ("fabrics", "material", "materials", "fabric type"),
    "gender": ("genders",),
    "pattern": ("patterns",),
    "sleeve": ("sleeves", "sleeve length"),
    "neckline": ("necklines", "neck"),
    "length": ("lengths", "dress length"),
    "tag": ("tags",),
    "category_path": ("category path", "category paths"),
}


@cache
def _facet_names() -> dict[str, str]:
    return {name: facet for facet, names in FACET_NAMES.items() for name in (facet, *names)}


def facet_named(name: str) -> str:
    """The one name of a facet ("Color" -> "colour"); a facet of the shop's own keeps its name."""
    return _facet_names().get(clean(name), name)


@cache
def _narrow_categories() -> dict[str, str]:
    found = {clean(noun): category for category, nouns in CATEGORY_NOUNS.items() for noun in nouns}
    for words in (*KINDS.values(), OTHER_GARMENTS, "jeans jean"):
        kinds = {clean(word) for word in words.split()}
        for kind in kinds:
            endings = (kind.removesuffix("s"), kind.removesuffix("es"))
            found.setdefault(kind, next((one for one in endings if one != kind and one in kinds), kind))
    return found


def narrow_category(value: str) -> str:
    """What a shopper who names a garment means, and nothing wider: "dresses" -> "dress", "boots" -> "boot".

    `canonical` gives the class ("shoe"), which is right for what a product is, and too wide for what is asked for.
    """
    *before, noun = clean(value).split() or [""]
    whole = " ".join((*before, noun))
    # "summer dresses": the garment is the last word.
    return _narrow_categories().get(whole) or " ".join((*before, _narrow_categories().get(noun, noun)))
