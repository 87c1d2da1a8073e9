"""Captions that stand in for a language model that was away are asked for again, by themselves, once it answers.

Which they are says `catalog.captions`: so they are found after a restart as well. The newest item of such a product is sent once more as it
stands, few at a time. A newer item that slips in before that one is sent again behind it, as `streams.ops.rewrite` does.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from infra.logs import logger
from processors.errors import Poison
from processors.refusals import FAILED, HUNG
from streams.contract import codecs, topics
from streams.contract.cloudevents import event_context
from streams.contract.records import Caption
from streams.engine.message import AGAIN, ANSWER, CONTEXT, EDITION, Message, derived_id
from streams.kafka.producer import Sender

log = logger("weft.caption")

MOST_FALLEN = 500_000
"""Products that are kept at once, some 150 bytes each; those beyond are found again when the role starts anew."""
LOOK_S = 1.0
ROUND_S = 30.0
"""Between two readings of the items topic, unless the model was away between them; and always `SCAN_SHARE` times as long as the last one took."""
SCAN_SHARE = 20
AGAIN_S = 3600.0
"""A product whose caption was written by rule once more, though the server answers, waits so long."""
SEEN_LOOKS = 300
OVERDUE_S = 600.0
"""An item whose caption has not come after so long is not waited for any more."""


def has_fallen(caption: Caption) -> bool:
    """Whether a caption stands in for a model that failed or did not answer."""
    refused = caption.provenance.refused if caption.provenance is not None else ()
    return caption.writer == "template" and bool(refused) and bool({FAILED, HUNG} & set(refused[-1]))


class Fallen:
    """The products whose captions stand in for a model, as the topic says. Feed it every record of `catalog.captions`.

    Args:
        most: see `MOST_FALLEN`.
    """

    def __init__(self, most: int = MOST_FALLEN) -> None:
        self._most = most
        self._keys: set[bytes] = set()
        self.seen: Callable[[bytes], None] = lambda _: None
        """Told of the product of each record."""

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: bytes) -> bool:
        return key in self._keys

    def all(self) -> Collection[bytes]:
        """Their keys, now."""
        return tuple(self._keys)

    def apply(self, record: Message) -> None:
        """Take one in."""
        if record.key is None:
            return
        if self._is(record.value):
            if len(self._keys) < self._most:
                self._keys.add(record.key)
        else:
            self._keys.discard(record.key)
        self.seen(record.key)

    def _is(self, value: bytes | None) -> bool:
        # A caption is decoded only where it may be one: most are a model's.
        if value is None or b'"template"' not in value or not (b'"failed"' in value or b'"hung"' in value):
            return False
        try:
            return has_fallen(codecs.decode_caption(value))
        except Poison:
            return False


class Items(Protocol):
    """`catalog.items`, open."""

    def to_end(self) -> AsyncIterator[Message]:
        """What lies there, of the partitions that were asked for."""
        ...

    def follow(self) -> AsyncIterator[Message]:
        """What comes behind it, for ever."""
        ...

    async def at(self, partition: int, offset: int) -> Message | None:
        """One record; None where it is not kept any more."""
        ...


OpenItems = Callable[[Collection[int]], AbstractAsyncContextManager[Items]]
"""Opens the topic, reading these partitions."""


@dataclass(slots=True)
class Mending:
    """Asks for captions again while the model answers.

    Args:
        fallen: fed by another task.
        items: see `OpenItems`.
        sender: to the broker.
        answers: whether the model does, now.
        held: partitions of items whose captions this worker makes.
        a_minute: most items that are sent in a minute.
        at_once: most whose captions have not come yet.
        now: monotonic seconds.
        sleep: waits.
        told: called with how many captions wait.
    """

    fallen: Fallen
    items: OpenItems
    sender: Sender
    answers: Callable[[], bool]
    held: Callable[[], Collection[int]]
    a_minute: float
    at_once: int
    now: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    told: Callable[[int], None] = lambda _: None
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    _tried: dict[bytes, float] = field(default_factory=dict)
    _out: dict[bytes, float] = field(default_factory=dict)
    _places: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    _sent: dict[bytes, int] = field(default_factory=dict)
    _later: dict[bytes, Message] = field(default_factory=dict)
    _covered: list[Message] = field(default_factory=list)
    _next: float = 0.0
    _rested: float = 0.0

    async def run(self) -> None:
        """For ever."""
        self.fallen.seen = self._came
        while True:
            await self.sleep(LOOK_S)
            await self.look()

    async def look(self) -> int:
        """Ask for those that are due, if the model answers; how many."""
        self.told(len(self.fallen))
        if not self.answers():
            # What fell back with it is to be tried at once when it answers.
            self._tried.clear()
            self._next = min(self._next, self._rested)
            return 0
        due, held = self._due(), frozenset(self.held())
        if not due or not held or self.now() < self._next:
            return 0
        began = self.now()
        async with self.items(held) as items:
            await self._find(items, due)
            self._rested = self.now() + SCAN_SHARE * (self.now() - began)
            self._next = max(self._rested, self.now() + ROUND_S)
            async with asyncio.TaskGroup() as tasks:
                following = tasks.create_task(self._follow(items), name="caption:mending")
                asked = await self._ask(items)
                following.cancel()
        for key in due:
            self._tried.setdefault(key, self.now())  # another worker's, or one whose item is gone
        if asked:
            log.info("captions.again", products=asked, waiting=len(self.fallen))
        return asked

    def _due(self) -> frozenset[bytes]:
        now = self.now()
        self._tried = {key: at for key, at in self._tried.items() if key in self.fallen and now - at < AGAIN_S}
        return frozenset(key for key in self.fallen.all() if key not in self._tried)

    def _came(self, key: bytes) -> None:
        self._out.pop(key, None)

    # ------------------------------------------------------------------ one round

    async def _find(self, items: Items, due: frozenset[bytes]) -> None:
        """Where the newest item of each lies."""
        self._places, self._sent, self._later, self._covered = {}, {}, {}, []
        async for record in items.to_end():
            if record.key in due:
                self._note(record)

    async def _follow(self, items: Items) -> None:
        """Keep that true; and see what an item that was sent again has covered."""
        async for record in items.follow():
            if record.key in self._places:
                self._note(record)
            elif record.key in self._sent:
                self._check(record)

    def _note(self, record: Message) -> None:
        assert record.key is not None
        if record.value is None:
            self._places.pop(record.key, None)
        else:
            self._places[record.key] = (record.partition, record.offset)

    def _check(self, record: Message) -> None:
        """A record of a product whose item was sent again."""
        key = record.key
        assert key is not None
        if record.offset <= self._sent[key]:
            return
        if not self._is_ours(record):
            self._later[key] = record
            return
        theirs = self._later.pop(key, None)
        if theirs is not None and theirs.value != record.value:
            self._covered.append(theirs)
            self._sent[key] = record.offset
        else:
            del self._sent[key]

    async def _ask(self, items: Items) -> int:
        asked = 0
        for key, _ in sorted(self._places.items(), key=lambda one: one[1]):
            if not await self._turn():
                break
            place = self._places.pop(key, None)
            if place is None or key not in self.fallen or place[0] not in self.held():
                continue
            self._sent[key] = place[1]  # from now on what slips in is seen
            record = await items.at(*place)
            if record is None or record.key != key:
                del self._sent[key]
                continue
            self._tried[key] = self._out[key] = self.now()
            await self._send(record)
            asked += 1
        for _ in range(SEEN_LOOKS):  # our own records come back within moments
            await self._uncover()
            if not self._sent:
                break
            await self.sleep(LOOK_S / 10)
        return asked

    async def _turn(self) -> bool:
        """Wait until one more may be sent; False once the model does not answer."""
        await self.sleep(60.0 / self.a_minute)
        while self.answers():
            await self._uncover()
            self._out = {key: at for key, at in self._out.items() if self.now() - at < OVERDUE_S}
            if len(self._out) < self.at_once:
                return True
            await self.sleep(LOOK_S / 10)
        return False

    async def _uncover(self) -> None:
        while self._covered:
            await self._send(self._covered.pop(0))

    def _is_ours(self, record: Message) -> bool:
        return record.header(AGAIN) == self.mark.encode()

    async def _send(self, record: Message) -> None:
        own = {"ce_id", AGAIN, ANSWER, CONTEXT, EDITION}
        event = derived_id(event_context(record).id, f"again/{self.mark}")
        headers = [(name, value) for name, value in record.headers if name not in own]
        headers += [("ce_id", event.encode()), (AGAIN, self.mark.encode())]
        delivery = await self.sender.send(
            topics.ITEMS, key=record.key, value=record.value, headers=headers, partition=record.partition
        )
        await delivery


class Told:
    """Tells a person once of a model that does not answer, and once that it does again.

    Args:
        trouble: shows a sentence from now on.
        settled: shows it no more.
    """

    def __init__(self, trouble: Callable[[str], None], settled: Callable[[str], None]) -> None:
        self._trouble, self._settled = trouble, settled
        self._said = ""

    def look(self, why: str) -> None:
        """`why`: of the model, "" while it answers."""
        said = f"the language model is not asked, captions are written by rule until it answers: {why}" if why else ""
        if said == self._said:
            return
        if self._said:
            self._settled(self._said)
        if said:
            log.error("writer.away", cause=why)
            self._trouble(said)
        else:
            log.info("writer.back")
        self._said = said
