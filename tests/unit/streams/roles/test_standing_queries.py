"""Standing queries: what is held against a product, what is told of it, and once only."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import numpy as np
import pytest

from infra.memory_store import MemoryStore
from models.fakes import FakeImageEncoder, FakeTextEncoder
from processors.relevance import Curve, Relevance
from processors.values import Attribute, Colour, Garment, Metadata
from streams.contract import codecs, topics
from streams.contract.probes import Found
from streams.contract.records import Item, Match, Neighbour, Neighbours, Source, View
from streams.engine.message import Message
from streams.roles.matching import compiled, telling
from streams.roles.matching.catching import Catching
from streams.roles.matching.compiled import Compiled, Kept
from streams.roles.matching.compiling import Compiling
from streams.roles.matching.matcher import Matcher
from streams.roles.matching.pairs import Change, Pair, Pairs, pair_key, query_key
from streams.roles.matching.queries import Queries
from streams.roles.matching.said import Said
from streams.roles.matching.similar_job import Lists, list_in
from tests.unit.streams.roles.test_role_compose import Shards, compose

ENCODER = FakeImageEncoder().fingerprint
RELEVANCE = Relevance(ENCODER, {"words": Curve(20.0, 0.6), "photo": Curve(20.0, 0.6), "product": Curve(20.0, 0.6)})


def vector(text: str) -> np.ndarray:
    """Of a text, by the fake encoder: photos of that text lie where the text does."""
    texts = FakeTextEncoder()
    return np.asarray(texts.finish("", texts.forward([texts.prepare(text)])[0]), dtype="<f4")


def item(product_id: str, offset: int, looks: str, at: int = 0, shop: str = "", **metadata: Any) -> Message:
    """A record of a dress that looks like `looks`; its colour is the first word."""
    colour = looks.split(maxsplit=1)[0]
    garment = Garment(
        "g0", "dress", (0, 0, 9, 9), 0.9, (Colour(colour, "#000000", 1.0),), {"colour": Attribute(colour, 0.9)}
    )
    found = vector(looks)
    record = Item(
        product_id=product_id,
        image="images/p.jpg",
        width=10,
        height=10,
        garments=(garment,),
        views=(View("whole", "dress", found.tobytes()),),
        metadata=Metadata(category="dress", **metadata),
        encoder=ENCODER,
        dimension=len(found),
        detector="sha256:d",
        source=Source(topics.UPLOADS, 0, offset),
        version="0",
        shop=shop,
        chances={"category": {"dress": 980}, "colour": {colour: 950}},
    )
    key = f"//{shop}/{product_id}" if shop else product_id
    return Message(topics.ITEMS, 0, offset, key.encode(), codecs.encode(record), timestamp_ms=at)


def saved(key: str = "s-1", offset: int = 0, at: int = 0, **query: Any) -> Message:
    return Message(topics.STANDING, 0, offset, key.encode(), msgspec.json.encode(query), timestamp_ms=at)


async def read(message: Message, shards: Shards | None = None) -> Compiled:
    stages = compose(shards or Shards())
    stages = type(stages)(**{**{f: getattr(stages, f) for f in stages.__dataclass_fields__}, "relevance": RELEVANCE})
    return (await Compiling(stages).compiled(message)).compiled


def meeting(query: Compiled, *records: Message, relevance: Relevance = RELEVANCE) -> list[str]:
    return [one.product for one in Matcher(relevance).look(records, [query]) if one.met]


async def test_words_are_met_by_what_is_known_to_be_so() -> None:
    """A red dress by "red dress"; a blue one never, however near its vector lies."""
    query = await read(saved(text="red dress"))
    assert meeting(query, item("a", 0, "red dress"), item("b", 1, "blue dress")) == ["a"]
    assert query.probes[0].wishes["colour"][0] == "red"


async def test_what_is_refused_and_what_filters_forbid_does_not_meet() -> None:
    """Refused values, prices in words (a product must know its price), and filters."""
    cheap = await read(saved(text="dress under 50"))
    records = (item("a", 0, "red dress", price=40.0), item("b", 1, "red dress", price=60.0), item("c", 2, "red dress"))
    assert meeting(cheap, *records, relevance=Relevance()) == ["a"]
    refusing = await read(saved(text="dress, but not red"))
    assert meeting(refusing, item("a", 0, "red dress"), item("b", 1, "dress")) == ["b"]
    filtered = await read(saved(text="red dress", filters={"brand": ["Acme"]}))
    assert meeting(filtered, item("a", 0, "red dress", brand="Acme"), item("b", 1, "red dress", brand="B")) == ["a"]


async def test_filters_alone_are_a_standing_query_and_need_no_encoder() -> None:
    """ "Anything of Acme under 50": nothing is embedded."""
    query = await read(saved(filters={"brand": ["Acme"], "price": {"lte": 50}}))
    assert query.encoder == ""
    records = (item("a", 0, "x", brand="Acme", price=50.0), item("b", 1, "x", brand="Acme", price=51.0))
    assert meeting(query, *records) == ["a"]


async def test_a_product_of_another_shop_is_nobodys_business() -> None:
    """Shops are bounds, in both directions."""
    records = (item("a", 0, "red dress"), item("a", 1, "red dress", shop="acme"))
    assert meeting(await read(saved(text="red dress")), *records) == ["a"]
    assert meeting(await read(saved(text="red dress", shop="acme")), *records) == ["//acme/a"]


async def test_a_product_is_met_by_what_is_like_it_and_min_relevance_is_a_threshold() -> None:
    """And not by itself."""
    shards = Shards()
    look = np.asarray(vector("red dress"), dtype="<f4").tobytes()
    shards.known["sku-9"] = Found("", 1, 2, "g-0001", 9, fresh=True, category="dress", facets={}, vector=look)
    query = await read(saved(image={"product_id": "sku-9"}), shards)
    records = (item("sku-9", 0, "red dress"), item("a", 1, "red dress"), item("b", 2, "green parka"))
    assert meeting(query, *records) == ["a"]
    strict = await read(saved(image={"product_id": "sku-9"}, min_relevance=1.0), shards)
    assert meeting(strict, *records) == []


async def test_an_edit_of_a_product_is_met_by_its_kind_with_the_edit() -> None:
    """ "This, but in blue": a blue one of the same category, not the red one that is like it."""
    shards = Shards()
    look = np.asarray(vector("red dress"), dtype="<f4").tobytes()
    shards.known["sku-9"] = Found(
        "", 1, 2, "g-0001", 9, fresh=True, category="dress", facets={"category": "dress", "colour": "red"}, vector=look,
        chances={"category": {"dress": 980}, "colour": {"red": 950}},
    )  # fmt: skip
    query = await read(saved(image={"product_id": "sku-9"}, text="but in blue"), shards)
    assert meeting(query, item("a", 0, "blue dress"), item("b", 1, "red dress")) == ["a"]
    assert query.probes[0].wishes["category"] == ("dress",)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({}, ""),
        ({"query_id": "other", "text": "red"}, "query_id"),
        ({"text": "red", "previous": "q"}, "previous"),
        ({"text": "red", "min_relevance": 2}, "min_relevance"),
        ({"image": {"product_id": "nobody"}}, "image.product_id"),
    ],
)
async def test_what_cannot_stand_is_refused_with_its_field(query: dict[str, Any], field: str) -> None:
    """A client is told what is wrong."""
    with pytest.raises(codecs.Poison) as caught:
        await read(saved(**query))
    assert caught.value.field == field


async def test_a_photo_without_a_fitted_relevance_is_refused() -> None:
    """Ten hits there always are: nobody could say which of what comes is like it."""
    shards = Shards()
    look = np.asarray(vector("red dress"), dtype="<f4").tobytes()
    shards.known["sku-9"] = Found("", 1, 2, "g-0001", 9, fresh=True, category="dress", facets={}, vector=look)
    with pytest.raises(codecs.Poison, match="no relevance"):
        await Compiling(compose(shards)).compiled(saved(image={"product_id": "sku-9"}))


async def test_the_answer_of_a_product_does_not_depend_on_its_batch() -> None:
    """Alone, or among many whose texts weigh the words otherwise."""
    query = await read(saved(text="zebrafish parka"))
    own = item("a", 0, "green parka", title="Zebrafish parka")
    others = [item(f"n{n}", n + 1, "blue dress", title="Zebrafish parka blue") for n in range(20)]
    alone = Matcher(RELEVANCE).look([own], [query])[0].met
    together = Matcher(RELEVANCE).look([own, *others], [query])[0].met
    assert alone == together


async def test_records_are_looked_at_in_their_order_and_deletions_are_told() -> None:
    """Two records of one product in one batch, then its end; what is no item is left out. Without a query none is read."""
    records = [
        item("a", 0, "red dress"),
        item("a", 1, "blue dress"),
        Message(topics.ITEMS, 0, 2, b"a", None),
        Message(topics.ITEMS, 0, 3, b"b", b"no item"),
    ]
    looked = Matcher(RELEVANCE).look(records, [await read(saved(text="red dress"))])
    assert Matcher(RELEVANCE).look(records, []) == []
    assert [(one.message.offset, one.gone) for one in looked] == [(0, False), (1, False), (2, True)]


def test_a_pair_is_told_when_it_changes_and_decided_once() -> None:
    """Met, unchanged, left, met again; a record that is delivered again changes nothing."""
    pairs, queries = Pairs(), {"s"}

    def step(offset: int, met: set[str]) -> list[Change]:
        source = Source(topics.ITEMS, 0, offset)
        changes = list(pairs.changes(pairs.of("a"), met, queries, source))
        for query_id, change in changes:
            pairs.put(query_id, "a", Pair(change is Change.MET, 0, offset))
        return [change for _, change in changes]

    assert step(1, {"s"}) == [Change.MET]
    assert step(2, {"s"}) == []
    assert step(3, set()) == [Change.LEFT]
    assert step(1, {"s"}) == []  # again, after a crash: decided
    assert step(4, {"s"}) == [Change.MET]
    assert pairs.count("s") == len(pairs) == 1


async def test_the_topic_is_the_state() -> None:
    """What was published, read again, gives the pairs back; keys of any ids tell pairs apart."""
    source, query = item("x/y", 5, "red dress"), saved("a/b@1")
    event = telling.of_product(source, query, "a/b@1", "x/y", "met")
    pairs = Pairs()
    assert event.match is not None
    pairs.learn(codecs.decode_match(codecs.encode(event.match)), {0})
    assert pairs.of("x/y") == {"a/b@1": Pair(meets=True, partition=0, offset=5)}
    pairs.forget(event.key)
    assert pairs.of("x/y") == {}
    assert pair_key("a", "b/c") != pair_key("a/b", "c")
    assert pair_key("q@1", "x") != query_key("q", 1)
    assert telling.of_product(source, query, "a/b@1", "x/y", "met") == event


async def test_what_was_there_when_a_query_was_saved_is_no_news() -> None:
    """Products from before are "there", later ones "met"; what met the query as it was before, and does not now, has left."""
    query = Queries(10).save(saved(at=1000, text="red dress"))
    assert query is not None
    query.compiled = await read(saved(text="red dress"))
    records = [
        item("old", 0, "red dress", at=500),
        item("was", 1, "red dress", at=600),
        item("was", 2, "blue dress", at=700),
        item("late", 3, "red dress", at=2000),
    ]
    pairs = Pairs()
    pairs.put("s-1", "gone", Pair(meets=True, partition=0, offset=9))
    catching = Catching([query], {0: 0})
    catching.take(Matcher(RELEVANCE).look(records, [query.compiled]))
    events = {event.match.product_id: event.match.state for event in catching.events(pairs) if event.match}
    assert events == {"old": "there", "late": "met", "gone": "left"}
    assert catching.events(pairs) == []  # again: nothing is new
    assert pairs.count("s-1") == 2


def test_a_query_of_a_topic_that_was_created_again_replaces_the_one_before() -> None:
    """Its offsets begin anew: what is saved there at a smaller one is no older record."""
    queries = Queries(5)
    queries.save(saved("red", offset=4, at=1, text="red top"))
    assert queries.save(saved("red", offset=4, at=1, text="red top")) is None
    assert queries.save(saved("red", offset=0, at=2, text="red dress")) is queries.known["red"]


def test_what_is_beyond_the_bound_is_what_was_saved_last() -> None:
    """The queries that were there stay."""
    queries = Queries(2)
    made = [queries.save(saved(f"s-{n}", offset=n)) for n in range(3)]
    assert [queries.too_many(query) for query in made if query] == [False, False, True]
    assert queries.save(saved("s-0", offset=0)) is None  # read again


async def test_a_query_is_kept_with_its_photo_and_forgotten_with_it() -> None:
    """Its photo's address may be gone when another encoder has to read it."""
    store = MemoryStore("test")
    made = await read(saved(text="red dress"))
    await asyncio.to_thread(compiled.write, store, "s-1", b"one", Kept(made, b"photo"))
    assert compiled.read(store, "s-1", b"one") == Kept(made, b"photo")
    compiled.write(store, "s-1", b"two", Kept(made))
    assert compiled.read(store, "s-1", b"one") is None
    compiled.forget(store, "s-1")
    assert list(store.list("standing/")) == []


