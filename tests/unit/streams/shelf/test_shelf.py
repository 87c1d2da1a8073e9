"""The shelf: versions in the store, taken up while the role runs, as neighbours beside those of the catalogue."""

from __future__ import annotations

import numpy as np
import pytest

from index_sync.bank import Neighbour
from infra.memory_store import MemoryStore
from processors.errors import Poison
from processors.values import Colour, Garment, Metadata
from streams.contract import topics
from streams.contract.records import Item, Source, View
from streams.roles.caption.neighbours import nearest
from streams.shelf import shelf, versions
from streams.shelf.live import LiveShelf

ENCODER = "sha256:e"
VECTOR = np.array([1.0, 0.0], dtype=np.float32)


def item(product_id: str, *, angle: float = 0.0, shop: str = "", kind: str = "dress", **metadata: str) -> Item:
    vector = np.array([np.cos(angle), np.sin(angle)], dtype="<f4").tobytes()
    garment = Garment("g0", kind, (0, 0, 50, 90), 0.9, (Colour("red", "#c8141e", 1.0),))
    return Item(
        product_id=product_id, image="file:///x", width=60, height=100, garments=(garment,),
        views=(View("whole", kind, vector), View("g0", kind, vector)), metadata=Metadata(**metadata),
        encoder=ENCODER, dimension=2, detector="sha256:d", source=Source(topics.UPLOADS, 0, 5), version="0", shop=shop,
    )  # fmt: skip


def built(*items: Item, encoder: str = ENCODER) -> bytes:
    rows = [row for one in items if (row := shelf.row_of(one)) is not None]
    return shelf.encode(shelf.Card(encoder, "2026-01-31T12:00:00+00:00", "p.jsonl", len(rows), 0, 0), rows)


def found(live: LiveShelf, shop: str = "", encoder: str = ENCODER, kind: str = "dress") -> list[str]:
    return [one.product_id for one in live.find(encoder, shop, kind, VECTOR, 5, "me")]


LINEN = item("a", fabric="linen", title="A soft day in the sun")
SILK = item("b", angle=0.3, fabric="silk")


async def test_a_version_counts_from_the_moment_it_is_used() -> None:
    """And the one of before after a rollback; with none, nobody is near."""
    store = MemoryStore("test")
    live = LiveShelf(store, ("fabric",))
    await live.look()
    assert (found(live), live.version) == ([], "")
    first, second = versions.put(store, built(LINEN)), versions.put(store, built(LINEN, SILK))
    versions.use(store, first)
    await live.look()
    assert (found(live), live.version) == (["a"], first)
    versions.use(store, second)
    await live.look()
    assert found(live) == ["a", "b"]
    versions.roll_back(store)
    await live.look()
    assert live.version == first
    versions.roll_back(store)
    await live.look()
    assert found(live) == []
    with pytest.raises(Poison, match="nothing to roll back"):
        versions.roll_back(store)
    assert set(versions.listed(store)) == {first, second}
    assert versions.find(store, second[7:20]) == second


async def test_what_is_damaged_changes_nothing() -> None:
    """The version of before goes on."""
    store = MemoryStore("test")
    live = LiveShelf(store, ("fabric",))
    version = versions.put(store, built(LINEN))
    versions.use(store, version)
    await live.look()
    other = versions.put(store, built(SILK))
    versions.use(store, other)
    store.put(versions.key_of(other), b"other bytes")
    await live.look()
    assert (found(live), live.version) == (["a"], version)
    with pytest.raises(Poison, match="damaged"):
        versions.use(store, other)
    with pytest.raises(Poison, match="cannot be read"):
        versions.put(store, b"no shelf")


async def test_shops_kinds_and_encoders_do_not_meet() -> None:
    """As in the catalogue."""
    store = MemoryStore("test")
    live = LiveShelf(store, ("fabric",))
    versions.use(store, versions.put(store, built(item("a", shop="acme", fabric="linen"))))
    await live.look()
    assert found(live, "acme") == ["a"]
    assert found(live) == found(live, "acme", "sha256:other") == found(live, "acme", kind="shoe") == []


async def test_only_what_may_be_voted_on_is_a_label() -> None:
    """The object holds all that the shop says; which of it counts is the role's setting."""
    store = MemoryStore("test")
    versions.use(store, versions.put(store, built(item("a", fabric="linen", gender="women", title="Soft"))))
    live = LiveShelf(store, ("gender",))
    await live.look()
    [one] = live.find(ENCODER, "", "dress", VECTOR, 5, "me")
    assert (dict(one.labels), one.text) == ({"gender": "women"}, "Soft")


def test_a_product_that_says_nothing_is_no_row() -> None:
    """Neither fact nor word."""
    assert shelf.row_of(item("a")) is None


def test_the_catalogue_goes_before_the_shelf() -> None:
    """A product of both counts once, with the catalogue's word; the nearest of both come first."""
    own = [Neighbour("a", 0.8, {"fabric": "linen"}, "")]
    further = [Neighbour("a", 0.9, {"fabric": "silk"}, ""), Neighbour("b", 0.85, {}, ""), Neighbour("c", 0.1, {}, "")]
    assert [(n.product_id, n.similarity) for n in nearest(own, further, 2)] == [("b", 0.85), ("a", 0.8)]
