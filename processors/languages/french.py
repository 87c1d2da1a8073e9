"""French: adjectives follow the noun and agree with it; colours that are things or pairs of words do not."""

from __future__ import annotations

from processors.languages.grammar import After, Noun, Words

_AGREEING: dict[str, tuple[str, str, str, str]] = {
    "black": ("noir", "noire", "noirs", "noires"),
    "grey": ("gris", "grise", "gris", "grises"),
    "white": ("blanc", "blanche", "blancs", "blanches"),
    "beige": ("beige", "beige", "beiges", "beiges"),
    "blue": ("bleu", "bleue", "bleus", "bleues"),
    "green": ("vert", "verte", "verts", "vertes"),
    "yellow": ("jaune", "jaune", "jaunes", "jaunes"),
    "red": ("rouge", "rouge", "rouges", "rouges"),
    "pink": ("rose", "rose", "roses", "roses"),
    "purple": ("violet", "violette", "violets", "violettes"),
}
_INVARIABLE: dict[str, str] = {
    "charcoal": "gris anthracite", "light grey": "gris clair", "cream": "crème", "khaki": "kaki", "brown": "marron", "tan": "camel",
    "navy": "bleu marine", "steel blue": "bleu acier", "light blue": "bleu clair", "turquoise": "turquoise", "teal": "bleu canard",
    "dark green": "vert foncé", "mint": "vert menthe", "olive": "vert olive", "mustard": "moutarde", "orange": "orange", "rust": "rouille",
    "coral": "corail", "burgundy": "bordeaux", "magenta": "magenta", "lavender": "lavande",
}  # fmt: skip
_PATTERNS: dict[str, tuple[str, str]] = {
    "striped": ("à", "rayures"), "checked": ("à", "carreaux"), "dotted": ("à", "pois"), "floral": ("à", "fleurs"),
    "animal": ("à", "imprimé animal"), "camouflage": ("à", "motif camouflage"), "paisley": ("à", "motif cachemire"),
    "geometric": ("à", "motif géométrique"), "graphic": ("à", "motif graphique"), "tie-dye": ("", "tie and dye"),
    "colourblocked": ("à", "blocs de couleur"), "ombre": ("en", "dégradé"), "herringbone": ("à", "chevrons"), "patterned": ("à", "motifs"),
}  # fmt: skip
_PATTERNED: dict[str, tuple[str, str, str, str]] = {
    "printed": ("imprimé", "imprimée", "imprimés", "imprimées"),
    "solid": ("uni", "unie", "unis", "unies"),
}
_FABRICS: dict[str, str] = {
    "cotton": "coton", "linen": "lin", "denim": "denim", "wool": "laine", "silk": "soie", "leather": "cuir", "polyester": "polyester",
    "viscose": "viscose", "nylon": "nylon", "knit": "maille", "satin": "satin", "velvet": "velours", "suede": "daim",
    "corduroy": "velours côtelé", "cashmere": "cachemire", "chiffon": "mousseline", "lace": "dentelle", "tweed": "tweed",
    "fleece": "polaire", "jersey": "jersey", "canvas": "toile", "synthetic": "fibres synthétiques", "acrylic": "acrylique",
    "blended": "tissu mélangé", "modal": "modal", "elastane": "élasthanne", "mesh": "résille", "tulle": "tulle", "straw": "paille",
    "fur": "fourrure", "felt": "feutre", "rubber": "caoutchouc", "flannel": "flanelle", "crepe": "crêpe", "organza": "organza",
    "hemp": "chanvre", "alpaca": "alpaga", "mohair": "mohair", "bamboo": "bambou", "chambray": "chambray", "poplin": "popeline",
    "gabardine": "gabardine", "taffeta": "taffetas", "brocade": "brocart", "metal": "métal", "plastic": "plastique",
    "faux leather": "similicuir", "faux fur": "fausse fourrure", "faux suede": "suédine", "polyurethane": "polyuréthane",
}  # fmt: skip
_SLEEVES: dict[str, str] = {
    "long": "manches longues", "short": "manches courtes", "three-quarter": "manches trois-quarts", "puff": "manches bouffantes", "cap": "mancherons",
}  # fmt: skip
_NECKS: dict[str, str] = {
    "v": "encolure en V", "crew": "encolure ronde", "round": "encolure ronde", "scoop": "encolure dégagée", "square": "encolure carrée",
    "boat": "encolure bateau", "high": "col montant", "halter": "encolure américaine", "collar": "col", "polo": "col polo", "mandarin": "col mao",
    "hood": "capuche", "off-shoulder": "épaules dénudées",
}  # fmt: skip
_LENGTHS = {"maxi": "maxi", "midi": "midi", "mini": "mini", "knee": "longueur genou", "cropped": "coupe courte"}
_LONG: dict[str, tuple[str, str, str, str]] = {
    "long": ("long", "longue", "longs", "longues"),
    "short": ("court", "courte", "courts", "courtes"),
}
_AUDIENCES = {"women": "femme", "men": "homme", "boys": "garçon", "girls": "fille", "kids": "enfant", "unisex": "tous"}


