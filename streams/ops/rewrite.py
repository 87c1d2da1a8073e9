"""Asking for captions anew, on purpose: `weft captions rewrite`.

The item of a product is sent once more as it stands, under a new event id, with a header that names the edition; the role
`caption` then writes another text of the same facts, and keeps it (`streams.roles.caption`).

A newer item of the product may come while this one is sent, and must not be covered by it: afterwards the log is read
again, and what was covered is sent once more.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from infra.logs import logger
from infra.settings import Settings
from processors.conditions import Condition, meets
from processors.errors import Poison
from processors.identity import key_of
from processors.offers import offer_of
from processors.said import paths_in
from processors.vocabulary import clean
from streams.contract import codecs, topics
from streams.contract.cloudevents import event_context
from streams.contract.records import Caption, Item
from streams.engine.message import ANSWER, CONTEXT, EDITION, Message, derived_id
from streams.kafka.client import Client, Reader
from streams.kafka.producer import Sender, open_producer

log = logger("weft.rewrite")


class Log(Protocol):
    """The records of `catalog.items`."""

    def to_end(self, since: Mapping[int, int] | None = None) -> AsyncIterator[Message]:
        """Every record to the present end: of all partitions, or of these, from these offsets on."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which products get a new text: those that meet everything that is given.

    Args:
        products: ids; empty: any.
        facets: facet → values, of which one must be the product's.
        writer: "llm" or "template": who wrote the caption of now; "": any.
        status: "ready" or "hold"; "": any.
        conditions: on price, stock and the like.
        shop: whose products; "": those of no shop.
    """

    products: Collection[str] = ()
    facets: Mapping[str, Collection[str]] = field(default_factory=dict)
    writer: str = ""
    status: str = ""
    conditions: Sequence[Condition] = ()
    shop: str = ""

    def holds(self, item: Item, caption: Caption | None) -> bool:
        """Whether a product is meant."""
        if item.incomplete is True:
            return False  # it has no caption
        if item.shop != self.shop or (self.products and item.product_id not in self.products):
            return False
        if self.writer and (caption is None or caption.writer != self.writer):
            return False
        if self.status and (caption is None or caption.status != self.status):
            return False
        known, offer = facets_of(item), offer_of(item.metadata)
        return all(meets(offer, condition) for condition in self.conditions) and all(
            known.get(facet, set()) & {clean(v) for v in values} for facet, values in self.facets.items()
        )


def facets_of(item: Item) -> dict[str, set[str]]:
    """What the shop says and models saw of a product, by facet."""
    said = item.metadata
    found = {name: {clean(value)} for name, value in said.facets.items()}
    found |= {"brand": {clean(said.brand)}, "gender": {clean(said.gender)}, "fabric": {clean(said.fabric)}}
    found["category"] = {clean(said.category), *(clean(garment.category) for garment in item.garments)}
    found["tag"], found["category_path"] = set(map(clean, said.tags)), set(map(clean, paths_in(said.category_path)))
    found.setdefault("colour", set()).update(clean(c.name) for garment in item.garments for c in garment.colours)
    return found


@dataclass(slots=True)
class Rewrite:
    """One run.

    Args:
        items: the log.
        sender: to the broker.
        edition: a name that was not used before: the value of the header.
        header: which: of another text (`EDITION`), or of the same one with other articles (`CONTEXT`).
        captions: as they stand, by the product's key.
        on_asked: called with each product's key.
    """

    items: Log
    sender: Sender
    edition: str
    captions: Mapping[str, Caption] = field(default_factory=dict)
    on_asked: Callable[[str], None] = lambda _: None
    header: str = EDITION

    async def find(self, wanted: Wanted) -> dict[bytes, tuple[int, int]]:
        """Where the newest item of each product that is meant lies: key → (partition, offset)."""
        found: dict[bytes, tuple[int, int]] = {}
        async for record in self.items.to_end():
            if record.key is not None and self._meant(record, wanted):
                found[record.key] = (record.partition, record.offset)
            elif record.key is not None:
                found.pop(record.key, None)
        return found

    def _meant(self, record: Message, wanted: Wanted) -> bool:
        try:
            item = None if record.value is None else codecs.decode_item(record.value)
        except Poison as error:
            log.warning("skipped: not an item", partition=record.partition, offset=record.offset, cause=str(error))
            return False
        return item is not None and wanted.holds(item, self.captions.get(key_of(item.shop, item.product_id)))

    async def ask(self, found: Mapping[bytes, tuple[int, int]]) -> int:
        """Send these items once more; how many."""
        if not found:
            return 0
        asked = 0
        since: dict[int, int] = {}
        for partition, offset in found.values():
            since[partition] = min(offset, since.get(partition, offset))
        async for record in self.items.to_end(since):
            if record.key is not None and found.get(record.key) == (record.partition, record.offset):
                await self._send(record)
                asked += 1
                self.on_asked(record.key.decode("utf-8", "replace"))
        await self._uncover(found, since)
        return asked

    async def _uncover(self, found: Mapping[bytes, tuple[int, int]], since: Mapping[int, int]) -> None:
        """Send again what came between an item and its repetition; once more if that covered something, and so on."""
        while covered := await self._covered(found, since):
            for record in covered:
                await self._send(record)

    async def _covered(self, found: Mapping[bytes, tuple[int, int]], since: Mapping[int, int]) -> Collection[Message]:
        """Records of others that lie before one of ours which says something else."""
        theirs: dict[bytes, Message] = {}
        covered: dict[bytes, Message] = {}
        async for record in self.items.to_end(since):
            key = record.key
            if key is None or key not in found or record.offset <= found[key][1]:
                continue
            covered.pop(key, None)
            if not self._is_ours(record):
                theirs[key] = record
            elif key in theirs and theirs[key].value != record.value:
                covered[key] = theirs[key]
        return covered.values()

    def _is_ours(self, record: Message) -> bool:
        return record.header(self.header) == self.edition.encode()

    async def _send(self, record: Message) -> None:
        own = {"ce_id", self.header, ANSWER, CONTEXT}
        event = derived_id(event_context(record).id, f"{self.header.removeprefix('weft_')}/{self.edition}")
        headers = [(name, value) for name, value in record.headers if name not in own]
        headers += [("ce_id", event.encode()), (self.header, self.edition.encode())]
        delivery = await self.sender.send(
            topics.ITEMS, key=record.key, value=record.value, headers=headers, partition=record.partition
        )
        await delivery


class ItemLog:
    """`Log` on Kafka."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def to_end(self, since: Mapping[int, int] | None = None) -> AsyncIterator[Message]:
        async with Reader(self._settings, topics.ITEMS) as reader:
            async for record in reader.to_end():
                if since is None or record.offset >= since.get(record.partition, record.offset + 1):
                    yield record


async def rewrite(settings: Settings, wanted: Wanted, *, dry_run: bool, on_asked: Callable[[str], None]) -> int:
    """Ask for new captions of the products that are meant; how many. With `dry_run` they are only named.

    Raises:
        Retryable: no broker answers.
    """
    async with Client(settings) as client:
        captions = await client.captions() if wanted.writer or wanted.status else {}
    async with open_producer(settings) as sender:
        run = Rewrite(ItemLog(settings), sender, uuid.uuid4().hex, captions, on_asked)
        found = await run.find(wanted)
        if not dry_run:
            return await run.ask(found)
    for key in found:
        on_asked(key.decode("utf-8", "replace"))
    return len(found)
