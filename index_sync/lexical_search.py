"""What the words of a query are to the products of some windows: how many have each, and what each product's words add."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import msgspec
import numpy as np
from numpy.typing import NDArray

from index_sync.entry import Told
from index_sync.growing import GrowingInts
from index_sync.lexical import CODE, Block, hash_of
from index_sync.segment import Window
from processors.query_terms import (
    CODED,
    FULL,
    NAMED,
    PART,
    STEM,
    AskedWord,
    AskedWords,
    NameCount,
    WordCounts,
    added,
    names_taken,
    spans,
    weights_of,
)
from processors.values import Vector
from processors.words import may_be_misspelt, name_key, one_typo_away, stems

Mask = NDArray[np.bool_]
_TABLES = {
    factor: np.minimum(np.arange(256) * factor, 255).astype(np.uint8)
    for factor in (1.0, STEM, PART)
}  # fmt: skip


@dataclass(slots=True)
class _Found:
    """Of one window: the values of the words (words, products), which have the word itself, and which products count."""

    window: Window
    eligible: Mask
    values: NDArray[np.uint8]
    exact: Mask
    coded: Mask


class Weights:
    """The words of a query over some windows."""

    def __init__(self, windows: Sequence[Window], asked: AskedWords, shop: str | None) -> None:
        """Args: windows, as they are searched; asked; shop, whose products count (None: everybody's)."""
        self._found = [_look_up(window, asked, shop) for window in windows]
        self.asked, typos = _corrected(asked, self._found)
        self.counts = _counted(self.asked, asked, self._found, typos)
        self._weights = weights_of(self.asked, self.counts)
        self._taken = names_taken(self.counts)

    @property
    def idle(self) -> bool:
        """Whether the words change no product's score."""
        return not (any(self._weights) or self._taken or self.counts.codes)

    def added(self, number: int) -> Vector:
        """What the words add to each product of a window, to float32's precision."""
        found = self._found[number]
        weights = np.array(self._weights, dtype=np.float32) / FULL
        used = np.flatnonzero(weights)
        sums: Vector = np.asarray(weights[used] @ found.values[used].astype(np.float32), dtype=np.float32)
        for facet in {name.facet for name in self._taken}:
            sums[self._named(found, facet)] += NAMED[facet]
        sums[found.coded] += CODED
        return sums

    def _named(self, found: _Found, facet: str) -> Mask:
        mask = np.zeros(found.window.products, dtype=np.bool_)
        for name in self._taken:
            if name.facet == facet:
                mask[_having_name(found.window, name, self.asked)] = True
        return mask

    def told(self, number: int, ordinal: int) -> Told:
        """The same of one product: a function of the product and the counts alone, whichever segment holds it."""
        found = self._found[number]
        values = tuple(found.values[:, ordinal].tolist())
        names = tuple(
            n for n, name in enumerate(self.counts.names) if ordinal in _having_name(found.window, name, self.asked)
        )
        coded = bool(found.coded[ordinal])
        own = [self.counts.names[n] for n in names]
        total, text = added(self._weights, values, [name for name in own if name in self._taken], coded=coded)
        return Told(total, text, values, names, coded)


def _look_up(window: Window, asked: AskedWords, shop: str | None) -> _Found:
    columns, products = window.segment.columns, window.products
    starts = columns.words.starts.view()[:products]
    eligible = window.alive[starts]
    own = None if shop is None else columns.of_shop(window.rows, shop)
    if own is not None:
        eligible = eligible & own[starts]
    count = len(asked.words)
    found = _Found(
        window,
        eligible,
        np.zeros((count, products), dtype=np.uint8),
        np.zeros((count, products), dtype=np.bool_),
        np.zeros(products, dtype=np.bool_),
    )
    wanted: dict[int, list[tuple[int, float]]] = {}
    for number, word in enumerate(asked.words):
        for term, factor in _terms(word):
            wanted.setdefault(hash_of(term), []).append((number, factor))
    _fill(found, wanted, {hash_of(CODE + code) for code in asked.codes})
    return found


def _terms(word: AskedWord) -> Iterable[tuple[str, float]]:
    yield word.word, 1.0
    yield from ((stem, STEM) for stem in word.stems)
    yield from ((part, PART) for part in word.parts)


def _fill(found: _Found, wanted: dict[int, list[tuple[int, float]]], codes: Collection[int] = ()) -> None:
    for key, products, values in _postings(found.window, {*wanted, *codes}):
        for number, factor in wanted.get(key, ()):
            row = found.values[number]
            row[products] = np.maximum(row[products], _TABLES[factor][values])
            if factor == 1.0:
                found.exact[number][products] = True
        if key in codes:
            found.coded[products] = True


def _postings(window: Window, wanted: Collection[int]) -> Iterable[tuple[int, NDArray[np.int64], NDArray[np.uint8]]]:
    """Of each term that a window has: the products and the values, block by block."""
    if not wanted:
        return
    keys = np.fromiter(sorted(wanted), dtype=np.int64, count=len(wanted))
    for block in window.segment.columns.words.settle():
        if block.start >= window.products:
            break
        yield from _in_block(block, keys, window.products)


def _in_block(
    block: Block, keys: NDArray[np.int64], products: int
) -> Iterable[tuple[int, NDArray[np.int64], NDArray[np.uint8]]]:
    places = np.searchsorted(block.terms, keys)
    places[places == len(block.terms)] = 0
    for which in np.flatnonzero(block.terms[places] == keys).tolist():
        low, high = block.bounds[places[which]], block.bounds[places[which] + 1]
        found = block.found[low:high].astype(np.int64) + block.start
        values = block.values[low:high]
        if block.stop > products:
            count = int(np.searchsorted(found, products))
            found, values = found[:count], values[:count]
        yield int(keys[which]), found, values


@lru_cache(maxsize=1024)
def _guesses(word: str) -> dict[int, str]:
    return {hash_of(guess): guess for guess in one_typo_away(word)}


def _corrected(asked: AskedWords, found: Sequence[_Found]) -> tuple[AskedWords, list[str]]:
    """The words with one letter mended in those that no product has; and what was mended."""
    words, typos = list(asked.words), [""] * len(asked.words)
    for number, word in enumerate(words):
        if word.plain or word.claimed or not may_be_misspelt(word.word):
            continue
        if any((one.values[number].astype(np.bool_) & one.eligible).any() for one in found):
            continue
        guess = _best_guess(word.word, found)
        if guess:
            typos[number] = guess
            words[number] = AskedWord(guess, stems(guess), text=word.shown)
            wanted = {hash_of(term): [(number, factor)] for term, factor in _terms(words[number])}
            for one in found:
                _fill(one, wanted)
    return msgspec.structs.replace(asked, words=tuple(words)), typos


def _best_guess(word: str, found: Sequence[_Found]) -> str:
    guesses = _guesses(word)
    near = {key for one in found for key in guesses.keys() & one.window.segment.columns.words.spelt}
    counts = dict.fromkeys(near, 0)
    for one in found:
        for key, products, _ in _postings(one.window, near):
            counts[key] += int(np.count_nonzero(one.eligible[products]))
    # Of equally frequent ones the same everywhere.
    best = max(counts, key=lambda key: (counts[key], guesses[key]), default=None)
    return guesses[best] if best is not None and counts[best] else ""


def _counted(asked: AskedWords, typed: AskedWords, found: Sequence[_Found], typos: Sequence[str]) -> WordCounts:
    having = np.zeros(len(asked.words), dtype=np.int64)
    for one in found:
        having += np.count_nonzero(one.values[:, one.eligible], axis=1)
    names = tuple(name for span in spans(asked.words) for name in _names(span, asked, found))
    coded = any((one.coded & one.eligible).any() for one in found)
    return WordCounts(
        sum(int(np.count_nonzero(one.eligible)) for one in found),
        tuple(having.tolist()),
        tuple(typos),
        names,
        _codes_found(typed.codes, found) if coded else (),
    )


def _codes_found(codes: Sequence[str], found: Sequence[_Found]) -> tuple[str, ...]:
    return tuple(
        code
        for code in codes
        if any(
            one.eligible[products].any()
            for one in found
            for _, products, _ in _postings(one.window, [hash_of(CODE + code)])
        )
    )


def _names(span: tuple[int, int, str], asked: AskedWords, found: Sequence[_Found]) -> Iterable[NameCount]:
    start, stop, spelling = span
    words = [number for number in range(start, stop) if not asked.words[number].plain] or list(range(start, stop))
    for facet in NAMED:
        if not any((facet, spelling) in one.window.segment.columns.words.names for one in found):
            continue
        named = having = whole = 0
        first: tuple[str, _Found, int] | None = None
        for one in found:
            columns = one.window.segment.columns.words
            own = _in_window(columns.names.get((facet, spelling)), one.window)
            own = own[one.eligible[own]]
            all_of_it = _in_window(columns.wholes.get((facet, spelling)), one.window)
            whole += int(np.count_nonzero(one.eligible[all_of_it]))
            named += len(own)
            mask = np.logical_and.reduce(one.exact[words]) & one.eligible
            mask[own] = True
            having += int(np.count_nonzero(mask))
            first = min(
                (one for one in (first, _first(one, own)) if one is not None), default=None, key=lambda it: it[0]
            )
        if first is not None:
            yield NameCount(facet, start, stop, _written(facet, first[1], first[2]), whole > 0, named, having)


def _first(found: _Found, products: NDArray[np.int32]) -> tuple[str, _Found, int] | None:
    """Of some products the one whose id comes first: whichever segment holds it."""
    ids = found.window.segment.columns.ids
    return min(((ids[n], found, n) for n in products.tolist()), default=None, key=lambda it: it[0])


def _written(facet: str, found: _Found, product: int) -> str:
    """A product's brand or collection as its shop writes it."""
    words = found.window.segment.columns.payload(product).words
    return getattr(words, facet, "")


def _in_window(posting: GrowingInts | None, window: Window) -> NDArray[np.int32]:
    if posting is None:
        return np.empty(0, dtype=np.int32)
    products = posting.view()
    return products[: int(np.searchsorted(products, window.products))]


def _having_name(window: Window, name: NameCount, asked: AskedWords) -> NDArray[np.int32]:
    spelling = name_key(tuple(word.word for word in asked.words[name.start : name.stop]))
    return _in_window(window.segment.columns.words.names.get((name.facet, spelling)), window)
