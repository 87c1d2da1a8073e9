"""A running stack whose clients disagree on the partitioner, and whose topics change under it."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, RecordsToDelete
from PIL import Image

from infra.stores import open_store
from streams.contract import topics
from streams.contract.codecs import decode_match
from streams.contract.records import Caption, ImageRef, Match, Query, Result
from streams.contract.topics import ROLES
from streams.kafka.client import Client, Reader, new_query_id
from streams.kafka.options import client_options
from streams.kafka.pins import partition_of
from streams.ops.admin import create_topics
from streams.ops.caption_preview import last_of
from streams.ops.dlq import open_dead_letter_admin
from streams.ops.dlq_letters import Filter
from streams.ops.forget_places import Report
from streams.ops.ingest import Ingest
from streams.ops.stack_file import StackFile
from tests.fakes.key_topic import crc32_partition
from tests.fixtures.commands import weft
from tests.fixtures.stack import Up, photo_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

RED, NAVY = (200, 20, 30), (20, 30, 80)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    running = Up(tmp_path_factory.mktemp("order"), arguments=("--single-process",))
    running.start()
    yield running
    assert running.stop() == 0


def photo(rgb: tuple[int, int, int]) -> str:
    pixels = Image.new("RGB", (96, 96), (255, 255, 255))
    pixels.paste(rgb, (30, 20, 66, 76))
    buffer = io.BytesIO()
    pixels.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def upload(product: str, rgb: tuple[int, int, int] = RED) -> bytes:
    return msgspec.json.encode({"product_id": product, "image": {"bytes": photo(rgb)}})


class Shop:
    """A client of librdkafka's and one of Java's in one: it says where each record goes.

    Each record is younger than the one before: between partitions their times decide, and on a fast machine two records that
    wait for each other have the same millisecond.
    """

    def __init__(self, producer: AIOKafkaProducer, partitions: int) -> None:
        self._producer = producer
        self.partitions = partitions
        self._last_ms = 0

    async def _send(self, key: bytes | None, value: bytes | None, partition: int) -> None:
        self._last_ms = max(self._last_ms + 1, int(time.time() * 1000))
        await self._producer.send_and_wait(
            topics.UPLOADS, key=key, value=value, partition=partition, timestamp_ms=self._last_ms
        )

    async def crc32(self, product: str, value: bytes | None) -> None:
        await self._send(product.encode(), value, crc32_partition(product.encode(), self.partitions))

    async def murmur2(self, product: str, value: bytes | None) -> None:
        await self._send(product.encode(), value, partition_of(product.encode(), self.partitions))

    async def without_key(self, value: bytes, partition: int) -> None:
        await self._send(None, value, partition)


@asynccontextmanager
async def shop_of(up: Up) -> AsyncIterator[Shop]:
    async with AIOKafkaProducer(bootstrap_servers=up.settings.bootstrap_servers) as producer:
        yield Shop(producer, len(await producer.partitions_for(topics.UPLOADS)))


def running(up: Up) -> StackFile:
    """`stack.json` once it names every role: one that was started again works before it stands there."""
    until = time.monotonic() + 60
    while set(found := up.file.pids) != set(ROLES):
        assert time.monotonic() < until, f"only {sorted(found)} run"
        time.sleep(0.05)
    return up.file


@contextmanager
def frozen(up: Up) -> Iterator[None]:
    """The roles stand still: what is written meanwhile is a backlog."""
    pids = set(running(up).pids.values())
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def captions_until(up: Up, wanted: dict[str, str | None]) -> None:
    """Wait until each of these products has a caption whose first colour is this one, or (None) has none."""
    found: dict[str, str | None] = {}
    try:
        async with asyncio.timeout(120):
            while found != wanted:
                await asyncio.sleep(0.5)
                async with Client(up.settings) as client:
                    captions = await client.captions()
                found = {
                    name: captions[name].evidence.garments[0].colours[0].name if name in captions else None
                    for name in wanted
                }
    except TimeoutError:
        pytest.fail(f"{found} is not {wanted}")


async def worked_off(up: Up) -> None:
    """Wait until every upload was read, passed on or worked off."""
    async with Client(up.settings) as client:
        async with asyncio.timeout(120):
            while True:
                ends = await client.end_offsets(topics.UPLOADS)
                admin = AIOKafkaAdminClient(**client_options(up.settings))
                await admin.start()
                try:
                    commits = await admin.list_consumer_group_offsets("weft-enrich")
                finally:
                    await admin.close()
                done = {f"{place.topic}-{place.partition}": meta.offset for place, meta in commits.items()}
                if all(done.get(name, 0) >= end for name, end in ends.items()):
                    return
                await asyncio.sleep(0.3)


async def ask(up: Up, **fields: object) -> Result:
    async with Client(up.settings) as client:
        offsets = {name: offset for name, offset in (await client.end_offsets(topics.ITEMS)).items() if offset}
        return await client.query(
            Query(query_id=new_query_id(), deadline_ms=60_000, min_offsets=offsets, **fields)  # type: ignore[arg-type]
        )


def found(result: Result) -> set[str]:
    assert result.error is None, result.error
    assert (result.partial, result.shards.answered) == (False, result.shards.of)
    return {hit.product_id for hit in result.hits}


def page(up: Up, name: str) -> str:
    with urllib.request.urlopen(f"{running(up).metrics['enrich']}/{name}") as answer:
        text: str = answer.read().decode()
    return text


def metric(up: Up, name: str) -> float:
    """Sum over all labels."""
    lines = page(up, "metrics").splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{name}{{"))


def doctor(up: Up) -> str:
    return weft("doctor", "--json", "--data-dir", str(up.data_dir)).stdout


def forgotten(up: Up, *arguments: str) -> subprocess.CompletedProcess[str]:
    return weft("forget", *arguments, "--json", "--data-dir", str(up.data_dir))


async def add_partitions(up: Up, wanted: dict[str, int]) -> None:
    admin = AIOKafkaAdminClient(**client_options(up.settings))
    await admin.start()
    try:
        await admin.create_partitions({name: NewPartitions(total_count=count) for name, count in wanted.items()})
    finally:
        await admin.close()


def apart(prefix: str, count: int, partitions: int) -> list[str]:
    """Products that the two partitioners place differently."""
    names = (f"{prefix}-{number}" for number in range(1000))
    there = [n for n in names if crc32_partition(n.encode(), partitions) != partition_of(n.encode(), partitions)]
    return there[:count]


async def test_whoever_deletes_a_product_deletes_it(up: Up) -> None:
    """In a backlog lie uploads placed by CRC-32 or without a key, then deletes placed by murmur2: all stay deleted."""
    async with shop_of(up) as shop:
        gone, keyless, kept = (apart(*of, shop.partitions) for of in (("gone", 8), ("keyless", 4), ("kept", 4)))
        with frozen(up):
            for name in gone:
                await shop.crc32(name, upload(name))
            for number, name in enumerate(keyless):
                await shop.without_key(upload(name), number)
            for name in kept:
                # The other way round: an old delete by kcat, and a newer upload.
                await shop.crc32(name, None)
                await shop.murmur2(name, upload(name))
            for name in (*gone, *keyless):
                await shop.murmur2(name, None)
        await worked_off(up)
        await captions_until(up, {**dict.fromkeys((*gone, *keyless)), **dict.fromkeys(kept, "red")})
    assert not found(await ask(up, text="a red dress", top_k=1000)) & {*gone, *keyless}
    assert metric(up, "weft_misplaced_records_total") >= len(gone) + len(kept)
    told = doctor(up)
    assert "another partition than their key names" in told
    assert "photos of live products" in told, "which hides nothing else"


def product(name: str, rgb: tuple[int, int, int] = RED, **fields: str) -> bytes:
    return msgspec.json.encode({"product_id": name, "image": {"bytes": photo(rgb)}, **fields})


async def test_an_urgent_upload_is_captioned_before_the_backlog(up: Up) -> None:
    """It lies last of 301, and with it goes the older one of its product; a newer one comes after it. Nobody is left out."""
    async with Reader(up.settings, topics.CAPTIONS, from_end=True) as captions, shop_of(up) as shop:
        names = [f"backlog-{number}" for number in range(300)]
        with frozen(up):
            for name in names[:150]:
                await shop.murmur2(name, product(name))
            await shop.murmur2("hurry", product("hurry", RED))
            for name in names[150:]:
                await shop.murmur2(name, product(name))
            await shop.murmur2("hurry", product("hurry", NAVY, priority="high"))
            await shop.murmur2("behind", product("behind", NAVY, priority="high"))
            await shop.murmur2("behind", product("behind", RED))
        await worked_off(up)
        await captions_until(up, {**dict.fromkeys(names, "red"), "hurry": "navy", "behind": "red"})
        times = {record.key: record.timestamp_ms async for record in captions.to_end()}
    order = sorted((times[name.encode()], name) for name in (*names, "hurry"))
    assert [name for _, name in order].index("hurry") < 100
    async with Reader(up.settings, topics.ITEMS) as items:
        last = [record async for record in items.to_end() if record.key == b"hurry"][-1]
    assert last.header("weft_priority") == b"high"


async def test_two_shops_with_equal_ids_do_not_meet(up: Up) -> None:
    """Through the running roles: items, captions, hits and deletes are each shop's own, by the id or by the key."""
    async with shop_of(up) as shop:
        for name, one, two in ((f"equal-{n}", RED, NAVY) for n in range(4)):
            await shop.murmur2(name, product(name, one, shop="one"))
            await shop.murmur2(name, product(name, two, shop="two"))
        wanted: dict[str, str | None] = {f"//one/equal-{n}": "red" for n in range(4)}
        wanted |= {f"//two/equal-{n}": "navy" for n in range(4)} | {f"equal-{n}": None for n in range(4)}
        await captions_until(up, wanted)
        for of, others in (("one", "two"), ("two", "one")):
            result = await ask(up, text="a dress", top_k=1000, shop=of)
            assert {hit.shop for hit in result.hits} == {of}, others
            assert found(result) == {f"equal-{n}" for n in range(4)}
        assert not [name for name in found(await ask(up, text="a dress", top_k=1000)) if name.startswith("equal-")]
        async with Client(up.settings) as client:
            await client.delete(["equal-0"], shop="one")
        await captions_until(up, wanted | {"//one/equal-0": None})
    assert found(await ask(up, text="a dress", top_k=1000, shop="one")) == {f"equal-{n}" for n in range(1, 4)}
    assert 'shop="two"' in page(up, "metrics")


