"""What the role `shadow` costs the live ones: images a second with it and without it, in turn, on one stack.

`python -m benchmarks.shadow [--share 1.0] [--photos 48] [--rounds 4]`. Without it: its process is stopped (SIGSTOP) for the round.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import statistics
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from PIL import Image

from benchmarks.sides import Side, Stack, peak_memory, running, until
from infra.stores import open_store
from processors.drawn import catalogue
from streams.contract import topics
from streams.kafka.client import Client, Reader
from streams.ops import stack_file
from streams.ops.ingest import Ingest, Photo

PATIENCE_S = 300.0


def _photos(folder: Path, number: int, count: int) -> list[Photo]:
    """Drawn photos that no round before had."""
    found = []
    for product in catalogue(1000 + number, count, size=512):
        path = folder / f"{number}-{product.product_id}.jpg"
        Image.fromarray(product.pixels).save(path)
        found.append(Photo(f"r{number}-{product.product_id}", path, dict(product.metadata)))
    return found


async def _rate(stack: Stack, photos: list[Photo]) -> float:
    """Images a second from sending the first to the last item."""
    settings = stack.settings
    async with Reader(settings, topics.ITEMS, from_end=True) as reader, Client(settings) as client:
        started, items = time.perf_counter(), 0
        await Ingest(client, open_store(settings), settings).send(photos)
        async with asyncio.timeout(PATIENCE_S):
            async for _ in reader.follow():
                items += 1
                if items == len(photos):
                    break
    return items / (time.perf_counter() - started)


def _told(stack: Stack) -> str:
    url = stack.file.metrics["shadow"]
    with urllib.request.urlopen(f"{url}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return "\n".join(line for line in lines if line.startswith("weft_shadow"))


async def run(folder: Path, share: float, count: int, rounds: int) -> None:
    """Print the rates of all rounds, the memory and what was compared."""
    here, data, log = Side("now", Path.cwd()), folder / "stack", folder / "up.log"
    environment = {
        "WEFT_SHADOW_PROFILE": os.environ.get("WEFT_PROFILE", "starter"),
        "WEFT_SHADOW_SHARE": str(share),
        "WEFT_WRITER": "template",
    }
    with running(here.command("up", "--data-dir", str(data)), log, environment) as process:
        ready = await until(lambda: stack_file.path_of(data).exists(), process, log)
        stack = Stack(data, ready)
        await until(lambda: "shadow" in stack.file.pids, process, log)
        rates: dict[str, list[float]] = {"with": [], "without": []}
        await _rate(stack, _photos(folder, 0, count))  # warms up; the shadow loads its models meanwhile
        await asyncio.sleep(60)
        for number in range(1, 2 * rounds + 1):
            name = ("with", "without")[(number - 1) % 4 in {1, 2}]
            pid = stack.file.pids["shadow"]
            os.kill(pid, signal.SIGCONT if name == "with" else signal.SIGSTOP)
            rates[name].append(await _rate(stack, _photos(folder, number, count)))
            os.kill(pid, signal.SIGCONT)
            print(f"{name} {rates[name][-1]:.2f} images/s", file=sys.stderr, flush=True)
            await asyncio.sleep(5)
        for name, found in rates.items():
            print(
                f"{name}: median {statistics.median(found):.2f}, best {max(found):.2f} images/s of {len(found)} rounds"
            )
        print(f"peak memory of shadow: {peak_memory(stack.file.pids['shadow']):.2f} GiB")
        print(_told(stack))


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--photos", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=4)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="weft-shadow-") as folder:
        asyncio.run(run(Path(folder), given.share, given.photos, given.rounds))


if __name__ == "__main__":
    main()
