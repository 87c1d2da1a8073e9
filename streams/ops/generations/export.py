"""A generation as one file, for another engine: ids, versions, vectors, facets, addresses of images; npz or Parquet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from index_sync.compaction import live_vectors
from index_sync.entry import Half, Payload
from index_sync.manifest import Manifest
from index_sync.recovery import loaded
from index_sync.segment import Window, live_products
from infra.store import ObjectStore
from infra.whole_file import whole_file
from processors.errors import Fatal, Missing, Retryable
from processors.identity import split
from streams.contract.records import Generation
from streams.ops.generations.standing import manifests_of

GROUP_ROWS = 4096
"""Vectors of a row group of Parquet: 8 MiB of them at a dimension of 512."""


class Exported(msgspec.Struct, frozen=True):
    """What `weft index export --json` prints. `rows`: vectors; a product has one for the whole photo and one a garment."""

    generation: str
    file: str
    products: int
    rows: int
    dimension: int
    encoder: str


@dataclass(frozen=True, slots=True)
class _Source:
    """The snapshots that are written; all of one encoder."""

    generation: str
    manifests: Mapping[int, Manifest]
    dimension: int
    encoder: str


def _source(store: ObjectStore, made: Generation) -> _Source:
    manifests = manifests_of(store, made)
    if not manifests:
        raise Retryable(f"{made.generation} has no snapshot yet: say `weft index snapshot {made.generation}` first")
    held = {(one.encoder, one.dimension) for one in manifests.values() if one.dimension}
    if len(held) > 1:
        told = ", ".join(f"{encoder} ({dimension})" for encoder, dimension in sorted(held))
        raise Fatal(f"{made.generation} has shards of several encoders, which no one space holds: {told}")
    encoder, dimension = next(iter(held), (made.encoder, 0))
    return _Source(made.generation, manifests, dimension, encoder)


def export_npz(store: ObjectStore, made: Generation, path: Path) -> Exported:
    """Write the last snapshots of a generation. Blocking; the file appears whole or not at all.

    Arrays of products: `ids`, `versions` (int64), `images` (addresses relative to the store), `categories`, `facets`
    (a JSON object each). Arrays of rows: `vectors` (float16, rows × dimension, of norm 1), `views` ("whole", "g0" …),
    `products` (int64: the row's product, an index into `ids`).

    Raises:
        Retryable: the store is away, or there is no snapshot yet.
        Damaged: an object of a snapshot is not as recorded.
        Fatal: the shards hold vectors of several encoders.
        BadSetting: nothing can be written at `path`.
    """
    source = _source(store, made)
    ids, images, categories, facets, views = list[str](), list[str](), list[str](), list[str](), list[str]()
    versions, owners, vectors = list[int](), list[int](), list[Half]()
    for manifest in source.manifests.values():
        for window in loaded(store, manifest).state.windows:
            for ordinal in live_products(window).tolist():
                payload = window.segment.columns.payload(ordinal)
                ids.append(window.segment.columns.ids[ordinal])
                versions.append(window.version(ordinal))
                images.append(store.relative(payload.image))
                categories.append(payload.category)
                facets.append(json.dumps(payload.facets, sort_keys=True, ensure_ascii=False))
                views += [view.id for view in payload.views]
                owners += [len(ids) - 1] * len(payload.views)
            vectors.append(live_vectors(window))
    whole = np.concatenate(vectors) if vectors else np.empty((0, source.dimension), dtype=np.float16)
    arrays: dict[str, Any] = {
        "ids": np.array(ids, dtype=np.str_),
        "versions": np.array(versions, dtype=np.int64),
        "images": np.array(images, dtype=np.str_),
        "categories": np.array(categories, dtype=np.str_),
        "facets": np.array(facets, dtype=np.str_),
        "views": np.array(views, dtype=np.str_),
        "products": np.array(owners, dtype=np.int64),
        "vectors": whole,
    }
    with whole_file(path) as file:
        np.savez(file, **arrays)
    return Exported(source.generation, str(path), len(ids), len(whole), source.dimension, source.encoder)


def export_parquet(store: ObjectStore, made: Generation, path: Path, group_rows: int = GROUP_ROWS) -> Exported:
    """Write the last snapshots of a generation as Parquet, a row for each vector. Blocking; whole or not at all.

    One shard and one row group lie in memory at a time. Columns: `id` (of the product, as in `export_npz`: its key), `shop` and
    `product_id` (its two halves), `version` (int64), `view` ("whole", "g0" …), `vector` (fixed-size list of float32, of
    norm 1), `category` (of the product) and `view_category`, `facets` (map of text to text), `image` (address relative to the store),
    `photo` (of the view: `image`, or another photo of the product). The schema's metadata names generation and encoder.

    Args:
        store: the object store.
        made: the generation.
        path: of the file.
        group_rows: vectors of a row group, about; a product is never cut in two.

    Raises:
        Missing: pyarrow is not installed.
        Retryable, Damaged, Fatal, BadSetting: as `export_npz` does.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise Missing("Parquet needs pyarrow: install Weft with the extra `parquet`, or say --format npz") from None
    source = _source(store, made)
    schema = _schema(pa, source)
    products = rows = 0
    with whole_file(path) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for manifest in source.manifests.values():
            for window in loaded(store, manifest).state.windows:
                for ordinals in _groups(window, group_rows):
                    batch = _batch(pa, schema, store, window, ordinals)
                    writer.write_batch(batch, row_group_size=max(1, batch.num_rows))
                    products, rows = products + len(ordinals), rows + batch.num_rows
    return Exported(source.generation, str(path), products, rows, source.dimension, source.encoder)


def _schema(pa: Any, source: _Source) -> Any:
    text, vector = pa.string(), pa.list_(pa.float32(), source.dimension)
    fields = [
        *((name, text) for name in ("id", "shop", "product_id")),
        ("version", pa.int64()),
        ("view", text),
        ("vector", vector),
        *((name, text) for name in ("category", "view_category")),
        ("facets", pa.map_(text, text)),
        *((name, text) for name in ("image", "photo")),
    ]
    told = {"weft.generation": source.generation, "weft.encoder": source.encoder}
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in fields], metadata=told)


