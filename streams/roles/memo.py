"""Results that cost a model, kept in the object store: a re-delivery publishes the same bytes without thinking again."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TypeVar

import msgspec
import structlog

from infra.store import NotFound, ObjectStore
from infra.threads import InThread
from processors.errors import Retryable

log = structlog.get_logger(__name__)

T = TypeVar("T")


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
    """

    def __init__(
        self, store: ObjectStore, stage: str, fingerprint: str, *, in_thread: InThread = asyncio.to_thread
    ) -> None:
        self._store = store
        self._in_thread = in_thread
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
        known = await self.get(content)
        return None if known is None else self._decoded(content, known, kind)

    async def keep(self, content: str, answer: T, kind: type[T]) -> T:
        """Remember `answer` as `put` does; an answer that cannot be read is replaced. Raises `Retryable`."""
        encoded = msgspec.msgpack.encode(answer)
        kept = self._decoded(content, await self.put(content, encoded), kind)
        if kept is not None:
            return kept
        await self._in_thread(self._store.put, self._key(content), encoded)
        return answer

    async def replace(self, content: str, answer: object) -> None:
        """Remember another answer than the first (MessagePack). Raises `Retryable`."""
        await self.overwrite(content, msgspec.msgpack.encode(answer))

    async def overwrite(self, content: str, answer: bytes) -> None:
        """The same, of bytes as they are."""
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
