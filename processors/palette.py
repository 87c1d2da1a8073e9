"""The colour names that Weft speaks: one fashion name a hex, and the other words a shop may use for the same.

Hex values are sRGB; chosen by eye for cloth in daylight, apart enough in CIELAB for a nearest name to be stable.
"""

from __future__ import annotations

PALETTE: tuple[tuple[str, str], ...] = (
    ("black", "#17171a"),
    ("charcoal", "#41444a"),
    ("grey", "#8a8c90"),
    ("light grey", "#c3c5c8"),
    ("white", "#f4f4f2"),
    ("cream", "#f1e6c9"),
    ("beige", "#d5bf9c"),
    ("khaki", "#a3956a"),
    ("brown", "#6b4429"),
    ("tan", "#b98150"),
    ("navy", "#1c2747"),
    ("blue", "#2a5cb0"),
    ("steel blue", "#4d6d92"),
    ("light blue", "#a3c4e3"),
    ("turquoise", "#35b8bc"),
    ("teal", "#12676c"),
    ("green", "#2f8a45"),
    ("dark green", "#1d4531"),
    ("mint", "#b0dec3"),
    ("olive", "#5e6132"),
    ("yellow", "#f0d23c"),
    ("mustard", "#cc9a2b"),
    ("orange", "#ea7d2c"),
    ("rust", "#a64b26"),
    ("coral", "#f2816d"),
    ("red", "#c8202f"),
    ("burgundy", "#661a2c"),
    ("pink", "#eea6bb"),
    ("magenta", "#c42a80"),
    ("lavender", "#b9a7db"),
    ("purple", "#663690"),
)

FURTHER: tuple[tuple[str, str], ...] = (
    ("navy", "#383b47"),
    ("purple", "#5b4359"),
    ("green", "#96a952"),
)
"""Second swatches of names: navy and plum look much duller in photographs than their names say, and lime is a green."""

FAMILY: dict[str, str] = {
    "black": "black", "charcoal": "grey", "grey": "grey", "light grey": "grey", "white": "white",
    "cream": "beige", "beige": "beige", "khaki": "beige", "brown": "brown", "tan": "brown",
    "navy": "blue", "blue": "blue", "steel blue": "blue", "light blue": "blue", "turquoise": "turquoise", "teal": "turquoise",
    "green": "green", "dark green": "green", "mint": "green", "olive": "olive", "yellow": "yellow", "mustard": "yellow",
    "orange": "orange", "rust": "orange", "coral": "pink", "red": "red", "burgundy": "red", "pink": "pink", "magenta": "pink",
    "lavender": "purple", "purple": "purple",
}  # fmt: skip
"""The plain colour that each name is a shade of: light and dark folds of one cloth bear different names of one family."""

WEIGHT: dict[str, float] = {
    "white": 0.7,
    "grey": 0.6,
    "beige": 0.55,
    "brown": 1.2,
    "pink": 0.85,
    "red": 1.3,
    "turquoise": 1.35,
}
"""How much a pixel of a family counts when a garment is named (others: 1). A shop calls a shirt of red and white checks red, grey is what
shadows look like, and pink and beige what little light or white threads make of others. See `COMMON`."""

COMMON: dict[str, float] = {
    "black": 6.0,
    "blue": 5.0,
    "red": 6.0,
    "brown": 5.0,
    "orange": 5.0,
    "burgundy": 2.5,
    "olive": 2.5,
    "turquoise": 2.5,
    "purple": 2.0,
    "magenta": 1.0,
    "beige": -1.5,
    "lavender": -1.5,
    "navy": -1.5,
    "charcoal": -2.0,
    "light grey": -2.0,
    "pink": -2.0,
    "khaki": -3.0,
    "cream": -4.5,
}
"""How far a name reaches beyond (below 0: stays within) the middle between two swatches, in CIEDE2000: people say "black"
of cloth that shines, and "khaki" of little. Set by hand at first, then, with `WEIGHT`, moved to where the shops' words of the evaluation
data are likeliest on the brands of four folds, held near the old numbers, rounded, and what hardly moved left as it was. On the brands of
the fifth the first name is right of .714 (.700 before), and .444 instead of .398 can be told rightly beside 6 wrong ones of a hundred products.
Small enough for every swatch to keep its own name."""

SYNONYMS: dict[str, str] = {
    "gray": "grey",
    "dark grey": "charcoal",
    "dark gray": "charcoal",
    "anthracite": "charcoal",
    "graphite": "charcoal",
    "silver": "light grey",
    "light gray": "light grey",
    "jet black": "black",
    "ebony": "black",
    "off white": "cream",
    "off-white": "cream",
    "ivory": "cream",
    "ecru": "cream",
    "sand": "beige",
    "stone": "beige",
    "nude": "beige",
    "taupe": "khaki",
    "camel": "tan",
    "cognac": "tan",
    "caramel": "tan",
    "chocolate": "brown",
    "coffee": "brown",
    "navy blue": "navy",
    "dark blue": "navy",
    "midnight blue": "navy",
    "cobalt": "blue",
    "royal blue": "blue",
    "denim blue": "steel blue",
    "indigo": "steel blue",
    "sky blue": "light blue",
    "baby blue": "light blue",
    "aqua": "turquoise",
    "cyan": "turquoise",
    "petrol": "teal",
    "emerald": "green",
    "forest green": "dark green",
    "bottle green": "dark green",
    "sage": "mint",
    "army green": "olive",
    "gold": "mustard",
    "ochre": "mustard",
    "lemon": "yellow",
    "tangerine": "orange",
    "terracotta": "rust",
    "copper": "rust",
    "salmon": "coral",
    "peach": "coral",
    "scarlet": "red",
    "crimson": "red",
    "maroon": "burgundy",
    "wine": "burgundy",
    "bordeaux": "burgundy",
    "rose": "pink",
    "blush": "pink",
    "fuchsia": "magenta",
    "hot pink": "magenta",
    "lilac": "lavender",
    "mauve": "lavender",
    "violet": "purple",
    "plum": "purple",
}
