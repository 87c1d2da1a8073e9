"""Removing what nothing names from the object store: only what nothing named at an earlier run either, an age ago.

    put back what a run that died left aside → look → note what is unnamed since when → of what is so for long enough:
        snapshots: read the manifests again, delete what they do not name
        dropped generations: hold the lease of a replay, ask again whether there is one of that name, delete
        photos and memos: copy aside → delete → wait until the roles have published what they were at → read the records again
            → put back what is named now → forget the copies

A worker may find a photo or a memo there, and publish a record that names it only after its models have thought; the
records say so only then. What was removed meanwhile comes back from its copy. What a worker looks for after that it finds
missing, and makes anew.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from itertools import groupby

import msgspec

from infra.store import NotFound, ObjectStore, content_digest
from processors.errors import Retryable
from streams.facets import versions
from streams.ops.forget_memos import CAPTIONS, read_all
from streams.ops.generations import lease
from streams.ops.store_gc import (
    ASIDE,
    INDEX,
    MOST_LISTED,
    PHOTOS,
    Unnamed,
    World,
    look,
    named_caption,
    texts_of,
    unnamed_snapshots,
)
from streams.ops.store_names import Named
from streams.roles.items import memo_key
from streams.search.generations import Generations

MARKS = "gc/unnamed.json"
LEASE = "_gc"  # no name that a generation may have
SETTLE_S = 10.0
"""For a client that found its photo in the store, and is about to send the record that names it."""
PATIENCE_S = 600.0


class Swept(msgspec.Struct, frozen=True):
    """What `weft store gc --json` prints.

    `waiting`: unnamed for less than the age. `put_back`: photos and memos that were named after all. `aside`: those of which it is
    not known yet, as the roles were behind for too long; the next run knows. `counts`: of what was removed, by kind.
    """

    looked: int
    counts: dict[str, int]
    removed: tuple[str, ...]
    waiting: int
    put_back: int
    aside: int


@dataclass(slots=True)
class Sweep:
    """One run at a time, by a lease.

    Args:
        store: the cluster's; whoever calls has made sure of that.
        world: what the records say.
        older_than_s: since when an object must have been unnamed.
        now: seconds since the epoch.
        sleep: waits.
    """

    store: ObjectStore
    world: World
    older_than_s: float
    now: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def run(self) -> Swept:
        """Look, note, remove.

        Raises:
            Retryable: broker or store are away, or another run is at it. What was begun is finished by the next run.
        """
        async with AsyncExitStack() as closing:
            try:
                await closing.enter_async_context(lease.held(self.store, LEASE))
            except Retryable as error:
                raise Retryable(f"another `weft store gc` is at work: {error}") from error
            return await self._run()

    async def _run(self) -> Swept:
        back, aside = await self._settled()
        looked, found = await look(self.store, self.world)
        marks = await asyncio.to_thread(self._marked, found)
        oldest = self.now() - self.older_than_s
        due = [one for one in found if (mark := marks.get(one.photo or one.key)) is not None and mark <= oldest]
        gone: list[Unnamed] = []
        if not aside:  # else nobody knows yet what the roles are at
            kinds = {"photo", "memo"}
            gone = await asyncio.to_thread(self._photos_and_memos, [one for one in due if one.kind in kinds])
            again, aside = await self._settled(settle_s=SETTLE_S)
            back |= again
        gone += await self._indexed([one for one in due if one.kind not in {"photo", "memo"}])
        gone = [one for one in gone if one.key not in back]
        counts = dict(sorted(Counter(one.kind for one in gone).items()))
        listed = tuple(one.key for one in gone[:MOST_LISTED])
        return Swept(looked, counts, listed, len(found) - len(due), len(back), aside)

    # ------------------------------------------------------------------ since when

    def _marked(self, found: Iterable[Unnamed]) -> Mapping[str, float]:
        """Since when each was unnamed whenever anybody looked: as an earlier run noted it. What is unnamed now is noted."""
        try:
            known = msgspec.json.decode(self.store.get(MARKS), type=dict[str, float])
        except (NotFound, msgspec.DecodeError):
            known = {}
        now = self.now()
        noted = {name: min(known.get(name, now), now) for one in found if (name := one.photo or one.key)}
        self.store.put(MARKS, msgspec.json.encode(noted))
        return {name: at for name, at in noted.items() if name in known}

    # ------------------------------------------------------------------ photos and memos

    def _photos_and_memos(self, due: Sequence[Unnamed]) -> list[Unnamed]:
        # Memos first: they are found by their photo.
        ordered = sorted(due, key=lambda one: one.kind == "photo")
        for one in ordered:
            with suppress(NotFound):
                self.store.put(f"{ASIDE}{one.key}", self.store.get(one.key))
                self.store.delete(one.key)
        return ordered

    async def _settled(self, settle_s: float = 0.0) -> tuple[set[str], int]:
        """Of what lies aside, put back what is named by now, and forget the rest. Returns what is back, and how much is still aside."""
        aside = await asyncio.to_thread(lambda: list(self.store.list(ASIDE)))
        if not aside:
            return set(), 0
        await self.sleep(settle_s)
        if not await self.world.roles_caught_up(PATIENCE_S):
            return set(), len(aside)
        named = await self.world.read_on()
        return await asyncio.to_thread(self._put_back, aside, named), 0

    def _put_back(self, aside: Sequence[str], named: Named) -> set[str]:
        keys = [copy.removeprefix(ASIDE) for copy in aside]
        heads = ("", *versions.listed(self.store))
        photos = {memo_key(content_digest(k), head): k for k in keys if k.startswith(PHOTOS) for head in heads}
        captions = [copy for copy in aside if copy.startswith(f"{ASIDE}{CAPTIONS}")]
        texts = texts_of((data for _, data in read_all(self.store, captions)), named)
        back = set[str]()
        for key in sorted(keys, key=lambda one: one.startswith(PHOTOS)):  # memos first, as they were taken
            data = self.store.get(f"{ASIDE}{key}")
            if _is_named(key, data, named, photos, texts):
                self.store.create(key, data)  # unless somebody has made it anew
                back.add(key)
            self.store.delete(f"{ASIDE}{key}")
        return back

    # ------------------------------------------------------------------ the index

    async def _indexed(self, due: Sequence[Unnamed]) -> list[Unnamed]:
        generations = await self.world.generations()
        snapshots = [one for one in due if one.kind == "snapshot"]
        gone = await asyncio.to_thread(self._snapshots, generations, snapshots)
        of_dropped = [one for one in due if one.kind == "generation"]
        for name, own in groupby(of_dropped, key=lambda one: one.key.removeprefix(INDEX).partition("/")[0]):
            gone += await self._dropped(name, list(own))
        return gone

    def _snapshots(self, generations: Generations, due: Sequence[Unnamed]) -> list[Unnamed]:
        """Shard by shard, right before: only what no manifest of now names, of a writer that cannot write any more."""
        gone: list[Unnamed] = []
        for (name, partition), shard in groupby(due, key=lambda one: one.key.removeprefix(INDEX).split("/")[:2]):
            listed = list(self.store.list(f"{INDEX}{name}/{partition}/"))
            again = {one.key for one in unnamed_snapshots(self.store, generations, listed)}
            for one in shard:
                if one.key in again:
                    self.store.delete(one.key)
                    gone.append(one)
        return gone

    async def _dropped(self, name: str, due: list[Unnamed]) -> list[Unnamed]:
        """While nobody can begin to build a generation of that name anew."""
        try:
            async with lease.held(self.store, name):
                if (await self.world.generations()).of(name) is not None:
                    return []
                for one in due:
                    await asyncio.to_thread(self.store.delete, one.key)
                return due
        except Retryable:
            return []  # somebody does


def _is_named(key: str, data: bytes, named: Named, photos: Mapping[str, str], texts: Mapping[str, bool]) -> bool:
    """Whether the records name a photo, or that of which a memo is. `photos`: by the names of their memos."""
    if key.startswith(PHOTOS):
        return named.photo(key)
    if key.startswith(CAPTIONS):
        return named_caption(data, named, texts)
    photo = photos.get(key.rpartition("/")[2])
    # A run that died may have left the photo where it was: then its memo goes back to it.
    return photo is None or named.photo(photo)
