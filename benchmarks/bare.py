"""Consumers that do nothing, to hold ours against: of Faust and of aiokafka, on the topic of uploads."""

from __future__ import annotations

import asyncio
import time

from aiokafka import AIOKafkaConsumer, TopicPartition

from infra.settings import Settings
from streams.contract import topics


async def bare_aiokafka(settings: Settings, partitions: int, records: int) -> tuple[float, float]:
    """(records a second, records a processor second) of a consumer that does nothing with them."""
    async with AIOKafkaConsumer(
        bootstrap_servers=settings.bootstrap_servers, isolation_level="read_committed"
    ) as reader:
        places = [TopicPartition(topics.UPLOADS, number) for number in range(partitions)]
        reader.assign(places)
        await reader.seek_to_beginning(*places)
        started, spent, count = time.perf_counter(), time.process_time(), 0
        while count < records:
            count += sum(map(len, (await reader.getmany(timeout_ms=1000, max_records=500)).values()))
        return records / (time.perf_counter() - started), records / (time.process_time() - spent)


async def bare_faust(settings: Settings, group: str, records: int) -> tuple[float, float]:
    """The same of the shortest agent that Faust's own documentation would write. `group`: a new one for each call."""
    import faust

    app = faust.App(
        group,
        broker=f"kafka://{settings.bootstrap_servers}",
        autodiscover=False,
        set_as_current=False,
        web_enabled=False,
        store="memory://",
        datadir=settings.data_dir / "faust-bare",
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
    )
    app._create_directories = lambda: None  # noqa: SLF001 - as our own app: nothing in the working directory
    done = asyncio.Event()
    first = (0.0, 0.0)
    last = (0.0, 0.0)
    count = 0
    topic = app.topic(topics.UPLOADS, key_serializer="raw", value_serializer="raw")

    async def agent(stream: faust.Stream) -> None:
        nonlocal first, last, count
        async for _ in stream:
            if not count:
                first = (time.perf_counter(), time.process_time())
            count += 1
            if count == records:
                last = (time.perf_counter(), time.process_time())
                done.set()

    app.agent(topic, name="bare")(agent)
    await app.start()
    await done.wait()
    await app.stop()
    return records / (last[0] - first[0]), records / (last[1] - first[1])
