"""What the readers of a shard see: one immutable state, and the answers that it gives.

Nothing here looks at the writer's own tables: a product is absent from those between its old and its new version.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from index_sync.asking import Ask, Candidate
from index_sync.columns import ShownWhole
from index_sync.counting import Counts, count
from index_sync.entry import Product, ShardHit, Views, Wanted, chances_of, facet_key, fold_wanted
from index_sync.fused_search import Fused
from index_sync.lexical_search import Weights
from index_sync.search import search
from index_sync.segment import Window
from processors.composing import Blocks
from processors.conditions import Condition
from processors.errors import Poison
from processors.offers import column_named
from processors.ordering import BY_SCORE, Order
from processors.query_terms import AskedWords
from processors.values import Vector
from processors.vocabulary import FACET_NAMES

COLOUR = "colour"


@dataclass(frozen=True, slots=True)
class State:
    """What readers see; safe to ask from any thread, and true of itself for as long as it is kept.

    `next_offset`: every record below it is in `windows`. `digest` as in `Shard.digest`. `newest_ms`: the largest
    timestamp (ms since the epoch) of all records below `next_offset`, -1 if unknown; a log in which such a record is
    newer is another log. `encoder` and `dimension`: of all vectors in `windows`; "" and 0 before the first.
    """

    windows: tuple[Window, ...]
    next_offset: int
    live: int
    digest: int
    newest_ms: int = -1
    encoder: str = ""
    dimension: int = 0

    def search(
        self,
        vector: Vector,
        k: int,
        filters: Wanted | None = None,
        exclude: Wanted | None = None,
        exclude_products: Collection[str] = (),
    ) -> list[ShardHit]:
        """The `k` nearest live products, exactly; one hit a product, by its best view.

        Args:
            vector: float32 of shape (dimension,).
            k: how many products at most.
            filters: facet → allowed values. A view counts if one of its garments has an allowed value in every facet.
            exclude: facet → refused values. A view that shows any of them does not count.
            exclude_products: products not to be returned.

        Raises:
            Poison: the vector has the wrong shape or is not finite.
        """
        return [hit for _, hit in search_states([self], vector, k, filters, exclude, exclude_products)]

    def unknown_facets(self, filters: Wanted, columns: Collection[str] = ()) -> tuple[str, ...]:
        """The names in `filters` that no product has as a facet, and those of `columns` that no product has."""
        without = tuple(column for column in columns if not any(_knows(window, column) for window in self.windows))
        if not filters:
            return without
        # The writer adds to these sets meanwhile: a union of sets is one step under the interpreter's lock.
        known = set(FACET_NAMES).union(*(window.segment.columns.facets for window in self.windows))
        return (*(name for name in filters if facet_key(name) not in known), *without)

    def lookup(self, product_id: str) -> Product | None:
        """The live product of this id, or None. One that is being replaced is there, as it was."""
        place = self._place(product_id)
        return None if place is None else _product(product_id, *place)

    def views(self, product_id: str, most: int) -> Views | None:
        """The vectors of a live product, `most` of them at most, the first first; None: there is no such product."""
        place = self._place(product_id)
        if place is None:
            return None
        window, ordinal = place
        columns = window.segment.columns
        start, stop = int(columns.first[ordinal]), int(columns.first[ordinal + 1])
        payload = columns.payload(ordinal)
        rows = np.array(window.segment.vectors(start, min(stop, start + most)))
        shown = payload.views[: len(rows)]
        names, categories = tuple(view.id for view in shown), tuple(view.category for view in shown)
        return Views(product_id, names, categories, rows, chances_of(payload))

    def _place(self, product_id: str) -> tuple[Window, int] | None:
        for window in reversed(self.windows):
            ordinal = window.segment.columns.ordinal_of(product_id, window.products)
            if ordinal is not None and window.alive[window.segment.columns.first[ordinal]]:
                return window, ordinal
        return None


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of a search beside its facets.

    Args:
        conditions: on typed columns.
        groups: only products of these styles; None: all.
        order: of the hits.
        collapse: one hit a style.
        said: whether hits have what the shop says of them.
        shop: whose products; "": those of no shop; None: everybody's.
        blocks: of a composed query; see `Ask`.
        wishes: facet → the values that meet what its words set; hits say whether they do.
        inner: whether hits have their inner product with the vector alone.
    """

    conditions: tuple[Condition, ...] = ()
    groups: frozenset[str] | None = None
    order: Order = BY_SCORE
    collapse: bool = False
    said: bool = False
    shop: str | None = None
    blocks: Blocks = field(default_factory=dict)
    wishes: Wanted = field(default_factory=dict)
    inner: bool = False


ANY = Wish()


