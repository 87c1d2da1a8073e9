"""What the records that the broker keeps name in the object store: photos, and what was thought of them.

A photo counts as named for as long as any record of an upload, an item, a caption or a dead letter names it, because a replay or a
redrive reads it again. A name too many keeps an object, one too few loses it: so every SHA-256 that stands anywhere in a record
counts, whatever else the record is.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic

import msgspec

from infra.settings import Settings
from infra.store import ObjectStore, content_digest
from processors.errors import Poison
from streams.contract import codecs, topics
from streams.contract.articles import without_context
from streams.engine.message import Message
from streams.kafka.client import Reader, caption_in
from streams.ops import admin
from streams.search.generations import Generations, captions_group, read

_DIGEST = re.compile(rb"[0-9a-f]{64}")
_UPLOADS = "weft-enrich", topics.UPLOADS
"""Beside captions, who may hold a name which is not published yet: the group, and what it reads."""


@dataclass(slots=True)
class Named:
    """What the records name that were taken so far.

    `digests`: each SHA-256 in them. `keys`: of photos. `sources`: (partition, offset) of kept uploads, and of those that items and
    captions were made for. `texts`: of captions.
    """

    digests: set[bytes] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    sources: set[tuple[int, int]] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)

    def photo(self, key: str) -> bool:
        """Whether a record names the photo."""
        digest = content_digest(key)
        return key in self.keys or (bool(digest) and bytes.fromhex(digest) in self.digests)

    def take(self, store: ObjectStore, message: Message) -> None:
        """One more record."""
        if message.topic == topics.UPLOADS:
            self.sources.add((message.partition, message.offset))
        if not message.value:
            return
        self.digests.update(bytes.fromhex(found.decode()) for found in _DIGEST.findall(message.value))
        self.keys |= {key for address in addresses_in(message) if (key := store.key_of(address)) is not None}
        if topics.is_items(message.topic):
            try:
                source = codecs.decode_item(message.value).source
            except Poison:
                return
            self.sources.add((source.partition, source.offset))
        elif message.topic == topics.CAPTIONS and (caption := caption_in(message)) is not None:
            self.texts |= {caption.caption, without_context(caption)}
            self.sources.add((caption.lineage.source.partition, caption.lineage.source.offset))


class Records:
    """The records of the topics that name something: read to the present end, and on from there."""

    def __init__(self, settings: Settings, store: ObjectStore, readers: list[Reader]) -> None:
        self._settings, self._store, self._readers = settings, store, readers
        self.named = Named()

    async def read_on(self) -> Named:
        """Take all that came since the last time. Raises `Retryable`: no broker answers."""
        for reader in self._readers:
            async for message in reader.to_end():
                self.named.take(self._store, message)
        return self.named

    async def generations(self) -> Generations:
        """Those that exist, now."""
        return await read(self._settings)

    async def roles_caught_up(self, patience_s: float) -> bool:
        """Wait until the roles have published all that they make of what lies on their topics now. False: not in that time."""
        until = monotonic() + patience_s
        ends = {}
        items = (await self.generations()).items
        roles = dict((_UPLOADS, (captions_group(items), items)))
        for topic in roles.values():
            async with Reader(self._settings, topic, from_end=True) as reader:
                ends[topic] = await reader.ends()
        for group, topic in roles.items():
            while True:
                commits = await admin.group_offsets(self._settings, group)
                behind = [p for p, end in ends[topic].items() if end and commits.get((topic, p), (0, ""))[0] < end]
                if not behind or not commits:  # a group that never committed anything is a role that nobody runs
                    break
                if monotonic() > until:
                    return False
                await asyncio.sleep(0.5)
        return True


@asynccontextmanager
async def open_records(settings: Settings, store: ObjectStore) -> AsyncIterator[Records]:
    """Raises `Retryable`: no broker answers."""
    own = {made.items for made in (await read(settings)).all()}
    names = sorted({topics.UPLOADS, topics.ITEMS, topics.CAPTIONS, topics.DEAD_LETTERS} | own)
    # A cluster of before there were articles has no such topic; their pictures lie among the photos.
    names += [state.name for state in await admin.list_topics(settings, [topics.ARTICLES])]
    async with AsyncExitStack() as closing:
        yield Records(settings, store, [await closing.enter_async_context(Reader(settings, name)) for name in names])


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
        return list(codecs.images_of(codecs.decode_item(value)))
    except Poison:
        return []


def _of_upload(value: bytes) -> list[str]:
    """Every `uri` in the document, whatever else is wrong with it."""
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
