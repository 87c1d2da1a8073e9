"""Forgetting products: out of the topics, the index, the store, and the captions that cited them; and telling what is left where.

    look (every record of the products, and who cites them) → delete (as any client does: the roles follow) → ask for new captions of
    those that cited them → remove photos and memos → look again, and say of each place what is there and until when

Everything may be repeated: what is gone already is found gone. A run that was ended is finished by the next one.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import time

from infra.logs import logger
from infra.settings import Settings
from infra.store import ObjectStore
from processors.errors import Poison, Retryable
from processors.identity import key_of, shop_of, split
from streams.contract import codecs, topics
from streams.contract.articles import without_context
from streams.contract.checks import photos_of
from streams.contract.records import Caption, ImageRef, Item, Query
from streams.contract.urgency import said_of
from streams.engine.message import Message
from streams.facets import versions
from streams.kafka.client import Client, Reader, caption_in, new_query_id
from streams.ops import admin
from streams.ops.forget_memos import NEIGHBOURS, Traces, memos_of, remove
from streams.ops.forget_places import Forgotten, Place, Report, of_topic
from streams.ops.rewrite import Wanted, rewrite
from streams.ops.store_gc import ASIDE
from streams.roles.product_log import holding, without
from streams.roles.products import PREFIX
from streams.search import generations

log = logger("weft.forget")

TOPICS = (topics.UPLOADS, topics.ITEMS, topics.CAPTIONS, topics.DEAD_LETTERS)
ANSWERS = (topics.QUERIES, topics.RESULTS)
"""What shoppers asked and were answered may name any product; they are kept for a week, whoever asked."""
INDEX_PREFIX = "index/"
DEADLINE_MS = 10_000


@dataclass(slots=True)
class Seen:
    """What the topics say, in one pass.

    `values`, `deletes`: records of the products, by topic. `live`: keys whose last record has a value, by topic. `sources`: where their
    uploads lie. `mine`, `theirs`: addresses of photos. `citing`: products whose caption names one of them.
    """

    keys: set[str] = field(default_factory=set)
    values: dict[str, int] = field(default_factory=dict)
    deletes: dict[str, int] = field(default_factory=dict)
    live: dict[str, set[str]] = field(default_factory=dict)
    sources: set[tuple[int, int]] = field(default_factory=set)
    shops: dict[tuple[int, int], str] = field(default_factory=dict)
    texts: set[str] = field(default_factory=set)
    mine: set[str] = field(default_factory=set)
    theirs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    citing: dict[str, None] = field(default_factory=dict)


Meant = Callable[[str], bool]
"""Whether a product's key is meant."""


def meant_by(products: Collection[str], shop: str) -> Meant:
    """These products of the shop ("" for none); without any, all of the shop's."""
    keys = {key_of(shop, product_id) for product_id in products}
    return (lambda key: key in keys) if keys else (lambda key: shop_of(key) == shop)


