"""What a search asks for, and which rows of a window meet it."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

import msgspec
import numpy as np
from numpy.typing import NDArray

from index_sync.entry import Facets, Told
from index_sync.segment import Window
from processors.composing import Blocks
from processors.conditions import Condition
from processors.ordering import BY_SCORE, Order
from processors.values import Vector


class Ask(msgspec.Struct, frozen=True):
    """One search. `wanted` and `refused` are folded (`index_sync.entry.fold_wanted`).

    `conditions`: on typed columns. `groups`: only products of these; None: all. `order` of the hits; `collapse`: one a group.
    `shop`: whose products; None: everybody's. `blocks`: of a composed query (`processors.composing`), added to the inner product.
    """

    query: Vector
    k: int
    wanted: Facets
    refused: Facets
    exclude_products: AbstractSet[str]
    conditions: tuple[Condition, ...] = ()
    groups: AbstractSet[str] | None = None
    order: Order = BY_SCORE
    collapse: bool = False
    shop: str | None = None
    blocks: Blocks = {}

    @property
    def need(self) -> int:
        """Products that must be found for `k` to be left."""
        return self.k + len(self.exclude_products)


class Candidate(msgspec.Struct, frozen=True):
    """The best row of a product in one window. `number`: of the window, as it was given; `value`: what it is sorted by."""

    score: float
    product_id: str
    number: int
    window: Window
    ordinal: int
    row: int
    value: float | None = None
    similarity: float | None = None
    """The score without words, where `score` has words in it; `told`: what they are to the product."""
    told: Told | None = None

    @property
    def group(self) -> str:
        """The style that the product is of, or ""."""
        return self.window.segment.columns.groups[self.ordinal]


class Part(msgspec.Struct, frozen=True):
    """A window of which rows are kept: all of them where `mask` is None."""

    number: int
    window: Window
    mask: NDArray[np.bool_] | None
    kept: int


def part_of(number: int, window: Window, ask: Ask) -> Part | None:
    """The rows of a window that count; None where there are none."""
    chosen = _chosen(window, ask)
    if chosen is None and window.live is not None:
        kept, mask = window.live, window.alive[: window.rows]
    else:
        mask = window.alive[: window.rows] if chosen is None else window.alive[: window.rows] & chosen
        kept = int(np.count_nonzero(mask))
    if kept == 0:
        return None
    return Part(number, window, None if kept == window.rows else mask, kept)


def _chosen(window: Window, ask: Ask) -> NDArray[np.bool_] | None:
    """Which rows of a window, live or not, meet what is asked; None where all of them do."""
    columns, masks = window.segment.columns, []
    if ask.shop is not None and (own := columns.of_shop(window.rows, ask.shop)) is not None:
        masks.append(own)
    if ask.wanted:
        masks.append(columns.matching(window.rows, ask.wanted))
    if ask.refused:
        masks.append(~columns.showing(window.rows, ask.refused))
    if ask.conditions:
        masks.append(_meeting(window, ask.conditions)[columns.owner[: window.rows]])
    if ask.groups is not None:
        masks.append(_of_groups(window, ask.groups))
    if not masks:
        return None
    chosen = masks[0]
    for mask in masks[1:]:
        chosen = chosen & mask
    return chosen


def _meeting(window: Window, conditions: tuple[Condition, ...]) -> NDArray[np.bool_]:
    """Which products of a window meet the conditions."""
    if window.typed is None:
        return np.full(window.products, all(condition.lenient for condition in conditions))
    return window.typed.meeting(window.products, conditions)


def _of_groups(window: Window, groups: AbstractSet[str]) -> NDArray[np.bool_]:
    """The rows of the products of some groups."""
    columns = window.segment.columns
    mask = np.zeros(window.rows, dtype=np.bool_)
    for ordinal in [ordinal for group in groups for ordinal in list(columns.members.get(group, ()))]:
        if ordinal < window.products:
            mask[columns.first[ordinal] : columns.first[ordinal + 1]] = True
    return mask
