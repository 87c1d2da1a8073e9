"""The index role on a real Kafka: probes in, hits out, over restarts, rebalances and outages."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import GroupCoordinatorNotAvailableError
from msgspec.structs import replace

from infra.broker import EmbeddedBroker
from infra.broker_jars import Classpath
from processors.errors import Retryable
from streams.contract import codecs, topics
from streams.contract.probes import Found, Hits, LookupProbe
from streams.contract.records import Generation, Item
from streams.engine.observer import NullObserver
from streams.kafka.options import client_options
from streams.kafka.producer import open_producer
from streams.ops.generations.asking import open_asking
from streams.ops.generations.control import publish
from streams.search.generations import key_of
from tests.fakes.index_items import unit
from tests.fixtures.index_bench import PARTITIONS, Bench, bench, create_again, found, item, search_probe

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, kafka_classpath: Classpath) -> Iterator[EmbeddedBroker]:
    """One broker for this module; each `bench` begins with topics created anew."""
    with EmbeddedBroker(tmp_path_factory.mktemp("index-kafka"), classpath=kafka_classpath) as started:
        yield started


async def test_items_are_searchable_until_they_are_deleted(broker: EmbeddedBroker) -> None:
    """Upsert, replace, delete, filter and look up, each seen by a probe that waits for the write's own offset."""
    async with bench(broker.bootstrap) as b, b.role() as ready:
        ends: dict[int, int] = {}

        async def put(product_id: str, value: Item | None) -> None:
            partition, offset = await b.put(product_id, value)
            ends[partition] = offset + 1

        for i in range(60):
            await put(f"p{i}", item(f"p{i}", i, "navy" if i % 2 else "red"))
        answers = await b.search(7, min_offsets=ends)
        assert found(answers)[0] == "p7"
        assert {p: a.applied_offset for p, a in answers.items()} == ends
        assert all(a.fresh and a.of == PARTITIONS and a.generation == "g-0001" for a in answers.values())
        await put("p7", item("p7", 500))
        await put("p8", None)
        answers = await b.search(7, min_offsets=ends)
        assert found(answers)[0] != "p7"
        assert "p8" not in found(await b.search(8, top_k=60, min_offsets=ends))
        assert found(await b.search(500, min_offsets=ends))[0] == "p7"
        look = LookupProbe("look", "p7", time.time() + 20)
        holders = [a for a in (await b.ask(look)).values() if isinstance(a, Found) and a.vector]
        assert len(holders) == 1
        assert np.allclose(np.frombuffer(holders[0].vector or b"", "<f4"), unit(500), atol=1e-3)
        assert holders[0].facets == {"category": "dress", "colour": "red"}
        # What a second stage compares: several products at once, from whichever shards hold them.
        many = LookupProbe("many", "", time.time() + 20, joined=True, products=("p7", "p1", "p8", "nobody"))
        told = {one.product_id: one for a in (await b.ask(many)).values() if isinstance(a, Found) for one in a.products}
        assert sorted(told) == ["p1", "p7"]
        rows = np.frombuffer(told["p7"].vectors, "<f2").reshape(len(told["p7"].views), -1)
        assert np.allclose(rows[0], unit(500), atol=1e-3)
        async with asyncio.timeout(60):
            await ready.wait()  # it also waits for what index.control says of generations


async def test_a_bad_item_goes_to_the_dead_letters_and_stops_nothing(broker: EmbeddedBroker) -> None:
    """Undecodable, of another encoder: dead-lettered with the cause; what follows is searchable."""
    async with bench(broker.bootstrap) as b, b.role():
        await b.put("x", b"garbage")
        await b.put("x", item("x", 1, encoder="sha256:other"))
        partition, offset = await b.put("x", item("x", 2))
        answers = await b.search(2, min_offsets={partition: offset + 1})
        assert found(answers) == ["x"]
        letters = [await b.dead.getone() for _ in range(2)]
        causes = [dict(letter.headers)["__connect.errors.exception.message"].decode() for letter in letters]
        assert any("sha256:other" in cause for cause in causes)
        assert [letter.key for letter in letters] == [b"x", b"x"]
        assert b"garbage" in [letter.value for letter in letters]


async def test_an_offset_that_does_not_come_is_answered_in_time_and_said(broker: EmbeddedBroker) -> None:
    """The shard whose offset is not reached answers `fresh: false` before the deadline; the others at once."""
    async with bench(broker.bootstrap) as b, b.role() as ready:
        await ready.wait()
        partition, offset = await b.put("p", item("p", 1))
        await b.search(1, min_offsets={partition: offset + 1})
        probe = search_probe(1, 3.0, min_offsets={partition: offset + 100})
        answers = await b.ask(probe)
        # When it was sent, not when it came to us: a test that runs late is no late answer.
        assert max(b.sent_ms.values()) < probe.deadline * 1000
        assert {p: a.fresh for p, a in answers.items()} == {p: p != partition for p in range(PARTITIONS)}
        assert found(answers) == ["p"]


