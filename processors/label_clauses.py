"""One clause of a shop's label: the values that hold in it, those that it denies, and what stands in it alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from processors import label_words as words
from processors.label_text import bare
from processors.vocabulary import canonical, known_values

LONGEST_PHRASE = 4
"""Words of the longest value ("off the shoulder")."""
_COMPOUNDS = sorted(
    (w for w in words.NEGATIONS | words.IMITATIONS_BEFORE | words.IMITATIONS_AFTER if "-" in w), key=len, reverse=True
)
_TOKEN = re.compile(rf"\b(?:{'|'.join(_COMPOUNDS)})\b|\d+(?:[.,]\d+)?\s*%?|[^\W\d_]+(?:['’`][^\W\d_]+)?|[^\w\s]|_")
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")
_BREAKS = frozenset(",;/|.()[]{}&+!?\n–—•·_")
_PART_NAME = re.compile(rf"\b({'|'.join(sorted(words.PARTS | words.SHELLS))})\s*:")
"""Of "Shell: 100% wool lining: 100% silk" each part begins anew."""


_ZERO = re.compile(r"0+(?:[.,]0+)?\s*%")
SHOWN = frozenset({"colour"})
"""What cannot be imitated: "black look" is black."""
MOST = 50.0
"""A share in per cent: of less, the fabric is not the garment's."""


@dataclass(slots=True)
class Clause:
    """What one clause says: values that hold, words that it denies, and qualifiers that stand alone in it."""

    kept: list[str] = field(default_factory=list)
    denied: list[str] = field(default_factory=list)
    negated: bool = False  # it holds a negation, whether or not a known value follows
    parts: bool = False
    blended: bool = False
    alone: str = ""  # "imitation", "material", "negation", "part": it holds nothing else
    bracketed: bool = False


def read_clauses(facet: str, text: str) -> list[Clause]:
    """The clauses of a label in order, each read by itself."""
    return [_Reader(facet, tokens, bracketed=bracketed).read() for tokens, bracketed in _clauses(facet, text)]


def _clauses(facet: str, text: str) -> Iterator[tuple[list[str], bool]]:
    """The words and numbers of each clause in order, and whether it stands in brackets."""
    lowered = bare(text.lower())
    for pattern, replacement in words.JOINED:
        lowered = re.sub(pattern, replacement, lowered)
    lowered = re.sub(r"\s[-–—]+\s|^\s*[-–—]+\s", " , ", lowered)
    if facet == "fabric":
        lowered = _PART_NAME.sub(r" , \1 ", lowered)
    clause: list[str] = []
    depth = 0
    for found in _TOKEN.findall(lowered):
        if found in _BREAKS or found in words.ENDS_NEGATION:
            if clause:
                yield clause, depth > 0
            clause = []
            depth = max(0, depth + (found in _OPENING) - (found in _CLOSING))
        elif found[0].isalnum():
            clause += _parted(facet, re.sub(r"['’`]s?$", "", found))
    if clause:
        yield clause, depth > 0


def _parted(facet: str, word: str) -> list[str]:
    """A value that is written together with its qualifier, as two words."""
    if value_of(facet, word) is not None:
        return [word]
    for prefix in words.IMITATING_PREFIXES:
        if word.startswith(prefix) and value_of(facet, word.removeprefix(prefix)) is not None:
            return [prefix, word.removeprefix(prefix)]
    for suffix in words.QUALIFYING_SUFFIXES:
        if word.endswith(suffix) and value_of(facet, word.removesuffix(suffix)) is not None:
            return [word.removesuffix(suffix), suffix]
    return [word]


