"""Prices, groups, pages and counts of a query, from its record to its result, over three real shards."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from index_sync.shard import Shard
from models.fakes import FakeImageEncoder, FakeTextEncoder
from processors.decode import DecodeLimits
from processors.relevance import Curve, Relevance
from processors.values import Colour, Garment
from streams.contract import codecs, topics
from streams.contract.metadata import metadata_of
from streams.contract.probes import Answer, Hits, Probe, SearchProbe
from streams.contract.records import Duplicate, Duplicates, ImageRef, Item, Result, Source, Upload, View
from streams.engine.message import Message
from streams.engine.stages import Done
from streams.roles.compose.results import NO_TWINS
from streams.roles.compose.role import Compose
from streams.roles.index.answers import answer_of
from streams.roles.index.entries import change_of
from streams.search.pending import PendingQueries
from streams.search.twins import Twins

NOW = 1_000_000.0
HEXES = {"red": "#c03030", "green": "#2f8f3f", "navy": "#1f2a44", "dark green": "#10401f"}


def vector(text: str) -> np.ndarray:
    return np.asarray(FakeTextEncoder().forward([FakeTextEncoder().prepare(text)])[0], dtype="<f4")


def item(product_id: str, colour: str, group: str | None = None, **metadata: Any) -> Item:
    """A dress of that colour as `enrich` publishes it, from what a shop sent."""
    said = metadata_of(Upload(product_id, ImageRef(uri="images/a.jpg"), metadata, group))
    found = vector(f"{colour} dress {product_id}")
    garment = Garment("g0", "dress", (0, 0, 9, 9), 0.9, (Colour(colour, HEXES[colour], 0.9),))
    views = (View("whole", "dress", found.tobytes()), View("g0", "dress", found.tobytes()))
    return Item(
        product_id, f"images/{product_id}.jpg", 9, 9, (garment,), views, said, FakeImageEncoder().fingerprint,
        len(found), "d", Source("catalog.uploads", 0, 0), "0",
    )  # fmt: skip


class Index:
    """Three shards; products are dealt in turn, so that a group's lie apart. Two workers: of one shard, and of two."""

    def __init__(self, *items: Item) -> None:
        self.shards = [Shard(number, "", 0) for number in range(3)]
        self.pending = PendingQueries(self.send, lambda: NOW)
        self.results: list[Result] = []
        self.probes: list[Probe] = []
        self.old: set[int] = set()
        self.relevance = Relevance()
        self.twins: Twins | None = None
        self.offset = 0
        for number, one in enumerate(items):
            self.put(number % 3, one)

    def put(self, partition: int, one: Item) -> None:
        message = Message(topics.ITEMS, partition, self.offset, one.product_id.encode(), codecs.encode(one))
        self.offset += 1
        assert not self.shards[partition].apply_batch([change_of(message)])

    async def send(self, probe: Probe) -> None:
        self.probes.append(probe)
        for worker in ([self.shards[0]], self.shards[1:]):
            answer: Answer = answer_of(worker, codecs.decode_probe(codecs.encode(probe)), 3, {})
            if isinstance(answer, Hits) and worker[0].partition in self.old:
                answer = msgspec.structs.replace(answer, typed=False, about=())
            self.pending.deliver(codecs.decode_answer(codecs.encode(answer)))

    async def publish(self, _message: Message, result: Result) -> None:
        self.results.append(codecs.decode_result(codecs.encode(result)))

    async def known_twins(self, _seconds: float) -> Twins | None:
        return self.twins

    async def ask(self, **query: Any) -> Result:
        role = Compose(
            fetcher=None,  # type: ignore[arg-type]
            images=FakeImageEncoder(),
            texts=FakeTextEncoder(),
            pending=self.pending,
            publish=self.publish,
            now=lambda: NOW,
            limits=DecodeLimits(),
            partitions=3,
            batch_items=4,
            relevance=self.relevance,
            twins=self.known_twins,
        )
        value = msgspec.json.encode({"query_id": "q-1", **query})
        message = Message(topics.QUERIES, 0, 3, b"q-1", value, timestamp_ms=int(NOW * 1000))
        read = await role.answering(role.read)(message)
        if not isinstance(read, Done):
            await role.answer(role.embed([role.cut(role.detect([role.open(read)])[0])])[0])
        return self.results[-1]


def ids(result: Result) -> list[str]:
    return [hit.product_id for hit in result.hits]


def shop() -> Index:
    return Index(
        item("a", "red", price=80.0, sale_price=45.0, currency="EUR", in_stock=True, sizes=["S", "M"], brand="H&M"),
        item("b", "red", price=60.0, in_stock=True, sizes=["L"], launched="2026-03-01", tags=["beach"]),
        item("c", "navy", price=20.0, in_stock=False, sizes=["M"], launched="2026-01-01", brand="h&m"),
        item("d", "navy", category_path=["Women", "Dresses"], heel=7.5),
    )


