"""What the words of a query are to the products of some windows: how many have each, and what each product's words add."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

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


class _Shelf:
    """The products of all windows, one after the other: what each word of a query is to them.

    Attributes:
        windows: as they are searched.
        offsets: where the products of each begin; one more at the end.
        eligible: which are alive and of the shop.
        values: (words, products), bytes.
        exact: the same shape: which products have the word itself, and no other of its stem.
        coded: which have a code that was asked for.
    """

    def __init__(self, windows: Sequence[Window], words: int, shop: str | None) -> None:
        self.windows = tuple(windows)
        self.offsets: list[int] = [0, *np.cumsum([window.products for window in windows], dtype=np.int64).tolist()]
        self.eligible = _joined([_eligible(window, shop) for window in windows], np.bool_)
        self.values = np.zeros((words, len(self.eligible)), dtype=np.uint8)
        self.exact = np.zeros((words, len(self.eligible)), dtype=np.bool_)
        self.coded = np.zeros(len(self.eligible), dtype=np.bool_)

    def fill(self, wanted: Mapping[int, Sequence[tuple[int, float]]], codes: Collection[int] = ()) -> None:
        """Look terms up. `wanted`: term → the words that it is found for, and what it counts; `codes`: those of codes."""
        for key, products, values in self.postings({*wanted, *codes}):
            for number, factor in wanted.get(key, ()):
                row = self.values[number]
                row[products] = np.maximum(row[products], _TABLES[factor][values])
                if factor == 1.0:
                    self.exact[number][products] = True
            if key in codes:
                self.coded[products] = True

    def postings(self, wanted: Collection[int]) -> Iterable[tuple[int, NDArray[np.int64], NDArray[np.uint8]]]:
        """Of each term that some window has: the products that have it, alive or not, and the values."""
        keys = np.fromiter(sorted(wanted), dtype=np.int64, count=len(wanted))
        found: dict[int, list[tuple[int, NDArray[Any], NDArray[np.uint8]]]] = {}
        for window, offset in zip(self.windows, self.offsets, strict=False):
            for block in window.segment.columns.words.settle() if len(keys) else ():
                if block.start >= window.products:
                    break
                _look_up(block, keys, offset, window.products, found)
        for number in sorted(found):
            starts, products, values = zip(*found[number], strict=True)
            whole = np.concatenate(products).astype(np.int64)
            whole += np.repeat(np.array(starts), [len(one) for one in products])
            yield int(keys[number]), whole, np.concatenate(values)

    def named(self, names: str, key: tuple[str, str]) -> NDArray[np.int64]:
        """The products of a brand or collection, alive or not; `names`: "names", or "wholes" of those whose whole name it is."""
        found = []
        for window, offset in zip(self.windows, self.offsets, strict=False):
            posting: GrowingInts | None = getattr(window.segment.columns.words, names).get(key)
            if posting is not None:
                products = posting.view()
                found.append(products[: int(np.searchsorted(products, window.products))].astype(np.int64) + offset)
        return _joined(found, np.int64)

    def place(self, product: int) -> tuple[Window, int]:
        """The window of a product, and its ordinal there."""
        number = bisect_right(self.offsets, product) - 1
        return self.windows[number], product - self.offsets[number]


class Weights:
    """The words of a query over some windows."""

    def __init__(self, windows: Sequence[Window], asked: AskedWords, shop: str | None) -> None:
        """Args: windows, as they are searched; asked; shop, whose products count (None: everybody's)."""
        self._shelf = _Shelf(windows, len(asked.words), shop)
        wanted: dict[int, list[tuple[int, float]]] = {}
        for number, word in enumerate(asked.words):
            for term, factor in _terms(word):
                wanted.setdefault(hash_of(term), []).append((number, factor))
        self._shelf.fill(wanted, {hash_of(CODE + code) for code in asked.codes})
        self.asked, typos = _corrected(asked, self._shelf)
        self.counts = _counted(self.asked, asked.codes, self._shelf, typos)
        self._weights = weights_of(self.asked, self.counts)
        self._taken = names_taken(self.counts)
        self._having = {name.key: self._shelf.named("names", _key(name, self.asked)) for name in self.counts.names}
        self._added: Vector | None = None

    @property
    def idle(self) -> bool:
        """Whether the words change no product's score."""
        return not (any(self._weights) or self._taken or self.counts.codes)

    def added(self, number: int) -> Vector:
        """What the words add to each product of a window, to float32's precision."""
        if self._added is None:
            self._added = self._sums()
        return self._added[self._shelf.offsets[number] : self._shelf.offsets[number + 1]]

    def _sums(self) -> Vector:
        shelf, sums = self._shelf, np.zeros(len(self._shelf.eligible), dtype=np.float32)
        for weight, row in zip(self._weights, shelf.values, strict=True):
            if weight:
                sums += row * np.float32(weight / FULL)
        for facet in {name.facet for name in self._taken}:
            mask = np.zeros(len(sums), dtype=np.bool_)
            for name in self._taken:
                if name.facet == facet:
                    mask[self._having[name.key]] = True
            sums[mask] += NAMED[facet]
        sums[shelf.coded] += CODED
        return sums

    def told(self, number: int, ordinal: int) -> Told:
        """The same of one product: a function of the product and the counts alone, whichever segment holds it."""
        product = self._shelf.offsets[number] + ordinal
        values = tuple(self._shelf.values[:, product].tolist())
        names = tuple(n for n, name in enumerate(self.counts.names) if _has(self._having[name.key], product))
        coded = bool(self._shelf.coded[product])
        own = [self.counts.names[n] for n in names]
        total, text = added(self._weights, values, [name for name in own if name in self._taken], coded=coded)
        return Told(total, text, values, names, coded)


def _has(products: NDArray[np.int64], product: int) -> bool:
    place = int(np.searchsorted(products, product))
    return place < len(products) and int(products[place]) == product


def _key(name: NameCount, asked: AskedWords) -> tuple[str, str]:
    return name.facet, name_key(tuple(word.word for word in asked.words[name.start : name.stop]))


def _eligible(window: Window, shop: str | None) -> Mask:
    columns = window.segment.columns
    starts = columns.words.starts.view()[: window.products]
    own = None if shop is None else columns.of_shop(window.rows, shop)
    alive = window.alive[starts]
    return alive if own is None else alive & own[starts]


def _joined(arrays: Sequence[NDArray[Any]], kind: Any) -> NDArray[Any]:
    return np.concatenate(arrays) if arrays else np.empty(0, dtype=kind)


def _terms(word: AskedWord) -> Iterable[tuple[str, float]]:
    yield word.word, 1.0
    yield from ((stem, STEM) for stem in word.stems)
    yield from ((part, PART) for part in word.parts)


def _look_up(
    block: Block,
    keys: NDArray[np.int64],
    offset: int,
    products: int,
    found: dict[int, list[tuple[int, NDArray[Any], NDArray[np.uint8]]]],
) -> None:
    """Add the postings of the keys in a block: from where their products count, the products, and the values.

    Slices in Python: of a dozen keys in dozens of small blocks, arrays of places cost three times as much.
    """
    places = block.terms.searchsorted(keys)
    for number, place in enumerate(places.tolist()):
        if place == len(block.terms) or block.terms[place] != keys[number]:
            continue
        low, high = block.bounds[place], block.bounds[place + 1]
        own = block.found[low:high]
        if block.stop > products:
            own = own[: own.searchsorted(products - block.start)]
        if len(own):
            found.setdefault(number, []).append((offset + block.start, own, block.values[low : low + len(own)]))


@lru_cache(maxsize=1024)
def _guesses(word: str) -> dict[int, str]:
    return {hash_of(guess): guess for guess in one_typo_away(word)}


def _corrected(asked: AskedWords, shelf: _Shelf) -> tuple[AskedWords, list[str]]:
    """The words with one letter mended in those that no product has; and what was mended."""
    words, typos = list(asked.words), [""] * len(asked.words)
    for number, word in enumerate(words):
        if word.plain or word.claimed or not may_be_misspelt(word.word):
            continue
        if (shelf.values[number].astype(np.bool_) & shelf.eligible).any():
            continue
        guess = _best_guess(word.word, shelf)
        if guess:
            typos[number] = guess
            words[number] = AskedWord(guess, stems(guess), text=word.shown)
            shelf.fill({hash_of(term): [(number, factor)] for term, factor in _terms(words[number])})
    return msgspec.structs.replace(asked, words=tuple(words)), typos


def _best_guess(word: str, shelf: _Shelf) -> str:
    guesses = _guesses(word)
    near = {key for window in shelf.windows for key in guesses.keys() & window.segment.columns.words.spelt}
    counts = {key: int(np.count_nonzero(shelf.eligible[products])) for key, products, _ in shelf.postings(near)}
    # Of equally frequent ones the same everywhere.
    best = max(counts, key=lambda key: (counts[key], guesses[key]), default=None)
    return guesses[best] if best is not None and counts[best] else ""


def _counted(asked: AskedWords, codes: Sequence[str], shelf: _Shelf, typos: Sequence[str]) -> WordCounts:
    everybody = bool(shelf.eligible.all())
    having = tuple(int(np.count_nonzero(row if everybody else row[shelf.eligible])) for row in shelf.values)
    # Most windows of a small catalogue name nothing: then no span of words is spelt, and none is looked for in each of them.
    known = [there for window in shelf.windows if (there := window.segment.columns.words.names)]
    names = tuple(name for span in spans(asked.words) for name in _names(span, asked, shelf, known)) if known else ()
    coded = bool((shelf.coded & shelf.eligible).any())
    found = tuple(code for code in codes if _is_some(code, shelf)) if coded else ()
    return WordCounts(int(np.count_nonzero(shelf.eligible)), having, tuple(typos), names, found)


def _is_some(code: str, shelf: _Shelf) -> bool:
    return any(shelf.eligible[products].any() for _, products, _ in shelf.postings([hash_of(CODE + code)]))


def _names(
    span: tuple[int, int, str], asked: AskedWords, shelf: _Shelf, known: Sequence[Container[tuple[str, str]]]
) -> Iterable[NameCount]:
    start, stop, spelling = span
    words = [number for number in range(start, stop) if not asked.words[number].plain] or list(range(start, stop))
    for facet in NAMED:
        key = facet, spelling
        if not any(key in names for names in known):
            continue
        own = shelf.named("names", key)
        own = own[shelf.eligible[own]]
        if not len(own):
            continue
        whole = bool(shelf.eligible[shelf.named("wholes", key)].any())
        mask = np.logical_and.reduce(shelf.exact[words]) & shelf.eligible
        mask[own] = True
        yield NameCount(facet, start, stop, _written(facet, own, shelf), whole, len(own), int(np.count_nonzero(mask)))


def _written(facet: str, products: NDArray[np.int64], shelf: _Shelf) -> str:
    """A name as its shop writes it, by the product whose id comes first: whichever segment holds it."""
    places = [shelf.place(product) for product in products.tolist()]
    window, ordinal = min(places, key=lambda place: place[0].segment.columns.ids[place[1]])
    return str(getattr(window.segment.columns.payload(ordinal).words, facet, ""))
