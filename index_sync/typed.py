"""The typed columns of a segment: what each product costs, whether there is any, in which sizes, since when; and its version.

They stand beside the vectors, one value a product, and change without them. Readers hold the arrays as they were published: the
writer copies them before it changes a product that somebody may see, and writes new products in place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from index_sync.entry import ESSENCE_BYTES
from index_sync.growing import GrowingInts
from processors.conditions import Condition
from processors.offers import NUMBERS, Offer, day_number, day_of, size_key

Mask = NDArray[np.bool_]
Ordinals = NDArray[np.int64]
Numbers = NDArray[np.float64] | NDArray[np.float32]

_ARRAYS: dict[str, np.dtype[Any]] = {
    "versions": np.dtype("<i8"),
    "price": np.dtype("<f8"),
    "sale": np.dtype("<f8"),
    "launched": np.dtype("<f4"),
    "stock": np.dtype("i1"),
    "sizes": np.dtype("<i4"),
    "currency": np.dtype("<i4"),
    "essence": np.dtype(f"V{ESSENCE_BYTES}"),
}
_NAN = float("nan")
_NO_ESSENCE = bytes(ESSENCE_BYTES)
_UNKNOWN = -1


class WordSets:
    """Sets of words as numbers: products have few different ones. 0 is the empty set. Only grows; one writer.

    Which sets hold a word is known beforehand, so that a filter costs nothing for each set there is.
    """

    __slots__ = ("_holding", "_numbers", "sets", "spelt")

    def __init__(self) -> None:
        self.sets: list[tuple[str, ...]] = [()]
        self.spelt: dict[str, str] = {}  # folded word -> as it first came
        self._numbers: dict[tuple[str, ...], int] = {(): 0}
        self._holding: dict[str, GrowingInts] = {}

    def number(self, words: tuple[str, ...]) -> int:
        """The number of a set; the writer's."""
        known = self._numbers.get(words)
        if known is not None:
            return known
        number = len(self.sets)
        for word in words:
            key = size_key(word)
            self.spelt.setdefault(key, word)
            if key not in self._holding:
                self._holding[key] = GrowingInts()
            self._holding[key].append(number)
        self.sets.append(words)
        self._numbers[words] = number
        return number

    def holding(self, words: Iterable[str], *, empty: bool) -> Mask:
        """Which sets hold any of the folded words; `empty`: the empty set too."""
        found = np.zeros(len(self.sets), dtype=np.bool_)
        for word in words:
            posting = self._holding.get(size_key(word))
            if posting is not None:
                numbers = posting.view()
                found[numbers[numbers < len(found)]] = True
        found[0] = empty
        return found


class Vocabularies:
    """The sets of words of one shard."""

    __slots__ = ("currencies", "sizes")

    def __init__(self) -> None:
        self.sizes = WordSets()
        self.currencies = WordSets()