async def test_a_shop_is_forgotten_and_it_can_be_proven(up: Up, tmp_path: Path) -> None:
    """Captions, items, hits, photos and memos are gone; what Kafka still holds has its date or its reason; the other shop stays."""
    files = [
        photo_of(tmp_path, name, rgb)
        for name, rgb in (("gone-1", (11, 90, 200)), ("gone-2", (12, 91, 201)), ("stays-1", (200, 90, 11)))
    ]
    for file, of in zip(files, ("leaving", "leaving", "staying"), strict=True):
        async with Client(up.settings) as client:
            store = open_store(up.settings)
            [caption] = await Ingest(client, store, up.settings, shop=of).send_and_wait([file], 120)
        assert isinstance(caption, Caption)
        assert caption.shop == of
    async with asyncio.timeout(60), Reader(up.settings, topics.SIMILAR) as lists:
        async for record in lists.follow():
            if record.key == b"//leaving/gone-2":
                break
    ran = forgotten(up, "--shop", "leaving", "--prove")
    report = msgspec.json.decode(ran.stdout, type=Report)
    places = {place.place: place for place in report.places}
    assert [(one.product_id, one.shop) for one in report.products] == [("gone-1", "leaving"), ("gone-2", "leaving")], (
        ran.stderr
    )
    for name in ("index", "photos", "memos", "captions that cited it"):
        assert (places[name].state, places[name].found) == ("gone", 0), ran.stdout
    assert places["catalog.similar"].state == "waits", "each was the other's neighbour, and no list names them now"
    assert (places["catalog.captions"].state, places["catalog.captions"].until is not None) == ("waits", True)
    assert (places["catalog.uploads"].state, ran.returncode) == ("kept", 3)
    await captions_until(up, {"//leaving/gone-1": None, "//leaving/gone-2": None})
    assert found(await ask(up, text="a dress", top_k=1000, shop="staying")) == {"stays-1"}
    assert len(list(store.list("images/"))) >= 1
    async with Client(up.settings) as client:
        standing = (await client.captions())["//staying/stays-1"]
    assert standing.caption


