"""The words of a segment's products: postings beside the vectors, for readers without locks.

Words lie in blocks that never change, of some products each; what a reader gets is one tuple of them. A batch makes a block of its
own (several do, where batches are small), small blocks are merged into the one before, so that a segment has few. Whether a product is alive is not said here: readers
take that from the window they search, as for the vectors. So no product can be found by its words that its vector would not show.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index_sync.growing import GrowingInts
from processors.identity import split
from processors.product_words import Words
from processors.words import code_key, name_keys

Hashes = NDArray[np.int64]

FULL = 200
"""The value of a word in the title of a usual length. Values are bytes."""
SAID, TOLD = 120, 70
_USUAL_OWN = 12
_SATURATION, _LENGTH = 1.2, 0.4
_SMALL = 512
"""Products of a block below which a batch is merged into it."""
_WAITING = 16
"""Products that the writer leaves for the next reader, or for later: each block costs some hundred microseconds, however small."""
CODE = "#"
BRAND, COLLECTION = "brand", "collection"


def hash_of(term: str) -> int:
    """What a term is in memory: Python's hash of it, which is another one in each process and leaves none."""
    return hash(term)


def own_value(terms: int) -> int:
    """The value of a word of a title of so many terms: BM25's normalisation of lengths, with a constant for the usual one."""
    longer = 1 - _LENGTH + _LENGTH * terms / _USUAL_OWN
    return min(255, round(FULL * (1 + _SATURATION) / (1 + _SATURATION * longer)))


@dataclass(frozen=True, slots=True)
class Block:
    """Postings of the products `start` to `stop`: `terms` ascending; of term i, `found[bounds[i]:bounds[i + 1]]` less `start`."""

    start: int
    stop: int
    terms: Hashes
    bounds: NDArray[np.int32]
    found: NDArray[Any]  # uint16 or int32
    values: NDArray[np.uint8]

    @property
    def nbytes(self) -> int:
        return self.terms.nbytes + self.bounds.nbytes + self.found.nbytes + self.values.nbytes


def _block(start: int, stop: int, terms: Hashes, found: NDArray[Any], values: NDArray[np.uint8]) -> Block:
    """Of postings in any order, of each term by product."""
    order = np.argsort(terms, kind="stable")  # sorted runs are merged, not sorted
    terms = terms[order]
    first = np.flatnonzero(np.concatenate(([True], terms[1:] != terms[:-1]))) if len(terms) else np.empty(0, np.int64)
    bounds = np.append(first, len(terms)).astype(np.int32)
    kind = np.uint16 if stop - start <= 1 << 16 else np.int32
    return Block(start, stop, terms[first], bounds, found[order].astype(kind), values[order])


def _merged(one: Block, other: Block) -> Block:
    """Two blocks, of which `other` comes next."""
    terms = np.concatenate([np.repeat(b.terms, np.diff(b.bounds)) for b in (one, other)])
    found = np.concatenate([one.found.astype(np.int64), other.found.astype(np.int64) + (other.start - one.start)])
    return _block(one.start, other.stop, terms, found, np.concatenate([one.values, other.values]))


