"""Roles restart where they were; a store or a broker away for ten seconds costs time, and nothing else."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from infra.stores import open_store
from streams.contract import topics
from streams.contract.records import Caption, ImageRef, Query, Result
from streams.contract.topics import ROLES
from streams.engine.message import Message
from streams.kafka.client import Client, Reader, new_query_id
from streams.ops.ingest import Ingest, Photo
from tests.fixtures.stack import Up, photo_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

RED = (200, 20, 30)
AWAY_S = 10.0
SILENT_S = 15
"""After so long a role that answers nothing is started again: longer than anything is away here."""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One stack for the tests of this module: they may do to it what they like, and use products of their own."""
    up = Up(tmp_path_factory.mktemp("restarts") / "stack", {"WEFT_SILENT_SECONDS": str(SILENT_S)})
    up.start()
    yield up
    assert up.stop() == 0


async def all_roles(up: Up) -> dict[str, int]:
    """The pids of `stack.json` once it names every role: one that was started again works before it stands there."""
    async with asyncio.timeout(120):
        while set(found := up.file.pids) != set(ROLES):  # noqa: ASYNC110 - the file tells nobody
            await asyncio.sleep(0.05)
    return dict(found)


def family(up: Up) -> list[psutil.Process]:
    """Everything that `weft up` started and that runs."""
    assert up.process is not None
    return psutil.Process(up.process.pid).children(recursive=True)


def photos_of(folder: Path, name: str, count: int) -> list[Photo]:
    return [photo_of(folder, f"{name}-{n}", RED) for n in range(count)]


async def ingest(up: Up, photos: list[Photo], during: asyncio.Task[None] | None = None) -> list[Caption]:
    settings = up.settings
    async with Client(settings) as client:
        outcomes = await Ingest(client, open_store(settings), settings).send_and_wait(photos, 300)
    if during is not None:
        await during
    return [outcome for outcome in outcomes if isinstance(outcome, Caption)]


async def everything_on(up: Up, topic: str) -> list[Message]:
    async with Reader(up.settings, topic) as reader:
        return [message async for message in reader.to_end()]


async def captions_of(up: Up, photos: list[Photo]) -> list[tuple[int, int]]:
    """Where their captions stand on the topic; those of other products may still be told again after a kill of another test."""
    keys = {photo.product_id.encode() for photo in photos}
    return sorted((m.partition, m.offset) for m in await everything_on(up, topics.CAPTIONS) if m.key in keys)


async def find(up: Up, product_id: str) -> Result:
    async with Client(up.settings) as client:
        offsets = {name: offset for name, offset in (await client.end_offsets(topics.ITEMS)).items() if offset}
        query = Query(
            query_id=new_query_id(),
            image=ImageRef(product_id=product_id),
            top_k=1000,
            deadline_ms=60_000,
            min_offsets=offsets,
        )
        return await client.query(query)


async def assert_found(up: Up, photos: list[Photo]) -> None:
    """Who asks with one of them gets all the others, once."""
    [first, *others] = [photo.product_id for photo in photos]
    name = first.rpartition("-")[0]
    found = [hit.product_id for hit in (await find(up, first)).hits if hit.product_id.startswith(f"{name}-")]
    assert sorted(found) == sorted(others)


async def assert_one_caption_each(up: Up, photos: list[Photo]) -> None:
    """What a reader of the topic sees: one caption for each upload; a second delivery has the same id and bytes."""
    seen: dict[str, set[tuple[bytes, bytes]]] = {photo.product_id: set() for photo in photos}
    for message in await everything_on(up, topics.CAPTIONS):
        product_id = (message.key or b"").decode()
        if product_id in seen:
            seen[product_id].add((message.header("ce_id") or b"", message.value or b""))
    assert {product_id: len(captions) for product_id, captions in seen.items()} == dict.fromkeys(seen, 1)


async def test_a_stack_goes_on_where_it_was(own: Up, tmp_path: Path) -> None:
    """After a stop and a start: the captions stand, the index answers, nothing is captioned twice."""
    photos = photos_of(tmp_path, "before", 8)
    await ingest(own, photos)
    captioned = await captions_of(own, photos)
    assert len(captioned) == len(photos)
    children = family(own)
    assert own.stop() == 0
    assert [child for child in children if child.is_running()] == []
    assert not (own.data_dir / "stack.json").exists()
    own.start()
    await assert_found(own, photos)
    assert await captions_of(own, photos) == captioned
    await ingest(own, photos_of(tmp_path, "after", 4))
    await assert_one_caption_each(own, photos)


