"""The words of a query as the index looks them up, and what they count for once it is known how many products have them.

One place for both ends: a worker weighs the words by what its shards hold, and whoever merges the answers of several workers
weighs them again by what all hold together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec

from processors.claims import mentions
from processors.words import chunks, code_key, fold, is_plain, name_key, stems

MOST_WORDS = 48
MOST_IN_NAME = 6
STEM, PART = 0.75, 0.5
"""What a word counts where only its stem, or only a part of a compound, is found."""
FULL = 200
"""The value of a word in a title of the usual length (`index_sync.lexical`)."""
WEIGHT = 8.0
"""What all words of a query found in a product's title add to the inner product."""
DOUBT = 4.0
"""Nats. A query that says little (words that every third product has) is left to its vector."""
NAMED = {"brand": 4.0, "collection": 2.0}
CODED = 16.0
WHOLE_NAME, FIRST_OF_NAME = 0.5, 0.8
"""Of the products that have a word, the share that must have it as their brand for it to be taken as one; of "Adidas" for
"Adidas Originals" it must be more."""


class AskedWord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A word of a query. `claimed`: it says a colour, a kind … and is no name by itself. `plain`: it only joins others."""

    word: str
    stems: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    plain: bool = False
    claimed: bool = False
    text: str = ""
    """As it stands in the query, where that is not `word`."""

    @property
    def shown(self) -> str:
        return self.text or self.word


class AskedWords(msgspec.Struct, frozen=True, omit_defaults=True):
    """The words of a query from left to right. `names_only`: only brands and collections count (an edit of a reference)."""

    words: tuple[AskedWord, ...]
    codes: tuple[str, ...] = ()
    names_only: bool = False


class NameCount(msgspec.Struct, frozen=True):
    """Words `start` to `stop` may be a name: `named` of `having` products that have these words have it as theirs."""

    facet: str
    start: int
    stop: int
    value: str
    whole: bool
    named: int
    having: int

    @property
    def key(self) -> tuple[str, int, int]:
        return self.facet, self.start, self.stop


class WordCounts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the words of a query are to the products of some shards: `having` of `products` have each.

    `typos`: what a word was taken for that no product has, "" for the others. `codes`: which of the asked are some product's.
    """

    products: int
    having: tuple[int, ...]
    typos: tuple[str, ...]
    names: tuple[NameCount, ...] = ()
    codes: tuple[str, ...] = ()


def words_asked(text: str, *, names_only: bool = False) -> AskedWords | None:
    """The words of a text; None where it has none."""
    claimed = _claimed(text)
    found = []
    for chunk in list(chunks(text))[:MOST_WORDS]:
        whole = stems(chunk.word)
        parts = tuple(part for part in chunk.parts if len(part) > 2)
        more = tuple(dict.fromkeys(stem for part in parts for stem in (part, *stems(part))))
        found.append(
            AskedWord(
                chunk.word,
                whole,
                more,
                is_plain(chunk.word),
                chunk.word in claimed,
                "" if chunk.text == chunk.word else chunk.text,
            )
        )
    return AskedWords(tuple(found), names_only=names_only) if found else None


def _claimed(text: str) -> frozenset[str]:
    lowered = fold(text)
    spans = [lowered[m.start : m.end] for m in mentions(lowered) if any(values for _, values in m.claims)]
    return frozenset(chunk.word for span in spans for chunk in chunks(span))


def codes_in(text: str) -> tuple[str, ...]:
    """What may be an id: the whole text, and each word of it that has a digit and more than three characters."""
    words = [text, *(word.strip(".,;:!?()\"'") for word in text.split())]
    found = [code_key(word) for word in words[:MOST_WORDS]]
    return tuple(dict.fromkeys(code for n, code in enumerate(found) if code and (n == 0 or _like_a_code(code))))


def _like_a_code(code: str) -> bool:
    return 3 < len(code) <= 64 and any(one.isdigit() for one in code)


def spans(words: Sequence[AskedWord]) -> Iterable[tuple[int, int, str]]:
    """All that may be a name: where it begins and ends, and its spelling, the longest first."""
    for length in range(min(MOST_IN_NAME, len(words)), 0, -1):
        for start in range(len(words) - length + 1):
            part = words[start : start + length]
            if part[0].plain and (length == 1 or part[-1].plain):
                continue
            if all(one.claimed for one in part):
                continue
            yield start, start + length, name_key(tuple(one.word for one in part))


# ---------------------------------------------------------------- what they count for


def rarity(products: int, having: int) -> float:
    """Nats that a word tells: BM25's inverse document frequency."""
    return math.log(1 + (products - having + 0.5) / (having + 0.5)) if having else 0.0


def weights_of(asked: AskedWords, counts: WordCounts) -> tuple[float, ...]:
    """What a value of `FULL` in each word adds to the score of a product."""
    some = any(not word.plain for word in asked.words)
    told = [
        0.0 if asked.names_only or (word.plain and some) else rarity(counts.products, having)
        for word, having in zip(asked.words, counts.having, strict=True)
    ]
    together = sum(told)
    return tuple(WEIGHT * one / (together + DOUBT) for one in told) if together else (0.0,) * len(told)


def names_taken(counts: WordCounts) -> tuple[NameCount, ...]:
    """The names that are taken as such, none of which overlaps another of its facet: the longest first."""
    taken: list[NameCount] = []
    for name in sorted(counts.names, key=lambda one: (one.start - one.stop, one.facet, one.start)):
        enough = WHOLE_NAME if name.whole else FIRST_OF_NAME
        free = all(name.stop <= other.start or other.stop <= name.start for other in taken)
        if free and name.named and name.named >= enough * name.having:
            taken.append(name)
    return tuple(taken)


def added(
    weights: Sequence[float], values: Iterable[int], names: Iterable[NameCount], *, coded: bool
) -> tuple[float, float]:
    """What a product's words add to its score; and of that, what its text adds.

    Args:
        weights: `weights_of`.
        values: of the product, for each word (bytes).
        names: those taken that are the product's.
        coded: whether it has a code that was asked for.
    """
    text = sum(weight * value / FULL for weight, value in zip(weights, values, strict=True))
    return text + sum(NAMED[facet] for facet in {name.facet for name in names}) + CODED * coded, text


def together(counts: Sequence[WordCounts]) -> WordCounts:
    """The counts of several workers' shards as those of all. A word that any of them has is no typing error."""
    having = [sum(one.having[i] for one in counts if not one.typos[i]) for i in range(len(counts[0].having))]
    typos = []
    for i, exact in enumerate(having):
        guesses = [one for one in counts if one.typos[i]]
        best = max(guesses, key=lambda one: (one.having[i], one.typos[i])).typos[i] if guesses and not exact else ""
        typos.append(best)
        if best:
            having[i] = sum(one.having[i] for one in counts if one.typos[i] == best)
    names: dict[tuple[str, int, int], NameCount] = {}
    for name in (name for one in counts for name in one.names):
        known = names.get(name.key)
        if known is None:
            names[name.key] = name
        else:
            told = name if name.whole and not known.whole else known
            names[name.key] = msgspec.structs.replace(
                told, named=known.named + name.named, having=known.having + name.having
            )
    codes = tuple(dict.fromkeys(code for one in counts for code in one.codes))
    return WordCounts(sum(one.products for one in counts), tuple(having), tuple(typos), tuple(names.values()), codes)
