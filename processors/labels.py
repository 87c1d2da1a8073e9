"""What a shop's label says of a facet: one value, or nothing. Captions, filters, votes and searches all read by this.

A label is cut into clauses (commas, brackets, "but"). In a clause a negation takes away what follows ("not for men"), an
imitation makes another value ("vegan leather" is "faux leather", never "leather"), and what is said of a part is not said
of the garment ("leather trim"). What is left is the value, where it is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from processors import label_words as words
from processors.label_text import bare, latin, says_nothing, spelt_out, unescaped
from processors.vocabulary import canonical, clean, known_values

LONGEST_LABEL = 200
"""Characters that are read: a label is a word or a line, and a facet may hold a whole description."""
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
_SHARE = re.compile(r"((?<![\d.,])\d{1,3}(?:[.,]\d+)?|[.,]\d+)\s*%")
_END = re.compile(r"[.;(\[\n]")
_TWO = 5
"""Pieces of a label with two shares: what is around and between them."""
_LEAST_SUM, _MOST_SUM = 97.0, 103.0
"""Of the shares of one composition, in per cent: shops round them."""
_ZERO = re.compile(r"0+(?:[.,]0+)?\s*%")


@dataclass(slots=True)
class _Clause:
    """What one clause says: values that hold, words that it denies, and qualifiers that stand alone in it."""

    kept: list[str] = field(default_factory=list)
    denied: list[str] = field(default_factory=list)
    negated: bool = False  # it holds a negation, whether or not a known value follows
    parts: bool = False
    blended: bool = False
    alone: str = ""  # "imitation", "material", "negation", "part": it holds nothing else
    bracketed: bool = False


@lru_cache(maxsize=65_536)
def read_label(facet: str, text: str) -> str:
    """The canonical value of a label ("Ladies" → "women", "PU leather" → "faux leather"); "" for one that says none.

    A value that no list knows stays as it was written, cleaned ("bouclé"), and so does a mixture ("cotton polyester"),
    unless something in it is denied. Never raises.
    """
    text = unescaped(text[: 4 * LONGEST_LABEL])[:LONGEST_LABEL]
    listed = words.LABELS.get(facet, {}).get(clean(text))  # "3/4" holds no letter, and says something of a sleeve
    if listed is not None or says_nothing(clean(text)):
        return listed or ""
    if facet in _READ:
        text = spelt_out(text)
    whole = clean(text)
    if says_nothing(whole):
        return ""
    if facet not in _READ:
        tokens = bare(whole).split()
        # "Italy?" asks, and "not Italy" names no country, where "do not wash" is care.
        return "" if "?" in text or (facet == "origin" and tokens[0] in words.NEGATIONS) else whole
    if (value := _value(facet, whole)) is not None:
        return value
    if len(whole) < 2 or whole in words.NO_LABELS or not latin(whole):
        return ""
    mixed = _composition(text) if facet == "fabric" else ""
    return mixed or _said(
        facet,
        whole,
        [_Reader(facet, tokens, bracketed=bracketed).read() for tokens, bracketed in _clauses(facet, text)],
    )


_READ = frozenset({"fabric", "gender", "pattern", "sleeve", "neckline", "length", "colour", "category"})
"""Facets that have lists. Others (origin, care) stay as they are written."""


_SHOWN = frozenset({"colour"})
"""What cannot be imitated: "black look" is black."""
_MOST = 50.0
"""A share in per cent: of less, the fabric is not the garment's."""


