"""What lies in the object store that nothing names any more: told, and removed by nobody here.

Nothing is listed that a manifest, a record or a running writer names: a photo counts as named for as long as any record of
an upload, an item or a dead letter that the broker keeps names it, because a replay or a redrive reads it again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import msgspec

from index_sync.manifest import Damaged, SnapshotLocation, decode_current, decode_manifest, fetch, keys_of
from infra.settings import Settings
from infra.store import NotFound, ObjectStore
from processors.errors import Poison
from streams.contract import codecs, topics
from streams.engine.message import Message
from streams.kafka.client import Reader
from streams.ops.generations import lease
from streams.search.generations import COLLECTION, Generations, read

INDEX = f"index/{COLLECTION}/"
PHOTOS = "images/"
MOST_LISTED = 1000


class Unnamed(msgspec.Struct, frozen=True):
    """An object that nothing names. `kind`: generation (of a dropped one), snapshot (of an earlier epoch), or photo."""

    key: str
    kind: str


class Garbage(msgspec.Struct, frozen=True):
    """What `weft store gc --dry-run --json` prints. `objects`: the first thousand; `counts` are of all, by kind."""

    looked: int
    counts: dict[str, int]
    objects: tuple[Unnamed, ...]


async def garbage(settings: Settings, store: ObjectStore) -> Garbage:
    """Look. What is written while this runs may be listed though a record that names it is on its way.

    Raises:
        Retryable: broker or store are away.
    """
    # Before the topics are read: what is stored afterwards is not looked at, as nothing that names it may have been read.
    photos = await asyncio.to_thread(lambda: list(store.list(PHOTOS)))
    generations = await read(settings)
    named = await _named_photos(settings, store, generations)
    indexed = await asyncio.to_thread(lambda: list(store.list(INDEX)))
    found = await asyncio.to_thread(lambda: list(unnamed_snapshots(store, generations, indexed)))
    found += [Unnamed(key, "photo") for key in photos if key not in named]
    counts = Counter(one.kind for one in found)
    return Garbage(len(photos) + len(indexed), dict(sorted(counts.items())), tuple(found[:MOST_LISTED]))


async def _named_photos(settings: Settings, store: ObjectStore, generations: Generations) -> set[str]:
    """Keys of photos that some record names which the broker keeps."""
    own = {made.items for made in generations.all()}
    named: set[str] = set()
    for topic in sorted({topics.UPLOADS, topics.ITEMS, topics.DEAD_LETTERS} | own):
        async with Reader(settings, topic) as reader:
            async for message in reader.to_end():
                named |= {key for address in addresses_in(message) if (key := store.key_of(address)) is not None}
    return named


def addresses_in(message: Message) -> list[str]:
    """The addresses of images in a record of uploads, items or dead letters; a letter may hold either."""
    if not message.value:
        return []
    readers: tuple[Callable[[bytes], list[str]], ...] = (_of_upload, _of_item)
    if message.topic == topics.UPLOADS:
        readers = (_of_upload,)
    elif topics.is_items(message.topic):
        readers = (_of_item,)
    return [address for reader in readers for address in reader(message.value)]


def _of_item(value: bytes) -> list[str]:
    try:
        return [codecs.decode_item(value).image]
    except Poison:
        return []


def _of_upload(value: bytes) -> list[str]:
    """Every `uri` in the document, whatever else is wrong with it: a name too many keeps a photo, one too few loses it."""
    try:
        return list(_uris(msgspec.json.decode(value)))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return []


def _uris(document: object) -> Iterator[str]:
    if isinstance(document, dict):
        if isinstance(uri := document.get("uri"), str):
            yield uri
        for inner in document.values():
            yield from _uris(inner)
    elif isinstance(document, list):
        for inner in document:
            yield from _uris(inner)


def unnamed_snapshots(store: ObjectStore, generations: Generations, keys: Iterable[str]) -> Iterator[Unnamed]:
    """Objects of the index that no snapshot needs.

    Args:
        store: the object store.
        generations: those that exist.
        keys: of the index, as they were listed before any manifest is read here.
    """
    shards: dict[tuple[str, str], list[str]] = {}
    for key in keys:
        name, _, rest = key.removeprefix(INDEX).partition("/")
        partition, slash, _ = rest.partition("/")
        if generations.of(name) is not None:
            if slash and partition.isdigit():
                shards.setdefault((name, partition), []).append(key)
        elif name != "compose" and not store.exists(lease.key_of(name)):
            yield Unnamed(key, "generation")
    for (name, partition), own in shards.items():
        yield from _unnamed_of_shard(store, SnapshotLocation(COLLECTION, name, "", int(partition)), own)


def _unnamed_of_shard(store: ObjectStore, place: SnapshotLocation, keys: list[str]) -> Iterator[Unnamed]:
    """Only of epochs before that of the writer of now, which removes its own; and not what the last two manifests name."""
    try:
        current = decode_current(place.current, store.get(place.current))
    except (NotFound, Damaged):
        return  # whoever takes the shard over next says what is wrong with it
    manifests = sorted(key for key in keys if key.startswith(f"{place.root}/manifests/"))
    named = {one.key: one for one in (current.manifest, current.before) if one is not None}
    needed = {*manifests[-2:], *named}
    for key in list(needed):
        try:
            wanted = named.get(key)
            data = store.get(key) if wanted is None else fetch(store, wanted)
            needed |= keys_of(decode_manifest(key, data))
        except (NotFound, Damaged):
            return  # what it named is not known: nothing of this shard is called unnamed
    for key in keys:
        folder = key.removeprefix(f"{place.root}/").partition("/")[0]
        if folder in {"objects", "manifests"} and key not in needed and place.epoch_of(key) < current.epoch:
            yield Unnamed(key, "snapshot")