async def test_a_restart_goes_on_from_the_snapshot(broker: EmbeddedBroker) -> None:
    """The second worker restores what the first one saved, to the same digest, and replays only what came after."""
    async with bench(broker.bootstrap) as b:
        ends: dict[int, int] = {}
        for i in range(40):
            partition, offset = await b.put(f"p{i}", item(f"p{i}", i))
            ends[partition] = offset + 1
        async with b.role() as ready:
            await ready.wait()
        first = b.manifests()
        assert {p: m.next_offset for p, m in first.items()} == ends
        partition, offset = await b.put("p1", None)
        b.store.writes.clear()
        async with b.role():
            answers = await b.search(1, top_k=40, min_offsets={partition: offset + 1})
            assert sorted(found(answers)) == sorted(f"p{i}" for i in range(40) if i != 1)
        second = b.manifests()
        assert second[partition].live == first[partition].live - 1
        assert second[partition].epoch == first[partition].epoch + 1
        # Nothing was replayed: the rows lie in the objects of the first worker, only tombstones were written.
        assert second[partition].segments == first[partition].segments
        assert {p: m.digest for p, m in second.items() if p != partition} == {
            p: m.digest for p, m in first.items() if p != partition
        }


async def test_a_probe_sent_before_the_worker_was_up_is_answered(broker: EmbeddedBroker) -> None:
    """Nobody was there when it came; its deadline has not passed when somebody is. An expired one gets no answer."""
    async with bench(broker.bootstrap) as b:
        await b.put("p", item("p", 1))
        expired = search_probe(1, -1.0)
        early = search_probe(1, 60.0)
        assert await b.ask(expired, answers=1) == {}
        role = AsyncExitStack()

        async def start() -> None:
            await role.enter_async_context(b.role())

        async with role:
            answers = await b.ask(early, sent=start)
            assert set(answers) == set(range(PARTITIONS))
        assert await b.gather(expired, answers=1) == {}


async def test_two_workers_share_the_partitions_and_one_leaves(broker: EmbeddedBroker) -> None:
    """Each partition is answered for by its holder; after one worker leaves, the other has all of them, unchanged."""
    async with bench(broker.bootstrap) as b, b.role() as one:
        ends: dict[int, int] = {}
        for i in range(30):
            partition, offset = await b.put(f"p{i}", item(f"p{i}", i))
            ends[partition] = offset + 1
        await one.wait()
        before = await b.search(3, top_k=30, min_offsets=ends)
        async with b.role() as two:
            await two.wait()
            during = await b.search(3, top_k=30, min_offsets=ends)
        after = await b.search(3, top_k=30, min_offsets=ends)
        assert found(before) == found(during) == found(after)
        assert len(found(before)) == 30
        # The epochs tell that partitions changed hands.
        assert sum(b.epochs()) > PARTITIONS


