"""One replay a generation: a lease in the object store, which its holder renews."""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import msgspec
import psutil

from infra.store import ETag, NotFound, ObjectStore
from processors.errors import Fatal, Retryable, WeftError
from streams.search.generations import COLLECTION

BEAT_S = 3.0
SILENT_S = 12.0
"""After which a holder on another machine is taken for dead: it renews four times in that."""


class Holder(msgspec.Struct, frozen=True):
    """Who replays into a generation. `started`: of the process, seconds since the epoch."""

    owner: str
    host: str
    pid: int
    started: float
    beat: int = 0


def key_of(generation: str) -> str:
    """Where the lease lies."""
    return f"index/{COLLECTION}/{generation}/replay.json"


@asynccontextmanager
async def held(store: ObjectStore, generation: str) -> AsyncIterator[asyncio.Task[None]]:
    """Hold the lease of a generation; yields the task that renews it, which ends only when it is lost.

    Raises:
        Retryable: another process holds it.
    """
    mine, etag = await _acquire(store, generation)
    renewing = asyncio.create_task(_renew(store, generation, mine, etag), name="replay:lease")
    try:
        yield renewing
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
        with suppress(WeftError, NotFound, msgspec.DecodeError):
            if _decode(store.get(key_of(generation))).owner == mine.owner:
                store.delete(key_of(generation))


async def _acquire(store: ObjectStore, generation: str) -> tuple[Holder, ETag]:
    key = key_of(generation)
    me = psutil.Process()
    mine = Holder(uuid.uuid4().hex, socket.gethostname(), os.getpid(), me.create_time())
    data = msgspec.json.encode(mine)
    if await asyncio.to_thread(store.create, key, data):
        return mine, (await asyncio.to_thread(store.get_versioned, key)).etag
    found = await asyncio.to_thread(store.get_versioned, key)
    holder = _decode(found.data)
    if holder.host == mine.host:
        if _lives(holder):
            raise _taken(generation, holder)
    elif await _beats(store, key, holder):
        raise _taken(generation, holder)
    etag = await asyncio.to_thread(store.swap, key, data, (await asyncio.to_thread(store.get_versioned, key)).etag)
    # Another one may have been as fast: whoever's swap came last holds it, and the other finds that out at its next beat.
    if etag is None:
        raise Retryable(f"another process has just begun to replay into {generation}")
    return mine, etag


def _decode(data: bytes) -> Holder:
    try:
        return msgspec.json.decode(data, type=Holder)
    except msgspec.DecodeError:
        return Holder("", "", 0, 0.0)


def _lives(holder: Holder) -> bool:
    try:
        return abs(psutil.Process(holder.pid).create_time() - holder.started) < 2.0
    except psutil.NoSuchProcess:
        return False


async def _beats(store: ObjectStore, key: str, holder: Holder) -> bool:
    """Watch a holder on another machine, whose clock may differ: whether it renews its lease."""
    for _ in range(round(SILENT_S)):
        await asyncio.sleep(1.0)
        try:
            now = _decode(await asyncio.to_thread(store.get, key))
        except NotFound:
            return False
        if now != holder:
            return True
    return False


def _taken(generation: str, holder: Holder) -> Retryable:
    return Retryable(
        f"process {holder.pid} on {holder.host} is replaying into {generation}: two at once would undo each other's work"
    )


async def _renew(store: ObjectStore, generation: str, mine: Holder, etag: ETag) -> None:
    beat = 0
    while True:
        await asyncio.sleep(BEAT_S)
        beat += 1
        data = msgspec.json.encode(msgspec.structs.replace(mine, beat=beat))
        try:
            swapped = await asyncio.to_thread(store.swap, key_of(generation), data, etag)
            there = swapped is not None or await asyncio.to_thread(store.exists, key_of(generation))
        except Retryable:
            continue
        if swapped is None:
            if not there:
                raise Fatal(f"{generation} was dropped while it was being built")
            raise Fatal(f"another process has taken the replay into {generation} over")
        etag = swapped
