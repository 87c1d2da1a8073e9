"""The second stage of a composed query: a new order where there is time, the first one where there is not."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from models.fakes import FakeImageEncoder, FakeTextEncoder
from models.ports import Reranker, SecondLook, Several
from processors.chances import pack
from processors.decode import DecodeLimits
from streams.contract import topics
from streams.contract.probes import Answer, Found, Hits, LookupProbe, Probe, ProductViews, SearchProbe
from streams.contract.records import Hit, Result
from streams.engine.message import Message
from streams.engine.stages import Done
from streams.roles.compose.reranking import MOST
from streams.roles.compose.role import Compose
from streams.search.pending import PendingQueries

NOW = 1_000_000.0
HEAD = 8
"""Hits of the two shards together, the best first: sku-0 … sku-7."""


def words(text: str) -> NDArray[np.float32]:
    encoder = FakeTextEncoder()
    return np.asarray(encoder.forward([encoder.prepare(text)])[0], np.float32)


class LastFirst:
    """Turns the order around, and keeps what it was asked."""

    fingerprint = "sha256:fake"

    def __init__(self, answer: Callable[[int], NDArray[np.float32]] | None = None) -> None:
        self.asked: list[tuple[SecondLook, Sequence[Several]]] = []
        self._answer = answer or (lambda count: np.arange(count, dtype=np.float32))

    def scores(self, query: SecondLook, products: Sequence[Several], /) -> NDArray[np.float32]:
        self.asked.append((query, products))
        return self._answer(len(products))


class Shards:
    """Two shards: the even products are of the first, the odd ones of the second."""

    def __init__(self, count: int = HEAD) -> None:
        self.pending = PendingQueries(self.send, self.now)
        self.probes: list[Probe] = []
        self.results: list[Result] = []
        self.count = count
        self.mute: set[int] = set()
        """Those that tell no vectors, as workers of an earlier version."""
        self.silent = False
        self.time = NOW
        self.search_s = 0.0

    def now(self) -> float:
        return self.time

    async def send(self, probe: Probe) -> None:
        self.probes.append(probe)
        if self.silent and isinstance(probe, LookupProbe) and probe.products:
            self.time = probe.deadline + 0.001
            return
        for partition in (0, 1):
            self.pending.deliver(self.answer(probe, partition))
        if not (isinstance(probe, LookupProbe) and probe.products):
            self.time += self.search_s

    def answer(self, probe: Probe, partition: int) -> Answer:
        if isinstance(probe, LookupProbe):
            found = Found(probe.query_id, partition, 2, "g-0001", 9, fresh=True)
            if probe.products and partition not in self.mute:
                held = [key for key in probe.products if int(key.partition("-")[2]) % 2 == partition]
                views = tuple(
                    ProductViews(key, ("whole",), ("dress",), words(key).astype("<f2").tobytes()) for key in held
                )
                return msgspec.structs.replace(found, products=views)
            if probe.product_id == "sku-99" and partition == 1:
                chances = pack({"category": {"dress": 0.9}, "colour": {"red": 0.9}})
                vector = words("red dress").astype("<f4").tobytes()
                return msgspec.structs.replace(found, vector=vector, facets={"colour": "red"}, chances=chances)
            return found
        assert isinstance(probe, SearchProbe)
        numbers = [n for n in range(self.count) if n % 2 == partition][: probe.top_k]
        hits = tuple(Hit(f"sku-{n}", 0.9 - n / 1000, "i.jpg", "dress") for n in numbers)
        return Hits(probe.query_id, partition, 2, "g-0001", 9, fresh=True, hits=hits, composed=True, typed=True)

    async def publish(self, _message: Message, result: Result) -> None:
        self.results.append(result)


async def ask(shards: Shards, reranker: Reranker | None, **query: Any) -> Result:
    role = Compose(
        fetcher=None,  # type: ignore[arg-type]
        images=FakeImageEncoder(),
        texts=FakeTextEncoder(),
        pending=shards.pending,
        publish=shards.publish,
        now=shards.now,
        limits=DecodeLimits(),
        partitions=2,
        batch_items=4,
        reranker=reranker,
    )
    asked = {"query_id": "q-1", "image": {"product_id": "sku-99"}, "text": "but in navy", **query}
    message = Message(topics.QUERIES, 0, 3, b"q-1", msgspec.json.encode(asked), timestamp_ms=int(NOW * 1000))
    read = await role.answering(role.read)(message)
    assert not isinstance(read, Done)
    await role.answer(role.embed([role.open(read)])[0])
    return shards.results[-1]


def ids(result: Result) -> list[str]:
    return [hit.product_id for hit in result.hits]


FIRST = [f"sku-{n}" for n in range(HEAD)]


async def test_the_best_are_compared_again_and_tell_their_first_score() -> None:
    """The whole head is asked for, whatever the page; the reference comes with it."""
    shards, reranker = Shards(), LastFirst()
    result = await ask(shards, reranker, top_k=3)
    assert ids(result) == FIRST[::-1][:3]
    assert [hit.score for hit in result.hits] == [0.893, 0.894, 0.895]
    assert result.reranked == "done"
    search = next(probe for probe in shards.probes if isinstance(probe, SearchProbe))
    assert search.top_k == MOST
    [(question, products)] = reranker.asked
    assert question.reference is not None
    assert question.reference.vectors == pytest.approx(words("sku-99")[None], abs=1e-3)
    assert question.first.tolist() == sorted(question.first.tolist(), reverse=True)
    assert [one.vectors.shape for one in products] == [(1, FakeImageEncoder().dimension)] * HEAD
    assert question.blocks["colour"]["navy"] > 0


async def test_pages_are_cut_from_one_order() -> None:
    """No hit stands on two pages, and none on no page."""
    pages = [await ask(Shards(), LastFirst(), limit=3, offset=offset) for offset in (0, 3, 6)]
    assert [name for page in pages for name in ids(page)] == FIRST[::-1]


async def test_what_lies_behind_the_best_stays_there() -> None:
    """Work is bounded: the fifty-first is not compared."""
    shards, reranker = Shards(MOST + 10), LastFirst()
    result = await ask(shards, reranker, top_k=MOST + 10)
    names = [f"sku-{n}" for n in range(MOST + 10)]
    assert ids(result) == names[:MOST][::-1] + names[MOST:]
    assert len(reranker.asked[0][1]) == MOST
    behind = await ask(Shards(MOST + 10), LastFirst(), limit=5, offset=MOST)
    assert ids(behind) == names[MOST : MOST + 5]
    assert behind.reranked is msgspec.UNSET


async def test_without_a_second_stage_nothing_is_asked_for_it() -> None:
    """The stack as it was: as many hits as the page has, one round."""
    shards = Shards()
    result = await ask(shards, None, top_k=3)
    assert ids(result) == FIRST[:3]
    assert result.reranked is msgspec.UNSET
    assert not any(isinstance(probe, LookupProbe) and probe.products for probe in shards.probes)
    assert next(probe for probe in shards.probes if isinstance(probe, SearchProbe)).top_k == 3


@pytest.mark.parametrize(
    "query",
    [{"text": "a navy dress", "image": None}, {"text": None}, {"sort": "price"}, {"text": "in navy, more elegant"}],
)
async def test_only_composed_queries_in_the_order_of_scores_have_one(query: dict[str, Any]) -> None:
    """What is sorted by price must stay so; words and photos alone have orders of their own."""
    result = await ask(Shards(), LastFirst(), **query)
    assert result.reranked is msgspec.UNSET
    assert ids(result) == FIRST


async def test_where_no_time_is_left_the_first_order_stands() -> None:
    """A second round would make the answer late."""
    shards, reranker = Shards(), LastFirst()
    shards.search_s = 0.95
    result = await ask(shards, reranker, deadline_ms=2000)
    assert result.reranked == "late"
    assert ids(result) == FIRST
    assert not reranker.asked
    assert not any(isinstance(probe, LookupProbe) and probe.products for probe in shards.probes)


async def test_shards_that_do_not_answer_cost_half_of_what_is_left() -> None:
    """The deadline is the query's, not the second stage's."""
    shards, reranker = Shards(), LastFirst()
    shards.silent = True
    result = await ask(shards, reranker, deadline_ms=2000)
    assert result.reranked == "late"
    assert ids(result) == FIRST
    assert shards.time < NOW + 1.1
    assert not result.partial


async def test_products_whose_vectors_nobody_told_keep_their_places() -> None:
    """A worker of an earlier version tells none: its products neither rise nor fall."""
    shards = Shards()
    shards.mute = {0}
    result = await ask(shards, LastFirst())
    assert result.reranked == "some"
    assert ids(result) == ["sku-0", "sku-7", "sku-2", "sku-5", "sku-4", "sku-3", "sku-6", "sku-1"]
    # Without the reference there is nothing to compare with.
    shards.mute = {1}
    result = await ask(shards, LastFirst())
    assert result.reranked == "late"
    assert ids(result) == FIRST


def raising(_count: int) -> NDArray[np.float32]:
    raise RuntimeError("a head that fails")


@pytest.mark.parametrize(
    "answer", [raising, lambda n: np.full(n, np.nan, np.float32), lambda n: np.zeros(n + 1, np.float32)]
)
async def test_a_head_that_fails_costs_its_order_and_not_the_answer(
    answer: Callable[[int], NDArray[np.float32]],
) -> None:
    """Whatever a model does, the first order is an answer."""
    result = await ask(Shards(), LastFirst(answer))
    assert result.reranked == "failed"
    assert ids(result) == FIRST


async def test_a_head_that_takes_too_long_is_not_waited_for() -> None:
    """Never past the deadline: the answer leaves while the head still computes."""

    answered = threading.Event()

    def slow(count: int) -> NDArray[np.float32]:
        assert answered.wait(60)
        return np.arange(count, dtype=np.float32)

    shards = Shards()
    shards.search_s = 0.85  # twice: .25 s are left
    result = await ask(shards, LastFirst(slow), deadline_ms=2000)
    answered.set()
    assert result.reranked == "late"
    assert ids(result) == FIRST


async def test_broken_vectors_of_a_worker_are_no_vectors() -> None:
    """Of another dimension, or half a row."""
    shards = Shards()
    whole = shards.answer

    def broken(probe: Probe, partition: int) -> Answer:
        found = whole(probe, partition)
        if isinstance(found, Found) and found.products and partition == 0:
            cut = [msgspec.structs.replace(one, vectors=one.vectors[:-2]) for one in found.products]
            return msgspec.structs.replace(found, products=tuple(cut))
        return found

    shards.answer = broken  # type: ignore[method-assign]
    result = await ask(shards, LastFirst())
    assert result.reranked == "some"
    assert ids(result)[::2] == FIRST[::2]


def test_a_question_is_a_value() -> None:
    """Rerankers are called in threads."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        SecondLook(np.zeros(1, np.float32), None, 1.0, (), {}, None).image = None  # type: ignore[misc]
