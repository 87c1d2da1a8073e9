"""Which generation answers: swap, roll back, drop. A swap is one record; what must be true before it are its gates."""

from __future__ import annotations

import asyncio
import time

import msgspec

from index_sync.census import BUCKETS
from infra.settings import Settings
from infra.store import ObjectStore
from processors.errors import BadSetting, Retryable
from streams.contract import topics
from streams.contract.probes import CensusAsk
from streams.contract.records import Generation
from streams.kafka.consumer import PlainConsumer, open_consumer
from streams.kafka.producer import open_producer
from streams.ops import admin
from streams.ops.generations.asking import Asking, Counted, open_asking
from streams.ops.generations.control import now_text, pointer, publish
from streams.ops.generations.recaption import begin_anew
from streams.ops.generations.verify import chosen
from streams.search.generations import COLLECTION, Generations, group_of, key_of, read
from streams.search.spaces import Presence, presences

CATCH_UP_S = 30.0
SWITCH_S = 15.0
COUNT_ROUNDS = 5
LET_GO_S = 30.0


class Gate(msgspec.Struct, frozen=True):
    """One thing that must be true before a swap."""

    gate: str
    ok: bool
    detail: str


class Swapped(msgspec.Struct, frozen=True):
    """What `weft index swap|rollback --json` prints. `overridden`: gates that `--force` went over."""

    swapped: bool
    generation: str
    previous: str
    gates: tuple[Gate, ...]
    overridden: tuple[str, ...] = ()
    composes: int = 0  # processes that answer from it now


class Dropped(msgspec.Struct, frozen=True):
    """What `weft index drop --json` prints."""

    generation: str
    objects: int
    topic: str


async def swap(settings: Settings, store: ObjectStore, name: str, *, force: bool = False) -> Swapped:
    """Make a generation the one that answers, if its gates hold or `force` says so.

    Raises:
        BadSetting: there is no such generation, or it is live already.
        Retryable: broker or store are away.
    """
    generations = await read(settings)
    return await _swap(settings, store, generations, chosen(generations, name), force=force)


async def rollback(settings: Settings, store: ObjectStore, *, force: bool = False) -> Swapped:
    """Make the one before the one that answers. Raises as `swap` does."""
    generations = await read(settings)
    if not generations.previous:
        raise BadSetting(f"{generations.live} is the first that answers: there is none to go back to")
    if generations.of(generations.previous) is None:
        raise BadSetting(f"{generations.previous}, which answered before {generations.live}, was dropped")
    return await _swap(settings, store, generations, chosen(generations, generations.previous), force=force)


async def _swap(
    settings: Settings, store: ObjectStore, generations: Generations, made: Generation, *, force: bool
) -> Swapped:
    name, live = made.generation, generations.live
    if name == live:
        raise BadSetting(f"{name} is the one that answers already")
    if not made.ready:
        raise BadSetting(f"{name} is still being built: `weft replay … --into {name}` goes on where it was")
    gates = await gates_of(settings, store, generations, made)
    closed = tuple(gate.gate for gate in gates if not gate.ok)
    if closed and not force:
        return Swapped(swapped=False, generation=live, previous=generations.previous, gates=gates)
    if made.items != generations.items:
        await begin_anew(settings, made.items)
    async with open_producer(settings) as sender:
        await publish(sender, pointer(name, live, generations.answered_before(name)))
    switched = await _switched(store, name)
    return Swapped(swapped=True, generation=name, previous=live, gates=gates, overridden=closed, composes=switched)


async def _switched(store: ObjectStore, name: str) -> int:
    """Wait until every compose process answers from a generation; how many do."""
    until = time.monotonic() + SWITCH_S
    while True:
        there = await asyncio.to_thread(presences, store, time.time())
        switched = sum(one.live == name for one in there)
        if switched == len(there) or time.monotonic() > until:
            return switched
        await asyncio.sleep(0.1)


# ---------------------------------------------------------------- gates


async def gates_of(
    settings: Settings, store: ObjectStore, generations: Generations, made: Generation
) -> tuple[Gate, ...]:
    """What must be true before this generation answers, each with what was found."""
    live = chosen(generations, generations.live)
    async with open_asking(settings) as asking, open_consumer(settings) as consumer:
        caught_up = await _caught_up(settings, asking, consumer, made)
        counts = await _counts(asking, live, made)
    return (caught_up, counts, await _encoders(settings, store, made.generation))


async def _caught_up(settings: Settings, asking: Asking, consumer: PlainConsumer, made: Generation) -> Gate:
    name = "caught up"
    if made.ends:
        return Gate(name, ok=False, detail=f"{made.generation} does not follow its topic: its replay had an end")
    source = await _ends(consumer, topics.ITEMS)
    until, behind = time.monotonic() + CATCH_UP_S, "nobody answered"
    while time.monotonic() < until:
        waiting = 0
        if made.items != topics.ITEMS:
            done = await admin.group_offsets(settings, group_of(made.generation))
            waiting = sum(max(0, end - done.get((topics.ITEMS, p), (0, ""))[0]) for p, end in source.items())
        ends = await _ends(consumer, made.items)
        try:
            found = await asking.census(made.generation, patience_s=5.0)
        except Retryable as error:
            behind = str(error)
            continue
        lag = sum(max(0, end - found[p].next_offset) for p, end in ends.items() if p in found)
        if not waiting and not lag:
            return Gate(name, ok=True, detail=f"{len(found)} shards hold all that was on {made.items} a moment ago")
        behind = f"{lag} records of {made.items} are not in yet"
        if waiting:
            behind += f", {waiting} of {topics.ITEMS} are not thought again yet"
        await asyncio.sleep(0.3)
    return Gate(name, ok=False, detail=behind)


