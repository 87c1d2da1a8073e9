"""Spanish: adjectives follow the noun and agree with it; colours that are things or pairs of words do not."""

from __future__ import annotations

from processors.languages.grammar import After, Noun, joined
from processors.languages.romance import Romance, agreed, feminine, feminines, masculine, masculines


def _o(stem: str) -> tuple[str, str, str, str]:
    return (f"{stem}o", f"{stem}a", f"{stem}os", f"{stem}as")


def _e(text: str, plural: str) -> tuple[str, str, str, str]:
    return (text, text, plural, plural)


_AGREEING: dict[str, tuple[str, str, str, str]] = {
    "black": _o("negr"), "grey": _e("gris", "grises"), "white": _o("blanc"), "brown": _e("marrón", "marrones"), "blue": _e("azul", "azules"),
    "green": _e("verde", "verdes"), "yellow": _o("amarill"), "red": _o("roj"), "purple": _o("morad"),
    # words of shops, for which the palette has coarser ones
    "silver": _o("platead"), "gold": _o("dorad"), "multicoloured": _e("multicolor", "multicolores"),
}  # fmt: skip
_INVARIABLE: dict[str, str] = {
    "charcoal": "gris antracita", "light grey": "gris claro", "cream": "crema", "beige": "beige", "khaki": "caqui", "tan": "camel",
    "navy": "azul marino", "steel blue": "azul acero", "light blue": "azul claro", "turquoise": "turquesa", "teal": "azul petróleo",
    "dark green": "verde oscuro", "mint": "verde menta", "olive": "verde oliva", "mustard": "mostaza", "orange": "naranja", "rust": "teja",
    "coral": "coral", "burgundy": "burdeos", "pink": "rosa", "magenta": "magenta", "lavender": "lavanda",
    # as above
    "emerald": "verde esmeralda", "royal blue": "azul real", "cobalt": "azul cobalto", "ivory": "marfil", "ecru": "crudo", "taupe": "gris topo", "sand": "arena",
    "salmon": "salmón", "peach": "melocotón", "lilac": "lila", "fuchsia": "fucsia", "sage": "verde salvia",
}  # fmt: skip
_PATTERNS: dict[str, tuple[str, str]] = {
    "striped": ("de", "rayas"), "checked": ("de", "cuadros"), "dotted": ("de", "lunares"), "floral": ("de", "flores"),
    "animal": ("con", "estampado animal"), "camouflage": ("con", "estampado de camuflaje"), "paisley": ("con", "estampado de cachemir"),
    "geometric": ("con", "estampado geométrico"), "graphic": ("con", "estampado gráfico"), "tie-dye": ("", "tie-dye"),
    "colourblocked": ("con", "bloques de color"), "ombre": ("con", "degradado"), "herringbone": ("de", "espiga"), "houndstooth": ("de", "pata de gallo"),
    "argyle": ("de", "rombos"), "patterned": ("con", "dibujos"),
}  # fmt: skip
_PATTERNED = {"printed": _o("estampad"), "solid": _o("lis")}
_FABRICS: dict[str, str] = {
    "cotton": "algodón", "linen": "lino", "denim": "tela vaquera", "wool": "lana", "silk": "seda", "leather": "cuero", "polyester": "poliéster",
    "viscose": "viscosa", "nylon": "nailon", "knit": "punto", "satin": "satén", "velvet": "terciopelo", "suede": "ante", "corduroy": "pana",
    "cashmere": "cachemira", "chiffon": "gasa", "lace": "encaje", "tweed": "tweed", "fleece": "forro polar", "jersey": "tejido jersey", "canvas": "lona",
    "synthetic": "fibra sintética", "acrylic": "acrílico", "blended": "mezcla de tejidos", "modal": "modal", "elastane": "elastano", "mesh": "malla",
    "tulle": "tul", "straw": "paja", "fur": "pelo", "felt": "fieltro", "rubber": "goma", "flannel": "franela", "crepe": "crepé",
    "organza": "organza", "hemp": "cáñamo", "alpaca": "alpaca", "mohair": "mohair", "bamboo": "bambú", "chambray": "cambray",
    "poplin": "popelina", "gabardine": "gabardina", "taffeta": "tafetán", "brocade": "brocado", "metal": "metal", "plastic": "plástico",
    "faux leather": "piel sintética", "faux fur": "pelo sintético", "faux suede": "antelina", "polyurethane": "poliuretano",
    "cotton blend": "mezcla de algodón", "linen blend": "mezcla de lino", "wool blend": "mezcla de lana", "silk blend": "mezcla de seda",
    "viscose blend": "mezcla de viscosa", "polyester blend": "mezcla de poliéster", "cashmere blend": "mezcla de cachemira", "nylon blend": "mezcla de nailon",
    "acrylic blend": "mezcla de acrílico", "modal blend": "mezcla de modal", "alpaca blend": "mezcla de alpaca", "mohair blend": "mezcla de mohair",
    "hemp blend": "mezcla de cáñamo",
}  # fmt: skip
_SLEEVES: dict[str, str] = {
    "long": "manga larga", "short": "manga corta", "three-quarter": "manga tres cuartos", "puff": "manga abullonada", "cap": "manga casquillo",
}  # fmt: skip
_NECKS: dict[str, str] = {
    "v": "cuello de pico", "crew": "cuello redondo", "round": "cuello redondo", "scoop": "escote amplio", "square": "escote cuadrado",
    "boat": "escote barco", "high": "cuello alto", "halter": "escote halter", "collar": "cuello", "polo": "cuello polo", "mandarin": "cuello mao",
    "hood": "capucha", "off-shoulder": "hombros descubiertos",
}  # fmt: skip
_LENGTHS = {"maxi": "maxi", "midi": "midi", "mini": "mini", "knee": "hasta la rodilla", "cropped": "de corte corto"}
_LONG = {"full": _o("larg"), "long": _o("larg"), "short": _o("cort")}
_AUDIENCES = {"women": "mujer", "men": "hombre", "boys": "niño", "girls": "niña", "kids": "niños", "unisex": "todos"}


