"""`catalog.similar`: the neighbours of each product, kept true as the catalogue moves. Read it from top to bottom:

    load the vectors of the items that are done, and the lists that stand → read on → put each batch → publish the lists that
    changed → note how far

One worker does it for all partitions, the one that holds the first: any product may be the neighbour of any other. How far the lists
are true is kept in the store, once the broker has them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import msgspec
import numpy as np
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from index_sync.similar import Similar, Vectors
from infra.logs import logger
from infra.settings import Settings
from infra.store import NotFound, ObjectStore
from infra.threads import InThread
from processors.errors import Poison, Retryable
from processors.identity import key_of, split
from streams.contract import codecs, topics
from streams.contract.cloudevents import Headers, output_headers
from streams.contract.records import Neighbour, Neighbours
from streams.engine.backoff import Backoff
from streams.engine.message import Message, derived_id
from streams.engine.observer import Observer
from streams.kafka.client import Reader
from streams.kafka.consumer import PlainConsumer, open_consumer
from streams.kafka.pace import BESIDE_S
from streams.kafka.producer import Sender
from streams.roles.index.entries import change_of
from streams.roles.index.trouble import Patience

log = logger("weft.standing")

KEY = "similar/position.json"
FIRST = 0
"""Who holds this partition does it."""
POLL_S = 0.2
BATCH = 500
SAVE_S = 5.0
WORK = "similar"
_NORM = 0.02
_NO_LIST = -1
"""In place of a list's hash, which CPython never makes -1: something else lies under the key."""


class Position(msgspec.Struct, frozen=True):
    """How far the lists on `catalog.similar` are true. `topics`: ids of `catalog.items` and `catalog.similar`; `k`: neighbours a list."""

    topics: tuple[str, str]
    k: int
    offsets: dict[int, int]


@dataclass(slots=True)
class Lists:
    """All lists, those of each encoder apart: their vectors do not compare."""

    k: int
    most: int
    of: dict[str, Similar] = field(default_factory=dict)
    encoder: dict[str, str] = field(default_factory=dict)  # product -> whose vectors it has
    published: dict[str, int] = field(default_factory=dict)  # product -> hash of what stands on the topic
    essence: dict[str, bytes] = field(default_factory=dict)  # product -> what its last record says but its columns

    def __len__(self) -> int:
        return sum(map(len, self.of.values()))

    def load(self, messages: Sequence[Message]) -> None:
        """Vectors alone: their lists are true already."""
        for product, (encoder, views) in self._latest(messages).items():
            self._leave(product, encoder)
            if views is None:
                self.encoder.pop(product, None)
                continue
            similar = self._similar(encoder, views)
            similar.remove(product)
            similar.load({product: views})
            self.encoder[product] = encoder

    def learn(self, standing: Mapping[str, Neighbours | None]) -> set[str]:
        """What stands on the topic (None: no list of that product); whose lists may be others now."""
        lists = {product: given for product, given in standing.items() if given is not None}
        broken = standing.keys() - lists.keys()
        self.published |= dict.fromkeys(broken, _NO_LIST)
        changed = {product for product in standing if product not in self.encoder} | broken
        for encoder, similar in self.of.items():
            own = {
                product: [(key_of(given.shop, one.product_id), one.score) for one in given.neighbours]
                for product, given in lists.items()
                if given.encoder == encoder
            }
            unknown = similar.learn(own)
            similar.renew(unknown)
            changed |= set(unknown)
        for product, given in lists.items():
            self.published[product] = _hash(
                given.encoder, [(key_of(given.shop, n.product_id), n.score) for n in given.neighbours]
            )
        return changed

    def put(self, messages: Sequence[Message]) -> set[str]:
        """Records of `catalog.items`; whose lists may be others now."""
        by_encoder: dict[str, dict[str, Vectors | None]] = {}
        touched: set[str] = set()
        for product, (encoder, views) in self._latest(messages).items():
            touched.add(product)
            before = self.encoder.get(product)
            if before is not None and (views is None or before != encoder):
                by_encoder.setdefault(before, {})[product] = None
                del self.encoder[product]
            if views is not None:
                self._similar(encoder, views)
                by_encoder.setdefault(encoder, {})[product] = views
                self.encoder[product] = encoder
        for encoder, products in by_encoder.items():
            touched |= self.of[encoder].put(products)
        return touched

    def records(self, touched: set[str]) -> list[tuple[str, Neighbours | None]]:
        """What is to be published of these products: nothing of those whose list stands as it is."""
        found: list[tuple[str, Neighbours | None]] = []
        for product in sorted(touched):
            encoder = self.encoder.get(product)
            there = encoder is not None and product in self.of[encoder]
            if not there:
                if self.published.pop(product, None) is not None:
                    found.append((product, None))
                continue
            shown = self.of[str(encoder)].shown(product)
            digest = _hash(str(encoder), shown)
            if self.published.get(product) != digest:
                self.published[product] = digest
                shop, product_id = split(product)
                near = tuple(Neighbour(split(other)[1], score) for other, score in shown)
                found.append((product, Neighbours(product_id, near, str(encoder), shop)))
        return found

    def _latest(self, messages: Sequence[Message]) -> dict[str, tuple[str, Vectors | None]]:
        """Product → encoder and views of its last record, the whole view first; None where it is in no index any more. Of a
        product whose columns only changed, nothing: a price makes none nearer.
        """
        found: dict[str, tuple[str, Vectors | None]] = {}
        for message in messages:
            try:
                change = change_of(message, self._essence_of)
            except Poison:
                continue  # the index writes its dead letter
            if change.columns is not None:
                continue
            entry, product = change.entry, change.product_id
            if entry is None:
                self.essence.pop(product, None)
                found[product] = "", None
                continue
            norms = np.linalg.norm(entry.vectors, axis=1)
            if not bool((np.abs(norms - 1) <= _NORM).all()):
                continue
            self.essence[product] = change.essence
            whole = next((n for n, view in enumerate(entry.payload.views) if view.id == "whole"), 0)
            order = [whole, *(n for n in range(len(entry.vectors)) if n != whole)]
            found[product] = entry.encoder, entry.vectors[order].astype(np.float32)
        return found

    def _essence_of(self, product: str) -> bytes:
        """Of a product that has a list; of one that was left out, nothing: there may be room for it now."""
        encoder = self.encoder.get(product)
        here = encoder is not None and product in self.of[encoder]
        return self.essence.get(product, b"") if here else b""

    def _leave(self, product: str, encoder: str) -> None:
        before = self.encoder.get(product)
        if before is not None and before != encoder:
            self.of[before].remove(product)

    def _similar(self, encoder: str, views: Vectors) -> Similar:
        if encoder not in self.of:
            self.of[encoder] = Similar(views.shape[1], self.k, self.most)
        return self.of[encoder]


