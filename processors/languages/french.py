"""French: adjectives follow the noun and agree with it; colours that are things or pairs of words do not."""

from __future__ import annotations

from processors.languages.grammar import After, Noun
from processors.languages.romance import Romance, agreed, feminine, feminines, masculine

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
    # words of shops, for which the palette has coarser ones
    "silver": ("argenté", "argentée", "argentés", "argentées"),
    "gold": ("doré", "dorée", "dorés", "dorées"),
    "multicoloured": ("multicolore", "multicolore", "multicolores", "multicolores"),
}
_INVARIABLE: dict[str, str] = {
    "charcoal": "gris anthracite", "light grey": "gris clair", "cream": "crème", "khaki": "kaki", "brown": "marron", "tan": "camel",
    "navy": "bleu marine", "steel blue": "bleu acier", "light blue": "bleu clair", "turquoise": "turquoise", "teal": "bleu canard",
    "dark green": "vert foncé", "mint": "vert menthe", "olive": "vert olive", "mustard": "moutarde", "orange": "orange", "rust": "rouille",
    "coral": "corail", "burgundy": "bordeaux", "magenta": "magenta", "lavender": "lavande",
    # as above
    "emerald": "vert émeraude", "royal blue": "bleu roi", "cobalt": "bleu cobalt", "ivory": "ivoire", "ecru": "écru", "taupe": "taupe", "sand": "sable",
    "salmon": "saumon", "peach": "pêche", "lilac": "lilas", "fuchsia": "fuchsia", "sage": "vert sauge",
}  # fmt: skip
_PATTERNS: dict[str, tuple[str, str]] = {
    "striped": ("à", "rayures"), "checked": ("à", "carreaux"), "dotted": ("à", "pois"), "floral": ("à", "fleurs"),
    "animal": ("à", "imprimé animal"), "camouflage": ("à", "motif camouflage"), "paisley": ("à", "motif cachemire"),
    "geometric": ("à", "motif géométrique"), "graphic": ("à", "motif graphique"), "tie-dye": ("", "tie and dye"),
    "colourblocked": ("à", "blocs de couleur"), "ombre": ("en", "dégradé"), "herringbone": ("à", "chevrons"), "houndstooth": ("en", "pied-de-poule"),
    "argyle": ("à", "losanges"), "patterned": ("à", "motifs"),
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
    "cotton blend": "coton mélangé", "linen blend": "lin mélangé", "wool blend": "laine mélangée", "silk blend": "soie mélangée",
    "viscose blend": "viscose mélangée", "polyester blend": "polyester mélangé", "cashmere blend": "cachemire mélangé", "nylon blend": "nylon mélangé",
    "acrylic blend": "acrylique mélangé", "modal blend": "modal mélangé", "alpaca blend": "alpaga mélangé", "mohair blend": "mohair mélangé",
    "hemp blend": "chanvre mélangé",
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
    "full": ("long", "longue", "longs", "longues"),
    "long": ("long", "longue", "longs", "longues"),
    "short": ("court", "courte", "courts", "courtes"),
}
_AUDIENCES = {"women": "femme", "men": "homme", "boys": "garçon", "girls": "fille", "kids": "enfant", "unisex": "tous"}


class French(Romance):
    """Two colours do not agree ("une robe noir et blanc")."""

    code = "fr"
    nouns = {  # noqa: RUF012 - read only, as the protocol says
        "t-shirt": masculine("t-shirt"), "top": masculine("haut"), "shirt": feminine("chemise"), "polo": masculine("polo"), "blouse": feminine("blouse"),
        "tank top": masculine("débardeur"), "sweater": masculine("pull"), "hoodie": masculine("sweat à capuche"), "sweatshirt": masculine("sweat"), "cardigan": masculine("cardigan"),
        "jacket": feminine("veste"), "coat": masculine("manteau"), "blazer": masculine("blazer"), "jeans": masculine("jean"), "trousers": masculine("pantalon"),
        "leggings": masculine("legging"), "joggers": masculine("pantalon de jogging"), "shorts": masculine("short"), "skirt": feminine("jupe"), "dress": feminine("robe"),
        "jumpsuit": feminine("combinaison"), "sneakers": feminines("baskets"), "boots": feminines("bottes"), "sandals": feminines("sandales"),
        "heels": feminines("chaussures à talons"), "flats": feminines("chaussures plates"), "cap": feminine("casquette"), "hat": masculine("chapeau"), "beanie": masculine("bonnet"),
        "bag": masculine("sac"), "backpack": masculine("sac à dos"), "sunglasses": feminines("lunettes de soleil"), "tunic": feminine("tunique"), "kurta": feminine("kurta"),
        "category:shirt": masculine("haut"), "category:pants": masculine("pantalon"), "category:shoe": feminines("chaussures"),
        "category:sunglass": feminines("lunettes de soleil"), "category:hat": masculine("couvre-chef"),
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

    agreeing = _AGREEING
    invariable = _INVARIABLE
    pattern_adjectives = _PATTERNED
    patterns = _PATTERNS
    length_adjectives = _LONG
    lengths = _LENGTHS
    sleeveless = After("sans", "manches")
    linked = {  # noqa: RUF012
        "fabric": ("en", _FABRICS),
        "sleeve": ("à", _SLEEVES),
        "neckline": ("à", _NECKS),
        "audience": ("pour", _AUDIENCES),
    }

    def colour(self, values: tuple[str, ...], noun: Noun) -> After | None:
        """One agrees ("bleue"), several do not ("noir et blanc")."""
        known = tuple(value for value in values if value in _AGREEING or value in _INVARIABLE)
        if len(known) == 1:
            only = known[0]
            return After("", agreed(_AGREEING[only], noun) if only in _AGREEING else _INVARIABLE[only])
        names = [_AGREEING[value][0] if value in _AGREEING else _INVARIABLE[value] for value in known]
        return After("", f" {self.conjunction} ".join(names)) if names else None

    def article(self, noun: Noun, text: str) -> str:
        """Such as "une robe", "un pull", "des chaussures"."""
        return f"{'des' if noun.plural else 'une' if noun.gender == 'f' else 'un'} {text}"
