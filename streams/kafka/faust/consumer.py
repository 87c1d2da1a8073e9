"""Faust's consumer without the three tasks and three turns of the event loop that it spends on each message.

Its fetching loop hands every message over by `wait_first(callback(message), suspend_flow.wait())`: four futures, and a
wait for the first of them, so that a rebalance can interrupt a hand-over to a full queue. While no queue is full and
nothing is suspended, the hand-over cannot wait at all, and is simply awaited.
"""

from __future__ import annotations

from typing import Any

from faust.transport.drivers.aiokafka import Consumer, Transport
from mode.services import WaitResults


class DirectConsumer(Consumer):  # type: ignore[misc]
    """A consumer that hands messages over directly whenever the app (see `faust_app`) has room: nothing would wait."""

    async def wait_first(self, *coros: Any, timeout: Any = None) -> WaitResults:  # noqa: ASYNC109 - Faust's signature
        """As Faust's; a hand-over (a coroutine first, and a coroutine that waits for suspension) without tasks."""
        if len(coros) != 2 or timeout is not None or not (hasattr(coros[0], "close") and self.app.has_room()):
            return await super().wait_first(*coros, timeout=timeout)
        handing_over, suspension = coros
        suspension.close()
        return WaitResults([handing_over], [await handing_over], stopped=False)


class DirectTransport(Transport):  # type: ignore[misc]
    """Faust's aiokafka transport with a `DirectConsumer`."""

    Consumer = DirectConsumer