def _m(text: str) -> Noun:
    return Noun(text, "m")


def _f(text: str) -> Noun:
    return Noun(text, "f")


def _fp(text: str) -> Noun:
    return Noun(text, "f", plural=True)


def agreed(forms: tuple[str, str, str, str], noun: Noun) -> str:
    """Of masculine, feminine and their plurals the form that agrees with the noun."""
    return forms[2 * noun.plural + (noun.gender == "f")]


class French(Words):
    """Two colours do not agree ("une robe noir et blanc")."""

    code = "fr"
    nouns = {  # noqa: RUF012 - read only, as the protocol says
        "t-shirt": _m("t-shirt"), "top": _m("haut"), "shirt": _f("chemise"), "polo": _m("polo"), "blouse": _f("blouse"),
        "tank top": _m("débardeur"), "sweater": _m("pull"), "hoodie": _m("sweat à capuche"), "sweatshirt": _m("sweat"), "cardigan": _m("cardigan"),
        "jacket": _f("veste"), "coat": _m("manteau"), "blazer": _m("blazer"), "jeans": _m("jean"), "trousers": _m("pantalon"),
        "leggings": _m("legging"), "joggers": _m("pantalon de jogging"), "shorts": _m("short"), "skirt": _f("jupe"), "dress": _f("robe"),
        "jumpsuit": _f("combinaison"), "sneakers": _fp("baskets"), "boots": _fp("bottes"), "sandals": _fp("sandales"),
        "heels": _fp("chaussures à talons"), "flats": _fp("chaussures plates"), "cap": _f("casquette"), "hat": _m("chapeau"), "beanie": _m("bonnet"),
        "bag": _m("sac"), "backpack": _m("sac à dos"), "sunglasses": _fp("lunettes de soleil"), "tunic": _f("tunique"), "kurta": _f("kurta"),
        "category:shirt": _m("haut"), "category:pants": _m("pantalon"), "category:shoe": _fp("chaussures"),
        "category:sunglass": _fp("lunettes de soleil"), "category:hat": _m("couvre-chef"),
    }  # fmt: skip
    order = ("kind", "length", "colour", "pattern", "fabric", "sleeve", "neckline", "audience")
    conjunction = "et"
    commas = frozenset({"audience"})
    frames = {  # noqa: RUF012
        "plain": ("{A}.",),
        "warm": ("Un petit bonheur : {a}.", "Pour les jours tout doux : {a}.", "À adopter sans attendre : {a}."),
        "editorial": ("La saison s'ouvre ainsi : {a}.", "Au centre de l'image : {a}.", "Tout commence ici : {a}."),
        "playful": ("Bonjour, toi : {a} !", "Humeur du jour : {a}.", "Regarde qui arrive : {a} !"),
    }
    bare = frozenset({"plain"})
    others = "Avec {others}."
    made_of = "En {fabric}."
    detailed = "Détails : {details}."
    made_for = "Pour {audience}."
    neutral = ("Une nouveauté de la boutique.", "Nouveau au catalogue.")
    tags = (
        "nouveaute",
        "mode",
        "tenue",
        "style",
        "look",
        "garderobe",
        "ideetenue",
        "lookdujour",
        "modeaddict",
        "nouvelleco",
    )

    def before(self, facet: str, values: tuple[str, ...], noun: Noun) -> str:  # noqa: ARG002
        """Nothing that Weft tells of a garment stands before a French noun."""
        return ""

    def after(self, facet: str, values: tuple[str, ...], noun: Noun) -> After | None:
        """Such as "bleu marine", "à rayures", "en lin", "à manches longues", "pour femme"."""
        value = values[0]
        if facet == "colour":
            return self._colour(values, noun)
        if facet == "pattern":
            if value in _PATTERNED:
                return After("", agreed(_PATTERNED[value], noun))
            return After(*_PATTERNS[value]) if value in _PATTERNS else None
        if facet == "length":
            text = agreed(_LONG[value], noun) if value in _LONG else _LENGTHS.get(value, "")
            return After("", text) if text else None
        if facet == "sleeve" and value == "sleeveless":
            return After("sans", "manches")
        link, table = {
            "fabric": ("en", _FABRICS),
            "sleeve": ("à", _SLEEVES),
            "neckline": ("à", _NECKS),
            "audience": ("pour", _AUDIENCES),
        }.get(facet, ("", {}))
        return After(link, table[value]) if value in table else None

    def _colour(self, values: tuple[str, ...], noun: Noun) -> After | None:
        known = tuple(value for value in values if value in _AGREEING or value in _INVARIABLE)
        if len(known) == 1:
            only = known[0]
            return After("", agreed(_AGREEING[only], noun) if only in _AGREEING else _INVARIABLE[only])
        names = [_AGREEING[value][0] if value in _AGREEING else _INVARIABLE[value] for value in known]
        return After("", f" {self.conjunction} ".join(names)) if names else None

    def article(self, noun: Noun, text: str) -> str:
        """Such as "une robe", "un pull", "des chaussures"."""
        return f"{'des' if noun.plural else 'une' if noun.gender == 'f' else 'un'} {text}"
