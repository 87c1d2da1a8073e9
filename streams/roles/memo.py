"""Results that cost a model, kept in the object store: a re-delivery publishes the same bytes without thinking again."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec

from infra.logs import logger
from infra.store import NotFound, ObjectStore
from infra.threads import InThread
from processors.errors import Retryable

log = logger(__name__)

T = TypeVar("T")

READ_TOGETHER = 32
"""Answers that one thread reads, one after the other."""


def content_hash(*parts: bytes) -> str:
    """SHA-256 (hex) of several byte strings; their lengths count, so that ("ab", "c") is not ("a", "bc")."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


class Memo:
    """Answers of one stage of one model, under `memo/{stage}/{fingerprint, 16 hex digits}/{content hash}`.

    Args:
        store: where they are kept.
        stage: name of the stage; letters, digits, "-" and "_".
        fingerprint: everything that changes the answer (weights, prompt, code); hashed, so any string.
        in_thread: runs what waits for the store.
        cached_bytes: answers that were asked for last, which are kept in memory as well.
    """

    def __init__(
        self,
        store: ObjectStore,
        stage: str,
        fingerprint: str,
        *,
        in_thread: InThread = asyncio.to_thread,
        cached_bytes: int = 0,
    ) -> None:
        self._store = store
        self._in_thread = in_thread
        self._cached_bytes, self._held = cached_bytes, 0
        self._cached: OrderedDict[str, bytes] = OrderedDict()
        self._prefix = f"memo/{stage}/{hashlib.sha256(fingerprint.encode()).hexdigest()[:16]}"

    @property
    def name(self) -> str:
        """What tells its answers from those of another fingerprint."""
        return self._prefix

    async def get(self, content: str) -> bytes | None:
        """The remembered answer, or None. `content` is the hash of what was asked. Raises `Retryable`."""
        return await self._in_thread(self._read, self._key(content))

    async def put(self, content: str, answer: bytes) -> bytes:
        """Remember `answer`; returns the answer that is remembered: the first writer's, which is what to publish.

        Raises:
            Retryable: the store is away.
        """
        return await self._in_thread(self._write, self._key(content), answer)

    async def recall(self, content: str, kind: type[T]) -> T | None:
        """The remembered answer as a `kind` (MessagePack). Raises `Retryable`.

        None also when it cannot be read as one (another version of the code wrote it): then the stage thinks again,
        where a photo with nothing wrong about it would otherwise become a dead letter.
        """
        return (await self.recall_all([content], kind)).get(content)

    async def recall_all(self, contents: Iterable[str], kind: type[T]) -> dict[str, T]:
        """The same of many; what is not remembered, or cannot be read, is left out."""
        raw = await self.get_all(contents)
        read = ((content, self._decoded(content, known, kind)) for content, known in raw.items())
        return {content: answer for content, answer in read if answer is not None}

    async def get_all(self, contents: Iterable[str]) -> dict[str, bytes]:
        """The remembered answers of many; what is not remembered is left out. Raises `Retryable`."""
        found: dict[str, bytes] = {}
        asked = []
        for content in dict.fromkeys(contents):
            if (cached := self._cached.get(content)) is None:
                asked.append(content)
            else:
                self._cached.move_to_end(content)
                found[content] = cached

        def read(part: Sequence[str]) -> dict[str, bytes]:
            return {content: known for content in part if (known := self._read(self._key(content))) is not None}

        parts = [asked[at : at + READ_TOGETHER] for at in range(0, len(asked), READ_TOGETHER)]
        for some in await asyncio.gather(*(self._in_thread(read, part) for part in parts)):
            found.update(some)
            for content, known in some.items():
                self._cache(content, known)
        return found

    def _cache(self, content: str, answer: bytes) -> None:
        if content not in self._cached and len(answer) <= self._cached_bytes:
            self._cached[content] = answer
            self._held += len(answer)
            while self._held > self._cached_bytes:
                _, dropped = self._cached.popitem(last=False)
                self._held -= len(dropped)

    def _forget(self, content: str) -> None:
        self._held -= len(self._cached.pop(content, b""))

    async def keep(self, content: str, answer: T, kind: type[T]) -> T:
        """Remember `answer` as `put` does; an answer that cannot be read is replaced. Raises `Retryable`."""
        encoded = msgspec.msgpack.encode(answer)
        kept = self._decoded(content, await self.put(content, encoded), kind)
        if kept is not None:
            return kept
        await self.overwrite(content, encoded)
        return answer

    async def replace(self, content: str, answer: object) -> None:
        """Remember another answer than the first (MessagePack). Raises `Retryable`."""
        await self.overwrite(content, msgspec.msgpack.encode(answer))

    async def overwrite(self, content: str, answer: bytes) -> None:
        """The same, of bytes as they are."""
        self._forget(content)
        await self._in_thread(self._store.put, self._key(content), answer)

    def _decoded(self, content: str, known: bytes, kind: type[T]) -> T | None:
        try:
            return msgspec.msgpack.decode(known, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("memo.unreadable", key=self._key(content), cause=str(error))
            return None

    def _key(self, content: str) -> str:
        return f"{self._prefix}/{content}"

    def _read(self, key: str) -> bytes | None:
        try:
            return self._store.get(key)
        except NotFound:
            return None

    def _write(self, key: str, answer: bytes) -> bytes:
        if self._store.create(key, answer):
            return answer
        winner = self._read(key)
        if winner is None:
            # Deleted between the two calls (somebody cleans the memo up): try the stage again.
            raise Retryable(f"{key} has just been deleted")
        return winner
