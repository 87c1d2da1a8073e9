"""Other engines on one stream of upserts, deletes and queries: Weft's shard, FAISS, usearch, hnswlib, LanceDB, Chroma, milvus-lite.

    python -m venv PEERS
    PEERS/bin/pip install numpy usearch hnswlib lancedb chromadb 'pymilvus[milvus-lite]'
    python -m benchmarks.peers [--python PEERS/bin/python] [--rows 100000] [--dimension 256] [--seconds 12] [--engines usearch …]

None of them is a dependency of Weft: they are looked for in the interpreter that `--python` names, and one that is not there
is left out by its name. Each engine works in a process of its own, on one thread where it lets us choose, in two settings: its defaults,
and a tuned one. First `rows` vectors come in; then, for `seconds`, changes (nine upserts and a delete in ten) are offered at
2,000 a second in batches of twenty by one thread, while another one queries as fast as it can. Told are: vectors a second
of the load; from when a batch was due until its last vector is found by a search (p50, p99); queries a second and their p99
at rest and while writing; recall@10 of what lives at the end; bytes on disk, and seconds to open it again and answer.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peer_engines import BATCH, ENGINES, OWN, Engine, K

PER_SECOND = 2000
ROOT = Path(__file__).parents[1]


def drawn(rows: int, dimension: int) -> np.ndarray:
    """300 clusters with a falling spectrum, as in `benchmarks.segments`."""
    random = np.random.default_rng(0)
    scale = np.arange(1, dimension + 1) ** -0.6
    centres = random.standard_normal((300, dimension)) * scale
    found = centres[random.integers(0, 300, rows)] + 0.7 * random.standard_normal((rows, dimension)) * scale
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def spread(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds) or [float("nan")]
    return {
        "qps": round(len(seconds) / max(1e-9, sum(seconds))),
        "p50_ms": round(ordered[len(ordered) // 2] * 1000, 2),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1000, 2),
    }


def queried(engine: Engine, queries: np.ndarray, until: float) -> list[float]:
    seconds, number = [], 0
    while time.perf_counter() < until:
        began = time.perf_counter()
        engine.search(queries[number % len(queries)])
        seconds.append(time.perf_counter() - began)
        number += 1
    return seconds


class Writer(threading.Thread):
    """Offers changes at their time, and asks after each batch whether its last vector is found."""

    def __init__(self, engine: Engine, vectors: np.ndarray, seconds: float) -> None:
        super().__init__(daemon=True)
        self._engine, self._vectors, self._seconds = engine, vectors, seconds
        self.visible: list[float] = []
        self.gone: set[int] = set()
        self.written = 0
        self.stop = threading.Event()

    def run(self) -> None:
        random, rows = np.random.default_rng(5), len(self._vectors)
        began = time.perf_counter()
        for number in range(int(self._seconds * PER_SECOND / BATCH)):
            due = began + number * BATCH / PER_SECOND
            if self.stop.is_set():
                return
            time.sleep(max(0.0, due - time.perf_counter()))
            ids = random.choice(rows, BATCH, replace=False)
            changed, gone = ids[: BATCH * 9 // 10], ids[BATCH * 9 // 10 :]
            noise = 0.05 * random.standard_normal((len(changed), self._vectors.shape[1])).astype(np.float32)
            fresh = self._vectors[changed] + noise
            fresh /= np.linalg.norm(fresh, axis=1, keepdims=True)
            self._engine.upsert(changed, fresh)
            self._engine.delete(gone)
            self._vectors[changed] = fresh
            self.gone = (self.gone - set(changed.tolist())) | set(gone.tolist())
            self.written += BATCH
            while changed[-1] not in self._engine.search(fresh[-1]):
                if self.stop.is_set() or time.perf_counter() > due + 20:
                    break
            self.visible.append(time.perf_counter() - due)


def measured(name: str, *, tuned: bool, rows: int, dimension: int, seconds: float, folder: Path) -> dict[str, Any]:
    """All figures of one engine in one setting."""
    made = ENGINES[name]
    vectors = drawn(rows, dimension)
    random = np.random.default_rng(4)
    queries = vectors[random.integers(0, rows, 500)] + 0.02 * random.standard_normal((500, dimension)).astype("f4")
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    engine = made(folder, dimension, tuned)
    began = time.perf_counter()
    for start in range(0, rows, 10_000):
        engine.upsert(np.arange(start, min(rows, start + 10_000)), vectors[start : start + 10_000])
    loaded = time.perf_counter() - began
    began = time.perf_counter()
    if hasattr(engine, "tend") and (tuned or getattr(made, "tended", False)):
        engine.tend()
    tended = time.perf_counter() - began
    idle = queried(engine, queries, time.perf_counter() + seconds / 3)
    writer = Writer(engine, vectors, seconds)
    writer.start()
    busy = queried(engine, queries, time.perf_counter() + seconds)
    writer.stop.set()
    writer.join()
    alive = np.ones(rows, dtype=bool)
    alive[list(writer.gone)] = False
    scores = queries @ vectors.T
    scores[:, ~alive] = -2
    best = np.argpartition(-scores, K, axis=1)[:, :K]
    engine.save()  # recall is no question of what is not written down yet, and milvus-lite takes long for that
    hits = [len(set(engine.search(query)) & set(row.tolist())) for query, row in zip(queries, best, strict=True)]
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    visible, written, probe = spread(writer.visible), round(writer.written / seconds), queries[0]
    del engine, writer
    began = time.perf_counter()
    made(folder, dimension, tuned).search(probe)
    return {
        "engine": name,
        "setting": "tuned" if tuned else "defaults",
        "ingest_per_s": round(rows / loaded),
        "index_s": round(tended, 1),
        "idle": spread(idle),
        "writing": spread(busy),
        "visible": visible,
        "written_per_s": written,
        "recall": round(sum(hits) / (K * len(hits)), 4),
        "disk_mib": round(size / 2**20),
        "reopen_s": round(time.perf_counter() - began, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="interpreter that has the other engines")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--engines", nargs="+", choices=sorted(ENGINES), default=list(ENGINES))
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--tuned", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    sizes = {"rows": chosen.rows, "dimension": chosen.dimension, "seconds": chosen.seconds}
    if chosen.alone:
        [name] = chosen.engines
        if name not in OWN and importlib.util.find_spec(ENGINES[name].needs) is None:
            raise SystemExit(f"{name}: {ENGINES[name].needs} is not installed in {sys.executable}")
        with tempfile.TemporaryDirectory(prefix="weft-peers-") as folder:
            print(json.dumps(measured(name, tuned=chosen.tuned, folder=Path(folder), **sizes)))
        return
    print(
        "| engine | setting | ingest/s | index s | written/s | visible p50/p99 ms | idle QPS (p50/p99 ms) | writing QPS (p50/p99) | recall@10 | disk MiB | reopen s |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for name in chosen.engines:
        python = sys.executable if name in OWN else chosen.python
        for tuned in (False,) if name in OWN else (False, True):
            told(name, python, tuned=tuned, **sizes)


def told(name: str, python: str, *, tuned: bool, rows: int, dimension: int, seconds: float) -> None:
    """One line of the table."""
    options = ["--rows", str(rows), "--dimension", str(dimension), "--seconds", str(seconds), *(["--tuned"] * tuned)]
    command = [python, "-m", "benchmarks.peers", "--alone", "--engines", name, *options]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS", "LANCE_CPU_THREADS"), "1")
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | threads, cwd=ROOT)
    if done.returncode:
        print(
            f"{name} ({'tuned' if tuned else 'defaults'}): left out: {done.stderr.strip().splitlines()[-1]}", flush=True
        )
        return
    one = json.loads(done.stdout.splitlines()[-1])
    idle, busy, seen = one["idle"], one["writing"], one["visible"]
    print(
        f"| {one['engine']} | {one['setting']} | {one['ingest_per_s']:,} | {one['index_s']} | {one['written_per_s']:,} | {seen['p50_ms']}/{seen['p99_ms']} |"
        f" {idle['qps']:,} ({idle['p50_ms']}/{idle['p99_ms']}) | {busy['qps']:,} ({busy['p50_ms']}/{busy['p99_ms']}) |"
        f" {one['recall']} | {one['disk_mib']} | {one['reopen_s']} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
