"""Neighbours that are kept true are those that a search over everything would find."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from index_sync.similar import Similar
from tests.fakes.index_items import DIMENSION, unit

K = 3
_CHANGE = st.tuples(st.integers(0, 14), st.lists(st.integers(0, 40), max_size=3), st.booleans())


def _searched(catalogue: dict[str, np.ndarray], product: str) -> list[str]:
    half = {name: views.astype(np.float16).astype(np.float32) for name, views in catalogue.items()}
    shop = product.rpartition("/")[0]
    ranked = sorted(
        (-round(float((views @ half[product][0]).max()), 6), name)
        for name, views in half.items()
        if name != product and name.rpartition("/")[0] == shop
    )
    return [name for _, name in ranked[:K]]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(_CHANGE, min_size=1, max_size=6), min_size=1, max_size=12))
def test_whatever_comes_changes_and_goes_every_list_is_that_of_a_search(
    batches: list[list[tuple[int, list[int], bool]]],
) -> None:
    """Two shops, several views, deletions; and whose list changed is told."""
    similar, catalogue = Similar(DIMENSION, K, 100), {}
    for batch in batches:
        changes = {}
        for number, seeds, second in batch:
            name = f"//b/p{number}" if second else f"p{number}"
            changes[name] = np.stack([unit(seed) for seed in dict.fromkeys(seeds)]) if seeds else None
        before = {name: similar.shown(name) for name in catalogue}
        touched = similar.put(changes)
        for name, views in changes.items():
            catalogue.pop(name, None)
            if views is not None:
                catalogue[name] = views
        for name in catalogue:
            found = [score for _, score in similar.shown(name)]
            wanted = _searched(catalogue, name)
            half = catalogue[name][0].astype(np.float16).astype(np.float32)
            scores = [float((catalogue[o].astype(np.float16).astype(np.float32) @ half).max()) for o in wanted]
            # By scores: of two that are equal to six decimals either is right.
            np.testing.assert_allclose(found, scores, atol=3e-6)
            assert name in touched or before.get(name) == similar.shown(name)


def test_lists_that_stood_before_a_restart_are_taken_over() -> None:
    """And those that name what is not there any more are found anew."""
    views = {f"p{n}": unit(n)[None] for n in range(30)}
    first = Similar(DIMENSION, K, 100)
    first.put(views)
    second = Similar(DIMENSION, K, 100)
    second.load({name: views[name] for name in views if name != "p3"})
    unknown = second.learn({name: first.shown(name) for name in views})
    assert set(unknown) == {n for n in views if n != "p3" and "p3" in dict(first.shown(n))}
    second.renew(unknown)
    second.put({"p3": views["p3"]})
    assert {n: second.shown(n) for n in views} == {n: first.shown(n) for n in views}


def test_beyond_the_bound_a_product_has_no_list_and_no_place_in_one() -> None:
    """Memory is bounded; a place that becomes free is taken by who comes next."""
    similar = Similar(DIMENSION, K, 2)
    similar.put({name: unit(n)[None] for n, name in enumerate("abc")})
    assert similar.left_out == {"c"}
    assert [name for name, _ in similar.shown("a")] == ["b"]
    similar.put({"b": None, "c": unit(2)[None]})
    assert similar.left_out == set()
    assert [name for name, _ in similar.shown("a")] == ["c"]


def test_after_many_changes_memory_is_that_of_what_is_there() -> None:
    """A catalogue that is written anew every night must not grow."""
    similar = Similar(DIMENSION, K, 5000)
    for round_ in range(6):
        similar.put({f"p{n}": unit(1000 * round_ + n)[None] for n in range(900)})
    assert similar.rows <= 2 * 2048
    assert len(similar) == 900
    catalogue = {f"p{n}": unit(5000 + n)[None] for n in range(900)}
    for name in ("p0", "p450", "p899"):
        assert [other for other, _ in similar.shown(name)] == _searched(catalogue, name)
