"""`python -m benchmarks [--only NAME] [--against REF]`: run them, print the table, and write it into docs/benchmarks.md."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import signal
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import against, images, latency, overhead
from benchmarks.report import Row, table
from infra.allocator import keep_freed_memory
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


def write_section(document: Path, name: str, text: str) -> None:
    """Replace what an earlier run wrote between the marks of `name`, or add it at the end; the rest stays as it is."""
    first, last = f"<!-- {name}: written by a run -->", f"<!-- {name}: end -->"
    old = document.read_text() if document.exists() else "# Benchmarks\n"
    section = f"{first}\n{text.strip()}\n{last}\n"
    before, found, rest = old.partition(first)
    document.write_text(before + section + rest.partition(f"{last}\n")[2] if found else f"{old.rstrip()}\n\n{section}")


def heading(command: str) -> str:
    """Command, commit, day and hardware, as every section begins."""
    return f"Command: `{command}`. Commit: {commit()}. Date: {datetime.now(UTC):%Y-%m-%d}.\nHardware: {hardware()}.\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=sorted(BENCHMARKS), action="append")
    parser.add_argument(
        "--against", metavar="REF", help="measure this commit beside another one, in turn, from outside"
    )
    parser.add_argument(
        "--photos", type=Path, metavar="DIR", help="with --against: photos of the backlog (default: drawn)"
    )
    parser.add_argument(
        "--rounds", type=int, default=against.ROUNDS, help="with --against: how often both are measured"
    )
    chosen = parser.parse_args()
    # SIGTERM ends it as Ctrl-C does: the stacks that it started are stopped, and the other checkout is removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if chosen.against:
        text = table(asyncio.run(against.run(chosen.against, chosen.photos, chosen.rounds)))
        command = f"make bench AGAINST={chosen.against}"
        told = (
            f"## Against {chosen.against}\n\n{heading(command)}\nEach figure is now ÷ before (before → now).\n\n{text}"
        )
        write_section(DOCUMENT, "against", told)
        print(text)
        return
    if chosen.only == ["images"]:
        keep_freed_memory()  # as `weft worker enrich` does: here for the loop, too, which is in the same process
    rows = asyncio.run(measure(chosen.only or list(BENCHMARKS)))
    text = table(rows)
    print(text)
    if chosen.only:
        print("(docs/benchmarks.md is written only by a full run)", file=sys.stderr)
        return
    told = (
        f"{heading('make bench')}\nBoth sides of a ratio were measured in the same run, on the same inputs.\n\n{text}"
    )
    write_section(DOCUMENT, "ratios", told)


if __name__ == "__main__":
    main()
