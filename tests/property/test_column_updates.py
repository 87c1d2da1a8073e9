"""Records that differ from the one before in their columns only are not decoded whole, and nobody can tell."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from index_sync.shard import Shard
from index_sync.typed import Vocabularies, decode_typed, encode_typed
from processors.errors import Poison
from processors.values import Colour, Garment, Metadata
from streams.contract import codecs, topics
from streams.contract.records import Item, Source, View
from streams.engine.message import Message
from streams.roles.index.entries import change_of
from streams.roles.index.shards import apply_messages
from tests.fakes.index_items import DIMENSION, unit

ENCODERS = ("sha256:one", "sha256:one", "sha256:one", "sha256:other")
records = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["item", "item", "item", "delete", "junk"]),
        st.integers(0, 1),  # of the vector
        st.sampled_from(["", "summer"]),  # of the facets
        st.sampled_from([None, 10.0, 20.0]),
        st.sampled_from([(), ("S",), ("S", "M")]),
        st.sampled_from(ENCODERS),
    ),
    max_size=25,
)


def message(offset: int, record) -> Message:
    product_id, kind, seed, season, price, sizes, encoder = record
    if kind != "item":
        return Message(topics.ITEMS, 0, offset, product_id.encode(), None if kind == "delete" else b"\x81junk")
    metadata = Metadata(price=price, sizes=sizes, facets={"season": season} if season else {})
    garment = Garment("g0", "dress", (0.0, 0.0, 9.0, 9.0), 0.9, (Colour("red", "#c03030", 0.9),))
    view = View("whole", "dress", unit(seed).tobytes())
    item = Item(
        product_id, "images/a.jpg", 9, 9, (garment,), (view,), metadata, encoder, DIMENSION, "d",
        Source(topics.UPLOADS, 0, offset), "0",
    )  # fmt: skip
    return Message(topics.ITEMS, 0, offset, product_id.encode(), codecs.encode(item))


def told(shard: Shard) -> object:
    found = {name: shard.lookup(name) for name in "abc"}
    return {
        name: (one.version, one.payload, one.offer, one.vector.tobytes())
        for name, one in found.items()
        if one is not None
    }


@given(records, st.lists(st.integers(1, 6), min_size=1, max_size=25))
def test_batches_with_what_is_known_are_records_one_by_one(listed, sizes):
    """Any updates, deletes, junk and other encoders, in batches of any size: the same products, columns, digest and refusals."""
    messages = [message(offset, record) for offset, record in enumerate(listed)]
    known, plain = Shard(0, "", 0, segment_rows=4), Shard(0, "", 0, segment_rows=4)
    refused: list[int] = []
    at, number = 0, 0
    while at < len(messages):
        batch = messages[at : at + sizes[number % len(sizes)]]
        refused += [failure.message.offset for failure in apply_messages(known, batch, 0)]
        at, number = at + len(batch), number + 1
    wrong = []
    for one in messages:
        try:
            change = change_of(one)
        except Poison:
            wrong.append(one.offset)
            continue
        wrong += [each.change.offset for each in plain.apply_batch([change])]
    assert sorted(refused) == wrong
    assert told(known) == told(plain)
    assert (known.digest, known.versions(), known.live) == (plain.digest, plain.versions(), plain.live)


def test_a_column_update_is_known_by_its_essence_also_after_a_restart():
    """Nothing but the columns is read of it; another facet, vector or encoder is another essence."""
    shard = Shard(0, "", 0)
    first = ("a", "item", 0, "summer", 10.0, ("S",), ENCODERS[0])
    assert not apply_messages(shard, [message(0, first)], 0)
    cheaper = change_of(message(1, (*first[:4], 5.0, (), first[6])), shard.essence)
    assert (cheaper.entry, cheaper.columns.price, cheaper.essence) == (None, 5.0, shard.essence("a"))
    for other in (("a", "item", 1, *first[3:]), ("a", "item", 0, "", *first[4:]), (*first[:6], ENCODERS[3])):
        assert change_of(message(1, other), shard.essence).entry is not None
    (window,) = shard.state.windows
    back = decode_typed(encode_typed(window.typed, 1), 1, 4, Vocabularies())
    assert back.essence_of(0) == shard.essence("a") != b""
