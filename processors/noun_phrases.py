"""Words before a garment that no list knows ("a converse shirt"): they claim something, and nobody can say whether it is true.

Read is what stands between the beginning of a noun phrase (an article, "with", a comma) and the garment word. A word there is known when it
is a claim, or is listed as one that claims nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from processors import caption_phrases
from processors.claims import NEUTRAL_WORDS, Mention
from processors.vocabulary import clean

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_STOP = re.compile(r"[.;:!?…—–(),\"“”]")
BREAKS = frozenset(
    """a above against alongside an are as at below beneath beside by comes every for from has have in is it
    its keeps layered let like meets next of on or our over paired pairs plus she than that the then these they this those
    to under while with without worn you your""".split()  # noqa: SIM905
)
"""Words that end a noun phrase: what stands before them says nothing of the garment after them."""
_OPENING = BREAKS | frozenset("some any each one two another his her their my and was were but".split())  # noqa: SIM905
"""Words before which a noun phrase does not reach."""
_SILENT = NEUTRAL_WORDS | frozenset(
    """pair pairs single same other second matching soft crisp rich light lightweight loose relaxed roomy short long slim
    straight thin thick warm favourite favorite lovely gentle bright plain neat tidy sharp sleek smart fine quality premium
    versatile polished understated tone toned coloured colored hued length""".split()  # noqa: SIM905
)


@cache
def _written() -> frozenset[str]:
    """The words of the grammar's own sentences, its verbs among them; none of them claims anything."""
    tables = (caption_phrases.LEADS, caption_phrases.OTHERS, caption_phrases.FABRIC_FACTS, caption_phrases.GENDER_FACTS)
    text = " ".join(sentence for table in tables for sentences in table.values() for sentence in sentences)
    return frozenset(clean(re.sub(r"\{\w+\}", " ", text)).split())


def unknown_words(text: str, found: Sequence[Mention], own: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """The words that stand before a garment of `text` and that no list knows, each once, in their order.

    Args:
        text: sentences.
        found: what they claim (`processors.claims.mentions`).
        own: words of the evidence itself, which are known.
    """
    nouns = [mention for mention in found if mention.values("category") is not None]
    unknown: list[str] = []
    for noun in nouns:
        start = max((other.end for other in nouns if other.end <= noun.start), default=0)
        unknown += _unknown(text, start, noun.start, found)
    return tuple(dict.fromkeys(word for word in unknown if not own.issuperset(clean(word).split())))


def _unknown(text: str, start: int, end: int, found: Sequence[Mention]) -> list[str]:
    claimed = [(one.start, one.end) for one in found if start <= one.start and one.end <= end]
    stops = [match.end() for match in _STOP.finditer(text, start, end)]
    begin = max(stops, default=start)
    words = list(_WORD.finditer(text, begin, end))
    phrase: list[str] = []
    opened = False
    for match in reversed(words):
        word = clean(match.group())
        if any(a <= match.start() and match.end() <= b for a, b in claimed):
            continue
        if word in _OPENING or word.split()[0] in _OPENING:
            opened = True
            break
        phrase.append(match.group())
    if not opened and phrase and _starts_sentence(text, begin):
        # "Meet navy trousers": the first word of a sentence may be its verb.
        first = words[0].group()
        phrase = phrase[:-1] if phrase[-1] == first and len(words) > 1 else phrase
    return [word for word in reversed(phrase) if not _known(word)]


def _starts_sentence(text: str, at: int) -> bool:
    before = text[:at].rstrip()
    return not before or before[-1] in '.!?…:"“”'


def _known(word: str) -> bool:
    return all(part in _SILENT or part in _written() or part.isdigit() for part in clean(word).split())
