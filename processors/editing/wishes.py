"""What the words of an edit wish for: the garment that they name, its colours, its pattern."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from processors.edit_text import ParsedEdit
from processors.garments import main_garment
from processors.palette import PALETTE
from processors.values import Garment

ALIKE: Mapping[str, tuple[str, ...]] = {
    "shirt": ("shirt", "jacket", "dress"),
    "jacket": ("jacket", "shirt", "dress"),
    "dress": ("dress", "skirt", "shirt", "jacket"),
    "skirt": ("skirt", "dress", "shorts", "pants"),
    "pants": ("pants", "shorts", "skirt"),
    "shorts": ("shorts", "pants", "skirt"),
    "shoe": ("shoe",),
    "hat": ("hat",),
    "bag": ("bag",),
    "sunglass": ("sunglass",),
}
"""Garments that are edited where the words name another one that is worn in the same place: a shirt for a jacket."""
_COLOURS = {name for name, _ in PALETTE}


@dataclass(frozen=True, slots=True)
class Wish:
    """Attributes:
    category: of `CATEGORIES`, that the words name; "" for none.
    colours: names of the palette, the ground first.
    pattern: as the vocabulary has it; "" where the words say none.
    plain: the words name a colour or a material, and no print.
    left_out: categories that the words name as well, and that are not edited.
    """

    category: str = ""
    colours: tuple[str, ...] = ()
    pattern: str = ""
    plain: bool = False
    left_out: tuple[str, ...] = ()


def wish_of(edit: ParsedEdit, named: Sequence[Sequence[str]]) -> Wish:
    """What an edit wishes for.

    Args:
        edit: the words, as rules read them.
        named: the categories that each garment's name in the words stands for.
    """
    category = next((one for names in named for one in names if one in ALIKE), "")
    spoken = edit.set.get("colour", "")
    colours = tuple(name for name in spoken.split(" and ") if name in _COLOURS)
    pattern = edit.set.get("pattern", "")
    material = len(colours) == 1 or (not colours and "fabric" in edit.set)
    return Wish(category, colours, pattern, plain=pattern == "solid" or (not pattern and material))


def first_of(text: str, named: Callable[[str], Sequence[Sequence[str]]]) -> tuple[str, tuple[str, ...]]:
    """The words for the first garment of several ("a navy jacket" of "a navy jacket and white trousers"), and the categories of the others.

    Args:
        text: the words of a request.
        named: the categories that each garment's name in words stands for.

    Returns:
        All of the text and nothing, where it names garments of one category or of none. What stands between two garments and names none
        ("black" in "a shirt and black and white trousers") belongs to the next one; behind the last, or after "with", to the one before.
    """
    pieces = _BETWEEN.split(text)  # words, what stands between, words, …
    parts, begun = list[tuple[str, str]](), ""
    for at in range(0, len(pieces), 2):
        between = pieces[at - 1] if at else ""
        begun += between + pieces[at] if begun else pieces[at]
        refused = _REFUSED.match(pieces[at]) is not None
        category = "" if refused else next((one for names in named(pieces[at]) for one in names if one in ALIKE), "")
        of_before = refused or "with" in between.lower() or at == len(pieces) - 1
        if category and (not parts or parts[-1][1] != category):
            parts.append((begun, category))
        elif parts and (category or of_before):
            parts[-1] = (parts[-1][0] + (between if begun == pieces[at] else " ") + begun, parts[-1][1])
        else:
            continue
        begun = ""
    others = tuple(dict.fromkeys(category for _, category in parts[1:] if category != parts[0][1]))
    return (parts[0][0].strip(), others) if others else (text, ())


_REFUSED = re.compile(r"\s*(?:but\s+)?(?:no|not|never|without|instead|rather)\b", re.IGNORECASE)
_BETWEEN = re.compile(r"(\s*[,;+&]\s*(?:and\s+)?|\s+(?:and|with|over|plus)\s+)", re.IGNORECASE)


def chosen(garments: Sequence[Garment], wish: Wish) -> Garment | None:
    """The garment that is edited: of the kind that the words name, else of one worn in the same place; without a name the main
    one. None where the photo shows none of these.
    """
    if not wish.category:
        return main_garment([one for one in garments if one.category in CLOTHES] or garments)
    for category in ALIKE[wish.category]:
        found = main_garment([one for one in garments if one.category == category])
        if found is not None:
            return found
    return None


CLOTHES = ("shirt", "jacket", "dress", "skirt", "pants", "shorts")


def shown(garments: Iterable[Garment]) -> str:
    """What a photo shows, for a sentence."""
    return ", ".join(dict.fromkeys(one.category for one in garments)) or "no garment"
