"""The live heads, followed while a role runs: another version is applied to what comes after, without a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from infra.store import ObjectStore
from infra.threads import InThread
from processors.errors import Poison
from processors.facets import Heads
from streams.facets import versions
from streams.facets.following import FollowsLive


class LiveHeads(FollowsLive):
    """What `now` gives changes between two photos, never within one. Where fitted heads are silent the shipped ones tell some facets.

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
        super().__init__(store, "facets", versions.read_live, in_thread=in_thread, sleep=sleep)
        self._maker = maker
        self._shipped = shipped if shipped is not None and shipped.maker == maker else None
        self._heads: Heads | None = None

    @property
    def version(self) -> str:
        """The fitted version that is applied; "" for none."""
        return self._heads.version if self._heads else ""

    def now(self) -> Heads | None:
        """The heads that are live, else the shipped ones, or None."""
        return self._heads or self._shipped

    @property
    def fitted(self) -> bool:
        """Whether a version that somebody fitted is live."""
        return self._heads is not None

    async def _take(self, version: str) -> None:
        if not version:
            self._heads = None
            self._log.info("facets.live", version=self._shipped.version if self._shipped else "none")
            return
        found = (await self._in_thread(versions.read, self._store, version)).heads
        if found.maker != self._maker:
            raise Poison("fitted for another encoder: fit the heads again")
        self._heads = replace(found, under=self._shipped)
        self._log.info("facets.live", version=version, facets=sorted(found.heads))