class TypedColumns:
    """The columns of the products of one segment, by ordinal."""

    __slots__ = ("_words", "currency", "essence", "launched", "price", "restored", "sale", "sizes", "stock", "versions")

    def __init__(self, capacity: int, words: Vocabularies) -> None:
        self._words = words
        self.restored = 0  # so many products are as a snapshot has them
        for name, dtype in _ARRAYS.items():
            setattr(self, name, np.zeros(capacity, dtype=dtype))

    versions: NDArray[np.int64]
    price: NDArray[np.float64]
    sale: NDArray[np.float64]
    launched: NDArray[np.float32]
    stock: NDArray[np.int8]
    sizes: NDArray[np.int32]
    currency: NDArray[np.int32]
    essence: NDArray[np.void]

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return sum(getattr(self, name).nbytes for name in _ARRAYS)

    def put(self, ordinal: int, version: int, offer: Offer, essence: bytes = b"") -> None:
        """Write one product. Of one that readers may see only in a `copy`."""
        self.essence[ordinal] = essence or _NO_ESSENCE
        self.versions[ordinal] = version
        self.price[ordinal] = _NAN if offer.price is None else offer.price
        self.sale[ordinal] = _NAN if offer.sale_price is None else offer.sale_price
        self.launched[ordinal] = day_number(offer.launched) if offer.launched else _NAN
        self.stock[ordinal] = _UNKNOWN if offer.in_stock is None else offer.in_stock
        self.sizes[ordinal] = self._words.sizes.number(offer.sizes)
        self.currency[ordinal] = self._words.currencies.number((offer.currency,) if offer.currency else ())

    def essence_of(self, ordinal: int) -> bytes:
        """What stands for the rest of a product's record (`Change.essence`); b"" where nobody knows."""
        found = self.essence[ordinal].tobytes()
        return b"" if found == _NO_ESSENCE else found

    def offer(self, ordinal: int) -> Offer:
        """What `put` was given."""
        currency = self._words.currencies.sets[int(self.currency[ordinal])]
        stock = int(self.stock[ordinal])
        return Offer(
            _known(float(self.price[ordinal])),
            _known(float(self.sale[ordinal])),
            currency[0] if currency else "",
            None if stock == _UNKNOWN else bool(stock),
            self._words.sizes.sets[int(self.sizes[ordinal])],
            "" if np.isnan(self.launched[ordinal]) else day_of(int(self.launched[ordinal])),
        )

    def copy(self) -> TypedColumns:
        """The same columns, to be changed."""
        return self._made({name: getattr(self, name).copy() for name in _ARRAYS})

    def take(self, ordinals: Ordinals) -> TypedColumns:
        """The columns of some products, in that order."""
        return self._made({name: getattr(self, name)[ordinals] for name in _ARRAYS})

    def write(self, start: int, other: TypedColumns) -> None:
        """Put all products of columns of the same shard from ordinal `start` on."""
        for name in _ARRAYS:
            given = getattr(other, name)
            getattr(self, name)[start : start + len(given)] = given

    def _made(self, arrays: dict[str, NDArray[np.generic]]) -> TypedColumns:
        made = TypedColumns(0, self._words)
        for name, array in arrays.items():
            setattr(made, name, array)
        return made

    # ------------------------------------------------------------------ what filters, sorting and counts ask

    def numbers(self, column: str, products: int) -> Numbers:
        """A column's numbers, NaN where it is not known; of the price, what a shopper pays."""
        if column == "launched":
            return self.launched[:products]
        sale = self.sale[:products]
        return sale if column == "sale_price" else np.where(np.isnan(sale), self.price[:products], sale)

    def meeting(self, products: int, conditions: Sequence[Condition]) -> Mask:
        """Which of the first `products` products meet all conditions (`processors.conditions.meets`)."""
        kept = np.ones(products, dtype=np.bool_)
        for condition in conditions:
            kept &= self._meeting(products, condition)
        return kept

    def _meeting(self, products: int, condition: Condition) -> Mask:
        column, lenient = condition.column, condition.lenient
        if column in NUMBERS:
            return self._within(self.numbers(column, products), condition)
        if column == "size":
            return self._words.sizes.holding(condition.words, empty=lenient)[self.sizes[:products]]
        if column == "currency":
            return self._words.currencies.holding(condition.words, empty=lenient)[self.currency[:products]]
        allowed = [int(word == "true") for word in condition.words] + ([_UNKNOWN] if lenient else [])
        found: Mask = np.isin(self.stock[:products], allowed)
        return found

    @staticmethod
    def _within(numbers: Numbers, condition: Condition) -> Mask:
        known = ~np.isnan(numbers)
        kept = known.copy()
        with np.errstate(invalid="ignore"):
            if condition.lt is not None:
                kept &= numbers < condition.lt
            if condition.lte is not None:
                kept &= numbers <= condition.lte
            if condition.gt is not None:
                kept &= numbers > condition.gt
            if condition.gte is not None:
                kept &= numbers >= condition.gte
            if condition.numbers:
                kept &= np.isin(numbers, condition.numbers)
        return kept | ~known if condition.lenient else kept

    def knows(self, column: str, products: int) -> bool:
        """Whether any of the first `products` products has the column."""
        if column in NUMBERS:
            return bool((~np.isnan(self.numbers(column, products))).any())
        held = {"size": self.sizes, "currency": self.currency}.get(column)
        if held is not None:
            return bool((held[:products] > 0).any())
        return bool((self.stock[:products] != _UNKNOWN).any())

    def counts(self, column: str, kept: Mask) -> dict[str, int]:
        """Products in `kept` by what a set column says of them."""
        if column == "in_stock":
            stock = self.stock[: len(kept)][kept]
            found = {"true": int((stock == 1).sum()), "false": int((stock == 0).sum())}
            return {word: count for word, count in found.items() if count}
        words = self._words.sizes if column == "size" else self._words.currencies
        held = self.sizes if column == "size" else self.currency
        told: dict[str, int] = {}
        for number, count in enumerate(np.bincount(held[: len(kept)][kept]).tolist()):
            for key in {size_key(word) for word in words.sets[number]} if count else ():
                told[words.spelt[key]] = told.get(words.spelt[key], 0) + count
        return told


