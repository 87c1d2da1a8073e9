"""R10: what queries take while a generation of the index is replayed, against the same queries beside nothing.

    python -m benchmarks.backfill [--against TREE] [--items 20000] [--rate 20] [--seconds 10] [--rounds 2]

The stack of `benchmarks.queries` (an index worker, a compose worker, the starter's encoder), for each tree of code one. Text queries at a
fixed rate, first alone, then while `weft replay --topic catalog.items` builds one generation after the other for as long as they last;
trees in turn. Told are p50 and p99 of both, their ratios (aim: p99 ≤ 1.5 times), how many replays were done meanwhile, and for which
share of the time (of the worst round) one was under way: where that is small, the ratio tells little.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path

from benchmarks.queries import ROOT, Pace, Side, fill, items, load, texts
from infra.broker import EmbeddedBroker
from infra.settings import Settings
from models.encoder.clip_encoder import space_fingerprint
from models.weights.hashes import check_weights
from streams.ops import admin

AIM = 1.5


@dataclass
class Replays:
    """Builds one generation after the other.

    Attributes:
        begun: set once the first one reads.
        done: how many were built.
        spans: from when to when, in the loop's seconds, one was built; the last one as far as it came.
    """

    side: Side
    numbers: Iterator[int]
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    done: int = 0
    spans: list[tuple[float, float]] = field(default_factory=list)

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self._one(f"g-{next(self.numbers)}")

    async def _one(self, name: str) -> None:
        command = ("-m", "streams.cli", "replay", "--topic", "catalog.items", "--from", "earliest", "--into", name)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            cwd=self.side.tree,
            env={**os.environ, **self.side.environment()},
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        loop, started, said = asyncio.get_running_loop(), 0.0, b""
        try:
            async for line in process.stderr:
                said += line
                if not started and f"into {name}".encode() in line:  # its plan: reading begins
                    started = loop.time()
                    self.begun.set()
            if await process.wait():
                raise SystemExit(said.decode()[-2000:])
            self.done += 1
        finally:
            if started:
                self.spans.append((started, loop.time()))
            if process.returncode is None:
                process.kill()
                await process.wait()


async def measure(sides: Sequence[Side], folder: Path, asked: argparse.Namespace) -> None:
    """Fill, start, warm up; then each tree alone and beside replays, in turn."""
    records = items(asked.items, space_fingerprint(check_weights(ROOT / "models/starter/encoder.safetensors")))
    quiet, busy, numbers = Pace(asked.rate), Pace(asked.rate, beside="a replay"), count()
    built: dict[str, int] = {}
    shares: dict[str, list[float]] = {}
    async with AsyncExitStack() as stack:
        for side in sides:
            await admin.create_topics(side.settings)
            stack.callback(side.stop)
            side.start(folder)
        for side in sides:
            await side.ready(folder)
            await fill(side, records)
        source = iter(texts() * 50)
        for side in sides:
            await load(side, Pace(in_flight=4), list(islice(source, 120)), counts=False)
        for turn in range(asked.rounds):
            for side in sides if turn % 2 == 0 else reversed(sides):
                await load(side, quiet, list(islice(source, round(asked.rate * asked.seconds))))
                beside = Replays(side, numbers)
                replaying = asyncio.create_task(beside.run())
                await asyncio.wait(
                    [replaying, asyncio.create_task(beside.begun.wait())], return_when=asyncio.FIRST_COMPLETED
                )
                started = asyncio.get_running_loop().time()
                await load(side, busy, list(islice(source, round(asked.rate * asked.seconds))))
                seconds = asyncio.get_running_loop().time() - started
                replaying.cancel()
                failed = await asyncio.gather(replaying, return_exceptions=True)
                if isinstance(failed[0], SystemExit):
                    raise failed[0]
                built[side.name] = built.get(side.name, 0) + beside.done
                within = sum(until - max(since, started) for since, until in beside.spans if until > started)
                shares.setdefault(side.name, []).append(within / seconds)
    print(
        "\n| tree | p50 / p99 ms alone | p50 / p99 ms beside replays | ratio of p99 | replays done | share of the time in one | not in full |"
    )
    print("|---|---|---|---|---|---|---|")
    for side in sides:
        print(
            f"| {side.name} | {side.p50[quiet]:.0f} / {side.p99[quiet]:.0f} | {side.p50[busy]:.0f} / {side.p99[busy]:.0f} "
            f"| {side.p99[busy] / side.p99[quiet]:.2f} (aim {AIM:g}) | {built[side.name]} | {min(shares[side.name]):.2f} "
            f"| {side.wrong[quiet] + side.wrong[busy]} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="the checkout of another commit")
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--partitions", type=int, default=12)
    parser.add_argument("--rate", type=float, default=20.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="weft-backfill-") as name:
        folder = Path(name)
        broker = EmbeddedBroker(folder / "kafka")
        try:
            address = broker.start()
            trees = {"before": asked.against.absolute()} if asked.against else {}
            sides = [
                Side(label, tree, Settings(data_dir=folder / label, bootstrap_servers=address, topic_prefix=f"{label}.",
                                           partitions=asked.partitions, profile="starter"))
                for label, tree in {**trees, "now": ROOT}.items()
            ]  # fmt: skip
            asyncio.run(measure(sides, folder, asked))
        finally:
            broker.stop()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
