"""How the role `caption` is built."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from infra.logs import logger
from models.guard import GuardedWriter
from models.ports import GivesWay, view_of
from models.served.writer import ServedWriter
from processors.captions import RULES
from processors.channels import WORDING
from processors.errors import Retryable
from processors.policies import policies_of
from streams.contract import topics
from streams.contract.records import Caption
from streams.contract.version import VERSION
from streams.engine.message import Message, message_bytes
from streams.engine.patience import Patience
from streams.kafka.client import Reader
from streams.kafka.dead_letters import dead_letters
from streams.kafka.pace import BESIDE_S
from streams.roles.caption.cause import cause_of
from streams.roles.caption.kits import load as kits_of
from streams.roles.caption.looking import charge, looking, of_store
from streams.roles.caption.neighbour_snapshot import EVERY_S, NeighbourSnapshots
from streams.roles.caption.neighbours import Neighbourhood
from streams.roles.caption.role import Captioner
from streams.roles.caption.rules import load as hold_rules
from streams.roles.memo import Memo
from streams.roles.outcome import Caused, Causes, Outcome, Unchanged, publisher, publisher_of_all
from streams.roles.standing import Standing, place_of
from streams.search.generations import captions_group
from streams.shelf.live import LiveShelf
from streams.wiring.articles import Following
from streams.wiring.live_items import read_live
from streams.wiring.mending import Held, keep_mended
from streams.wiring.models import calibrations
from streams.wiring.parts import Dealt, Parts, Ready, Role, beside, consume_group, loaded, standing_of
from streams.wiring.urgent import pipelines
from streams.wiring.weights import name_of, writes_by_rule

log = logger("weft.caption")
MANY_READ = 1000
"""Items that a start had to read, from which on it writes a snapshot at once."""
LAST_SAVE_S = 5.0
SHELF_SECONDS = 10.0
"""How often the role looks whether another version of the shelf is live."""
REMEMBERED = 100_000
"""Products of which it is kept in memory what stands: some 200 bytes each."""
CAPTION_WAIT_S = 0.25
"""A language model's batch takes seconds: a quarter of one more for a fuller batch is well spent."""


async def run_caption(parts: Parts, ready: Ready) -> None:
    """The items of the generation that answers → `catalog.captions`."""
    articles = Following(parts)
    async with asyncio.TaskGroup() as tasks:  # the topic is read while the writer is loaded
        tasks.create_task(articles.catch_up(), name="caption:articles")
        writer = await loaded(lambda: parts.models.writer)
    if isinstance(writer, GuardedWriter) and writer.is_broken:
        log.error("writer.broken", what="it fails on its own example; captions are by rule until it writes")
    votes = await asyncio.to_thread(calibrations, parts.settings)
    rules = await asyncio.to_thread(hold_rules, parts.settings.hold_rules)
    kits = await asyncio.to_thread(kits_of, parts.settings.kits)
    policies = policies_of(parts.settings.facet_policy)
    tone = parts.settings.caption_tone
    profile = name_of(parts.settings)

    # Other votes and policies make other evidence, and other captions; so do another tone and other rules.
    memo = Memo(
        parts.store,
        "caption",
        f"{writer.fingerprint} {votes} {policies} {tone} {RULES}",
        in_thread=parts.in_thread,
    )
    neighbours = parts.settings.publish_neighbours
    cause = cause_of([VERSION, WORDING, memo.name, writer.prompt_fingerprint, kits.by_name, rules, neighbours])

    shelf = LiveShelf(parts.store, policies.voted(), in_thread=parts.in_thread)
    await shelf.look()
    patience = Patience(parts.settings.writer_seconds, "writer")

    photos = looking(of_store(parts.store, parts.in_thread), view_of(writer), parts.limits)

    def urgent() -> None:
        if patience.waited_for():  # one that was given up must not run anything any more
            parts.engine.device.give_way()

    def role(neighbourhood: Neighbourhood, standing: Standing | None) -> Captioner:
        return Captioner(
            writer=writer,
            neighbourhood=neighbourhood,
            memo=memo,
            cause=cause,
            causes=None if standing is None else standing.causes,
            calibration=votes,
            batch_items=parts.settings.batch_items,
            batch_wait_s=CAPTION_WAIT_S,
            policies=policies,
            rules=rules,
            kits=kits,
            context=articles.context,
            publish_neighbours=neighbours,
            tone=tone,
            by_rule=writes_by_rule(parts.settings),
            patience=patience,
            shelf=shelf.find,
            refused=parts.engine_of("caption").observer.refused,
            profile=profile,
            look=photos,
            gives_way=isinstance(writer, GivesWay) and writer.give_way_to(urgent),
        )

    held = Held()

    async def read(items: str, stop: asyncio.Event) -> None:
        await _read(replace(parts, stop=stop), ready, items, role, policies.voted(), cause, held)

    work = beside(shelf.follow(SHELF_SECONDS), beside(articles.follow(), read_live(parts, read)))
    if isinstance(writer, ServedWriter) and parts.settings.writer != "template":
        work = beside(keep_mended(parts, writer, held), work)
    await work


