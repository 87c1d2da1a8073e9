"""Items whose facts, prices and ends come in any order, however they arrive and whoever dies: the captions that stand at the end are
those of a worker that reads every item whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from infra.memory_store import MemoryStore
from models.fakes import FakeWriter
from streams.contract import codecs, topics
from streams.contract.codecs import encode
from streams.contract.records import Caption, Source
from streams.engine.message import Message
from streams.roles.caption.cause import cause_of
from streams.roles.memo import Memo
from streams.roles.outcome import Caused, publisher, publisher_of_all
from streams.roles.standing import Standing
from tests.fixtures.engines import World, running
from tests.unit.streams.roles.test_role_caption import captioner, item

PRODUCTS, FABRICS = ("sku-1", "sku-2"), ("silk", "linen")

Step = tuple[str, str | None, int]
"""Product, what it is of (None: it is deleted), its price."""
ALTERNATING: list[Step] = [("sku-1", "silk", 1), ("sku-1", "linen", 1), ("sku-1", "silk", 2)]
histories = st.lists(
    st.tuples(st.sampled_from(PRODUCTS), st.sampled_from((*FABRICS, *FABRICS, None)), st.integers(1, 3)),
    min_size=1,
    max_size=14,
)


def record(offset: int, step: Step) -> Message:
    product, fabric, price = step
    value = None
    if fabric is not None:
        made = item(product, fabric=fabric)
        metadata = msgspec.structs.replace(made.metadata, price=float(price))
        value = encode(msgspec.structs.replace(made, metadata=metadata, source=Source(topics.UPLOADS, 0, offset)))
    return Message(topics.ITEMS, 0, offset, product.encode(), value, timestamp_ms=offset)


class Topic:
    """`catalog.captions`. A delivery takes as many turns of the loop as `late` says, one after the other."""

    def __init__(self, late: Sequence[int]) -> None:
        self.records: list[tuple[bytes, bytes | None]] = []
        self._late, self._sent = late, 0

    async def send(self, _topic: str, *, key: bytes, value: bytes | None, **_headers: Any) -> Awaitable[object]:
        self.records.append((key, value))
        self._sent += 1
        turns = self._late[self._sent % len(self._late)]

        async def arrive() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)

        return asyncio.ensure_future(arrive())

    def captions(self) -> dict[str, Caption | None]:
        last = dict(self.records)
        return {
            key.decode(): None if value is None else without_origin(codecs.decode_caption(value))
            for key, value in last.items()
        }


def without_origin(caption: Caption) -> Caption:
    """Of equal items that are worked on beside each other, either may be the one that the caption names."""
    return msgspec.structs.replace(caption, lineage=msgspec.structs.replace(caption.lineage, source=Source("", 0, 0)))


class Worker(World):
    """One process of the role, on a store and a topic that outlive it."""

    def __init__(self, store: MemoryStore, topic: Topic, told: list[Any], *, knows_causes: bool) -> None:
        super().__init__()

        async def generation() -> str:
            return "t1"

        standing = Standing(store, "caption", generation, asyncio.to_thread, remembered=10)
        cause = cause_of(["rules"])
        self._one: Any = publisher(
            topic,  # type: ignore[arg-type]
            stage="caption",
            topic=topics.CAPTIONS,
            published=told.append,
            standing=standing,
            cause=cause,
        )
        self.publish_all: Any = publisher_of_all(standing, told.append, cause)
        role = captioner(FakeWriter())
        role = replace(role, memo=Memo(store, "caption", role.writer.fingerprint))
        if knows_causes:
            role = replace(role, cause=cause, causes=standing.causes)
        self.stages = role.stages()

    async def publish(self, message: Message, result: Any) -> Sequence[Awaitable[object]]:
        found: Sequence[Awaitable[object]] = await self._one(message, result)
        return found

    async def work(
        self,
        messages: Sequence[Message],
        cuts: Sequence[int],
        rests: Sequence[bool] = (False,),
        *,
        until: int | None = None,
    ) -> int:
        """Take messages as they arrive, in parts with or without a rest between, until all of them are done; how many are acknowledged. `until`: parts, after
        which the process dies.
        """
        async with running(self.stages, self, publish_all=self.publish_all) as pipeline:
            at = number = 0
            while at < len(messages) and number != until:
                part = messages[at : at + cuts[number % len(cuts)]]
                for message, done in zip(part, await pipeline.look(part), strict=True):
                    await pipeline.submit(message, self.ack(message), done)
                at, number = at + len(part), number + 1
                if rests[(number - 1) % len(rests)]:
                    async with asyncio.timeout(60):
                        while len(self.acked) < at:  # noqa: ASYNC110 - nobody tells of it
                            await asyncio.sleep(0)
            if until is None:
                await pipeline.drain()
        return len(self.acked)


async def history(
    steps: Sequence[Step], cuts: Sequence[int], rests: Sequence[bool], late: Sequence[int], deaths: Sequence[int]
) -> dict[str, Caption | None]:
    """The captions that stand at the end, by workers of which each but the last dies."""
    messages = [record(offset, step) for offset, step in enumerate(steps)]
    store, topic = MemoryStore("test"), Topic(late)
    done = 0
    for death in (*deaths, None):
        worker = Worker(store, topic, [], knows_causes=True)
        done += await worker.work(messages[done:], cuts, rests, until=death)
    return topic.captions()


async def whole(steps: Sequence[Step]) -> dict[str, Caption | None]:
    """The same by a worker that reads each item whole, one after the other."""
    store, topic = MemoryStore("test"), Topic([0])
    for offset, step in enumerate(steps):
        await Worker(store, topic, [], knows_causes=False).work([record(offset, step)], [1])
    return topic.captions()


@settings(max_examples=12, deadline=None)
@example(ALTERNATING, [1, 2], [True, False], [0], [])  # both are read while the caption of the first stands
@example(ALTERNATING, [1, 1], [True, False], [9], [])
@example(ALTERNATING, [1, 1], [True, False], [9], [2])
@given(
    histories,
    st.lists(st.integers(1, 6), min_size=1, max_size=5),
    st.lists(st.booleans(), min_size=1, max_size=3),
    st.lists(st.integers(0, 9), min_size=1, max_size=4),
    st.lists(st.integers(1, 4), max_size=2),
)
def test_captions_are_those_of_a_worker_that_reads_everything(
    steps: list[Step], cuts: list[int], rests: list[bool], late: list[int], deaths: list[int]
) -> None:
    """Whatever is passed over unread, in whatever parts it arrives, whenever deliveries arrive and processes die."""
    found = asyncio.run(history(steps, cuts, rests, late, deaths))
    assert found == asyncio.run(whole(steps))


def test_prices_are_passed_over_unread() -> None:
    """The property would hold, too, if nothing ever was: here it is, one alone and two together."""

    async def main() -> list[Any]:
        store, topic, told = MemoryStore("test"), Topic([0]), list[Any]()
        messages = [record(offset, ("sku-1", "silk", offset + 1)) for offset in range(4)]
        worker = Worker(store, topic, told, knows_causes=True)
        for part in (messages[:1], messages[1:2], messages[2:]):
            await worker.work(part, [2])
        assert len(topic.records) == 1
        return told

    assert [type(one) for one in asyncio.run(main())] == [Caption, Caused, Caused, Caused]
