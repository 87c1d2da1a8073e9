"""Rolling life on the real Kafka: a stop drains, a second one aborts, workers come and go under load."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from infra.settings import Settings
from infra.stores import open_store
from streams.contract import topics
from streams.contract.codecs import decode_caption, decode_item
from streams.contract.records import Query
from streams.contract.released import folder
from streams.contract.schemas import DOCS
from streams.engine.message import Message
from streams.kafka.client import Client, Reader, new_query_id
from streams.kafka.producer import open_producer
from streams.ops import admin
from streams.ops.ingest import announce
from streams.worker import Announcement
from tests.fixtures.stack import photo_of
from tests.integration.test_engine_kafka import Role, settled, until_stopped

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture
async def role(kafka: str) -> Role:
    role = Role(kafka)
    await role.create()
    return role


async def test_a_stop_gives_up_what_does_not_end_and_keeps_what_is_done(role: Role, tmp_path: Path):
    """One message waits for a store that is away: the process ends with 0 all the same, soon, and commits the rest."""
    away = tmp_path / "away"
    away.touch()
    await role.produce(300)
    await role.send(b"k7", f"stuck {away}".encode())
    with role.worker() as process:
        await role.outputs(300)
        await until_stopped(process)  # within two minutes; nobody ends the other's waiting before
    inputs = await role.read(role.input)
    stuck = next(m for m in inputs if (m.value or b"").startswith(b"stuck"))
    committed = await role.committed()
    ends = {m.partition: m.offset + 1 for m in inputs}
    assert committed.pop(stuck.partition) == ends.pop(stuck.partition) - 1 == stuck.offset
    assert committed == ends
    away.unlink()
    with role.worker() as process:
        await settled(role)
        await until_stopped(process)
    assert await role.check() == 0, "nothing was published twice"


# ---------------------------------------------------------------- the roles themselves


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, kafka: str) -> Settings:
    """Topics and a store for the tests of this module; they use products of their own."""
    settings = Settings(bootstrap_servers=kafka, data_dir=tmp_path_factory.mktemp("rolling"), partitions=2)
    asyncio.run(admin.create_topics(settings))
    return settings


@contextmanager
def worker(settings: Settings, folder: Path, *roles: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """`weft worker` with models that only look like models, and its log."""
    announced, log = folder / "announced.json", folder / "worker.log"
    announced.unlink(missing_ok=True)
    environment = {
        "WEFT_PROFILE": "fake",
        "WEFT_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "WEFT_DATA_DIR": str(settings.data_dir),
        "WEFT_PARTITIONS": str(settings.partitions),
        "OMP_NUM_THREADS": "1",
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "streams.cli", "worker", *roles, "--announce", str(announced)],
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        until(announced.exists, process, log)
        yield process, log
    finally:
        process.kill()
        process.wait()


def until(true: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for what the process is going to do."""
    deadline = time.monotonic() + 90
    while not true():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def in_flight(folder: Path) -> float:
    """Messages that the announced worker has taken and not finished."""
    url = msgspec.json.decode((folder / "announced.json").read_bytes(), type=Announcement).metrics
    with urllib.request.urlopen(f"{url}/metrics") as answer:
        text = answer.read().decode()
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("weft_in_flight_items{"))


async def upload(settings: Settings, folder: Path, name: str, count: int) -> list[bytes]:
    photos = [photo_of(folder, f"{name}-{n}", (200, 20, 30)) for n in range(count)]
    store = open_store(settings)
    async with Client(settings) as client:
        await client.upload([announce(photo, store, settings.max_image_bytes) for photo in photos])
    return [photo.product_id.encode() for photo in photos]


async def outputs(settings: Settings, topic: str, keys: list[bytes]) -> dict[bytes, Message]:
    """The event of each key, once there is one; a second delivery has the same id, bytes and headers."""
    found: dict[bytes, Message] = {}
    async with asyncio.timeout(120), Reader(settings, topic) as reader:
        async for message in reader.follow():
            if message.key in keys:
                first = found.setdefault(message.key, message)
                assert (first.value, first.headers) == (message.value, message.headers)
            if len(found) == len(keys):
                return found
    raise AssertionError


