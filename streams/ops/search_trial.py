"""Photos through `enrich` into a bank in memory, and queries of it through `compose`, without a broker: for `weft eval worn`."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from index_sync.shard import Shard
from infra.store import ObjectStore
from processors.errors import Poison
from processors.identity import key_of
from streams.contract import topics
from streams.contract.codecs import encode
from streams.contract.probes import Answer, Probe
from streams.contract.records import ImageRef, Item, Query, Result, Upload
from streams.engine.inline import run_inline
from streams.engine.message import Message
from streams.roles.compose.role import Compose
from streams.roles.enrich import Enrich
from streams.roles.index.answers import answer
from streams.roles.index.entries import change_of
from streams.roles.told import Told
from streams.search.pending import PendingQueries

BATCH = 32
"""Photos at once: some tens of decoded ones fit any machine."""
DEADLINE_MS = 60_000
_PREFIX = "eval/"


class Bank:
    """One exact shard, which answers as the role `index` does: one that scored vectors alone left queries whose words are facets without a hit."""

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self._shard = Shard(0, "", 0)
        self._items: list[Item] = []
        for item in items:
            self.take(item)

    def take(self, item: Item) -> None:
        """A product with all of its views."""
        message = Message(topics.ITEMS, 0, len(self._items), key_of(item.shop, item.product_id).encode(), encode(item))
        self._shard.apply_batch([change_of(message)])
        self._items.append(item)

    def only(self, products: Collection[str]) -> Bank:
        """Another one, of these products."""
        return Bank(item for item in self._items if item.product_id in products)

    def nearest(self, probe: Probe) -> Answer:
        """What the shard answers."""
        return answer(self._shard, probe, 1, 0)


@dataclass(slots=True)
class SearchTrial:
    """Both roles. `compose` is given what it asks and publishes with by `asking`."""

    store: ObjectStore
    enrich: Enrich
    compose: Compose
    bank: Bank = field(default_factory=Bank)

    async def stock(self, photos: Sequence[tuple[str, bytes]], tick: Callable[[int], None]) -> list[str]:
        """Take products into the bank; what was wrong with those that cannot be."""
        refused, rest = [], iter(enumerate(photos))
        while batch := list(islice(rest, BATCH)):
            messages = []
            for offset, (product_id, data) in batch:
                self.store.put(f"{_PREFIX}{offset}", data)
                upload = Upload(product_id, ImageRef(uri=self.store.address(f"{_PREFIX}{offset}")), {})
                messages.append(Message(topics.UPLOADS, 0, offset, product_id.encode(), encode(upload)))
            for told, message in zip(
                await run_inline(self.enrich.stages(), messages, lambda _: None), messages, strict=True
            ):
                item = await self.enrich.stands(told) if isinstance(told, Told) else told
                if isinstance(item, Item):
                    self.bank.take(item)
                else:
                    refused.append(f"{(message.key or b'').decode()}: {item}")
            for prefix in (_PREFIX, "images/"):
                for key in list(self.store.list(prefix)):
                    self.store.delete(key)
            tick(len(batch))
        return refused

    async def ask(self, queries: Sequence[Query], tick: Callable[[int], None], *, whole: bool = False) -> list[Result]:
        """The results in the order of the queries; `whole`: no garment is looked for in their photos."""
        results: dict[str, Result] = {}

        async def send(probe: Probe) -> None:
            pending.deliver(self.bank.nearest(probe))

        async def publish(_message: Message, result: Result) -> None:
            results[result.query_id] = result

        pending = PendingQueries(send, time.time)
        role = replace(self.compose, pending=pending, publish=publish)
        role = replace(role, detector=None) if whole else role
        for start in range(0, len(queries), BATCH):
            batch = queries[start : start + BATCH]
            now = round(time.time() * 1000)
            messages = [
                Message(topics.QUERIES, 0, start + n, one.query_id.encode(), encode(one), timestamp_ms=now)
                for n, one in enumerate(batch)
            ]
            ended = await run_inline(role.stages(), messages, lambda _: None)
            for message, query, error in zip(messages, batch, ended, strict=True):
                if isinstance(error, Poison):  # as the engine does with what it gives up on
                    await role.refuse(message, query.query_id, error)
            tick(len(batch))
        return [results[one.query_id] for one in queries]