@contextmanager
def worker(b: Bench, folder: Path, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """A `weft worker index` of its own, with a standby for each shard; it is ended with the test."""
    environment = os.environ | {
        "WEFT_BOOTSTRAP_SERVERS": b.settings.bootstrap_servers,
        "WEFT_STORE_URL": (folder / "store").as_uri(),
        "WEFT_DATA_DIR": str(folder / name),
        "WEFT_INDEX_STANDBYS": "1",
    }
    with (folder / f"{name}.log").open("wb") as log:
        command = [sys.executable, "-P", "-m", "streams.cli", "worker", "index"]
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def standing_by(b: Bench, ends: Mapping[int, int], folder: Path) -> None:
    """Return once one worker stands by for each shard, and is as far as these ends."""
    until = time.monotonic() + 120
    async with open_asking(b.settings) as asking:
        while time.monotonic() < until:
            found = await asking.standbys("g-0001", patience_s=1.0)
            if all(any(copy.next_offset >= end for copy in found.get(p, ())) for p, end in ends.items()):
                return
    pytest.fail("".join(f"--- {name}\n{_said(folder, name)[-3000:]}" for name in ("one", "two")))


def _said(folder: Path, name: str) -> str:
    return (folder / f"{name}.log").read_text()


def _takeovers(folder: Path) -> int:
    return _said(folder, "two").count("standby takes over")


async def test_a_standby_answers_for_a_killed_owner_and_takes_over_from_memory(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    """Long before the group notices: whole answers, with what was written; then the copies are claimed and go on."""
    async with bench(broker.bootstrap) as b:
        (tmp_path / "store").mkdir()
        ends: dict[int, int] = {}
        with worker(b, tmp_path, "one") as one, worker(b, tmp_path, "two") as two:
            # Before there are items: a store that is empty is none that lost them.
            await standing_by(b, dict.fromkeys(range(PARTITIONS), 0), tmp_path)
            for i in range(40):
                partition, offset = await b.put(f"p{i}", item(f"p{i}", i))
                ends[partition] = offset + 1
            await standing_by(b, dict.fromkeys(range(PARTITIONS), 0) | ends, tmp_path)
            before = await b.search(3, seconds=25.0, top_k=40, min_offsets=ends)
            assert len(found(before)) == 40
            taken = _takeovers(tmp_path)
            one.kill()
            one.wait()
            during = await b.search(3, seconds=25.0, top_k=40, min_offsets=ends)
            assert all(answer.fresh for answer in during.values())
            assert found(during) == found(before)
            async with asyncio.timeout(120):
                while _takeovers(tmp_path) == taken:  # noqa: ASYNC110 - another process writes it
                    await asyncio.sleep(0.2)
            partition, offset = await b.put("p1", None)
            after = await b.search(3, seconds=25.0, top_k=40, min_offsets={partition: offset + 1})
            assert sorted(found(after)) == sorted(f"p{i}" for i in range(40) if i != 1)
            assert two.poll() is None


async def test_a_worker_holds_every_generation_of_its_partitions(broker: EmbeddedBroker) -> None:
    """Built while one worker runs, shared with a second one, back with the first; dropped, nobody answers for it any more."""
    async with bench(broker.bootstrap) as b, b.role() as one:
        ends: dict[int, int] = {}
        for i in range(30):
            partition, offset = await b.put(f"p{i}", item(f"p{i}", i))
            ends[partition] = offset + 1
        await one.wait()

        async def ask(seconds: float = 60.0) -> dict[int, Hits]:
            probe = replace(search_probe(3, seconds, 30, ends), generation="g-bar")
            answers = await b.ask(probe)
            assert all(answer.generation == "g-bar" for answer in answers.values())
            return {p: a for p, a in answers.items() if isinstance(a, Hits)}

        made = Generation(key_of("g-bar"), "g-bar", "building", ready=True)
        await publish(b.sender, made)
        alone = await ask()
        assert len(found(alone)) == 30
        async with b.role() as two:
            await two.wait()
            shared = await ask()
        back = await ask()
        assert found(alone) == found(shared) == found(back) == found(await b.search(3, top_k=30, min_offsets=ends))
        await publish(b.sender, replace(made, state="retired"))
        async with asyncio.timeout(30):
            while await ask(0.5):
                pass


class Lags(NullObserver):
    """Keeps what it was told last of each topic."""

    def __init__(self) -> None:
        self.last: dict[str, dict[int, int]] = {}

    def lag(self, topic: str, messages: Mapping[int, int]) -> None:
        self.last[topic] = dict(messages)


async def test_monitors_outside_see_where_the_index_is(broker: EmbeddedBroker) -> None:
    """The group's offsets follow within seconds, not with the next snapshot; so does our own metric."""
    async with bench(broker.bootstrap) as b:
        ends: dict[int, int] = {}
        for number in range(20):
            partition, offset = await b.put(f"p{number}", item(f"p{number}", number))
            ends[partition] = offset + 1
        lags = Lags()
        admin = AIOKafkaAdminClient(**client_options(b.settings))
        await admin.start()
        try:
            async with asyncio.timeout(60), b.role(observer=lags, tell_seconds=0.2, snapshot_seconds=3600.0):
                committed: dict[int, int] = {}
                while not ends.items() <= committed.items():
                    with suppress(GroupCoordinatorNotAvailableError):  # a fresh broker makes its topic of offsets first
                        offsets = await admin.list_consumer_group_offsets("weft-index")
                        committed = {place.partition: found.offset for place, found in offsets.items()}
                    await asyncio.sleep(0.1)
                every = dict.fromkeys(range(PARTITIONS), 0)
                while lags.last != {topics.ITEMS: every}:  # noqa: ASYNC110 - told from a task of the role
                    await asyncio.sleep(0.05)
        finally:
            await admin.close()


async def test_a_store_that_is_away_costs_only_time(broker: EmbeddedBroker) -> None:
    """Away at the start, then away at a snapshot: searches wait or go on; afterwards everything is saved."""
    async with bench(broker.bootstrap) as b:
        partition, offset = await b.put("p", item("p", 1))
        b.store.away = Retryable("store down")
        role = AsyncExitStack()

        async def start_and_heal() -> None:
            ready = await role.enter_async_context(b.role(snapshot_seconds=0.1))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5.0):
                    await ready.wait()
            b.store.away = None

        async with role:
            answers = await b.ask(search_probe(1, 60.0, min_offsets={partition: offset + 1}), sent=start_and_heal)
            assert set(answers) == set(range(PARTITIONS))
            b.store.away = Retryable("store down")
            partition, offset = await b.put("p", item("p", 2))
            assert found(await b.search(2, min_offsets={partition: offset + 1})) == ["p"]
            b.store.away = None
        assert b.manifests()[partition].next_offset == offset + 1


async def test_a_broker_that_is_away_costs_only_time(broker: EmbeddedBroker) -> None:
    """Killed for some seconds under a running worker: afterwards items are indexed and probes answered as before."""
    async with bench(broker.bootstrap) as b, b.role() as ready:
        partition, offset = await b.put("a", item("a", 1))
        await ready.wait()
        await b.search(1, min_offsets={partition: offset + 1})
        await asyncio.to_thread(broker.kill)
        await asyncio.sleep(3)  # the outage itself, not a wait for anything to settle
        await asyncio.to_thread(broker.start)
        partition, offset = await b.put("b", item("b", 2))
        answers = await b.search(2, seconds=60.0, min_offsets={partition: offset + 1})
        assert set(answers) == set(range(PARTITIONS))
        assert sorted(found(answers)) == ["a", "b"]


@pytest.mark.parametrize("products", [1, 200])
async def test_a_topic_created_again_is_indexed_anew(broker: EmbeddedBroker, products: int) -> None:
    """The snapshot is of a log that is gone: nothing of it is served, whether the new log is shorter or longer."""
    async with bench(broker.bootstrap) as b:
        for i in range(20):
            await b.put(f"old{i}", item(f"old{i}", i))
        async with b.role() as ready:
            await ready.wait()
        assert set(b.manifests()) == set(range(PARTITIONS))
        store = b.store
    async with bench(broker.bootstrap) as b:
        b.store = store
        ends: dict[int, int] = {}
        for i in range(products):
            partition, offset = await b.put(f"new{i}", item(f"new{i}", i))
            ends[partition] = offset + 1
        async with b.role():
            answers = await b.search(0, top_k=300, min_offsets=ends)
            assert sorted(found(answers)) == sorted(f"new{i}" for i in range(products))


async def test_a_topic_created_again_under_a_running_worker(broker: EmbeddedBroker) -> None:
    """Its offset is out of range: the shard starts over, and what the old log held is gone."""
    async with bench(broker.bootstrap) as b, b.role() as ready:
        written = [await b.put(f"old{i}", item(f"old{i}", i)) for i in range(30)]
        await ready.wait()
        old = {partition: offset + 1 for partition, offset in written}  # the last of each partition
        assert len(found(await b.search(1, 60.0, top_k=50, min_offsets=old))) == 30
        await create_again(b.settings, [topics.ITEMS])
        async with open_producer(b.settings) as sender:  # an idempotent producer counts on in the log it knows
            value = codecs.encode(item("new", 1))
            sent = await (await sender.send(topics.ITEMS, key=b"new", value=value))
        ends = {sent.partition: sent.offset + 1}  # type: ignore[attr-defined]
        async with asyncio.timeout(60):
            while (products := found(await b.search(1, 5.0, top_k=50, min_offsets=ends))) != ["new"]:
                assert set(products) <= {"new", *(f"old{i}" for i in range(30))}


async def test_records_lost_before_they_were_read_are_no_silent_gap(broker: EmbeddedBroker) -> None:
    """The log is truncated between recovery and the first read: the shard starts over at the new beginning."""
    async with bench(broker.bootstrap) as b:
        written: dict[int, list[tuple[int, str]]] = {}
        for i in range(60):
            partition, offset = await b.put(f"p{i}", item(f"p{i}", i))
            written.setdefault(partition, []).append((offset, f"p{i}"))
        ends = {partition: records[-1][0] + 1 for partition, records in written.items()}
        b.store.away = Retryable("store down")
        async with b.role():
            async with asyncio.timeout(30):
                while b.store.refused < PARTITIONS:  # noqa: ASYNC110 - then every shard knows the bounds of its log
                    await asyncio.sleep(0.05)
            admin = AIOKafkaAdminClient(**client_options(b.settings))
            await admin.start()
            policy = {"cleanup.policy": "compact,delete"}  # of a topic that is compacted only, nothing can be cut off
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topics.ITEMS, policy)])
            await admin.delete_records({TopicPartition(topics.ITEMS, p): RecordsToDelete(5) for p in written})
            await admin.close()
            b.store.away = None
            answers = await b.search(1, 60.0, top_k=60, min_offsets=ends)
            left = [name for records in written.values() for offset, name in records if offset >= 5]
            assert sorted(found(answers)) == sorted(left)
