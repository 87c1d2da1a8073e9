"""Records that are done before their turn, and what that means for those that are done in their turn.

A partition is worked off in its order. An urgent record is taken out of it: a second pipeline does it at once, and with it the
earlier records of the same product that are still to be done, in their order. When the first pipeline comes to a record that
was taken, it waits for it and does nothing: a product has one order, whichever pipeline does its records. Offsets are committed
by the first pipeline alone, so what was done before its turn is looked for again after a crash.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from streams.engine.failures import Failure
from streams.engine.lanes import DeadLetter, Deliveries, Publish, PublishAll
from streams.engine.message import Message

R = TypeVar("R")

Place: TypeAlias = tuple[str, int]
"""Topic and partition."""

MOST_REMEMBERED = 50_000
"""Products of a partition whose newest record was done before its turn, at most; the oldest are forgotten. A record that is so
far behind was done long ago, unless it is read again: then it is published again, as after a crash."""


@dataclass(slots=True)
class _Partition:
    """What is known of one partition, since it became ours.

    `reached`: the last offset that left in its turn. `taken`: offsets that were taken, each done when its future is.
    `latest`: product → the newest offset that was handed to the broker before its turn.
    """

    reached: int = -1
    taken: OrderedDict[int, asyncio.Future[None]] = field(default_factory=OrderedDict)
    under_way: dict[bytes, list[int]] = field(default_factory=dict)
    latest: OrderedDict[bytes, int] = field(default_factory=OrderedDict)
    # Held while a record is handed to the broker: looking whether it still may be, and handing it over, are one step.
    order: asyncio.Lock = field(default_factory=asyncio.Lock)

    def note(self, product: bytes, offset: int) -> None:
        self.latest[product] = max(offset, self.latest.get(product, -1))
        self.latest.move_to_end(product)
        while len(self.latest) > MOST_REMEMBERED:
            self.latest.popitem(last=False)
        while len(self.taken) > MOST_REMEMBERED and next(iter(self.taken.values())).done():
            self.taken.popitem(last=False)


class Ahead:
    """The records of one topic that were taken out of their order. Of one event loop.

    Args:
        product_of: the product that a record is of, whatever its key is.
    """

    def __init__(self, product_of: Callable[[Message], bytes]) -> None:
        self._product_of = product_of
        self._partitions: dict[Place, _Partition] = {}

    def begin(self, place: Place) -> None:
        """The partition is ours from now on."""
        self.forget(place)
        self._partitions[place] = _Partition()

    def forget(self, place: Place) -> None:
        """The partition is another worker's now: nobody waits any more."""
        partition = self._partitions.pop(place, None)
        for future in () if partition is None else partition.taken.values():
            if not future.done():
                future.set_result(None)

    def holds(self, place: Place) -> bool:
        """Whether the partition is ours."""
        return place in self._partitions

    def reached(self, place: Place) -> int:
        """The last offset that left in its turn; -1 before the first."""
        partition = self._partitions.get(place)
        return -1 if partition is None else partition.reached

    def take(self, place: Place, product: bytes, offsets: Iterable[int]) -> list[int]:
        """Take these records of one product; those that may be done now: not yet done in their turn, nor taken before."""
        partition = self._partitions.get(place)
        if partition is None:
            return []
        found = [offset for offset in offsets if offset > partition.reached and offset not in partition.taken]
        for offset in found:
            partition.taken[offset] = asyncio.get_running_loop().create_future()
            partition.under_way.setdefault(product, []).append(offset)
        return found

    def done(self, place: Place, product: bytes, offset: int) -> None:
        """A record that was taken is done: published durably, or a dead letter."""
        partition = self._partitions.get(place)
        future = None if partition is None else partition.taken.get(offset)
        if partition is None or future is None or future.done():
            return
        future.set_result(None)
        partition.under_way[product].remove(offset)
        if not partition.under_way[product]:
            del partition.under_way[product]

    async def is_done(self, message: Message) -> bool:
        """For a record whose turn it is: whether nothing is left to do. Waits for those of its product that were taken."""
        partition = self._partitions.get((message.topic, message.partition))
        if partition is None or not (partition.taken or partition.latest):
            return False
        product = self._product_of(message)
        for offset in tuple(partition.under_way.get(product, ())):
            if offset <= message.offset and offset in partition.taken:
                await asyncio.shield(partition.taken[offset])
        return message.offset in partition.taken or partition.latest.get(product, -1) >= message.offset

    def in_turn(self, publish: Publish[R]) -> Publish[R]:
        """The `publish` of the first pipeline."""

        async def run(message: Message, result: R) -> Deliveries:
            return await self._leave(message, lambda: publish(message, result))

        return run

    def all_in_turn(self, publish_all: PublishAll[R]) -> PublishAll[R]:
        """Its `publish_all`: one by one where any of them was done before its turn, or has a newer one that was."""

        async def run(results: Sequence[tuple[Message, R]]) -> Sequence[Deliveries] | None:
            messages = [message for message, _ in results]
            first, last = messages[0], messages[-1]
            partition = self._partitions.get((first.topic, first.partition))
            if partition is None:
                return await publish_all(results)
            async with partition.order:
                taken = partition.taken or partition.latest
                if taken and any(
                    one.offset in partition.taken or self._is_superseded(partition, one) for one in messages
                ):
                    return None
                deliveries = await publish_all(results)
                if deliveries is not None:
                    partition.reached = max(partition.reached, last.offset)
                return deliveries

        return run

    def untouched(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Those of these messages of one partition that `is_untouched`."""
        partition = self._partitions.get((messages[0].topic, messages[0].partition)) if messages else None
        if partition is None or not (partition.taken or partition.latest):
            return messages
        return [message for message in messages if self.is_untouched(message)]

    def is_untouched(self, message: Message) -> bool:
        """Whether nothing of its product was taken that comes before it, or was done that comes after it."""
        partition = self._partitions.get((message.topic, message.partition))
        if partition is None or not (partition.taken or partition.latest):
            return True
        product = self._product_of(message)
        newest = partition.latest.get(product, -1)
        return message.offset not in partition.taken and product not in partition.under_way and newest < message.offset

    def letters_in_turn(self, dead_letter: DeadLetter) -> DeadLetter:
        """Its `dead_letter`."""

        async def run(failure: Failure) -> Deliveries:
            return await self._leave(failure.message, lambda: dead_letter(failure))

        return run

    def before_turn(self, publish: Publish[R]) -> Publish[R]:
        """The `publish` of the second pipeline."""

        async def run(message: Message, result: R) -> Deliveries:
            partition = self._partitions.get((message.topic, message.partition))
            if partition is None:
                return ()
            async with partition.order:
                if partition.reached >= message.offset:
                    return ()  # it left in its turn, while this one was on its way
                deliveries = await publish(message, result)
                partition.note(self._product_of(message), message.offset)
                return deliveries

        return run

    async def _leave(self, message: Message, hand_over: Callable[[], Awaitable[Deliveries]]) -> Deliveries:
        partition = self._partitions.get((message.topic, message.partition))
        if partition is None:
            return await hand_over()
        async with partition.order:
            taken = partition.taken.get(message.offset)
            if taken is None and not self._is_superseded(partition, message):
                deliveries = await hand_over()
                partition.reached = max(partition.reached, message.offset)
                return deliveries
        if taken is not None:
            # What comes behind it in the partition may be newer of the same product, and must not leave first.
            await asyncio.shield(taken)
        partition.reached = max(partition.reached, message.offset)
        return ()

    def _is_superseded(self, partition: _Partition, message: Message) -> bool:
        return bool(partition.latest) and partition.latest.get(self._product_of(message), -1) > message.offset
