"""Counting what a shard holds: digests by bucket, so that two sides find what differs without sending everything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from index_sync.asking import Ask
from index_sync.entry import DIGEST_BITS, Change, product_mark, to_half
from index_sync.search import search
from index_sync.segment import Window
from processors.errors import Poison
from processors.values import Vector

BUCKETS = 256
_MODULUS = 1 << DIGEST_BITS
_ASKED = 5
_TOP = 10


def id_mark(product_id: str) -> int:
    """What a product adds to the digest of ids; its last byte is its bucket."""
    return int.from_bytes(blake2b(product_id.encode(), digest_size=DIGEST_BITS // 8).digest(), "little")


def bucket_of(product_id: str) -> int:
    """The bucket of a product, 0 to 255."""
    return id_mark(product_id) % BUCKETS


def total(marks: Iterable[int]) -> int:
    """The digest of many marks: neither order nor grouping matters."""
    return sum(marks) % _MODULUS


def digest_text(digest: int) -> str:
    """32 hex digits."""
    return f"{digest:032x}"


@dataclass(frozen=True, slots=True)
class Buckets:
    """Digests by bucket, over the marks of the products, and over their ids alone."""

    marks: tuple[int, ...]
    ids: tuple[int, ...]


def by_bucket(products: Mapping[str, tuple[int, int]]) -> Buckets:
    """The buckets of products, given with version and mark."""
    marks, ids = [0] * BUCKETS, [0] * BUCKETS
    for product_id, (_, mark) in products.items():
        own = id_mark(product_id)
        bucket = own % BUCKETS
        marks[bucket] += mark
        ids[bucket] += own
    return Buckets(tuple(mark % _MODULUS for mark in marks), tuple(own % _MODULUS for own in ids))


@dataclass(frozen=True, slots=True)
class Known:
    """A product as the topic has it."""

    version: int
    mark: int
    image: str


class Expected:
    """What a shard must hold after these records, worked out without a shard: a dict, no segments, no vectors kept.

    Args:
        encoder: whose vectors count; "": of the first that comes.
    """

    def __init__(self, encoder: str = "") -> None:
        self._encoder, self._dimension = encoder, 0
        self.products: dict[str, Known] = {}
        self.refused = 0
        """Records that no shard takes: its products stay as they were before them."""

    def apply(self, change: Change) -> None:
        """The next record, in the order of the log."""
        if change.entry is None:
            self.products.pop(change.product_id, None)
            return
        entry = change.entry
        try:
            if self._encoder and entry.encoder != self._encoder:
                raise Poison(f"vectors of {entry.encoder}", field="encoder")
            half = to_half(entry.vectors, self._dimension or entry.vectors.shape[-1])
            if len(half) != len(entry.payload.views):
                raise Poison("vectors and views differ in number", field="views")
        except Poison:
            self.refused += 1
            return
        self._encoder, self._dimension = entry.encoder, half.shape[1]
        mark = product_mark(change.product_id, change.offset, entry.payload, half)
        self.products[change.product_id] = Known(change.offset, mark, entry.payload.image)


def recall_of(window: Window) -> float:
    """Recall@10 of a segment's search against an exact one, asked with some of its own live vectors; 1.0 of an empty one."""
    rows = np.flatnonzero(window.alive[: window.rows])
    if not len(rows):
        return 1.0
    vectors = window.segment.vectors(0, window.rows)[rows].astype(np.float32)
    owners = [window.segment.columns.ids[window.segment.columns.owner[row]] for row in rows.tolist()]
    found = wanted = 0
    for number in np.linspace(0, len(rows) - 1, min(_ASKED, len(rows)), dtype=np.int64).tolist():
        exact = _nearest(vectors, owners, vectors[number])
        hits = search([window], Ask(np.ascontiguousarray(vectors[number]), _TOP, {}, {}, frozenset()))
        # Of equal scores any will do: a product counts that is as near as the last of the exact ones.
        least = exact[-1] - 1e-5
        found += sum(hit.score >= least for hit in hits[: len(exact)])
        wanted += len(exact)
    return found / wanted


def _nearest(vectors: Vector, owners: list[str], query: Vector) -> list[float]:
    """The best score of each of the nearest products, descending."""
    best: dict[str, float] = {}
    for owner, score in zip(owners, (vectors @ query).tolist(), strict=True):
        best[owner] = max(score, best.get(owner, -2.0))
    return sorted(best.values(), reverse=True)[:_TOP]
