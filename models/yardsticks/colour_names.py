"""Which of our colour names is right for a shop's: the written table of `weft eval colour`."""

from __future__ import annotations

from processors.palette import PALETTE
from processors.vocabulary import clean

RIGHT: dict[str, tuple[str, ...]] = {
    # A shop's coarse word is true of every shade of its family (as in `processors.vocabulary.FAMILIES`); turquoise and
    # teal lie between two, and shops call them by either …
    "black": ("black",),
    "white": ("white",),
    "grey": ("grey", "light grey", "charcoal"),
    "blue": ("blue", "steel blue", "light blue", "navy", "turquoise", "teal"),
    "green": ("green", "dark green", "mint", "olive", "turquoise", "teal"),
    "red": ("red", "burgundy"),
    "brown": ("brown", "tan"),
    "pink": ("pink", "magenta", "coral"),
    "purple": ("purple", "lavender"),
    "yellow": ("yellow", "mustard"),
    "orange": ("orange", "rust"),
    "beige": ("beige", "cream", "khaki"),
    # … and its finer words of one shade, or of the two that border on it.
    "navy blue": ("navy",),
    "turquoise blue": ("turquoise",),
    "sea green": ("turquoise", "teal", "mint"),
    "lime green": ("green", "yellow"),
    "fluorescent green": ("green", "yellow"),
    "teal": ("teal", "turquoise"),
    "olive": ("olive",),
    "khaki": ("khaki", "olive", "beige"),
    "maroon": ("burgundy",),
    "burgundy": ("burgundy",),
    "magenta": ("magenta",),
    "rose": ("pink", "magenta"),
    "peach": ("coral", "pink", "beige"),
    "lavender": ("lavender",),
    "mauve": ("lavender", "pink"),
    "mustard": ("mustard",),
    "gold": ("mustard", "beige", "tan"),
    "rust": ("rust",),
    "copper": ("rust", "tan", "brown"),
    "bronze": ("brown", "tan", "rust", "mustard"),
    "tan": ("tan", "brown", "beige"),
    "coffee brown": ("brown",),
    "mushroom brown": ("brown", "khaki"),
    "taupe": ("khaki", "brown", "beige"),
    "cream": ("cream", "beige"),
    "off white": ("cream", "white"),
    "skin": ("beige", "tan", "cream"),
    "nude": ("beige", "tan", "cream"),
    "charcoal": ("charcoal", "black"),
    "grey melange": ("grey", "light grey"),
    "silver": ("light grey", "grey"),
    "steel": ("light grey", "grey"),
    "metallic": ("light grey", "grey"),
}
"""Shop's name, cleaned → ours. "Multi" and the like are not here: no one name is right or wrong for them."""
COARSE: dict[str, str] = {
    # The shop's own words hold the coarse one …
    "navy blue": "blue", "turquoise blue": "blue", "sea green": "green",
    # … or it is the family of which theirs is a shade (`processors.vocabulary.FAMILIES`), dark or light.
    "navy": "blue", "maroon": "red", "burgundy": "red", "charcoal": "grey", "olive": "green", "mustard": "yellow", "magenta": "pink",
    "lavender": "purple",
}  # fmt: skip
"""A shop's fine name, cleaned → the coarse word that is true of it too: nobody calls "a blue shirt" wrong of a navy one, as nobody does the
other way round (`RIGHT["blue"]`). A caption that says it is right; `weft eval colour`, which judges names, does not count it. Neighbours of
which neither is the other's family stay wrong: cream for white, black for navy, purple for maroon, coral for red."""
_OURS = frozenset(name for name, _ in PALETTE)


def right_names(shops: str) -> tuple[str, ...]:
    """Our names that are right for a shop's colour; () when the table does not say."""
    name = clean(shops)
    return RIGHT.get(name) or ((name,) if name in _OURS else ())


def true_names(shops: str) -> tuple[str, ...]:
    """Our names that are true of a shop's colour, the coarse word for a fine one among them."""
    coarse = COARSE.get(clean(shops), "")
    return tuple(dict.fromkeys((*right_names(shops), *([coarse] if coarse else []))))
