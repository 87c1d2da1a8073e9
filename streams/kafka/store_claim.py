"""One cluster, one store: the store's id is published on `index.control`, and who has another store is refused.

A claim is a record under the key `store/<id>`. Of several the first in the log counts: whoever publishes one reads the topic
again afterwards, and takes its own back when another was faster.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from infra import store_identity
from infra.logs import logger
from infra.settings import Settings
from infra.store import ObjectStore
from infra.store_identity import Identity
from infra.threads import InThread
from processors.errors import BadSetting, Fatal, Poison, Retryable
from streams.contract import codecs, topics
from streams.contract.records import Generation
from streams.engine.backoff import Backoff
from streams.kafka.client import Reader
from streams.kafka.producer import Sender, classify_kafka

log = logger("weft.store")

_PREFIX = "store/"

Read = Callable[[], Awaitable[dict[str, str]]]
"""The claims there are, first one first: the store's id, and where it lay when it was claimed."""


async def claims(settings: Settings) -> dict[str, str]:
    """See `Read`. Raises `Retryable` when no broker answers, or there is no such topic."""
    found: dict[str, str] = {}
    async with Reader(settings, topics.CONTROL) as reader:
        async for raw in reader.to_end():
            key = (raw.key or b"").decode("utf-8", "replace")
            if not key.startswith(_PREFIX):
                continue
            if raw.value is None:
                found.pop(key.removeprefix(_PREFIX), None)
                continue
            with suppress(Poison):  # junk is no claim
                found.setdefault(key.removeprefix(_PREFIX), codecs.decode_generation(raw.value).generation)
    return found


async def has_items(settings: Settings) -> bool:
    """Whether anything lies on `catalog.items`."""
    async with Reader(settings, topics.ITEMS) as reader:
        return any(low < high for low, high in (await reader.bounds()).values())


async def check(settings: Settings, store: ObjectStore) -> None:
    """For clients: nothing is claimed and nothing written. Raises `Fatal` when the cluster has another store."""
    known = await claims(settings)
    if known:
        _compare(store, await asyncio.to_thread(store_identity.read, store), known)


async def hold_patiently(
    settings: Settings,
    store: ObjectStore,
    sender: Sender,
    in_thread: InThread,
    stop: asyncio.Event,
    *,
    patience_s: float,
) -> None:
    """`Claim.hold` before any work of a process; a store or broker that is away is waited for.

    Raises:
        Fatal: the cluster has another store, or the broker refuses us.
        Retryable: store or broker stay away for `patience_s`, or `stop` was set meanwhile.
    """
    claim = Claim(store, sender, lambda: claims(settings), lambda: has_items(settings), in_thread)
    identity = await patiently(claim.hold, stop, patience_s=patience_s)
    log.info("store.held", store=identity.id, place=store.base)


async def patiently(hold: Callable[[], Awaitable[Identity]], stop: asyncio.Event, *, patience_s: float) -> Identity:
    """What `hold` returns, as soon as store and broker are there. Raises as `hold_patiently` does."""
    from aiokafka.errors import KafkaError

    loop = asyncio.get_running_loop()
    backoff, attempt, until = Backoff(), 0, loop.time() + patience_s
    while True:
        try:
            return await hold()
        except (Retryable, KafkaError) as error:
            verdict = classify_kafka(error, "io")
            if not isinstance(verdict, Retryable) or stop.is_set() or loop.time() > until:
                raise verdict from verdict.__cause__
            attempt += 1
            log.warning("store.away", cause=str(error))
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), backoff.delay(attempt))


class Claim:
    """Makes sure that a process and its cluster mean the same store.

    Args:
        store: of the process.
        sender: publishes claims.
        read: the claims there are.
        filled: whether the cluster holds items.
        in_thread: runs what waits for the store.
    """

    def __init__(
        self,
        store: ObjectStore,
        sender: Sender,
        read: Read,
        filled: Callable[[], Awaitable[bool]],
        in_thread: InThread = asyncio.to_thread,
    ) -> None:
        self._store, self._sender, self._read, self._filled = store, sender, read, filled
        self._in_thread = in_thread

    async def hold(self) -> Identity:
        """Compare with the cluster's claim, or make the first one; the store learns where it lay before.

        Raises:
            Fatal: the cluster has another store, or this one is empty though the cluster holds items.
            Retryable: store or broker are away.
        """
        known = await self._read()
        identity = await self._in_thread(store_identity.read, self._store)
        if not known:
            if identity is None:
                await self._refuse_empty()
                identity = await self._in_thread(store_identity.make, self._store)
            await self._publish(identity.id, self._store.base)
            known = await self._read()
        try:
            mine = _compare(self._store, identity, known)
        except Fatal:
            if identity is not None and identity.id in known:
                await self._publish(identity.id, None)
            raise
        await self._take_back([other for other in known if other != mine.id])
        return await self._in_thread(store_identity.settle, self._store, mine)

    async def adopt(self) -> Identity:
        """Make this store the cluster's, whatever was its store before: an operator knows that the other one is gone."""
        identity = await self._in_thread(store_identity.make, self._store)
        known = await self._read()
        if next(iter(known), None) != identity.id:
            # Ours again, behind those that go: the first that is left counts.
            await self._publish(identity.id, self._store.base)
        await self._take_back([other for other in known if other != identity.id])
        log.info("store.adopted", store=identity.id, place=self._store.base)
        return await self._in_thread(store_identity.settle, self._store, identity)

    async def _refuse_empty(self) -> None:
        if await self._filled() and await self._in_thread(lambda: next(self._store.list(), None)) is None:
            raise BadSetting(
                f"WEFT_STORE_URL: the store at {self._store.base} is empty, but this cluster's items name photos. "
                "Name the store where they lie, or say `weft store adopt` if they are lost"
            )

    async def _take_back(self, others: list[str]) -> None:
        for other in others:
            await self._publish(other, None)

    async def _publish(self, store_id: str, place: str | None) -> None:
        name = f"{_PREFIX}{store_id}"
        value = None if place is None else codecs.encode(Generation(collection=name, generation=place, state="live"))
        await (await self._sender.send(topics.CONTROL, key=name.encode(), value=value))


def _compare(store: ObjectStore, identity: Identity | None, known: dict[str, str]) -> Identity:
    wanted, place = next(iter(known.items()))
    if identity is not None and identity.id == wanted:
        return identity
    which = "no store of Weft's yet" if identity is None else f"the store {identity.id}"
    raise BadSetting(
        f"WEFT_STORE_URL: the store at {store.base} is another one than this cluster's: it is {which}, and the cluster's is "
        f"{wanted}, which was at {place}. Name that store, or a copy of all of it (docs/operations.md)"
    )
