"""One shard as it grows: rate of writing, memory, search by its indexes, filters, churn, snapshot and restart.

    python -m benchmarks.index_growth [--rows 100000 250000 500000 1000000] [--dimension 256] [--recall 0.99]

Each size in a process of its own (memory is told by the kernel). Seconds are of the processor, of one thread, so they hold on a
busy machine; latencies are of `thread_time`, too. The data are drawn (300 clusters, falling spectrum; `benchmarks.segments`),
queries are rows with noise. After the last size it prints what the growth means for a billion vectors on a cluster.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from benchmarks.report import percentile
from benchmarks.segments import BATCH, entries
from index_sync.choosing import Budget, choose
from index_sync.entry import Change, Entry, Payload, ViewInfo
from index_sync.manifest import SnapshotLocation
from index_sync.planning import Build, Limits, Merge, SegmentStats, plan
from index_sync.recovery import LogBounds, recover
from index_sync.shard import Shard
from infra.local_store import LocalStore
from streams.roles.index.upkeep import sealed_of

QUERIES = 200
K = 10
KEPT = {"50 %": 2, "10 %": 10, "1 %": 100, "0.1 %": 1000}
ENCODER = "e"


def filtered(items: Sequence[Entry]) -> list[Entry]:
    """The same vectors, with facets of which one value is shared by a half, a tenth, … of the products."""
    payloads = [
        Payload(
            f"{n}.jpg",
            "dress",
            {},
            (),
            (ViewInfo("whole", "dress", ({name: (str(n % of),) for name, of in KEPT.items()},)),),
        )
        for n in range(1000)
    ]
    return [Entry(payloads[n % 1000], item.vectors, ENCODER) for n, item in enumerate(items)]


def resident() -> int:
    """Bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def tended(shard: Shard, recall: float) -> float:
    """Do all that is planned, as upkeep does; processor seconds."""
    began, flat = time.process_time(), set[int]()
    limits = Limits() if recall < 1 else Limits(index_rows=0)
    while True:
        segments = sealed_of(shard)
        stats = [
            SegmentStats(one.uid, one.columns.rows, live, one.index is not None or one.uid in flat)
            for one, live in segments
        ]
        step = plan(stats, limits)
        if isinstance(step, Merge):
            shard.merge(step.uids)
        elif isinstance(step, Build):
            segment = next(one for one, _ in segments if one.uid == step.uid)
            segment.index = choose(segment.vectors(0, segment.columns.rows), Budget(recall))
            if segment.index is None:
                flat.add(segment.uid)
        else:
            return time.process_time() - began


def asked(shard: Shard, queries: np.ndarray, filters: dict[str, tuple[str, ...]]) -> tuple[list[float], list[set[str]]]:
    """Seconds of each query, and what it found."""
    seconds, found = [], []
    for query in queries:
        began = time.thread_time()
        hits = shard.search(query, K, filters)
        seconds.append(time.thread_time() - began)
        found.append({hit.product_id for hit in hits})
    return seconds, found


def exact(vectors: np.ndarray, alive: np.ndarray, queries: np.ndarray) -> list[set[str]]:
    """What a search of all half-precision rows finds."""
    scores = queries @ vectors.astype(np.float16).astype(np.float32).T
    scores[:, ~alive] = -2
    best = np.argpartition(-scores, K, axis=1)[:, :K]
    return [{f"p{n}" for n in row.tolist() if alive[n]} for row in best]


def recalled(found: Sequence[set[str]], wanted: Sequence[set[str]]) -> float:
    return float(np.mean([len(one & other) / max(1, len(other)) for one, other in zip(found, wanted, strict=True)]))


def told(seconds: Sequence[float]) -> dict[str, float]:
    return {
        "p50_ms": round(percentile(seconds, 0.5) * 1000, 2),
        "p99_ms": round(percentile(seconds, 0.99) * 1000, 2),
        "qps": round(len(seconds) / sum(seconds)),
    }


def measure(rows: int, dimension: int, recall: float, churn: int) -> dict[str, object]:
    """All figures of one size."""
    items = filtered(entries(rows, dimension))
    vectors = np.concatenate([item.vectors for item in items])
    random = np.random.default_rng(2)
    queries = vectors[random.integers(0, rows, QUERIES)] + 0.02 * random.standard_normal((QUERIES, dimension)).astype(
        "f4"
    )
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    before = resident()
    shard = Shard(0, ENCODER, dimension)
    began = time.process_time()
    for start in range(0, rows, 500):
        shard.apply_batch([Change(n, f"p{n}", items[n]) for n in range(start, min(rows, start + 500))])
    applied = time.process_time() - began
    scanned, _ = asked(shard, queries[:50], {})
    tending = tended(shard, recall)
    held = resident() - before
    found: dict[str, object] = {
        "rows": rows,
        "dimension": dimension,
        "applied_per_s": round(rows / applied),
        "merges_and_indexes_s": round(tending, 1),
        "memory_mib_per_million": round(held / 2**20 * 1e6 / rows),
        "segments": ["flat" if one.index is None else one.index.measured.kind for one, _ in sealed_of(shard)],
        "scan": told(scanned),
    }
    alive = np.ones(rows, dtype=bool)
    seconds, hits = asked(shard, queries, {})
    found["search"] = told(seconds) | {"recall": round(recalled(hits, exact(vectors, alive, queries)), 4)}
    for name, of in KEPT.items():
        kept = np.arange(rows) % 1000 % of == 0
        seconds, hits = asked(shard, queries, {name: ("0",)})
        found[f"filter {name}"] = told(seconds) | {"recall": round(recalled(hits, exact(vectors, kept, queries)), 4)}
    found |= saved_and_back(shard, rows)
    found |= churned(shard, items, vectors, queries, recall, churn)
    return found


