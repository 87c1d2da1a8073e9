"""Photos through `enrich` into a bank in memory, and queries of it through `compose`, without a broker: for `weft eval worn`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np

from infra.store import ObjectStore
from processors.errors import Poison
from processors.garments import main_garment
from streams.contract import topics
from streams.contract.codecs import encode
from streams.contract.probes import Hits, Probe, SearchProbe
from streams.contract.records import Hit, ImageRef, Item, Query, Result, Upload
from streams.engine.inline import run_inline
from streams.engine.message import Message
from streams.roles.compose.role import Compose
from streams.roles.enrich import Enrich
from streams.roles.taking_in import Told
from streams.search.pending import PendingQueries

BATCH = 32
"""Photos at once: some tens of decoded ones fit any machine."""
DEADLINE_MS = 60_000
_PREFIX = "eval/"


@dataclass(slots=True)
class Bank:
    """One exact shard. `products`: id and category of each row's product."""

    rows: list[np.ndarray] = field(default_factory=list)
    products: list[tuple[str, str]] = field(default_factory=list)

    def take(self, item: Item) -> None:
        """All views of an item."""
        main = main_garment(item.garments, item.metadata.category)
        for view in item.views:
            self.rows.append(np.frombuffer(view.vector, "<f4"))
            self.products.append((item.product_id, "" if main is None else main.category))

    def nearest(self, probe: SearchProbe) -> Hits:
        """The best products, each by its best view."""
        if not self.rows:
            return Hits(probe.query_id, 0, 1, "trial", 0, fresh=True, hits=(), typed=True)
        scores = np.stack(self.rows) @ np.frombuffer(probe.vector, "<f4")
        hits: dict[str, Hit] = {}
        for row in np.argsort(-scores, kind="stable"):
            product, category = self.products[int(row)]
            if product not in hits:
                hits[product] = Hit(product, float(scores[row]), "", category)
            if len(hits) >= probe.top_k:
                break
        return Hits(probe.query_id, 0, 1, "trial", 0, fresh=True, hits=tuple(hits.values()), typed=True)


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
            if isinstance(probe, SearchProbe):
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