class Look:
    """Reads records one by one into a `Seen`."""

    def __init__(self, store: ObjectStore, meant: Meant, ids: Collection[str], shop: str) -> None:
        self._store, self._meant, self._shop = store, meant, shop
        self._ids = set(ids)
        self.seen = Seen()

    def take(self, record: Message) -> None:
        """The next record of one of `TOPICS`, in the order of its partition; uploads before all others."""
        topic = record.topic
        if topic == topics.TRIPLETS:
            self._triplet(record)
            return
        asked = record if topic != topics.DEAD_LETTERS else _of_letter(record)
        key = said_of(asked).product.decode("utf-8", "replace")
        if topic == topics.UPLOADS:
            self.seen.shops[record.partition, record.offset] = shop_of(key)
        if key and self._meant(key):
            self._mine(topic, key, record)
        elif topics.is_items(topic) or topic == topics.UPLOADS:
            self._theirs(f"{topic} {key}", record)
        elif topic == topics.CAPTIONS:
            self._cites(key, record)

    def _mine(self, topic: str, key: str, record: Message) -> None:
        seen = self.seen
        seen.keys.add(key)
        self._ids.add(split(key)[1])
        counted = seen.values if record.value else seen.deletes
        counted[topic] = counted.get(topic, 0) + 1
        live = seen.live.setdefault(topic, set())
        (live.add if record.value else live.discard)(key)
        if topic == topics.UPLOADS:
            seen.sources.add((record.partition, record.offset))
            seen.mine.update(self._photos_of_upload(record))
        elif topics.is_items(topic) and (item := _item(record)) is not None:
            seen.mine.update(codecs.images_of(item))
            seen.sources.add((item.source.partition, item.source.offset))
        elif topic == topics.CAPTIONS and (caption := caption_in(record)) is not None:
            seen.texts |= {caption.caption, without_context(caption)}

    def _triplet(self, record: Message) -> None:
        """A record of two products; its key says neither, and its deletion is one of ours where the record before it was."""
        name, live = (record.key or b"").decode("utf-8", "replace"), self.seen.live.setdefault(topics.TRIPLETS, set())
        counted = self.seen.deletes if record.value is None else self.seen.values
        ours = name in live
        if record.value is not None:
            with suppress(Poison):
                found = codecs.decode_triplet(record.value)
                ours = any(self._meant(key_of(side.shop, side.product_id)) for side in (found.reference, found.target))
        if ours:
            counted[topics.TRIPLETS] = counted.get(topics.TRIPLETS, 0) + 1
        (live.add if ours and record.value is not None else live.discard)(name)

    def _photos_of_upload(self, record: Message) -> list[str]:
        try:
            upload = codecs.decode_upload(record)
        except Poison:
            return []
        uris = [photo.uri for _, photo in photos_of(upload) if photo.uri] if upload is not None else []
        return [self._store.address(key) for uri in uris if (key := self._store.key_of(uri)) is not None]

    def _theirs(self, key: str, record: Message) -> None:
        if not record.value:
            self.seen.theirs.pop(key, None)
        elif record.topic == topics.UPLOADS:
            # It may still wait for its item. One that gives no photo leaves those of before.
            if photos := self._photos_of_upload(record):
                self.seen.theirs[key] = tuple(photos)
        elif (item := _item(record)) is not None:
            self.seen.theirs[key] = codecs.images_of(item)

    def _cites(self, key: str, record: Message) -> None:
        caption = caption_in(record)
        self.seen.citing.pop(key, None)
        if caption is not None and caption.shop == self._shop and not _cited(caption).isdisjoint(self._ids):
            self.seen.citing[key] = None


def _item(record: Message) -> Item | None:
    try:
        return None if record.value is None else codecs.decode_item(record.value)
    except Poison:
        return None


def _cited(caption: Caption) -> set[str]:
    found = {example.product_id for example in caption.evidence.style_examples}
    for garment in caption.evidence.garments:
        found.update(n for attribute in garment.attributes.values() for n in attribute.neighbours)
    return found


def _of_letter(record: Message) -> Message:
    from dataclasses import replace

    from streams.ops.dlq_letters import read_letter

    return replace(record, topic=read_letter(record).topic)


