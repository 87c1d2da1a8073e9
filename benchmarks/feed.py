"""`python -m benchmarks.feed [--products N] [--updates N] [--photos N] [--profile NAME]`: a feed through the whole path, beside bare consumers.

A stack of its own (embedded broker, a process for each role) takes N products in. Then, each timed from the first record
sent to the last one done: the same uploads again; every upload again at another price; parts with another price only; parts
with another price for a hundred products, again and again. "Done" is when enrich has committed the last upload, caption the
last item, and, where prices changed, when a filter on the newest price finds every product. The same records of
`catalog.uploads` are then read by a bare Faust agent and by bare aiokafka, in this process, which does nothing with them.
Processor seconds of each process are the kernel's (user and system).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from benchmarks.bare import bare_aiokafka, bare_faust
from benchmarks.images import drawn_photos
from benchmarks.report import Row, table
from infra.settings import Settings
from infra.stores import open_store
from streams.contract import topics
from streams.contract.records import Query, Upload
from streams.kafka.client import Client, new_query_id
from streams.ops.ingest import announce
from streams.ops.stack import Stack

POLL_S = 0.05
LIMIT_S = 600.0
HOT = 100


@dataclass(frozen=True, slots=True)
class Load:
    """Uploads to be sent. `price`: that of all of them, where a filter is to see it."""

    name: str
    uploads: Sequence[Upload]
    price: float = 0.0


@dataclass(frozen=True, slots=True)
class Run:
    """What a load took. `seconds`: until enrich was done, caption was, and the filter; `spent`: processor seconds by process;
    `items`: that were published.
    """

    load: Load
    seconds: tuple[float, float, float]
    spent: Mapping[str, float]
    items: int


class Feed:
    """A stack, its client, and what is known of its groups."""

    def __init__(self, stack: Stack, client: Client) -> None:
        self._stack, self._client = stack, client
        self._settings = stack.settings

    async def run(self, load: Load) -> Run:
        """Send it, and wait until it is done."""
        before, items, started = self._spent(), await self._items(), time.perf_counter()
        await self._client.upload(load.uploads)
        admin = AIOKafkaAdminClient(bootstrap_servers=self._settings.bootstrap_servers)
        await admin.start()
        try:
            await self._until(lambda: self._is_read(admin, "weft-enrich", topics.UPLOADS))
            enriched = time.perf_counter() - started
            await self._until(lambda: self._is_read(admin, "weft-caption", topics.ITEMS))
            captioned = time.perf_counter() - started
        finally:
            await admin.close()
        if load.price:
            products = {upload.product_id for upload in load.uploads}
            await self._until(lambda: self._sees(load.price, len(products)))
        seen = time.perf_counter() - started
        after = self._spent()
        spent = {name: after[name] - before[name] for name in after}
        return Run(load, (enriched, captioned, seen), spent, await self._items() - items)

    async def _items(self) -> int:
        return sum((await self._client.end_offsets(topics.ITEMS)).values())

    async def _until(self, done: Callable[[], Any]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not await done():  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(POLL_S)

    async def _is_read(self, admin: AIOKafkaAdminClient, group: str, topic: str) -> bool:
        ends = {
            TopicPartition(topic, int(name.rpartition("-")[2])): end
            for name, end in (await self._client.end_offsets(topic)).items()
        }
        committed = await admin.list_consumer_group_offsets(group)
        return all(end == 0 or (place in committed and committed[place].offset >= end) for place, end in ends.items())

    async def _sees(self, price: float, products: int) -> bool:
        query = Query(
            query_id=new_query_id(), text="clothes", filters={"price": {"gte": price}}, facets=("brand",), top_k=1
        )
        result = await self._client.query(query)
        return result.total == products

    def _spent(self) -> dict[str, float]:
        """User and system seconds of the roles and the broker."""
        found = {}
        for name, pid in self._stack.file.pids.items():
            found[name] = 0.0
            with suppress(psutil.NoSuchProcess):  # killed, and started again
                times = psutil.Process(pid).cpu_times()
                found[name] = times.user + times.system
        return found


def loads(uploads: Sequence[Upload], updates: int) -> list[Load]:
    """What a shop sends in a day, of products that are there. `updates`: of prices alone."""

    def priced(upload: Upload, price: float) -> Upload:
        return Upload(upload.product_id, upload.image, {**(upload.metadata or {}), "price": price})

    def part(upload: Upload, price: float) -> Upload:
        return Upload(upload.product_id, metadata={"price": price})

    def parts(of: int, first: float) -> list[Upload]:
        """Prices of so many products in turn; the last rounds end at one price for all of them."""
        last = (updates - 1) // of
        return [
            part(uploads[number % of], first + min(number // of, max(last - 1, 0))) for number in range(updates - of)
        ] + [part(uploads[number], first + last) for number in range(of)]

    each, hot = parts(len(uploads), 3000.0), parts(min(HOT, len(uploads)), 6000.0)
    return [
        Load("unchanged uploads", uploads),
        Load("uploads again, at another price", [priced(one, 2000.0) for one in uploads], 2000.0),
        Load("parts: a price", each, (each[-1].metadata or {})["price"]),
        Load(f"parts: prices of {HOT} products", hot, (hot[-1].metadata or {})["price"]),
    ]


async def measure(settings: Settings, products: int, photos: int, updates: int) -> list[Row]:
    """The rows of one stack."""
    drawn = drawn_photos(settings.data_dir / "photos", photos, 7, metadata=True)
    async with Stack(settings.model_copy(update={"data_dir": settings.data_dir / "stack"})) as stack:
        store = open_store(stack.settings)
        announced = [announce(photo, store, stack.settings.max_image_bytes) for photo in drawn]
        uploads = [
            Upload(f"sku-{number}", one.image, {**(one.metadata or {}), "title": f"No. {number}", "price": 10.0})
            for number in range(products)
            for one in [announced[number % photos]]
        ]
        async with Client(stack.settings) as client:
            feed = Feed(stack, client)
            runs = [await feed.run(Load("first time, models and all", uploads, 10.0))]
            for load in loads(uploads, updates):
                runs.append(await feed.run(load))
                sys.stderr.write(f"{load.name}: {runs[-1].seconds}\n")
            partitions = len(await client.end_offsets(topics.UPLOADS))
        records = sum(len(run.load.uploads) for run in runs)
        bare = [await bare_aiokafka(stack.settings, partitions, records) for _ in range(2)]
        faust = [await bare_faust(stack.settings, f"bare-{number}", records) for number in range(2)]
    return [
        *(row for run in runs for row in _rows(run, max(faust)[0], max(bare)[0])),
        Row("bare Faust", f"{max(faust)[0]:,.0f}/s, {1e6 / max(one[1] for one in faust):.0f} µs of processor a record"),
        Row(
            "bare aiokafka", f"{max(bare)[0]:,.0f}/s, {1e6 / max(one[1] for one in bare):.0f} µs of processor a record"
        ),
    ]


def _rows(run: Run, faust: float, bare: float) -> list[Row]:
    count = len(run.load.uploads)
    enriched, captioned, seen = run.seconds
    rate = count / enriched
    spent = ", ".join(
        f"{name} {1e6 * seconds / count:.0f}" for name, seconds in sorted(run.spent.items()) if 1e6 * seconds > count
    )
    whole = f"; captions after {captioned:.2f} s" + (f", filter after {seen:.2f} s" if run.load.price else "")
    return [
        Row(
            run.load.name,
            f"{rate:,.0f}/s by enrich ({rate / faust:.3f} of bare Faust, {rate / bare:.3f} of bare aiokafka), "
            f"{count / max(run.seconds):,.0f}/s through all",
            "",
            f"{count:,} records, {run.items:,} items in {enriched:.2f} s{whole}; µs of processor a record: {spent}",
        )
    ]


def conditions() -> str:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    return (
        f"Commit {commit.stdout.strip()}; {model}, {os.cpu_count()} cores; load {os.getloadavg()[0]:.1f} at the end.\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--products", type=int, default=3000)
    parser.add_argument("--updates", type=int, default=0, help="prices that are sent of them, in turn; 0: one each")
    parser.add_argument("--photos", type=int, default=60, help="different photos that the products share")
    parser.add_argument("--profile", default="fake")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as folder:
        settings = Settings(data_dir=Path(folder), profile=asked.profile)
        rows = asyncio.run(measure(settings, asked.products, asked.photos, asked.updates or asked.products))
    sys.stdout.write(table(rows) + "\n" + conditions())


if __name__ == "__main__":
    main()
