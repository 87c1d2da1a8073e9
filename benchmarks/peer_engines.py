"""The engines that `benchmarks.peers` holds side by side, each behind the same calls.

Each is imported where it is used: none but FAISS is a dependency of Weft.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np

K = 10
BATCH = 20


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
    tended = True

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

    def tend(self) -> None:
        """Until then every search copies all rows: of 20,000 that takes most of a second."""
        self.save()

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
