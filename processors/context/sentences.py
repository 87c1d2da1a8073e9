"""A text as sentences: paragraphs, headings and bullets apart, white space as one space."""

from __future__ import annotations

import re
import unicodedata

MAX_SENTENCES = 400
"""Sentences of a text that are looked at: a chunk of each costs a language model's pass."""

_PARAGRAPH = re.compile(r"\n\s*\n|\n(?=\s*(?:[-*•–—▪◦]|\d{1,2}[.)])\s)|(?<=[.!?…:])[ \t]*\n")
_BULLET = re.compile(r"^\s*(?:[-*•–—▪◦]\s*|\d{1,2}[.)]\s+|#{1,6}\s+)")
_END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s+[\"'“‘«(\[]*[\w])")
# What a full stop behind it ends no sentence.
_SHORT = frozenset(
    "mr mrs ms dr prof st ste no nos nr inc ltd co corp bros jr sr vs etc approx ca cf fig vol est dept e.g i.e z.b u.a d.h bzw gmbh".split()  # noqa: SIM905
)


def sentences(text: str) -> tuple[str, ...]:
    """The sentences in their order, at most `MAX_SENTENCES`; a heading or a bullet is one without a full stop."""
    found: list[str] = []
    normal = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n")
    for paragraph in _PARAGRAPH.split(normal):
        line = " ".join(_BULLET.sub("", paragraph).split())
        if line:
            found += _cut(line)
        if len(found) >= MAX_SENTENCES:
            break
    return tuple(found[:MAX_SENTENCES])


def _cut(line: str) -> list[str]:
    found: list[str] = []
    start = 0
    for end in _END.finditer(line):
        if line[end.start()] == "." and _goes_on(line[start : end.start()], line[end.end() :]):
            continue
        found.append(line[start : end.end()].strip())
        start = end.end()
    return [*found, rest] if (rest := line[start:].strip()) else found


def _goes_on(before: str, after: str) -> bool:
    """Whether a full stop is that of an abbreviation or of an initial ("J. Moreau"), or a lower-case word follows."""
    word = before.rsplit(" ", maxsplit=1)[-1].lstrip("(\"'“‘")
    if word.casefold() in _SHORT or (len(word) == 1 and word.isalpha() and word.isupper()):
        return True
    return after.lstrip()[:1].islower()