def search_states(
    states: Sequence[State],
    vector: Vector,
    k: int,
    filters: Wanted | None = None,
    exclude: Wanted | None = None,
    exclude_products: Collection[str] = (),
    wish: Wish = ANY,
    words: Weights | None = None,
) -> list[tuple[int, ShardHit]]:
    """The `k` best products of all `states` together, exactly: each with the number of the state that holds it.

    The answer is that of searching each by itself and merging (`processors.ordering`), in one scan instead of many.

    Args: as `State.search`, and `states`, whose vectors have one maker and dimension; `wish`: what else is asked;
        `words`: `weigh_states` of the same states, where words count.

    Raises:
        Poison: the vector has the wrong shape or is not finite.
    """
    windows: list[Window] = []
    numbers: list[int] = []
    for number, state in enumerate(states):
        if state.windows and vector.shape != (state.dimension,):
            raise _unfit(vector, state.dimension)
        windows += state.windows
        numbers += [number] * len(state.windows)
    if not windows or k <= 0:
        return []
    # A sum of squares may be infinite where no number is.
    if not math.isfinite(vector.dot(vector)) and not np.isfinite(vector).all():
        raise _unfit(vector, len(vector))
    ask = Ask(
        np.ascontiguousarray(vector, dtype=np.float32),
        k,
        fold_wanted(filters) if filters else {},
        fold_wanted(exclude) if exclude else {},
        frozenset(exclude_products),
        wish.conditions,
        wish.groups,
        wish.order,
        wish.collapse,
        shop=wish.shop,
        blocks=wish.blocks,
    )
    nearest = None if words is None or words.idle else Fused(words)
    return [
        (numbers[candidate.number], _hit(candidate, wish, ask.query)) for candidate in search(windows, ask, nearest)
    ]


def _unfit(vector: Vector, dimension: int) -> Poison:
    return Poison(f"a finite vector of shape ({dimension},) is needed, got {vector.shape}", field="vector")


def weigh_states(states: Sequence[State], asked: AskedWords, shop: str | None) -> Weights:
    """The words of a query over states: what `search_states` adds to the scores, and how many products have each word.

    Args: states, as they are then searched; asked; shop, whose products count (None: everybody's).
    """
    return Weights([window for state in states for window in state.windows], asked, shop)


def count_states(
    states: Sequence[State],
    names: Collection[str],
    filters: Wanted | None = None,
    exclude: Wanted | None = None,
    exclude_products: Collection[str] = (),
    wish: Wish = ANY,
) -> Counts:
    """How many products meet a search's filters, and what the named facets and columns are of them.

    Args: as `search_states`; `names`: facets and columns, as they are asked for.
    """
    windows = [window for state in states for window in state.windows]
    ask = Ask(
        np.empty(0, dtype=np.float32),
        0,
        fold_wanted(filters or {}),
        fold_wanted(exclude or {}),
        frozenset(exclude_products),
        wish.conditions,
        wish.groups,
        shop=wish.shop,
    )
    return count(windows, ask, {name: column_named(name) or facet_key(name) for name in names})


def _knows(window: Window, column: str) -> bool:
    return window.typed is not None and window.typed.knows(column, window.products)


def _hit(candidate: Candidate, wish: Wish, query: Vector) -> ShardHit:
    columns, group = candidate.window.segment.columns, candidate.group
    whole = wish.said or bool(group)
    payload = columns.shown_whole(candidate.ordinal) if whole else columns.shown(candidate.ordinal)
    view = payload.views[candidate.row - columns.first[candidate.ordinal]]
    hit = ShardHit(
        candidate.product_id,
        candidate.score,
        candidate.window.version(candidate.ordinal),
        view.id,
        view.category or payload.category,
        payload.image,
        group,
        candidate.value,
        photo=view.photo if isinstance(view.photo, str) else payload.image,
        similarity=candidate.score if candidate.similarity is None else candidate.similarity,
        told=candidate.told,
        meets=columns.blocks.meets(candidate.ordinal, wish.wishes) if wish.wishes else {},
        inner=_inner(candidate, query) if wish.inner else None,
    )
    if not isinstance(payload, ShownWhole):
        return hit
    return msgspec.structs.replace(
        hit,
        colour=_colour(payload),
        offer=candidate.window.offer(candidate.ordinal),
        said=payload.said if wish.said else {},
    )


def _inner(candidate: Candidate, query: Vector) -> float:
    (row,) = candidate.window.segment.vectors(candidate.row, candidate.row + 1)
    return float(np.dot(row.astype(np.float64), query.astype(np.float64)))


def _colour(payload: ShownWhole) -> str:
    """A product's colour in the shop's own word, where it says one."""
    stated = (value for name, value in payload.said.items() if isinstance(value, str) and facet_key(name) == COLOUR)
    return next(stated, payload.facets.get(COLOUR, ""))


def _product(product_id: str, window: Window, ordinal: int) -> Product:
    columns = window.segment.columns
    start, stop = columns.first[ordinal], columns.first[ordinal + 1]
    payload = columns.payload(ordinal)
    whole = next((i for i, view in enumerate(payload.views) if view.id == "whole"), 0)
    vector = window.segment.vectors(start, stop)[whole].astype(np.float32)
    return Product(product_id, window.version(ordinal), payload, vector, window.offer(ordinal))
