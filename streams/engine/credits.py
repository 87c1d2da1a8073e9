"""Bounded admission: how many bytes, and how many messages, may be in a pipeline at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(slots=True)
class Held:
    """Credits that one message holds, or several that go together. Give it back with `Credits.release`, once."""

    amount: int
    released: bool = False
    items: int = 1


class Credits:
    """First come, first served. A message larger than the whole budget is admitted when nothing else is held.

    Not thread-safe: of one event loop. `amount` counts bytes, at first encoded, later decoded (`resize`).
    """

    def __init__(self, budget: int, *, items: int = 1024) -> None:
        if budget <= 0 or items <= 0:
            raise ValueError("a budget without room would wait for ever")
        self.budget = budget
        self.max_items = items
        self.held = 0
        self.items = 0
        self._waiting: deque[tuple[int, int, asyncio.Future[Held]]] = deque()

    def request(self, amount: int, items: int = 1) -> asyncio.Future[Held]:
        """A future that is done when `amount` is admitted, of so many messages together. Cancelling it withdraws the request."""
        future: asyncio.Future[Held] = asyncio.get_running_loop().create_future()
        self._waiting.append((amount, items, future))
        self._admit()
        return future

    async def acquire(self, amount: int) -> Held:
        """Wait until `amount` is admitted."""
        future = self.request(amount)
        try:
            return await future
        except asyncio.CancelledError:
            # Granted, and cancelled before this task woke up: without this the credits would be lost for ever.
            if future.done() and not future.cancelled() and future.exception() is None:
                self.release(future.result())
            raise

    def resize(self, held: Held, amount: int) -> None:
        """`held` is now worth `amount` (pixels replaced bytes). May overdraw; then nothing is admitted for a while."""
        if held.released:
            return
        self.held += amount - held.amount
        held.amount = amount
        self._admit()

    def release(self, held: Held) -> None:
        """Give back. A second time does nothing."""
        if held.released:
            return
        held.released = True
        self.held -= held.amount
        self.items -= held.items
        self._admit()

    def split(self, held: Held, amounts: Sequence[int]) -> list[Held]:
        """What several messages hold together, as what each of them holds; `held` itself holds nothing any more."""
        if held.released:
            return [Held(amount, released=True) for amount in amounts]
        held.released = True
        self.held += sum(amounts) - held.amount
        self.items += len(amounts) - held.items
        return [Held(amount) for amount in amounts]

    def _fits(self, amount: int, items: int) -> bool:
        return self.items == 0 or (self.items + items <= self.max_items and self.held + amount <= self.budget)

    def _admit(self) -> None:
        while self._waiting:
            amount, items, future = self._waiting[0]
            if future.done():
                self._waiting.popleft()
            elif self._fits(amount, items):
                self._waiting.popleft()
                self.held += amount
                self.items += items
                future.set_result(Held(amount, items=items))
            else:
                return