class _Saved(msgspec.Struct, frozen=True):
    """The columns of a segment in a snapshot: raw arrays, little-endian, and the sets that their numbers mean."""

    products: int
    arrays: dict[str, bytes]
    sizes: tuple[tuple[str, ...], ...]
    currencies: tuple[tuple[str, ...], ...]


_SAVED = msgspec.msgpack.Decoder(_Saved)


def encode_typed(columns: TypedColumns, products: int) -> bytes:
    """The bytes of the first `products` products."""
    words = columns._words  # noqa: SLF001 - the other half of this class
    arrays = {name: getattr(columns, name)[:products] for name in _ARRAYS}
    sizes, arrays["sizes"] = np.unique(arrays["sizes"], return_inverse=True)
    currencies, arrays["currency"] = np.unique(arrays["currency"], return_inverse=True)
    raw = {name: array.astype(_ARRAYS[name]).tobytes() for name, array in arrays.items()}
    return msgspec.msgpack.encode(
        _Saved(
            products,
            raw,
            tuple(words.sizes.sets[number] for number in sizes.tolist()),
            tuple(words.currencies.sets[number] for number in currencies.tolist()),
        )
    )


def decode_typed(data: bytes, products: int, capacity: int, words: Vocabularies) -> TypedColumns:
    """The columns that `encode_typed` wrote, with room for `capacity` products.

    Raises:
        ValueError, msgspec.MsgspecError: the bytes are not those of so many products.
    """
    saved = _SAVED.decode(data)
    if saved.products != products:
        raise ValueError(f"columns of {saved.products} products, wanted {products}")
    columns = TypedColumns(capacity, words)
    for name, dtype in _ARRAYS.items():
        if name == "essence" and name not in saved.arrays:
            continue  # it is learnt again
        array = np.frombuffer(saved.arrays.get(name, b""), dtype=dtype)
        if len(array) != products:
            raise ValueError(f"{name}: {len(array)} values of {products} products")
        if name == "sizes":
            array = _renumbered(array, saved.sizes, words.sizes)
        elif name == "currency":
            array = _renumbered(array, saved.currencies, words.currencies)
        getattr(columns, name)[:products] = array
    columns.restored = products
    return columns


def _renumbered(numbers: NDArray[np.int32], sets: Sequence[tuple[str, ...]], words: WordSets) -> NDArray[np.int32]:
    if len(numbers) and not 0 <= int(numbers.min()) <= int(numbers.max()) < len(sets):
        raise ValueError("a set of words that is not there")
    return np.array([words.number(one) for one in sets], dtype=np.int32)[numbers] if sets else numbers


def _known(number: float) -> float | None:
    return None if number != number else number  # noqa: PLR0124 - NaN
