"""German: adjectives before the noun agree with it, as after "ein"; fabric, sleeves and audience follow."""

from __future__ import annotations

from processors.languages.grammar import After, Noun, Words, joined

_ENDINGS = {"m": "er", "f": "e", "n": "es"}
_ARTICLES = {"m": "ein", "f": "eine", "n": "ein"}
_COLOURS: dict[str, str] = {
    "black": "schwarz", "charcoal": "anthrazitfarben", "grey": "grau", "light grey": "hellgrau", "white": "weiß", "cream": "cremefarben",
    "beige": "beigefarben", "khaki": "khakifarben", "brown": "braun", "tan": "hellbraun", "navy": "marineblau", "blue": "blau",
    "steel blue": "stahlblau", "light blue": "hellblau", "turquoise": "türkisfarben", "teal": "petrolfarben", "green": "grün",
    "dark green": "dunkelgrün", "mint": "mintgrün", "olive": "olivgrün", "yellow": "gelb", "mustard": "senfgelb", "orange": "orangefarben",
    "rust": "rostrot", "coral": "korallenrot", "red": "rot", "burgundy": "weinrot", "pink": "rosafarben", "magenta": "magentafarben",
    "lavender": "lavendelfarben", "purple": "violett",
    # words of shops, for which the palette has coarser ones
    "multicoloured": "mehrfarbig", "multicolour": "mehrfarbig", "multicolor": "mehrfarbig", "silver": "silberfarben", "gold": "goldfarben", "emerald": "smaragdgrün", "royal blue": "königsblau", "cobalt": "kobaltblau",
    "ivory": "elfenbeinfarben", "ecru": "ecrufarben", "taupe": "taupefarben", "sand": "sandfarben", "salmon": "lachsfarben",
    "peach": "pfirsichfarben", "lilac": "fliederfarben", "fuchsia": "fuchsiafarben", "sage": "salbeigrün",
}  # fmt: skip
_PATTERNS: dict[str, str] = {
    "striped": "gestreift", "checked": "kariert", "dotted": "gepunktet", "floral": "geblümt", "printed": "bedruckt", "solid": "einfarbig",
    "geometric": "geometrisch gemustert", "tie-dye": "gebatikt", "patterned": "gemustert",
}  # fmt: skip
_PATTERNED: dict[str, str] = {
    "striped": "Streifen", "checked": "Karos", "dotted": "Punkten", "floral": "Blumenmuster", "printed": "Druck",
    "geometric": "geometrischem Muster", "tie-dye": "Batikmuster", "patterned": "Muster",
    "animal": "Animal-Print", "camouflage": "Camouflagemuster", "paisley": "Paisleymuster", "graphic": "Grafikdruck",
    "colourblocked": "Farbblöcken", "ombre": "Farbverlauf", "herringbone": "Fischgrätmuster", "houndstooth": "Hahnentrittmuster",
    "argyle": "Rautenmuster",
}  # fmt: skip
_FABRICS: dict[str, str] = {
    "cotton": "Baumwolle", "linen": "Leinen", "denim": "Denim", "wool": "Wolle", "silk": "Seide", "leather": "Leder",
    "polyester": "Polyester", "viscose": "Viskose", "nylon": "Nylon", "knit": "Strick", "satin": "Satin", "velvet": "Samt",
    "suede": "Wildleder", "corduroy": "Cord", "cashmere": "Kaschmir", "chiffon": "Chiffon", "lace": "Spitze", "tweed": "Tweed",
    "fleece": "Fleece", "jersey": "Jersey", "canvas": "Canvas", "synthetic": "Kunstfaser", "acrylic": "Acryl", "blended": "Mischgewebe",
    "modal": "Modal", "elastane": "Elasthan", "mesh": "Mesh", "tulle": "Tüll", "straw": "Stroh", "fur": "Pelz", "felt": "Filz",
    "rubber": "Gummi", "flannel": "Flanell", "crepe": "Krepp", "organza": "Organza", "hemp": "Hanf", "alpaca": "Alpaka",
    "mohair": "Mohair", "bamboo": "Bambus", "chambray": "Chambray", "poplin": "Popeline", "gabardine": "Gabardine", "taffeta": "Taft",
    "brocade": "Brokat", "metal": "Metall", "plastic": "Kunststoff", "faux leather": "Kunstleder", "faux fur": "Kunstpelz",
    "faux suede": "Wildlederimitat", "polyurethane": "Polyurethan",
    "cotton blend": "Baumwollmischung", "linen blend": "Leinenmischung", "wool blend": "Wollmischung", "silk blend": "Seidenmischung",
    "viscose blend": "Viskosemischung", "polyester blend": "Polyestermischung", "cashmere blend": "Kaschmirmischung", "nylon blend": "Nylonmischung",
    "acrylic blend": "Acrylmischung", "modal blend": "Modalmischung", "alpaca blend": "Alpakamischung", "mohair blend": "Mohairmischung",
    "hemp blend": "Hanfmischung",
}  # fmt: skip
_SLEEVES = {
    "long": "langen Ärmeln",
    "short": "kurzen Ärmeln",
    "three-quarter": "Dreiviertelärmeln",
    "puff": "Puffärmeln",
    "cap": "Flügelärmeln",
}
_SLEEVED = {"sleeveless": "ärmellos", "long": "langärmelig", "short": "kurzärmelig"}
_NECKS: dict[str, str] = {
    "v": "V-Ausschnitt", "crew": "Rundhalsausschnitt", "round": "Rundhalsausschnitt", "scoop": "weitem Rundausschnitt",
    "square": "eckigem Ausschnitt", "boat": "U-Boot-Ausschnitt", "high": "hohem Kragen", "halter": "Neckholder", "collar": "Kragen",
    "polo": "Polokragen", "mandarin": "Mandarinkragen", "hood": "Kapuze", "off-shoulder": "freien Schultern",
}  # fmt: skip
_LENGTHS = {
    "full": "voller Länge",
    "maxi": "Maxilänge",
    "midi": "Midilänge",
    "mini": "Minilänge",
    "knee": "Knielänge",
    "cropped": "verkürzter Länge",
}
_LONG = {"long": "lang", "short": "kurz", "knee": "knielang"}
_AUDIENCES = {
    "women": "Damen",
    "men": "Herren",
    "boys": "Jungen",
    "girls": "Mädchen",
    "kids": "Kinder",
    "unisex": "alle",
}


