"""The words of a query over the answers of several workers: weighed by what all their shards hold, and told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from processors.ordering import DIGITS
from processors.query_terms import (
    WEIGHT,
    AskedWord,
    AskedWords,
    NameCount,
    WordCounts,
    added,
    names_taken,
    together,
    weights_of,
)
from processors.words import stems
from streams.contract.probes import About, Hits
from streams.contract.records import Hit, WordTaken

OF_THE_NAME = 0.9
"""How far it speaks for a product to be of the brand or collection that is named; not fitted."""


@dataclass(frozen=True, slots=True)
class Wording:
    """The words of a query as all shards that answered know them.

    `known`: of the words that say something, the share that a product has, a name holds, or a list of ours knows.
    """

    asked: AskedWords
    counts: WordCounts
    weights: tuple[float, ...]
    taken: tuple[NameCount, ...]
    known: float

    def said(self, hit: Hit, about: About, own: WordCounts) -> float:
        """How far a product's own words alone speak for it, 0..1; `hit`: as `weighed`.

        Its id is asked for: 1. Else what its text has of the words, or that it is of the brand that they name; less where the words ask
        for more than the catalogue and our lists know: one word of "quarterly tax report" is in some title.
        """
        if about.similarity is None:
            return 0.0
        if about.coded:
            return 1.0
        named = OF_THE_NAME if self._names(about, own) else 0.0
        return round(self.known * max(named, hit.words or 0.0), 4)

    @property
    def found(self) -> bool:
        """Whether it is known that the words name a brand, a collection or a product."""
        return bool(self.taken or self.counts.codes)

    def _names(self, about: About, own: WordCounts) -> list[NameCount]:
        keys = {own.names[n].key for n in about.names if n < len(own.names)}
        return [name for name in self.taken if name.key in keys]

    def weighed(self, hit: Hit, about: About, own: WordCounts) -> Hit:
        """A hit with the score that its words have among all shards; `own`: the counts of the answer that it is from."""
        if about.similarity is None:
            return hit
        names = self._names(about, own)
        values = [self._value(i, value, own) for i, value in enumerate(about.values)]
        more, text = added(self.weights, values, names, coded=about.coded)
        return msgspec.structs.replace(
            hit,
            score=round(about.similarity + more, DIGITS),
            similarity=round(about.similarity, DIGITS),
            words=1.0 if about.coded else round(min(1.0, text / WEIGHT), 3),
        )

    def _value(self, number: int, value: int, own: WordCounts) -> int:
        """A word that one worker took for another, and that other workers' products have as it stands, is not found there."""
        return value if own.typos[number] == self.counts.typos[number] else 0

    def told(self) -> tuple[WordTaken, ...]:
        """How each word was taken, from left to right; words that only join others are left out."""
        found: list[WordTaken] = []
        starts = {name.start: name for name in self.taken}
        inside = {place for name in self.taken for place in range(name.start, name.stop)}
        for number, word in enumerate(self.asked.words):
            if number in starts:
                name = starts[number]
                words = " ".join(one.shown for one in self.asked.words[name.start : name.stop])
                found.append(WordTaken(words, name.facet, name.value))
            elif number not in inside and not self.asked.names_only:
                found += self._one(number, word)
        return tuple(found)

    def _one(self, number: int, word: AskedWord) -> Iterable[WordTaken]:
        if word.word in self.counts.codes or word.shown in self.counts.codes:
            yield WordTaken(word.shown, "id")
        elif self.counts.typos[number]:
            yield WordTaken(word.shown, "typo", self.counts.typos[number])
        elif not word.plain:
            yield WordTaken(word.shown, "word" if self.counts.having[number] else "meaning")


def wording_of(asked: AskedWords | None, answers: Sequence[Hits]) -> Wording | None:
    """The words of a query over these answers; None where none of them knows words, or they change no score."""
    # One object for all shards that one message answers for.
    told = {id(one.words): one.words for one in answers if one.words is not None}
    fitting = [one for one in told.values() if asked is not None and len(one.having) == len(asked.words)]
    if asked is None or not fitting:
        return None
    counts = together(fitting)
    words = tuple(
        AskedWord(typo, stems(typo), text=word.shown, plain=word.plain, claimed=word.claimed) if typo else word
        for word, typo in zip(asked.words, counts.typos, strict=True)
    )
    mended = msgspec.structs.replace(asked, words=words)
    taken = names_taken(counts)
    return Wording(mended, counts, weights_of(mended, counts), taken, _known(mended, counts, taken))


def _known(asked: AskedWords, counts: WordCounts, taken: Sequence[NameCount]) -> float:
    inside = {place for name in taken for place in range(name.start, name.stop)}
    telling = [n for n, word in enumerate(asked.words) if not word.plain]
    known = [n for n in telling if n in inside or counts.having[n] or asked.words[n].claimed]
    return len(known) / len(telling) if telling else 0.0
