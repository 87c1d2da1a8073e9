"""The view of duplicates that queries ask: who shows the same photo, whoever says so, and when it is read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from streams.contract import codecs, topics
from streams.contract.records import Duplicate, Duplicates
from streams.engine.message import Message
from streams.search.twins import OnDemand, Twins


def record(product: str, *others: str) -> Message:
    found = Duplicates(product, "i", tuple(Duplicate(one, "copy", 9, 0.9, (1.0, 1.0), "i") for one in others))
    return Message(topics.DUPLICATES, 0, 0, product.encode(), codecs.encode(found) if others else None)


def test_whoever_says_so_and_through_others() -> None:
    """A record of one side is enough; a null, and a record that cannot be read, take it back."""
    twins = Twins()
    twins.apply(record("a", "b"))
    twins.apply(record("c", "b"))
    assert twins.of("a") == ("b", "c")
    assert twins.of("b") == ("a", "c")
    assert twins.of("x") == ()
    twins.apply(record("a"))
    assert twins.of("a") == ()
    assert twins.of("b") == ("c",)
    twins.apply(Message(topics.DUPLICATES, 0, 0, b"c", b"{"))
    assert twins.of("b") == ()


async def test_nothing_is_read_before_a_query_wants_it() -> None:
    """The first one waits until it has caught up, no longer than it is given; where there is no topic the next one looks again."""
    reads, there = 0, False

    async def read(apply: Callable[[Message], None], caught_up: Callable[[], None]) -> None:
        nonlocal reads
        reads += 1
        if there:
            apply(record("a", "b"))
            caught_up()
            await asyncio.Event().wait()

    view = OnDemand(read)
    following = asyncio.create_task(view.follow())
    await asyncio.sleep(0)
    assert reads == 0
    assert await view.ask(0.01) is None
    there = True
    found = await view.ask(60)
    assert found is not None
    assert found.of("b") == ("a",)
    assert reads == 2
    following.cancel()
