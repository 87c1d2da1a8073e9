"""The words by which a language states facts: what a brand's own phrases may not say of every product."""

from __future__ import annotations

from functools import cache, lru_cache

from processors.languages import LANGUAGES
from processors.languages.grammar import Noun
from processors.palette import PALETTE
from processors.vocabulary import (
    FABRIC_WORDS,
    IMITATIONS,
    LENGTH_WORDS,
    NECKLINE_WORDS,
    PATTERN_WORDS,
    SLEEVE_WORDS,
    canonical,
)

_VALUES: dict[str, tuple[str, ...]] = {
    "colour": tuple(name for name, _ in PALETTE),
    "fabric": (*FABRIC_WORDS, *IMITATIONS),
    "pattern": tuple(PATTERN_WORDS),
    "sleeve": tuple(SLEEVE_WORDS),
    "neckline": tuple(NECKLINE_WORDS),
    "length": tuple(LENGTH_WORDS),
}
_NOUNS = (Noun("", "m"), Noun("", "f"), Noun("", "n"), Noun("", "m", plural=True), Noun("", "f", plural=True))


@cache
def fact_words(language: str) -> tuple[str, ...]:
    """Colours, fabrics, patterns and shapes in every form in which the grammar writes them. Of English `processors.claims` knows more."""
    words = LANGUAGES[language]
    if language == "en":
        return ()
    found: dict[str, None] = {}
    for facet, values in _VALUES.items():
        for value in values:
            for noun in _NOUNS:
                after = words.after(facet, (value,), noun)
                for text in (words.before(facet, (value,), noun), after.text if after else ""):
                    if len(text) > 3:
                        found[text] = None
    return tuple(found)


@lru_cache(maxsize=4096)
def written_as(language: str, facet: str, value: str) -> tuple[str, ...]:
    """The forms in which a language's grammar writes a value of a facet ("plain" of solid cloth, "langen Ärmeln"), in small letters."""
    if facet not in _VALUES or language not in LANGUAGES:
        return ()
    words, found = LANGUAGES[language], dict[str, None]()
    values = [canonical(facet, value)]
    values += ["full"] if (facet, values[0]) == ("length", "maxi") else []  # of trousers
    for noun in _NOUNS:
        for one in values:
            after = words.after(facet, (one,), noun)
            for text in (words.before(facet, (one,), noun), after.text if after else ""):
                if len(text) > 2:
                    found[text.lower()] = None
    return tuple(found)
