"""What the words of an edit wish for: the garment that they name, its colours, its pattern."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    """

    category: str = ""
    colours: tuple[str, ...] = ()
    pattern: str = ""


def wish_of(edit: ParsedEdit, named: Sequence[Sequence[str]]) -> Wish:
    """What an edit wishes for.

    Args:
        edit: the words, as rules read them.
        named: the categories that each garment's name in the words stands for.
    """
    category = next((one for names in named for one in names if one in ALIKE), "")
    spoken = edit.set.get("colour", "")
    colours = tuple(name for name in spoken.split(" and ") if name in _COLOURS)
    return Wish(category, colours, edit.set.get("pattern", ""))


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
