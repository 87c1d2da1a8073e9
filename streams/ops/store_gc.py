"""What lies in the object store that nothing names any more: told here, and removed by `streams.ops.store_sweep`.

Nothing is listed that a manifest, a record or a running writer names (see `streams.ops.store_names`).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import msgspec

from index_sync.manifest import Damaged, SnapshotLocation, decode_current, decode_manifest, fetch, keys_of
from infra.settings import Settings
from infra.store import NotFound, ObjectStore, content_digest
from streams.facets import versions
from streams.ops.forget_memos import CAPTIONS, MEMOS, decoded, read_all
from streams.ops.generations import lease
from streams.ops.store_names import Named, open_records
from streams.roles.caption.steps import Shown, Written
from streams.roles.items import memo_key
from streams.search.generations import COLLECTION, Generations

INDEX = f"index/{COLLECTION}/"
PHOTOS = "images/"
ASIDE = "gc/aside/"
"""Where photos and memos lie while it is not known whether somebody is about to name them."""
MOST_LISTED = 1000


class World(Protocol):
    """What the cluster says: `streams.ops.store_names.Records`."""

    async def read_on(self) -> Named:
        """What all records name, those that came since the last time included. Raises `Retryable`."""
        ...

    async def generations(self) -> Generations:
        """Those that exist, now."""
        ...

    async def roles_caught_up(self, patience_s: float) -> bool:
        """Wait until the roles have published all that they make of what lies on their topics now. False: not in that time."""
        ...


class Unnamed(msgspec.Struct, frozen=True):
    """An object that nothing names. `kind`: generation (of a dropped one), snapshot (of an earlier epoch), photo, or memo.

    `photo`: of a memo, the unnamed photo that it is of; "" where it is of none.
    """

    key: str
    kind: str
    photo: str = ""


class Garbage(msgspec.Struct, frozen=True):
    """What `weft store gc --dry-run --json` prints. `objects`: the first thousand; `counts` are of all, by kind."""

    looked: int
    counts: dict[str, int]
    objects: tuple[Unnamed, ...]


def told(looked: int, found: Sequence[Unnamed]) -> Garbage:
    """The counts and the first of what was found."""
    counts = Counter(one.kind for one in found)
    return Garbage(looked, dict(sorted(counts.items())), tuple(found[:MOST_LISTED]))


async def garbage(settings: Settings, store: ObjectStore) -> Garbage:
    """Look, and change nothing. What is written while this runs may be listed though a record that names it is on its way.

    Raises:
        Retryable: broker or store are away.
    """
    async with open_records(settings, store) as records:
        return told(*await look(store, records))


async def look(store: ObjectStore, records: World) -> tuple[int, list[Unnamed]]:
    """How many objects were looked at, and those that nothing names. Raises `Retryable`: broker or store are away."""
    # Before the topics are read: what is stored afterwards is not looked at, as nothing that names it may have been read.
    photos, memos, indexed = await asyncio.to_thread(lambda: [list(store.list(at)) for at in (PHOTOS, MEMOS, INDEX)])
    generations = await records.generations()
    named = await records.read_on()
    found = await asyncio.to_thread(lambda: list(unnamed_snapshots(store, generations, indexed)))
    lost = [key for key in photos if content_digest(key) and not named.photo(key)]
    found += [Unnamed(key, "photo") for key in lost]
    found += await asyncio.to_thread(lambda: list(unnamed_memos(store, named, memos, lost)))
    return len(photos) + len(memos) + len(indexed), found


def unnamed_memos(store: ObjectStore, named: Named, keys: Iterable[str], photos: Iterable[str]) -> Iterator[Unnamed]:
    """What was thought of photos that nothing names, and of products of which no record is kept. Blocking; reads memos of captions.

    Of a caption that is: its text is that of no caption, and the upload that it was made for is kept no more. What hosts said of
    their photos (`memo/address/`) and what stands on the topics (`memo/standing-…`), a few bytes each, is not looked at.

    Args:
        store: the object store.
        named: by the records.
        keys: of memos, as they were listed before the records were read.
        photos: that nothing names.
    """
    heads = ("", *versions.listed(store))
    of_photo = {memo_key(content_digest(photo), version): photo for photo in photos for version in heads}
    captions: list[str] = []
    for key in keys:
        stage, name = key.split("/")[1], key.rpartition("/")[2]
        if stage == "enrich" and name in of_photo:
            yield Unnamed(key, "memo", of_photo[name])
        elif key.startswith(CAPTIONS):
            captions.append(key)
    yield from _unnamed_captions(store, named, captions)


def named_caption(data: bytes, named: Named, texts: Mapping[str, bool] | None = None) -> bool:
    """Whether the memo of a caption is named; one that cannot be read is. `texts`: of others' `Shown`, whether these are named."""
    shown = decoded(data, Shown)
    if shown is not None:
        source = (shown.source.partition, shown.source.offset)
        return source in named.sources or shown.written.text.caption in named.texts
    written = decoded(data, Written)
    return written is None or written.text.caption in named.texts or (texts or {}).get(written.text.caption, False)


def texts_of(memos: Iterable[bytes], named: Named) -> dict[str, bool]:
    """The texts of those that are `Shown`, and whether any of them is named: a `Written` has no upload, and is named as they are."""
    texts: dict[str, bool] = {}
    for data in memos:
        if (shown := decoded(data, Shown)) is not None:
            text = shown.written.text.caption
            texts[text] = texts.get(text, False) or named_caption(data, named)
    return texts


def _unnamed_captions(store: ObjectStore, named: Named, keys: Sequence[str]) -> Iterator[Unnamed]:
    """Read twice, rather than held: there may be millions."""
    texts = texts_of((data for _, data in read_all(store, keys)), named)
    for key, data in read_all(store, keys):
        if data and not named_caption(data, named, texts):
            yield Unnamed(key, "memo")


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
