"""Words in the form in which products and queries are compared: without accents, stemmed, compounds whole and in parts.

A word is found under its own form and under its stems. The language of a long text is told by its function words; a text that
has none (most titles) is stemmed by every language, and so is each word of a query.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import Stemmer

from processors.function_words import FUNCTION_WORDS, PLAIN

LANGUAGES: tuple[str, ...] = tuple(FUNCTION_WORDS)
MAX_WORD = 64
"""Characters of a word that are looked at."""
_SHORT = 256
_TELLING = 60
_LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "’": "'", "‘": "'", "`": "'"}
)
# "l'été" is été; "levi's" is levis.
_ELIDED = re.compile(r"\b(?:l|d|j|qu|n|s|c|m|t|dell|all|nell|sull|dall|un)'(?=\w{3})")
# "t shirt" is one word, as "t-shirt" is.
_LETTER_WORDS = re.compile(r"\b([tvu])[ -](?=(?:shirts?|necks?|necked|neckline|ausschnitt)\b)")
_MARKS = re.compile(r"[\u0300-\u036f]+")
_CHUNK = re.compile(r"[^\W_]+(?:[-./&+][^\W_]+)*")
_JOINERS = re.compile(r"[-./&+]")
# Written without blanks: two characters at a time.
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_AND = frozenset({"and", "und", "et", "y", "e", "en"})
_local = threading.local()


@dataclass(frozen=True, slots=True)
class Chunk:
    """A word as it stands: `word` folded and without what joins its `parts` ("t-shirt": tshirt; t, shirt)."""

    text: str
    word: str
    parts: tuple[str, ...] = ()


def fold(text: str) -> str:
    """Lower case without accents: "Été" and "ete" are one."""
    text = text.casefold()
    if not text.isascii():
        text = _MARKS.sub("", unicodedata.normalize("NFKD", text.translate(_LETTERS)))
    return text


def chunks(text: str) -> Iterator[Chunk]:
    """The words of a text from left to right."""
    return (chunk for piece in pieces(text) for chunk in chunks_of(piece))


@lru_cache(maxsize=256)
def pieces(text: str) -> tuple[str, ...]:
    """A text cut at its blanks and marks, folded; compounds ("t-shirt") are one piece."""
    folded = fold(text)
    if "'" in folded:
        folded = _ELIDED.sub(" ", folded).replace("'", "")
    if len(folded) <= _SHORT:
        folded = _LETTER_WORDS.sub(r"\1-", folded)
    return tuple(_CHUNK.findall(folded))


@lru_cache(maxsize=65_536)
def chunks_of(piece: str) -> tuple[Chunk, ...]:
    """The words of a piece: one, but for scripts without blanks."""
    if not piece.isascii() and _UNSPACED.search(piece):
        return tuple(Chunk(pair, pair) for pair in _pairs(piece))
    parts = tuple(_JOINERS.split(piece))
    if len(parts) == 1:
        return (Chunk(piece, piece[:MAX_WORD]),)
    if all(part.isdigit() for part in parts):
        return (Chunk(piece, piece[:MAX_WORD], parts),)  # 2.5 is not 25
    return (Chunk(piece, "".join(parts)[:MAX_WORD], tuple(part[:MAX_WORD] for part in parts)),)


def _pairs(chunk: str) -> list[str]:
    return [chunk[at : at + 2] for at in range(max(1, len(chunk) - 1))]


def language_of(text: str) -> str:
    """The language that most of a text's function words belong to; "" where they tell none."""
    found: dict[str, int] = {}
    for piece in pieces(text)[:_TELLING]:
        for language in _LANGUAGES_WITH.get(piece, ()):
            found[language] = found.get(language, 0) + 1
    best, second = sorted((0, 0, *found.values()), reverse=True)[:2]
    return max(found, key=lambda language: found[language]) if best > second else ""


