"""Text queries a second: latency and processor time of compose and index, at one pace after the other.

    python -m benchmarks.queries [--against TREE] [--items 20000] [--partitions 12] [--in-flight 16 64] [--rates 60 120 240]

One embedded Kafka; for each tree of code (this one, and with `--against` the checkout of another commit, run by the same
interpreter) a stack of its own on it: topics with a prefix, an index worker and a compose worker with the starter's
encoder, the same drawn-at-random items. Queries are sent on a fixed schedule whether or not earlier ones have been
answered (`--rates`), or the next one as soon as one is answered (`--in-flight`: for processor time on a machine that does
other work as well); all with different texts, so that no memo answers. At each pace the trees take turns. Latency counts
from the moment at which a query was due, to its result being read.
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
from models.encoder.clip_encoder import space_fingerprint
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


@dataclass(frozen=True)
class Pace:
    """So many queries a second, or (`in_flight`) always so many that wait for their answers."""

    rate: float = 0.0
    in_flight: int = 0
    beside: str = ""
    """What goes on meanwhile."""

    def __str__(self) -> str:
        told = f"{self.in_flight} in flight" if self.in_flight else f"{self.rate:g} a second"
        return f"{told} beside {self.beside}" if self.beside else told


@dataclass
class Side:
    """One tree of code, its stack, and what was measured of it at each pace; of several rounds the best."""

    name: str
    tree: Path
    settings: Settings
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    p50: dict[Pace, float] = field(default_factory=dict)
    p99: dict[Pace, float] = field(default_factory=dict)
    a_second: dict[Pace, float] = field(default_factory=dict)
    wrong: dict[Pace, int] = field(default_factory=dict)
    cpu: dict[Pace, dict[str, float]] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """Where its stack is, for a process of this tree."""
        return {
            "WEFT_BOOTSTRAP_SERVERS": self.settings.bootstrap_servers,
            "WEFT_DATA_DIR": str(self.settings.data_dir),
            "WEFT_TOPIC_PREFIX": self.settings.topic_prefix,
            "WEFT_PARTITIONS": str(self.settings.partitions),
            "WEFT_SNAPSHOT_SECONDS": "3600",
            "WEFT_PROFILE": self.settings.profile,
        }

    def start(self, folder: Path) -> None:
        """The workers, each a process."""
        environment = {**os.environ, **self.environment()}
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

    def note(self, pace: Pace, took: Sequence[float], wrong: int, seconds: float, spent: dict[str, float]) -> None:
        """One round: latencies in ms, results that are not whole, seconds in all, ms of processor time a query."""
        p50, p99, a_second = percentile(took, 0.5), percentile(took, 0.99), len(took) / seconds
        self.p50[pace] = min(p50, self.p50.get(pace, p50))
        self.p99[pace] = min(p99, self.p99.get(pace, p99))
        self.a_second[pace] = max(a_second, self.a_second.get(pace, a_second))
        self.wrong[pace] = self.wrong.get(pace, 0) + wrong
        kept = self.cpu.setdefault(pace, spent)
        self.cpu[pace] = {role: min(kept[role], spent[role]) for role in ROLES}
        print(
            f"  {self.name} {pace}: {a_second:.0f} a second, p50 {p50:.0f} p99 {p99:.0f} ms, "
            f"compose {spent['compose']:.1f} index {spent['index']:.1f} ms CPU a query, wrong {wrong}",
            flush=True,
        )

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


def items(count: int, encoder: str, dimension: int = DIMENSION, *, seed: int = 11) -> list[tuple[bytes, bytes]]:
    """Key and value of `count` records of `catalog.items`, at random."""
    rng = np.random.default_rng(seed)
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


async def load(side: Side, pace: Pace, asked: Sequence[str], *, counts: bool = True) -> None:
    """Send `asked` at that pace, and note how long each took; one without an answer took its deadline."""
    due: dict[str, float] = {}
    took: list[float] = []
    wrong = 0
    loop = asyncio.get_running_loop()
    prefix = f"{side.name}-{time.time_ns()}"
    ready, everything = asyncio.Event(), asyncio.Event()
    places = asyncio.Semaphore(pace.in_flight or len(asked))
    deadline_ms = 60_000 if pace.in_flight else DEADLINE_MS

    async def read() -> None:
        nonlocal wrong
        async with Reader(side.settings, topics.RESULTS, from_end=True) as results:
            ready.set()
            async for message in results.follow():
                sent = due.pop((message.key or b"").decode(), None)
                if sent is None:
                    continue
                took.append((loop.time() - sent) * 1000)
                places.release()
                result = decode_result(message.value or b"")
                wrong += result.partial or result.error is not None or len(result.hits) != 10
                if len(took) == len(asked):
                    everything.set()

    reading = asyncio.create_task(read())
    there = f"{side.settings.topic_prefix}{topics.QUERIES}"
    async with AIOKafkaProducer(bootstrap_servers=side.settings.bootstrap_servers, acks=1) as producer:
        await producer.partitions_for(there)
        await asyncio.wait([asyncio.create_task(ready.wait()), reading], return_when=asyncio.FIRST_COMPLETED)
        before, started = side.used(), loop.time()
        for number, text in enumerate(asked):
            await places.acquire()
            at = started + number / pace.rate if pace.rate else loop.time()
            if (wait := at - loop.time()) > 0:
                await asyncio.sleep(wait)
            query = Query(f"{prefix}-{number}", text=text, deadline_ms=deadline_ms)
            due[query.query_id] = at
            await producer.send(there, key=query.query_id.encode(), value=encode(query))
        try:
            async with asyncio.timeout(deadline_ms / 1000 + 2):
                await everything.wait()
        except TimeoutError:
            took += [float(deadline_ms)] * (len(asked) - len(took))
            wrong += len(due)
        after, seconds = side.used(), loop.time() - started
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    if counts:
        side.note(
            pace, took, wrong, seconds, {role: (after[role] - before[role]) * 1000 / len(asked) for role in ROLES}
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
            await load(side, Pace(in_flight=4), list(islice(source, 120)), counts=False)
        paces = [*(Pace(in_flight=n) for n in asked.in_flight), *(Pace(rate) for rate in asked.rates)]
        for pace in paces:
            count = asked.count if pace.in_flight else round(pace.rate * asked.seconds)
            for turn in range(asked.rounds):
                for side in sides if turn % 2 == 0 else reversed(sides):
                    await load(side, pace, list(islice(source, count)))
        report(sides, paces)


def report(sides: Sequence[Side], paces: Sequence[Pace]) -> None:
    """The table, and the highest rate of each tree that is within the limit."""
    print()
    print("| tree | queries | a second | p50 / p99 ms | compose / index, ms CPU a query | not answered in full |")
    print("|---|---|---|---|---|---|")
    for pace in paces:
        for side in sides:
            spent = side.cpu[pace]
            print(
                f"| {side.name} | {pace} | {side.a_second[pace]:.0f} | {side.p50[pace]:.0f} / {side.p99[pace]:.0f} "
                f"| {spent['compose']:.1f} / {spent['index']:.1f} | {side.wrong[pace]} |"
            )
    print()
    for side in sides:
        within = [pace.rate for pace in paces if pace.rate and side.p99[pace] <= LIMIT_MS]
        peaks = ", ".join(f"{role} {peak:.0f} MiB" for role, peak in side.peaks().items())
        print(f"{side.name}: p99 ≤ {LIMIT_MS:g} ms up to {max(within, default=0):g} queries/s; peak memory {peaks}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="the checkout of another commit")
    parser.add_argument("--only-against", action="store_true", help="measure that checkout alone")
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--partitions", type=int, default=12)
    parser.add_argument("--rates", type=float, nargs="*", default=[60, 120, 180, 240, 300])
    parser.add_argument("--in-flight", type=int, nargs="*", default=[16, 64])
    parser.add_argument("--count", type=int, default=600, help="queries of each round with --in-flight")
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
