"""`shadow`: a caption that was published → what another profile would have said of the product. Read it from top to bottom:

read (is it of the share, is it recent, which item was it made of) → the stages of `rethink` with the other models → the stages of
`caption` with the other writer → compare; told in metrics, published nowhere

What cannot be kept up with is dropped and counted: a caption that has waited on its topic for a minute is not looked at.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import msgspec

from infra.logs import logger
from processors.identity import key_of
from streams.contract import codecs, topics
from streams.contract.records import Caption, Item, Source
from streams.engine.carrying import Carry, carried
from streams.engine.failures import Failure
from streams.engine.message import Message
from streams.engine.observer import Observer
from streams.engine.stages import CpuStage, Done, IoStage, Stage
from streams.roles.caption.neighbours import Neighbourhood
from streams.roles.caption.role import Captioner
from streams.roles.outcome import Unchanged
from streams.roles.rethink import Rethink
from streams.roles.shadow.judging import Agreement, Neighbours, agreement

log = logger("weft.shadow")

LATE_S = 60.0
"""A caption that was published longer ago is dropped."""
WAIT_S = 10.0
"""For the item of a caption: both are read apart."""
ITEMS = 500
"""Items that are kept until their captions come, some 10 KB each."""

Why: TypeAlias = Literal["compared", "late", "unknown", "failed"]


class _About(msgspec.Struct, frozen=True):
    """Of an item, what it was made of."""

    source: Source


_ABOUT = msgspec.msgpack.Decoder(_About)


@dataclass(frozen=True, slots=True)
class Share:
    """A share of the products, by the hash of the key: the same ones always, and those of a smaller share are of a larger one too."""

    share: float

    def holds(self, key: bytes) -> bool:
        """Whether the product of this key is of it."""
        return int.from_bytes(hashlib.sha256(key).digest()[:8], "big") < self.share * 2**64


class Items:
    """The latest items of the share, as their records: a view of `catalog.items` from when the role began.

    Args:
        share: of the products.
        gone: told of products that were deleted.
        most: items.
    """

    def __init__(self, share: Share, gone: Callable[[str], None] = lambda _: None, most: int = ITEMS) -> None:
        self._share, self._gone, self._most = share, gone, most
        self._known: OrderedDict[bytes, tuple[Source, Message]] = OrderedDict()
        self._moved = asyncio.Event()

    def apply(self, message: Message) -> None:
        """Take in one record."""
        key = message.key or b""
        if not self._share.holds(key):
            return
        self._known.pop(key, None)
        if message.value is None:
            self._gone(key.decode("utf-8", "replace"))
            return
        with suppress(msgspec.DecodeError):  # what is no item has no caption
            self._known[key] = (_ABOUT.decode(message.value).source, message)
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        self._moved.set()
        self._moved = asyncio.Event()

    async def of(self, key: bytes, source: Source, limit_s: float) -> Message | None:
        """The item that a caption of this source was made of; None where it does not come, or another has come since."""
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while key not in self._known:
                    await self._moved.wait()
        found = self._known.get(key)
        return found[1] if found is not None and found[0] == source else None


@dataclass(frozen=True, slots=True)
class Live:
    """What was published of a product, and (once it is there) the item of the other profile."""

    caption: Caption
    item: Item
    record: Message
    other: Item | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a product of the share. `agreement`: of one that was compared."""

    why: Why
    agreement: Agreement = field(default_factory=Agreement)


@dataclass(frozen=True, slots=True)
class Shadow:
    """The stages of the role.

    Args:
        share: of the products.
        items: that are known.
        rethink: with the other profile's models; its memo keeps nothing.
        captioner: with the other profile's writer; likewise. Its neighbours are the share's products.
        neighbourhood: of the captioner.
        neighbours: of both profiles.
        now: seconds since 1970.
        wait_s: see `WAIT_S`.
        since: when it began, in these seconds: captions of before are nobody's.
    """

    share: Share
    items: Items
    rethink: Rethink
    captioner: Captioner
    neighbourhood: Neighbourhood
    neighbours: Neighbours
    now: Callable[[], float]
    wait_s: float = WAIT_S
    since: float = 0.0

    def stages(self) -> tuple[Stage, ...]:
        """The role's story."""
        items = carried(self.rethink.stages(), {"read"})
        names = {"read", *(stage.name for stage in items)}
        return (
            IoStage("read", self.read, concurrency=64),
            *items,
            CpuStage("meet", self.meet),
            *carried(self.captioner.stages(), names),
            CpuStage("compare", self.compare),
        )

    async def read(self, message: Message) -> Carry[Live] | Done[Outcome | None]:
        """The item of a caption of the share, to be thought again."""
        key = message.key or b""
        published = message.timestamp_ms / 1000
        if message.value is None or published < self.since or not self.share.holds(key):
            return Done(None)
        if self.now() - published > LATE_S:
            return Done(Outcome("late"))
        caption = codecs.decode_caption(message.value)
        record = await self.items.of(key, caption.lineage.source, self.wait_s)
        if record is None:
            return Done(Outcome("unknown"))
        return Carry(Live(caption, codecs.decode_item(record.value or b""), record), record)

    def meet(self, one: Carry[Live]) -> Carry[Live] | Done[Outcome]:
        """The other profile's item, as the record that its caption is made of."""
        item = one.value
        if not isinstance(item, Item):
            return Done(Outcome("unknown"))  # deleted, or incomplete
        record = one.about.record
        message = Message(topics.ITEMS, record.partition, record.offset, record.key, codecs.encode(item))
        self.neighbourhood.apply(message)
        return Carry(replace(one.about, other=item), message)

    def compare(self, one: Carry[Live]) -> Outcome:
        """Both captions, both items."""
        written = one.value.record if isinstance(one.value, Unchanged) else one.value
        live, other = one.about, one.about.other
        if not isinstance(written, Caption) or other is None:
            return Outcome("unknown")
        near = self.neighbours.agree(key_of(other.shop, other.product_id), live.item, other)
        return Outcome("compared", agreement(live.item, other, live.caption, written, near))


Published: TypeAlias = Sequence[Awaitable[object]]


def telling(observer: Observer) -> Callable[[Message, Outcome | None], Awaitable[Published]]:
    """The `publish` of the pipeline: nothing but metrics."""

    async def publish(_message: Message, outcome: Outcome | None) -> Published:
        if outcome is not None:
            found = outcome.agreement
            observer.shadowed(outcome.why, found.agreed, facts=found.facts, refused=found.refused)
        return []

    return publish


def failing(observer: Observer) -> Callable[[Failure], Awaitable[Published]]:
    """The `dead_letter` of the pipeline: what fails in shadow is no letter, as what was published stands."""

    async def failed(failure: Failure) -> Published:
        key = (failure.message.key or b"").decode("utf-8", "replace")
        log.warning("not compared", product=key, stage=failure.stage, cause=str(failure.error))
        observer.shadowed("failed", {}, facts=(0, 0), refused=(0, 0))
        return []

    return failed