class _Reader:
    """Reads one clause word by word."""

    def __init__(self, facet: str, tokens: list[str], *, bracketed: bool) -> None:
        self.clause = Clause(alone=_alone(facet, tokens, bracketed=bracketed), bracketed=bracketed)
        self._facet = facet
        self._tokens = tokens
        self._negated = self._imitated = self._part = False
        self._leads = False  # whether the part read last is that of the values behind it
        self._behind_value = -1  # where the value read last ends

    def read(self) -> Clause:
        """The clause; to be called once."""
        at = 0
        while at < len(self._tokens):
            value, size = _longest(self._facet, self._tokens, at)
            if value is None or _qualifies(self._facet, self._tokens, at, size):
                self._word(at)
                at += 1
            else:
                self._take(at, size, value)
                at += size
        return self.clause

    def _word(self, at: int) -> None:
        """A word or a number that is no value by itself."""
        word = self._tokens[at]
        if word[0].isdigit():
            self._number(at)
        elif word in words.NEGATIONS:
            self._negation(at)
        elif word in words.DENIED_BEFORE and at:
            self._deny()
        elif _imitating(word) or word in words.MATERIALS_BEFORE:
            self._imitation_word(at)
        elif word in words.PARTS and self._facet == "fabric":
            self._part = self.clause.parts = True
            self._leads = at != self._behind_value or self._names_next(at)
        elif word in words.SHELLS and self._facet == "fabric":
            self._part = False
        elif word in words.BLENDS and not self._negated:
            self.clause.blended = True
        elif word in words.JOINS:
            self._imitated = False
            self._part = self._part and word == "with"  # "lined with silk", but "lined and quilted silk"
        elif self._negated:
            self.clause.denied.append(word)

    def _imitation_word(self, at: int) -> None:
        word = self._tokens[at]
        if at == self._behind_value and word in words.IMITATIONS_AFTER:
            return  # it was said of the value before it
        if word in words.MATERIALS_BEFORE or word.startswith(words.ECOLOGICAL_STEMS):
            self._imitated = self._imitated or (self._facet == "fabric" and _imitable(self._tokens, at + 1))
            material = self._facet == "fabric" and self.clause.kept[-1:] and self.clause.kept[-1] in words.IMITABLE
            if material and _only_qualifiers(self._tokens[at:]):
                self._imitate()
            return
        if self.clause.kept and _only_qualifiers(self._tokens[at:]):
            self._imitate()  # "leather: vegan"
        self._imitated = True

    def _number(self, at: int) -> None:
        """Of "0 % cotton" and "cotton 0 %" the cotton is denied, 5 % of it is a blend; any other number begins anew."""
        number, last = self._tokens[at], at + 1 == len(self._tokens)
        counted = self._facet in ("fabric", "gender", "pattern") and not number.strip("0 ")
        self._negated = counted or bool(_ZERO.fullmatch(number))
        self._imitated = False
        self._part = self._part and self._leads  # "lining 100% silk"
        if self._negated and last:
            self._deny()
        beside_value = at == self._behind_value if last else _longest(self._facet, self._tokens, at + 1)[0]
        if number.endswith("%") and beside_value and 0 < float(number[:-1].replace(",", ".")) < MOST:
            self.clause.blended = True

    def _negation(self, at: int) -> None:
        following = self._tokens[at + 1] if at + 1 < len(self._tokens) else ""
        if following in words.NEUTRAL_AFTER_NEGATION:
            return
        self._negated = self.clause.negated = True
        later = self._tokens[at + 1 :]
        if words.PARTS.intersection(later):
            return  # "cotton with no lining"
        # "Non" before a word is English, and alone behind one ("laine : non") the French answer.
        if (self._tokens[at] != "non" or not later) and not any(
            value_of(self._facet, word) is not None for word in later
        ):
            self._deny()  # "leather: no", "leather is not used"

    def _take(self, at: int, size: int, value: str) -> None:
        """Count a value, as its qualifiers before and directly after it let it count."""
        behind_value, self._behind_value = self._behind_value, at + size
        if self._facet == "fabric" and size == 1 and at == behind_value and self.clause.kept:
            word, before = self._tokens[at], self.clause.kept[-1]
            named = word in words.IMITATIONS_BEFORE | words.MATERIALS_BEFORE and before in words.IMITABLE
            if named and _only_qualifiers(self._tokens[at:]):
                self._imitate()  # "leather PU"
                return
        following = self._tokens[at + size] if at + size < len(self._tokens) else ""
        manners = words.MANNERS_AFTER if self._facet in ("fabric", "gender") else frozenset()
        if self._negated:
            self.clause.denied.append(" ".join(self._tokens[at : at + size]))
        elif self._facet == "category" and following in words.BESIDE_GARMENTS:
            self.clause.negated = True
        elif self._facet == "fabric" and (self._part or (following in words.PARTS and not self._names_next(at + size))):
            self.clause.parts = True
        elif not value:
            self.clause.negated = True
        else:
            self.clause.kept.append(value)
            if self._imitated or following in words.IMITATIONS_AFTER | manners:
                self._imitate()
        if self._facet == "fabric" and value in words.IMITATED_BY_MATERIAL and _imitable(self._tokens, at + size):
            self._imitated = True

    def _names_next(self, at: int) -> bool:
        """Whether the part at a place is that of what follows it ("shell 100% wool lining 100% silk"), not of what precedes it."""
        counted = at + 1 < len(self._tokens) and self._tokens[at + 1][0].isdigit()
        return counted and self._tokens[-1] not in words.PARTS | words.SHELLS

    def _imitate(self) -> None:
        """The value read last is an imitation of itself; of what cannot be imitated (a gender) it is no value."""
        if self._facet in SHOWN:
            return
        value = self.clause.kept.pop()
        if self._facet == "fabric":
            self.clause.kept.append(imitated(value))
        else:
            self.clause.negated = True  # it is not denied either: a faux print is not "solid"

    def _deny(self) -> None:
        self.clause.negated = True
        self.clause.denied += self.clause.kept
        self.clause.kept = []


