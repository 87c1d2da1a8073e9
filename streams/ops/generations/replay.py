"""`weft replay`: a topic's range into a generation. Says first what it will read and cost; goes on where it was killed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import msgspec

from infra.settings import Settings
from infra.store import ObjectStore
from models.guard import ignore
from processors.errors import BadSetting
from streams.contract import topics
from streams.contract.records import Generation
from streams.engine.observer import NullObserver
from streams.kafka.consumer import PlainConsumer, open_consumer
from streams.kafka.producer import Sender, open_producer
from streams.ops.generations import lease
from streams.ops.generations.control import now_text, publish
from streams.ops.generations.plan import (
    EARLIEST,
    END,
    Moment,
    Plan,
    Range,
    begins_of,
    ends_of,
    ranges_of,
    some_records,
    trial,
)
from streams.ops.generations.rebuild import Pace, Rebuild, Rebuilt
from streams.ops.generations.think import Thinking, Thought, costs, set_offsets
from streams.search.generations import Generations, checked_name, group_of, key_of, read
from streams.wiring.enriching import Enricher
from streams.wiring.models import Models
from streams.wiring.parts import Parts, open_parts
from streams.wiring.rethink import thinker


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for.

    Args:
        topic: an items topic, or `catalog.uploads`.
        begin: from where.
        stop: up to where; a generation whose replay ends before the end of its topic does not follow it.
        into: the generation.
        profile: whose models think again; "": none, the vectors of the topic are indexed as they are.
        rate: records a second at most; 0: as fast as it goes.
    """

    topic: str
    begin: Moment
    stop: Moment
    into: str
    profile: str = ""
    rate: float = 0.0

    @property
    def thinks(self) -> bool:
        """Whether models are asked: the generation then has items of its own."""
        return bool(self.profile) or self.topic == topics.UPLOADS

    @property
    def text(self) -> str:
        """What tells this replay from another one into the same generation."""
        return f"{self.topic} from {self.begin.text} to {self.stop.text} by {self.profile or 'no profile'}"


@dataclass(frozen=True, slots=True)
class Tell:
    """Where a replay says what it will do, and how far it is."""

    plan: Callable[[Plan], None] = lambda _: None
    progress: Callable[[str], None] = lambda _: None


async def plan(settings: Settings, wanted: Wanted) -> Plan:
    """What a replay would read and cost. Writes nothing. Raises as `replay` does."""
    _check(wanted, await read(settings))
    async with open_consumer(settings) as consumer:
        if not wanted.thinks:
            return await _plan(consumer, wanted, None)
        async with _parts(settings) as parts:
            return await _plan(consumer, wanted, await thinker(parts, wanted.profile))


async def replay(settings: Settings, store: ObjectStore, wanted: Wanted, tell: Tell) -> Rebuilt:
    """Replay, from where an earlier run of the same into the same generation was.

    Raises:
        BadSetting: there is such a generation already, made of something else or built, or no such topic.
        Retryable: broker or store are away, or another process is replaying into it.
    """
    _check(wanted, await read(settings))
    async with lease.held(store, wanted.into) as holding:
        working = asyncio.create_task(_work(settings, store, wanted, tell), name="replay")
        try:
            await asyncio.wait([working, holding], return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                holding.result()
            return working.result()
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)


@asynccontextmanager
async def _parts(settings: Settings) -> AsyncIterator[Parts]:
    """What a role has, for the models and the pipeline of a replay that thinks."""
    models = Models(settings, lambda _: ignore)
    async with open_parts(settings, NullObserver(), models, asyncio.Event(), client="replay") as parts:
        yield parts


def _check(wanted: Wanted, generations: Generations) -> None:
    checked_name(wanted.into)
    if wanted.profile and wanted.topic not in {topics.ITEMS, topics.UPLOADS}:
        raise BadSetting(f"--profile: {wanted.topic} is not thought again, say --topic {topics.ITEMS}")
    if not topics.is_items(wanted.topic) and wanted.topic != topics.UPLOADS:
        raise BadSetting(f"--topic {wanted.topic}: say {topics.ITEMS} or {topics.UPLOADS}")
    known = generations.of(wanted.into)
    if known is not None and known.ready:
        raise BadSetting(
            f"{wanted.into} is built already, and follows its topic: name another, or `weft index drop {wanted.into}` first"
        )


async def _plan(consumer: PlainConsumer, wanted: Wanted, found: Enricher | None) -> Plan:
    ranges, gone, since = await ranges_of(consumer, wanted.topic, wanted.begin, wanted.stop)
    records = sum(one.stop - one.begin for one in ranges)
    costing = None if found is None else await costs(found, consumer, wanted.topic, ranges)
    each = trial(await some_records(consumer, wanted.topic, ranges)) if topics.is_items(wanted.topic) else None
    seconds = None if each is None else records * each + (0.0 if costing is None else costing.seconds(records))
    if seconds is not None and wanted.rate > 0:
        seconds = max(seconds, records / wanted.rate)
    return Plan(
        generation=wanted.into,
        topic=wanted.topic,
        profile=wanted.profile,
        ranges=ranges,
        records=records,
        kept_since=since,
        gone=gone,
        estimated_seconds=None if seconds is None else round(seconds, 1),
        each_seconds=None if each is None else round(each + (costing.each_thought if costing else 0.0), 6),
        memo_looked=costing.looked if costing else 0,
        memo_known=costing.known if costing else 0,
        each_known_seconds=round(costing.each_known, 6) if costing else None,
    )