async def test_killed_roles_come_back_and_lose_nothing(own: Up, tmp_path: Path) -> None:
    """`kill -9` of every role while photos are on their way; `stack.json` names the new processes afterwards."""
    before = await all_roles(own)
    photos = photos_of(tmp_path, "killed", 40)

    async def kill_all() -> None:
        async with Reader(own.settings, topics.ITEMS) as items:
            async for message in items.follow():
                if (message.key or b"").startswith(b"killed-"):
                    break  # something is on its way
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)

    captions = await ingest(own, photos, asyncio.create_task(kill_all()))
    assert len(captions) == len(photos)
    await assert_one_caption_each(own, photos)
    await assert_found(own, photos)
    await asyncio.to_thread(own.until_all_roles_again, before)


async def test_a_role_that_dies_with_what_it_was_forked_of_comes_back(own: Up, tmp_path: Path) -> None:
    """It is started the plain way; the others, which were forked of the same process, do not notice."""
    before = await all_roles(own)
    templates = [child for child in family(own) if "infra.forks" in child.cmdline()]
    assert templates or sys.platform != "linux"
    for pid in [*(template.pid for template in templates), before["enrich"]]:
        os.kill(pid, signal.SIGKILL)
    photos = photos_of(tmp_path, "unforked", 4)
    assert len(await ingest(own, photos)) == len(photos)
    after = await all_roles(own)
    assert {role for role in ROLES if after[role] != before[role]} == {"enrich"}
    async with asyncio.timeout(60):
        while {template.pid for template in templates} & {child.pid for child in family(own)}:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_broker_away_for_ten_seconds_costs_only_time(own: Up, tmp_path: Path) -> None:
    """Stopped in its tracks, as by a network that is gone; everybody waits, nobody dies."""
    [broker] = own.broker_pids()
    before = await all_roles(own)
    photos = photos_of(tmp_path, "away", 12)
    await ingest(own, photos_of(tmp_path, "awake", 2))

    async def outage() -> None:
        async with Reader(own.settings, topics.UPLOADS) as uploads:
            async for message in uploads.follow():
                if (message.key or b"").startswith(b"away-"):
                    break  # the photos are announced
        os.kill(broker, signal.SIGSTOP)
        await asyncio.sleep(AWAY_S)
        os.kill(broker, signal.SIGCONT)

    captions = await ingest(own, photos, asyncio.create_task(outage()))
    assert len(captions) == len(photos)
    await assert_one_caption_each(own, photos)
    assert await all_roles(own) == before, "a role died"


async def test_a_store_away_for_ten_seconds_costs_only_time(own: Up, tmp_path: Path) -> None:
    """The folder is gone, as with a volume that is not mounted: no photo becomes a dead letter."""
    before = await all_roles(own)
    photos = photos_of(tmp_path, "store", 12)
    settings = own.settings
    store, away = own.data_dir / "store", own.data_dir / "store-away"
    async with Client(settings) as client:
        job = Ingest(client, open_store(settings), settings)

        async def outage() -> None:
            async with Reader(settings, topics.UPLOADS) as uploads:
                async for message in uploads.follow():
                    if (message.key or b"").startswith(b"store-"):
                        break  # the photos are in the store, and announced
            store.rename(away)
            store.write_bytes(b"not a folder")
            await asyncio.sleep(AWAY_S)
            store.unlink()
            away.rename(store)

        during = asyncio.create_task(outage())
        outcomes = await job.send_and_wait(photos, 300)
        await during
    assert sorted(o.product_id for o in outcomes if isinstance(o, Caption)) == sorted(p.product_id for p in photos)
    assert await everything_on(own, topics.DEAD_LETTERS) == []
    assert await all_roles(own) == before, "a role died"


async def test_a_killed_broker_is_started_again(own: Up, tmp_path: Path) -> None:
    """`kill -9` of Kafka: its log survives, and so does everybody's place in it."""
    photos = photos_of(tmp_path, "broker", 12)
    await ingest(own, photos_of(tmp_path, "ready", 2))
    [broker] = own.broker_pids()
    os.kill(broker, signal.SIGKILL)
    own.until("Kafka died")
    own.until("Kafka is back")
    captions = await ingest(own, photos)
    assert len(captions) == len(photos)
    await assert_one_caption_each(own, photos)


async def test_a_role_that_is_suspended_is_started_again(own: Up, tmp_path: Path) -> None:
    """SIGSTOP: it dies of nothing and answers nothing. `weft up` kills it, and the work goes on; nobody else is touched."""
    before = await all_roles(own)
    photos = photos_of(tmp_path, "suspended", 6)
    for role in ("enrich", "index"):
        os.kill(before[role], signal.SIGSTOP)
    sending = asyncio.create_task(ingest(own, photos))
    await asyncio.to_thread(own.until, "enrich has not answered for")
    assert len(await sending) == len(photos)
    await assert_found(own, photos)
    after = await all_roles(own)
    assert {role for role in ROLES if after[role] != before[role]} == {"enrich", "index"}
