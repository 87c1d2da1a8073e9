"""Proving that a generation of the index is what its topic says, and that the store holds what both name.

Worked out from the topic without the index's own code for segments (`index_sync.census.Expected`), and compared by
digests first: only what differs is listed. What is being written meanwhile is looked at again before it is called a
difference.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from index_sync.census import BUCKETS, Expected, Known, bucket_of, by_bucket, digest_text, total
from index_sync.manifest import Damaged, SnapshotLocation, decode_current, decode_manifest, fetch
from infra.settings import Settings
from infra.store import NotFound, ObjectStore
from processors.errors import BadSetting, Poison
from streams.contract.probes import CensusAsk
from streams.contract.records import Generation
from streams.kafka.consumer import PlainConsumer, open_consumer
from streams.ops.generations.asking import Asking, Counted, open_asking, total_live, whole_digest
from streams.roles.index.entries import change_of
from streams.search.generations import COLLECTION, Generations, read

ROUNDS = 4
"""What differs in so many looks differs; a product that is being written differs in one."""
_SNAPSHOT_TRIES = 4


class Difference(msgspec.Struct, frozen=True):
    """A product of which index, topic and store do not say the same.

    `kind`: missing (from the index), extra (in the index only), version, vector, photo (not in the store), snapshot (an
    object of the last snapshot is damaged or gone; no product is named).
    """

    product_id: str
    kind: str
    detail: str = ""


class Verdict(msgspec.Struct, frozen=True):
    """What `weft index verify --json` prints. `refused`: records of the topic that no index takes."""

    ok: bool
    generation: str
    live: int
    digest: str
    differences: tuple[Difference, ...]
    refused: int = 0
    photos: int = 0
    objects: int = 0


@dataclass(slots=True)
class _Side:
    """One partition as the topic has it, up to an offset."""

    expected: Expected
    upto: int


def chosen(generations: Generations, name: str | None) -> Generation:
    """The generation of this name; without one, that which is live. Raises `BadSetting`."""
    made = generations.of(name or generations.live)
    if made is None:
        there = ", ".join(one.generation for one in generations.all())
        raise BadSetting(f"there is no generation {name}; there are {there}")
    return made


async def verify(settings: Settings, store: ObjectStore, name: str | None) -> Verdict:
    """Compare index, topic and store of one generation.

    Raises:
        BadSetting: there is no such generation.
        Retryable: broker, store or index workers are away, or the generation is still being built.
    """
    made = chosen(await read(settings), name)
    async with open_asking(settings) as asking, open_consumer(settings) as consumer:
        look = _Look(made, asking, consumer)
        found, sides, differences = await look.until_settled()
    photos = {key: known.image for side in sides.values() for key, known in side.expected.products.items()}
    differences += await asyncio.to_thread(_lost_photos, store, photos)
    objects, damaged = await asyncio.to_thread(_check_snapshots, store, made, sorted(found))
    differences += damaged
    return Verdict(
        ok=not differences,
        generation=made.generation,
        live=total_live(found),
        digest=whole_digest(found),
        differences=tuple(sorted(differences, key=lambda one: (one.product_id, one.kind))),
        refused=sum(side.expected.refused for side in sides.values()),
        photos=len(photos),
        objects=objects,
    )


@dataclass(slots=True)
class _Look:
    made: Generation
    asking: Asking
    consumer: PlainConsumer
    known: set[Difference] = field(default_factory=set)

    async def until_settled(self) -> tuple[dict[int, Counted], dict[int, _Side], list[Difference]]:
        """Look until nothing differs, or the same in every look."""
        found: dict[int, Counted] = {}
        sides: dict[int, _Side] = {}
        lasting: set[Difference] = set()
        for number in range(ROUNDS):
            found, sides, differing = await self._look()
            now = set(differing)
            lasting = now if number == 0 else lasting & now
            if not lasting:
                break
        return found, sides, list(lasting)

    async def _look(self) -> tuple[dict[int, Counted], dict[int, _Side], list[Difference]]:
        found = await self.asking.census(self.made.generation)
        sides = await self._read(found)
        differences: list[Difference] = []
        for partition, counted in found.items():
            side = sides[partition]
            same = total(known.mark for known in side.expected.products.values()) == int(counted.census.digest, 16)
            if not same or counted.census.live != len(side.expected.products):
                differences += await self._compare(counted, side)
        return found, sides, differences

    async def _read(self, found: Mapping[int, Counted]) -> dict[int, _Side]:
        """The topic up to where each shard was when it answered."""
        topic = self.made.items
        marks = await self.consumer.watermarks(topic)
        sides = {p: _Side(Expected(counted.census.encoder), counted.next_offset) for p, counted in found.items()}
        begins = {p: max(marks[p][0], self.made.begins.get(str(p), 0)) for p in sides if p in marks}
        reading = {p: begin for p, begin in begins.items() if begin < min(sides[p].upto, marks[p][1])}
        if reading:
            await self.consumer.assign({(topic, p): begin for p, begin in reading.items()})
        while reading:
            for message in await self.consumer.poll(0.5, max_records=2000):
                side = sides[message.partition]
                if message.offset < side.upto:
                    try:
                        side.expected.apply(change_of(message))
                    except Poison:
                        side.expected.refused += 1
            for partition in list(reading):
                if await self.consumer.position((topic, partition)) >= min(sides[partition].upto, marks[partition][1]):
                    del reading[partition]
        return sides

    async def _compare(self, counted: Counted, side: _Side) -> list[Difference]:
        """Name what differs, from the buckets that do. The shard may have moved on meanwhile: the next look will tell."""
        partition, generation = counted.partition, self.made.generation
        ask = CensusAsk(buckets=True)
        [now] = (await self.asking.census(generation, ask, partition=partition)).values()
        products = {key: (known.version, known.mark) for key, known in side.expected.products.items()}
        ours = by_bucket(products)
        differing = [n for n in range(BUCKETS) if digest_text(ours.marks[n]) != now.census.buckets[n]]
        theirs = await self.asking.members(generation, now, differing)
        wanted = set(differing)
        here = {key: known for key, known in side.expected.products.items() if bucket_of(key) in wanted}
        return [one for key in here.keys() | theirs.keys() if (one := _difference(key, here.get(key), theirs.get(key)))]


def _difference(product_id: str, topic: Known | None, index: tuple[int, str] | None) -> Difference | None:
    if index is None:
        return Difference(
            product_id, "missing", f"version {topic.version if topic else ''} of the topic is not in the index"
        )
    if topic is None:
        return Difference(product_id, "extra", f"version {index[0]} of the index is not on the topic")
    if topic.version != index[0]:
        return Difference(product_id, "version", f"the topic has {topic.version}, the index {index[0]}")
    if digest_text(topic.mark) != index[1]:
        return Difference(product_id, "vector", f"version {topic.version} has other views or vectors on the topic")
    return None


def _lost_photos(store: ObjectStore, photos: Mapping[str, str]) -> list[Difference]:
    """Products whose photo should be in the store and is not."""
    keys = {product_id: key for product_id, image in photos.items() if (key := store.key_of(image)) is not None}
    if len(keys) > 1000:
        there = set(store.list("images/"))
        lost = [p for p, key in keys.items() if key not in there and not store.exists(key)]
    else:
        lost = [product_id for product_id, key in keys.items() if not store.exists(key)]
    return [Difference(product_id, "photo", f"{keys[product_id]} is not in the store") for product_id in lost]


def _check_snapshots(store: ObjectStore, made: Generation, partitions: Sequence[int]) -> tuple[int, list[Difference]]:
    """Read every object of the last snapshots against its checksum: how many there are, and what is wrong."""
    objects, wrong = 0, list[Difference]()
    for partition in partitions:
        place = SnapshotLocation(COLLECTION, made.generation, made.items, partition)
        checked, problem = _check_snapshot(store, place)
        objects += checked
        if problem:
            wrong.append(Difference("", "snapshot", problem))
    return objects, wrong


def _check_snapshot(store: ObjectStore, place: SnapshotLocation) -> tuple[int, str]:
    """Objects that are as recorded, and what is wrong with another. One that was replaced meanwhile is looked at anew."""
    seen = b""
    for _ in range(_SNAPSHOT_TRIES):
        try:
            data = store.get(place.current)
        except NotFound:
            return 0, ""  # no snapshot yet
        if data == seen:
            break
        seen = data
        try:
            current = decode_current(place.current, data)
            if current.manifest is None:
                return 0, ""
            manifest = decode_manifest(current.manifest.key, fetch(store, current.manifest))
            named = [manifest.state, *(part for segment in manifest.segments for part in segment.objects)]
            for ref in named:
                fetch(store, ref)
        except Damaged as damage:
            problem = str(damage)
        else:
            return len(named) + 1, ""
    return 0, problem
