"""`weft index list|status|snapshot`: what there is, where it stands, and what it weighs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

import msgspec

from index_sync.manifest import Damaged, Manifest, SnapshotLocation, decode_current, decode_manifest, fetch
from infra.settings import Settings
from infra.store import NotFound, ObjectStore
from processors.errors import Retryable
from streams.contract.probes import CensusAsk, SegmentCensus
from streams.contract.records import Generation
from streams.kafka.consumer import open_consumer
from streams.ops.generations.asking import Copy, Counted, open_asking, total_live, whole_digest
from streams.ops.generations.verify import chosen
from streams.search.generations import COLLECTION, Generations, read


class Listed(msgspec.Struct, frozen=True):
    """A generation, as `weft index list --json` prints it. `live` and `digest` are those of its last snapshots."""

    generation: str
    state: str
    ready: bool
    items: str
    profile: str
    encoder: str
    live: int
    digest: str
    snapshot_at: float | None
    at: str


class StandbyStanding(msgspec.Struct, frozen=True):
    """A worker that holds a copy of a shard: up to which offset it has read, and how many records it is behind."""

    worker: str
    next_offset: int
    lag: int
    live: int


class ShardStanding(msgspec.Struct, frozen=True):
    """One shard, as `weft index status --json` prints it. Times in seconds; `lag_seconds`: age of the oldest record waiting."""

    partition: int
    rows: int
    dead_rows: int
    live: int
    segments: tuple[SegmentCensus, ...]
    next_offset: int
    lag: int
    lag_seconds: float
    vector_bytes: int
    snapshot_at: float | None
    snapshot_offset: int | None
    snapshot_bytes: int
    standbys: tuple[StandbyStanding, ...] = ()


class Status(msgspec.Struct, frozen=True):
    """What `weft index status --json` prints. `standbys`: so many hold a copy of every shard."""

    generation: str
    state: str
    items: str
    encoder: str
    live: int
    digest: str
    rows: int
    dead_rows: int
    lag: int
    lag_seconds: float
    vector_bytes: int
    standbys: int
    shards: tuple[ShardStanding, ...]


class Saved(msgspec.Struct, frozen=True):
    """What `weft index snapshot --json` prints. `written`: shards that had changed since their last one."""

    generation: str
    shards: int
    written: int
    live: int
    digest: str


def manifest_of(store: ObjectStore, made: Generation, partition: int) -> Manifest | None:
    """The last snapshot of a shard; None where there is none that can be read."""
    place = SnapshotLocation(COLLECTION, made.generation, made.items, partition)
    try:
        current = decode_current(place.current, store.get(place.current))
        return None if current.manifest is None else decode_manifest("", fetch(store, current.manifest))
    except (NotFound, Damaged):
        return None


def manifests_of(store: ObjectStore, made: Generation) -> dict[int, Manifest]:
    """The last snapshots of a generation, by partition."""
    root = f"index/{COLLECTION}/{made.generation}/"
    names = {key.removeprefix(root).split("/")[0] for key in store.list(root)}
    found = {int(name): manifest_of(store, made, int(name)) for name in sorted(names) if name.isdigit()}
    return {partition: manifest for partition, manifest in found.items() if manifest is not None}


def listed(store: ObjectStore, generations: Generations) -> list[Listed]:
    """Every generation, with what its snapshots say. Asks no worker."""
    found = []
    for made in generations.all():
        manifests = manifests_of(store, made)
        digest = sum(int(one.digest, 16) for one in manifests.values()) % (1 << 128)
        found.append(
            Listed(
                generation=made.generation,
                state=generations.state(made.generation),
                ready=made.ready,
                items=made.items,
                profile=made.profile,
                encoder=made.encoder or next((one.encoder for one in manifests.values() if one.encoder), ""),
                live=sum(one.live for one in manifests.values()),
                digest=f"{digest:032x}",
                snapshot_at=min((one.created_at for one in manifests.values()), default=None),
                at=made.at,
            )
        )
    return found


async def status(settings: Settings, store: ObjectStore, name: str | None) -> Status:
    """Where the shards of a generation stand. Raises as `verify` does."""
    generations = await read(settings)
    made = chosen(generations, name)
    async with open_asking(settings) as asking, open_consumer(settings) as consumer:
        found, copies = await asyncio.gather(
            asking.census(made.generation, CensusAsk(segments=True)), asking.standbys(made.generation)
        )
        ends = {partition: end for partition, (_, end) in (await consumer.watermarks(made.items)).items()}
    manifests = await asyncio.to_thread(manifests_of, store, made)
    shards = tuple(
        _shard(one, min(ends.get(p, 0), made.ends.get(str(p), ends.get(p, 0))), manifests, copies.get(p, []))
        for p, one in found.items()
    )
    return Status(
        generation=made.generation,
        state=generations.state(made.generation),
        items=made.items,
        encoder=next((one.census.encoder for one in found.values() if one.census.encoder), made.encoder),
        live=total_live(found),
        digest=whole_digest(found),
        rows=sum(shard.rows for shard in shards),
        dead_rows=sum(shard.dead_rows for shard in shards),
        lag=sum(shard.lag for shard in shards),
        lag_seconds=max((shard.lag_seconds for shard in shards), default=0.0),
        vector_bytes=sum(shard.vector_bytes for shard in shards),
        standbys=min((len(shard.standbys) for shard in shards), default=0),
        shards=shards,
    )


def _shard(one: Counted, end: int, manifests: Mapping[int, Manifest], copies: Sequence[Copy]) -> ShardStanding:
    lag = max(0, end - one.next_offset)
    manifest = manifests.get(one.partition)
    since = one.census.newest_ms / 1000
    return ShardStanding(
        partition=one.partition,
        rows=sum(segment.rows for segment in one.census.segments),
        dead_rows=sum(segment.dead_rows for segment in one.census.segments),
        live=one.census.live,
        segments=one.census.segments,
        next_offset=one.next_offset,
        lag=lag,
        # What waits came after what was applied last.
        lag_seconds=round(max(0.0, time.time() - since), 3) if lag and since > 0 else 0.0,
        vector_bytes=one.census.vector_bytes,
        snapshot_at=None if manifest is None else manifest.created_at,
        snapshot_offset=None if manifest is None else manifest.next_offset,
        snapshot_bytes=0 if manifest is None else _bytes_of(manifest),
        standbys=tuple(
            StandbyStanding(copy.worker, copy.next_offset, max(0, end - copy.next_offset), copy.live)
            for copy in sorted(copies, key=lambda copy: copy.worker)
        ),
    )


def _bytes_of(manifest: Manifest) -> int:
    return manifest.state.size + sum(part.size for segment in manifest.segments for part in segment.objects)


async def snapshot(settings: Settings, name: str | None) -> Saved:
    """Have every shard that changed written to the store now. Raises as `verify` does, and `Retryable` where one was not."""
    made = chosen(await read(settings), name)
    async with open_asking(settings) as asking:
        found = await asking.census(made.generation, CensusAsk(save=True), patience_s=120.0)
    if not found:
        raise Retryable("no shard answered")
    return Saved(
        made.generation,
        len(found),
        sum(one.census.saved for one in found.values()),
        total_live(found),
        whole_digest(found),
    )