def list_in(key: str, value: bytes) -> Neighbours | None:
    """The list in a record of `catalog.similar`; None for what is none, or another product's: anybody may write there."""
    try:
        given = codecs.decode_neighbours(value)
    except Poison:
        return None
    return given if key_of(given.shop, given.product_id) == key else None


def _hash(encoder: str, shown: Sequence[tuple[str, float]]) -> int:
    return hash((encoder, tuple(shown)))


class SimilarJob:
    """Keeps `catalog.similar` while this worker holds the first partition.

    Args:
        settings: where Kafka is; how many neighbours, of how many products.
        store: keeps how far the lists are true.
        sender: for the lists.
        observer: metrics.
        in_thread: runs what waits for the store.
        count: told how many products have lists.
    """

    def __init__(
        self,
        settings: Settings,
        store: ObjectStore,
        sender: Sender,
        observer: Observer,
        in_thread: InThread,
        count: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._settings, self._store, self._sender = settings, store, sender
        self._observer, self._in_thread, self._count = observer, in_thread, count
        self._patience = Patience(observer, Backoff())
        self._working = ThreadPoolExecutor(1, thread_name_prefix="similar")
        self._ours, self._stop = asyncio.Event(), asyncio.Event()
        self._offsets: dict[int, int] = {}
        self._topics = ("", "")

    def held(self, partitions: frozenset[int]) -> None:
        """Told which partitions of the items this worker holds."""
        if FIRST in partitions:
            self._ours.set()
        else:
            self._ours.clear()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set."""
        self._stop, attempt = stop, 0
        stopping = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                ours = asyncio.ensure_future(self._ours.wait())
                await asyncio.wait([ours, stopping], return_when=asyncio.FIRST_COMPLETED)
                ours.cancel()
                if stop.is_set():
                    return
                try:
                    await self._serve()
                    attempt = 0
                except (KafkaError, Retryable, OSError) as error:
                    attempt += 1
                    await self._patience.wait_or_raise("similar", error, attempt)
        finally:
            stopping.cancel()
            self._working.shutdown(wait=False, cancel_futures=True)

    @property
    def _goes_on(self) -> bool:
        return self._ours.is_set() and not self._stop.is_set()

    async def _serve(self) -> None:
        async with open_consumer(self._settings, client="standing", start="none", pace_s=BESIDE_S) as items:
            bounds = await items.watermarks(topics.ITEMS)
            self._topics = (await items.topic_id(topics.ITEMS), await items.topic_id(topics.SIMILAR))
            known = await self._in_thread(self._known)
            lists = Lists(self._settings.similar, self._settings.similar_products)
            start = {p: min(max(known.get(p, low), low), end) for p, (low, end) in bounds.items()}
            await self._load(items, lists, {p: low for p, (low, _) in bounds.items()}, start)
            touched = await self._in_working(lists.learn, await self._standing())
            self._offsets = dict(start)
            await items.assign({(topics.ITEMS, p): offset for p, offset in start.items()})
            await self._publish(lists, touched, None)
            await self._follow(items, lists)

    async def _in_working(self, call: Callable[..., set[str]], *given: object) -> set[str]:
        return await asyncio.get_running_loop().run_in_executor(self._working, call, *given)

    async def _load(self, items: PlainConsumer, lists: Lists, low: Mapping[int, int], to: Mapping[int, int]) -> None:
        """The vectors of all items below `to`."""
        ends = {p: to[p] for p in low if low[p] < to[p]}
        await items.assign({(topics.ITEMS, p): low[p] for p in ends})
        limits = dict(ends)
        while ends and self._goes_on:
            messages = [m for m in await items.poll(POLL_S, max_records=BATCH) if m.offset < limits[m.partition]]
            await asyncio.get_running_loop().run_in_executor(self._working, lists.load, messages)
            self._observer.worked(WORK)
            for partition in list(ends):
                if await items.position((topics.ITEMS, partition)) >= ends[partition]:
                    del ends[partition]

    async def _standing(self) -> dict[str, Neighbours | None]:
        """What stands on the topic, by the product's key."""
        found: dict[str, Neighbours | None] = {}
        async with Reader(self._settings, topics.SIMILAR, client="standing") as reader:
            async for raw in reader.to_end():
                key = (raw.key or b"").decode(errors="replace")
                found.pop(key, None)
                if raw.value is not None:
                    found[key] = list_in(key, raw.value)
        return found

    async def _follow(self, items: PlainConsumer, lists: Lists) -> None:
        loop = asyncio.get_running_loop()
        saved, dirty = loop.time(), True
        while self._goes_on:
            if items.known_partitions(topics.ITEMS) > len(self._offsets):
                return  # partitions were added: begin anew with all of them
            try:
                messages = await items.poll(POLL_S, max_records=BATCH)
            except OffsetOutOfRangeError as error:
                log.warning("similar begins anew", cause=str(error))
                return
            if messages:
                self._observer.working(WORK, waiting=True)
                touched = await self._in_working(lists.put, messages)
                await self._publish(lists, touched, messages[-1])
                self._offsets |= {message.partition: message.offset + 1 for message in messages}
                self._observer.worked(WORK)
                dirty = True
            else:
                self._observer.working(WORK, waiting=False)
            if dirty and loop.time() - saved >= SAVE_S:
                await self._in_thread(self._save)
                saved, dirty = loop.time(), False
        if dirty:
            await self._in_thread(self._save)

    async def _publish(self, lists: Lists, touched: set[str], cause: Message | None) -> None:
        """Hand the lists that changed to the broker; returns when it has them."""
        waiting = []
        for product, record in lists.records(touched):
            value = None if record is None else codecs.encode(record)
            headers = _headers(cause or Message(topics.SIMILAR, 0, 0), product, value)
            waiting.append(await self._sender.send(topics.SIMILAR, key=product.encode(), value=value, headers=headers))
        for found in await asyncio.gather(*waiting, return_exceptions=True):
            if isinstance(found, BaseException):
                raise found
        self._count(len(lists))

    def _known(self) -> dict[int, int]:
        """How far the lists are true; {} where that is not known, or of other topics, or they are of another length."""
        try:
            found = msgspec.json.decode(self._store.get(KEY), type=Position)
        except (NotFound, msgspec.DecodeError):
            return {}
        same = found.topics == self._topics and all(self._topics) and found.k == self._settings.similar
        return found.offsets if same else {}

    def _save(self) -> None:
        position = Position(self._topics, self._settings.similar, dict(self._offsets))
        self._store.put(KEY, msgspec.json.encode(position))


def _headers(cause: Message, product: str, value: bytes | None) -> Headers:
    given = output_headers(cause, stage="standing", topic=topics.SIMILAR)
    step = f"{product}/{hash_of(value)}"
    return tuple((n, derived_id(v.decode(), step).encode()) if n == "ce_id" else (n, v) for n, v in given)


def hash_of(value: bytes | None) -> str:
    """A short name of a value."""
    from hashlib import sha256

    return "" if value is None else sha256(value).hexdigest()[:16]
