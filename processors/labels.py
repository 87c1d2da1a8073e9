"""What a shop's label says of a facet: one value, or nothing. Captions, filters, votes and searches all read by this.

A label is cut into clauses (commas, brackets, "but"). In a clause a negation takes away what follows ("not for men"), an
imitation makes another value ("vegan leather" is "faux leather", never "leather"), and what is said of a part is not said
of the garment ("leather trim"). What is left is the value, where it is one.
"""

from __future__ import annotations

import re
from functools import lru_cache

from processors import label_words as words
from processors.label_clauses import MOST, SHOWN, Clause, imitated, read_clauses, value_of
from processors.label_text import bare, latin, says_nothing, spelt_out, unescaped
from processors.vocabulary import canonical, clean

LONGEST_LABEL = 200
"""Characters that are read: a label is a word or a line, and a facet may hold a whole description."""
_SHARE = re.compile(r"((?<![\d.,])\d{1,3}(?:[.,]\d+)?|[.,]\d+)\s*%")
_END = re.compile(r"[.;(\[\n]")
_TWO = 5
"""Pieces of a label with two shares: what is around and between them."""
_LEAST_SUM, _MOST_SUM = 97.0, 103.0
"""Of the shares of one composition, in per cent: shops round them."""


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
    if (value := value_of(facet, whole)) is not None:
        return value
    if len(whole) < 2 or whole in words.NO_LABELS or not latin(whole):
        return ""
    mixed = _composition(text) if facet == "fabric" else ""
    return mixed or _said(
        facet,
        whole,
        read_clauses(facet, text),
    )


_READ = frozenset({"fabric", "gender", "pattern", "sleeve", "neckline", "length", "colour", "category"})
"""Facets that have lists. Others (origin, care) stay as they are written."""


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
        value = value_of("fabric", named) or read_label("fabric", named)
        if not value or words.NEGATIONS.intersection(named.split()) or words.PARTS.intersection(named.split()):
            return ""
        shares[value] = shares.get(value, 0.0) + float(number.replace(",", "."))
    shares = {value: share for value, share in shares.items() if share}
    if len(pieces) < _TWO or not shares or not _LEAST_SUM <= sum(shares.values()) <= _MOST_SUM:
        return ""
    first = max(shares, key=lambda value: shares[value])
    known = [value for value in shares if value_of("fabric", value) == value]
    if first in known and shares[first] > MOST:
        return f"{first} blend" if len(shares) > 1 else first
    return " ".join(known) if len(known) == len(shares) else ""


def _said(facet: str, whole: str, clauses: list[Clause]) -> str:
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


def _apply_lone_qualifiers(facet: str, clauses: list[Clause]) -> None:
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
                owner.kept, clause.kept = [imitated(value) for value in owner.kept], []
            continue
        if clause.alone == "imitation" and facet in SHOWN:
            continue
        if clause.alone == "negation":
            owner.denied += owner.kept
            owner.kept = []
        elif facet != "fabric":
            owner.kept, owner.negated = [], True
        else:
            owner.kept = [imitated(value) for value in owner.kept]
        clause.kept = []


def _give_to_part(clauses: list[Clause], place: int) -> None:
    """Of "lining (silk)" and "lining / silk" the silk is the lining's, and so it is of "silk (lining)"."""
    at = place - 1 if clauses[place].bracketed else place + 1
    if 0 <= at < len(clauses):
        clauses[at].kept, clauses[at].parts = [], True


def _foreign(whole: str) -> bool:
    """Whether a label that no list knows is made of words of another language."""
    for token in bare(whole).split():
        if token in _FOREIGN_TOKENS or any(stem in token for stem in words.FOREIGN_STEMS):
            return True
    return False


_FOREIGN_TOKENS = frozenset(
    token for table in words.FOREIGN.values() for phrase in table for token in phrase.split() if len(token) > 1
)
