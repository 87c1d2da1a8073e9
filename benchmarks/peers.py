"""Other engines on one stream of upserts, deletes and queries: Weft's shard, FAISS, usearch, hnswlib, LanceDB, Chroma, milvus-lite.

    python -m venv PEERS
    PEERS/bin/pip install numpy usearch hnswlib lancedb chromadb 'pymilvus[milvus-lite]'
    python benchmarks/peers.py [--python PEERS/bin/python] [--rows 100000] [--dimension 256] [--seconds 12] [--engines usearch …]

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
from typing import Any, Protocol

import numpy as np

K = 10
BATCH = 20
PER_SECOND = 2000


class Engine(Protocol):
    """One engine in one setting. Ids are numbers; vectors float32 of norm 1."""

    def upsert(self, ids: np.ndarray, vectors: np.ndarray) -> None: ...

    def delete(self, ids: np.ndarray) -> None: ...

    def search(self, query: np.ndarray) -> list[int]: ...

    def save(self) -> None: ...


class Weft:
    """One shard, as an index worker holds it: the writer's thread applies, merges are left out."""

    needs = "index_sync"
    tended = False

    def __init__(self, folder: Path, dimension: int, _tuned: bool) -> None:
        sys.path.insert(0, str(Path(__file__).parents[1]))
        from index_sync.entry import Payload, ViewInfo
        from index_sync.manifest import SnapshotLocation
        from index_sync.recovery import LogBounds, recover
        from index_sync.shard import Shard
        from infra.local_store import LocalStore

        self._payload = Payload("x.jpg", "dress", {}, (), (ViewInfo("whole", "dress", ()),))
        place = SnapshotLocation("catalog", "g", "catalog.items", 0)
        self._found = recover(
            LocalStore(folder), place, lambda: Shard(0, "e", dimension), LogBounds(0, 2**40), owner="w", now=time.time()
        )
        self.shard = self._found.shard

    def _apply(self, ids: np.ndarray, vectors: np.ndarray | None) -> None:
        from index_sync.entry import Change, Entry

        at = self.shard.next_offset
        self.shard.apply_batch(
            [
                Change(at + n, str(i), None if vectors is None else Entry(self._payload, vectors[n : n + 1], "e"))
                for n, i in enumerate(ids.tolist())
            ]
        )

    def upsert(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        self._apply(ids, vectors)

    def delete(self, ids: np.ndarray) -> None:
        self._apply(ids, None)

    def tend(self) -> None:
        """What upkeep does beside the writer."""
        from index_sync.choosing import Budget, choose
        from streams.roles.index.upkeep import sealed_of

        if sealed := [one.uid for one, _ in sealed_of(self.shard)]:
            self.shard.merge(sealed)
        for segment, _ in sealed_of(self.shard):
            segment.index = choose(segment.vectors(0, segment.columns.rows), Budget(0.99))

    def search(self, query: np.ndarray) -> list[int]:
        return [int(hit.product_id) for hit in self.shard.search(query, K)]

    def save(self) -> None:
        self._found.writer.save(self.shard.cut(), time.time())


class WeftIndexed(Weft):
    """After its planned merges and indexes."""

    tended = True


class Faiss:
    """A flat half-precision index with ids, behind a lock: adding while searching crashes it."""

    needs = "faiss"

    def __init__(self, folder: Path, dimension: int, _tuned: bool) -> None:
        import faiss

        self._faiss, self._file, self._lock = faiss, folder / "index", threading.Lock()
        if self._file.exists():
            self._index = faiss.read_index(str(self._file))
        else:
            flat = faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
            self._index = faiss.IndexIDMap2(flat)

    def upsert(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        with self._lock:
            if self._index.ntotal:
                self._index.remove_ids(ids)
            self._index.add_with_ids(vectors, ids)

    def delete(self, ids: np.ndarray) -> None:
        with self._lock:
            self._index.remove_ids(ids)

    def search(self, query: np.ndarray) -> list[int]:
        with self._lock:
            return self._index.search(query[None], K)[1][0].tolist()  # type: ignore[no-any-return]

    def save(self) -> None:
        self._faiss.write_index(self._index, str(self._file))


class Usearch:
    needs = "usearch"

    def __init__(self, folder: Path, dimension: int, tuned: bool) -> None:
        from usearch.index import Index

        more = {"connectivity": 16, "expansion_add": 64, "expansion_search": 48} if tuned else {}
        self._file = folder / "index"
        self._index = Index(ndim=dimension, metric="ip", dtype="f16", **more)
        if self._file.exists():
            self._index.load(str(self._file))

    def upsert(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        there = ids[np.asarray(self._index.contains(ids))]
        if len(there):
            self._index.remove(there)
        self._index.add(ids, vectors, threads=1)

    def delete(self, ids: np.ndarray) -> None:
        self._index.remove(ids)

    def search(self, query: np.ndarray) -> list[int]:
        return self._index.search(query, K, threads=1).keys.tolist()  # type: ignore[no-any-return]

    def save(self) -> None:
        self._index.save(str(self._file))


class Hnswlib:
    needs = "hnswlib"

    def __init__(self, folder: Path, dimension: int, tuned: bool) -> None:
        import hnswlib

        self._file, self._index = folder / "index", hnswlib.Index(space="ip", dim=dimension)
        if self._file.exists():
            self._index.load_index(str(self._file), max_elements=2_000_000)
        else:
            more = {"M": 16, "ef_construction": 100} if tuned else {}
            self._index.init_index(max_elements=2_000_000, allow_replace_deleted=False, **more)
        self._index.set_ef(50 if tuned else 10)
        self._index.set_num_threads(1)
        self._known: set[int] = set()

    def upsert(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        for one in ids.tolist():
            if one in self._known:
                self._index.unmark_deleted(one)
                self._known.discard(one)
        self._index.add_items(vectors, ids, num_threads=1)

    def delete(self, ids: np.ndarray) -> None:
        for one in ids.tolist():
            if one not in self._known:
                self._index.mark_deleted(one)
                self._known.add(one)

    def search(self, query: np.ndarray) -> list[int]:
        return self._index.knn_query(query, k=K, num_threads=1)[0][0].tolist()  # type: ignore[no-any-return]

    def save(self) -> None:
        self._index.save_index(str(self._file))


class Lance:
    needs = "lancedb"

    def __init__(self, folder: Path, dimension: int, tuned: bool) -> None:
        import lancedb
        import pyarrow as pa

        self._pa, self._tuned = pa, tuned
        self._schema = pa.schema([("id", pa.int64()), ("vector", pa.list_(pa.float32(), dimension))])
        self._table = lancedb.connect(str(folder)).create_table("t", schema=self._schema, exist_ok=True)

    def _rows(self, ids: np.ndarray, vectors: np.ndarray) -> Any:
        flat = self._pa.FixedSizeListArray.from_arrays(self._pa.array(vectors.ravel()), vectors.shape[1])
        return self._pa.table([self._pa.array(ids), flat], schema=self._schema)

    def upsert(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        rows = self._rows(ids, vectors)
        if len(ids) > BATCH:
            self._table.add(rows)
        else:
            merge = self._table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
            merge.execute(rows)

    def delete(self, ids: np.ndarray) -> None:
        self._table.delete(f"id IN ({','.join(map(str, ids.tolist()))})")

    def tend(self) -> None:
        if self._tuned:
            self._table.create_index(metric="dot", num_partitions=256, num_sub_vectors=64)

    def search(self, query: np.ndarray) -> list[int]:
        found = self._table.search(query).metric("dot").limit(K)
        if self._tuned:
            found = found.nprobes(32).refine_factor(10)
        return found.to_arrow()["id"].to_pylist()  # type: ignore[no-any-return]

    def save(self) -> None:
        """It wrote all along."""


class Chroma:
    needs = "chromadb"

    def __init__(self, folder: Path, _dimension: int, tuned: bool) -> None:
        import chromadb

        meta = {"hnsw:space": "ip"} | (
            {"hnsw:construction_ef": 100, "hnsw:search_ef": 50, "hnsw:M": 16} if tuned else {}
        )
        client = chromadb.PersistentClient(str(folder), settings=chromadb.Settings(anonymized_telemetry=False))
        self._found = client.get_or_create_collection("peers", metadata=meta)

    def upsert(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        for start in range(0, len(ids), 5000):
            part = slice(start, start + 5000)
            self._found.upsert(ids=list(map(str, ids[part].tolist())), embeddings=vectors[part])

    def delete(self, ids: np.ndarray) -> None:
        self._found.delete(ids=list(map(str, ids.tolist())))

    def search(self, query: np.ndarray) -> list[int]:
        return [int(one) for one in self._found.query(query_embeddings=query[None], n_results=K, include=[])["ids"][0]]

    def save(self) -> None:
        """It wrote all along."""


class Milvus:
    needs = "milvus_lite"

    def __init__(self, folder: Path, dimension: int, tuned: bool) -> None:
        from pymilvus import MilvusClient

        self._client = MilvusClient(str(folder / "milvus.db"))
        self._params = {"nprobe": 32} if tuned else {}
        if not self._client.has_collection("t"):
            if tuned:
                schema = self._client.create_schema(auto_id=False)
                from pymilvus import DataType

                schema.add_field("id", DataType.INT64, is_primary=True)
                schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
                index = self._client.prepare_index_params()
                index.add_index("vector", index_type="IVF_FLAT", metric_type="IP", params={"nlist": 256})
                self._client.create_collection("t", schema=schema, index_params=index)
            else:
                self._client.create_collection("t", dimension=dimension, metric_type="IP", auto_id=False)

    def upsert(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        for start in range(0, len(ids), 1000):
            part = slice(start, start + 1000)
            rows = [{"id": i, "vector": v} for i, v in zip(ids[part].tolist(), vectors[part].tolist(), strict=True)]
            self._client.upsert("t", rows)

    def delete(self, ids: np.ndarray) -> None:
        self._client.delete("t", ids=ids.tolist())

    def search(self, query: np.ndarray) -> list[int]:
        found = self._client.search("t", [query.tolist()], limit=K, search_params={"params": self._params})[0]
        return [hit["id"] for hit in found]

    def save(self) -> None:
        self._client.flush("t")


ENGINES: dict[str, Any] = {
    "weft": Weft,
    "weft-indexed": WeftIndexed,
    "faiss": Faiss,
    "usearch": Usearch,
    "hnswlib": Hnswlib,
    "lancedb": Lance,
    "chroma": Chroma,
    "milvus-lite": Milvus,
}
OWN = ("weft", "weft-indexed", "faiss")


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
    hits = [len(set(engine.search(query)) & set(row.tolist())) for query, row in zip(queries, best, strict=True)]
    engine.save()
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
    command = [python, str(Path(__file__)), "--alone", "--engines", name, *options]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS", "LANCE_CPU_THREADS"), "1")
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | threads)
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
