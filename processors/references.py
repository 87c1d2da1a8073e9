"""Which garment words a claim may belong to, or refer back to: a matter of the text alone.

"A navy dress", "a dress in navy linen", "the dress and the bag are black", "and yes, it is black".
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from processors.claims import Mention
from processors.noun_phrases import BREAKS
from processors.vocabulary import clean

# Words that may stand between a garment and what is said of it afterwards ("a dress made of soft linen") …
_LINK_WORDS = """a all an and are but come comes cut done finished from in is it its made of out pure that which with soft
crisp rich tone tones worked shown rendered for also"""
_LINKS = frozenset(_LINK_WORDS.split())
# … one of which must be there.
_LINKING = frozenset(("in", "of", "from", "is", "are", "for"))
_ALL = re.compile(r"^\s*,\s*(?:and\s+)?all\b", re.IGNORECASE)
_ONE_THING = re.compile(r"(?<![^\W_])(?:it|it['’]s|its|this|one|each)(?![^\W_])", re.IGNORECASE)
_SEVERAL_THINGS = re.compile(
    r"(?<![^\W_])(?:they|they['’]re|them|their|theirs|these|those|both|ones)(?![^\W_])", re.IGNORECASE
)
_OF_SEVERAL = re.compile(r"(?<![^\W_])(?:are|were|both|all|come|share)(?![^\W_])", re.IGNORECASE)
_JOINED = re.compile(r"(?:(?<![^\W_])and(?![^\W_])|&)", re.IGNORECASE)
# "Black: the dress", "In black, this dress" say it of the dress.
_INTRODUCES = re.compile(r"\s*[:—–,]\s*(?:a|an|the|this|these|our|your)\s+", re.IGNORECASE)
_APART = re.compile(r"[.;:!?—–()]|(?<![^\W_])(?:with|over|under|is|has)(?![^\W_])", re.IGNORECASE)


def owners_of(
    mention: Mention, nouns: Sequence[Mention], found: Sequence[Mention], text: str
) -> tuple[tuple[Mention, ...], bool]:
    """The garment words that a modifier may belong to, and whether it is the noun directly after it for sure."""
    if mention in nouns:  # "jeans" is its own denim
        return (mention,), True
    after = next((n for n in nouns if n.start >= mention.end), None)
    before = next((n for n in reversed(nouns) if n.end <= mention.start), None)
    owners: list[Mention] = []
    if after is not None:
        gap = _uncovered(text, mention.end, after.start, found)
        if not gap.strip(" -"):
            return (after,), True
        words = clean(gap).split()
        near = len(words) <= 3 and not re.search(r"[.;:!?—–()]", gap) and not BREAKS.intersection(words)
        if near or _INTRODUCES.fullmatch(gap):
            owners.append(after)
    if before is not None:
        gap = _uncovered(text, before.end, mention.start, found)
        words = clean(gap).split()
        shaped = {"with"} if mention.values("sleeve") or mention.values("neckline") else set()
        linked = (_LINKING | shaped).intersection(words) and _LINKS.issuperset(words)
        if linked and not re.search(r"[.;:!?—–()]", gap):
            owners.append(before)
    return tuple(owners), False


def _uncovered(text: str, start: int, end: int, found: Sequence[Mention]) -> str:
    """text[start:end] without the claims in it."""
    parts, at = [], start
    for mention in found:
        if start <= mention.start and mention.end <= end and mention.start >= at:
            parts.append(text[at : mention.start])
            at = mention.end
    return "".join([*parts, text[at:end]])


def antecedents_of(
    mention: Mention, nouns: Sequence[Mention], owners: Sequence[Mention], text: str
) -> tuple[Mention, ...]:
    """The garment words that a claim may refer back to: all that were named before, of the pronoun's number.

    Nothing when the claim stands at a garment word of its own. A pronoun before the first garment word may mean any that
    follows.
    """
    before = [noun for noun in nouns if noun.end <= mention.start]
    gap = text[before[-1].end : mention.start] if before else text[: nouns[0].start if nouns else mention.start]
    joined = _joined(before, text) if before and _OF_SEVERAL.search(gap) and not re.search(r"[.;:!?]", gap) else ()
    if len(joined) > 1 and not (owners and owners[-1] not in before):
        return joined
    one, several = bool(_ONE_THING.search(gap)), bool(_SEVERAL_THINGS.search(gap))
    if owners and (owners[-1] not in before or not (one or several or _ALL.match(gap))):
        return ()
    meant = before if before or not (one or several) else list(nouns)
    if one != several:
        meant = [noun for noun in meant if is_plural(noun) == several] or meant
    return tuple(meant)


def _joined(nouns: Sequence[Mention], text: str) -> tuple[Mention, ...]:
    """The last garment word and those that an "and" joins to it."""
    joined = [nouns[-1]]
    for noun in reversed(nouns[:-1]):
        between = text[noun.end : joined[0].start]
        listed = len(joined) > 1 and "," in between
        if _APART.search(between) or not (listed or _JOINED.search(between)):
            break
        joined.insert(0, noun)
    return tuple(joined)


def is_plural(noun: Mention) -> bool:
    """Whether a garment word is one."""
    return noun.surface.endswith("s") and not noun.surface.endswith("ss")
