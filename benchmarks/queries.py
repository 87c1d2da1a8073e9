"""Text queries a second: latency and processor time of compose and index, at one rate after the other.

    python -m benchmarks.queries [--against TREE] [--items 20000] [--partitions 12] [--rates 60 120 240] [--rounds 2]

One embedded Kafka; for each tree of code (this one, and with `--against` the checkout of another commit, run by the same
interpreter) a stack of its own on it: topics with a prefix, an index worker and a compose worker with the starter's
encoder, the same drawn-at-random items. Queries are sent on a fixed schedule whether or not earlier ones have been
answered, all with different texts, so that no memo answers. At each rate the trees take turns. Latency counts from the
moment at which a query was due, to its result being read.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import islice, product
from pathlib import Path

import numpy as np
import psutil
from aiokafka import AIOKafkaProducer

from benchmarks.report import percentile
from infra import spawn
from infra.broker import EmbeddedBroker
from infra.settings import Settings
from models.clip_encoder import space_fingerprint
from models.fakes import FakeTextEncoder
from models.weights.hashes import check_weights
from processors.palette import PALETTE
from processors.values import Colour, Garment, Metadata
from streams.contract import topics
from streams.contract.codecs import decode_result, encode
from streams.contract.records import Item, Query, Source, View
from streams.kafka.client import Client, Reader
from streams.ops import admin

ROOT = Path(__file__).parents[1]
ROLES = ("index", "compose")
DIMENSION = 256
VIEWS = 2
NOUNS = [
    "dress",
    "shirt",
    "skirt",
    "jacket",
    "coat",
    "sweater",
    "blouse",
    "cardigan",
    "hoodie",
    "blazer",
    "jumpsuit",
    "shoe",
    "boot",
    "bag",
    "hat",
]
FABRICS = ["linen", "cotton", "denim", "silk", "wool", "leather", "velvet", "lace", "knitted", "satin"]
DETAILS = ("", "with long sleeves", "for women", "with a V-neck", "for a summer wedding", "with pockets and a belt")
DEADLINE_MS = 5000
LIMIT_MS = 300.0


@dataclass
class Side:
    """One tree of code, its stack, and what was measured of it: rate → latencies in ms."""

    name: str
    tree: Path
    settings: Settings
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    took: dict[float, list[float]] = field(default_factory=dict)
    wrong: dict[float, int] = field(default_factory=dict)
    cpu: dict[float, dict[str, float]] = field(default_factory=dict)

    def start(self, folder: Path) -> None:
        """The workers, each a process."""
        environment = {
            **os.environ,
            "WEFT_BOOTSTRAP_SERVERS": self.settings.bootstrap_servers,
            "WEFT_DATA_DIR": str(self.settings.data_dir),
            "WEFT_TOPIC_PREFIX": self.settings.topic_prefix,
            "WEFT_PARTITIONS": str(self.settings.partitions),
            "WEFT_SNAPSHOT_SECONDS": "3600",
            "WEFT_PROFILE": self.settings.profile,
        }
        for role in ROLES:
            announced = folder / f"{self.name}-{role}.json"
            command = (sys.executable, "-m", "streams.cli", "worker", role, "--announce", str(announced))
            log = folder / f"{self.name}-{role}.log"
            # Ends with this process, whatever ends that.
            self.processes[role] = spawn.spawn(spawn.Command(command, log, environment, self.tree))

    async def ready(self, folder: Path) -> None:
        """Wait until both take work."""
        for role, process in self.processes.items():
            while not (folder / f"{self.name}-{role}.json").exists():
                if process.poll() is not None:
                    raise SystemExit((folder / f"{self.name}-{role}.log").read_text()[-3000:])
                await asyncio.sleep(0.2)

    def used(self) -> dict[str, float]:
        """Processor seconds of each worker so far."""
        times = {role: psutil.Process(process.pid).cpu_times() for role, process in self.processes.items()}
        return {role: spent.user + spent.system for role, spent in times.items()}

    def peaks(self) -> dict[str, float]:
        """MiB of resident memory at most (VmHWM), by role."""
        found = {}
        for role, process in self.processes.items():
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            found[role] = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
        return found

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def texts() -> list[str]:
    """Texts, all different, in an order that mixes them."""
    colours = [name for name, _ in PALETTE]
    every = [
        f"{colour} {fabric} {noun} {detail}".strip()
        for colour, fabric, noun, detail in product(colours, FABRICS, NOUNS, DETAILS)
    ]
    order = np.random.default_rng(7).permutation(len(every))
    return [every[i] for i in order]


def items(count: int, encoder: str, dimension: int = DIMENSION) -> list[tuple[bytes, bytes]]:
    """Key and value of `count` records of `catalog.items`, at random."""
    rng = np.random.default_rng(11)
    vectors = rng.standard_normal((count, VIEWS, dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    made = []
    for number in range(count):
        noun, fabric = NOUNS[number % len(NOUNS)], FABRICS[number % len(FABRICS)]
        name, code = PALETTE[number % len(PALETTE)]
        garment = Garment("g0", noun, (0, 0, 500, 700), 0.9, (Colour(name, code, 1.0),))
        views = tuple(View(view, noun, vectors[number, i].tobytes()) for i, view in enumerate(("whole", "g0")))
        item = Item(
            product_id=f"p-{number}",
            image=f"images/{number:06x}.jpg",
            width=600,
            height=800,
            garments=(garment,),
            views=views,
            metadata=Metadata(title=f"{name} {fabric} {noun}", brand=f"brand {number % 40}", fabric=fabric),
            encoder=encoder,
            dimension=dimension,
            detector="sha256:d",
            source=Source(topics.UPLOADS, 0, number),
            version="1.0.0",
        )
        made.append((item.product_id.encode(), encode(item)))
    return made


async def fill(side: Side, records: Sequence[tuple[bytes, bytes]]) -> None:
    """Send the records, and wait until the index has them all: a store that is empty beside items is refused at the start."""
    there = f"{side.settings.topic_prefix}{topics.ITEMS}"
    async with AIOKafkaProducer(bootstrap_servers=side.settings.bootstrap_servers, linger_ms=20) as producer:
        for key, value in records:
            await producer.send(there, key=key, value=value)
        await producer.flush()
    async with Client(side.settings) as client:
        ends = await client.end_offsets(topics.ITEMS)
        result = await client.query(Query("all", text="a red dress", deadline_ms=120_000, min_offsets=ends))
        assert result.error is None, result
        assert not result.partial, result


async def load(side: Side, rate: float, asked: Sequence[str], *, counts: bool = True) -> None:
    """Send `asked` at `rate` a second, and note how long each took; one without an answer took its deadline."""
    due: dict[str, float] = {}
    took: list[float] = []
    wrong = 0
    loop = asyncio.get_running_loop()
    prefix = f"{side.name}-{rate:g}-{time.time_ns()}"
    ready, everything = asyncio.Event(), asyncio.Event()
    count = len(asked)

    async def read() -> None:
        nonlocal wrong
        async with Reader(side.settings, topics.RESULTS, from_end=True) as results:
            ready.set()
            async for message in results.follow():
                sent = due.pop((message.key or b"").decode(), None)
                if sent is None:
                    continue
                took.append((loop.time() - sent) * 1000)
                result = decode_result(message.value or b"")
                wrong += result.partial or result.error is not None or len(result.hits) != 10
                if len(took) == count:
                    everything.set()

    reading = asyncio.create_task(read())
    there = f"{side.settings.topic_prefix}{topics.QUERIES}"
    async with AIOKafkaProducer(bootstrap_servers=side.settings.bootstrap_servers, acks=1) as producer:
        await producer.partitions_for(there)
        await asyncio.wait([asyncio.create_task(ready.wait()), reading], return_when=asyncio.FIRST_COMPLETED)
        before, started = side.used(), loop.time()
        for number, text in enumerate(asked):
            at = started + number / rate
            if (wait := at - loop.time()) > 0:
                await asyncio.sleep(wait)
            query = Query(f"{prefix}-{number}", text=text, deadline_ms=DEADLINE_MS)
            due[query.query_id] = at
            await producer.send(there, key=query.query_id.encode(), value=encode(query))
        try:
            async with asyncio.timeout(DEADLINE_MS / 1000 + 2):
                await everything.wait()
        except TimeoutError:
            took += [float(DEADLINE_MS)] * (count - len(took))
            wrong += len(due)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    if not counts:
        return
    after = side.used()
    side.took.setdefault(rate, []).append(percentile(took, 0.99))
    side.took.setdefault(-rate, []).append(percentile(took, 0.5))
    side.wrong[rate] = side.wrong.get(rate, 0) + wrong
    spent = {role: (after[role] - before[role]) * 1000 / count for role in ROLES}
    kept = side.cpu.setdefault(rate, spent)
    side.cpu[rate] = {role: min(kept[role], spent[role]) for role in ROLES}
    print(
        f"  {side.name} {rate:g}/s: p50 {percentile(took, 0.5):.0f} p99 {percentile(took, 0.99):.0f} ms, "
        f"compose {spent['compose']:.1f} index {spent['index']:.1f} ms CPU a query, wrong {wrong}",
        flush=True,
    )


async def measure(sides: Sequence[Side], folder: Path, asked: argparse.Namespace) -> None:
    """Fill, start, warm up, and then the trees in turn at each rate."""
    if asked.fake:
        records = items(asked.items, FakeTextEncoder().fingerprint, FakeTextEncoder.dimension)
    else:
        encoder = space_fingerprint(check_weights(ROOT / "models/starter/encoder.safetensors"))
        records = items(asked.items, encoder)
    async with AsyncExitStack() as stack:
        for side in sides:
            await admin.create_topics(side.settings)
            stack.callback(side.stop)
            side.start(folder)
        for side in sides:
            await side.ready(folder)
            await fill(side, records)
        if asked.hold:
            print(
                "pids", {side.name: {role: p.pid for role, p in side.processes.items()} for side in sides}, flush=True
            )
        source = iter(texts() * 50)
        for side in sides:
            await load(side, 40, list(islice(source, 120)), counts=False)
        for rate in asked.rates:
            for turn in range(asked.rounds):
                for side in sides if turn % 2 == 0 else reversed(sides):
                    await load(side, rate, list(islice(source, round(rate * asked.seconds))))
        report(sides, asked.rates)


def report(sides: Sequence[Side], rates: Sequence[float]) -> None:
    """The table, and the highest rate of each tree that is within the limit."""
    print()
    print("| tree | queries/s | p50 / p99 ms, best round | compose / index, ms CPU a query | not answered in full |")
    print("|---|---|---|---|---|")
    for rate in rates:
        for side in sides:
            p50, p99, spent = min(side.took[-rate]), min(side.took[rate]), side.cpu[rate]
            print(
                f"| {side.name} | {rate:g} | {p50:.0f} / {p99:.0f} "
                f"| {spent['compose']:.1f} / {spent['index']:.1f} | {side.wrong[rate]} |"
            )
    print()
    for side in sides:
        within = [rate for rate in rates if min(side.took[rate]) <= LIMIT_MS]
        peaks = ", ".join(f"{role} {peak:.0f} MiB" for role, peak in side.peaks().items())
        print(f"{side.name}: p99 ≤ {LIMIT_MS:g} ms up to {max(within, default=0):g} queries/s; peak memory {peaks}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="the checkout of another commit")
    parser.add_argument("--only-against", action="store_true", help="measure that checkout alone")
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--partitions", type=int, default=12)
    parser.add_argument("--rates", type=float, nargs="+", default=[60, 120, 180, 240, 300])
    parser.add_argument("--seconds", type=float, default=8.0, help="of each rate and round")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--fake", action="store_true", help="models that only look like models: all but the encoder")
    parser.add_argument("--hold", action="store_true", help="print the workers' process ids, for a profiler")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="weft-queries-") as name:
        folder = Path(name)
        broker = EmbeddedBroker(folder / "kafka")
        try:
            address = broker.start()

            def side(label: str, tree: Path) -> Side:
                settings = Settings(
                    data_dir=folder / label,
                    bootstrap_servers=address,
                    topic_prefix=f"{label}.",
                    partitions=asked.partitions,
                    profile="fake" if asked.fake else "starter",
                )
                return Side(label, tree, settings)

            sides = [] if asked.only_against else [side("now", ROOT)]
            if asked.against:
                sides.insert(0, side("before", asked.against.absolute()))
            asyncio.run(measure(sides, folder, asked))
        finally:
            broker.stop()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
