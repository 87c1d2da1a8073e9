"""Forgetting products: out of the topics, the index, the store, and the captions that cited them; and telling what is left where.

    look (every record of the products, and who cites them) → delete (as any client does: the roles follow) → ask for new captions of
    those that cited them → remove photos and memos → look again, and say of each place what is there and until when

Everything may be repeated: what is gone already is found gone. A run that was ended is finished by the next one.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from time import time

from infra.logs import logger
from infra.settings import Settings
from infra.store import ObjectStore, content_digest
from processors.errors import Retryable
from processors.identity import key_of, split
from streams.contract import topics
from streams.contract.records import ImageRef, Query
from streams.engine.message import Message
from streams.facets import versions
from streams.kafka.client import Client, Reader, new_query_id
from streams.ops import admin, forget_edits
from streams.ops.forget_look import BESIDE, TOPICS, Look, Meant, Seen, meant_by
from streams.ops.forget_memos import NEIGHBOURS, Traces, memos_of, remove
from streams.ops.forget_places import Forgotten, Place, Report, of_topic
from streams.ops.rewrite import Wanted, rewrite
from streams.ops.store_gc import ASIDE
from streams.roles.product_log import holding, without
from streams.roles.products import PREFIX
from streams.search import generations

log = logger("weft.forget")

ANSWERS = (topics.QUERIES, topics.RESULTS, topics.FEEDBACK)
"""What shoppers asked, were answered and did may name any product."""
INDEX_PREFIX = "index/"
DEADLINE_MS = 10_000


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
        looking = await self._look()
        before = looking.seen
        waiting = await self._delete(looking)
        await self._take_away(before)
        citing = await self._rewrite(before)
        removed = await asyncio.to_thread(self._clean, before)
        self.say(f"removed {removed} objects from the store")
        after = (await self._look()).seen
        left = await asyncio.to_thread(self._left, before, after) if prove else ([], [], [])
        places = await self._topics(after, waiting)
        places += [
            await self._index(before, after),
            _photos(before, left[0], prove=prove),
            _memos(left[1], prove=prove),
            forget_edits.place_of(left[2], prove=prove),
        ]
        places += [self._snapshots(), _citing(citing, after, prove=prove)]
        keys = sorted(before.keys | after.keys | {key_of(self.shop, one) for one in self.products})
        return Report(tuple(Forgotten(split(key)[1], split(key)[0]) for key in keys), tuple(places), prove)

    # ------------------------------------------------------------------ steps

    async def _look(self) -> Look:
        looking = Look(self.store, meant_by(self.products, self.shop), self.products, self.shop)
        made = (await generations.read(self.settings)).all()
        self.items = sorted({one.items for one in made if topics.is_items(one.items)} - {topics.ITEMS})
        beside = await admin.list_topics(self.settings, (*BESIDE, *forget_edits.EDITS))
        there = {state.name for state in beside}
        for topic in (*TOPICS, *self.items, *sorted(there)):
            async with Reader(self.settings, topic) as reader:
                async for record in reader.to_end():
                    if topic in forget_edits.EDITS:
                        self._edit(looking.seen, record)
                    else:
                        looking.take(record)
        return looking

    def _edit(self, seen: Seen, record: Message) -> None:
        photos = {digest for address in seen.mine if (digest := content_digest(address))}
        if record.value and forget_edits.names_one(record, self._meant, photos):
            seen.values[record.topic] = seen.values.get(record.topic, 0) + 1

    async def _delete(self, looking: Look) -> set[str]:
        """Ask for the deletion of what is there, and wait for the roles; keys whose deletion has not come through."""
        seen = looking.seen
        live = set().union(*(seen.live.get(topic, set()) for topic in TOPICS[:3]))
        if not live:
            return set()
        waiting = {(topic, key) for topic in (topics.ITEMS, topics.CAPTIONS) for key in live}
        naming = [name for name in BESIDE if seen.live.get(name)]
        async with AsyncExitStack() as stack:
            items, captions, *others = [
                await stack.enter_async_context(Reader(self.settings, topic, from_end=True))
                for topic in (topics.ITEMS, topics.CAPTIONS, *naming)
            ]
            client = await stack.enter_async_context(Client(self.settings))
            await client.delete([split(key)[1] for key in sorted(live)], shop=self.shop)
            self.say(f"asked for {len(live)} products to be deleted")

            try:
                async with asyncio.timeout(self.timeout_s), asyncio.TaskGroup() as group:
                    group.create_task(_follow(items, waiting))
                    group.create_task(_follow(captions, waiting))
                    for reader in others:
                        group.create_task(_settle(reader, looking))
            except TimeoutError:
                late = {BESIDE[name].role for name in naming if seen.live[name]}
                roles = ", ".join([*(("enrich", "caption") if waiting else ()), *sorted(late)])
                self.say(f"not all have followed within {self.timeout_s:g} s: are these roles running? {roles}")
        return {key for _, key in waiting}

    async def _take_away(self, seen: Seen) -> None:
        """Records that name them and that no role takes away: another client wrote them, or wrote them elsewhere."""
        ownerless = seen.ownerless(self._meant)
        if not ownerless:
            return
        async with Client(self.settings) as client:
            for topic, places in ownerless.items():
                await client.take_away(topic, places)
                self.say(f"deleted {len(places)} records of {topic} that belong to no product")

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
        removed += remove(self.store, [*self._memos(seen), *self.store.list(NEIGHBOURS), *self._edits(seen)])
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

    def _edits(self, seen: Seen) -> list[str]:
        return forget_edits.edits_of(
            self.store, self._meant, {digest for key in self._photos(seen) if (digest := content_digest(key))}
        )

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

    def _left(self, before: Seen, after: Seen) -> tuple[list[str], list[str], list[str]]:
        """Photos, memos and edits that are there, looked for by all that was ever known of the products."""
        both = Seen(
            keys=before.keys | after.keys,
            sources=before.sources | after.sources,
            shops=before.shops | after.shops,
            texts=before.texts | after.texts,
            mine=before.mine | after.mine,
            theirs=after.theirs,
        )
        states = holding(self.store, f"{PREFIX}/", self._meant)
        photos = [key for key in self._photos(both) if self.store.exists(key)]
        return photos, [*self._memos(both), *states], self._edits(both)

    # ------------------------------------------------------------------ places

    async def _topics(self, seen: Seen, waiting: Collection[str]) -> list[Place]:
        states = {
            state.name: state
            for state in await admin.list_topics(
                self.settings, (*TOPICS, *BESIDE, *self.items, *ANSWERS, *forget_edits.EDITS)
            )
        }
        found: list[Place] = []
        for name in (*TOPICS, *self.items, *forget_edits.EDITS):
            configs = states[name].configs if name in states else {}
            place = of_topic(name, seen.values.get(name, 0), seen.deletes.get(name, 0), configs, self.now())
            behind = name in {topics.ITEMS, topics.CAPTIONS} and seen.live.get(name)
            if behind and waiting:
                note = "the roles enrich and caption have not worked the deletion off yet"
                place = Place(name, "waits", place.found, None, note)
            found.append(place)
        found += [self._beside(name, seen, states) for name in BESIDE]
        for name in ANSWERS:
            configs = states[name].configs if name in states else {}
            place = of_topic(name, int(name in states and states[name].messages > 0), 0, configs, self.now())
            note = (
                "who asked may have named any product; these records are not looked through"
                if place.found
                else place.note
            )
            found.append(Place(name, place.state, 0, place.until, note))
        return found

    def _beside(self, name: str, seen: Seen, states: Mapping[str, admin.TopicState]) -> Place:
        if left := len(seen.live.get(name, ())):
            role = BESIDE[name].role
            note = (
                f"the role {role} takes away what names products that are gone: start it (weft worker {role}), and look again;"
                " what another client has written there it finds when it starts"
            )
            return Place(name, "kept", left, None, note)
        configs = states[name].configs if name in states else {}
        return of_topic(name, seen.values.get(name, 0), seen.deletes.get(name, 0), configs, self.now())

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


async def _follow(reader: Reader, waiting: set[tuple[str, str]]) -> None:
    """Until all deletions that are waited for on its topic have come."""
    async for record in reader.follow():
        if record.value is None:
            waiting.discard((record.topic, (record.key or b"").decode("utf-8", "replace")))
        if not any(topic == record.topic for topic, _ in waiting):
            return


async def _settle(reader: Reader, looking: Look) -> None:
    """Until no record of its topic names any of them."""
    async for record in reader.follow():
        looking.take(record)
        if not looking.seen.live[record.topic]:
            return


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
