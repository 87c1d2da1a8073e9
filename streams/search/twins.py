"""Which products show the same photo, as it stands on `catalog.duplicates`: a view, for queries that collapse them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from processors.errors import Poison
from processors.identity import key_of
from streams.contract import codecs
from streams.engine.message import Message

MOST = 100
"""Products of one photo that are looked at."""


class Twins:
    """One writer (`apply`), many readers. Some 300 bytes a product that has a duplicate; nothing of the others."""

    def __init__(self) -> None:
        self._said: dict[str, frozenset[str]] = {}
        self._by: dict[str, set[str]] = {}  # who names a product

    def apply(self, message: Message) -> None:
        """Take in one record of the topic; what cannot be read says nothing."""
        key = (message.key or b"").decode("utf-8", "replace")
        for other in self._said.pop(key, ()):
            self._by[other].discard(key)
            if not self._by[other]:
                del self._by[other]
        try:
            found = codecs.decode_duplicates(message.value) if message.value else None
        except Poison:
            found = None
        if found is None or not found.duplicates:
            return
        self._said[key] = frozenset(key_of(found.shop, one.product_id) for one in found.duplicates)
        for other in self._said[key]:
            self._by.setdefault(other, set()).add(key)

    def of(self, product: str) -> tuple[str, ...]:
        """The keys of the products that show the photo of this one, or of one of these, whoever of them says so; sorted."""
        found, waiting = {product}, [product]
        while waiting and len(found) <= MOST:
            one = waiting.pop()
            others = (self._said.get(one, frozenset()) | self._by.get(one, set())) - found
            found |= others
            waiting += sorted(others)
        return tuple(sorted(found - {product}))


Ask: TypeAlias = Callable[[float], Awaitable[Twins | None]]
"""The view, once it has caught up; None where that takes longer than so many seconds, or there is no such topic."""


async def nobody_knows(_seconds: float) -> Twins | None:
    """No duplicates are known."""
    return None


class OnDemand:
    """The view from the first query on that wants it: other stacks read nothing. `follow` does the reading.

    Args:
        read: takes in the topic for ever; calls its second argument once it has caught up. Returns where there is no topic.
    """

    def __init__(self, read: Callable[[Callable[[Message], None], Callable[[], None]], Awaitable[None]]) -> None:
        self._read = read
        self._wanted, self._caught_up = asyncio.Event(), asyncio.Event()
        self._twins = Twins()

    async def follow(self) -> None:
        """For ever."""
        while True:
            await self._wanted.wait()
            self._twins = Twins()
            await self._read(self._twins.apply, self._caught_up.set)
            self._wanted.clear()  # there is no such topic: the next query looks again

    async def ask(self, seconds: float) -> Twins | None:
        """See `Ask`."""
        self._wanted.set()
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._caught_up.wait()
        except TimeoutError:
            return None
        return self._twins