async def _read(
    parts: Parts,
    ready: Ready,
    topic: str,
    role: Callable[[Neighbourhood, Standing | None], Captioner],
    voted: Sequence[str],
    cause: Causes,
    held: Held,
) -> None:
    """Caption what lies on an items topic, and what comes, until `parts.stop`."""
    neighbourhood = Neighbourhood(voted)
    observer = parts.engine_of("caption").observer

    def published(outcome: Outcome) -> None:
        if isinstance(outcome, Unchanged | Caused):
            observer.unchanged()
        elif isinstance(outcome, Caption):
            observer.captioned(outcome.writer)

    standing = standing_of(parts, "caption", topics.CAPTIONS, remembered=REMEMBERED)
    topic_id = await parts.looking.topic_id(topic)

    def place(message: Message) -> bytes:
        return place_of(topic_id, message.partition, message.offset, message.timestamp_ms)

    captioner = role(neighbourhood, standing)
    both = pipelines(
        parts,
        "caption",
        topic,
        captioner.stages,
        publish=publisher(
            parts.sender,
            stage="caption",
            topic=topics.CAPTIONS,
            published=published,
            standing=standing,
            cause=cause,
            place=place,
        ),
        publish_all=None if standing is None else publisher_of_all(standing, published, cause, place),
        dead_letter=dead_letters(parts.sender),
        charge=charge if captioner.looks else message_bytes,
    )
    async with Reader(parts.settings, topic, client="caption", pace_s=BESIDE_S) as items:
        known = Known(neighbourhood, items, NeighbourSnapshots(parts.store, voted, time.time, parts.in_thread))
        await known.catch_up()
        watcher = held.before(both.look if standing is None else Dealt(both.look, standing.begin))
        group = captions_group(topic)
        consuming = consume_group(parts, "caption", topic, both.pipeline, ready, watcher, group, pace_s=BESIDE_S / 2)
        await beside(known.follow(), beside(both.look.run(), consuming))
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_SAVE_S):
                await known.save()


class Known:
    """The neighbours, as far as they were read.

    Args:
        neighbourhood: empty.
        items: the topic, open.
        snapshots: where what is known is kept.
    """

    def __init__(self, neighbourhood: Neighbourhood, items: Reader, snapshots: NeighbourSnapshots) -> None:
        self._neighbourhood, self._items, self._snapshots = neighbourhood, items, snapshots
        self._topic_id = ""
        self._offsets: dict[int, int] = {}
        self._saved: dict[int, int] = {}

    async def catch_up(self) -> None:
        """Take in what is there: without it the first captions would know less than they could."""
        self._topic_id = await self._items.topic_id()
        restored = await self._snapshots.take(self._neighbourhood, await self._items.bounds(), self._topic_id)
        self._offsets |= restored.offsets
        self._saved = dict(self._offsets)
        await self._items.read_from(restored.offsets)
        read = 0
        async for raw in self._items.to_end():
            self._apply(raw)
            read += 1
        if read >= MANY_READ:
            await self.save()

    async def follow(self) -> None:
        """Take in what comes, for ever; save it now and then."""
        saved = time.monotonic()
        async for raw in self._items.follow():
            self._apply(raw)
            if time.monotonic() - saved >= EVERY_S:
                await self.save()
                saved = time.monotonic()

    async def save(self) -> None:
        """Keep what is known, where something changed; not for a topic that was made anew meanwhile."""
        if self._offsets == self._saved:
            return
        try:
            same = await self._items.topic_id() == self._topic_id
        except Retryable:
            return  # the broker is away: whoever starts next reads a little more
        if same:
            await self._snapshots.write(self._neighbourhood, self._offsets, self._topic_id)
            self._saved = dict(self._offsets)

    def _apply(self, raw: Message) -> None:
        self._neighbourhood.apply(raw)
        self._offsets[raw.partition] = raw.offset + 1


ROLE = Role("caption", run_caption, ("writer",))
