"""From a reference and an edit to one query vector, without a trained composer and without re-indexing.

Where the reference's attributes are known, q = norm(image + text(edited caption) − text(reference caption)): the
difference of two captions points from what the garment is to what it should be (direction 87 R@1 on drawn data, a
plain sum or slerp 30). Where they are not, the query lies between image and text on the sphere (slerp).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from processors.edit_text import ParsedEdit, parse_edit
from processors.errors import Poison
from processors.values import Vector

__all__ = [
    "ParsedEdit",
    "caption_of",
    "captions_for",
    "edited_facets",
    "fuse_direction",
    "fuse_slerp",
    "norm",
    "parse_edit",
]

_PLURAL = frozenset(
    "sunglasses pants trousers shorts shoes jeans leggings boots heels sneakers sandals flats loafers chinos".split()  # noqa: SIM905
)
_NOUN = {"sunglass": "sunglasses", "shoe": "shoes"}
_SLEEVES = {
    "sleeveless": "without sleeves",
    "long": "with long sleeves",
    "short": "with short sleeves",
    "three-quarter": "with three-quarter sleeves",
}
_NECKLINES = {"collar": "collared", "off-shoulder": "off-the-shoulder", "halter": "halter-neck", "v": "V-neck"}
_LENGTHS = ("mini", "knee", "midi", "maxi")
_LENGTH_WORDS = {"knee": "knee-length"}
_STATED = ("category", "kind", "colour", "pattern", "fabric", "gender", "sleeve", "neckline", "length")
# One step on the palette; anything else becomes "light …" or "dark …".
_LIGHTER = {
    "black": "charcoal", "charcoal": "grey", "grey": "light grey", "light grey": "white", "navy": "blue",
    "blue": "light blue", "steel blue": "light blue", "teal": "turquoise", "turquoise": "mint", "dark green": "green",
    "green": "mint", "olive": "khaki", "brown": "tan", "tan": "beige", "khaki": "beige", "beige": "cream",
    "cream": "white", "mustard": "yellow", "rust": "orange", "orange": "coral", "coral": "pink", "burgundy": "red",
    "red": "coral", "magenta": "pink", "purple": "lavender",
}  # fmt: skip
_DARKER = {
    "white": "light grey", "light grey": "grey", "grey": "charcoal", "charcoal": "black", "light blue": "blue",
    "blue": "navy", "steel blue": "navy", "navy": "black", "turquoise": "teal", "mint": "green",
    "green": "dark green", "dark green": "black", "khaki": "olive", "beige": "tan", "tan": "brown",
    "cream": "beige", "yellow": "mustard", "mustard": "rust", "orange": "rust", "rust": "brown", "coral": "red",
    "red": "burgundy", "pink": "magenta", "magenta": "burgundy", "lavender": "purple", "brown": "black",
}  # fmt: skip


def captions_for(reference: Mapping[str, str], edit: ParsedEdit) -> tuple[str, str] | None:
    """(caption of the reference, the same caption edited), or None when they would not differ.

    Args:
        reference: known facets of the reference ("category", "colour", "fabric" …); unknown ones absent or "".
        edit: what to change. Facets the edit does not touch stand in both captions and cancel out.

    Returns:
        Captions in the words that the text encoder was trained on. None when the reference has no known facet or the
        edit changes nothing: there is no direction then.
    """
    known = {facet: value for facet in _STATED if (value := reference.get(facet, ""))}
    if not known:
        return None
    before, after = _caption(known), _caption(edited_facets(known, edit))
    if edit.rest:
        after = f"{after}, {edit.rest}"
    return None if before == after else (before, after)


def caption_of(facets: Mapping[str, str]) -> str:
    """What is known of a garment in the words that the text encoder was trained on; "" where nothing is."""
    known = {facet: value for facet in _STATED if (value := facets.get(facet, ""))}
    return _caption(known) if known else ""


def edited_facets(reference: Mapping[str, str], edit: ParsedEdit) -> dict[str, str]:
    """The reference's facets after the edit: what is set replaces, what is refused falls away."""
    facets = {facet: value for facet, value in reference.items() if value}
    for refusals in (edit.exclude, edit.less):
        for facet, values in refusals.items():
            if facets.get(facet) in values and facet != "category":
                del facets[facet]
    for facet in edit.another:
        facets.pop(facet, None)
    if edit.set.get("category", facets.get("category")) != facets.get("category"):
        # Of another garment the reference's kind, sleeves and neck say nothing.
        for facet in ("kind", "sleeve", "neckline", "length"):
            facets.pop(facet, None)
    facets.update(edit.set)
    if edit.shade and "colour" not in edit.set and "colour" in facets:
        facets["colour"] = _shaded(facets["colour"], lighter=edit.shade == "lighter")
    if edit.length and "length" not in edit.set:
        facets["length"] = _stretched(facets.get("length", ""), longer=edit.length == "longer")
    return facets


