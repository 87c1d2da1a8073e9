"""Many large photos behind a slow device: memory stays bounded, the group stays together, queries are answered."""

import asyncio
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from infra.settings import Settings
from infra.stores import open_store
from streams.contract.records import Query
from streams.kafka.client import Client, new_query_id
from streams.kafka.options import client_options
from streams.ops import admin
from tests.fixtures.slow_enrich import SlowEnrich, answering, large_photo, send_uploads

pytestmark = [pytest.mark.integration, pytest.mark.slow]

MB = 2**20
UPLOADS = 300
CREDITS = 96 * MB
AROUND = 160 * MB
"""What a process may need beside its credits: two decoders at work (24 MB each), fetched records, the allocator."""


async def members(settings: Settings, group: str) -> tuple[str, list[str]]:
    """State of a group, and its members' ids."""
    client = AIOKafkaAdminClient(**client_options(settings))
    await client.start()
    try:
        [response] = await client.describe_consumer_groups([group])
        _error, _name, state, _kind, _protocol, found, *_ = response.groups[0]
    finally:
        await client.close()
    return state, [member[0] for member in found]


async def test_large_photos_wait_outside_of_memory(kafka_factory, tmp_path: Path):
    """300 uploads of 12 megapixels that name 20 MB of pixels each; the device takes them one by one."""
    broker = await asyncio.to_thread(kafka_factory)
    settings = Settings(bootstrap_servers=broker.bootstrap, data_dir=tmp_path / "data", credit_bytes=CREDITS)
    await admin.create_topics(settings)
    await send_uploads(settings, [large_photo(1), large_photo(2)], open_store(settings), UPLOADS)
    # Those who answer first, so that the backlog lasts while they are asked: half a minute of the device's time.
    with answering(settings, tmp_path) as announced:
        while not announced.exists():  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        slow = SlowEnrich(settings, tmp_path, seconds=0.1)
        try:
            first = await slow.until("done", 1)
            before = await members(settings, "weft-enrich")
            async with Client(settings) as client:
                for number in range(3):
                    await slow.until("done", first["done"] + 8 * number)
                    result = await client.query(Query(new_query_id(), text="a navy dress", deadline_ms=60_000))
                    assert result.error is None
                    assert not result.partial
                    assert result.hits
            samples = slow.samples()
            assert samples[-1]["done"] < UPLOADS, "the backlog was gone before the queries came"
            assert await members(settings, "weft-enrich") == before
            assert before[0] == "Stable"
            assert len(before[1]) == 1
            assert slow.stop() == 0
            assert len(slow.assignments()) == 1, "a rebalance"
        finally:
            slow.process.kill()
    ready = next(sample for sample in samples if "ready" in sample)
    assert max(sample["held"] for sample in samples) <= CREDITS
    assert max(sample["rss"] for sample in samples) <= ready["rss"] + CREDITS + AROUND
    assert max(sample["items"] for sample in samples) >= 8, "nothing waited"
