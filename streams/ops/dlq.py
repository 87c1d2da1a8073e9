"""Dead letters as a tool: list them, look at one, put them back in their place, or let them go.

Kafka cannot delete a record, so a letter that was put back or dropped gets a mark under its id on the compacted topic
`weft.dead-letters.done`. Putting back comes first and the mark second: a tool that is killed in between finds its own
record again, and only the mark is missing.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import msgspec

from infra import secrets
from infra.settings import Settings
from processors.errors import Poison
from streams.contract import codecs, topics
from streams.contract.cloudevents import ce_headers, event_context, rfc3339
from streams.contract.records import LetterDone
from streams.engine.message import Message, derived_id
from streams.kafka.client import Reader
from streams.kafka.consumer import PlainConsumer, open_consumer
from streams.kafka.dead_letters import CUT_KEY_BYTES, LOST_STAGE
from streams.kafka.options import no_broker
from streams.kafka.positions import (
    CHECKED,
    LETTER,
    POSITION,
    REDRIVES,
    RecordAddress,
    header_text,
    newer_of,
    place_of,
    position_of,
    product_key,
    records_between,
)
from streams.kafka.producer import Sender, classify_kafka, open_producer
from streams.ops.dlq_letters import REDRIVABLE, Filter, Letter, WholeLetter, read_letter, settles, whole, without_errors

MAX_REDRIVES = 3
"""A record that failed this often after it was put back is not put back again unasked."""
_SETTLE_ROUNDS = 5


class Handled(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one letter, as `weft dlq redrive --json` and `drop --json` print it."""

    id: str
    outcome: Literal["redriven", "dropped", "refused", "would be redriven", "would be dropped"]
    cause: str = ""
    place: str = ""  # where it lies now: "catalog.uploads/3/240"


@dataclass(frozen=True, slots=True)
class Terms:
    """How letters are put back.

    Args:
        max_redrives: how often one record at most.
        as_new: it counts as a new upload: it replaces a newer one of its product.
        dry_run: only say what would be done.
    """

    max_redrives: int = MAX_REDRIVES
    as_new: bool = False
    dry_run: bool = False


class _Refused(Exception):
    """This letter is not put back; the text says why."""


@dataclass(slots=True)
class _Lane:
    """One partition that letters go back to: what lies behind their places, by key, without values."""

    letters: list[tuple[Letter, Message]]
    versioned: set[str] = field(
        default_factory=set
    )  # ids of letters whose uploads say by themselves what they count for
    end: int = 0
    records: dict[bytes | None, list[Message]] | None = None


def _has_version(record: Message) -> bool:
    """Whether it is an upload with a version: then that decides what it counts for, and not its place."""
    try:
        upload = codecs.decode_upload(record) if record.topic == topics.UPLOADS else None
    except Poison:
        return False
    return upload is not None and upload.version is not None


