"""The place of a record that was put back: it counts as lying where it first lay, not where it lies now.

A dead letter that is put back lands behind every upload that came meanwhile. Without a place of its own, the older
photo of a product would replace the newer one. So `weft dlq redrive` writes the first place into a header, and who
consumes the topic (or the tool itself) looks whether the same key came again in between.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass

from infra.settings import Settings
from processors.errors import Code, Poison, Retryable
from streams.contract.urgency import said_of
from streams.engine.message import Message
from streams.kafka.consumer import PlainConsumer, open_consumer

POSITION = "weft_position"
"""Where a record that was put back lay first: `catalog.uploads/3/81`."""
CHECKED = "weft_checked"
"""Up to this offset (exclusive) `weft dlq redrive` found no newer record of the same key."""
LETTER = "weft_letter"
"""Id of the dead letter that was put back."""
REDRIVES = "weft_redrives"
"""How often this record has been put back."""
OURS = frozenset({POSITION, CHECKED, LETTER, REDRIVES})

MAX_BEHIND = 10_000
"""Records between the tool's look and its record, at most: a forged header must not make a role read a whole topic."""
POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class RecordAddress:
    """A record's address."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


def place_of(text: str) -> RecordAddress | None:
    """`catalog.uploads/3/81`; None for anything else."""
    topic, _, rest = text.partition("/")
    partition, _, offset = rest.partition("/")
    if not (topic and is_number(partition) and is_number(offset)):
        return None
    return RecordAddress(topic, int(partition), int(offset))


def is_number(text: str) -> bool:
    """Whether `text` is a partition or an offset: up to 18 digits."""
    return text.isascii() and text.isdigit() and len(text) <= 18


def header_text(message: Message, name: str) -> str:
    """The last header of that name as text; "" when there is none."""
    return (message.header(name) or b"")[:4096].decode(errors="replace")


def position_of(message: Message) -> int:
    """The offset at which a record counts: of its first place when it was put back into the same partition."""
    first = place_of(header_text(message, POSITION))
    same = first is not None and (first.topic, first.partition) == (message.topic, message.partition)
    return min(first.offset, message.offset) if first is not None and same else message.offset


def redrives_of(message: Message) -> int:
    """How often the record was put back."""
    text = header_text(message, REDRIVES)
    return int(text) if is_number(text) else 0


def product_key(message: Message) -> bytes | None:
    """What is common to the records of a product: uploads of two shops may have one key. None without a key: it is passed on."""
    return None if message.key is None else said_of(message).product or message.key


def newer_of(records: Mapping[bytes | None, Collection[Message]], message: Message) -> Message | None:
    """The newest of the records of the same product (`product_key`) whose place is behind `message`'s own."""
    position = position_of(message)
    later = [record for record in records.get(product_key(message), ()) if position_of(record) > position]
    return max(later, key=position_of, default=None)


async def records_between(consumer: PlainConsumer, first: RecordAddress, end: int) -> AsyncIterator[Message]:
    """The records of a partition from `first` up to `end` (exclusive), as far as they are kept.

    `consumer` is assigned to this one partition meanwhile.
    """
    low, high = (await consumer.watermarks(first.topic)).get(first.partition, (0, 0))
    start, end = max(first.offset, low), min(end, high)
    if start >= end:
        return
    place = (first.topic, first.partition)
    await consumer.assign({place: start})
    while await consumer.position(place) < end:
        for message in await consumer.poll(POLL_S):
            # What was fetched for an earlier assignment is of no interest.
            if (message.topic, message.partition) == place and message.offset < end:
                yield message


class Positions:
    """Tells a role of a record that was put back whether its product has moved on meanwhile."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def check(self, message: Message) -> None:
        """Return at once for a record that was never put back; else look at what lies between its two places.

        Raises:
            Poison: a newer record of the same key lies between, or the header is not one of `weft dlq redrive`.
            Retryable: the broker is away.
        """
        text = header_text(message, POSITION)
        if not text:
            return
        first = place_of(text)
        if first is None or (first.topic, first.partition) != (message.topic, message.partition):
            raise Poison("is no place in this partition", field=POSITION)
        checked = header_text(message, CHECKED)
        start = max(first.offset + 1, int(checked) if is_number(checked) else 0)
        if message.offset - start > MAX_BEHIND:
            raise Poison(f"lies more than {MAX_BEHIND} records back: put it back again", field=POSITION)
        newer = await self._newer(message, RecordAddress(message.topic, message.partition, start))
        if newer is not None:
            raise Poison(
                f"superseded: the same product came again at offset {newer.offset}",
                field=POSITION,
                code=Code.SUPERSEDED,
            )

    async def _newer(self, message: Message, start: RecordAddress) -> Message | None:
        from aiokafka.errors import KafkaError

        try:
            async with open_consumer(self._settings, client="enrich") as consumer:
                records = records_between(consumer, start, message.offset)
                between = [r async for r in records if product_key(r) == product_key(message)]
        except (KafkaError, OSError) as error:
            raise Retryable(f"the records before cannot be read: {type(error).__name__}") from error
        return newer_of({product_key(message): between}, message)