class WordColumns:
    """The words of the products of one segment, by ordinal. One writer."""

    __slots__ = ("_blocks", "_pending", "_settling", "names", "spelt", "starts", "wholes")

    def __init__(self) -> None:
        self._blocks: tuple[Block, ...] = ()
        self._pending: list[tuple[str, Words | None]] = []
        self._settling = threading.Lock()
        self.starts = GrowingInts()  # product -> its first row; one more at the end
        self.starts.append(0)
        self.names: dict[tuple[str, str], GrowingInts] = {}  # (brand or collection, spelling) -> products
        self.wholes: dict[tuple[str, str], GrowingInts] = {}  # the same, of products whose whole name it is

        self.spelt: set[int] = set()  # hashes of the words of titles and names: what a typing error may be mended to

    def append(self, product_id: str, stop: int, words: Words | None) -> None:
        """Take one product, whose rows end at `stop`; its words are there after `settle`."""
        ordinal = len(self.starts) - 1
        if words is not None:
            for facet, name in ((BRAND, words.brand), (COLLECTION, words.collection)):
                if name:
                    self._name(facet, name, ordinal)
        self._pending.append((product_id, words))
        self.starts.append(stop)

    def _name(self, facet: str, name: str, ordinal: int) -> None:
        for spelling, whole in name_keys(name):
            for names in (self.names, self.wholes) if whole else (self.names,):
                posting = names.get((facet, spelling))
                if posting is None:
                    posting = names[facet, spelling] = GrowingInts()
                posting.append(ordinal)

    def take(self, other: WordColumns, ordinals: NDArray[np.int64], stops: NDArray[np.int64]) -> None:
        """Append some products of another segment, in their order; `stops`: where the rows of each end here."""
        self.settle()
        before = len(self.starts) - 1
        moved = np.full(len(other.starts) - 1, -1, dtype=np.int64)
        moved[ordinals] = np.arange(len(ordinals))
        terms, found, values = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0, np.uint8)]
        for block in other.settle():
            here = moved[block.found.astype(np.int64) + block.start]
            kept = here >= 0
            terms.append(np.repeat(block.terms, np.diff(block.bounds))[kept])
            found.append(here[kept])
            values.append(block.values[kept])
        if len(ordinals):
            made = _block(
                before, before + len(ordinals), np.concatenate(terms), np.concatenate(found), np.concatenate(values)
            )
            self._blocks = (*self._blocks, made)
        for mine, theirs in ((self.names, other.names), (self.wholes, other.wholes)):
            for key, posting in theirs.items():
                own = moved[posting.view()]
                own = own[own >= 0]
                if len(own):
                    mine.setdefault(key, GrowingInts()).extend((own + before).astype(np.int32))
        self.spelt |= other.spelt
        self.starts.extend(stops.astype(np.int32))

    def settle(self) -> tuple[Block, ...]:
        """All words that were appended, in blocks; of products that a reader's window does not show, too."""
        if self._pending:
            with self._settling:
                self._settle()
        return self._blocks

    def settle_many(self) -> None:
        """The writer calls it before it publishes: few products are left for a reader to settle."""
        if len(self._pending) >= _WAITING:
            self.settle()

    def _settle(self) -> None:
        count = len(self._pending)
        if not count:
            return
        blocks = list(self._blocks)
        start = blocks[-1].stop if blocks else 0
        owns = (words.own for _, words in self._pending[:count] if words is not None)
        self.spelt.update(map(hash_of, chain.from_iterable(own.split() for own in owns)))
        blocks.append(_made(self._pending[:count], start))
        while len(blocks) > 1 and _small_beside(blocks[-2], blocks[-1]):
            blocks[-2:] = [_merged(blocks[-2], blocks[-1])]
        self._blocks = tuple(blocks)
        del self._pending[:count]

    @property
    def nbytes(self) -> int:
        """Bytes of the postings."""
        return sum(block.nbytes for block in self._blocks)


def _small_beside(one: Block, other: Block) -> bool:
    size = one.stop - one.start
    return size < _SMALL or size <= 2 * (other.stop - other.start)


def _made(products: list[tuple[str, Words | None]], start: int) -> Block:
    """The postings of products that follow each other."""
    lists: list[list[str]] = []
    values: list[int] = []
    owners: list[int] = []
    for number, (product_id, words) in enumerate(products):
        codes = {CODE + code_key(split(product_id)[1])}
        if words is not None:
            codes |= {CODE + code for code in words.codes.split()}
            own = words.own.split()
            lists += [own, words.said.split(), words.told.split()]
            values += [own_value(len(own)), SAID, TOLD]
            owners += [number, number, number]
        lists.append(list(codes))
        values.append(FULL)
        owners.append(number)
    lengths = np.fromiter(map(len, lists), dtype=np.int64, count=len(lists))
    total = int(lengths.sum())
    terms = np.fromiter(map(hash_of, chain.from_iterable(lists)), dtype=np.int64, count=total)
    found = np.repeat(np.array(owners, dtype=np.int64), lengths)
    weights = np.repeat(np.array(values, dtype=np.uint8), lengths)
    return _block(start, start + len(products), terms, found, weights)
