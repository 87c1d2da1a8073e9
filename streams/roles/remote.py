"""Photos on somebody else's hosts: asked for again only if they are others, patiently, and not for ever."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from infra.host_answers import NO_VALIDATORS, Fetched, HostBusy, Unchanged, Validators
from infra.logs import logger
from infra.store import NotFound, ObjectStore
from infra.threads import InThread
from processors.errors import Code, Poison, Retryable

log = logger(__name__)

ATTEMPTS = 6
PAUSE_S = 0.5


class Asks(Protocol):
    """What is used of `infra.fetch.Fetcher`."""

    async def ask(self, uri: str, known: Validators) -> Fetched | Unchanged: ...


class Kept(msgspec.Struct, frozen=True):
    """The photo that an address gave the last time: where it lies in our store, and the hash of its bytes there."""

    key: str
    digest: str
    etag: str = ""
    last_modified: str = ""


@dataclass(frozen=True, slots=True)
class RemotePhotos:
    """Asks hosts for photos, and remembers by what to ask whether they have changed, under `memo/address/`.

    What is remembered may be lost, or be of an older answer: then a photo is loaded once more, and nothing else.

    Args:
        fetcher: see `Asks`.
        store: keeps what is remembered, and the photos.
        rules: what the stored bytes depend on beside those of the host (a setting): others are not asked about.
        seconds: longest time for a photo, all attempts and the pauses between them together.
        busy_seconds: longest time beside it that is waited because the host asks for it (`Retry-After`).
    """

    fetcher: Asks
    store: ObjectStore
    rules: str = ""
    seconds: float = 40.0
    busy_seconds: float = 120.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    in_thread: InThread = asyncio.to_thread
    jitter: random.Random = field(default_factory=random.Random, compare=False)

    async def get(self, uri: str) -> Fetched | Kept:
        """The photo's bytes as its host gives them; or, when they have not changed, what is kept of them.

        Raises:
            Poison: the address is at fault, or the host stays away longer than is waited.
            Retryable: our own store is in trouble.
        """
        kept = await self.in_thread(self._recall, uri)
        known = NO_VALIDATORS if kept is None else Validators(kept.etag, kept.last_modified)
        answer = await self._patiently(uri, known)
        if isinstance(answer, Fetched):
            return answer
        assert kept is not None  # nothing else can be unchanged
        return kept

    async def load(self, kept: Kept) -> bytes:
        """The bytes of a photo that is kept. Raises `Retryable` when it has just been deleted: then it is asked for anew."""
        try:
            return await self.in_thread(self.store.get, kept.key)
        except NotFound:
            raise Retryable(f"{kept.key} has just been deleted") from None

    async def remember(self, uri: str, key: str, digest: str, validators: Validators) -> None:
        """After the photo is durable under `key`. Raises `Retryable`."""
        if validators:
            kept = Kept(key, digest, validators.etag, validators.last_modified)
            await self.in_thread(self.store.put, self._name(uri), msgspec.msgpack.encode(kept))

    def _name(self, uri: str) -> str:
        # Hashed: an address may hold a token.
        return f"memo/address/{hashlib.sha256(f'{self.rules} {uri}'.encode()).hexdigest()}"

    def _recall(self, uri: str) -> Kept | None:
        try:
            kept = msgspec.msgpack.decode(self.store.get(self._name(uri)), type=Kept)
            # Whoever cleaned the store up gets the photo back: "unchanged" would be of no use.
            return kept if self.store.exists(kept.key) else None
        except NotFound:
            return None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("memo.unreadable", key=self._name(uri), cause=str(error))
            return None

    async def _patiently(self, uri: str, known: Validators) -> Fetched | Unchanged:
        """Our own store is waited for; a host of somebody else's that stays away must not hold a partition for ever."""
        attempt, cause, busy = 0, "no answer", self.busy_seconds
        try:
            # One bound for all attempts: a host that trickles would use up the time of each of them.
            async with asyncio.timeout(self.seconds) as bound:
                while attempt < ATTEMPTS:
                    attempt += 1
                    try:
                        return await self.fetcher.ask(uri, known)
                    except HostBusy as error:
                        attempt -= 1
                        if error.seconds > busy:
                            raise Poison(str(error), field="image.uri", code=Code.UNREACHABLE) from None
                        # A little later than it says, and not all at once.
                        pause = error.seconds + self.jitter.uniform(0.0, 0.25)
                        busy -= error.seconds
                        when = bound.when()
                        bound.reschedule(None if when is None else when + pause)
                        await self.sleep(pause)
                    except Retryable as error:
                        cause = str(error)
                        await self.sleep(PAUSE_S * 2 ** (attempt - 1))
        except TimeoutError:
            cause += f"; {self.seconds:g} s are over"
        raise Poison(f"gave up after {attempt} attempts: {cause}", field="image.uri", code=Code.UNREACHABLE)
