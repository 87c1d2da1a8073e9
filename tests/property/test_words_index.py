"""The words of a shard under any history: as a plain list of products would answer, whatever the segments."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index_sync.entry import Change, Entry, Payload, ViewInfo
from index_sync.manifest import SnapshotLocation
from index_sync.recovery import LogBounds, recover
from index_sync.shard import Shard
from index_sync.snapshot import SnapshotWriter, claim
from index_sync.state import Wish, search_states, weigh_states
from infra.memory_store import MemoryStore
from processors.identity import key_of, shop_of
from processors.ordering import DIGITS
from processors.product_words import words_of
from processors.query_terms import AskedWords, codes_in, words_asked
from processors.values import Metadata
from tests.fakes.index_items import DIMENSION, ENCODER, unit

BRANDS = ("Acme", "Acme Sport", "Nordwind", "")
NOUNS = ("linen dress", "dresses", "red shirt", "wool coat", "riviera shirt")
QUERIES = ("acme dress", "riviera", "nordwnd coat", "red dress", "p-3", "shirts by Acme Sport", "the")


def words_entry(seed: int, brand: str, noun: str, colour: str = "red") -> Entry:
    facets = {"colour": (colour,)}
    views = tuple(ViewInfo(name, "dress", (facets,)) for name in ("whole", "g0"))
    vectors = np.stack([unit(seed), unit(seed + 1000)])
    words = words_of(Metadata(title=f"{brand} {noun}".strip(), brand=brand))
    return Entry(Payload("i", "dress", {}, (), views, words=words), vectors, ENCODER)


def asked(text: str) -> AskedWords:
    found = words_asked(text)
    assert found is not None
    return AskedWords(found.words, codes_in(text))


def answers(shards, text, k, seed=7, shop=None, filters=None, collapse=False):
    states = [shard.state for shard in shards]
    weights = weigh_states(states, asked(text), shop)
    found = search_states(states, unit(seed), k, filters, wish=Wish(shop=shop, collapse=collapse), words=weights)
    return [(hit.product_id, round(hit.score, DIGITS)) for _, hit in found], weights


changes = st.lists(
    st.tuples(
        st.integers(0, 11),
        st.one_of(st.none(), st.tuples(st.sampled_from(BRANDS), st.sampled_from(NOUNS))),
        st.booleans(),
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(changes, st.sampled_from(QUERIES), st.integers(1, 6))
def test_words_are_found_as_in_a_plain_list(history, text, k):
    """Upserts and deletes in batches, small segments that turn over: the answer is that of one fresh shard of what is alive."""
    shard = Shard(0, ENCODER, DIMENSION, segment_rows=8)
    live: dict[str, Change] = {}
    batch: list[Change] = []
    for offset, (number, product, flush) in enumerate(history):
        key = f"p-{number}"
        change = Change(offset, key, None if product is None else words_entry(number, *product))
        live.pop(key, None)
        if product is not None:
            live[key] = change
        batch.append(change)
        if flush:
            shard.apply_batch(batch)
            batch = []
    shard.apply_batch(batch, len(history))
    plain = Shard(0, ENCODER, DIMENSION, segment_rows=4096)
    plain.apply_batch(sorted(live.values(), key=lambda one: one.offset), len(history))
    ours, weights = answers([shard], text, k)
    theirs, plainly = answers([plain], text, k)
    assert ours == theirs
    assert weights.counts == plainly.counts
    assert {product for product, _ in ours} <= set(live)
    assert shard.digest == plain.digest
    whole, _ = answers([plain], text, len(live) + 1)
    assert whole[:k] == ours


def shard_of(*products: tuple[str, str, str], rows: int = 4096) -> Shard:
    shard = Shard(0, ENCODER, DIMENSION, segment_rows=rows)
    shard.apply_batch([Change(n, key, words_entry(n, brand, noun)) for n, (key, brand, noun) in enumerate(products)])
    return shard


def test_the_best_by_words_need_not_be_near_by_vectors():
    """One product of thousands whose title is asked for, wherever its vector lies."""
    many = [(f"p-{n}", "Acme", "red shirt") for n in range(3000)]
    many[1234] = ("p-1234", "Nordwind", "riviera coat")
    shard = shard_of(*many, rows=1024)
    found, _ = answers([shard], "nordwind riviera coat", 3)
    assert found[0][0] == "p-1234"
    pages, _ = answers([shard], "red shirt", 40)
    assert answers([shard], "red shirt", 20)[0] == pages[:20]


def test_shops_do_not_see_each_others_words():
    """Neither as hits, nor in counts, nor as brands or corrections."""
    shard = shard_of((key_of("a", "1"), "Acme", "dress"), (key_of("b", "2"), "Nordwind", "coat"))
    found, weights = answers([shard], "nordwnd coat", 5, shop="a")
    assert {shop_of(product) for product, _ in found} == {"a"}
    assert (weights.counts.products, weights.counts.having, weights.counts.names) == (1, (0, 0), ())
    assert answers([shard], "nordwnd coat", 5, shop="b")[1].counts.names[0].value == "Nordwind"


def test_filters_hold_for_what_words_find():
    """The brand asked for is first only among what the filters keep."""
    shard = Shard(0, ENCODER, DIMENSION)
    shard.apply_batch(
        [
            Change(n, f"p-{n}", words_entry(n, "Acme" if n < 3 else "", "shirt", "red" if n % 2 else "blue"))
            for n in range(9)
        ]
    )
    found, _ = answers([shard], "acme", 9, filters={"colour": ("red",)})
    assert found[0][0] == "p-1"
    assert {int(product[2:]) % 2 for product, _ in found} == {1}


@pytest.mark.parametrize(("text", "first"), [("P-1", "p-1"), ("p-1 please", "p-0"), ("acme spotr", "p-1")])
def test_ids_and_typing_errors(text, first):
    """An id finds its product whatever its case; one letter is forgiven in a brand. An id of three letters in a sentence is none."""
    shard = shard_of(("p-0", "", "please"), ("p-1", "Acme Sport", "dress"), ("p-2", "Nordwind", "coat"))
    assert answers([shard], text, 1)[0][0][0] == first


def store_with(shard: Shard) -> tuple[MemoryStore, SnapshotLocation]:
    store, place = MemoryStore(), SnapshotLocation("c", "g-0001", "catalog.items", 0)
    SnapshotWriter(store, place, claim(store, place, "one", 0.0)).save(shard.cut(), 0.0)
    return store, place


def test_a_snapshot_brings_the_words_back():
    """Equal digest and equal answers; nothing is read again."""
    shard = shard_of(*((f"p-{n}", BRANDS[n % 4], NOUNS[n % 5]) for n in range(30)), rows=16)
    store, place = store_with(shard)
    back = recover(store, place, lambda: Shard(0, ENCODER, DIMENSION), LogBounds(0, 30), owner="two", now=1.0)
    assert (back.reason, back.seek, back.shard.digest) == ("", 30, shard.digest)
    for text in QUERIES:
        assert answers([back.shard], text, 5)[0] == answers([shard], text, 5)[0]


def test_a_snapshot_from_before_there_were_words_is_read_again_from_the_topic(monkeypatch):
    """It answers by vectors meanwhile, and takes the words from the records."""
    from processors import product_words

    shard = Shard(0, ENCODER, DIMENSION)
    bare = words_entry(1, "", "dress")
    bare = Entry(Payload("i", "dress", {}, (), bare.payload.views), bare.vectors, ENCODER)
    shard.apply_batch([Change(0, "p-1", bare)])
    monkeypatch.setattr(product_words, "RULES", 0)
    store, place = store_with(shard)
    monkeypatch.undo()
    back = recover(store, place, lambda: Shard(0, ENCODER, DIMENSION), LogBounds(0, 1), owner="two", now=1.0)
    assert (back.reason, back.seek, back.shard.live) == ("", 0, 1)
    back.shard.apply_batch([Change(0, "p-1", words_entry(1, "Acme", "dress"))])
    assert answers([back.shard], "acme", 1)[1].counts.names[0].value == "Acme"
    assert not back.shard.untyped
    assert back.shard.digest != shard.digest


def test_other_words_are_another_product_to_verify():
    """A changed description changes the digest, as a changed vector does."""
    one, other = shard_of(("p", "Acme", "dress")), shard_of(("p", "Acme", "coat"))
    assert one.digest != other.digest


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=40))
def test_a_reader_sees_the_words_of_what_its_window_shows_whoever_settled_them(looks):
    """Records one by one, as they come at a low rate: words are settled by the writer or by a reader, and of an older window by one
    that came later.
    """
    shard, windows = Shard(0, ENCODER, DIMENSION, segment_rows=64), []
    for number, looked in enumerate(looks):
        shard.apply_batch([Change(number, f"p-{number}", words_entry(number, BRANDS[number % 4], "wool coat"))])
        windows.append(shard.state)
        for state in windows[-looked:] if looked else ():
            weights = weigh_states([state], asked("wool coat"), None)
            found = search_states([state], unit(7), 100, None, wish=Wish(shop=None, collapse=False), words=weights)
            assert {hit.product_id for _, hit in found} == {f"p-{n}" for n in range(windows.index(state) + 1)}
            assert list(weights.counts.having) == [windows.index(state) + 1] * 2
