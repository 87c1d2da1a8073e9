"""What a run left behind: the records of the topics, the answers, and the index as it lies in the store."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import numpy as np

from index_sync.entry import Payload
from index_sync.manifest import Damaged, Manifest, SnapshotLocation, decode_current, decode_manifest, fetch
from index_sync.part import decode_segment, decode_tombstones
from infra.settings import Settings
from infra.store import NotFound, ObjectStore
from streams.contract import topics
from streams.engine.message import Message
from streams.kafka.client import Reader
from streams.roles.index.shards import IndexConfig

READ = (topics.UPLOADS, topics.ITEMS, topics.CAPTIONS, topics.DEAD_LETTERS, topics.QUERIES, topics.RESULTS)


@dataclass(frozen=True, slots=True)
class Indexed:
    """One product in the index, without what differs between two runs of the same uploads (offsets, folders)."""

    image: str  # key in the store
    category: str
    facets: tuple[tuple[str, str], ...]
    views: tuple[tuple[str, bytes], ...]  # view id, float16 vector


@dataclass(frozen=True, slots=True)
class Index:
    """All shards. `applied`: partition → every record below this offset is in the snapshot."""

    products: dict[str, Indexed] = field(default_factory=dict)
    applied: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the checker sees of a run."""

    uploads: tuple[Message, ...] = ()
    items: tuple[Message, ...] = ()
    captions: tuple[Message, ...] = ()
    dead: tuple[Message, ...] = ()
    queries: tuple[Message, ...] = ()
    results: tuple[Message, ...] = ()
    index: Index = field(default_factory=Index)


async def read_topics(settings: Settings) -> dict[str, tuple[Message, ...]]:
    """Every record of every topic that the checker looks at, in the order of each partition."""
    found = {}
    for topic in READ:
        async with Reader(settings, topic) as reader:
            found[topic] = tuple([message async for message in reader.to_end()])
    return found


def evidence_of(records: dict[str, tuple[Message, ...]], index: Index) -> Evidence:
    """Both together."""
    uploads, items, captions, dead, queries, results = (records[topic] for topic in READ)
    return Evidence(uploads, items, captions, dead, queries, results, index)


def snapshot_offsets(store: ObjectStore, partitions: int) -> dict[int, int]:
    """Where the latest snapshot of each shard stands; shards without one are absent. Blocking."""
    found = {}
    for partition in range(partitions):
        manifest = _manifest(store, partition)
        if manifest is not None:
            found[partition] = manifest.next_offset
    return found


def read_index(store: ObjectStore, partitions: int) -> Index:
    """Every live product of the latest snapshots, whose writers have stopped. Nothing is claimed. Blocking.

    Raises:
        Damaged: a snapshot is not what it says.
    """
    products: dict[str, Indexed] = {}
    applied: dict[int, int] = {}
    for partition in range(partitions):
        manifest = _manifest(store, partition)
        if manifest is None:
            continue
        applied[partition] = manifest.next_offset
        masks, _ = decode_tombstones(manifest.state.key, fetch(store, manifest.state), manifest.segments)
        for ref, alive in zip(manifest.segments, masks, strict=True):
            segment = decode_segment(ref, [fetch(store, part) for part in ref.parts], manifest.dimension, ref.rows)
            columns = segment.columns
            for ordinal, product_id in enumerate(columns.ids):
                start, stop = columns.first[ordinal], columns.first[ordinal + 1]
                if not alive[start]:
                    continue
                if product_id in products:
                    raise Damaged(f"partition {partition}: {product_id} is alive twice")
                vectors = np.asarray(segment.vectors(start, stop), dtype="<f2")
                products[product_id] = indexed(store, columns.payload(ordinal), vectors)
    return Index(products, applied)


def indexed(store: ObjectStore, payload: Payload, vectors: np.ndarray) -> Indexed:
    """A product of a shard in comparable form."""
    views = tuple((view.id, vector.tobytes()) for view, vector in zip(payload.views, vectors, strict=True))
    key = store.key_of(payload.image) or payload.image
    return Indexed(key, payload.category, tuple(sorted(payload.facets.items())), views)


def _manifest(store: ObjectStore, partition: int) -> Manifest | None:
    config = IndexConfig("nobody")
    place = SnapshotLocation(config.collection, config.generation, topics.ITEMS, partition)
    try:
        current = decode_current(place.current, store.get(place.current))
        if current.manifest is None:
            return None
        return decode_manifest(current.manifest.key, fetch(store, current.manifest))
    except NotFound:
        return None


def digest_of(result: bytes) -> tuple[tuple[str, float], ...]:
    """What a search found, comparable between runs: product and score, by product."""
    answer = msgspec.json.decode(result)
    return tuple(sorted((hit["product_id"], round(hit["score"], 4)) for hit in answer["hits"]))
