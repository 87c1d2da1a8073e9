"""A role that seldom asks the index hears of it from its first question on, and misses no answer to that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from streams.contract import codecs
from streams.contract.probes import Found, LookupProbe, Probe
from streams.engine.message import Message
from streams.search.pending import PendingQueries, all_answered
from streams.wiring.probing import Hearing


class Topic:
    """`search.probes` and `search.hits` with an index behind them that answers at once. `told`: what happened, in order."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.answers: asyncio.Queue[bytes] = asyncio.Queue()

    async def send(self, probe: Probe) -> None:
        self.told.append("asked")
        if "opened" in self.told:  # who reads from the end does not see what came before
            found = Found(probe.query_id, 0, 1, "g-0001", applied_offset=1, fresh=True, image="a.jpg")
            self.answers.put_nowait(codecs.encode(found))

    @asynccontextmanager
    async def tail(self) -> AsyncIterator[Topic]:
        await asyncio.sleep(0)  # as a connection that takes its time
        self.told.append("opened")
        yield self

    async def follow(self) -> AsyncIterator[Message]:
        while True:
            yield Message("search.hits", 0, 0, value=await self.answers.get())


async def test_the_tail_is_opened_with_the_first_question_and_before_it_is_sent() -> None:
    topic, now = Topic(), asyncio.get_running_loop().time
    hearing = Hearing(topic.send, topic.tail)
    pending = PendingQueries(hearing.send, now)
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(hearing.follow(pending))
        await asyncio.sleep(0)
        assert topic.told == []
        for number in range(2):
            probe = LookupProbe(query_id=f"q-{number}", product_id="sku-1", deadline=now() + 3600.0)
            answers = await pending.ask(probe, all_answered)
            assert [one.image for one in answers.values() if isinstance(one, Found)] == ["a.jpg"]
        following.cancel()
    assert topic.told == ["opened", "asked", "asked"]
