"""Filters, order, groups, pages and counts of the index against dicts: the same products, none twice, none lost."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from index_sync.entry import Entry, Payload, ViewInfo
from index_sync.shard import Shard
from index_sync.state import Wish, count_states, search_states
from processors.conditions import Condition, meets, number_of, parted, within, words_of
from processors.errors import Poison
from processors.offers import COLUMNS, NUMBERS, Offer, size_key
from processors.ordering import SORTS, Order, best
from tests.fakes.index_items import DIMENSION, ENCODER, unit

SIZES = ("S", "M", "L", "38", "One Size")
COLOURS = ("red", "navy", "green")
DAYS = ("2026-01-01", "2026-02-01", "2026-03-01")
prices = st.none() | st.sampled_from([0.0, 9.99, 19.5, 50.0, 50.01, 120.0])
offers = st.builds(
    Offer,
    price=prices,
    sale_price=prices,
    currency=st.sampled_from(["", "EUR", "USD"]),
    in_stock=st.none() | st.booleans(),
    sizes=st.lists(st.sampled_from(SIZES), unique=True, max_size=3).map(tuple),
    launched=st.sampled_from(["", *DAYS]),
)
bounds = st.dictionaries(
    st.sampled_from(["lt", "lte", "gt", "gte"]), st.sampled_from([0.0, 9.99, 20.0, 50.0, 100.0]), min_size=1
)
conditions = st.one_of(
    st.builds(within, st.sampled_from(["price", "sale_price"]), bounds, lenient=st.booleans()),
    st.builds(lambda b: within("launched", {k: 20454.0 + v for k, v in b.items()}), bounds),
    st.builds(
        lambda words, lenient: Condition("size", words=tuple(map(size_key, words)), lenient=lenient),
        st.lists(st.sampled_from(SIZES), min_size=1, max_size=2),
        st.booleans(),
    ),
    st.builds(lambda lenient: Condition("in_stock", words=("true",), lenient=lenient), st.booleans()),
    st.just(Condition("currency", words=("EUR",))),
    st.just(Condition("price", numbers=(50.0, 9.99))),
)
products = st.lists(
    st.tuples(
        st.integers(0, 40),  # of the vector: some are alike
        st.sampled_from(COLOURS),
        offers,
        st.sampled_from(["", "", "style-1", "style-2", "style-3"]),
    ),
    min_size=1,
    max_size=40,
)
QUERY = unit(1_000)


def made(seed: int, colour: str, offer: Offer, group: str, partition: int = 0) -> Entry:
    facets = {"category": ("dress",), "colour": (colour,)}
    payload = Payload(f"{seed}.jpg", "dress", {"colour": colour}, (), (ViewInfo("whole", "dress", (facets,)),), group)
    return Entry(payload, unit(seed)[None], ENCODER, offer)


def shards_of(listed, count=3, segment_rows=8):
    """Products dealt to shards in turn, written in two goes, the second of which changes columns only."""
    shards = [Shard(number, ENCODER, DIMENSION, segment_rows=segment_rows) for number in range(count)]
    for number, (seed, colour, offer, group) in enumerate(listed):
        shards[number % count].apply(2 * number, f"p{number:02}", made(seed, colour, Offer(price=1.0), group))
        shards[number % count].apply(2 * number + 1, f"p{number:02}", made(seed, colour, offer, group))
    return shards


def score(seed: int) -> float:
    exact = unit(seed).astype(np.float16).astype(np.float64) @ QUERY.astype(np.float64)
    return round(float(np.float32(exact)), 6)


@given(offers, conditions)
def test_a_condition_means_the_same_for_one_product_and_for_a_segment(offer, condition):
    """The arrays answer as the dict does."""
    shard = shards_of([(1, "red", offer, "")], 1)[0]
    found = search_states([shard.state], QUERY, 10, wish=Wish((condition,)))
    assert bool(found) == meets(offer, condition)
    assert shard.lookup("p00").offer == offer


@given(products, st.lists(conditions, max_size=3), st.sampled_from([None, ("red",), ("red", "green")]))
def test_filters_find_what_a_dict_finds(listed, wanted, colours):
    """Columns and facets together, in every shard: all that meets them, and nothing else; and as many as are counted."""
    shards = shards_of(listed)
    filters = {"colour": colours} if colours else {}
    states = [shard.state for shard in shards]
    found = {hit.product_id for _, hit in search_states(states, QUERY, 100, filters, wish=Wish(tuple(wanted)))}
    right = {
        number: row
        for number, row in enumerate(listed)
        if all(meets(row[2], one) for one in wanted) and (not colours or row[1] in colours)
    }
    assert found == {f"p{number:02}" for number in right}
    names = ("colour", "size", "in_stock", "price")
    counts = count_states(states, names, filters, wish=Wish(tuple(wanted)))
    assert counts.total == len(right)
    for name in ("colour", "size", "in_stock"):
        told = {value.casefold(): number for value, number in counts.facets[name].items()}
        values = [{colour} if name == "colour" else words_of(offer, name) for _, colour, offer, _ in right.values()]
        assert told == {value: sum(value in one for one in values) for value in set().union(*values)}
    known = [paid for _, _, offer, _ in right.values() if (paid := number_of(offer, "price")) is not None]
    assert counts.ranges.get("price") == ((min(known), max(known)) if known else None)


@given(
    products,
    st.sampled_from(["", *SORTS]),
    st.sampled_from([0.05, 0.5, 4.0]),
    st.booleans(),
    st.integers(1, 7),
)
def test_pages_hold_every_hit_once_in_the_order_of_a_dict(listed, sort, band, collapse, size):
    """Page by page of any size: no product and no group twice, none lost, in the order of a sorted list."""
    shards = shards_of(listed)
    order = Order(sort, band)
    states = [shard.state for shard in shards]
    pages: list[str] = []
    for offset in range(0, len(listed) + size, size):
        depth = offset + size
        wish = Wish(order=order, collapse=collapse)
        each = [hit for state in states for _, hit in search_states([state], QUERY, depth, wish=wish)]
        pages += _merged(each, order, depth, collapse=collapse)[offset:depth]
        together = [hit.product_id for _, hit in search_states(states, QUERY, depth, wish=wish)]
        assert together == pages[:depth]
    keyed = sorted(
        (order.key(score(seed), f"p{number:02}", number_of(offer, order.column) if sort else None), group)
        for number, (seed, _, offer, group) in enumerate(listed)
    )
    right, seen = [], set()
    for key, group in keyed:
        if not (collapse and group and group in seen):
            right.append(key[-1])
        seen.add(group)
    assert pages == right


def _merged(hits, order, k, *, collapse):
    chosen = best(
        hits,
        lambda hit: order.key(hit.score, hit.product_id, hit.value),
        (lambda hit: hit.group) if collapse else (lambda _: ""),
        k,
    )
    return [hit.product_id for hit in chosen]


@given(products, st.integers(0, 39), offers)
def test_a_column_update_writes_no_row_and_leaves_the_digest_of_its_records(listed, which, offer):
    """Rows and payloads stay where they are; version, digest and answers are those of a shard that was written anew."""
    (shard,) = shards_of(listed, 1, segment_rows=64)
    rows = [window.rows for window in shard.state.windows]
    before = shard.state
    number = which % len(listed)
    seed, colour, old, group = listed[number]
    offset = 2 * len(listed)
    assert shard.apply(offset, f"p{number:02}", made(seed, colour, offer, group))
    assert [window.rows for window in shard.state.windows] == rows
    assert shard.lookup(f"p{number:02}").offer == offer
    assert before.lookup(f"p{number:02}").offer == old  # whoever reads what was published sees it whole
    anew = Shard(0, ENCODER, DIMENSION)
    for other, row in enumerate(listed):
        anew.apply(2 * other + 1, f"p{other:02}", made(*row))
    anew.apply(offset, f"p{number:02}", made(seed, colour, offer, group))
    assert (shard.digest, shard.versions()) == (anew.digest, anew.versions())


@given(st.dictionaries(st.sampled_from([*COLUMNS, "colour", "sizes"]), st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.sampled_from(["2026-01-01", "EUR"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["lt", "lte", "x"]), inner, max_size=2),
    max_leaves=4,
)))  # fmt: skip
def test_any_filter_is_read_or_refused_by_its_name(filters):
    """Whatever JSON stands there: conditions with finite numbers, or a refusal that names the filter."""
    try:
        _, found = parted(filters)
    except Poison as error:
        refused = error
    else:
        _check(found)
        return
    assert refused.field.removeprefix("filters.") in filters


def _check(found):
    for condition in found:
        numbers = [*condition.numbers, *(b for b in (condition.lt, condition.lte) if b is not None)]
        assert all(math.isfinite(number) for number in numbers)
        assert condition.words or condition.column in NUMBERS