def _groups(window: Window, group_rows: int) -> Iterator[NDArray[np.int64]]:
    """The live products of a window, so many at once that they have `group_rows` rows, or one product more."""
    ordinals = live_products(window)
    first = np.array(window.segment.columns.first, dtype=np.int64)
    ends = np.cumsum(first[ordinals + 1] - first[ordinals])
    start = 0
    while start < len(ordinals):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + group_rows, side="right")))
        yield ordinals[start:stop]
        start = stop


def _batch(pa: Any, schema: Any, store: ObjectStore, window: Window, ordinals: NDArray[np.int64]) -> Any:
    columns = window.segment.columns
    table: dict[str, list[Any]] = {name: [] for name in schema.names if name != "vector"}
    wanted = list[int]()
    for ordinal in ordinals.tolist():
        payload: Payload = columns.payload(ordinal)
        product = columns.ids[ordinal]
        shop, product_id = split(product)
        image, facets = store.relative(payload.image), sorted(payload.facets.items())
        wanted += range(columns.first[ordinal], columns.first[ordinal + 1])
        for view in payload.views:
            photo = store.relative(view.photo) if isinstance(view.photo, str) else image
            row = {
                "id": product,
                "shop": shop,
                "product_id": product_id,
                "version": window.version(ordinal),
                "view": view.id,
                "category": payload.category,
                "view_category": view.category,
                "facets": facets,
                "image": image,
                "photo": photo,
            }
            for name, value in row.items():
                table[name].append(value)
    vectors = window.segment.gather(np.array(wanted, dtype=np.int64)).astype(np.float32)
    flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    arrays = [flat if f.name == "vector" else pa.array(table[f.name], type=f.type) for f in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
