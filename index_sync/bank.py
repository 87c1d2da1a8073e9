"""A bounded, exact bank of labelled neighbours: "what did the shop say of products that look like this one?"."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from processors.errors import Poison
from processors.values import Vector

_thread = threading.local()


def one_thread() -> None:
    """Keep FAISS on the calling thread: two builder threads raised query p99 from 0.6 to 12.8 ms (INDEX.md).

    OpenMP keeps this setting per calling thread, so every thread that searches has to say it.
    """
    if not getattr(_thread, "single", False):
        faiss.omp_set_num_threads(1)
        _thread.single = True


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A labelled product near a vector. `similarity` is the inner product of unit vectors, higher is nearer."""

    product_id: str
    similarity: float
    labels: Mapping[str, str]
    text: str


@dataclass(frozen=True, slots=True)
class _Labelled:
    product_id: str
    version: int
    labels: Mapping[str, str]
    text: str


@dataclass(frozen=True, slots=True)
class _State:
    """What readers see: the first `rows` rows of `vectors`, less the dead ones. Replaced as one reference."""

    vectors: NDArray[np.float32]
    items: list[_Labelled]
    rows: int
    alive: NDArray[np.bool_]


class LabelledBank:
    """Upserts and removals from one writer at a time; `neighbours` from any thread, without a lock.

    At most `capacity` products: past it, the product that was written longest ago gives way.
    """

    def __init__(self, dimension: int, capacity: int = 50_000) -> None:
        self._dimension = dimension
        self._capacity = capacity
        self._writing = threading.Lock()
        self._rows: OrderedDict[str, int] = OrderedDict()  # live product -> row, oldest write first
        self._removed: OrderedDict[str, int] = OrderedDict()  # product -> version of its removal, bounded too
        # Small at first: there may be a bank for each shop and kind.
        self._state = self._fresh(min(64, capacity))

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, product_id: str) -> bool:
        return product_id in self._rows

    def add(self, product_id: str, version: int, vector: Vector, labels: Mapping[str, str], text: str = "") -> bool:
        """Add or replace a product; the later version (source offset) wins. Returns whether it was news.

        Args:
            product_id: key; one entry a product.
            version: offset of its record.
            vector: float32 of shape (dimension,), L2 norm 1.
            labels: facet → value ("fabric": "linen").
            text: a snippet of what the shop wrote.

        Raises:
            Poison: the vector has the wrong shape or is not finite.
        """
        if vector.shape != (self._dimension,) or not bool(np.isfinite(vector).all()):
            raise Poison(f"a finite vector of shape ({self._dimension},) is needed, got {vector.shape}", field="vector")
        with self._writing:
            if version <= self._version(product_id):
                return False
            gone = [self._rows.pop(product_id, None)]
            self._removed.pop(product_id, None)
            if len(self._rows) >= self._capacity:
                gone.append(self._rows.popitem(last=False)[1])
            self._append(_Labelled(product_id, version, dict(labels), text), vector, gone)
            return True

    def remove(self, product_id: str, version: int) -> bool:
        """Remove a product; an older `add` that comes after it is ignored. Returns whether it was news."""
        with self._writing:
            if version <= self._version(product_id):
                return False
            state = self._state
            alive = _without(state.alive, [self._rows.pop(product_id, None)])
            self._state = _State(state.vectors, state.items, state.rows, alive)
            self._removed[product_id] = version
            self._removed.move_to_end(product_id)
            if len(self._removed) > self._capacity:
                self._removed.popitem(last=False)
            return True

    def forget(self, product_id: str) -> None:
        """Let a product go to make room: one of any version may come again."""
        with self._writing:
            row = self._rows.pop(product_id, None)
            state = self._state
            self._state = _State(state.vectors, state.items, state.rows, _without(state.alive, [row]))

    def entries(self) -> list[tuple[str, int, Mapping[str, str], str, Vector]]:
        """Product, version, labels, text and vector of each live product, the one that was written longest ago first."""
        with self._writing:
            state = self._state
            found = [(state.items[row], state.vectors[row]) for row in self._rows.values()]
        return [(item.product_id, item.version, item.labels, item.text, vector) for item, vector in found]

    def one(self, product_id: str) -> tuple[Vector, Mapping[str, str], str] | None:
        """Vector, labels and text of one live product; None where there is none of this id."""
        with self._writing:
            row = self._rows.get(product_id)
            if row is None:
                return None
            state = self._state
            return state.vectors[row], state.items[row].labels, state.items[row].text

    def neighbours(self, vector: Vector, k: int, exclude: str = "") -> list[Neighbour]:
        """The `k` most similar live products, exactly, by similarity descending, then product id.

        Args:
            vector: float32 of shape (dimension,).
            k: how many at most.
            exclude: a product that must not be among them (the one that asks).
        """
        one_thread()
        state = self._state
        query = np.ascontiguousarray(vector, dtype=np.float32)[None]
        fetch = k + 16 if k > 0 else 0
        while True:
            fetch = min(fetch, state.rows)
            found = self._nearest(state, query, fetch, exclude)
            # Dead rows took places: what is alive among the first `fetch` is right as far as it goes.
            if len(found) >= k or fetch == state.rows:
                return found[: max(k, 0)]
            fetch *= 4

    @staticmethod
    def _nearest(state: _State, query: NDArray[np.float32], fetch: int, exclude: str) -> list[Neighbour]:
        if fetch == 0:
            return []
        scores, rows = faiss.knn(query, state.vectors[: state.rows], fetch, metric=faiss.METRIC_INNER_PRODUCT)
        found = [
            Neighbour(item.product_id, float(score), item.labels, item.text)
            for score, row in zip(scores[0], rows[0].tolist(), strict=True)
            if state.alive[row] and (item := state.items[row]).product_id != exclude
        ]
        found.sort(key=lambda neighbour: (-neighbour.similarity, neighbour.product_id))
        return found

    # ------------------------------------------------------------------ the writer's side

    def _version(self, product_id: str) -> int:
        row = self._rows.get(product_id)
        return self._state.items[row].version if row is not None else self._removed.get(product_id, -1)

    def _append(self, item: _Labelled, vector: Vector, gone: Sequence[int | None]) -> None:
        """Publish the new row and what it takes the place of (`gone`) as one state: a reader sees either, never neither."""
        state = self._state
        if state.rows == len(state.vectors):
            state = self._compacted()
        else:
            state = _State(state.vectors, state.items, state.rows, _without(state.alive, gone))
        state.vectors[state.rows] = vector
        state.items.append(item)
        self._rows[item.product_id] = state.rows
        self._state = _State(state.vectors, state.items, state.rows + 1, state.alive)

    def _compacted(self) -> _State:
        """The rows of `_rows` in a buffer with room for as many again; readers keep the old one."""
        old = self._state
        # A quarter over the capacity, so that a full bank under churn does not compact at every write.
        fresh = self._fresh(min(max(64, 2 * len(self._rows)), self._capacity + self._capacity // 4 + 1))
        for row, (product_id, source) in enumerate(self._rows.items()):
            fresh.vectors[row] = old.vectors[source]
            fresh.items.append(old.items[source])
            self._rows[product_id] = row
        return _State(fresh.vectors, fresh.items, len(self._rows), fresh.alive)

    def _fresh(self, rows: int) -> _State:
        return _State(np.zeros((rows, self._dimension), dtype=np.float32), [], 0, np.ones(rows, dtype=np.bool_))


def _without(alive: NDArray[np.bool_], rows: Sequence[int | None]) -> NDArray[np.bool_]:
    """`alive` with these rows dead: a copy, as a reader may hold the old one."""
    dead = [row for row in rows if row is not None]
    if not dead:
        return alive
    alive = alive.copy()
    alive[dead] = False
    return alive
