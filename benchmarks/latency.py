"""Upload → searchable and upload → captioned at idle, and the peak memory of each role, on a whole stack of its own."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import psutil

from benchmarks.images import drawn_photos
from benchmarks.report import Row, percentile
from infra.settings import Settings
from infra.stores import open_store
from streams.contract import topics
from streams.contract.records import ImageRef, Query
from streams.engine.message import Message
from streams.kafka.client import Client, Reader, new_query_id
from streams.ops.ingest import Ingest, announce
from streams.ops.stack import Stack

PHOTOS = 14
WARM_UP = 2
SEED = 99


async def run(settings: Settings) -> list[Row]:
    photos = drawn_photos(settings.data_dir / "photos", PHOTOS, SEED, metadata=True)
    async with Stack(settings.model_copy(update={"data_dir": settings.data_dir / "stack"})) as stack:
        store = open_store(stack.settings)
        async with Client(stack.settings) as client:
            await Ingest(client, store, stack.settings).send_and_wait(photos[:WARM_UP], 300)
            searchable, captioned = [], []
            for photo in photos[WARM_UP:]:
                upload = announce(photo, store, stack.settings.max_image_bytes)
                async with (
                    Reader(stack.settings, topics.ITEMS, from_end=True) as items,
                    Reader(stack.settings, topics.CAPTIONS, from_end=True) as captions,
                ):
                    started = time.perf_counter()
                    await client.upload([upload])
                    item = await _next(items, photo.product_id)
                    wanted = {f"{topics.ITEMS}-{item.partition}": item.offset + 1}
                    query = Query(
                        query_id=new_query_id(),
                        image=ImageRef(product_id=photo.product_id),
                        deadline_ms=30_000,
                        min_offsets=wanted,
                    )
                    result = await client.query(query)
                    assert result.error is None, result
                    searchable.append(time.perf_counter() - started)
                    await _next(captions, photo.product_id)
                    captioned.append(time.perf_counter() - started)
        memory = [_memory(role, pid) for role, pid in stack.file.pids.items()]
    how = f"{PHOTOS - WARM_UP} drawn photos, one at a time, on an idle stack of four processes"
    return [
        Row(
            "upload → searchable, p50 / p99", _seconds(searchable), "", f"{how}; ends with the answer of a query for it"
        ),
        Row("upload → captioned, p50 / p99", _seconds(captioned), "", how),
        *memory,
    ]


async def _next(reader: Reader, product_id: str) -> Message:
    async with asyncio.timeout(120):
        async for message in reader.follow():
            if message.key == product_id.encode():
                return message
    raise AssertionError(product_id)


def _seconds(values: list[float]) -> str:
    return f"{percentile(values, 0.5):.2f} s / {percentile(values, 0.99):.2f} s"


def _memory(role: str, pid: int) -> Row:
    """The kernel's own high-water mark of resident memory."""
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return Row(
            f"peak memory of {role}", f"{int(line.split()[1]) / 2**20:.2f} GiB", "", "VmHWM at the end of the run"
        )
    return Row(
        f"memory of {role}", f"{psutil.Process(pid).memory_info().rss / 2**30:.2f} GiB", "", "resident at the end"
    )