async def test_filters_of_a_query_are_ranges_sets_and_words() -> None:
    """Typed columns, facets and free attributes, alone and together."""
    index = shop()
    for filters, found in (
        ({"price": {"lte": 50}}, {"a", "c"}),
        ({"price": {"lte": 50}, "in_stock": [True], "size": ["M", "L"]}, {"a"}),
        ({"launched": {"gte": "2026-02-01"}}, {"b"}),
        ({"colour": ["red"], "price": {"gt": 45}}, {"b"}),
        ({"category_path": ["women > dresses"]}, {"d"}),
        ({"category_path": ["Dresses"]}, {"d"}),
        ({"tags": ["Beach"]}, {"b"}),
        ({"heel": [7.5]}, {"d"}),
        ({"currency": ["EUR", "USD"]}, {"a"}),
    ):
        assert set(ids(await index.ask(text="dress", filters=filters))) == found, filters


async def test_a_wrong_filter_is_an_answer_that_names_it() -> None:
    """Nobody waits for a query that cannot be followed."""
    result = await shop().ask(text="dress", filters={"price": {"le": 50}})
    assert result.error is not None
    assert (result.error.code, result.error.field) == ("unknown_name", "filters.price")
    unknown = await shop().ask(text="dress", filters={"prise": ["50"]})
    assert "is 'price' meant?" in unknown.warnings[0].message
    assert unknown.warnings[0].field == "filters.prise"
    nowhere = await Index(item("a", "red")).ask(text="dress", filters={"sizes": ["M"]})
    assert [warning.field for warning in nowhere.warnings] == ["filters.sizes"]


async def test_words_become_filters_of_what_knows_them_and_are_told() -> None:
    """ "Under 50": what costs more is left out, what has no price is not; the words are no part of the vector."""
    index = shop()
    result = await index.ask(text="a navy dress under 50 in M", filters={})
    assert set(ids(result)) == {"a", "c", "d"}
    assert result.understood is not None
    assert result.understood.filters == {"price": {"lt": 50}, "size": ["M"]}
    assert result.understood.wants["colour"] == "navy"
    plain = await index.ask(text="a navy dress")
    first, second = (probe for probe in index.probes if isinstance(probe, SearchProbe))
    assert first.vector == second.vector
    assert len(plain.hits) == 4
    assert set(ids(await index.ask(text="under 50"))) == {"a", "c", "d"}


async def test_cheaper_than_the_product_that_a_query_starts_from() -> None:
    """By what a shopper pays for it; what has no price is not shown as cheaper, and nothing is told as ignored."""
    index = shop()
    for text, found, bound in (
        ("the same but cheaper", {"a", "c"}, {"lt": 60}),
        ("not so expensive", {"a", "c"}, {"lt": 60}),
        ("das gleiche, aber billiger", {"a", "c"}, {"lt": 60}),
        ("cheaper, under 40", {"c"}, None),
    ):
        result = await index.ask(image={"product_id": "b"}, text=text)
        assert set(ids(result)) == found, text
        assert result.understood is not None
        assert bound is None or result.understood.filters == {"price": bound}
        assert result.understood.ignored == ()
    assert ids(await index.ask(image={"product_id": "c"}, text="more expensive, in red")) == ["a", "b"]
    (dear,) = (await index.ask(image={"product_id": "a"}, text="cheaper", collapse=False)).hits
    assert dear.product_id == "c", "45 is paid for it, not 80"
    silent = await index.ask(image={"product_id": "d"}, text="but cheaper")
    assert silent.understood is not None
    assert silent.understood.ignored == ("cheaper",), "nobody knows what it costs"


async def test_hits_show_what_the_shop_says_where_it_is_asked_for() -> None:
    """Columns as they are now, and the shop's own words; nothing without asking."""
    index = shop()
    (hit,) = (
        await index.ask(text="dress", filters={"brand": ["h&m"], "colour": ["red"]}, fields=["price", "Sizes", "brand"])
    ).hits
    assert hit.fields == {"price": 80.0, "sizes": ["S", "M"], "brand": "H&M"}
    (hit,) = (await index.ask(text="dress", filters={"heel": ["7.5"]}, fields=["*"])).hits
    assert hit.fields == {"category": "Dresses", "category_path": ["Women", "Dresses"], "heel": 7.5}
    assert all(hit.fields == {} for hit in (await index.ask(text="dress")).hits)


async def test_counts_are_of_all_that_matches() -> None:
    """By facet over every shard, whatever the page: sizes and brands as they are written, prices from and to."""
    result = await shop().ask(text="dress", top_k=1, facets=["colour", "size", "brand", "price", "in_stock"])
    assert result.total == 4
    assert result.facets["colour"] == {"navy": 2, "red": 2}
    assert result.facets["size"] == {"M": 2, "L": 1, "S": 1}
    assert result.facets["brand"] == {"H&M": 2}
    assert result.facets["in_stock"] == {"true": 2, "false": 1}
    assert result.ranges == {"price": (20.0, 60.0)}
    assert result.approximate == ()


