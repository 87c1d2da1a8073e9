"""The nearest products of each product, kept true while products come, change and go: exactly, and by work for what changed.

A product is near another by the inner product of its whole view with the other's best view, as a query that starts from it would
find it. Of each product some more than are shown are kept, so that one that goes rarely leaves a gap: `floor` is what every product
that is not kept has at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from processors.identity import shop_of
from processors.ordering import DIGITS

Vectors = NDArray[np.float32]
_BLOCK = 256
"""Products whose scores are computed at once: so many rows of float32 for all products."""
_TOGETHER = 32
_SLACK = 2e-6
"""More than float32 sums of unit vectors differ by the order of the sum, and six decimals hide."""


@dataclass(slots=True)
class _Near:
    """What is kept of one product: (score, product), the nearest first; `floor`: of all that is not kept, the most."""

    kept: list[tuple[float, str]] = field(default_factory=list)
    floor: float = -np.inf


class Similar:
    """Up to `most` products of one encoder.

    Args:
        dimension: of the vectors.
        k: neighbours that are shown of a product.
        most: products; those that come beyond are left out, and counted in `left_out`.
    """

    def __init__(self, dimension: int, k: int, most: int) -> None:
        self._k, self._deep, self._most = k, 2 * k + 4, most
        self._dimension = dimension
        self._rows: Vectors = np.zeros((1024, dimension), dtype=np.float32)
        self._used = 0
        self._starts = np.zeros(257, dtype=np.int64)  # of each slot's rows
        self._whole: Vectors = np.zeros((256, dimension), dtype=np.float32)  # of each slot
        self._floor = np.full(256, np.inf)  # of each slot; inf: it is empty, or its list is being made
        self._shop = np.full(256, -1, dtype=np.int64)  # of each slot; -1: it is empty
        self._shops: dict[str, int] = {}
        self._ids: list[str | None] = []
        self._slots: dict[str, int] = {}
        self._near: dict[str, _Near] = {}
        self._kept_by: dict[str, set[str]] = {}  # product -> those that keep it
        self.left_out: set[str] = set()

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def rows(self) -> int:
        """Rows in memory, those of what is gone among them."""
        return self._used

    def __contains__(self, product: str) -> bool:
        return product in self._slots

    # ------------------------------------------------------------------ what is known

    def shown(self, product: str) -> tuple[tuple[str, float], ...]:
        """The nearest products, and their scores with six decimals."""
        near = self._near.get(product)
        return () if near is None else tuple((other, round(score, DIGITS)) for score, other in near.kept[: self._k])

    def learn(self, lists: Mapping[str, Sequence[tuple[str, float]]]) -> list[str]:
        """Take over lists that were true of the products of now, but for those that are put afterwards.

        Returns:
            Products without a list, or with one that names what is not there: `renew` them.
        """
        unknown = []
        for product in self._slots:
            given = lists.get(product)
            if given is None or any(other not in self._slots for other, _ in given):
                unknown.append(product)
                continue
            full = len(given) >= self._k
            self._set(product, [(score, other) for other, score in given], given[-1][1] + _SLACK if full else -np.inf)
        return unknown

    # ------------------------------------------------------------------ what changes

    def load(self, products: Mapping[str, Vectors]) -> None:
        """Put products without looking for anybody's neighbours: at a start. See `put` for the shapes."""
        for product, views in products.items():
            self._place(product, views)

    def remove(self, product: str) -> None:
        """Take out a product without looking at anybody's list: at a start."""
        if product in self._slots:
            self._remove(product)

    def put(self, products: Mapping[str, Vectors | None]) -> set[str]:
        """Products that came or changed, and (None) those that went.

        Args:
            products: key → its views, float32 of shape (views, dimension), L2 norm 1, the whole view first.

        Returns:
            Whose lists may have changed, theirs among them.
        """
        gone = {product for product in products if product in self._slots}
        touched = set().union(*(self._kept_by.get(product, set()) for product in gone)) - gone if gone else set()
        for product in touched:
            near = self._near[product]
            near.kept = [one for one in near.kept if one[1] not in gone]
        for product in gone:
            self._remove(product)
        came = []
        for product, views in products.items():
            self.left_out.discard(product)
            if views is not None and self._place(product, views):
                came.append(product)
        touched |= self._insert(came)
        short = [
            p
            for p in touched
            if p in self._near and len(self._near[p].kept) < self._k and self._near[p].floor > -np.inf
        ]
        self.renew([*came, *short])
        if self._used > 2048 and len(self._slots) < 0.6 * len(self._ids):
            self._compact()
        return touched | set(came)

    def renew(self, products: Iterable[str]) -> None:
        """Find the neighbours of products anew."""
        wanted = [product for product in dict.fromkeys(products) if product in self._slots]
        for start in range(0, len(wanted), _BLOCK):
            block = wanted[start : start + _BLOCK]
            whole = self._whole[[self._slots[product] for product in block]]
            scores = self._best(whole @ self._rows[: self._used].T)
            for number, product in enumerate(block):
                self._renewed(product, scores[number])

    def _renewed(self, product: str, scores: Vectors) -> None:
        slot = self._slots[product]
        allowed = self._allowed(slot)
        allowed[slot] = False
        places = np.flatnonzero(allowed)
        several = min(len(places), self._deep + 1)
        best = places[np.argpartition(-scores[places], several - 1)[:several]] if several else places
        ranked = sorted(((float(scores[slot]), str(self._ids[slot])) for slot in best.tolist()), key=_order)
        floor = ranked[-1][0] if len(ranked) > self._deep else -np.inf
        self._set(product, ranked[: self._deep], floor)

    def _insert(self, came: Sequence[str]) -> set[str]:
        """Put products into the lists of those that they are near to."""
        touched: set[str] = set()
        slots = np.array([self._slots[product] for product in came], dtype=np.int64)
        floors = self._floor[: len(self._ids)].copy()
        floors[slots] = np.inf
        for start in range(0, len(came), _TOGETHER):
            block = slots[start : start + _TOGETHER]
            rows = [np.arange(self._starts[slot], self._starts[slot + 1]) for slot in block.tolist()]
            scores = self._whole[: len(self._ids)] @ self._rows[np.concatenate(rows)].T
            firsts = np.concatenate(([0], np.cumsum([len(own) for own in rows])[:-1]))
            best = np.maximum.reduceat(scores, firsts, axis=1)
            for number, slot in enumerate(block.tolist()):
                product = came[start + number]
                near = np.flatnonzero((best[:, number] > floors - _SLACK) & self._allowed(slot))
                for other in near.tolist():
                    name = str(self._ids[other])
                    self._offer(name, float(best[other, number]), product)
                    floors[other] = self._floor[other]
                    touched.add(name)
        return touched

    def _offer(self, product: str, score: float, other: str) -> None:
        near = self._near[product]
        if score <= near.floor:
            return
        kept = sorted([*near.kept, (score, other)], key=_order)
        floor = near.floor
        if len(kept) > self._deep:
            floor = max(floor, kept[self._deep][0])
        self._set(product, kept[: self._deep], floor)

    # ------------------------------------------------------------------ inside

    def _set(self, product: str, kept: list[tuple[float, str]], floor: float) -> None:
        before = self._near.get(product)
        for _, other in () if before is None else before.kept:
            self._kept_by.get(other, set()).discard(product)
        self._near[product] = _Near(kept, floor)
        self._floor[self._slots[product]] = floor
        for _, other in kept:
            self._kept_by.setdefault(other, set()).add(product)

    def _remove(self, product: str) -> None:
        slot = self._slots.pop(product)
        self._ids[slot], self._floor[slot], self._shop[slot] = None, np.inf, -1
        near = self._near.pop(product, None)
        for _, other in () if near is None else near.kept:
            self._kept_by.get(other, set()).discard(product)
        self._kept_by.pop(product, None)

    def _place(self, product: str, views: Vectors) -> bool:
        if product not in self._slots and len(self._slots) >= self._most:
            self.left_out.add(product)
            return False
        stop = self._used + len(views)
        while stop > len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
        slot = len(self._ids)
        if slot >= len(self._floor):
            self._starts = np.concatenate([self._starts, np.zeros_like(self._starts)])
            self._whole = np.concatenate([self._whole, np.zeros_like(self._whole)])
            self._floor = np.concatenate([self._floor, np.full_like(self._floor, np.inf)])
            self._shop = np.concatenate([self._shop, np.full_like(self._shop, -1)])
        # In half precision, as the index scores them.
        self._rows[self._used : stop] = views.astype(np.float16)
        self._whole[slot] = self._rows[self._used]
        self._shop[slot] = self._shops.setdefault(shop_of(product), len(self._shops))
        self._starts[slot], self._starts[slot + 1] = self._used, stop
        self._used = stop
        self._ids.append(product)
        self._slots[product] = slot
        self._near[product] = _Near()
        return True

    def _best(self, scores: Vectors) -> Vectors:
        """(n, rows) → (n, slots): of each product its best view."""
        if not self._ids:
            return scores[:, :0]
        return np.maximum.reduceat(scores, self._starts[: len(self._ids)], axis=1)

    def _allowed(self, slot: int) -> NDArray[np.bool_]:
        """The slots of the same shop."""
        return np.asarray(self._shop[: len(self._ids)] == self._shop[slot])

    def _compact(self) -> None:
        """Without the rows of what is gone."""
        alive = [slot for slot, name in enumerate(self._ids) if name is not None]
        views = {str(self._ids[s]): self._rows[self._starts[s] : self._starts[s + 1]].copy() for s in alive}
        near, kept_by = self._near, self._kept_by
        other = Similar(self._dimension, self._k, self._most)
        other.load(views)
        self._rows, self._used, self._starts, self._whole = other._rows, other._used, other._starts, other._whole
        self._floor, self._shop, self._shops = other._floor, other._shop, other._shops
        self._ids, self._slots, self._near, self._kept_by = other._ids, other._slots, near, kept_by
        for product, slot in self._slots.items():
            self._floor[slot] = near[product].floor


def _order(one: tuple[float, str]) -> tuple[float, str]:
    return (-round(one[0], DIGITS), one[1])
