"""Whichever version is live in the object store, followed while a role runs: another one counts for what comes after, without a restart."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable

from infra.logs import logger
from infra.store import ObjectStore
from infra.threads import InThread
from processors.errors import Poison, WeftError
from streams.facets.kept_versions import Live


class FollowsLive(ABC):
    """Takes up the live version of something. What cannot be read changes nothing, and is told once.

    Args:
        store: where the versions lie.
        name: of what they are versions, in the log.
        read_live: which one is live. Blocking.
        in_thread: runs what waits for the store.
        sleep: waits some seconds.
    """

    def __init__(
        self,
        store: ObjectStore,
        name: str,
        read_live: Callable[[ObjectStore], Live],
        *,
        in_thread: InThread = asyncio.to_thread,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store, self._name, self._read_live = store, name, read_live
        self._in_thread, self._sleep = in_thread, sleep
        self._log = logger(f"weft.{name}")
        self._refused: str | None = None  # a version that cannot be used is told once
        self._said = ""

    @property
    @abstractmethod
    def version(self) -> str:
        """The version that counts; "" for none."""

    @abstractmethod
    async def _take(self, version: str) -> None:
        """Let this version count; "" is none. Raises `Poison` where it cannot, `Retryable` when the store is away."""

    async def look(self) -> None:
        """Take up the version that is live now."""
        try:
            live = await self._in_thread(self._read_live, self._store)
            if live.version not in {self.version, self._refused}:
                await self._take_or_refuse(live.version)
            self._said = ""
        except WeftError as error:
            if str(error) != self._said:
                self._log.warning(f"{self._name}.unread", cause=str(error))
            self._said = str(error)

    async def follow(self, seconds: float) -> None:
        """Look again every so many seconds, for ever."""
        while True:
            await self._sleep(seconds)
            await self.look()

    async def _take_or_refuse(self, version: str) -> None:
        try:
            await self._take(version)
            self._refused = None
        except Poison as error:
            self._refused = version
            self._log.error(f"{self._name}.refused", version=version, cause=str(error))