@dataclass(slots=True)
class Forget:
    """One run.

    Args:
        settings: of the cluster.
        store: the cluster's.
        products: ids; empty: all of the shop.
        shop: whose they are; "" for none.
        say: told how it goes on.
        timeout_s: longest wait for the roles.
    """

    settings: Settings
    store: ObjectStore
    products: Sequence[str]
    shop: str
    say: Callable[[str], None] = lambda _: None
    timeout_s: float = 60.0
    now: Callable[[], float] = time
    items: list[str] = field(default_factory=list)
    """The items topics of generations of the index that have one of their own; the role enrich keeps them as `catalog.items`."""

    async def run(self, *, prove: bool) -> Report:
        """Forget them. `prove`: look again at every place, instead of taking what was done for done.

        Raises:
            Retryable: no broker, or no store, answers.
        """
        before = await self._look()
        waiting = await self._delete(before)
        citing = await self._rewrite(before)
        removed = await asyncio.to_thread(self._clean, before)
        self.say(f"removed {removed} objects from the store")
        after = await self._look()
        left = await asyncio.to_thread(self._left, before, after) if prove else ([], [])
        places = await self._topics(after, waiting)
        places += [
            await self._index(before, after),
            _photos(before, left[0], prove=prove),
            _memos(left[1], prove=prove),
        ]
        places += [self._snapshots(), _citing(citing, after, prove=prove)]
        keys = sorted(before.keys | after.keys | {key_of(self.shop, one) for one in self.products})
        return Report(tuple(Forgotten(split(key)[1], split(key)[0]) for key in keys), tuple(places), prove)

    # ------------------------------------------------------------------ steps

    async def _look(self) -> Seen:
        looking = Look(self.store, meant_by(self.products, self.shop), self.products, self.shop)
        made = (await generations.read(self.settings)).all()
        self.items = sorted({one.items for one in made if topics.is_items(one.items)} - {topics.ITEMS})
        there = {state.name for state in await admin.list_topics(self.settings, (topics.TRIPLETS,))}
        for topic in (*TOPICS, *self.items, *sorted(there)):
            async with Reader(self.settings, topic) as reader:
                async for record in reader.to_end():
                    looking.take(record)
        return looking.seen

    async def _delete(self, seen: Seen) -> set[str]:
        """Ask for the deletion of what is there, and wait for the roles; keys whose deletion has not come through."""
        live = set().union(*(seen.live.get(topic, set()) for topic in TOPICS[:3]))
        if not live:
            return set()
        waiting = {(topic, key) for topic in (topics.ITEMS, topics.CAPTIONS) for key in live}
        async with (
            Reader(self.settings, topics.ITEMS, from_end=True) as items,
            Reader(self.settings, topics.CAPTIONS, from_end=True) as captions,
            Client(self.settings) as client,
        ):
            await client.delete([split(key)[1] for key in sorted(live)], shop=self.shop)
            self.say(f"asked for {len(live)} products to be deleted")

            async def follow(reader: Reader) -> None:
                async for record in reader.follow():
                    if record.value is None:
                        waiting.discard((record.topic, (record.key or b"").decode("utf-8", "replace")))
                    if not any(topic == record.topic for topic, _ in waiting):
                        return

            try:
                async with asyncio.timeout(self.timeout_s), asyncio.TaskGroup() as group:
                    group.create_task(follow(items))
                    group.create_task(follow(captions))
            except TimeoutError:
                self.say(
                    f"the roles enrich and caption have not followed within {self.timeout_s:g} s: are they running?"
                )
        return {key for _, key in waiting}

    async def _rewrite(self, seen: Seen) -> set[str]:
        """Ask for other captions of who cites them."""
        citing = set(seen.citing)
        if citing:
            ids = [split(key)[1] for key in citing]
            await rewrite(self.settings, Wanted(ids, shop=self.shop), dry_run=False, on_asked=lambda _: None)
            self.say(f"asked for new captions of {len(citing)} products that cited them")
        return citing

    def _clean(self, seen: Seen) -> int:
        """Photos that no other product has, memos, and the snapshot of the labelled products (it is made anew)."""
        photos = self._photos(seen)
        # First what the products' own objects are folded from.
        removed = without(self.store, f"{PREFIX}/", self._meant)
        removed += remove(self.store, [*self._memos(seen), *self.store.list(NEIGHBOURS)])
        # A clean-up of the store that was ended may have left copies.
        aside = [f"{ASIDE}{key}" for key in photos]
        return removed + remove(self.store, [key for key in (*photos, *aside) if self.store.exists(key)])

    @property
    def _meant(self) -> Meant:
        return meant_by(self.products, self.shop)

    def _photos(self, seen: Seen) -> list[str]:
        others = {image for images in seen.theirs.values() for image in images}
        keys = {self.store.key_of(address) for address in seen.mine - others if address}
        return sorted(key for key in keys if key is not None)

    def _memos(self, seen: Seen) -> list[str]:
        keys = seen.keys | {key_of(self.shop, one) for one in self.products}
        return memos_of(
            self.store,
            Traces(
                sources=seen.sources,
                texts=seen.texts,
                digests=[key.rpartition("/")[2].partition(".")[0] for key in self._photos(seen)],
                cited={split(key)[1] for key in keys},
                shop=self.shop,
                shops=seen.shops,
                standing={hashlib.sha256(key.encode()).hexdigest() for key in keys},
                versions=versions.listed(self.store),
            ),
        )

    def _left(self, before: Seen, after: Seen) -> tuple[list[str], list[str]]:
        """Photos and memos that are there, looked for by all that was ever known of the products."""
        both = Seen(
            keys=before.keys | after.keys,
            sources=before.sources | after.sources,
            shops=before.shops | after.shops,
            texts=before.texts | after.texts,
            mine=before.mine | after.mine,
            theirs=after.theirs,
        )
        states = holding(self.store, f"{PREFIX}/", self._meant)
        return [key for key in self._photos(both) if self.store.exists(key)], [*self._memos(both), *states]

    # ------------------------------------------------------------------ places

    async def _topics(self, seen: Seen, waiting: Collection[str]) -> list[Place]:
        states = {
            state.name: state
            for state in await admin.list_topics(self.settings, (*TOPICS, topics.TRIPLETS, *self.items, *ANSWERS))
        }
        found: list[Place] = []
        for name in (*TOPICS, *self.items):
            configs = states[name].configs if name in states else {}
            place = of_topic(name, seen.values.get(name, 0), seen.deletes.get(name, 0), configs, self.now())
            behind = name in {topics.ITEMS, topics.CAPTIONS} and seen.live.get(name)
            if behind and waiting:
                note = "the roles enrich and caption have not worked the deletion off yet"
                place = Place(name, "waits", place.found, None, note)
            found.append(place)
        if seen.live.get(topics.TRIPLETS) and (left := len(seen.live[topics.TRIPLETS])):
            note = "the role triplets deletes what names products that are gone: start it (weft worker triplets), and look again"
            found.append(Place(topics.TRIPLETS, "kept", left, None, note))
        else:
            configs = states[topics.TRIPLETS].configs if topics.TRIPLETS in states else {}
            values, deletes = (each.get(topics.TRIPLETS, 0) for each in (seen.values, seen.deletes))
            found.append(of_topic(topics.TRIPLETS, values, deletes, configs, self.now()))
        for name in ANSWERS:
            configs = states[name].configs if name in states else {}
            place = of_topic(name, int(name in states and states[name].messages > 0), 0, configs, self.now())
            note = (
                "queries and results may name any product; they are not looked through" if place.found else place.note
            )
            found.append(Place(name, place.state, 0, place.until, note))
        return found

    async def _index(self, before: Seen, after: Seen) -> Place:
        """By asking for each of them, as a shopper would."""
        found = 0
        ids = sorted({split(key)[1] for key in before.keys | after.keys} | set(self.products))
        async with Client(self.settings) as client:
            offsets = {name: offset for name, offset in (await client.end_offsets(topics.ITEMS)).items() if offset}
            for product_id in ids:
                asked = Query(
                    query_id=new_query_id(),
                    image=ImageRef(product_id=product_id),
                    deadline_ms=DEADLINE_MS,
                    min_offsets=offsets,
                    shop=self.shop or None,
                )
                try:
                    result = await client.query(asked)
                except Retryable:
                    return Place(
                        "index", "waits", 0, None, "the roles index and compose do not answer: are they running?"
                    )
                if result.error is None:
                    found += 1
                elif result.error.code != "unknown_product" or "in time" in result.error.message:
                    return Place("index", "waits", found, None, result.error.message)
        return Place("index", "kept" if found else "gone", found, note="still found" if found else "")

    def _snapshots(self) -> Place:
        """The index keeps its rows until their segment is rebuilt; they are marked as deleted, and never found."""
        name = "index snapshots"
        if next(iter(self.store.list(INDEX_PREFIX)), None) is None:
            return Place(name, "gone")
        note = (
            "rows that are deleted stay, unsearchable, in the segment that holds them; to be rid of them, build the index anew:"
            " weft index build NAME, weft index swap NAME, and weft index drop the old one"
        )
        return Place(name, "kept", 0, None, note)


def _photos(before: Seen, left: Sequence[str], *, prove: bool) -> Place:
    shared = len(before.mine & {image for images in before.theirs.values() for image in images})
    note = f"{shared} photos are those of other products, too, and stay for these" if shared else ""
    return Place("photos", "kept" if prove and left else "gone", len(left), None, note)


def _memos(left: Sequence[str], *, prove: bool) -> Place:
    note = "written while they were removed: run it again" if left else ""
    return Place("memos", "kept" if prove and left else "gone", len(left), None, note)


def _citing(asked: Collection[str], after: Seen, *, prove: bool) -> Place:
    left = after.citing if prove else dict.fromkeys(asked)
    if not left:
        return Place("captions that cited it", "gone")
    return Place(
        "captions that cited it", "waits", len(left), None, "the role caption writes others: look again with --prove"
    )


def counted(report: Report) -> Mapping[str, int]:
    """How many places are in which state."""
    found = dict.fromkeys(("gone", "waits", "kept"), 0)
    for place in report.places:
        found[place.state] += 1
    return found