async def test_a_price_that_changes_writes_no_vector() -> None:
    """The next query sees the new price; no row is written, and the digest is that of the new record."""
    index = shop()
    rows = [window.rows for window in index.shards[1].state.windows]
    index.put(1, item("b", "red", price=30.0, in_stock=True, sizes=["L"], launched="2026-03-01", tags=["beach"]))
    assert [window.rows for window in index.shards[1].state.windows] == rows
    assert "b" in ids(await index.ask(text="dress", filters={"price": {"lte": 50}}))


async def test_sorting_by_price_within_bands_and_page_by_page() -> None:
    """One band over all scores: the cheapest first, what has no price last; pages follow one another."""
    index = shop()
    asked = {"text": "dress", "sort": "price", "score_band": 4.0}
    assert ids(await index.ask(**asked)) == ["c", "a", "b", "d"]
    assert ids(await index.ask(**asked, offset=1, limit=2)) == ["a", "b"]
    assert ids(await index.ask(**asked, offset=4)) == []
    newest = await index.ask(text="dress", sort="-launched", score_band=4.0)
    assert ids(newest)[:2] == ["b", "c"]
    refused = await index.ask(text="dress", sort="colour")
    assert refused.error is not None
    assert refused.error.field == "sort"


def styles() -> Index:
    """Two styles in three colours each, of which no two of a group lie in one shard; and a product by itself."""
    named = [(group, colour) for group in ("wrap", "shift") for colour in ("red", "navy", "dark green")]
    return Index(
        *(
            item(f"{group}-{colour.split()[-1]}", colour, group, price=10.0 * number, color=colour.title(), sizes=["M"])
            for number, (group, colour) in enumerate(named, start=1)
        ),
        item("alone", "red"),
    )


async def test_products_of_one_photo_are_one_hit_where_a_query_wants_it() -> None:
    """The best of them, with the others named; a group is one hit beside that. By default nothing is left out for its photo."""
    index = styles()
    usual = ids(await index.ask(text="red dress wrap-red"))
    assert len(usual) == 3
    unknown = await index.ask(text="red dress wrap-red", collapse="duplicates")
    assert ids(unknown) == usual
    assert NO_TWINS in unknown.warnings
    twins = Twins()
    found = Duplicates("alone", "a", (Duplicate("wrap-red", "copy", 9, 0.9, (1.0, 1.0), "b"),))
    twins.apply(Message(topics.DUPLICATES, 0, 0, b"alone", codecs.encode(found)))
    index.twins = twins
    result = await index.ask(text="red dress wrap-red", collapse="duplicates")
    assert result.warnings == ()
    assert set(usual) - set(ids(result)) == {"alone"}
    assert {hit.product_id: hit.duplicates for hit in result.hits if hit.duplicates} == {"wrap-red": ("alone",)}
    assert {v.product_id for v in result.hits[0].variants} == {"wrap-navy", "wrap-green"}
    pages = [
        ids(await index.ask(text="red dress wrap-red", collapse="duplicates", limit=1, offset=n)) for n in range(3)
    ]
    assert pages == [[one] for one in ids(result)] + [[]]
    assert ids(await index.ask(text="red dress wrap-red")) == usual


async def test_a_group_is_one_hit_with_its_other_colours_beside_it() -> None:
    """Across shards; `collapse: false` gives every product; a filter holds for the colours beside it too."""
    index = styles()
    result = await index.ask(text="red dress wrap-red")
    assert sorted(hit.group_id for hit in result.hits) == ["", "shift", "wrap"]
    first = result.hits[0]
    assert (first.product_id, first.group_id) == ("wrap-red", "wrap")
    assert {variant.product_id: (variant.colour, variant.price) for variant in first.variants} == {
        "wrap-navy": ("Navy", 20.0),
        "wrap-green": ("Dark Green", 30.0),
    }
    assert result.approximate == ()
    every = await index.ask(text="red dress wrap-red", collapse=False)
    assert len(ids(every)) == len(set(ids(every))) == 7
    assert all(hit.variants == () for hit in every.hits)
    cheap = await index.ask(text="red dress wrap-red", filters={"price": {"lte": 20}})
    assert [[v.product_id for v in hit.variants] for hit in cheap.hits] == [["wrap-navy"]]
    pages = [ids(await index.ask(text="red dress wrap-red", limit=1, offset=n)) for n in range(4)]
    assert pages == [[one] for one in ids(result)] + [[]]


