"""Writing while segments are sealed and merged, and searching them by their indexes.

    python -m benchmarks.segments [--products 30000] [--changes 60000] [--dimension 256] [--recall 0.99]

One shard: a catalogue, then uniform churn in batches of 200 while the planned merges run beside it. Tells the longest and the
99th percentile of a batch, rows for each live one, and queries a second of one core, before and after an index is built.
"""

from __future__ import annotations

import argparse
import threading
import time

import numpy as np

from index_sync.entry import Change, Entry, Payload, ViewInfo
from index_sync.shard import Shard

BATCH = 200


def entries(count: int, dimension: int) -> list[Entry]:
    """Products of one view, in 300 clusters with a falling spectrum."""
    random = np.random.default_rng(0)
    scale = np.arange(1, dimension + 1) ** -0.6
    centres = random.standard_normal((300, dimension)) * scale
    found = centres[random.integers(0, 300, count)] + 0.7 * random.standard_normal((count, dimension)) * scale
    found = (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)
    payloads = [
        Payload(f"{n}.jpg", "dress", {}, (), (ViewInfo("whole", "dress", ({"brand": (f"b{n % 200}",)},)),))
        for n in range(1000)
    ]
    return [Entry(payloads[n % 1000], found[n : n + 1], "e") for n in range(count)]


def maintain(shard: Shard, stop: threading.Event) -> None:
    """The planned merges, for as long as there is nothing else to do."""
    from index_sync.planning import Limits, Merge, SegmentStats, plan
    from streams.roles.index.upkeep import sealed_of

    limits = Limits(index_rows=0)
    while not stop.is_set():
        step = plan([SegmentStats(one.uid, one.columns.rows, live) for one, live in sealed_of(shard)], limits)
        if not isinstance(step, Merge):
            stop.wait(0.05)
        else:
            shard.merge(step.uids, lambda: time.sleep(0.001))


def written(shard: Shard, changes: list[Change]) -> list[float]:
    """Seconds of each batch."""
    seconds = []
    for start in range(0, len(changes), BATCH):
        began = time.perf_counter()
        shard.apply_batch(changes[start : start + BATCH])
        seconds.append(time.perf_counter() - began)
    return seconds


def queried(shard: Shard, queries: np.ndarray) -> tuple[float, list[set[str]]]:
    """Queries a second of this thread, and what they found."""
    began = time.thread_time()
    found = [{hit.product_id for hit in shard.search(query, 10)} for query in queries]
    return len(queries) / (time.thread_time() - began), found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--products", type=int, default=30_000)
    parser.add_argument("--changes", type=int, default=60_000)
    parser.add_argument("--dimension", type=int, default=256)
    parser.add_argument("--recall", type=float, default=0.99)
    asked = parser.parse_args()
    items = entries(asked.products, asked.dimension)
    order = np.random.default_rng(1).integers(0, asked.products, asked.changes).tolist()
    shard = Shard(0, "e", asked.dimension)
    stop = threading.Event()
    merges = hasattr(shard, "merge")
    worker = threading.Thread(target=maintain, args=(shard, stop))
    if merges:
        worker.start()
    changes = [Change(n, f"p{n}", item) for n, item in enumerate(items)]
    changes += [Change(asked.products + n, f"p{key}", items[(key + n) % asked.products]) for n, key in enumerate(order)]
    seconds = written(shard, changes)
    stop.set()
    if merges:
        worker.join()
    rows = sum(window.rows for window in shard.state.windows)
    longest = [round(1000 * one, 1) for one in sorted(seconds)[-3:]]
    print(
        f"batch of {BATCH}: median {1000 * np.median(seconds):.2f} ms, p99 {1000 * np.quantile(seconds, 0.99):.2f} ms"
    )
    print(f"longest {longest} ms; {rows / shard.live:.2f} rows a live one, {len(shard.state.windows)} segments")
    if not merges:
        return
    from index_sync.choosing import Budget, choose
    from streams.roles.index.upkeep import sealed_of

    shard.merge([one.uid for one, _ in sealed_of(shard)])
    random = np.random.default_rng(2)
    queries = np.stack([items[n].vectors[0] for n in random.integers(0, asked.products, 300)])
    queries = queries + 0.01 * random.standard_normal(queries.shape).astype(np.float32)
    flat, exact = queried(shard, queries)
    for segment, _ in sealed_of(shard):
        began = time.process_time()
        segment.index = choose(segment.vectors(0, segment.columns.rows), Budget(asked.recall))
        kind = "flat" if segment.index is None else segment.index.measured.kind
        print(f"{segment.columns.rows} rows: {kind}, built in {time.process_time() - began:.1f} s of processor")
    fast, found = queried(shard, queries)
    recall = np.mean([len(one & other) / len(other) for one, other in zip(found, exact, strict=True)])
    print(f"queries/s of one core: {flat:.0f} scanned, {fast:.0f} by index, recall@10 {recall:.4f}")


if __name__ == "__main__":
    main()
