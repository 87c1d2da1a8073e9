"""The live shelf, followed while the role `caption` runs: another version counts for what comes after, without a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from index_sync.bank import Neighbour
from infra.store import ObjectStore
from infra.threads import InThread
from processors.errors import Poison, WeftError
from processors.values import Vector
from streams.shelf import versions
from streams.shelf.shelf import Neighbours, neighbours

log = structlog.get_logger("weft.shelf")


class LiveShelf:
    """Neighbours of the live version; none while there is none.

    Args:
        store: where the versions lie.
        voted: the facets that neighbours may decide.
        in_thread: runs what waits for the store.
        sleep: waits some seconds.
    """

    def __init__(
        self,
        store: ObjectStore,
        voted: Sequence[str],
        *,
        in_thread: InThread = asyncio.to_thread,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._voted = tuple(voted)
        self._in_thread = in_thread
        self._sleep = sleep
        self._live: Neighbours | None = None
        self._refused: str | None = None
        self._said = ""

    @property
    def version(self) -> str:
        """The version that counts; "" for none."""
        return self._live.version if self._live is not None else ""

    def find(self, encoder: str, shop: str, kind: str, vector: Vector, k: int, exclude: str) -> Sequence[Neighbour]:
        """As `Neighbourhood.find`. Products of another encoder are no neighbours."""
        live = self._live
        return () if live is None else live.neighbourhood.find(encoder, shop, kind, vector, k, exclude)

    async def look(self) -> None:
        """Take up the version that is live now. What cannot be read changes nothing, and is told once."""
        try:
            live = await self._in_thread(versions.read_live, self._store)
            if live.version not in {self.version, self._refused}:
                await self._take(live.version)
            self._said = ""
        except WeftError as error:
            if str(error) != self._said:
                log.warning("shelf.unread", cause=str(error))
            self._said = str(error)

    async def follow(self, seconds: float) -> None:
        """Look again every so many seconds, for ever."""
        while True:
            await self._sleep(seconds)
            await self.look()

    async def _take(self, version: str) -> None:
        if not version:
            self._live, self._refused = None, None
            log.info("shelf.live", version="none")
            return
        try:
            data = await self._in_thread(versions.read, self._store, version)
            found = await asyncio.to_thread(neighbours, data, version, self._voted)
        except Poison as error:
            self._refuse(version, str(error))
            return
        self._live, self._refused = found, None
        log.info("shelf.live", version=version, products=found.products, encoder=found.encoder)

    def _refuse(self, version: str, cause: str) -> None:
        self._refused = version
        log.error("shelf.refused", version=version, cause=cause)
