"""Composed search in a shard: the exact answer of one inner product over embedding and facets, whatever holds the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index_sync import composed
from index_sync.columns import encode_payload
from index_sync.entry import Entry, Payload, ViewInfo, chances_of
from index_sync.segment import Window
from index_sync.shard import Shard
from index_sync.state import Wish, search_states
from processors.composing import UNKNOWN, Blocks
from processors.values import Colour

DIMENSION = 8
VALUES = {"colour": ("red", "navy", "green"), "sleeve": ("long", "short")}


def entry(seed: int, chances: dict[str, dict[str, int]] | None, views: int = 1, **payload: Any) -> Entry:
    """A product with random vectors."""
    vectors = np.random.default_rng(seed).normal(size=(views, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    infos = tuple(ViewInfo(f"g{n}", "shirt", ({"category": ("shirt",)},)) for n in range(views))
    known = {"chances": msgspec.UNSET if chances is None else chances}
    return Entry(
        Payload("a.jpg", "shirt", payload.pop("facets", {}), payload.pop("colours", ()), infos, **known), vectors, "e"
    )


def expected(entries: dict[str, Entry], query: np.ndarray, blocks: Blocks) -> list[str]:
    """By the definition."""
    scores = {}
    for name, one in entries.items():
        total = float((one.vectors.astype(np.float16).astype(np.float64) @ query).max())
        chances = chances_of(one.payload)
        for facet, weights in blocks.items():
            known = chances.get(facet)
            if known is None:
                total += weights.get(UNKNOWN, 0.0)
            else:
                total += sum(w * round(255 * (known.get(v, 0) / 1000) ** 0.5) / 255 for v, w in weights.items() if v)
        scores[name] = total
    return sorted(scores, key=lambda name: (-round(scores[name], 6), name))


chances = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {},
        optional={
            facet: st.dictionaries(st.sampled_from(values), st.integers(15, 1000), min_size=1)
            for facet, values in VALUES.items()
        },
    ),
)
blocks = st.fixed_dictionaries(
    {},
    optional={
        facet: st.dictionaries(st.sampled_from((*values, UNKNOWN)), st.floats(-1, 1, width=32), min_size=1)
        for facet, values in VALUES.items()
    },
).filter(bool)


@settings(max_examples=60, deadline=None)
@given(st.lists(chances, min_size=1, max_size=40), blocks, st.floats(0.0, 1.0), st.integers(1, 6), st.integers(2, 9))
def test_the_answer_is_that_of_the_definition(
    given_chances: list[dict[str, dict[str, int]] | None], asked: Blocks, weight: float, k: int, rows: int
) -> None:
    """In growing and sealed segments, after replacements and deletes, with products of before that have no chances."""
    shard = Shard(0, "", 0, segment_rows=2 * rows)
    entries: dict[str, Entry] = {}
    for number, known in enumerate(given_chances):
        name = f"p{number % 25}"
        entries[name] = entry(number, known, 1 + number % 2)
        shard.apply(number, name, entries[name])
    gone = f"p{len(entries) // 2}"
    shard.apply(len(given_chances), gone, None)
    entries.pop(gone, None)
    query = np.random.default_rng(1).normal(size=DIMENSION).astype(np.float32)
    query *= np.float32(weight) / np.linalg.norm(query)
    found = [hit.product_id for _, hit in search_states([shard.state], query, k, wish=Wish(blocks=asked))]
    assert found == expected(entries, query.astype(np.float64), asked)[:k]


def test_a_payload_of_before_says_what_its_facets_say() -> None:
    """No product needs to be thought again: its facets and colours stand for what it probably is."""
    old = entry(1, None, facets={"sleeve": "long", "colour": "navy"}, colours=(Colour("navy", "#1f2a44", 0.9),))
    assert b"chances" not in encode_payload(old.payload), "as an earlier version wrote it"
    assert chances_of(old.payload) == {
        "category": {"shirt": 940}, "colour": {"navy": 800}, "sleeve": {"long": 800},
    }  # fmt: skip


def test_a_hit_says_which_wishes_it_meets() -> None:
    """And nothing of a facet that its product does not know."""
    shard = Shard(0, "", 0)
    shard.apply(0, "a", entry(1, {"colour": {"navy": 900}, "sleeve": {"long": 300, "short": 700}}))
    shard.apply(1, "b", entry(2, {"colour": {"red": 1000}}))
    wish = Wish(blocks={"colour": {"navy": 1.0}}, wishes={"colour": ("navy",), "sleeve": ("long",)})
    query = np.zeros(DIMENSION, np.float32)
    found = {hit.product_id: dict(hit.meets) for _, hit in search_states([shard.state], query, 5, wish=wish)}
    assert found == {"a": {"colour": True, "sleeve": False}, "b": {"colour": False}}


@dataclass(frozen=True)
class KeptRows:
    """A window and which of its rows are kept."""

    window: Window
    mask: np.ndarray | None


@pytest.mark.parametrize("seed", range(6))
def test_few_rows_are_looked_at_where_the_sums_tell_products_hardly_apart(seed: int) -> None:
    """A words-only query weighs its words less than its vector: the vector's own nearest bound what the others can reach."""
    random = np.random.default_rng(seed)
    dimension, products, need = 64, 1500, 5
    shard = Shard(0, "", 0, segment_rows=512)
    for number in range(products):
        vectors = random.normal(size=(2, dimension)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        known = {"colour": {str(random.choice(VALUES["colour"])): int(random.integers(200, 1000))}}
        infos = tuple(ViewInfo(f"g{n}", "shirt", ({"category": ("shirt",)},)) for n in range(2))
        shard.apply(number, f"p{number}", Entry(Payload("a.jpg", "shirt", {}, (), infos, chances=known), vectors, "e"))
    query = random.normal(size=dimension).astype(np.float32)
    query /= np.linalg.norm(query)
    asked: Blocks = {"colour": {"navy": 0.1, UNKNOWN: 0.02}}
    windows = shard.state.windows
    masks = [None if seed % 2 else random.random(window.rows) < 0.4 for window in windows]
    parts = [KeptRows(window, mask) for window, mask in zip(windows, masks, strict=True)]

    def totals(part: KeptRows) -> np.ndarray:
        owner = part.window.segment.columns.owner[: part.window.rows]
        inner = part.window.segment.vectors(0, part.window.rows).astype(np.float32) @ query
        found = inner + composed.sums_of(part, asked)[owner]
        return found if part.mask is None else np.where(part.mask, found, -np.inf)

    everything = np.concatenate([totals(part) for part in parts])
    sums = [composed.sums_of(part, asked) for part in parts]
    scores, numbers, rows = composed.candidates(parts, query, need, sums)
    starts = np.cumsum([0, *(window.rows for window in windows)])
    found = set((starts[numbers] + rows).tolist())
    best = np.argsort(-everything, kind="stable")[:need]
    assert set(best.tolist()) <= found
    np.testing.assert_allclose(scores, everything[starts[numbers] + rows], atol=1e-5)
    kept = int(np.isfinite(everything).sum())
    assert len(found) == len(rows), "each once"
    assert len(found) < kept / 2, "most of the others were left out"
