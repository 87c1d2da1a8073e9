"""Copies of shards that other workers own: kept current in memory, answering where the owner is silent, ready to be taken over.

A copy begins with the owner's last snapshot and reads the same topic, without the group and without a claim: it writes
nothing. It sees every probe. Where nobody has answered for its shard within half a second it answers; from then on at once,
until the owner is heard again. So an owner that was killed costs one query half a second, and not the ten seconds after
which its group notices. When the group deals the partition to this worker, the copy is claimed and goes on.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from hashlib import blake2b
from itertools import count
from typing import NamedTuple

from aiokafka.errors import KafkaError

from index_sync.recovery import LogBounds, tail
from infra.logs import logger
from infra.settings import Settings
from infra.store import ObjectStore
from infra.threads import InThread
from processors.errors import Retryable
from streams.contract import topics
from streams.contract.probes import LookupProbe, Probe
from streams.contract.records import Generation
from streams.engine.backoff import Backoff
from streams.engine.message import Message
from streams.engine.observer import Observer
from streams.kafka.consumer import PlainConsumer, open_consumer
from streams.roles.index.following import Following
from streams.roles.index.probes import MOST_OPEN, ProbeAnswerer, asked
from streams.roles.index.shards import IndexConfig, OwnedShard, StoodShard, apply_messages
from streams.roles.index.silence import Silence
from streams.roles.index.trouble import Patience

SILENCE_SECONDS = 0.5
"""Without an answer of a shard's owner, until its standby answers; the next standby of it waits as long again."""
MEMBERS_SECONDS = 1.0
POLL_S = 0.2
MOST_FAILURES = 1000
log = logger("weft.index")


class _Waiting(NamedTuple):
    """A probe that came at `at`, and for which partitions it is looked at again when it is `due`."""

    due: float
    order: int
    at: float
    message: Message
    probe: Probe
    partitions: set[int]


class StandbyKeeper:
    """Keeps copies of the shards of one generation. See `ShardOwner`, whose shards these become.

    Args:
        config: of the worker, of this generation.
        store: where the owners' snapshots lie.
        writing: executor of exactly one thread, that of the shards that are owned.
        observer: metrics.
        now: seconds since the epoch.
        backoff: between attempts at a store that is away.
        in_thread: runs what waits for the store.
        dealt: whether a partition is this worker's now, and its shard not taken over yet.
    """

    def __init__(
        self,
        config: IndexConfig,
        store: ObjectStore,
        writing: Executor,
        observer: Observer,
        now: Callable[[], float],
        backoff: Backoff,
        in_thread: InThread,
        dealt: Callable[[int], bool],
    ) -> None:
        self._config, self._store, self._writing, self._observer = config, store, writing, observer
        self._now, self._backoff, self._in_thread, self._dealt = now, backoff, in_thread, dealt
        self.kept: dict[int, StoodShard] = {}
        """No longer followed, because the partition is this worker's now: until they are taken over."""

    async def take_over(
        self,
        partition: int,
        bounds: LogBounds,
        wanted: Callable[[], bool],
        between: Callable[[], None] | None = None,
    ) -> StoodShard | None:
        """A copy of the owner's last snapshot; None when it is not `wanted` any more meanwhile."""
        config, attempt = self._config, 0
        while wanted():
            try:
                found = await self._in_thread(
                    tail,
                    self._store,
                    config.place(partition),
                    lambda: config.blank(partition),
                    bounds,
                    now=self._now(),
                    segment_rows=config.segment_rows,
                    delete_retention_seconds=config.delete_retention_seconds,
                    between=between,
                )
            except Retryable as error:
                attempt += 1
                self._observer.retried("standby", type(error).__name__)
                await asyncio.sleep(self._backoff.delay(attempt))
                continue
            log.info(
                "stands by", partition=partition, generation=config.generation, live=found.shard.live, reason=found.told
            )
            return StoodShard(
                found.shard, None, bounds.end, bounds.topic_id, reads_from=found.seek, base=found.manifest
            )
        return None

    async def apply(self, held: OwnedShard, messages: Sequence[Message], next_offset: int) -> None:
        """Make records searchable in the copy. What can never be is the owner's to report."""
        async with held.applying:
            if held.released:
                return
            loop = asyncio.get_running_loop()
            failures = await loop.run_in_executor(self._writing, apply_messages, held.shard, messages, next_offset)
            held.wake()
            if isinstance(held, StoodShard):
                held.failures += failures
                held.owing = held.owing or len(held.failures) > MOST_FAILURES
                del held.failures[MOST_FAILURES:]

    async def release(self, held: OwnedShard, *, patience: float) -> None:  # noqa: ARG002 - nothing is saved
        """The copy is not followed any more: dropped, or kept where it is about to be taken over."""
        if isinstance(held, StoodShard) and self._dealt(held.partition):
            self.kept[held.partition] = held
            return
        held.released = True
        held.wake()

    def forget_parked(self, keep: set[int]) -> None:  # noqa: ARG002 - what is kept depends on what is dealt
        """Free the memory of copies that nobody takes over."""
        for partition in [partition for partition in self.kept if not self._dealt(partition)]:
            self.kept.pop(partition).released = True