class Spanish(Romance):
    """Two colours agree each ("una falda negra y blanca")."""

    code = "es"
    nouns = {  # noqa: RUF012 - read only, as the protocol says
        "t-shirt": feminine("camiseta"), "top": masculine("top"), "shirt": feminine("camisa"), "polo": masculine("polo"), "blouse": feminine("blusa"),
        "tank top": feminine("camiseta de tirantes"), "sweater": masculine("jersey"), "hoodie": feminine("sudadera con capucha"), "sweatshirt": feminine("sudadera"),
        "cardigan": masculine("cárdigan"), "jacket": feminine("chaqueta"), "coat": masculine("abrigo"), "blazer": masculine("blazer"), "jeans": masculines("vaqueros"),
        "trousers": masculine("pantalón"), "leggings": masculines("leggings"), "joggers": masculine("pantalón de chándal"), "shorts": masculine("pantalón corto"),
        "skirt": feminine("falda"), "dress": masculine("vestido"), "jumpsuit": masculine("mono"), "sneakers": feminines("zapatillas"), "boots": feminines("botas"),
        "sandals": feminines("sandalias"), "heels": masculines("zapatos de tacón"), "flats": masculines("zapatos planos"), "cap": feminine("gorra"), "hat": masculine("sombrero"),
        "beanie": masculine("gorro"), "bag": masculine("bolso"), "backpack": feminine("mochila"), "sunglasses": feminines("gafas de sol"), "tunic": feminine("túnica"),
        "kurta": feminine("kurta"), "category:shirt": feminine("prenda superior"), "category:pants": masculine("pantalón"), "category:shoe": masculines("zapatos"),
        "category:sunglass": feminines("gafas de sol"), "category:hat": masculine("sombrero"),
    }  # fmt: skip
    order = ("kind", "length", "colour", "pattern", "fabric", "sleeve", "neckline", "audience")
    conjunction = "y"
    commas = frozenset({"sleeve", "audience"})
    frames = {  # noqa: RUF012
        "plain": ("{A}.",),
        "warm": ("Un pequeño placer: {a}.", "Para los días tranquilos: {a}.", "Con mucho cariño: {a}."),
        "editorial": ("La temporada se abre así: {a}.", "En el centro de la imagen: {a}.", "Todo empieza aquí: {a}."),
        "playful": ("¡Hola! {A}.", "El ánimo de hoy: {a}.", "Mira lo que llega: {a}."),
    }
    bare = frozenset({"plain"})
    others = "Con {others}."
    made_of = "De {fabric}."
    detailed = "Detalles: {details}."
    made_for = "Para {audience}."
    neutral = ("Una novedad de la tienda.", "Nuevo en el catálogo.")
    tags = (
        "novedades",
        "moda",
        "estilo",
        "look",
        "outfit",
        "armario",
        "ideasdelook",
        "lookdeldia",
        "tendencias",
        "nuevo",
    )

    agreeing = _AGREEING
    invariable = _INVARIABLE
    pattern_adjectives = _PATTERNED
    patterns = _PATTERNS
    length_adjectives = _LONG
    lengths = _LENGTHS
    sleeveless = After("sin", "mangas")
    linked = {  # noqa: RUF012
        "fabric": ("de", _FABRICS),
        "sleeve": ("de", _SLEEVES),
        "neckline": ("con", _NECKS),
        "audience": ("para", _AUDIENCES),
    }

    def colour(self, values: tuple[str, ...], noun: Noun) -> After | None:
        """Each of several agrees: "negra y blanca"."""
        names = [
            agreed(_AGREEING[one], noun) if one in _AGREEING else _INVARIABLE[one]
            for one in values
            if one in _AGREEING or one in _INVARIABLE
        ]
        return After("", joined(tuple(dict.fromkeys(names)), self.conjunction)) if names else None

    def article(self, noun: Noun, text: str) -> str:
        """Such as "un vestido", "una falda"; a plural has none ("botas negras")."""
        return text if noun.plural else f"{'una' if noun.gender == 'f' else 'un'} {text}"