async def _work(settings: Settings, store: ObjectStore, wanted: Wanted, tell: Tell) -> Rebuilt:
    async with AsyncExitStack() as stack:
        consumer = await stack.enter_async_context(open_consumer(settings))
        sender: Sender = await stack.enter_async_context(open_producer(settings))
        parts = await stack.enter_async_context(_parts(settings)) if wanted.thinks else None
        found = None if parts is None else await thinker(parts, wanted.profile)
        planned = await _plan(consumer, wanted, found)
        tell.plan(planned)
        made = await _begun(settings, consumer, sender, wanted, planned)
        ranges, thought = planned.ranges, Thought()
        started, pace = time.monotonic(), Pace(planned.records, wanted.rate, tell.progress)
        if parts is not None and found is not None:
            thinking = Thinking(parts, made, wanted.topic, pace, tell.progress)
            thought = await thinking.run(found, consumer, _followed(ranges, made, wanted))
            maker = found.enrich.encoder.fingerprint
            made = msgspec.structs.replace(made, lost=thought.lost, encoder=maker)
            ranges, _, _ = await ranges_of(consumer, made.items, Moment(EARLIEST), Moment(END))
            # The shards of what was thought: no model is asked any more.
            pace = Pace(sum(one.stop - one.begin for one in ranges), 0.0, tell.progress)
        work = Rebuild(made, store, consumer, pace)
        await work.run(ranges)
        check_begun(await read(settings), made)
        await publish(sender, _ready(made))
        return _report(wanted, work, thought, started)


def _followed(ranges: tuple[Range, ...], made: Generation, wanted: Wanted) -> tuple[Range, ...]:
    """Up to where the roles follow from, which the first run wrote down."""
    if wanted.topic != topics.ITEMS or wanted.stop.text != END:
        return ranges
    ends = {one.partition: made.follows.get(str(one.partition), one.stop) for one in ranges}
    return tuple(Range(one.partition, one.begin, max(one.begin, ends[one.partition])) for one in ranges)


async def _begun(
    settings: Settings, consumer: PlainConsumer, sender: Sender, wanted: Wanted, found: Plan
) -> Generation:
    """The record of the generation: that of an earlier run, if it was made of the same, or a new one."""
    known = (await read(settings)).of(wanted.into)
    if known is not None:
        if known.asked != wanted.text:
            raise BadSetting(
                f"{wanted.into} was begun with another range, topic or profile ({known.asked}): say the same, name another"
                f" generation, or `weft index drop {wanted.into}` first"
            )
        return known
    made = Generation(
        key_of(wanted.into), wanted.into, "building", items=wanted.topic, asked=wanted.text, at=now_text()
    )
    if wanted.thinks:
        ends = {str(p): end for p, (_, end) in (await consumer.watermarks(topics.ITEMS)).items()}
        if wanted.topic == topics.ITEMS and wanted.stop.text == END:
            ends = {str(one.partition): one.stop for one in found.ranges}
        own = topics.items_of(wanted.into)
        made = msgspec.structs.replace(made, items=own, profile=wanted.profile, follows=ends)
        # A generation of this name that was dropped has left its group's offsets behind.
        begins = {(wanted.topic, one.partition): one.begin for one in found.ranges}
        await set_offsets(
            settings, group_of(wanted.into), {(topics.ITEMS, int(p)): n for p, n in ends.items()} | begins
        )
    else:
        bound = {"begins": begins_of(found.ranges, wanted.begin), "ends": ends_of(found.ranges, wanted.stop)}
        made = msgspec.structs.replace(made, **{name: dict(offsets) for name, offsets in bound.items()})
    await publish(sender, made)
    return made


def check_begun(generations: Generations, made: Generation) -> None:
    """Whether what was built is what is still wanted. It is asked last: a dropped generation would rise without its snapshots.

    Raises:
        BadSetting: it was dropped meanwhile, or dropped and begun with something else.
    """
    known = generations.of(made.generation)
    if known is None or (known.asked, known.at) != (made.asked, made.at):
        raise BadSetting(f"{made.generation} was dropped while it was being built: say the same again to build it")


def _ready(made: Generation) -> Generation:
    return msgspec.structs.replace(made, ready=True, at=now_text())


def _report(wanted: Wanted, work: Rebuild, thought: Thought, started: float) -> Rebuilt:
    seconds = time.monotonic() - started
    read_now = thought.read if wanted.thinks else work.read
    return Rebuilt(
        generation=wanted.into,
        topic=wanted.topic,
        profile=wanted.profile,
        read=read_now,
        refused=work.refused,
        live=work.live,
        digest=work.digest,
        seconds=round(seconds, 3),
        rate=round(read_now / seconds, 1) if seconds else 0.0,
        ready=True,
        thought=thought.thought,
        known=thought.known,
        lost=thought.lost,
    )
