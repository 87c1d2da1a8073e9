"""What the classes of a detector of one's own are in Weft's words.

A class is one of `CATEGORIES`, or a garment that no category covers, or nothing that Weft wants to see. What its name says beyond
the category stays with the garment as its `kind` ("kurta" of a shirt), which is kept, filtered and captioned like any other kind.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

import msgspec

from processors.garments import kind_of
from processors.kinds import KINDS, kind_label
from processors.values import CATEGORIES
from processors.vocabulary import CATEGORY_NOUNS, OTHER_GARMENTS, clean


class Meaning(msgspec.Struct, frozen=True):
    """One class: its own name; the category ("": its boxes are dropped); and the kind that its name adds ("": none)."""

    name: str
    category: str
    kind: str = ""


class UnknownWordError(ValueError):
    """A word of a map that is none: `key` says in whose entry, and `value` whether it stands on the right."""

    def __init__(self, message: str, *, key: str, value: bool) -> None:
        super().__init__(message)
        self.key = key
        self.value = value


def meanings(names: Sequence[str], given: Mapping[str, str | None] | None = None) -> tuple[Meaning, ...]:
    """What each class means.

    Args:
        names: of the classes, in the order of the detector's outputs.
        given: class → a category, another garment that Weft has a word for, or None; a class that it lacks is read by its
            name, and where Weft has no word for it either it stays what it is called.

    Raises:
        UnknownWordError: a class of `given` is not the detector's, or a word of it not Weft's. The nearest one is named.
    """
    wanted = _by_name(names, given or {})
    return tuple(_of_word(name, wanted[name]) if name in wanted else _of_name(name) for name in names)


def _by_name(names: Sequence[str], given: Mapping[str, str | None]) -> dict[str, str | None]:
    cleaned = {clean(name): name for name in names}
    found: dict[str, str | None] = {}
    for key, value in given.items():
        name = key if key in names else cleaned.get(clean(key))
        if name is None:
            told = f"the detector has no class {key!r}{_near(clean(key), cleaned)}; it has {', '.join(names)}"
            raise UnknownWordError(told, key=key, value=False)
        if name in found:
            raise UnknownWordError(f"the class {name!r} stands here a second time", key=key, value=False)
        found[name] = value
    return found


def _near(word: str, words: Mapping[str, str]) -> str:
    near = difflib.get_close_matches(word, list(words), n=1)
    return f" (did you mean {words[near[0]]!r}?)" if near else ""


def _words() -> dict[str, str]:
    """Every word that the right side of a map may say, cleaned, and what it is called."""
    own = {clean(noun): category for category, nouns in CATEGORY_NOUNS.items() for noun in nouns}
    others = {clean(word): word for word in OTHER_GARMENTS.split()}
    return others | {clean(kind): kind for kind in KINDS} | own | {clean(name): name for name in CATEGORIES}


def _of_word(name: str, word: str | None) -> Meaning:
    if word is None:
        return Meaning(name, "")
    words = _words()
    said = clean(word)
    if said in CATEGORIES:
        return Meaning(name, said, _kind(name, said))
    if said not in words:
        near = _near(said, words)
        told = f"{name}: Weft has no word {word!r}{near}; its categories are {', '.join(CATEGORIES)}, and null is none"
        raise UnknownWordError(told, key=name, value=True)
    return _of_name(word, name)


def _of_name(word: str, name: str = "") -> Meaning:
    label, last = kind_label(word), clean(word).rpartition(" ")[2]
    named = (kind_of(one) for one in (clean(word), label, last, kind_label(last)))
    category = next((one for one in named if one), "")
    return Meaning(name or word, category or label or word, _kind(word, category))


def _kind(name: str, category: str) -> str:
    """What the class's name says that the category does not: all of it, where there is none."""
    label = kind_label(name) or name
    return "" if category and category in (label, clean(name)) else label
