"""The live shelf, followed while the role `caption` runs: another version counts for what comes after, without a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from index_sync.bank import Neighbour
from infra.store import ObjectStore
from infra.threads import InThread
from processors.values import Vector
from streams.facets.following import FollowsLive
from streams.shelf import versions
from streams.shelf.shelf import Neighbours, neighbours


class LiveShelf(FollowsLive):
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
        super().__init__(store, "shelf", versions.read_live, in_thread=in_thread, sleep=sleep)
        self._voted = tuple(voted)
        self._live: Neighbours | None = None

    @property
    def version(self) -> str:
        """The version that counts; "" for none."""
        return self._live.version if self._live is not None else ""

    def find(self, encoder: str, shop: str, kind: str, vector: Vector, k: int, exclude: str) -> Sequence[Neighbour]:
        """As `Neighbourhood.find`. Products of another encoder are no neighbours."""
        live = self._live
        return () if live is None else live.neighbourhood.find(encoder, shop, kind, vector, k, exclude)

    async def _take(self, version: str) -> None:
        if not version:
            self._live = None
            self._log.info("shelf.live", version="none")
            return
        data = await self._in_thread(versions.read, self._store, version)
        found = await asyncio.to_thread(neighbours, data, version, self._voted)
        self._live = found
        self._log.info("shelf.live", version=version, products=found.products, encoder=found.encoder)