_LANGUAGES_WITH = {
    word: tuple(language for language, words in FUNCTION_WORDS.items() if word in words)
    for word in frozenset().union(*FUNCTION_WORDS.values())
}


@lru_cache(maxsize=65_536)
def stems(word: str, language: str = "") -> tuple[str, ...]:
    """The stems of a folded word in a language ("": in each), without the word itself."""
    if len(word) < 4 or not word.isalpha():
        return ()
    found = (_stemmer(one).stemWord(word) for one in ((language,) if language else LANGUAGES))
    return tuple(dict.fromkeys(fold(stem) for stem in found if len(stem) > 2 and stem != word))


def _stemmer(language: str) -> Stemmer.Stemmer:
    """This thread's: the library's objects are not for several at once."""
    known: dict[str, Stemmer.Stemmer] | None = getattr(_local, "stemmers", None)
    if known is None:
        known = _local.stemmers = {}
    if language not in known:
        known[language] = Stemmer.Stemmer(language, 0)
    return known[language]


def is_plain(word: str) -> bool:
    """Whether a word only joins others."""
    return word in PLAIN


@lru_cache(maxsize=16_384)
def name_key(words: tuple[str, ...]) -> str:
    """The one spelling of a name: "H & M" is hm, "Gini and Jony" is ginijony."""
    return "".join(word for word in words if word not in _AND) or "".join(words)


@lru_cache(maxsize=16_384)
def name_keys(name: str) -> tuple[tuple[str, bool], ...]:
    """The spellings under which a name is found, each with whether it is the whole: "Adidas Originals" is also adidas."""
    words = [chunk.word for chunk in chunks(name)][:6]
    found: dict[str, bool] = {}
    for count in range(len(words), 0, -1):
        key = name_key(tuple(words[:count]))
        if key and (count == len(words) or not is_plain(words[count - 1])):
            found.setdefault(key, count == len(words))
    return tuple(found.items())


def code_key(code: str) -> str:
    """The one spelling of an id or an article number: lower case, without blanks."""
    return "".join(fold(code).split())


_ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def one_typo_away(word: str) -> set[str]:
    """All words one letter more, fewer or other, or with two neighbours exchanged. Of four letters the first stays."""
    start = 1 if len(word) <= 4 else 0
    letters = _ALPHABET if word.isascii() else "".join(sorted({*_ALPHABET, *word}))
    cuts = [(word[:at], word[at:]) for at in range(start, len(word) + 1)]
    found = {left + right[1:] for left, right in cuts if right}
    found |= {left + right[1] + right[0] + right[2:] for left, right in cuts if len(right) > 1}
    found |= {left + letter + right[1:] for left, right in cuts if right for letter in letters}
    found |= {left + letter + right for left, right in cuts for letter in letters}
    return found - {word}


def may_be_misspelt(word: str) -> bool:
    """Whether a word that no product has is worth correcting: no numbers, nothing short."""
    return len(word) >= 4 and word.isalpha()


@lru_cache(maxsize=65_536)
def terms_of(piece: str, language: str = "") -> tuple[str, ...]:
    """Everything under which a piece of a product's text is found."""
    found: dict[str, None] = {}
    for chunk in chunks_of(piece):
        whole = (chunk.word, *(part for part in chunk.parts if len(part) > 1 or part.isdigit()))
        for word in whole:
            found[word] = None
            found |= dict.fromkeys(stems(word, language))
    return tuple(found)


@lru_cache(maxsize=65_536)
def told_terms_of(piece: str, language: str = "") -> tuple[str, ...]:
    """`terms_of` for long texts: the stems alone, and nothing of words that only join others."""
    found: dict[str, None] = {}
    for chunk in chunks_of(piece):
        if not is_plain(chunk.word):
            found |= dict.fromkeys(stems(chunk.word, language) or (chunk.word,))
            found |= dict.fromkeys(part for part in chunk.parts if len(part) > 2)
    return tuple(found)