async def test_but_in_green_finds_the_sibling_first() -> None:
    """Of the reference's own group what is green comes before everything else, whatever the vectors say."""
    index = styles()
    for reference in ("wrap-red", "shift-navy"):
        group = reference.split("-")[0]
        result = await index.ask(image={"product_id": reference}, text="but in green")
        assert result.hits[0].product_id == f"{group}-green"
        assert reference not in ids(result)
        assert len(ids(result)) == len(set(ids(result))) == 3, "one hit a group, and the product by itself"
        loose = await index.ask(image={"product_id": reference}, text="but in green", collapse=False)
        assert loose.hits[0].product_id == f"{group}-green"
        assert len(ids(loose)) == len(set(ids(loose))) == 6
        paged = [
            ids(await index.ask(image={"product_id": reference}, text="but in green", limit=1, offset=n))
            for n in (0, 1)
        ]
        assert [one for page in paged for one in page] == ids(result)[:2]


async def test_a_worker_of_before_the_columns_is_left_out_where_they_are_asked_for() -> None:
    """It would answer as if there were no filter: the result is partial, and holds nothing that does not meet it."""
    index = shop()
    index.old = {0}
    result = await index.ask(text="dress", filters={"price": {"lte": 50}})
    assert (ids(result), result.partial, result.shards.answered) == (["c"], True, 2)
    assert not (await index.ask(text="dress")).partial


async def test_what_tags_and_paths_say_is_a_filter_of_its_facet_too() -> None:
    """The index reads a shop's words as captions do."""
    index = Index(
        item("a", "red", tags=["linen", "beach"], category_path="Women > Dresses > Maxi"),
        item("b", "red", fabric="silk"),
    )
    for filters in ({"fabric": ["linen"]}, {"gender": ["women"]}, {"category": ["Dresses"], "length": ["maxi"]}):
        assert ids(await index.ask(text="dress", filters=filters)) == ["a"]


def named_shop() -> Index:
    """Forty dresses of which six are of a brand and one has a name of its own; the curve is sure of no vector."""
    plain = [item(f"p{n}", "red", title=f"Evening dress number {n}") for n in range(33)]
    brand = [item(f"f{n}", "navy", title="Summer dress", brand="Fjordhem") for n in range(6)]
    index = Index(*plain, *brand, item("z-4711", "green", title="Kalahari wrap dress"))
    index.relevance = Relevance(FakeImageEncoder.fingerprint, {"words": Curve(50.0, 0.99, 0.4)})
    return index


async def test_a_brand_an_id_and_the_words_of_a_title_are_sure_by_themselves() -> None:
    """No list of ours knows them, and no vector is like them; the catalogue does."""
    index = named_shop()
    for text, found in (("fjordhem", "f"), ("Fjordhem dress", "f"), ("z-4711", "z-4711"), ("kalahari wrap", "z-4711")):
        result = await index.ask(text=text)
        assert result.confident is True, text
        assert result.hits[0].product_id.startswith(found)
        assert isinstance(result.hits[0].relevance, float)
        assert result.hits[0].relevance >= 0.5
        others = [hit.relevance for hit in result.hits if not hit.product_id.startswith(found)]
        assert all(isinstance(one, float) and one < 0.5 for one in others), text


async def test_one_word_of_many_makes_no_answer() -> None:
    """Some title has "number", and none the rest; of a brand's dresses none is a shoe."""
    index = named_shop()
    for text in ("quarterly tax number", "kalahari weather", "asdf qwer", "fjordhem boots"):
        assert (await index.ask(text=text)).confident is False, text


async def test_a_filter_in_words_keeps_the_kind_of_the_product_that_it_starts_from() -> None:
    """ "The same but cheaper" is of its colour and kind first; the vector, and what hits tell of it, stay as they were."""
    index = shop()
    await index.ask(image={"product_id": "a"}, text="under 70")
    await index.ask(image={"product_id": "a"})
    await index.ask(image={"product_id": "a"}, text="under 70", sort="price")
    kept, plain, sorted_ = (probe for probe in index.probes if isinstance(probe, SearchProbe))
    assert kept.vector == plain.vector
    assert kept.blocks["colour"]["red"] > kept.blocks["colour"].get("navy", 0.0)
    assert kept.inner
    assert not plain.blocks
    assert not sorted_.blocks, "within a band of scores hits are sorted"


async def test_words_of_another_language_are_looked_for_in_both() -> None:
    """Nobody knows which one the catalogue's own texts are in."""
    index = Index(
        item("a", "red", title="Sommerkleid rot"),
        item("b", "navy", title="Evening gown"),
        item("c", "navy", title="Rock"),
    )
    await index.ask(text="rotes kleid")
    (probe,) = (probe for probe in index.probes if isinstance(probe, SearchProbe))
    assert probe.words is not None
    assert [word.word for word in probe.words.words] == ["rotes", "kleid", "red", "dress"]