def saved_and_back(shard: Shard, rows: int) -> dict[str, object]:
    """Snapshot and restart, every byte verified."""
    with tempfile.TemporaryDirectory(prefix="weft-growth-") as folder:
        store = LocalStore(Path(folder))
        place = SnapshotLocation("catalog", "g", "catalog.items", 0)

        def opened(owner: str):  # type: ignore[no-untyped-def] # noqa: ANN202
            blank = lambda: Shard(0, ENCODER, shard.dimension)  # noqa: E731
            return recover(store, place, blank, LogBounds(0, rows + 1), owner=owner, now=time.time())

        writer = opened("one").writer
        began = time.process_time()
        manifest = writer.save(shard.cut(), time.time())
        saving = time.process_time() - began
        size = manifest.state.size + sum(part.size for segment in manifest.segments for part in segment.objects)
        began, wall = time.process_time(), time.perf_counter()
        again = opened("two").shard
        first, _ = asked(again, np.eye(1, shard.dimension, dtype=np.float32), {})
        assert again.digest == shard.digest
        return {
            "snapshot_s": round(saving, 2),
            "snapshot_mib": round(size / 2**20),
            "restart_s": round(time.process_time() - began, 2),
            "restart_wall_s": round(time.perf_counter() - wall, 2),
            "first_query_ms": round(first[0] * 1000, 1),
        }


def churned(
    shard: Shard, items: list[Entry], vectors: np.ndarray, queries: np.ndarray, recall: float, rounds: int
) -> dict[str, object]:
    """`rounds` times a tenth of the products get another one's vector, and what is planned is done."""
    random, offset, rows = np.random.default_rng(3), len(items), len(items)
    vectors = vectors.copy()
    for _ in range(rounds):
        chosen = random.choice(rows, rows // 10, replace=False)
        others = random.permutation(chosen)
        vectors[chosen] = vectors[others]
        for start in range(0, len(chosen), BATCH):
            part = chosen[start : start + BATCH].tolist()
            changes = []
            for n in part:
                entry = Entry(items[n].payload, vectors[n : n + 1], ENCODER)
                changes.append(Change(offset, f"p{n}", entry))
                offset += 1
            shard.apply_batch(changes)
        tended(shard, recall)
    if not rounds:
        return {}
    seconds, hits = asked(shard, queries, {})
    found = recalled(hits, exact(vectors, np.ones(rows, dtype=bool), queries))
    return {f"after {rounds} × 10 % churn": told(seconds) | {"recall": round(found, 4)}}


def projected(found: Sequence[dict[str, object]], shards_memory_gib: float = 64.0) -> str:
    """What the growth between the two largest sizes means for 10⁹ vectors."""
    one = found[-1]
    per_million = float(one["memory_mib_per_million"])  # type: ignore[arg-type]
    rows = int(one["rows"])  # type: ignore[call-overload]
    shards = 1e9 / rows
    memory = per_million * 1000 / 1024
    size = float(one["snapshot_mib"]) * shards / 1024  # type: ignore[arg-type]
    build = 1e9 / float(one["applied_per_s"]) + float(one["merges_and_indexes_s"]) * shards  # type: ignore[arg-type]
    search = one["search"]
    assert isinstance(search, dict)
    machines = memory / shards_memory_gib
    restart = float(one["restart_s"]) * shards / machines  # type: ignore[arg-type]
    lines = [
        f"10⁹ vectors of {one['dimension']} dimensions, by the figures of {rows:,} rows a shard:",
        f"- {shards:,.0f} shards; memory {memory:,.0f} GiB (as many again for each standby)",
        f"- {machines:,.0f} machines of {shards_memory_gib:.0f} GiB",
        f"- snapshots {size:,.0f} GiB in the store; a machine's restart: {restart:,.0f} core seconds",
        f"- a rebuild from the topic {build / 3600:,.0f} core hours",
        f"- every query asks every shard: {shards / float(search['qps']):,.2f} core seconds a query",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 250_000, 500_000, 1_000_000])
    parser.add_argument("--dimension", type=int, default=256)
    parser.add_argument("--recall", type=float, default=0.99)
    parser.add_argument("--churn", type=int, default=10, help="rounds of a tenth")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.alone:
        print(json.dumps(measure(chosen.rows[0], chosen.dimension, chosen.recall, chosen.churn)))
        return
    found = []
    for rows in chosen.rows:
        options = ["--dimension", str(chosen.dimension), "--recall", str(chosen.recall), "--churn", str(chosen.churn)]
        command = [sys.executable, "-m", "benchmarks.index_growth", "--alone", "--rows", str(rows), *options]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found.append(json.loads(done.stdout))
        print(json.dumps(found[-1], indent=1), flush=True)
    print(projected(found))


if __name__ == "__main__":
    main()
