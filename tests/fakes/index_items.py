"""Entries, a dict model of a shard, and an object store in memory, for the tests of the index."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from index_sync.entry import Change, Entry, Payload, ViewInfo, fold
from infra.memory_store import MemoryStore
from infra.store import ETag
from processors.ordering import BY_SCORE, best
from processors.values import Vector

ENCODER = "sha256:encoder"
DIMENSION = 8


def unit(seed: int, dimension: int = DIMENSION) -> Vector:
    """A random unit vector; equal seeds give equal vectors."""
    vector = np.random.default_rng(seed).standard_normal(dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def entry(
    *seeds: int,
    facets: Mapping[str, str] | None = None,
    encoder: str = ENCODER,
    dimension: int = DIMENSION,
    image: str = "file:///p.jpg",
) -> Entry:
    """An entry with a view for each seed ("whole", "g0", "g1" …), all of the same facets."""
    one = {key: (value,) for key, value in (facets or {}).items()}
    names = ["whole", *(f"g{i}" for i in range(len(seeds) - 1))]
    views = tuple(ViewInfo(name, "dress", (one,) if one else ()) for name in names)
    vectors = np.stack([unit(seed, dimension) for seed in seeds])
    return Entry(Payload(image, "dress", dict(facets or {}), (), views), vectors, encoder)


def merged(answers, k):
    """The hits of several shards in the order of their scores, as `compose` merges them."""
    hits = [hit for answer in answers for hit in answer]
    return best(hits, lambda hit: BY_SCORE.key(hit.score, hit.product_id), lambda _: "", k)


class ModelShard:
    """What a shard must be equal to: a dict, and a scan."""

    def __init__(self) -> None:
        self.products: dict[str, tuple[int, Entry]] = {}
        self.versions: dict[str, int] = {}
        self.next_offset = 0

    def apply(self, change: Change) -> None:
        self.next_offset = max(self.next_offset, change.offset + 1)
        if change.offset <= self.versions.get(change.product_id, -1):
            return
        self.versions[change.product_id] = change.offset
        if change.entry is None:
            self.products.pop(change.product_id, None)
        else:
            self.products[change.product_id] = (change.offset, change.entry)

    def search(
        self,
        query: Vector,
        k: int,
        filters: Mapping[str, tuple[str, ...]] | None = None,
        exclude: Mapping[str, tuple[str, ...]] | None = None,
        exclude_products: tuple[str, ...] = (),
    ) -> list[tuple[str, float]]:
        """(product, score) of the k best, by brute force over half-precision vectors in double."""
        best: dict[str, float] = {}
        for product_id, (_, item) in self.products.items():
            if product_id in exclude_products:
                continue
            for view, vector in zip(item.payload.views, item.vectors.astype(np.float16), strict=True):
                if _meets(view, filters or {}) and not _shows(view, exclude or {}):
                    score = float(np.float32(vector.astype(np.float64) @ query.astype(np.float64)))
                    best[product_id] = max(score, best.get(product_id, -2.0))
        return sorted(best.items(), key=lambda pair: (-pair[1], pair[0]))[:k]


def _has(garment: Mapping[str, tuple[str, ...]], facet: str, values: tuple[str, ...]) -> bool:
    own = {fold(value) for key, found in garment.items() if fold(key) == fold(facet) for value in found}
    return bool(own & {fold(value) for value in values})


def _meets(view: ViewInfo, filters: Mapping[str, tuple[str, ...]]) -> bool:
    asked = {facet: values for facet, values in filters.items() if values}
    return not asked or any(all(_has(g, f, v) for f, v in asked.items()) for g in view.facets)


def _shows(view: ViewInfo, exclude: Mapping[str, tuple[str, ...]]) -> bool:
    return any(_has(garment, facet, values) for garment in view.facets for facet, values in exclude.items())


class MemoryObjects(MemoryStore):
    """The in-memory store, whose objects a test may damage, and which a test may switch off."""

    def __init__(self) -> None:
        super().__init__()
        self.away: Exception | None = None
        self.writes: list[str] = []
        self.refused = 0

    @property
    def objects(self) -> dict[str, bytes]:
        return self._objects

    def _reach(self) -> None:
        if self.away is not None:
            self.refused += 1
            raise self.away

    def get(self, key: str, *, limit: int | None = None) -> bytes:
        self._reach()
        return super().get(key, limit=limit)

    def create(self, key: str, data: bytes, *, content_type: str = "") -> bool:
        self._reach()
        return super().create(key, data, content_type=content_type)

    def swap(self, key: str, data: bytes, expected: ETag) -> ETag | None:
        self._reach()
        return super().swap(key, data, expected)

    def _write(self, key: str, data: bytes) -> ETag:
        self.writes.append(key)
        return super()._write(key, data)