async def test_a_shop_that_only_uses_kcat_is_served_in_order(up: Up) -> None:
    """Each product changes its colour, half of them go: as with any other client, and once each."""
    async with Reader(up.settings, topics.ITEMS, from_end=True) as items, shop_of(up) as shop:
        names = apart("kcat", 8, shop.partitions)
        for name in names:
            await shop.crc32(name, upload(name, RED))
        for name in names:
            await shop.crc32(name, upload(name, NAVY))
        for name in names[::2]:
            await shop.crc32(name, None)
        await captions_until(up, {name: None if name in names[::2] else "navy" for name in names})
        seen: dict[str, list[bytes | None]] = {}
        async for message in items.to_end():
            seen.setdefault((message.key or b"").decode(), []).append(message.value)
    for name in names:
        assert len(seen[name]) == (3 if name in names[::2] else 2)
        assert (seen[name][-1] is None) == (name in names[::2])


async def test_partitions_that_are_added_leave_nothing_behind(up: Up) -> None:
    """Items from 12 to 17, probes and hits from 1 to 3, uploads to 13: products change, go and are found as before."""
    names = [f"grown-{number}" for number in range(12)]
    async with shop_of(up) as shop:
        for name in names:
            await shop.murmur2(name, upload(name, RED))
        await captions_until(up, dict.fromkeys(names, "red"))
    await add_partitions(up, {topics.ITEMS: 17, topics.PROBES: 3, topics.HITS: 3, topics.UPLOADS: 13})
    async with shop_of(up) as shop:
        assert shop.partitions == 13
        for name in names[:6]:
            await shop.murmur2(name, upload(name, NAVY))
        for name in names[6:]:
            await shop.murmur2(name, None)
        await captions_until(up, {**dict.fromkeys(names[:6], "navy"), **dict.fromkeys(names[6:])})
    async with asyncio.timeout(60):
        while (result := await ask(up, text="navy", top_k=1000)).shards.of != 17:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
    assert found(result) & set(names) == set(names[:6])
    async with Reader(up.settings, topics.ITEMS) as items:
        places: dict[str, set[int]] = {}
        async for message in items.to_end():
            places.setdefault((message.key or b"").decode(), set()).add(message.partition)
    assert all(len(places[name]) == 1 for name in names)
    looked_up = [
        await last_of(up.settings, topics.ITEMS, "", name) for name in names[:6]
    ]  # `weft explain` and previews
    assert [record.key for record in looked_up] == [name.encode() for name in names[:6]]
    assert "has 17 partitions instead of 12" in doctor(up)


