"""What standing queries say: read once (their photos by models), and kept in the store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from infra.store import ObjectStore
from infra.threads import InThread
from streams.roles.matching import compiled
from streams.roles.matching.compiling import Compiling
from streams.roles.matching.queries import StandingQuery


@dataclass(frozen=True, slots=True)
class Readings:
    """Reads queries.

    Args:
        store: keeps what they were read as.
        in_thread: runs what waits for the store.
        compiling: asked for once the first query is there, as it loads models.
    """

    store: ObjectStore
    in_thread: InThread
    compiling: Callable[[], Awaitable[Compiling]]

    async def kept(self, query: StandingQuery) -> compiled.Compiled | None:
        """As it was read before, where that is of the same encoder."""
        kept = await self.in_thread(compiled.read, self.store, query.query_id, query.saved.value or b"")
        if kept is None or not kept.compiled.encoder:
            return None if kept is None else kept.compiled
        compiling = await self.compiling()
        return kept.compiled if kept.compiled.encoder == compiling.encoder else None

    async def made(self, query: StandingQuery) -> compiled.Compiled:
        """Read it, and keep that. Raises `Poison`: it can never be read."""
        record = query.saved.value or b""
        kept = await self.in_thread(compiled.read, self.store, query.query_id, record)
        compiling = await self.compiling()
        made = await compiling.compiled(query.saved, b"" if kept is None else kept.photo)
        await self.in_thread(compiled.write, self.store, query.query_id, record, made)
        return made.compiled

    async def forget(self, query_id: str) -> None:
        """It was deleted."""
        await self.in_thread(compiled.forget, self.store, query_id)