async def test_a_second_signal_ends_at_once_and_loses_nothing(own: Settings, tmp_path: Path):
    """The first drains, and would wait for the store that is away; the second ends the process as a crash would."""
    store = own.data_dir / "store"
    with worker(own, tmp_path, "enrich") as (process, log):
        keys = await upload(own, tmp_path, "before", 4)
        await outputs(own, topics.ITEMS, keys)
        more = [photo_of(tmp_path, f"after-{n}", (20, 20, 200)) for n in range(4)]
        uploads = [announce(photo, open_store(own), own.max_image_bytes) for photo in more]
        store.rename(own.data_dir / "away")
        store.write_bytes(b"no folder")
        async with Client(own) as client:
            await client.upload(uploads)
        until(lambda: in_flight(tmp_path) >= 4, process, log)
        process.send_signal(signal.SIGTERM)
        until(lambda: b"draining" in log.read_bytes(), process, log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
        assert b"aborted" in log.read_bytes()
    store.unlink()
    (own.data_dir / "away").rename(store)
    with worker(own, tmp_path, "enrich") as (process, _log):
        await outputs(own, topics.ITEMS, [*keys, *(photo.product_id.encode() for photo in more)])
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0


MAPS = {"attributes", "facets"}
"""Fields whose names are data: a name more would be an attribute more."""


def of_tomorrow(value: Any, name: str = "") -> Any:
    """The same event as a later version might write it: with fields that nobody knows yet, at every level."""
    if isinstance(value, list):
        return [of_tomorrow(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    more = {} if name in MAPS else {"of_tomorrow": [{"x": 1}]}
    return {**{key: of_tomorrow(inner, key) for key, inner in value.items()}, **more}


async def test_versions_share_the_topics_during_an_upgrade(own: Settings, tmp_path: Path):
    """Events of an older and of a later version lie among ours: all are captioned, found, and readable as 1.0.0 was."""
    [mine] = await upload(own, tmp_path, "now", 1)
    with worker(own, tmp_path, "enrich", "caption", "index", "compose") as (process, _log):
        item = (await outputs(own, topics.ITEMS, [mine]))[mine]
        others = {b"older": dict, b"later": of_tomorrow}
        async with open_producer(own) as sender:
            for name, change in others.items():
                fields = msgspec.msgpack.decode(item.value or b"")
                fields |= {"product_id": name.decode(), "version": name.decode()}
                fields = change(fields)
                headers = [*item.headers, ("ce_extension", b"x")]
                headers[1] = ("ce_id", b"of " + name)
                value = msgspec.msgpack.encode(fields)
                await (await sender.send(topics.ITEMS, key=name, value=value, headers=headers))
            tomorrow = of_tomorrow({"product_id": "uploaded", "image": {"uri": ""}})
            tomorrow["image"]["uri"] = decode_item(item.value or b"").image
            value = msgspec.json.encode(tomorrow)
            await (await sender.send(topics.UPLOADS, key=b"uploaded", value=value, headers=[("ce_type", b"x.v9")]))
        everybody = [mine, *others, b"uploaded"]
        captions = await outputs(own, topics.CAPTIONS, everybody)
        items = await outputs(own, topics.ITEMS, [mine, b"uploaded"])
        async with Client(own) as client:
            ends = {place: end for place, end in (await client.end_offsets(topics.ITEMS)).items() if end}
            query = Query(new_query_id(), text="red", top_k=1000, deadline_ms=60_000, min_offsets=ends)
            result = await client.query(query)
        assert {key.decode() for key in everybody} <= {hit.product_id for hit in result.hits}
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0
    for topic, messages in ((topics.CAPTIONS, captions), (topics.ITEMS, items)):
        schema = jsonschema.Draft202012Validator(json.loads((folder(DOCS, "1.0.0") / f"{topic}.json").read_text()))
        for message in messages.values():
            record = (decode_caption if topic == topics.CAPTIONS else decode_item)(message.value or b"")
            schema.validate(json.loads(msgspec.json.encode(record)))