async def test_what_a_shop_aborts_never_happened(up: Up) -> None:
    """No item, no letter, no delete of what was aborted; a transaction that is open for long delays and loses nothing."""
    producer = AIOKafkaProducer(bootstrap_servers=up.settings.bootstrap_servers, transactional_id="shop")
    async with producer, shop_of(up) as shop, Reader(up.settings, topics.DEAD_LETTERS, from_end=True) as letters:
        transactional = Shop(producer, shop.partitions)
        async with producer.transaction():
            await transactional.murmur2("tx-kept", upload("tx-kept"))
        await captions_until(up, {"tx-kept": "red"})
        await producer.begin_transaction()
        await transactional.murmur2("tx-kept", None)
        await transactional.murmur2("tx-never", upload("tx-never"))
        await transactional.murmur2("tx-junk", b"{")
        await producer.abort_transaction()
        await producer.begin_transaction()
        await transactional.murmur2("tx-late", upload("tx-late"))
        await shop.murmur2("tx-late", upload("tx-late", NAVY))  # behind it, in the same partition
        await shop.murmur2("tx-other", upload("tx-other"))
        await producer.commit_transaction()
        wanted = {"tx-kept": "red", "tx-late": "navy", "tx-other": "red", "tx-never": None, "tx-junk": None}
        await captions_until(up, wanted)
        await worked_off(up)
        assert [message.key async for message in letters.to_end()] == []
    there = found(await ask(up, text="a dress", top_k=1000))
    assert {name for name in there if name.startswith("tx-")} == {"tx-kept", "tx-late", "tx-other"}


