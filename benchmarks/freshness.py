"""Produced → searchable: how long after an item is sent a query finds it, while items come at a rate.

    python -m benchmarks.freshness [--rates 0 1000 5000] [--items 20000] [--seconds 20] [--partitions 12]

One embedded Kafka, one index worker and one compose worker (profile `starter`), 256 dimensions, two views an item; the stream says
the same products again with other vectors. Ten times a second one more item is sent, and, when the broker has it, a query by
product whose `min_offsets` ask for it: told is the time from sending the item to reading that query's answer, so with the query's own. The
first rate should be 0: it tells what of that is the query. Beside it, the processor seconds of the index for a thousand items.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from aiokafka import AIOKafkaProducer

from benchmarks.queries import ROOT, Side, fill, items
from benchmarks.report import percentile
from infra.broker import EmbeddedBroker
from infra.settings import Settings
from models.encoder.clip_encoder import space_fingerprint
from models.weights.hashes import check_weights
from streams.contract import topics
from streams.contract.codecs import decode_result, encode
from streams.contract.records import ImageRef, Query
from streams.kafka.client import Reader
from streams.ops import admin

EVERY_S = 0.1
TICK_S = 0.01
DEADLINE_MS = 20_000


async def stream(producer: AIOKafkaProducer, topic: str, records: Sequence[tuple[bytes, bytes]], rate: float) -> None:
    """Send records round and round at that rate, on a fixed schedule."""
    loop = asyncio.get_running_loop()
    started, sent = loop.time(), 0
    while True:
        due = int((loop.time() - started) * rate)
        for number in range(sent, due):
            key, value = records[number % len(records)]
            await producer.send(topic, key=key, value=value)
        sent = max(sent, due)
        await asyncio.sleep(TICK_S)


async def probed(side: Side, records: Sequence[tuple[bytes, bytes]], seconds: float) -> tuple[list[float], int]:
    """Milliseconds from sending an item to the answer that holds it, ten a second; and how many answers were not whole."""
    there = side.settings.topic_prefix
    loop = asyncio.get_running_loop()
    due: dict[str, float] = {}
    took: list[float] = []
    wrong = 0
    ready = asyncio.Event()

    async def read() -> None:
        nonlocal wrong
        async with Reader(side.settings, topics.RESULTS, from_end=True, fetch_wait_ms=5) as results:
            ready.set()
            async for message in results.follow():
                sent = due.pop((message.key or b"").decode(), None)
                if sent is not None:
                    took.append((loop.time() - sent) * 1000)
                    result = decode_result(message.value or b"")
                    wrong += result.partial or result.error is not None

    async def one(producer: AIOKafkaProducer, number: int) -> None:
        key, value = records[number % len(records)]
        sent = loop.time()
        written = await producer.send_and_wait(there + topics.ITEMS, key=key, value=value)
        query = Query(
            f"fresh-{time.time_ns()}",
            image=ImageRef(product_id=key.decode()),
            deadline_ms=DEADLINE_MS,
            min_offsets={f"{topics.ITEMS}-{written.partition}": written.offset + 1},
        )
        due[query.query_id] = sent
        await producer.send(there + topics.QUERIES, key=query.query_id.encode(), value=encode(query))

    reading = asyncio.create_task(read())
    await ready.wait()
    async with (
        AIOKafkaProducer(bootstrap_servers=side.settings.bootstrap_servers, acks=1) as producer,
        asyncio.TaskGroup() as tasks,
    ):
        for number in range(int(seconds / EVERY_S)):
            tasks.create_task(one(producer, 7919 * number))
            await asyncio.sleep(EVERY_S)
    until = loop.time() + DEADLINE_MS / 1000
    while due and loop.time() < until:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    return took + [float(DEADLINE_MS)] * len(due), wrong


async def measure(side: Side, folder: Path, asked: argparse.Namespace) -> None:
    """One rate after the other."""
    encoder = space_fingerprint(check_weights(ROOT / "models/starter/encoder.safetensors"))
    first, second = items(asked.items, encoder), items(asked.items, encoder, seed=12)
    async with AsyncExitStack() as stack:
        await admin.create_topics(side.settings)
        stack.callback(side.stop)
        side.start(folder)
        await side.ready(folder)
        await fill(side, first)
        producer = await stack.enter_async_context(
            AIOKafkaProducer(bootstrap_servers=side.settings.bootstrap_servers, linger_ms=5, acks=1)
        )
        await probed(side, second, 3)
        print("| items a second | p50 ms | p99 ms | max ms | index, processor s a thousand items | not whole |")
        print("|---|---|---|---|---|---|", flush=True)
        for rate in asked.rates:
            sending = asyncio.create_task(stream(producer, side.settings.topic_prefix + topics.ITEMS, second, rate))
            before, started = side.used(), time.monotonic()
            took, wrong = await probed(side, second, asked.seconds)
            after, seconds = side.used(), time.monotonic() - started
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            spent = (after["index"] - before["index"]) * 1000 / (rate * seconds) if rate else 0.0
            print(
                f"| {rate:g} | {percentile(took, 0.5):.0f} | {percentile(took, 0.99):.0f} | {max(took):.0f} | {spent:.2f} | {wrong} |",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=float, nargs="*", default=[0, 1000, 5000])
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--partitions", type=int, default=12)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="weft-fresh-") as name:
        folder = Path(name)
        broker = EmbeddedBroker(folder / "kafka")
        try:
            settings = Settings(
                data_dir=folder / "now",
                bootstrap_servers=broker.start(),
                topic_prefix="now.",
                partitions=asked.partitions,
                profile="starter",
            )
            asyncio.run(measure(Side("now", ROOT, settings), folder, asked))
        finally:
            broker.stop()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