def fuse_direction(image: Vector, edited: Vector, reference: Vector) -> Vector:
    """norm(image + text(edited caption) − text(reference caption)); all float32 of shape (dimension,)."""
    return norm(image + edited - reference)


def fuse_slerp(image: Vector, text: Vector, t: float = 0.5) -> Vector:
    """The point at `t` (0: image, 1: text) of the great circle between two unit vectors (Shoemake 1985).

    Nearly parallel vectors are mixed in a straight line (the sine would divide by nothing). Opposite ones lie on no
    one circle: the nearer of the two is the answer.
    """
    a, b = norm(image), norm(text)
    cosine = float(np.clip(np.dot(a, b), -1.0, 1.0))
    angle = float(np.arccos(cosine))
    if angle < 1e-4:
        return norm((1 - t) * a + t * b)
    if np.pi - angle < 1e-4:
        return a if t < 0.5 else b
    return norm((np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle))


def norm(vector: Vector) -> Vector:
    """The vector at L2 norm 1, float32.

    Raises:
        Poison: it is zero or not finite; it would score NaN or 0 against everything.
    """
    wide = np.asarray(vector, dtype=np.float64)
    length = float(np.linalg.norm(wide))
    if not np.isfinite(length) or length < 1e-12:
        raise Poison("a query vector without direction (zero or not finite)")
    return np.asarray(wide / length, dtype=np.float32)


def _shaded(colour: str, *, lighter: bool) -> str:
    table, word, opposite = (_LIGHTER, "light", "dark") if lighter else (_DARKER, "dark", "light")
    if colour in table:
        return table[colour]
    bare = colour.removeprefix(f"{opposite} ")
    return bare if bare != colour else f"{word} {colour.removeprefix(f'{word} ')}"


def _stretched(length: str, *, longer: bool) -> str:
    if length in _LENGTHS:
        place = _LENGTHS.index(length) + (1 if longer else -1)
        return _LENGTHS[min(max(place, 0), len(_LENGTHS) - 1)]
    return "long" if longer else "short"


def _caption(facets: Mapping[str, str]) -> str:
    """A caption in the order of the training texts: "a mini striped navy V-neck linen dress with long sleeves"."""
    noun = facets.get("kind") or facets.get("category", "")
    noun = _NOUN.get(noun, noun) or "garment"
    neckline = facets.get("neckline", "")
    length = facets.get("length", "")
    pattern = facets.get("pattern", "")
    words = [
        _LENGTH_WORDS.get(length, length),
        "plain" if pattern == "solid" else pattern,
        facets.get("colour", ""),
        _NECKLINES.get(neckline, f"{neckline} neck" if neckline else ""),
        facets.get("fabric", ""),
        noun,
        _SLEEVES.get(facets.get("sleeve", ""), ""),
        f"for {facets['gender']}" if facets.get("gender") else "",
    ]
    phrase = " ".join(word for word in words if word)
    if noun in _PLURAL:
        return phrase
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"