async def _ends(consumer: PlainConsumer, topic: str) -> dict[int, int]:
    return {partition: end for partition, (_, end) in (await consumer.watermarks(topic)).items()}


async def _counts(asking: Asking, live: Generation, made: Generation) -> Gate:
    """Whether the products that only one of them holds are explained. Traffic moves both: looked at several times."""
    name, detail = "counts explained", ""
    try:
        for _ in range(COUNT_ROUNDS):
            missing, extra, held = await compared_ids(asking, live.generation, made.generation)
            detail = (
                f"{held} products; {len(missing)} only in {live.generation}, {len(extra)} only in {made.generation}"
            )
            if len(missing) <= made.lost and len(extra) <= live.lost:
                if missing or extra:
                    detail += " (as many as could not be thought again)"
                return Gate(name, ok=True, detail=detail)
            await asyncio.sleep(0.3)
        shown = ", ".join([*sorted(missing), *sorted(extra)][:5])
    except Retryable as error:
        return Gate(name, ok=False, detail=str(error))
    return Gate(name, ok=False, detail=f"{detail}: {shown}")


async def compared_ids(asking: Asking, one: str, other: str) -> tuple[set[str], set[str], int]:
    """Products that only the one or only the other generation holds, and how many the other one holds."""
    ask = CensusAsk(buckets=True)
    here, there = await asyncio.gather(asking.census(one, ask), asking.census(other, ask))
    only_here: set[str] = set()
    only_there: set[str] = set()
    for partition in here.keys() | there.keys():
        left, right = here.get(partition), there.get(partition)
        differing = _differing(left, right)
        if differing:
            ours = {} if left is None else await asking.members(one, left, differing)
            theirs = {} if right is None else await asking.members(other, right, differing)
            only_here |= ours.keys() - theirs.keys()
            only_there |= theirs.keys() - ours.keys()
    return only_here, only_there, sum(counted.census.live for counted in there.values())


def _differing(left: Counted | None, right: Counted | None) -> list[int]:
    if left is None or right is None:
        return list(range(BUCKETS))
    return [n for n, (a, b) in enumerate(zip(left.census.ids, right.census.ids, strict=True)) if a != b]


async def _encoders(settings: Settings, store: ObjectStore, name: str) -> Gate:
    """Whether every compose process has the encoders loaded: those that say so, against the members of their group."""
    gate = "encoder loaded"
    joined = await admin.group_members(settings, "weft-compose")
    there = await asyncio.to_thread(presences, store, time.time())
    without = [one for one in there if name not in one.loaded]
    if without:
        return Gate(
            gate,
            ok=False,
            detail=f"{len(without)} of {len(there)} compose processes have it not: {_why(without, name)}",
        )
    if len(there) < joined:
        return Gate(
            gate, ok=False, detail=f"{joined} compose processes are running, {len(there)} say that they have it"
        )
    return Gate(gate, ok=True, detail=f"{len(there)} compose processes have it")


def _why(without: list[Presence], name: str) -> str:
    return "; ".join(sorted({one.trouble.get(name, "not yet") for one in without}))


# ---------------------------------------------------------------- drop


async def drop(settings: Settings, store: ObjectStore, name: str) -> Dropped:
    """Let a generation go: its shards, its snapshots, and its own items topic.

    Raises:
        BadSetting: there is none of that name, or it is the one that answers.
        Retryable: broker or store are away, or a worker still holds it.
    """
    generations = await read(settings)
    # One whose drop was interrupted is dropped to the end.
    made = generations.made.get(name) or chosen(generations, name)
    if name == generations.live:
        raise BadSetting(f"{name} is the one that answers: swap another one in first")
    async with open_producer(settings) as sender:
        await publish(sender, Generation(key_of(name), name, "retired", items=made.items, at=now_text()))
    if made.ready:
        await _let_go(settings, name)
    objects = await asyncio.to_thread(_delete_objects, store, name)
    own = made.items if made.items == topics.items_of(name) else ""
    if own:
        await _left(settings, group_of(name))
        await admin.delete_topic(settings, own)
    return Dropped(name, objects, own)


async def _let_go(settings: Settings, name: str) -> None:
    """Wait until no worker answers for it: what one still holds it would write again."""
    until = time.monotonic() + LET_GO_S
    async with open_asking(settings) as asking:
        while time.monotonic() < until:
            if not await asking.anybody(name):
                return
    raise Retryable(f"{name} is still held after {LET_GO_S:.0f} s; say `weft index drop {name}` again")


async def _left(settings: Settings, group: str) -> None:
    """Wait until nobody writes the generation's items any more."""
    until = time.monotonic() + LET_GO_S
    while await admin.group_members(settings, group):
        if time.monotonic() > until:
            raise Retryable(f"{group} still has members after {LET_GO_S:.0f} s; say it again")
        await asyncio.sleep(0.2)


def _delete_objects(store: ObjectStore, name: str) -> int:
    keys = list(store.list(f"index/{COLLECTION}/{name}/"))
    for key in keys:
        store.delete(key)
    return len(keys)
