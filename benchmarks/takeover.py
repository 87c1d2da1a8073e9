"""`python -m benchmarks.takeover [--standbys N] [--kills N]`: how long queries go unanswered after SIGKILL of an index worker.

A stack of its own (profile `fake`, twelve partitions) is asked again and again, some queries on their way at any time, while
one of its index workers is killed. Told is, for each kill, how long it took until every query that was sent from then on was
answered by all shards, and how many were not before.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.images import drawn_photos
from benchmarks.report import percentile
from infra.settings import Settings
from infra.stores import open_store
from streams.contract import topics
from streams.contract.records import ImageRef, Query, Result
from streams.kafka.client import Client, Reader, new_query_id, result_in
from streams.ops.ingest import Ingest
from streams.ops.stack import Stack

PHOTOS = 30
EVERY_S = 0.1
DEADLINE_MS = 2000
SETTLE_S = 20.0


@dataclass(slots=True)
class Asked:
    """A query: when it was sent, and its result as it came."""

    sent: float
    answered: float | None = None
    result: Result | None = None

    @property
    def whole(self) -> bool:
        """Whether every shard has answered."""
        return self.result is not None and self.result.error is None and not self.result.partial


class Asker:
    """Sends a query every tenth of a second."""

    def __init__(self, stack: Stack, products: list[str]) -> None:
        self._stack, self._products = stack, products
        self.asked: dict[str, Asked] = {}

    async def run(self) -> None:
        """For ever."""
        async with (
            Client(self._stack.settings) as client,
            Reader(self._stack.settings, topics.RESULTS, from_end=True) as results,
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(self._hear(results))
            number = 0
            while True:
                query = Query(
                    query_id=new_query_id(),
                    image=ImageRef(product_id=self._products[number % len(self._products)]),
                    deadline_ms=DEADLINE_MS,
                )
                self.asked[query.query_id] = Asked(time.perf_counter())
                await client.ask(query)
                number += 1
                await asyncio.sleep(EVERY_S)

    async def _hear(self, results: Reader) -> None:
        async for message in results.follow():
            found = result_in(message)
            if found is not None and (asked := self.asked.get(found.query_id)) is not None:
                asked.answered, asked.result = time.perf_counter(), found


async def measure(standbys: int, kills: int) -> None:
    with tempfile.TemporaryDirectory(prefix="weft-takeover-") as folder:
        settings = Settings(data_dir=Path(folder) / "stack", profile="fake", index_standbys=standbys)
        photos = drawn_photos(Path(folder) / "photos", PHOTOS, 7, metadata=True)
        async with Stack(settings) as stack, asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(stack.watch())
            async with Client(stack.settings) as client:
                await Ingest(client, open_store(stack.settings), stack.settings).send_and_wait(photos, 300)
            asker = Asker(stack, [photo.product_id for photo in photos])
            asking = tasks.create_task(asker.run())
            workers = [name for name in stack.file.pids if name.startswith("index")]
            await asyncio.sleep(5.0)
            for number in range(kills):
                name = workers[number % len(workers)]
                killed = time.perf_counter()
                os.kill(stack.file.pids[name], signal.SIGKILL)
                await asyncio.sleep(SETTLE_S)
                tell(
                    name, killed, [one for one in asker.asked.values() if killed - 1 < one.sent < killed + SETTLE_S - 3]
                )
            asking.cancel()
            watching.cancel()


def tell(name: str, killed: float, asked: list[Asked]) -> None:
    """One line for a kill."""
    waits = [one.answered - one.sent for one in asked if one.answered is not None and one.whole]
    bad = [one for one in asked if not one.whole]
    for one in bad:
        print(
            f"  {one.sent - killed:.2f} s: {one.result and (one.result.shards, one.result.partial, one.result.error, one.result.took_ms)}"
        )
    # Whole again: after the last query that was not, or that took so long that its answer came late.
    late = [one.answered - killed for one in asked if one.whole and one.answered and one.answered - one.sent > 0.4]
    last = max([one.sent - killed for one in bad], default=0.0)
    print(
        f"kill of {name}: {len(asked)} queries, {len(bad)} not whole (the last sent {last:.2f} s after the kill);"
        f" of the whole ones p50 {percentile(waits, 0.5) * 1000:.0f} ms, p99 {percentile(waits, 0.99) * 1000:.0f} ms,"
        f" longest {max(waits) * 1000:.0f} ms; the last that took over 400 ms came {max(late, default=0.0):.2f} s after the kill",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--standbys", type=int, default=1)
    parser.add_argument("--kills", type=int, default=2)
    chosen = parser.parse_args()
    asyncio.run(measure(chosen.standbys, chosen.kills))


if __name__ == "__main__":
    main()
