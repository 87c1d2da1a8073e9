"""Names, numbers and claims in a sentence, and whether they stand in the text that they are said to come from.

A caption with context may name a maker, a place, a year or a promise ("organic", "waterproof", "made in Italy") only where a
chosen chunk does. The evidence pack grounds garments, colours and fabrics (`processors.verify`); this grounds the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec

from processors.function_words import PLAIN

CLAIMS: tuple[str, ...] = (
    "organic", "organically", "vegan", "waterproof", "water-resistant", "water-repellent", "windproof", "weatherproof",
    "recycled", "recyclable", "upcycled", "deadstock", "sustainable", "sustainably", "biodegradable", "compostable", "eco-friendly",
    "carbon-neutral", "climate-neutral", "fair trade", "fairtrade", "cruelty-free", "hypoallergenic", "antibacterial", "certified",
    "handmade", "hand-made", "handwoven", "hand-woven", "handcrafted", "hand-stitched", "hand-painted", "hand-dyed", "handloomed",
    "machine washable", "dry clean", "breathable", "flame-retardant", "wrinkle-free", "uv protection", "patented", "award-winning",
    "undyed", "chrome-free", "traceable", "regenerative", "limited edition", "lifetime", "guaranteed", "made in", "pure", "genuine",
    "biologisch", "vegan", "wasserdicht", "recycelt", "nachhaltig", "handgefertigt", "biologique", "imperméable", "recyclé", "ecológico",
    "impermeable", "reciclado",
)  # fmt: skip
"""Words that promise something that nobody sees; checked as they stand, hyphen or space."""

_NUMBER = re.compile(r"(?<![\w])\d[\d.,:/]*\d%?|(?<![\w])\d%?")
_NAME = r"[^\W\d_](?:[^\W_]|['’\-&.](?=[^\W_]))*"
_CAPITAL = re.compile(rf"(?<![\w]){_NAME}")
_JOINS = frozenset(
    ("of", "the", "de", "la", "le", "di", "da", "du", "van", "von", "der", "den", "del", "&", "and", "et", "y")
)
# Words that begin sentences and are no names.
_COMMON = PLAIN | frozenset(
    """a an the this that these those it its he she they we our your their his her i you my us one two three four five six seven
    each every all both some any no not only just even when where while since before after until once then there here if as
    in on at by for from with without within under over between through during about into onto out up down made cut sewn woven
    knitted knit designed inspired finished dyed printed washed spun named built crafted born based founded worn every inside
    outside from first second third today now new wash dry machine hand iron store do handmade named what who why how which is are was were
    has have had been being be will would can could may might must should let meet discover say see wear pair""".split()  # noqa: SIM905
)


class Anchor(msgspec.Struct, frozen=True):
    """text[start:end] names or promises something. `kind`: "name", "number" or "claim"."""

    start: int
    end: int
    text: str
    kind: str


def anchors(sentence: str, known: Iterable[str] = ()) -> tuple[Anchor, ...]:
    """What a sentence names, counts or promises, left to right.

    Args:
        sentence: one.
        known: words that are names although they begin the sentence: those that have a capital within another one.
    """
    found = [Anchor(m.start(), m.end(), m.group(), "number") for m in _NUMBER.finditer(sentence)]
    found += _names(sentence, frozenset(known))
    found += [Anchor(m.start(), m.end(), m.group(), "claim") for m in _CLAIM.finditer(sentence)]
    return tuple(sorted(found, key=lambda one: (one.start, -one.end)))


def names_within(sentences: Iterable[str]) -> frozenset[str]:
    """Words that have a capital elsewhere than at the beginning of a sentence."""
    return frozenset(
        word
        for sentence in sentences
        for one in _names(sentence, frozenset())
        if one.start
        for word in one.text.split()
    )


def _names(sentence: str, known: frozenset[str]) -> list[Anchor]:
    """Runs of capitalised words ("Anna de Moreau"); the first word of a sentence only where it cannot be another."""
    runs: list[list[re.Match[str]]] = []
    first = True
    joined: list[re.Match[str]] = []
    for word in _CAPITAL.finditer(sentence):
        text = word.group()
        follows = bool(runs) and sentence[runs[-1][-1].end() : word.start()].strip() == ""
        if text[:1].isupper() and text.casefold() != "i" and not (first and text.casefold() in _COMMON):
            if joined and sentence[runs[-1][-1].end() : joined[0].start()].strip() == "":
                runs[-1] += [*joined, word]
            elif follows:
                runs[-1].append(word)
            else:
                runs.append([word])
            joined = []
        elif text.casefold() in _JOINS and runs and (follows or joined):
            joined.append(word)
        else:
            joined = []
        first = False
    found = []
    for run in runs:
        begins = not _CAPITAL.search(sentence[: run[0].start()])
        bare = re.sub(r"['’]s$", "", run[0].group())
        if begins and len(run) == 1 and bare not in known and bare == run[0].group() and not _is_code(bare):
            continue
        end = run[-1].end() - (2 if re.search(r"['’]s$", run[-1].group()) else 0)
        found.append(Anchor(run[0].start(), end, sentence[run[0].start() : end], "name"))
    return found


def _is_code(word: str) -> bool:
    """A capital within the word: "GOTS", "OEKO-TEX", "McQueen"."""
    return any(letter.isupper() for letter in word[1:])


def normal(text: str) -> str:
    """For comparing word for word: one case, one kind of apostrophe and dash, one space."""
    text = text.casefold().replace("’", "'").replace("‐", "-").replace("–", "-").replace("—", "-")
    return " ".join(text.split())


def _pattern(words: str) -> str:
    return rf"(?<![^\W_]){re.escape(words).replace(chr(92) + ' ', '[ -]').replace(chr(92) + '-', '[ -]?')}(?![^\W_])"


_CLAIM = re.compile(
    "|".join(_pattern(claim) for claim in sorted(set(CLAIMS), key=lambda c: (-len(c), c))), re.IGNORECASE
)


def stands_in(words: str, text: str) -> bool:
    """Whether words stand in a text as they are, whole words."""
    return re.search(rf"(?<![^\W_]){re.escape(normal(words))}(?![^\W_])", normal(text)) is not None


def ungrounded(text: str, chunks: Sequence[str]) -> tuple[str, ...]:
    """Names, numbers and claims of a text that stand in no chunk. A claim with its object is looked for with it ("made in Italy")."""
    known = names_within(chunks)
    missing: list[str] = []
    for one in anchors(text, known):
        words = one.text
        if normal(words) == "made in":
            after = _CAPITAL.match(text[one.end :].lstrip())
            words = f"{words} {after.group()}" if after else words
        if not any(stands_in(words, chunk) for chunk in chunks):
            missing.append(words)
    return tuple(dict.fromkeys(missing))