def imitated(value: str) -> str:
    # "Vegan cotton" or "PU, polyester": what is synthetic itself is not imitated by it.
    return value if value.startswith("faux ") or value in words.IMITATED_BY_MATERIAL else f"faux {value}"


def _qualifies(facet: str, tokens: list[str], at: int, size: int) -> bool:
    """Whether a value ("synthetic", "PU") is said of the value that follows it."""
    qualifier = size == 1 and tokens[at] in words.IMITATIONS_BEFORE | words.MATERIALS_BEFORE
    return facet == "fabric" and qualifier and _imitable(tokens, at + 1)


def _only_qualifiers(tokens: list[str]) -> bool:
    """Whether nothing but what makes an imitation follows, as in "leather vegan friendly"."""
    known = (
        words.IMITATIONS_BEFORE | words.MATERIALS_BEFORE | words.IMITATIONS_AFTER | {"friendly", "based", "material"}
    )
    return all(token in known or _imitating(token) for token in tokens)


def _imitating(word: str) -> bool:
    return word in words.IMITATIONS_BEFORE or word.startswith(words.IMITATING_STEMS)


def _imitable(tokens: list[str], at: int) -> bool:
    following = tokens[at : at + 2]
    return any(value_of("fabric", token) in words.IMITABLE for token in following)


def _alone(facet: str, tokens: list[str], *, bracketed: bool) -> str:
    """What a clause is that holds qualifiers only. "Leather, synthetic" lists two materials, "leather (synthetic)" one."""
    if facet == "fabric" and all(token in words.PARTS for token in tokens):
        return "part"
    if all(token in words.NEGATIONS | words.DENIED_BEFORE for token in tokens):
        return "negation"
    filler = {"real", "genuine", "echt", "true", "look", "style", "made", "material", "quality"}
    materials = words.MATERIALS_BEFORE
    qualifiers = words.IMITATIONS_BEFORE | words.IMITATIONS_AFTER | materials
    known = [token in qualifiers or _imitating(token) for token in tokens]
    if any(known) and all(found or token in filler for found, token in zip(known, tokens, strict=True)):
        listed = not bracketed and any(value_of("fabric", token) is not None for token in tokens)
        if listed:
            return ""
        return "material" if all(token in materials | filler for token in tokens) else "imitation"
    if any(token in words.NEGATIONS for token in tokens) and all(token in words.NEGATIONS | filler for token in tokens):
        return "negation"  # "leather (not real)"
    return ""


def _longest(facet: str, tokens: list[str], at: int) -> tuple[str | None, int]:
    """The longest value that begins at a word, and how many words it is; (None, 0) when none does."""
    for size in range(min(LONGEST_PHRASE, len(tokens) - at), 0, -1):
        value = value_of(facet, " ".join(tokens[at : at + size]))
        if value is not None:
            return value, size
    return None, 0


@lru_cache(maxsize=65_536)
def value_of(facet: str, phrase: str) -> str | None:
    """The value that a phrase names, "" for a word of another language that names none, None for no value."""
    if phrase in words.NO_LABELS:
        return None
    for table in (words.LABELS, words.FOREIGN):
        if (value := table.get(facet, {}).get(bare(phrase))) is not None:
            return value
    value = canonical(facet, phrase)
    if value == "blended" and facet == "fabric" and phrase in words.BLENDS:
        return None
    return value if value in known_values(facet) else None