def test_a_price_makes_no_product_nearer() -> None:
    """Of another price no list is looked at; another photo, a deletion, and what comes after one, are."""
    lists = Lists(k=2, most=10)
    first = [item("a", 0, "red dress", price=5.0), item("b", 1, "red gown", price=5.0), item("c", 2, "blue coat")]
    assert lists.put(first) == {"a", "b", "c"}
    lists.records({"a", "b", "c"})
    priced = item("a", 3, "red dress", price=6.0, in_stock=False, sizes=("M",))
    assert lists.put([priced]) == set()
    assert lists.put([item("a", 4, "green dress", price=6.0), item("a", 5, "green dress", price=7.0)]) >= {"a"}
    assert lists.records({"a"})
    assert "a" in lists.put([Message(topics.ITEMS, 0, 6, b"a", None)])
    assert "a" in lists.put([item("a", 7, "green dress", price=7.0)])


def test_a_price_finds_room_for_a_product_that_was_left_out() -> None:
    """It was never in a list, so it is looked at as if it were new."""
    lists = Lists(k=2, most=1)
    lists.put([item("a", 0, "red dress"), item("b", 1, "blue coat", price=5.0)])
    lists.put([Message(topics.ITEMS, 0, 3, b"a", None)])
    assert "b" in lists.put([item("b", 4, "blue coat", price=7.0)])