def _m(text: str) -> Noun:
    return Noun(text, "m")


def _f(text: str) -> Noun:
    return Noun(text, "f")


def _n(text: str) -> Noun:
    return Noun(text, "n")


def _pl(text: str) -> Noun:
    return Noun(text, "n", plural=True)


class German(Words):
    """Two colours are one word of two ("schwarz-weißes")."""

    code = "de"
    nouns = {  # noqa: RUF012 - read only, as the protocol says
        "t-shirt": _n("T-Shirt"), "top": _n("Oberteil"), "shirt": _n("Hemd"), "polo": _n("Poloshirt"), "blouse": _f("Bluse"),
        "tank top": _n("Tanktop"), "sweater": _m("Pullover"), "hoodie": _m("Hoodie"), "sweatshirt": _n("Sweatshirt"), "cardigan": _m("Cardigan"),
        "jacket": _f("Jacke"), "coat": _m("Mantel"), "blazer": _m("Blazer"), "jeans": _f("Jeans"), "trousers": _f("Hose"),
        "leggings": _f("Leggings"), "joggers": _f("Jogginghose"), "shorts": _pl("Shorts"), "skirt": _m("Rock"), "dress": _n("Kleid"),
        "jumpsuit": _m("Jumpsuit"), "sneakers": _pl("Sneaker"), "boots": _pl("Stiefel"), "sandals": _pl("Sandalen"), "heels": _pl("Absatzschuhe"),
        "flats": _pl("Flats"), "cap": _f("Kappe"), "hat": _m("Hut"), "beanie": _f("Mütze"), "bag": _f("Tasche"), "backpack": _m("Rucksack"),
        "sunglasses": _f("Sonnenbrille"), "tunic": _f("Tunika"), "kurta": _f("Kurta"), "category:shirt": _n("Oberteil"),
        "category:pants": _f("Hose"), "category:shoe": _pl("Schuhe"), "category:sunglass": _f("Sonnenbrille"), "category:hat": _f("Kopfbedeckung"),
    }  # fmt: skip
    order = ("length", "colour", "pattern", "kind", "fabric", "sleeve", "neckline", "audience")
    conjunction = "und"
    commas: frozenset[str] = frozenset()
    joining = frozenset({"pattern", "sleeve", "neckline"})
    frames = {  # noqa: RUF012
        "plain": ("{A}.",),
        "warm": ("{A}: zum Liebgewinnen.", "Ein guter Tag beginnt so: {a}.", "Mit Sorgfalt ausgesucht: {a}."),
        "editorial": ("Die Saison beginnt so: {a}.", "Im Mittelpunkt: {a}.", "Ganz bei sich: {a}."),
        "playful": ("Hallo, du da: {a}!", "Stimmung des Tages: {a}.", "Schau, wer da ist: {a}!"),
    }
    bare = frozenset({"plain"})
    others = "Dazu {others}."
    made_of = "Aus {fabric}."
    detailed = "Mit {details}."
    made_for = "Für {audience}."
    neutral = ("Neu im Sortiment.", "Neu eingetroffen.")
    tags = (
        "neu",
        "mode",
        "outfit",
        "style",
        "neuheiten",
        "looks",
        "modeliebe",
        "kleiderschrank",
        "outfitideen",
        "lookdestages",
    )

    def before(self, facet: str, values: tuple[str, ...], noun: Noun) -> str:
        """Such as "marineblaues", "creme-weiße", "gestreifter", "ärmelloses"."""
        table = {"colour": _COLOURS, "pattern": _PATTERNS, "sleeve": _SLEEVED, "length": _LONG}.get(facet, {})
        stems = tuple(dict.fromkeys(table[value] for value in values if value in table))
        if not stems:
            return ""
        last = stems[-1] + ("e" if noun.plural else _ENDINGS[noun.gender])
        return "-".join((*(stem.removesuffix("farben") for stem in stems[:-1]), last))

    def after(self, facet: str, values: tuple[str, ...], noun: Noun) -> After | None:  # noqa: ARG002
        """Such as "aus Leinen", "mit langen Ärmeln", "in Schwarz und Weiß", "für Damen"."""
        value = values[0]
        if facet == "colour":
            named = tuple(dict.fromkeys(_as_noun(_COLOURS[one]) for one in values if one in _COLOURS))
            return After("in", joined(named, self.conjunction)) if named else None
        if facet == "sleeve" and value == "sleeveless":
            return After("ohne", "Ärmel")  # "aus Seide ärmellos" is no German
        if facet == "length":
            return After("in", _LENGTHS[value]) if value in _LENGTHS else None
        link, table = {
            "fabric": ("aus", _FABRICS),
            "pattern": ("mit", _PATTERNED),
            "sleeve": ("mit", _SLEEVES),
            "neckline": ("mit", _NECKS),
            "audience": ("für", _AUDIENCES),
        }.get(facet, ("", {}))
        return After(link, table[value]) if value in table else None

    def article(self, noun: Noun, text: str) -> str:
        """Such as "ein rotes Kleid", "eine rote Jacke", "rote Schuhe"."""
        return text if noun.plural else f"{_ARTICLES[noun.gender]} {text}"


def _as_noun(colour: str) -> str:
    """Such as "in Marineblau", "in Creme"."""
    bare = colour.removesuffix("farben")
    return {"petrol": "Petrol"}.get(bare, bare[:1].upper() + bare[1:])