def _composition(text: str) -> str:
    """What "98% cotton, 2% elastane" is: a blend of the fibre that has more than half ("cotton blend"), else its fibres; "" if it is none.

    The shares of one garment add up to about a hundred: "shell 100% wool, lining 100% silk" is read by its parts.
    """
    pieces = _SHARE.split(text)
    leads = not pieces[0].strip(" :-")
    fibres = pieces[2::2] if leads else pieces[0:-1:2]
    shares: dict[str, float] = {}
    for number, fibre in zip(pieces[1::2], fibres, strict=True):
        named = clean(_END.split(fibre.strip(" ,;.:/|+&-\n"))[0])
        value = _value("fabric", named) or read_label("fabric", named)
        if not value or words.NEGATIONS.intersection(named.split()) or words.PARTS.intersection(named.split()):
            return ""
        shares[value] = shares.get(value, 0.0) + float(number.replace(",", "."))
    shares = {value: share for value, share in shares.items() if share}
    if len(pieces) < _TWO or not shares or not _LEAST_SUM <= sum(shares.values()) <= _MOST_SUM:
        return ""
    first = max(shares, key=lambda value: shares[value])
    known = [value for value in shares if _value("fabric", value) == value]
    if first in known and shares[first] > _MOST:
        return f"{first} blend" if len(shares) > 1 else first
    return " ".join(known) if len(known) == len(shares) else ""


def _said(facet: str, whole: str, clauses: list[_Clause]) -> str:
    _apply_lone_qualifiers(facet, clauses)
    found = list(dict.fromkeys(value for clause in clauses for value in clause.kept))
    kept = _merged(facet, found)
    if found and not kept:
        return ""
    denied = {word for clause in clauses for word in clause.denied}
    untouched = not denied and not any(clause.negated or clause.parts for clause in clauses)
    if len(kept) == 1:
        blended = facet == "fabric" and any(clause.blended for clause in clauses)
        return f"{kept[0]} blend" if blended else kept[0]
    if kept:
        imitated = any(value.startswith("faux ") for value in kept)
        if facet == "gender":
            return " and ".join(kept)
        return whole if untouched and not imitated else " ".join(kept)
    return _unlisted(facet, whole) if untouched else _denied(facet, denied)


def _unlisted(facet: str, whole: str) -> str:
    """A label without a known value, and without anything that denies one."""
    if facet == "gender":
        return ""  # its values are all listed: a caption would say "for boyfriend fit"
    tokens = whole.split()
    if facet == "fabric" and any(canonical(facet, token) == "blended" for token in tokens):
        return "blended"
    numbered = any(char.isdigit() for char in whole)  # the code of an article or a colour ("#1f2a44", "C01"), a measure
    return "" if numbered or _foreign(whole) or words.NO_LABELS.intersection(tokens) else whole


def _denied(facet: str, denied: set[str]) -> str:
    """What a denial amounts to, where it says what is instead."""
    if facet == "pattern" and denied and denied <= words.PATTERN_NOUNS:
        return "solid"
    if facet == "sleeve" and denied and denied <= words.SLEEVES:
        return "sleeveless"
    return ""


def _merged(facet: str, kept: list[str]) -> list[str]:
    """Several values that are one: men's and women's is unisex, a floral print is floral."""
    found = set(kept)
    if facet == "gender" and len(found) > 1:
        children = found & {"girls", "boys", "kids"}
        if children and found & {"women", "men"} and len(children) == 1 and len(found) == 2:
            # "Female, kids": one person; "women and girls" cannot be told apart from it, and is for children too.
            [adult], [child] = found - children, children
            return [{"women": "girls", "men": "boys"}[adult]] if child == "kids" else kept
        if children:
            rest = children - {"kids"}
            return [] if found & {"women", "men"} else [rest.pop()] if len(rest) == 1 else ["kids"]
        return ["unisex"]
    if facet == "pattern" and len(found) > 1:
        plainer = [value for value in kept if value not in ("printed", "patterned")]
        return plainer or kept[:1]
    return kept


