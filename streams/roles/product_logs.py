"""The logs of all partitions: what was read of them, and what waits to be written to them (`streams.roles.product_log`).

What arrives while a write runs is written by the next one, together; a log that has become long is folded beside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from infra.logs import logger
from infra.store import ObjectStore
from infra.threads import InThread
from streams.roles.product_log import MOST_STATES, Newest, ProductLog, State, by_partition, write_own
from streams.roles.product_states import Kept, number_of, own_key

log = logger(__name__)


@dataclass(slots=True, eq=False)
class _Writing:
    """The log of a partition, and what waits to be written to it: the newest state of each product. `done`: when that is kept."""

    log: ProductLog
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: dict[str, Kept] = field(default_factory=dict)
    done: asyncio.Future[None] | None = None
    writer: asyncio.Task[None] | None = None
    folder: asyncio.Task[None] | None = None


class ProductLogs:
    """Of the products of one topic of uploads.

    Args:
        store: keeps them.
        in_thread: runs what waits for the store.
        prefix: of all that is kept of the topic; known once its id is.
    """

    def __init__(self, store: ObjectStore, in_thread: InThread, prefix: str = "") -> None:
        self._store, self._in_thread, self.prefix = store, in_thread, prefix
        self._logs: dict[int, _Writing] = {}
        self._folding = asyncio.Lock()

    async def refresh(self) -> None:
        """Read what others have written. Raises `Retryable`."""
        for partition, numbers in (await self._in_thread(self._listed)).items():
            writing = self._log(partition)
            async with writing.lock:
                await self._in_thread(writing.log.refresh, numbers)

    def _listed(self) -> Mapping[int, list[int]]:
        prefix = f"{self.prefix}/log/"
        return by_partition(self._store.list(prefix), prefix)

    def newest(self, product_id: str) -> Newest | None:
        """The newest state of a product that is not folded, as far as it was read."""
        # Of one log, but for what was written before partitions were added.
        found = [one for writing in self._logs.values() if (one := writing.log.states.get(product_id)) is not None]
        return max(found, key=lambda one: one.number) if len(found) > 1 else found[0] if found else None

    async def keep(self, partition: int, states: Mapping[str, Kept]) -> None:
        """Returns once these are kept. Raises `Retryable`: the store is away, or another worker writes to the partition."""
        writing = self._log(partition)
        # Whatever waits for the write that runs now is written by the next one, together.
        writing.waiting.update(states)
        if writing.done is None:
            writing.done = asyncio.get_running_loop().create_future()
        done = writing.done
        if writing.writer is None:
            writing.writer = asyncio.ensure_future(self._write_all(writing))
        await asyncio.shield(done)

    async def _write_all(self, writing: _Writing) -> None:
        try:
            while (done := writing.done) is not None:
                states, writing.waiting, writing.done = writing.waiting, {}, None
                try:
                    await self._write(writing, states)
                except BaseException as error:
                    if isinstance(error, Exception):
                        done.set_exception(error)
                        done.exception()  # each that waits is told; where nobody does any more, it is no news
                        continue
                    done.cancel()
                    raise
                done.set_result(None)
        finally:
            writing.writer = None

    async def _write(self, writing: _Writing, states: Mapping[str, Kept]) -> None:
        async with writing.lock:
            await self._in_thread(_append, writing.log, states)
        if writing.log.is_long and writing.folder is None:
            writing.folder = asyncio.ensure_future(self._fold(writing))
        if len(writing.log.states) > 4 * MOST_STATES and writing.folder is not None:
            await asyncio.wait([writing.folder])  # memory is bounded: the uploads wait

    async def _fold(self, writing: _Writing) -> None:
        try:
            async with self._folding:
                async with writing.lock:
                    gathered = await self._in_thread(writing.log.gathered)
                if gathered is None:
                    return
                end, states = gathered
                await self._in_thread(self._write_own, states)
                async with writing.lock:
                    await self._in_thread(writing.log.drop, end)
        except Exception as error:  # noqa: BLE001 - nothing waits for it: the next write tries again
            log.warning("products.not_folded", log=writing.log.prefix, cause=str(error))
        finally:
            writing.folder = None

    def _write_own(self, states: Sequence[State]) -> None:
        write_own(self._store, states, lambda product: own_key(self.prefix, product), number_of)

    def _log(self, partition: int) -> _Writing:
        found = self._logs.get(partition)
        if found is None:
            prefix = f"{self.prefix}/log/{partition}/"
            found = self._logs[partition] = _Writing(ProductLog(self._store, prefix))
        return found


def _append(to: ProductLog, states: Mapping[str, Kept]) -> None:
    to.append([(product, kept.number, msgspec.msgpack.encode(kept)) for product, kept in states.items()])
