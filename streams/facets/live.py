"""The live heads, followed while a role runs: another version is applied to what comes after, without a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from infra.store import ObjectStore
from infra.threads import InThread
from processors.errors import Poison, WeftError
from processors.facets import Heads
from streams.facets import versions

log = structlog.get_logger("weft.facets")


class LiveHeads:
    """What `now` gives changes between two photos, never within one.

    Args:
        store: where the versions lie.
        maker: whose features the role computes; heads for another encoder are not applied.
        shipped: the heads that are applied while no fitted version is live; None: none are.
        in_thread: runs what waits for the store.
        sleep: waits some seconds.
    """

    def __init__(
        self,
        store: ObjectStore,
        maker: str,
        *,
        shipped: Heads | None = None,
        in_thread: InThread = asyncio.to_thread,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._maker = maker
        self._shipped = shipped if shipped is not None and shipped.maker == maker else None
        self._in_thread = in_thread
        self._sleep = sleep
        self._heads: Heads | None = None
        self._refused: str | None = None  # a version that cannot be applied is told once
        self._said = ""

    def now(self) -> Heads | None:
        """The heads that are live, else the shipped ones, or None."""
        return self._heads or self._shipped

    @property
    def fitted(self) -> bool:
        """Whether a version that somebody fitted is live."""
        return self._heads is not None

    async def look(self) -> None:
        """Take up the version that is live now. What cannot be read changes nothing, and is told once."""
        try:
            live = await self._in_thread(versions.read_live, self._store)
            current = self._heads.version if self._heads else ""
            if live.version not in {current, self._refused}:
                await self._take(live.version)
            self._said = ""
        except WeftError as error:
            if str(error) != self._said:
                log.warning("facets.unread", cause=str(error))
            self._said = str(error)

    async def follow(self, seconds: float) -> None:
        """Look again every so many seconds, for ever."""
        while True:
            await self._sleep(seconds)
            await self.look()

    async def _take(self, version: str) -> None:
        if not version:
            self._heads, self._refused = None, None
            log.info("facets.live", version=self._shipped.version if self._shipped else "none")
            return
        try:
            found = (await self._in_thread(versions.read, self._store, version)).heads
        except Poison as error:
            self._refuse(version, str(error))
            return
        if found.maker != self._maker:
            self._refuse(version, "fitted for another encoder: fit the heads again")
            return
        self._heads, self._refused = found, None
        log.info("facets.live", version=version, facets=sorted(found.heads))

    def _refuse(self, version: str, cause: str) -> None:
        self._refused = version
        log.error("facets.refused", version=version, cause=cause)
