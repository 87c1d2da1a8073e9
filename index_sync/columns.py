"""The columns beside the vectors of a segment: ids, versions, payloads and the postings that answer filters.

One writer, readers without locks: everything only grows, and a reader uses no more rows than were published to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from index_sync.blocks import BlockColumns
from index_sync.entry import Facets, Payload, chances_of, counted_as, facet_key, postings_of
from index_sync.growing import GrowingInts
from index_sync.lexical import WordColumns
from index_sync.pieces import PIECE, Between, in_pieces
from processors.identity import shop_of
from processors.product_words import Words

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Payload)


class ShownView(msgspec.Struct, frozen=True):
    """Of a `ViewInfo`, what a hit shows."""

    id: str
    category: str
    photo: str | msgspec.UnsetType = msgspec.UNSET


class Shown(msgspec.Struct, frozen=True):
    """Of a `Payload`, what a hit shows: ten payloads with all their facets took longer to read than ten hits to find."""

    image: str
    category: str
    views: tuple[ShownView, ...]
    words: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class ShownWhole(Shown, frozen=True):
    """The same with what the shop says, for variants and for hits that show it."""

    facets: dict[str, str] = {}
    said: dict[str, Any] = {}


_SHOWN = msgspec.msgpack.Decoder(Shown)
_SHOWN_WHOLE = msgspec.msgpack.Decoder(ShownWhole)


def encode_payload(payload: Payload) -> bytes:
    """The bytes of a payload as a segment keeps them."""
    return _ENCODER.encode(payload)


@dataclass(frozen=True, slots=True)
class Part:
    """Some products of a segment's columns: their ordinals (int64, ascending) and versions. Each id stands there once."""

    columns: Columns
    ordinals: NDArray[np.int64]
    versions: NDArray[np.int64]


_KEYS_BETWEEN = 512
"""Postings that are put together between two pauses."""
_WORDS_BETWEEN = 8 * PIECE
"""Products whose words are put together between two pauses."""


