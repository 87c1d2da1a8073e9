"""`python -m benchmarks.index_shard`: one index shard, alone: writes, replay, search, snapshot and recovery.

Seconds are of the processor, not of the wall: one thread, so they hold on a busy machine too.

512-d random unit vectors (no structure: the hardest case for anything but exact search), one thread.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import faiss
import numpy as np

from index_sync.entry import Change, Entry, Payload, ViewInfo
from index_sync.manifest import SnapshotLocation
from index_sync.recovery import LogBounds, recover
from index_sync.shard import Shard
from index_sync.state import search_states
from infra.local_store import LocalStore
from processors.values import Colour, Garment, Metadata
from streams.contract import codecs
from streams.contract.records import Item, Source, View
from streams.engine.message import Message
from streams.roles.index.shards import apply_messages

DIMENSION = 512
ENCODER = "sha256:bench"
COLOURS = ("red", "navy", "teal", "black", "white", "green", "beige", "grey", "pink", "brown")


def units(rows: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, DIMENSION), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def change(offset: int, vectors: np.ndarray) -> Change:
    facets = {
        "category": ("dress",),
        "colour": (COLOURS[offset % 10],),
        "gender": ("women",),
        "rare": (str(offset % 1000),),
    }
    views = tuple(ViewInfo(f"g{i}" if i else "whole", "dress", (facets,)) for i in range(len(vectors)))
    return Change(offset, f"sku-{offset}", Entry(Payload("file:///i.jpg", "dress", {}, (), views), vectors, ENCODER))


def message(offset: int, vectors: np.ndarray) -> Message:
    garment = Garment("g0", "dress", (0, 0, 9, 9), 0.9, (Colour(COLOURS[offset % 10], "#000000", 0.9),))
    views = tuple(View(f"g{i}" if i else "whole", "dress", v.tobytes()) for i, v in enumerate(vectors))
    item = Item(
        f"sku-{offset}", "file:///i.jpg", 9, 9, (garment,), views, Metadata(title="Dress", gender="women"), ENCODER,
        DIMENSION, "d", Source("catalog.uploads", 0, offset), "0",
    )  # fmt: skip
    return Message("catalog.items", 0, offset, f"sku-{offset}".encode(), codecs.encode(item))


def milliseconds(run: Callable[[int], object], times: int = 200) -> tuple[float, float]:
    """p50 and p99."""
    seconds = []
    for i in range(times):
        started = time.process_time()
        run(i)
        seconds.append(time.process_time() - started)
    return round(statistics.median(seconds) * 1000, 2), round(sorted(seconds)[int(times * 0.99) - 1] * 1000, 2)


def rate(count: int, run: Callable[[], object]) -> int:
    started = time.process_time()
    run()
    return round(count / (time.process_time() - started))


def writes() -> None:
    rows = 20_000
    vectors = units(rows)
    for views in (1, 3):
        changes = [change(i, vectors[i * views : i * views + views]) for i in range(rows // views)]
        batches = [changes[i : i + 500] for i in range(0, len(changes), 500)]
        shard = Shard(0, ENCODER, DIMENSION)
        found = rate(rows, lambda b=batches, s=shard: [s.apply_batch(batch) for batch in b])
        print(f"apply, {views} view(s) a product, batches of 500: {found} vectors/s")
        messages = [message(i, vectors[i * views : i * views + views]) for i in range(rows // views)]
        runs = [messages[i : i + 500] for i in range(0, len(messages), 500)]
        shard = Shard(0, ENCODER, DIMENSION)
        found = rate(rows, lambda r=runs, s=shard: [apply_messages(s, run, 0) for run in r])
        print(f"replay (decode and apply), {views} view(s) a product: {found} vectors/s")


def searches(rows: int) -> None:
    vectors, queries = units(rows), units(200, seed=1)
    shard = Shard(0, ENCODER, DIMENSION)
    shard.apply_batch(change(i, vectors[i : i + 1]) for i in range(rows))
    kinds = [window.segment.kind for window in shard.state.windows]
    print(f"{rows} rows: {kinds.count('sealed')} sealed segments and a growing one")
    bare = milliseconds(lambda i: faiss.knn(queries[i : i + 1], vectors, 10, metric=faiss.METRIC_INNER_PRODUCT))
    print(f"  bare faiss.knn top 10: p50, p99 ms {bare}")
    for name, filters in (("no filter", {}), ("10 % kept", {"colour": ("red",)}), ("0.1 % kept", {"rare": ("7",)})):
        print(
            f"  search top 10, {name}: p50, p99 ms {milliseconds(lambda i, f=filters: shard.search(queries[i], 10, f))}"
        )
    half = {"colour": COLOURS[:5]}
    print(f"  search top 10, 50 % kept: p50, p99 ms {milliseconds(lambda i: shard.search(queries[i], 10, half))}")
    print(f"  search top 100: p50, p99 ms {milliseconds(lambda i: shard.search(queries[i], 100))}")


def against_faiss(rows: int, shards: int) -> None:
    """R13: queries a second ÷ those of one bare FAISS index of the same type (half precision, flat) over the same rows.

    Answers of ours are products with their payloads, scored in double; FAISS's are row numbers. In turn, query by query.
    """
    vectors, queries = units(rows, 1), units(100, 2)
    index = faiss.IndexScalarQuantizer(DIMENSION, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    index.add(vectors)
    held = [Shard(partition, ENCODER, DIMENSION) for partition in range(shards)]
    for partition, shard in enumerate(held):
        shard.apply_batch(change(i, vectors[i : i + 1]) for i in range(partition, rows, shards))
    kinds = Counter(window.segment.kind for shard in held for window in shard.state.windows)
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(5):
        spent = [0.0, 0.0]
        for query in queries:
            started = time.process_time()
            index.search(query[None], 10)
            between = time.process_time()
            search_states([shard.state for shard in held], query, 10)
            spent[0] += between - started
            spent[1] += time.process_time() - between
        theirs.append(spent[0] / len(queries))
        ours.append(spent[1] / len(queries))
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    print(
        f"R13, {rows} rows in {shards} shard(s) ({told} segments), top 10: {min(theirs) / min(ours):.2f} of bare FAISS "
        f"({min(theirs) * 1000:.2f} ÷ {min(ours) * 1000:.2f} ms, best of 5 rounds)"
    )


def snapshots(rows: int) -> None:
    vectors = units(rows)
    with tempfile.TemporaryDirectory() as folder:
        store = LocalStore(Path(folder))
        place = SnapshotLocation("catalog", "g", "catalog.items", 0)

        def back(owner: str) -> tuple[Shard, float]:
            nonlocal found
            started = time.process_time()
            found = recover(
                store,
                place,
                lambda: Shard(0, ENCODER, DIMENSION),
                LogBounds(0, rows + 10),
                owner=owner,
                now=time.time(),
            )
            return found.shard, time.process_time() - started

        found = None
        shard, _ = back("one")
        shard.apply_batch(change(i, vectors[i : i + 1]) for i in range(rows))
        for name in ("first", "after one more item"):
            started = time.process_time()
            found.writer.save(shard.cut(), time.time())
            print(f"snapshot of {rows} rows, {name}: {time.process_time() - started:.3f} s")
            shard.apply_batch([change(rows, vectors[:1])])
        again, seconds = back("two")
        print(f"recovery of {again.live} rows (local folder, every byte verified): {seconds:.2f} s")


if __name__ == "__main__":
    print(f"faiss {faiss.__version__}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    writes()
    searches(10_000)
    searches(50_000)
    against_faiss(16_000, 1)
    against_faiss(50_000, 1)
    against_faiss(50_000, 12)
    against_faiss(150_000, 12)
    snapshots(50_000)
