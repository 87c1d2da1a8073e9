"""The role `compose` over one shard in this process, without a broker: the very code that answers shoppers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

import msgspec

from index_sync.shard import Shard
from infra.fetch import Fetcher
from models.ports import ImageEncoder, Reranker, TextEncoder
from processors.decode import DecodeLimits
from processors.identity import key_of
from streams.contract import codecs, topics
from streams.contract.probes import Probe
from streams.contract.records import Item, Result
from streams.engine.message import Message
from streams.engine.stages import Done
from streams.roles.compose.asked import Embedded, Prepared
from streams.roles.compose.role import Compose
from streams.roles.index.answers import answer
from streams.roles.index.entries import change_of
from streams.search.pending import PendingQueries

DEADLINE_MS = 60_000


class LocalSearch:
    """Answers queries over some items.

    Args:
        items: the catalogue.
        images: its encoder.
        texts: of the same family.
        fetcher: for photos that queries name.
        reranker: of the best hits; None: there is no second stage.
    """

    def __init__(
        self,
        items: Iterable[Item],
        images: ImageEncoder,
        texts: TextEncoder,
        fetcher: Fetcher,
        reranker: Reranker | None = None,
    ) -> None:
        self.shard = Shard(0, "", 0)
        for offset, item in enumerate(items):
            key = key_of(item.shop, item.product_id).encode()
            self.shard.apply_batch([change_of(Message(topics.ITEMS, 0, offset, key, codecs.encode(item)))])
        self._pending = PendingQueries(self._send, time.time)
        self._results: dict[str, Result] = {}
        self._role = Compose(
            fetcher=fetcher,
            images=images,
            texts=texts,
            pending=self._pending,
            publish=self._publish,
            now=time.time,
            limits=DecodeLimits(),
            partitions=1,
            batch_items=32,
            reranker=reranker,
        )

    async def ask(
        self, queries: Sequence[dict[str, object]], lead: Callable[[Embedded], Embedded] = lambda one: one
    ) -> list[Result]:
        """The results of queries, in order; their texts are embedded together. `lead`: changes a query's vectors before it is asked."""
        prepared: list[Prepared] = []
        names = [f"q-{number}" for number in range(len(queries))]
        for name, query in zip(names, queries, strict=True):
            value = msgspec.json.encode({"query_id": name, "deadline_ms": DEADLINE_MS, **query})
            message = Message(topics.QUERIES, 0, 0, name.encode(), value, timestamp_ms=round(time.time() * 1000))
            read = await self._role.answering(self._role.read)(message)
            if not isinstance(read, Done):
                prepared.append(self._role.open(read))
        for embedded in self._role.embed(prepared):
            await self._role.answer(lead(embedded))
        return [self._results.pop(name) for name in names]

    async def _send(self, probe: Probe) -> None:
        self._pending.deliver(answer(self.shard, probe, 1, 0))

    async def _publish(self, _message: Message, result: Result) -> None:
        self._results[result.query_id] = result