def _apply_lone_qualifiers(facet: str, clauses: list[_Clause]) -> None:
    """A qualifier in a clause of its own belongs to its neighbour: "leather (faux)", "leather, vegan", "faux / leather"."""
    for place, clause in enumerate(clauses):
        if not clause.alone:
            continue
        before = next((c for c in reversed(clauses[:place]) if c.kept), None)
        after = next((c for c in clauses[place + 1 :] if c.kept), None)
        owner = before or after
        if clause.alone == "part":
            _give_to_part(clauses, place)
            continue
        if owner is None:
            continue
        if clause.alone == "material":
            if set(owner.kept) <= words.IMITABLE:
                owner.kept, clause.kept = [_imitation(value) for value in owner.kept], []
            continue
        if clause.alone == "imitation" and facet in _SHOWN:
            continue
        if clause.alone == "negation":
            owner.denied += owner.kept
            owner.kept = []
        elif facet != "fabric":
            owner.kept, owner.negated = [], True
        else:
            owner.kept = [_imitation(value) for value in owner.kept]
        clause.kept = []


def _give_to_part(clauses: list[_Clause], place: int) -> None:
    """Of "lining (silk)" and "lining / silk" the silk is the lining's, and so it is of "silk (lining)"."""
    at = place - 1 if clauses[place].bracketed else place + 1
    if 0 <= at < len(clauses):
        clauses[at].kept, clauses[at].parts = [], True


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
    if _value(facet, word) is not None:
        return [word]
    for prefix in words.IMITATING_PREFIXES:
        if word.startswith(prefix) and _value(facet, word.removeprefix(prefix)) is not None:
            return [prefix, word.removeprefix(prefix)]
    for suffix in words.QUALIFYING_SUFFIXES:
        if word.endswith(suffix) and _value(facet, word.removesuffix(suffix)) is not None:
            return [word.removesuffix(suffix), suffix]
    return [word]


class _Reader:
    """Reads one clause word by word."""

    def __init__(self, facet: str, tokens: list[str], *, bracketed: bool) -> None:
        self.clause = _Clause(alone=_alone(facet, tokens, bracketed=bracketed), bracketed=bracketed)
        self._facet = facet
        self._tokens = tokens
        self._negated = self._imitated = self._part = False
        self._leads = False  # whether the part read last is that of the values behind it
        self._behind_value = -1  # where the value read last ends

    def read(self) -> _Clause:
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
        if number.endswith("%") and beside_value and 0 < float(number[:-1].replace(",", ".")) < _MOST:
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
            _value(self._facet, word) is not None for word in later
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
        if self._facet in _SHOWN:
            return
        value = self.clause.kept.pop()
        if self._facet == "fabric":
            self.clause.kept.append(_imitation(value))
        else:
            self.clause.negated = True  # it is not denied either: a faux print is not "solid"

    def _deny(self) -> None:
        self.clause.negated = True
        self.clause.denied += self.clause.kept
        self.clause.kept = []


def _imitation(value: str) -> str:
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
    return any(_value("fabric", token) in words.IMITABLE for token in following)


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
        listed = not bracketed and any(_value("fabric", token) is not None for token in tokens)
        if listed:
            return ""
        return "material" if all(token in materials | filler for token in tokens) else "imitation"
    if any(token in words.NEGATIONS for token in tokens) and all(token in words.NEGATIONS | filler for token in tokens):
        return "negation"  # "leather (not real)"
    return ""


def _longest(facet: str, tokens: list[str], at: int) -> tuple[str | None, int]:
    """The longest value that begins at a word, and how many words it is; (None, 0) when none does."""
    for size in range(min(LONGEST_PHRASE, len(tokens) - at), 0, -1):
        value = _value(facet, " ".join(tokens[at : at + size]))
        if value is not None:
            return value, size
    return None, 0


@lru_cache(maxsize=65_536)
def _value(facet: str, phrase: str) -> str | None:
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


def _foreign(whole: str) -> bool:
    """Whether a label that no list knows is made of words of another language."""
    for token in bare(whole).split():
        if token in _FOREIGN_TOKENS or any(stem in token for stem in words.FOREIGN_STEMS):
            return True
    return False


_FOREIGN_TOKENS = frozenset(
    token for table in words.FOREIGN.values() for phrase in table for token in phrase.split() if len(token) > 1
)
