"""compose, stage by stage: what is asked of the shards, and what is answered when they do not answer."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import numpy as np
import pytest

from infra.memory_store import MemoryStore
from models.fakes import FakeImageEncoder, FakeTextEncoder
from processors.decode import DecodeLimits
from processors.errors import RESULT_CODES
from processors.values import MAX_QUERY_TEXT
from streams.contract import topics
from streams.contract.probes import Answer, Found, Hits, LookupProbe, Probe, SearchProbe
from streams.contract.records import Hit, Result
from streams.engine.message import Message
from streams.engine.stages import Done
from streams.roles.compose.results import PartitionCount
from streams.roles.compose.role import Compose
from streams.search.pending import PendingQueries
from streams.search.spaces import Space

NOW = 1_000_000.0


class Shards:
    """Two shards that answer as they are told; the pending queries hear them at once."""

    def __init__(self) -> None:
        self.pending = PendingQueries(self.send, self.now)
        self.probes: list[Probe] = []
        self.results: list[Result] = []
        self.silent: set[int] = set()
        self.unknown: dict[int, tuple[str, ...]] = {}
        self.known: dict[str, Found] = {}
        self.time = NOW
        self.store = MemoryStore("test")
        self.images = ["file:///x", "file:///x"]

    def now(self) -> float:
        return self.time

    async def send(self, probe: Probe) -> None:
        self.probes.append(probe)
        named = probe.partition if isinstance(probe, LookupProbe) else None
        for partition in ({0, 1} if named is None else {named}) - self.silent:
            self.pending.deliver(self.answer(probe, partition))
        if self.silent or probe.generation not in {"", "g-0001"}:
            self.time = probe.deadline + 1  # nobody else is going to answer

    def answer(self, probe: Probe, partition: int) -> Answer:
        if isinstance(probe, LookupProbe):
            empty = Found(probe.query_id, partition, 2, "g-0001", 9, fresh=True)
            known = self.known.get(probe.product_id)
            if known is None or known.partition != partition:
                return empty
            return msgspec.structs.replace(known, query_id=probe.query_id)
        hit = Hit(f"sku-{partition}", 0.5 + partition / 10, self.images[partition], "dress")
        return Hits(
            probe.query_id,
            partition,
            2,
            "g-0001",
            9,
            fresh=True,
            hits=(hit,),
            unknown_facets=self.unknown.get(partition, ()),
            composed=True,
        )

    async def publish(self, _message: Message, result: Result) -> None:
        self.results.append(result)


def compose(shards: Shards) -> Compose:
    return Compose(
        fetcher=None,  # type: ignore[arg-type]
        images=FakeImageEncoder(),
        texts=FakeTextEncoder(),
        pending=shards.pending,
        publish=shards.publish,
        now=shards.now,
        limits=DecodeLimits(),
        partitions=2,
        batch_items=4,
        relative=shards.store.relative,
    )


def red_dress(partition: int = 1) -> Found:
    vector = FakeTextEncoder().forward([FakeTextEncoder().prepare("red dress")])[0]
    facets = {"category": "dress", "colour": "red"}
    data = np.asarray(vector, dtype="<f4").tobytes()
    return Found("", partition, 2, "g-0001", 9, fresh=True, category="dress", facets=facets, vector=data)


async def ask(shards: Shards, *, at: float = NOW, **query: Any) -> Result:
    value = msgspec.json.encode({"query_id": "q-1", **query})
    role = compose(shards)
    read = await role.answering(role.read)(Message(topics.QUERIES, 0, 3, b"q-1", value, timestamp_ms=int(at * 1000)))
    if not isinstance(read, Done):
        await role.answer(role.embed([role.cut(role.detect([role.open(read)])[0])])[0])
    return shards.results[-1]


async def test_words_alone_ask_every_shard_and_merge() -> None:
    """The best of all shards, and the offsets that it is true of."""
    shards = Shards()
    result = await ask(shards, text="a red dress", top_k=1, min_offsets={"catalog.items-1": 4})
    assert [hit.product_id for hit in result.hits] == ["sku-1"]
    assert not result.partial
    assert result.applied_offsets == {"catalog.items-0": 9, "catalog.items-1": 9}
    [probe] = shards.probes
    assert isinstance(probe, SearchProbe)
    assert probe.min_offsets == {"catalog.items-1": 4}


async def test_a_product_with_an_edit_searches_in_the_direction_of_the_edit() -> None:
    """From a red dress towards navy: nearer to navy than the reference was, and the reference is no answer."""
    shards = Shards()
    shards.known["sku-9"] = red_dress()
    await ask(shards, image={"product_id": "sku-9"}, text="but in navy")
    probe = shards.probes[-1]
    assert isinstance(probe, SearchProbe)
    assert probe.exclude_products == ("sku-9",)
    texts = FakeTextEncoder()
    navy = texts.forward([texts.prepare("navy")])[0]
    reference = np.frombuffer(red_dress().vector or b"", dtype="<f4")
    assert np.frombuffer(probe.vector, dtype="<f4") @ navy > reference @ navy


async def test_hits_are_relative_to_the_store() -> None:
    """Items of before a move hold absolute addresses; what is not in the store stays as it is."""
    shards = Shards()
    shards.store = MemoryStore("test")
    shards.images = ["memory://test/images/a.jpg", "file:///x"]
    result = await ask(shards, text="a red dress")
    assert {hit.product_id: hit.image for hit in result.hits} == {"sku-0": "images/a.jpg", "sku-1": "file:///x"}


async def test_what_is_not_wanted_becomes_a_filter() -> None:
    """Encoders ignore negation."""
    shards = Shards()
    await ask(shards, text="a dress, but not black")
    probe = shards.probes[-1]
    assert isinstance(probe, SearchProbe)
    assert "black" in probe.exclude["colour"]


async def test_a_silent_shard_makes_the_answer_partial_in_time() -> None:
    """Late is worse than partial."""
    shards = Shards()
    shards.silent = {1}
    result = await ask(shards, text="a red dress")
    assert result.partial
    assert (result.shards.answered, result.shards.of) == (1, 2)
    assert [hit.product_id for hit in result.hits] == ["sku-0"]


async def test_no_shard_at_all_is_an_answer_too() -> None:
    """The index is down: nobody is left waiting."""
    shards = Shards()
    shards.silent = {0, 1}
    result = await ask(shards, text="a red dress")
    assert result.partial
    assert (result.hits, result.shards.answered) == ((), 0)


async def test_an_unknown_product_is_named() -> None:
    """And told apart from shards that did not answer."""
    shards = Shards()
    result = await ask(shards, image={"product_id": "nobody"})
    assert result.error is not None
    assert result.error.code == "unknown_product"
    shards.silent = {1}
    result = await ask(shards, image={"product_id": "nobody"})
    assert result.error is not None
    assert "1 of 2 shards" in result.error.message


async def test_a_deadline_in_the_past_is_refused_at_once() -> None:
    """Nobody waits for the answer any more; the shards are spared."""
    shards = Shards()
    result = await ask(shards, at=NOW - 3600, text="a red dress", deadline_ms=2000)
    assert result.error is not None
    assert result.error.code == "deadline_exceeded"
    assert shards.probes == []


@pytest.mark.parametrize("name", ["catalog.items-2", "catalog.uploads-0", "catalog.items", "catalog.items-01", "0"])
async def test_a_partition_that_does_not_exist_is_refused(name: str) -> None:
    """Its offset can never be reached: an answer without a word would pass for a fresh one."""
    shards = Shards()
    result = await ask(shards, text="a red dress", min_offsets={"catalog.items-1": 4, name: 1})
    assert result.error is not None
    assert (result.error.code, result.error.field) == ("unknown_name", "min_offsets")
    assert repr(name) in result.error.message
    assert "catalog.items-0 to catalog.items-1" in result.error.message
    assert result.hits == ()


async def test_partitions_are_counted_by_the_shards() -> None:
    """While none answers, nobody knows how many there are: the answer is partial, and no error."""
    shards = Shards()
    shards.silent = {0, 1}
    result = await ask(shards, text="a red dress", min_offsets={"catalog.items-7": 4})
    assert result.error is None
    assert result.partial


async def test_a_partition_that_does_not_exist_is_refused_though_no_shard_answers() -> None:
    """The broker knows: under load the shards may say it too late, and a partial answer would be the wrong word for it."""
    shards, looks = Shards(), []

    async def count() -> int | None:
        looks.append(there[0])
        return there[0]

    async def asked(number: int) -> Result | None:
        value = msgspec.json.encode({"query_id": "q-1", "text": "red", "min_offsets": {f"catalog.items-{number}": 4}})
        await role.answering(role.read)(Message(topics.QUERIES, 0, 3, b"q-1", value, timestamp_ms=int(NOW * 1000)))
        return shards.results[-1] if shards.results else None

    there: list[int | None] = [None]
    shards.silent = {0, 1}
    role = dataclasses.replace(compose(shards), counted=PartitionCount(count))
    assert await asked(7) is None, "who does not know refuses nothing"
    there[0] = 2
    assert await asked(1) is None
    assert await asked(0) is None
    assert looks == [None, 2], "what is known is not asked for again"
    refused = await asked(2)
    assert (refused.error.code, refused.error.field) == ("unknown_name", "min_offsets")
    assert "catalog.items-0 to catalog.items-1" in refused.error.message
    assert shards.probes == []
    shards.results.clear()
    there[0] = 3
    assert await asked(2) is None, "partitions were added"


async def test_a_facet_that_no_product_has_is_told() -> None:
    """Only where every shard says so: one that has such a product answers for it."""
    shards = Shards()
    shards.unknown = {0: ("colr", "season"), 1: ("colr",)}
    result = await ask(shards, text="a dress", filters={"colr": ["red"], "season": ["ss27"]})
    assert result.error is None
    [warning] = result.warnings
    assert (warning.code, warning.field) == ("unknown_name", "filters.colr")
    assert "'colour'" in warning.message
    counted = await ask(shards, text="a dress", facets=("kind", "colr"))
    [warning] = counted.warnings
    assert (warning.code, warning.field) == ("unknown_name", "facets[1]")


async def test_the_longest_text_is_taken_however_it_is_worded() -> None:
    """Our own words for "sleeveless" are longer than the shopper's: the limit is that of the query, and of nothing else."""
    text = ("sleeveless " * 200)[:MAX_QUERY_TEXT]
    shards = Shards()
    shards.known["sku-9"] = red_dress()
    for query in ({}, {"image": {"product_id": "sku-9"}}):
        result = await ask(shards, text=text, **query)
        assert result.error is None
    result = await ask(shards, text=text + "x")
    assert result.error is not None
    assert (result.error.code, result.error.field) == ("out_of_range", "text")
    assert set(RESULT_CODES) >= {"out_of_range", "unknown_name"}