def test_what_another_client_wrote_among_the_lists_is_taken_away() -> None:
    """No list, another product's, or one of a product that is not there: a new start writes the true one, or deletes it."""
    first = Lists(k=2, most=10)
    records = [item("a", 0, "red dress"), item("b", 1, "red gown")]
    true = {key: value for key, value in first.records(first.put(records)) if value is not None}
    standing = {key: list_in(key, codecs.encode(value)) for key, value in true.items()}
    assert standing == true
    standing |= {
        "a": list_in("a", codecs.encode(true["b"])),
        "b": list_in("b", b"junk"),
        "ghost": list_in("ghost", codecs.encode(Neighbours("ghost", (Neighbour("a", 0.9),), ENCODER))),
        "noise": list_in("noise", b"{}"),
    }
    again = Lists(k=2, most=10)
    again.load(records)
    assert dict(again.records(again.learn(standing))) == {**true, "ghost": None, "noise": None}
    third = Lists(k=2, most=10)
    third.load(records)
    assert third.records(third.learn(dict(true))) == []


def test_of_which_queries_something_stands() -> None:
    """Of a query itself, and of products under it; of what was deleted nothing."""
    said = Said()

    def learn(key: str, match: Match | None) -> None:
        value = None if match is None else codecs.encode(match)
        said.learn(Message(topics.MATCHES, 0, 0, key.encode(), value), frozenset({0}))

    learn(query_key("s-1", 0), Match("s-1", "watching", "2026-01-01T00:00:00Z", saved=Source(topics.STANDING, 0, 0)))
    learn(pair_key("s/2", "p"), Match("s/2", "met", "2026-01-01T00:00:00Z", "p", source=Source(topics.ITEMS, 0, 0)))
    assert said.queries() == {"s-1", "s/2"}
    learn(query_key("s-1", 0), None)
    learn(pair_key("s/2", "p"), None)
    assert said.queries() == set()