async def test_uploads_that_retention_took_unread_are_told(up: Up) -> None:
    """Five of six are gone: a letter, a number, `/healthz` and the doctor say so, before and after the role finds out."""
    async with shop_of(up) as shop:
        names = [f"taken-{number}" for number in range(500)]
        names = [name for name in names if partition_of(name.encode(), shop.partitions) == 0][:6]
        await worked_off(up)
        with frozen(up):
            for name in names:
                await shop.murmur2(name, upload(name))
            async with Client(up.settings) as client:
                end = (await client.end_offsets(topics.UPLOADS))[f"{topics.UPLOADS}-0"]
            admin = AIOKafkaAdminClient(**client_options(up.settings))
            await admin.start()
            try:
                await admin.delete_records({TopicPartition(topics.UPLOADS, 0): RecordsToDelete(end - 1)})
            finally:
                await admin.close()
            assert "were deleted before they were read" in doctor(up)
        await captions_until(up, {names[5]: "red"})
    # The fetch that was under way when the role froze may have brought the first of them: those are worked off, and
    # committed or not when the role looked where it is.
    async with asyncio.timeout(60), Client(up.settings) as client:
        while True:
            captions = await client.captions()
            fetched = [name for name in names[:5] if name in captions]
            lost = int(metric(up, "weft_lost_records_total"))
            if lost + len(fetched) >= 5:
                break
            await asyncio.sleep(0.2)
    assert fetched == names[: len(fetched)]
    assert 0 < lost <= 5
    assert f"{lost} records" in page(up, "healthz")
    async with open_dead_letter_admin(up.settings) as admin:
        [letter] = await admin.letters(Filter(stage="retention"))
    assert (letter.code, letter.partition, letter.offset) == ("lost", 0, end - 1 - lost)
    assert f"{lost} records" in doctor(up)


async def test_standing_queries_end_with_their_topic(up: Up) -> None:
    """It was created again: what was said of the queries of before is taken back, and those that are saved now are watched."""

    def saved(query_id: str) -> Query:
        return Query(query_id, filters={"price": {"lte": 20}}, shop="again")

    async with Client(up.settings) as client, Reader(up.settings, topics.MATCHES, from_end=True) as matches:
        coming = matches.follow()

        async def told(key: str) -> Match | None:
            async with asyncio.timeout(120):
                async for raw in coming:
                    if (raw.key or b"").decode().partition("@")[0] == key:
                        return None if raw.value is None else decode_match(raw.value)
            raise AssertionError(key)

        await client.save_query("before", saved("before"))
        said = await told("before")
        assert said is not None
        assert said.state == "watching"
        admin = AIOKafkaAdminClient(**client_options(up.settings))
        await admin.start()
        try:
            await admin.delete_topics([topics.STANDING])
            async with asyncio.timeout(60):
                while topics.STANDING in await admin.list_topics():  # noqa: ASYNC110 - the broker tells nobody
                    await asyncio.sleep(0.2)
        finally:
            await admin.close()
        await create_topics(up.settings)
        assert await told("before") is None
        await client.save_query("after", saved("after"))
        said = await told("after")
        assert said is not None
        assert said.state == "watching"
        await client.save_query("refused", Query("refused", image=ImageRef(product_id="nobody")))
        said = await told("refused")
        assert said is not None
        assert said.state == "refused"
    assert 'weft_matches_total{role="standing",state="refused"} 1.0' in page(up, "metrics")