class Other(FakeImageEncoder):
    """Another maker's pictures."""

    fingerprint = "sha256:other"


async def test_queries_around_a_swap_are_each_asked_in_one_generation() -> None:
    """One batch of two generations: each query's probe has the vector, encoder and generation of when it was read."""
    shards = Shards()
    spaces = [Space("g-0001", FakeImageEncoder(), FakeTextEncoder()), Space("g-bar", Other(), FakeTextEncoder())]
    coming = iter(spaces)
    role = dataclasses.replace(compose(shards), live=lambda: next(coming))
    read = []
    for number, text in enumerate(("a red dress", "a navy dress")):
        value = msgspec.json.encode({"query_id": f"q-{number}", "text": text})
        read.append(await role.read(Message(topics.QUERIES, 0, number, None, value, timestamp_ms=int(NOW * 1000))))
    embedded = role.embed([role.open(asked) for asked in read if not isinstance(asked, Done)])
    for one in embedded:
        await role.answer(one)
    probes = [probe for probe in shards.probes if isinstance(probe, SearchProbe)]
    assert [(probe.generation, probe.encoder) for probe in probes] == [
        ("g-0001", FakeImageEncoder.fingerprint),
        ("g-bar", "sha256:other"),
    ]
    # The shards of this test are of g-0001: what they say to the second counts for nothing.
    assert [(r.generation, r.shards.answered, r.partial) for r in shards.results] == [
        ("g-0001", 2, False),
        ("", 0, True),
    ]


async def test_a_look_up_goes_to_the_shard_that_the_key_names() -> None:
    """And only where that shard has no such product to all of them: keys of before may lie elsewhere."""
    shards = Shards()
    shards.known = {"sku-1": red_dress(partition=1)}

    async def ask_at(partition: int) -> Result:
        async def place(_product_id: str) -> int | None:
            return partition

        shards.probes.clear()
        role = dataclasses.replace(compose(shards), place=place)
        value = msgspec.json.encode({"query_id": "q-1", "image": {"product_id": "sku-1"}})
        read = await role.answering(role.read)(
            Message(topics.QUERIES, 0, 3, b"q-1", value, timestamp_ms=int(NOW * 1000))
        )
        assert not isinstance(read, Done)
        await role.answer(role.embed([role.cut(role.detect([role.open(read)])[0])])[0])
        return shards.results[-1]

    assert (await ask_at(1)).error is None
    assert [p.partition for p in shards.probes if isinstance(p, LookupProbe)] == [1]
    assert (await ask_at(0)).error is None
    assert [p.partition for p in shards.probes if isinstance(p, LookupProbe)] == [0, None]