class Standbys:
    """The copies that a worker holds, of all generations, and when they answer.

    Args:
        config: of the worker.
        settings: where Kafka is.
        keeper: makes the keeper of a generation's copies.
        patience: between attempts at what is away.
        assigned: partition → token of its assignment, as the group deals it.
        leaving: shards that this worker has let go of, and that nobody has taken over yet.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        config: IndexConfig,
        settings: Settings,
        keeper: Callable[[Generation], StandbyKeeper],
        patience: Patience,
        assigned: Callable[[], Mapping[int, object]],
        leaving: Callable[[], Sequence[OwnedShard]],
        now: Callable[[], float],
    ) -> None:
        self._config, self._settings, self._keeper, self._patience = config, settings, keeper, patience
        self._assigned, self._leaving, self._now = assigned, leaving, now
        self._wanted: dict[int, object] = {}
        self._ranks: dict[int, int] = {}
        self._copies: dict[str, tuple[Following, StandbyKeeper]] = {}
        self._clock = asyncio.get_running_loop().time
        self._silence = Silence(self._clock)
        self._waiting: list[_Waiting] = []
        self._order = count()
        self._more = asyncio.Event()

    # ------------------------------------------------------------------ copies

    def serve(self, made: Mapping[str, Generation], tasks: asyncio.TaskGroup, stop: asyncio.Event) -> None:
        """Stand by for the shards of these generations, and of no others."""
        for name in [name for name in self._copies if name not in made]:
            following, keeper = self._copies.pop(name)
            keeper.forget_parked(set())
            tasks.create_task(following.end())
        for name, one in made.items():
            if name not in self._copies:
                keeper = self._keeper(one)
                following = Following(
                    one, keeper, self._settings, self._patience, _nobody, self._to_follow, lambda: None
                )
                self._copies[name] = (following, keeper)
                tasks.create_task(following.run(stop), name=f"index:standby:{name}")

    async def take_out(self, generation: str, partition: int) -> StoodShard | None:
        """Give a copy out to be owned: nobody here writes to it or answers from it any more."""
        following, keeper = self._copies.get(generation, (None, None))
        if following is None or keeper is None:
            return None
        held = keeper.kept.pop(partition, None) or following.held.pop(partition, None)
        if not isinstance(held, StoodShard):
            return None
        async with held.applying:
            held.released = True
            held.wake()
        return held

    def held(self) -> Iterator[OwnedShard]:
        """Every copy."""
        for following, keeper in self._copies.values():
            yield from [*following.held.values(), *keeper.kept.values()]

    def start_over(self, topic_id: str) -> None:
        """`catalog.items` has this id now: copies of one that was called so before are of other records."""
        for following, keeper in self._copies.values():
            others = [p for p, one in following.held.items() if one.topic_id and one.topic_id != topic_id]
            for partition in others if following.made.items == topics.ITEMS else ():
                self._silence.forget(following.made.generation, partition)
                following.held.pop(partition).released = True
            keeper.forget_parked(set())

    async def choose(self, consumer: PlainConsumer, answerer: ProbeAnswerer, stop: asyncio.Event) -> None:
        """Find out again and again for which partitions to stand by."""
        asleep = self._now()
        while not stop.is_set():
            if self._now() - asleep > self._config.delete_retention_seconds / 2:
                # Deletes that came meanwhile may not be kept any more.
                log.warning("the worker slept for long, its copies start over")
                self._wanted = {}
            asleep = self._now()
            try:
                members = await consumer.members(topics.ITEMS)
            except (KafkaError, Retryable, OSError) as error:
                members = None
                log.debug("the group does not say who is in it", cause=str(error))
            partitions = consumer.known_partitions(topics.ITEMS)
            answerer.partitions = max(answerer.partitions, partitions)
            if members is not None:
                owners = members.owners
                self._ranks = stood_by(range(partitions), owners, members.ids, members.me, self._config.standbys)
                mine = {partition for partition, owner in owners.items() if owner == members.me}
                self._want(self._ranks.keys() - mine)
            await _pause(stop, MEMBERS_SECONDS)

    def _to_follow(self) -> dict[int, object]:
        assigned = self._assigned()
        return {partition: token for partition, token in self._wanted.items() if partition not in assigned}

    def _want(self, partitions: set[int]) -> None:
        """The same token for what is stood by for already: it is not read anew."""
        self._wanted = {partition: self._wanted.get(partition) or object() for partition in partitions}

    # ------------------------------------------------------------------ answers

    async def listen(self, stop: asyncio.Event) -> None:
        """Hear the answers of all workers, until `stop` is set."""
        attempt = 0
        while not stop.is_set():
            try:
                async with open_consumer(self._settings, client="index") as consumer:
                    await consumer.tail(topics.HITS)
                    while not stop.is_set():
                        for message in await consumer.poll(POLL_S):
                            self._silence.take(message.value)
                        attempt = 0
            except (KafkaError, Retryable, OSError) as error:
                attempt += 1
                await self._patience.wait_or_raise("hits", error, attempt)

    def take(self, message: Message, probe: Probe) -> None:
        """A probe was read: answer it for the copies, where their owners do not."""
        at, left = self._clock(), max(0.0, probe.deadline - self._now())
        by_wait: dict[float, set[int]] = {}
        for one in self._standing():
            if asked(one, probe):
                by_wait.setdefault(self._wait(one.partition, probe), set()).add(one.partition)
        for wait, partitions in by_wait.items():
            if len(self._waiting) < MOST_OPEN:
                waiting = _Waiting(at + min(wait, left / 2), next(self._order), at, message, probe, partitions)
                heapq.heappush(self._waiting, waiting)
                self._more.set()

    def _wait(self, partition: int, probe: Probe) -> float:
        if isinstance(probe, LookupProbe) and probe.census is not None:
            return 0.0
        rank = self._ranks.get(partition, 0)
        return SILENCE_SECONDS * (rank if self._silence.silent(partition) else rank + 1)

    async def answer(self, answerer: ProbeAnswerer, stop: asyncio.Event) -> None:
        """Answer what nobody has answered when its time has come, until `stop` is set."""
        while not stop.is_set():
            self._more.clear()
            left = self._waiting[0].due - self._clock() if self._waiting else POLL_S
            if left > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(left, POLL_S)):
                        await self._more.wait()
                continue
            one = heapq.heappop(self._waiting)
            shards = [
                held for held in self._standing() if held.partition in one.partitions and self._is_missed(held, one)
            ]
            behind = {held.partition: self._silence.reached(one.probe.generation, held.partition) for held in shards}
            await answerer.stand_in(shards, one.message, one.probe, behind)

    def _is_missed(self, held: OwnedShard, one: _Waiting) -> bool:
        probe, partition = one.probe, held.partition
        if not asked(held, probe) or self._silence.answered(probe.query_id, partition):
            return False
        census = isinstance(probe, LookupProbe) and probe.census is not None
        if not census and self._clock() - one.at >= SILENCE_SECONDS and self._silence.miss(partition, one.at):
            log.warning("owner does not answer, its standby does", partition=partition)
        return True

    def _standing(self) -> list[OwnedShard]:
        found = {(one.shard.generation, one.partition): one for one in self._leaving() if not one.released}
        found |= {(one.shard.generation, one.partition): one for one in self.held() if not one.released}
        return list(found.values())


async def _nobody(_held: OwnedShard) -> None:
    """A copy that has come answers nothing that was asked before."""


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()


def stood_by(
    partitions: Iterable[int], owners: Mapping[int, str], members: Collection[str], me: str, standbys: int
) -> dict[int, int]:
    """Partition → rank of `me` among those that stand by for it (0: the first to answer); without those it does not stand by for.

    A member that comes or goes moves only the partitions that it had or has a part in: others keep what they hold in memory.

    Args:
        partitions: of the topic.
        owners: partition → who answers for it, where somebody does.
        members: of the group, owners too.
        me: one of them.
        standbys: how many stand by for each partition.
    """
    found: dict[int, int] = {}
    for partition in partitions:
        others = [member for member in members if member != owners.get(partition)]
        first = sorted(others, key=lambda member: _weight(member, partition))[:standbys]
        if me in first:
            found[partition] = first.index(me)
    return found


def _weight(member: str, partition: int) -> bytes:
    return blake2b(f"{partition}/{member}".encode(), digest_size=8).digest()
