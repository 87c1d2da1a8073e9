"""A generation as one file of arrays, for another engine: ids, versions, vectors, facets, addresses of images."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from index_sync.compaction import live_vectors
from index_sync.recovery import loaded
from index_sync.segment import live_products
from infra.store import ObjectStore
from processors.errors import Retryable
from streams.contract.records import Generation
from streams.ops.generations.standing import manifests_of


class Exported(msgspec.Struct, frozen=True):
    """What `weft index export --json` prints. `rows`: vectors; a product has one for the whole photo and one a garment."""

    generation: str
    file: str
    products: int
    rows: int
    dimension: int
    encoder: str


def export_npz(store: ObjectStore, made: Generation, path: Path) -> Exported:
    """Write the last snapshots of a generation. Blocking; the file appears whole or not at all.

    Arrays of products: `ids`, `versions` (int64), `images` (addresses relative to the store), `categories`, `facets`
    (a JSON object each). Arrays of rows: `vectors` (float16, rows × dimension, of norm 1), `views` ("whole", "g0" …),
    `products` (int64: the row's product, an index into `ids`).

    Raises:
        Retryable: the store is away, or there is no snapshot yet.
        Damaged: an object of a snapshot is not as recorded.
    """
    manifests = manifests_of(store, made)
    if not manifests:
        raise Retryable(f"{made.generation} has no snapshot yet: say `weft index snapshot {made.generation}` first")
    ids, images, categories, facets, views = list[str](), list[str](), list[str](), list[str](), list[str]()
    versions, owners, vectors = list[int](), list[int](), []
    for manifest in manifests.values():
        for window in loaded(store, manifest).state.windows:
            columns = window.segment.columns
            for ordinal in live_products(window).tolist():
                payload = columns.payload(ordinal)
                ids.append(columns.ids[ordinal])
                versions.append(window.version(ordinal))
                images.append(store.relative(payload.image))
                categories.append(payload.category)
                facets.append(json.dumps(payload.facets, sort_keys=True, ensure_ascii=False))
                views += [view.id for view in payload.views]
                owners += [len(ids) - 1] * len(payload.views)
            vectors.append(live_vectors(window))
    whole = np.concatenate(vectors) if vectors else np.empty((0, 0), dtype=np.float16)
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
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        np.savez(file, **arrays)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    encoder = next((manifest.encoder for manifest in manifests.values() if manifest.encoder), "")
    return Exported(made.generation, str(path), len(ids), len(whole), whole.shape[1], encoder)
