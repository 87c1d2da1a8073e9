"""The columns beside the vectors of a segment: ids, versions, payloads and the postings that answer filters.

One writer, readers without locks: everything only grows, and a reader uses no more rows than were published to it.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from index_sync.blocks import BlockColumns
from index_sync.entry import Facets, Payload, chances_of, counted_as, facet_key, postings_of
from processors.identity import shop_of

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


class ShownWhole(Shown, frozen=True):
    """The same with what the shop says, for variants and for hits that show it."""

    facets: dict[str, str] = {}
    said: dict[str, Any] = {}


_SHOWN = msgspec.msgpack.Decoder(Shown)
_SHOWN_WHOLE = msgspec.msgpack.Decoder(ShownWhole)


def encode_payload(payload: Payload) -> bytes:
    """The bytes of a payload as a segment keeps them."""
    return _ENCODER.encode(payload)


class GrowingInts:
    """An append-only array of int32. Readers take `view()`; the count is published after the value is there."""

    __slots__ = ("_buffer", "_count")

    def __init__(self) -> None:
        self._buffer = np.empty(8, dtype=np.int32)
        self._count = 0

    def append(self, value: int) -> None:
        count = self._count
        if count == len(self._buffer):
            grown = np.empty(2 * count, dtype=np.int32)
            grown[:count] = self._buffer
            self._buffer = grown
        self._buffer[count] = value
        self._count = count + 1

    def __len__(self) -> int:
        return self._count

    def view(self) -> NDArray[np.int32]:
        # Count first: a buffer read later can only be larger.
        count = self._count
        return self._buffer[:count]


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

    def append(self, product_id: str, version: int, payload: Payload, blob: bytes | None = None) -> int:
        """Add one product, of that version (source offset), with a row for each of its views. Returns its ordinal."""
        return self._append(product_id, version, payload, encode_payload(payload) if blob is None else blob)

    def append_encoded(self, product_id: str, version: int, blob: bytes) -> int:
        """`append` for a payload that comes encoded (from `payloads` of another segment)."""
        return self._append(product_id, version, _DECODER.decode(blob), blob)

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
        self._before.append(self._last.get(product_id, -1))
        self.ids.append(product_id)
        # Last: a reader that finds the ordinal must find everything that stands under it.
        self._last[product_id] = ordinal
        return ordinal

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
