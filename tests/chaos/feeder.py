"""Sends the workload while everything dies: in order, each record once, however long it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field

import msgspec

from streams.contract import topics
from streams.contract.records import Query
from streams.engine.message import PRIORITY, URGENT
from streams.kafka.producer import Sender
from tests.chaos.stores import Place
from tests.chaos.workload import HEADER, Op, objects_of, value_of

QUERY_EVERY = 10
"""Ops for one query."""
URGENT_EVERY = 9
"""One op in so many is to be done before its turn."""
TEXTS = ("a red dress", "blue shirt", "black pants, not a dress", "green skirt", "a white shoe", "a brown coat")
DEADLINE_MS = 120_000


@dataclass(slots=True)
class Feeder:
    """`allow(n)` lets the first `n` records go; `durable` says how many the broker has."""

    ops: Sequence[Op]
    place: Place
    sender: Sender
    handed: int = 0
    durable: int = 0
    queries: int = 0
    _allowed: int = 0
    _more: asyncio.Event = field(default_factory=asyncio.Event)
    _deliveries: set[asyncio.Future[object]] = field(default_factory=set)

    def put_photos(self) -> None:
        """Everything that the uploads name, into the store. Blocking."""
        for key, data in {named for op in self.ops for named in objects_of(op)}:
            if data is not None:
                self.place.store.put(key, data)

    def allow(self, records: int) -> None:
        self._allowed = max(self._allowed, records)
        self._more.set()

    async def run(self) -> None:
        """Hand over what is allowed, until all is handed over and durable."""
        while self.handed < len(self.ops):
            while self.handed < min(self._allowed, len(self.ops)):
                await self._send(self.ops[self.handed])
                self.handed += 1
            self._more.clear()
            if self.handed < len(self.ops):
                await self._more.wait()
        while self._deliveries:
            await asyncio.wait(self._deliveries)

    async def _send(self, op: Op) -> None:
        headers: tuple[tuple[str, bytes], ...] = ((HEADER, str(op.number).encode()),)
        if op.number % URGENT_EVERY == 0:
            headers += ((PRIORITY, URGENT),)  # of whatever kind: the promises are the same
        value = value_of(op, self.place.store.uri)
        self._track(
            await self.sender.send(topics.UPLOADS, key=op.product_id.encode(), value=value, headers=headers), count=True
        )
        if op.number % QUERY_EVERY == QUERY_EVERY - 1:
            number = op.number // QUERY_EVERY
            query = Query(query_id=f"live-{number:04d}", text=TEXTS[number % len(TEXTS)], deadline_ms=DEADLINE_MS)
            self._track(await send_query(self.sender, query), count=False)
            self.queries += 1

    def _track(self, delivery: Awaitable[object], *, count: bool) -> None:
        future = asyncio.ensure_future(delivery)
        self._deliveries.add(future)

        def done(_: asyncio.Future[object]) -> None:
            self._deliveries.discard(future)
            if future.exception() is None:
                self.durable += count

        future.add_done_callback(done)


async def send_query(sender: Sender, query: Query) -> Awaitable[object]:
    return await sender.send(topics.QUERIES, key=query.query_id.encode(), value=msgspec.json.encode(query))


async def ask_final(sender: Sender, ends: dict[str, int]) -> None:
    """The closing queries, of an index that has read everything."""
    for number, text in enumerate(TEXTS):
        query = Query(
            query_id=f"final-{number}", text=text, top_k=1000, deadline_ms=DEADLINE_MS, min_offsets=dict(ends)
        )
        await (await send_query(sender, query))