class DeadLetterAdmin:
    """Reads and settles dead letters. Made by `open_dead_letter_admin`.

    Args:
        read: the records of a topic, up to its present end.
        consumer: for single records, and for what lies behind them.
        sender: for what is put back, and for marks.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        read: Callable[[str], AsyncIterator[Message]],
        consumer: PlainConsumer,
        sender: Sender,
        now: Callable[[], float],
    ) -> None:
        self._read = read
        self._consumer = consumer
        self._sender = sender
        self._now = now

    async def letters(self, wanted: Filter, *, limit: int | None = None, with_done: bool = False) -> list[Letter]:
        """The letters that are open (and the settled ones, if asked for), oldest first; copies of one count once."""
        done = await self._done()
        found: dict[tuple[str, int], Letter] = {}
        async for message in self._read(topics.DEAD_LETTERS):
            letter = read_letter(message)
            mark = _mark_of(letter, done)
            if mark is not None and not with_done:
                continue
            if wanted.matches(letter, self._now() - message.timestamp_ms / 1000):
                found[letter.id, letter.recorded] = msgspec.structs.replace(letter, done=mark)
        return sorted(found.values(), key=lambda letter: (letter.at, letter.id))[:limit]

    async def show(self, letter_id: str) -> WholeLetter:
        """One letter, settled or not.

        Raises:
            Poison: there is none of that id.
        """
        for letter in await self.letters(Filter(ids=frozenset({letter_id})), with_done=True):
            message = await self._at(_known_place(letter.lies))
            if message is not None:
                return whole(letter, message)
        raise Poison(f"there is no dead letter {letter_id[:200]!r}")

    async def drop(self, letters: Iterable[Letter], *, dry_run: bool = False) -> AsyncIterator[Handled]:
        """Mark letters as settled: nobody will look at them again."""
        for letter in letters:
            if dry_run:
                yield Handled(letter.id, "would be dropped")
            else:
                await self._mark(letter, "dropped", letter.redrives, "")
                yield Handled(letter.id, "dropped")

    async def redrive(self, letters: Sequence[Letter], terms: Terms) -> AsyncIterator[Handled]:
        """Put the original records back, each in its own partition, in the order of their first places."""
        lanes: dict[tuple[str, int], _Lane] = {}
        for letter in letters:
            try:
                record = await self._original(letter, terms)
            except _Refused as refused:
                yield Handled(letter.id, "refused", str(refused))
            else:
                lane = lanes.setdefault((letter.topic, letter.partition), _Lane([]))
                lane.letters.append((letter, _stripped(record)))
                if _has_version(record):
                    lane.versioned.add(letter.id)
        for lane in lanes.values():
            await self._look_behind(lane)
            for letter, record in sorted(lane.letters, key=lambda pair: position_of(pair[1])):
                try:
                    yield await self._put_back(letter, record, lane, terms)
                except _Refused as refused:
                    yield Handled(letter.id, "refused", str(refused))

    # ------------------------------------------------------------------ the original

    async def _original(self, letter: Letter, terms: Terms) -> Message:
        """The record as it first came, at the place that failed last; its headers without those of the failure."""
        if letter.topic not in REDRIVABLE:
            raise _Refused(f"records of {letter.topic or 'no topic'} are not put back: nobody waits for them; drop it")
        if letter.offset < 0 or letter.partition < 0:
            raise _Refused("the letter does not say where its record lay; drop it")
        if letter.stage == LOST_STAGE:
            raise _Refused("the records are gone: send the products again, then drop it")
        if letter.redrives >= terms.max_redrives:
            raise _Refused(
                f"was put back {letter.redrives} times and failed each time: mend the cause, then raise --max-attempts"
            )
        message = await self._at(_known_place(letter.lies))
        if message is None:
            raise _Refused("the letter is not kept any more")
        if letter.withheld:
            value, key, headers = await self._from_its_topic(letter, message)
        else:
            value, key, headers = message.value, message.key, message.headers
        if key is None and not terms.as_new:
            raise _Refused("it has no key, so its place among the uploads of its product is not known; use --as-new")
        return Message(letter.topic, letter.partition, letter.offset, key, value, headers, letter.recorded)

    async def _from_its_topic(
        self, letter: Letter, message: Message
    ) -> tuple[bytes | None, bytes | None, tuple[tuple[str, bytes], ...]]:
        """What the letter withholds lies where the record first lay, as long as that topic keeps it."""
        there = await self._at(RecordAddress(letter.topic, letter.partition, letter.offset))
        blanked = None if there is None or there.key is None else secrets.blanked(there.key)
        if there is None or (blanked != message.key and (blanked or b"")[:CUT_KEY_BYTES] != message.key):
            raise _Refused(
                f"parts of it were withheld ({letter.withheld}), and {letter.topic} does not keep it any more"
            )
        return there.value, there.key, there.headers

    async def _at(self, place: RecordAddress) -> Message | None:
        """The record of that place; None when it is not kept any more."""
        async for message in records_between(self._consumer, place, place.offset + 1):
            return message
        return None

    # ------------------------------------------------------------------ its place

    async def _look_behind(self, lane: _Lane) -> None:
        """Read the partition once, from the first place of all letters on, for the records of their keys."""
        keys = {product_key(record) for _, record in lane.letters}
        first = min(min(position_of(record), letter.offset) for letter, record in lane.letters)
        letter = lane.letters[0][0]
        lane.end = (await self._consumer.watermarks(letter.topic))[letter.partition][1]
        lane.records = {}
        start = RecordAddress(letter.topic, letter.partition, first)
        async for message in records_between(self._consumer, start, lane.end):
            if (product := product_key(message)) in keys:
                lane.records.setdefault(product, []).append(_stripped(message))

    async def _put_back(self, letter: Letter, record: Message, lane: _Lane, terms: Terms) -> Handled:
        records = lane.records or {}
        before = next((r for r in records.get(product_key(record), ()) if header_text(r, LETTER) == letter.id), None)
        if before is not None and not terms.dry_run:
            place = f"{letter.topic}/{letter.partition}/{before.offset}"
            await self._mark(letter, "redriven", letter.redrives + 1, place)
            return Handled(letter.id, "redriven", "it had been put back already", place)
        if not terms.as_new and letter.id not in lane.versioned:
            self._check_place(letter, record, records)
        if terms.dry_run:
            return Handled(letter.id, "would be redriven")
        headers = _headers(letter, record, lane.end, terms)
        full = await self._original(letter, terms)
        sent = await self._send(letter.topic, record.key, full.value, headers, letter.partition)
        lying = Message(letter.topic, letter.partition, sent.offset, record.key, None, tuple(headers))
        records.setdefault(product_key(record), []).append(lying)
        place = f"{letter.topic}/{letter.partition}/{sent.offset}"
        if letter.topic == topics.ITEMS and not terms.as_new:
            await self._settle(lying, lane.end)
        await self._mark(letter, "redriven", letter.redrives + 1, place)
        return Handled(letter.id, "redriven", place=place)

    def _check_place(self, letter: Letter, record: Message, records: dict[bytes | None, list[Message]]) -> None:
        newer = newer_of(records, record)
        if newer is not None:
            raise _Refused(
                f"superseded: the same product came again at offset {newer.offset}; drop it, or use --as-new"
                " to let this one replace the newer"
            )
        if letter.topic == topics.ITEMS and all(
            r.offset != letter.offset for r in records.get(product_key(record), ())
        ):
            # Compacted away: the product was replaced or deleted, and the tombstone may be gone as well.
            raise _Refused("superseded: the item was replaced or deleted since; drop it")

    async def _settle(self, lying: Message, checked: int) -> None:
        """No role guards the compacted `catalog.items`: what slipped in before our record is put on top again."""
        end = lying.offset
        for _ in range(_SETTLE_ROUNDS):
            start = RecordAddress(lying.topic, lying.partition, checked)
            between = [r async for r in records_between(self._consumer, start, end) if r.key == lying.key]
            newer = newer_of({lying.key: between}, lying)
            if newer is None:
                return
            sent = await self._send(newer.topic, newer.key, newer.value, newer.headers, newer.partition)
            checked, end = end + 1, sent.offset

    # ------------------------------------------------------------------ marks

    async def _done(self) -> dict[str, LetterDone]:
        found: dict[str, LetterDone] = {}
        async for message in self._read(topics.DEAD_LETTERS_DONE):
            letter_id = (message.key or b"").decode(errors="replace")
            try:
                found[letter_id] = msgspec.json.decode(message.value or b"", type=LetterDone)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                found.pop(letter_id, None)  # a null value opens the letter again
        return found

    async def _mark(
        self, letter: Letter, resolution: Literal["redriven", "dropped"], redrives: int, place: str
    ) -> None:
        at = rfc3339(round(self._now() * 1000))
        done = LetterDone(letter.id, resolution, at, redrives, place, letter.recorded)
        headers = ce_headers(
            id=derived_id(letter.id, f"{resolution}/{at}"),
            type=topics.BY_NAME[topics.DEAD_LETTERS_DONE].event_type,
            source="weft/dlq",
            time=at,
            content_type=topics.BY_NAME[topics.DEAD_LETTERS_DONE].content_type,
        )
        await self._send(topics.DEAD_LETTERS_DONE, letter.id.encode(), codecs.encode(done), headers, None)

    async def _send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]],
        partition: int | None,
    ) -> Any:
        delivery = await self._sender.send(topic, key=key, value=value, headers=headers, partition=partition)
        return await delivery


@asynccontextmanager
async def open_dead_letter_admin(
    settings: Settings, now: Callable[[], float] = time.time
) -> AsyncIterator[DeadLetterAdmin]:
    """The tool with its connections. Kafka's errors come out as Weft's.

    Raises:
        Retryable: no broker answers, or the topics are not there.
    """
    from aiokafka.errors import KafkaConnectionError, KafkaError

    async def read(topic: str) -> AsyncIterator[Message]:
        async with Reader(settings, topic) as reader:
            async for message in reader.to_end():
                yield message

    try:
        async with open_consumer(settings) as consumer, open_producer(settings) as sender:
            yield DeadLetterAdmin(read, consumer, sender, now)
    except KafkaConnectionError as error:
        raise no_broker(settings, error) from error
    except KafkaError as error:
        raise classify_kafka(error, "io") from error


def _headers(letter: Letter, record: Message, checked: int, terms: Terms) -> list[tuple[str, bytes]]:
    """The original's headers, its id spelt out, and ours: how often, of which letter, and where it counts."""
    headers = without_errors(record.headers)
    first = place_of(header_text(record, POSITION)) or RecordAddress(letter.topic, letter.partition, letter.offset)
    if not record.header("ce_id"):
        # The id of a record without one derives from its offset, and that changes now.
        context = event_context(replace(record, topic=first.topic, partition=first.partition, offset=first.offset))
        headers.append(("ce_id", context.id.encode()))
    headers += [(LETTER, letter.id.encode()), (REDRIVES, str(letter.redrives + 1).encode())]
    if not terms.as_new:
        headers += [(POSITION, str(first).encode()), (CHECKED, str(checked).encode())]
    return headers


def _mark_of(letter: Letter, done: dict[str, LetterDone]) -> LetterDone | None:
    """The mark that settles a letter, if there is one."""
    mark = done.get(letter.id)
    return mark if settles(None if mark is None else mark.recorded, letter.recorded) else None


def _stripped(record: Message) -> Message:
    """Without its value, in which the shop may stand: its key says it then."""
    return replace(record, key=product_key(record), value=None)


def _known_place(text: str) -> RecordAddress:
    place = place_of(text)
    assert place is not None, text
    return place
