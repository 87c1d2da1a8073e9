"""Two stacks on one broker: names with a prefix, and names of a table; neither sees the other."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import aiohttp
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from prometheus_client.parser import text_string_to_metric_families

from infra.settings import Settings
from infra.stores import open_store
from streams.contract import topics
from streams.contract.records import Caption, ImageRef, Query, Upload
from streams.contract.version import VERSION
from streams.kafka.client import Client, Reader, new_query_id
from streams.kafka.names import client_id
from streams.ops.admin import list_topics
from streams.ops.ingest import Ingest
from tests.fixtures.stack import Up, photo_of

pytestmark = [pytest.mark.integration, pytest.mark.slow]

TABLE = {"catalog.uploads": "photos-in", "weft.dead-letters": "photos-refused"}
GROUPS = {"weft-enrich": "photo-readers"}
READS = {
    "enrich": "catalog.uploads",
    "caption": "catalog.items",
    "index": "catalog.items",
    "compose": "search.queries",
    "standing": "catalog.items",
    "context": "catalog.articles",
    "edit": "edits.requests",
}


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory, kafka: str) -> Iterator[tuple[Up, Up]]:
    """`weft up` twice against the shared broker: `dev.` before every name, and a table of names beside a prefix."""
    common = {"WEFT_BOOTSTRAP_SERVERS": kafka, "WEFT_PARTITIONS": "2"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    dev = {"WEFT_TOPIC_PREFIX": "dev.", "WEFT_METRICS_PORT": str(port)}
    shop = {
        "WEFT_TOPIC_PREFIX": "shop-",
        "WEFT_TOPIC_NAMES": json.dumps(TABLE),
        "WEFT_GROUP_NAMES": json.dumps(GROUPS),
    }
    both = [
        Up(tmp_path_factory.mktemp(name), {**common, **own}, ("--single-process",))
        for name, own in (("dev", dev), ("shop", shop))
    ]
    for number, (one, colour) in enumerate(zip(both, ((200, 20, 30), (20, 30, 80)), strict=True)):
        one.start()
        asyncio.run(seed(one, one.data_dir, number, colour))
    yield both[0], both[1]
    assert [one.stop() for one in both] == [0, 0]


async def seed(stack: Up, folder: Path, number: int, colour: tuple[int, int, int]) -> None:
    """Two products, one of them of the same id in both stacks, and one upload that can never be anything."""
    photos = [photo_of(folder, product_id, colour) for product_id in (f"sku-{number}", "sku-same")]
    settings = stack.settings
    async with Client(settings) as client:
        ingest = Ingest(client, open_store(settings), settings)
        outcomes = await ingest.send_and_wait(photos, timeout_s=120)
        captions = [outcome for outcome in outcomes if isinstance(outcome, Caption)]
        assert {caption.product_id for caption in captions} == {f"sku-{number}", "sku-same"}
        # What an event came from goes by the name of EVENTS.md.
        assert {caption.lineage.source.topic for caption in captions} == {topics.UPLOADS}
        await client.upload([Upload(product_id=f"broken-{number}", image=ImageRef(bytes=b"nothing"))])


async def test_two_stacks_of_one_broker_do_not_see_each_other(stacks: tuple[Up, Up]) -> None:
    """The same product id in both: each has its own captions, its own index, its own dead letters."""
    for number, one in enumerate(stacks):
        async with Client(one.settings) as client:
            assert set(await client.captions()) == {f"sku-{number}", "sku-same"}
            query = Query(
                query_id=new_query_id(),
                image=ImageRef(product_id="sku-same"),
                deadline_ms=60_000,
                min_offsets=await client.end_offsets(topics.ITEMS),
            )
            result = await client.query(query)
            assert result.error is None
            assert {hit.product_id for hit in result.hits} == {f"sku-{number}"}
        async with asyncio.timeout(60), Reader(one.settings, topics.DEAD_LETTERS) as dead:
            letter = await anext(dead.follow())
        assert letter.key == f"broken-{number}".encode()
        # A letter tells where its record lay by the name of EVENTS.md: it can be put back whatever the topic is called.
        assert letter.header("__connect.errors.topic") == topics.UPLOADS.encode()


def instance_of(up: Up) -> str:
    """By what `weft up` tells its roles from those of another folder (`WEFT_INSTANCE`)."""
    return f"up-{sha256(bytes(up.data_dir)).hexdigest()[:12]}"


async def test_the_broker_knows_them_by_their_own_names(stacks: tuple[Up, Up], kafka: str) -> None:
    """Topics, groups and clients as the prefix and the table say; nothing under the names of EVENTS.md is needed."""
    dev, shop = stacks
    assert shop.file.topics["catalog.uploads"] == "photos-in"
    assert dev.file.groups["weft-index"] == "dev.weft-index"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        names = set(await admin.list_topics())
        groups = {str(name) for name, *_ in await admin.list_consumer_groups()}
        members = {}
        for group in ("dev.weft-enrich", "dev.weft-index", "photo-readers"):
            [answer] = await admin.describe_consumer_groups([group])
            members[group] = {member[1] for _, _, _, _, _, found, *_ in answer.groups for member in found}
    finally:
        await admin.close()
    assert {f"dev.{spec.name}" for spec in topics.TOPICS} <= names
    assert {TABLE.get(spec.name, f"shop-{spec.name}") for spec in topics.TOPICS} <= names
    assert not names & {"dev.photos-in", "shop-catalog.uploads", "shop-photos-in"}
    assert {"dev.weft-enrich", "dev.weft-compose", "photo-readers", "shop-weft-caption"} <= groups
    assert members == {
        "dev.weft-enrich": {client_id("enrich", instance_of(dev))},
        "dev.weft-index": {client_id("index", instance_of(dev))},
        "photo-readers": {client_id("enrich", instance_of(shop))},
    }


async def test_a_client_elsewhere_needs_the_same_settings(stacks: tuple[Up, Up], kafka: str) -> None:
    """Without a stack.json: the settings of docs/settings.md lead to the same topics."""
    settings = Settings(bootstrap_servers=kafka, topic_prefix="shop-", topic_names=TABLE, group_names=GROUPS)
    async with Client(settings) as client:
        assert "sku-1" in await client.captions()
    assert {state.there for state in await list_topics(settings)} >= {"photos-in", "shop-catalog.items"}


async def test_one_scrape_address_tells_of_every_role(stacks: tuple[Up, Up]) -> None:
    """WEFT_METRICS_PORT is the address of all roles: lag of every partition, ages, errors by code, open letters."""
    dev, _ = stacks
    assert dev.file.scrape == f"http://127.0.0.1:{dev.environment['WEFT_METRICS_PORT']}"
    async with Client(dev.settings) as client:
        refused = await client.query(Query(query_id=new_query_id(), image=ImageRef(product_id="nobody")))
        assert refused.error is not None
    wanted = set(READS.items())
    async with asyncio.timeout(90), aiohttp.ClientSession() as http:
        while True:
            async with http.get(f"{dev.file.scrape}/metrics") as response:
                families = {f.name: f for f in text_string_to_metric_families(await response.text())}
            lags = list(families["weft_lag_messages"].samples) if "weft_lag_messages" in families else []
            open_letters = [s.value for s in families["weft_open_dead_letters"].samples]
            told = {(s.labels["role"], s.labels["topic"]) for s in lags if s.value == 0}
            partitions = {s.labels["partition"] for s in lags}
            if told == wanted and partitions == {"0", "1"} and open_letters == [1]:
                break
            await asyncio.sleep(1)
    ages = {s.labels["role"] for s in families["weft_event_age_seconds"].samples if s.name.endswith("_count")}
    assert ages >= {"enrich", "caption", "compose"}
    counted = [s for s in families["weft_query_errors"].samples if s.name.endswith("_total")]
    assert {s.labels["code"]: s.value for s in counted if s.value} == {"unknown_product": 1}
    assert len(counted) > 1, "a code that nobody met yet stands at 0"
    assert [s.labels["version"] for s in families["weft_build_info"].samples] == [VERSION]
    assert {s.labels["role"]: s.value for s in families["weft_role_up"].samples} == dict.fromkeys(READS, 1)
