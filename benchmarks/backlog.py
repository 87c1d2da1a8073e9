"""Memory against backlog, and queries while a backfill runs (R10).

    python -m benchmarks.backlog [--uploads 5000] [--seconds-a-photo 0.02] [--limit 1800]

Uploads of 12-megapixel photos wait on a real Kafka for the enrich role, a process of its own whose detector sleeps; the
memo is kept from answering, so that each is fetched, decoded and looked at. Beside it, a process with the roles index
and compose (models that only look like models) answers queries: first with no backfill, then while it runs.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from benchmarks.report import Row, percentile, table
from infra.broker import EmbeddedBroker
from infra.settings import Settings
from infra.stores import open_store
from streams.contract import topics
from streams.contract.codecs import decode_result, encode
from streams.contract.records import Query
from streams.kafka.client import Reader, new_query_id
from streams.ops import admin
from tests.fixtures.slow_enrich import SlowEnrich, answering, large_photo, send_uploads

MB = 2**20
QUERIES = 200
PAUSE_S = 0.05
EDITS = ("a navy dress", "red shoes", "a white shirt")


async def ask(settings: Settings, count: int) -> list[float]:
    """Seconds of `count` text queries, one after the other, from sending to having the result."""
    took = []
    async with (
        Reader(settings, topics.RESULTS, from_end=True) as results,
        AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers) as producer,
    ):
        arrived = results.follow()
        for number in range(count):
            query = Query(new_query_id(), text=EDITS[number % 3], deadline_ms=60_000)
            started = time.perf_counter()
            await producer.send_and_wait(topics.QUERIES, key=query.query_id.encode(), value=encode(query))
            async for message in arrived:
                if message.key == query.query_id.encode():
                    result = decode_result(message.value or b"")
                    assert result.error is None, result
                    break
            took.append(time.perf_counter() - started)
            await asyncio.sleep(PAUSE_S)
    return took


async def measure(settings: Settings, folder: Path, uploads: int, seconds: float, limit: float) -> list[Row]:
    """The rows; `seconds` is what the detector takes for a photo, `limit` ends the run with what there is."""
    await admin.create_topics(settings)
    with answering(settings, folder) as announced:
        while not announced.exists():  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        await ask(settings, 20)
        idle = await ask(settings, QUERIES)
        photos = [large_photo(seed) for seed in range(6)]
        await send_uploads(settings, photos, open_store(settings), uploads)
        slow = SlowEnrich(settings, folder, seconds=seconds)
        started = time.monotonic()
        try:
            await slow.until("done", 1)
            busy = await ask(settings, QUERIES)
            left = uploads - (await slow.until("done", 1))["done"]
            with suppress(TimeoutError):
                async with asyncio.timeout(max(1.0, limit - (time.monotonic() - started))):
                    await slow.until("done", uploads)
            now = slow.samples()[-1]
            stopping = time.monotonic()
            status = slow.stop()
            stopped = time.monotonic() - stopping
        finally:
            slow.process.kill()
    samples = slow.samples()
    size = sum(map(len, photos)) / len(photos) / MB
    how = f"{uploads:,} uploads of 12 megapixels ({size:.1f} MB each), {seconds:g} s a photo on the device"
    held = max(sample["held"] for sample in samples) / MB
    base = next(sample for sample in samples if "ready" in sample)["rss"] / MB
    return [
        *(_at(samples, base, uploads, share) for share in (1.0, 0.8, 0.6, 0.4, 0.2, 0.0)),
        Row("most credits held", f"{held:.0f} MiB", f"≤ {settings.credit_bytes // MB} MiB", how),
        Row("most messages in flight", f"{max(sample['items'] for sample in samples)}", "", how),
        Row("photos done", f"{now['done']:,} in {stopping - started:.0f} s", "", "then SIGTERM"),
        Row("SIGTERM to exit", f"{stopped:.1f} s, status {status}", "≤ 20 s + a batch", "drains what is in flight"),
        Row("rebalances", f"{len(slow.assignments()) - 1}", "0", "assignments after the first"),
        Row("query p50, idle / backfill", _ms(idle, 0.5) + " / " + _ms(busy, 0.5), "", f"{QUERIES} queries each"),
        Row(
            "query p99, idle / backfill",
            _ms(idle, 0.99) + " / " + _ms(busy, 0.99),
            "",
            f"{left:,} photos still waiting",
        ),
        Row("R10", f"{percentile(busy, 0.99) / percentile(idle, 0.99):.2f}", "≤ 1.5", "ratio of the two p99"),
    ]


def _at(samples: list[dict[str, Any]], base: float, uploads: int, share: float) -> Row:
    """Resident memory while about that share of the uploads waited: the most within two per cent of it."""
    near = [s for s in samples if s["done"] and abs((uploads - s["done"]) / uploads - share) <= 0.02]
    name = f"resident with {share:.0%} of the backlog waiting"
    if not near:
        return Row(name, "not reached", "", "the run was ended before")
    return Row(name, f"{max(s['rss'] for s in near) / MB:.0f} MiB", "", f"{base:.0f} MiB before the first photo")


def _ms(values: list[float], share: float) -> str:
    return f"{percentile(values, share) * 1000:.0f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uploads", type=int, default=5000)
    parser.add_argument("--seconds-a-photo", type=float, default=0.02)
    parser.add_argument("--limit", type=float, default=1800.0, help="seconds after which the run ends with what it has")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="weft-backlog-") as name:
        folder = Path(name)
        broker = EmbeddedBroker(folder / "kafka")
        try:
            settings = Settings(data_dir=folder / "data", bootstrap_servers=broker.start())
            rows = asyncio.run(measure(settings, folder, asked.uploads, asked.seconds_a_photo, asked.limit))
        finally:
            broker.stop()
    print(table(rows))
    print(f"{os.cpu_count()} cores, load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
