"""`python -m benchmarks [--only NAME]`: run them all, print the table, and write it to docs/benchmarks.md."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import images, latency, overhead
from benchmarks.report import Row, table
from infra.broker import EmbeddedBroker
from infra.settings import Settings

DOCUMENT = Path("docs/benchmarks.md")
BENCHMARKS = {"images": images.run, "overhead": overhead.run, "latency": latency.run}


def hardware() -> str:
    """What a reader needs to judge a figure: processor, cores, memory."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, no GPU used, Python {platform.python_version()}"


def commit() -> str:
    """The commit, and whether the tree differs from it."""
    answer = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return answer.stdout.strip() or "unknown"


async def measure(names: list[str]) -> list[Row]:
    """Each benchmark on a fresh broker of its own."""
    rows: list[Row] = []
    for name in names:
        with tempfile.TemporaryDirectory(prefix="weft-bench-") as folder:
            data_dir = Path(folder)
            if name == "latency":  # starts a whole stack
                rows += await BENCHMARKS[name](Settings(data_dir=data_dir))
                continue
            broker = EmbeddedBroker(data_dir)
            bootstrap = await asyncio.to_thread(broker.start)
            try:
                rows += await BENCHMARKS[name](Settings(data_dir=data_dir, bootstrap_servers=bootstrap))
            finally:
                await asyncio.to_thread(broker.stop)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=sorted(BENCHMARKS), action="append")
    chosen = parser.parse_args().only
    rows = asyncio.run(measure(chosen or list(BENCHMARKS)))
    text = table(rows)
    print(text)
    if chosen:
        print("(docs/benchmarks.md is written only by a full run)", file=sys.stderr)
        return
    DOCUMENT.write_text(
        f"# Benchmarks\n\nCommand: `make bench`. Commit: {commit()}. Date: {datetime.now(UTC):%Y-%m-%d}.\n"
        f"Hardware: {hardware()}.\n\nBoth sides of a ratio were measured in the same run, on the same inputs.\n\n{text}"
    )


if __name__ == "__main__":
    main()