class Columns:
    """Products of a segment in the order of arrival; the rows (views) of one product stand together."""

    __slots__ = (
        "_alternatives",
        "_before",
        "_last",
        "_postings",
        "blocks",
        "facets",
        "first",
        "groups",
        "ids",
        "members",
        "owner",
        "payloads",
        "rows",
        "shop",
        "shops",
        "values",
        "versions",
        "words",
    )

    def __init__(self, capacity: int) -> None:
        self.ids: list[str] = []
        self.versions: list[int] = []
        self.payloads: list[bytes] = []
        self.first: list[int] = [0]  # first row of product i; the last element is the number of rows
        self.owner = np.empty(capacity, dtype=np.int32)  # row -> product ordinal
        self.rows = 0
        self._alternatives = GrowingInts()  # alternative (one garment of one row) -> row
        self._postings: dict[tuple[str, str], GrowingInts] = {}  # (facet, value) -> alternatives
        self.blocks = BlockColumns(capacity)
        self._last: dict[str, int] = {}  # product -> its latest ordinal here
        self._before = GrowingInts()  # ordinal -> the ordinal that it replaced here, or -1
        self.shops: dict[str, int] = {}  # shop ("" for none) -> its number here
        self.shop = np.empty(capacity, dtype=np.int32)  # row -> number of its product's shop
        self.facets: set[str] = set()  # every facet that some product of the segment had
        self.values: dict[str, dict[str, str]] = {}  # facet -> value that is counted -> as it is shown
        self.groups: list[str] = []  # of product i; "": none
        self.members: dict[str, list[int]] = {}  # group -> ordinals
        self.words = WordColumns()

    def append(self, product_id: str, version: int, payload: Payload, blob: bytes | None = None) -> int:
        """Add one product, of that version (source offset), with a row for each of its views. Returns its ordinal."""
        return self._append(product_id, version, payload, encode_payload(payload) if blob is None else blob)

    def append_encoded(self, product_id: str, version: int, blob: bytes) -> int:
        """`append` for a payload that comes encoded (from `payloads` of another segment)."""
        return self._append(product_id, version, _DECODER.decode(blob), blob)

    def extend_encoded(
        self, ids: Sequence[str], versions: Sequence[int], blobs: Sequence[bytes], between: Between = None
    ) -> None:
        """`append_encoded` of many."""
        for number, (product_id, version, blob) in enumerate(
            in_pieces(zip(ids, versions, blobs, strict=True), between), start=1
        ):
            self.append_encoded(product_id, version, blob)
            if between is not None and number % _WORDS_BETWEEN == 0:
                self.words.settle_many()  # else all of them wait for whoever publishes, and go in one piece

    def _append(self, product_id: str, version: int, payload: Payload, blob: bytes) -> int:
        ordinal, start = len(self.ids), self.rows
        stop = start + len(payload.views)
        self.owner[start:stop] = ordinal
        self.shop[start:stop] = self.shops.setdefault(shop_of(product_id), len(self.shops))
        known: dict[int, list[GrowingInts]] = {}  # the whole view shows the same garments as the others
        for row, view in enumerate(payload.views, start):
            for facets in view.facets:
                postings = known.get(id(facets))
                if postings is None:
                    postings = known[id(facets)] = self._postings_for(facets)
                alternative = len(self._alternatives)
                self._alternatives.append(row)
                for posting in postings:
                    posting.append(alternative)
        self.blocks.put(ordinal, chances_of(payload))
        self.versions.append(version)
        self.payloads.append(blob)
        self.groups.append(payload.group)
        if payload.group:
            self.members.setdefault(payload.group, []).append(ordinal)
        self.first.append(stop)
        self.rows = stop
        self.words.append(product_id, stop, payload.words if isinstance(payload.words, Words) else None)
        self._before.append(self._last.get(product_id, -1))
        self.ids.append(product_id)
        # Last: a reader that finds the ordinal must find everything that stands under it.
        self._last[product_id] = ordinal
        return ordinal

    @classmethod
    def gathered(cls, parts: Sequence[Part], capacity: int, pause: Callable[[], None]) -> Columns:
        """The products of all parts, one after the other, as if they were appended; no payload is decoded.

        Args:
            parts: of segments that are not written to meanwhile; no product twice.
            capacity: rows there is room for, if more than theirs.
            pause: called every few milliseconds.
        """
        counts = [rows_of(part.columns.first)[part.ordinals] for part in parts]
        rows = int(sum(count.sum() for count in counts))
        made = cls(max(capacity, rows))
        postings: dict[tuple[str, str], list[NDArray[np.int32]]] = {}
        alternatives: list[NDArray[np.int32]] = []
        for part, count in zip(parts, counts, strict=True):
            made._take(part, count, alternatives, postings, pause)
        made._alternatives = GrowingInts.of(_concatenated(alternatives))
        for number, (key, found) in enumerate(postings.items()):
            made._postings[key] = GrowingInts.of(_concatenated(found))
            made.facets.add(key[0])
            if number % _KEYS_BETWEEN == 0:
                pause()
        for part in parts:
            for facet, values in part.columns.values.items():
                kept = {value: shown for value, shown in values.items() if (facet, value) in postings}
                if kept:
                    made.values[facet] = {**kept, **made.values.get(facet, {})}
        return made

    def _take(
        self,
        part: Part,
        counts: NDArray[np.int64],
        alternatives: list[NDArray[np.int32]],
        postings: dict[tuple[str, str], list[NDArray[np.int32]]],
        pause: Callable[[], None],
    ) -> None:
        """Append the products of one part, all but their postings, which are collected as they will be numbered here."""
        columns, before, start = part.columns, len(self.ids), self.rows
        picked = part.ordinals.tolist()
        stop = start + int(counts.sum())
        self.owner[start:stop] = np.repeat(np.arange(before, before + len(picked), dtype=np.int32), counts)
        taken = np.zeros(len(columns.ids), dtype=np.bool_)
        taken[part.ordinals] = True
        rows = np.flatnonzero(taken[columns.owner[: columns.rows]])
        numbers = [self.shops.setdefault(shop, len(self.shops)) for shop in _used(columns, rows)]
        table = np.zeros(max(1, len(columns.shops)), dtype=np.int32)
        table[[columns.shops[shop] for shop in _used(columns, rows)]] = numbers
        self.shop[start:stop] = table[columns.shop[rows]]
        pause()
        self.ids += [columns.ids[ordinal] for ordinal in picked]
        self.payloads += [columns.payloads[ordinal] for ordinal in picked]
        self.versions += part.versions.tolist()
        self.first += (start + np.cumsum(counts)).tolist()
        self.rows = stop
        self._last.update(zip(self.ids[before:], range(before, before + len(picked)), strict=True))
        pause()
        groups = [columns.groups[ordinal] for ordinal in picked]
        self.groups += groups
        for ordinal, group in enumerate(groups, before):
            if group:
                self.members.setdefault(group, []).append(ordinal)
        self._before.extend(np.full(len(picked), -1, dtype=np.int32))
        self.words.take(columns.words, part.ordinals, start + np.cumsum(counts))
        pause()
        self.blocks.take(before, columns.blocks, part.ordinals)
        pause()
        moved = np.full(columns.rows, -1, dtype=np.int64)
        moved[rows] = np.arange(start, stop)
        here = moved[columns._alternatives.view()]  # noqa: SLF001 - its own kind
        number = np.where(here >= 0, np.cumsum(here >= 0) - 1 + sum(map(len, alternatives)), -1).astype(np.int32)
        alternatives.append(here[here >= 0].astype(np.int32))
        for done, (key, posting) in enumerate(columns._postings.items(), 1):  # noqa: SLF001 - its own kind
            found = number[posting.view()]
            found = found[found >= 0]
            if len(found):
                postings.setdefault(key, []).append(found)
            if done % _KEYS_BETWEEN == 0:
                pause()

    def ordinal_of(self, product_id: str, products: int) -> int | None:
        """The latest of the first `products` products that has this id, live or not; None when there is none."""
        ordinal = self._last.get(product_id, -1)
        if ordinal < products:
            return None if ordinal < 0 else ordinal
        before = self._before.view()
        while ordinal >= products:
            ordinal = int(before[ordinal])
        return None if ordinal < 0 else ordinal

    def _postings_for(self, facets: Facets) -> list[GrowingInts]:
        found: list[GrowingInts] = []
        for name, values in facets.items():
            new = False
            for key in postings_of(name, values):
                posting = self._postings.get(key)
                if posting is None:
                    self.facets.add(key[0])
                    posting = self._postings[key] = GrowingInts()
                    new = True
                found.append(posting)
            if new:
                self._count(facet_key(name), values)
        return found

    def _count(self, facet: str, values: tuple[str, ...]) -> None:
        known = self.values.setdefault(facet, {})
        for value in values:
            counted, shown = counted_as(facet, value)
            if counted:
                known.setdefault(counted, shown)

    def payload(self, ordinal: int) -> Payload:
        return _DECODER.decode(self.payloads[ordinal])

    def shown(self, ordinal: int) -> Shown:
        return _SHOWN.decode(self.payloads[ordinal])

    def shown_whole(self, ordinal: int) -> ShownWhole:
        return _SHOWN_WHOLE.decode(self.payloads[ordinal])

    def matching(self, rows: int, wanted: Facets) -> NDArray[np.bool_]:
        """Which of the first `rows` rows show a garment with an allowed value in every facet of `wanted`."""
        alternatives = self._alternatives.view()
        return self._rows_of(alternatives[self._meeting(len(alternatives), wanted)], rows)

    def _meeting(self, alternatives: int, wanted: Facets) -> NDArray[np.bool_]:
        chosen = np.ones(alternatives, dtype=np.bool_)
        for facet, values in wanted.items():
            chosen &= self._any(alternatives, facet, values)
        return chosen

    def counts(self, facet: str, kept: NDArray[np.bool_], wanted: Facets) -> dict[str, int]:
        """Products by their values of a facet, as values are shown: as many as that value in the filter would leave.

        Args:
            facet: its one name (`index_sync.entry.facet_key`).
            kept: the rows that count.
            wanted: the filter that they meet.
        """
        alternatives = self._alternatives.view()
        meeting = self._meeting(len(alternatives), wanted)
        meeting &= alternatives < len(kept)
        meeting[meeting] = kept[alternatives[meeting]]
        found: dict[str, int] = {}
        for value, shown in list(self.values.get(facet, {}).items()):
            posting = self._postings.get((facet, value))
            if posting is None:
                continue
            ids = posting.view()
            ids = ids[ids < len(alternatives)]
            products = np.unique(self.owner[alternatives[ids[meeting[ids]]]]).size
            if products:
                found[shown] = products
        return found

    def of_shop(self, rows: int, shop: str) -> NDArray[np.bool_] | None:
        """Which of the first `rows` rows are of this shop's products; None where all of them are."""
        number = self.shops.get(shop)
        if number is None:
            return np.zeros(rows, dtype=np.bool_)
        return None if len(self.shops) == 1 else self.shop[:rows] == number

    def showing(self, rows: int, refused: Facets) -> NDArray[np.bool_]:
        """Which of the first `rows` rows show any refused value."""
        alternatives = self._alternatives.view()
        chosen = np.zeros(len(alternatives), dtype=np.bool_)
        for facet, values in refused.items():
            chosen |= self._any(len(alternatives), facet, values)
        return self._rows_of(alternatives[chosen], rows)

    def _any(self, alternatives: int, facet: str, values: tuple[str, ...]) -> NDArray[np.bool_]:
        found = np.zeros(alternatives, dtype=np.bool_)
        for value in values:
            posting = self._postings.get((facet, value))
            if posting is not None:
                ids = posting.view()
                found[ids[ids < alternatives]] = True
        return found

    @staticmethod
    def _rows_of(found: NDArray[np.int32], rows: int) -> NDArray[np.bool_]:
        mask = np.zeros(rows, dtype=np.bool_)
        mask[found[found < rows]] = True
        return mask


def _concatenated(arrays: Sequence[NDArray[np.int32]]) -> NDArray[np.int32]:
    return np.concatenate(arrays) if arrays else np.empty(0, dtype=np.int32)


def _used(columns: Columns, rows: NDArray[np.int64]) -> list[str]:
    """The shops of some rows."""
    numbers = set(np.unique(columns.shop[rows]).tolist())
    return [shop for shop, number in columns.shops.items() if number in numbers]


def rows_of(first: Sequence[int]) -> NDArray[np.int64]:
    """How many rows each product has, by `Columns.first` or a part of it."""
    starts = np.array(first, dtype=np.int64)
    return starts[1:] - starts[:-1]
