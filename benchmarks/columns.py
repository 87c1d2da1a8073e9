"""`python -m benchmarks.columns [--latency]`: column updates (prices, stock) against a bare aiokafka consumer, and what columns cost.

The same records are read from one topic of an embedded broker, in turn: by a consumer that does nothing with them, and by one
whose batches the index applies (decode, compare, write columns). One process, one thread of work; best of the rounds. The
updates change price, stock and sizes; no vector may be written, which is checked. `--latency` starts a whole stack of the
profile `fake`: from the upload of another price to the first query whose filter sees it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import ConsumerRecord

from benchmarks.images import drawn_photos
from benchmarks.report import Row, percentile, table
from index_sync.shard import Shard
from infra.broker import EmbeddedBroker
from infra.settings import Settings
from infra.stores import open_store
from processors.values import Colour, Garment, Metadata
from streams.contract import codecs, topics
from streams.contract.records import Item, Query, Source, View
from streams.engine.message import Message
from streams.kafka.client import Client, new_query_id
from streams.ops import admin
from streams.ops.ingest import Ingest, announce
from streams.ops.stack import Stack
from streams.roles.index.shards import apply_messages

PRODUCTS, UPDATES, VIEWS, DIMENSION = 5_000, 20_000, 2, 512
ROUNDS = 3
BATCH = 500
SIZES = ("XS", "S", "M", "L", "XL")
PLACE = TopicPartition(topics.ITEMS, 0)


def item(number: int, version: int, vectors: np.ndarray) -> bytes:
    """A product with two views, as `enrich` publishes it; `version` makes price, stock and sizes."""
    colours = (Colour("navy", "#1f2a44", 0.7), Colour("white", "#ffffff", 0.2))
    garment = Garment("g0", "dress", (0.0, 0.0, 9.0, 9.0), 0.9, colours)
    metadata = Metadata(
        title=f"Dress {number}", brand=f"brand {number % 40}", gender="women", fabric="linen", category="dress",
        price=20.0 + (number + version) % 100, currency="EUR", in_stock=(number + version) % 3 > 0,
        sizes=SIZES[: 1 + (number + version) % 5], launched=f"2026-0{1 + number % 9}-01", facets={"season": "summer"},
    )  # fmt: skip
    views = tuple(
        View("whole" if i == 0 else "g0", "dress", vectors[(number * VIEWS + i) % len(vectors)].tobytes())
        for i in range(VIEWS)
    )
    return codecs.encode(
        Item(
            f"sku-{number}",
            "images/ab/cd.jpg",
            900,
            900,
            (garment,),
            views,
            metadata,
            "sha256:bench",
            DIMENSION,
            "sha256:d",
            Source(topics.UPLOADS, 0, version),
            "0",
        )
    )


async def fill(settings: Settings) -> None:
    """All products, then updates of their columns, in one partition."""
    vectors = np.random.default_rng(0).standard_normal((2 * PRODUCTS, DIMENSION), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    async with AIOKafkaProducer(
        bootstrap_servers=settings.bootstrap_servers, linger_ms=20, max_batch_size=2**20
    ) as producer:
        for number in range(PRODUCTS + UPDATES):
            product, version = number % PRODUCTS, number // PRODUCTS
            key, value = f"sku-{product}".encode(), item(product, version, vectors)
            await producer.send(topics.ITEMS, key=key, value=value, partition=0)
        await producer.flush()


def message(record: ConsumerRecord) -> Message:
    return Message(
        record.topic, record.partition, record.offset, record.key, record.value, timestamp_ms=record.timestamp
    )


async def read(settings: Settings, shard: Shard | None) -> tuple[float, float]:
    """(wall, processor) seconds for the updates; applied to `shard`, or only read."""
    async with AIOKafkaConsumer(
        bootstrap_servers=settings.bootstrap_servers,
        max_partition_fetch_bytes=4 * 2**20,
        isolation_level="read_committed",
    ) as consumer:
        consumer.assign([PLACE])
        consumer.seek(PLACE, PRODUCTS)
        await consumer.getmany(timeout_ms=5_000, max_records=1)  # connected
        consumer.seek(PLACE, PRODUCTS)
        wall, spent, count = time.perf_counter(), time.process_time(), 0
        while count < UPDATES:
            records = (await consumer.getmany(timeout_ms=5_000, max_records=BATCH)).get(PLACE, [])
            count += len(records)
            if shard is not None and records:
                assert not apply_messages(shard, [message(record) for record in records], 0)
        return time.perf_counter() - wall, time.process_time() - spent


async def filled(settings: Settings) -> Shard:
    """A shard with all products."""
    shard = Shard(0, "", 0)
    async with AIOKafkaConsumer(bootstrap_servers=settings.bootstrap_servers) as consumer:
        consumer.assign([PLACE])
        consumer.seek(PLACE, 0)
        while shard.next_offset < PRODUCTS:
            left = PRODUCTS - shard.next_offset
            records = (await consumer.getmany(timeout_ms=5_000, max_records=min(BATCH, left))).get(PLACE, [])
            apply_messages(shard, [message(record) for record in records], 0)
    return shard


async def updates(settings: Settings) -> list[Row]:
    """Updates a second as a ratio, and the memory of the columns."""
    await admin.create_topics(settings)
    await fill(settings)
    bare, ours = [], []
    for _ in range(ROUNDS):  # in turn, so that a machine that slows down slows both
        bare.append(await read(settings, None))
        shard = await filled(settings)
        rows = sum(window.rows for window in shard.state.windows)
        ours.append(await read(settings, shard))
        assert sum(window.rows for window in shard.state.windows) == rows, "an update has written a vector"
        assert shard.live == PRODUCTS
    wall, spent = min(bare)[0], min(one[1] for one in bare)
    our_wall, our_spent = min(ours)[0], min(one[1] for one in ours)
    typed = [window.typed for window in shard.state.windows if window.typed is not None]
    each = sum(one.nbytes for one in typed) / sum(len(one.versions) for one in typed)
    how = f"{UPDATES:,} updates of {PRODUCTS:,} products with {VIEWS} views of {DIMENSION}; best of {ROUNDS} rounds in turn"
    return [
        Row(
            "column updates applied ÷ records read by bare aiokafka",
            f"{wall / our_wall:.2f} ({UPDATES / our_wall:,.0f} ÷ {UPDATES / wall:,.0f} a second)",
            "≥ 10,000/s on two cores",
            how,
        ),
        Row(
            "the same by processor time",
            f"{spent / our_spent:.2f} ({UPDATES / our_spent:,.0f} ÷ {UPDATES / spent:,.0f} a processor second)",
            "",
            "user and system time of the process",
        ),
        Row("typed columns of a product", f"{each:.0f} bytes", "", "arrays; sets of sizes are kept once"),
    ]


async def latency(settings: Settings) -> list[Row]:
    """From the upload of another price to the first answer whose filter sees it."""
    photos = drawn_photos(settings.data_dir / "photos", 4, 7, metadata=True)
    async with Stack(settings.model_copy(update={"data_dir": settings.data_dir / "stack"})) as stack:
        store = open_store(stack.settings)
        async with Client(stack.settings) as client:
            await Ingest(client, store, stack.settings).send_and_wait(photos, 300)
            upload = announce(photos[0], store, stack.settings.max_image_bytes)
            seconds = []
            for price in range(1_000, 1_040):
                changed = {**upload.metadata, "price": float(price)}
                started = time.perf_counter()
                await client.upload([type(upload)(upload.product_id, upload.image, changed)])
                filters = {"price": {"gte": price}}
                while not (
                    await client.query(Query(query_id=new_query_id(), text="dress", filters=filters, collapse=False))
                ).hits:
                    pass
                seconds.append(time.perf_counter() - started)
    return [
        Row(
            "a price's upload → a filter that sees it, p50 / p99",
            f"{percentile(seconds, 0.5) * 1000:.0f} ms / {percentile(seconds, 0.99) * 1000:.0f} ms",
            "",
            f"{len(seconds)} changes, one at a time, a stack of four processes (profile fake), asked again and again",
        )
    ]


async def measure(*, whole: bool) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as folder:
        data_dir = Path(folder)
        if whole:
            return await latency(Settings(data_dir=data_dir, profile="fake"))
        broker = EmbeddedBroker(data_dir)
        bootstrap = await asyncio.to_thread(broker.start)
        try:
            return await updates(Settings(data_dir=data_dir, bootstrap_servers=bootstrap))
        finally:
            await asyncio.to_thread(broker.stop)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", action="store_true", help="measure a whole stack instead")
    sys.stdout.write(table(asyncio.run(measure(whole=parser.parse_args().latency))))


if __name__ == "__main__":
    main()
