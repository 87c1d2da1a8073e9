"""Probes: every worker reads them all and answers for the shards that it holds."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec

from index_sync.snapshot import Fenced
from infra.logs import logger
from processors.errors import Fatal, Poison
from streams.contract import codecs, topics
from streams.contract.cloudevents import output_headers
from streams.contract.limits import MAX_DEADLINE_MS
from streams.contract.probes import Answer, CensusAsk, LookupProbe, Probe
from streams.engine.failures import Failure, classify
from streams.engine.message import Message
from streams.engine.observer import Observer
from streams.kafka.producer import Sender, classify_kafka
from streams.roles.index.answers import answer_of
from streams.roles.index.census import census_of
from streams.roles.index.precedence import Precedence
from streams.roles.index.searches import Searches
from streams.roles.index.shards import STAGE, IndexConfig, OwnedShard
from streams.search.generations import FIRST

log = logger("weft.index")

MOST_OPEN = 10_000
"""Probes kept until their deadline, for shards that are still being recovered; the oldest give way."""
MOST_SECONDS = MAX_DEADLINE_MS / 1000
MOST_REPORTS = 64
"""Dead letters of probes on their way at once; past it a bad probe is only logged."""
WORK = "probes"
MOST_ANSWERING = 512
"""Probes answered at once; past it reading waits."""
ROWS_TOGETHER = 262_144
"""Rows of the shards that are searched at once, and answered for in one message: some milliseconds."""


class ProbeAnswerer:
    """Takes probes and answers them, each shard as soon as it is fresh enough.

    Args:
        config: of the worker.
        searching: the thread (or threads) that search.
        sender: for hits.
        report: sends a failure to the dead letters.
        observer: metrics.
        now: seconds since the epoch.
        tasks: owns the answers in progress.
        save: writes a snapshot of a shard, where a probe asks for one; whether one was written.
    """

    def __init__(
        self,
        config: IndexConfig,
        searching: Executor,
        sender: Sender,
        report: Callable[[Failure], Coroutine[Any, Any, None]],
        observer: Observer,
        now: Callable[[], float],
        tasks: asyncio.TaskGroup,
        save: Callable[[OwnedShard], Awaitable[bool]] | None = None,
    ) -> None:
        self._config = config
        self._save = save
        self._searching = Searches(searching, tasks)
        self._sender = sender
        self._report = report
        self._observer = observer
        self._now = now
        self._tasks = tasks
        self._answering = asyncio.Semaphore(MOST_ANSWERING)
        self._reporting = 0
        self.precedence = Precedence(time.monotonic)
        """Told of every search: a backfill gives way to them."""
        self._open: OrderedDict[tuple[str, str], tuple[Message, Probe]] = OrderedDict()
        self.partitions = 0
        """Partitions of `catalog.items`, as far as known."""
        self.beside: Callable[[Message, Probe], None] | None = None
        """Told of every probe, for shards of which this worker holds a copy."""

    async def take(self, message: Message, held: Iterable[OwnedShard], live: str = FIRST) -> None:
        """A probe was read: answer it for the shards held, and keep it for those still to come.

        Args:
            message: the probe.
            held: all shards of this worker, of whichever generation.
            live: the generation that answers where a probe names none.
        """
        everything = list(held)
        try:
            probe = codecs.decode_probe(message.value or b"")
        except Poison as error:
            self._observer.failed("probe", type(error).__name__)
            if any(
                shard.partition == 0 for shard in everything
            ):  # every worker reads this probe: one of them reports it
                self._report_beside(Failure(message, STAGE, error, 1))
            return
        if not probe.generation:
            probe = msgspec.structs.replace(probe, generation=live)
        shards = [held for held in everything if asked(held, probe)]
        now = self._now()
        if not probe.deadline <= now + MOST_SECONDS:
            # Nobody may ask for longer: a forged probe would hold its place for ever, and with it that of others.
            probe = msgspec.structs.replace(probe, deadline=now + MOST_SECONDS)
        while self._open and (len(self._open) >= MOST_OPEN or next(iter(self._open.values()))[1].deadline <= now):
            self._open.popitem(last=False)
        if probe.deadline > now:
            self._open[type(probe).__name__, probe.query_id] = (message, probe)
            await self._start(shards, _Question(message, probe))
            if self.beside is not None:
                self.beside(message, probe)

    def _report_beside(self, failure: Failure) -> None:
        """Searching goes on meanwhile: a letter that cannot be written must not end it."""
        if self._reporting >= MOST_REPORTS:
            log.warning("probe dropped without a dead letter", offset=failure.message.offset, cause=str(failure.error))
            return
        self._reporting += 1
        task = self._tasks.create_task(self._report(failure))
        task.add_done_callback(self._reported)

    def _reported(self, _task: object) -> None:
        self._reporting -= 1

    async def catch_up(self, held: OwnedShard) -> None:
        """A shard has come: answer for it what is still being waited for."""
        for message, probe in list(self._open.values()):
            if probe.deadline > self._now() and asked(held, probe):
                await self._start([held], _Question(message, probe))

    async def stand_in(
        self, shards: Sequence[OwnedShard], message: Message, probe: Probe, behind: Mapping[int, int]
    ) -> None:
        """Answer for shards of which this worker holds a copy; `behind`: partition → the offset that an answer must hold, where
        the owner has answered with it already.
        """
        await self._start(shards, _Question(message, probe, self._config.owner, behind))

    async def _start(self, shards: Sequence[OwnedShard], question: _Question) -> None:
        if shards and not _for_others(question):
            await self._answering.acquire()
            task = self._tasks.create_task(self._answer(shards, question))
            task.add_done_callback(lambda _: self._answering.release())

    async def _answer(self, shards: Sequence[OwnedShard], question: _Question) -> None:
        """Shards that are fresh enough answer at once, each other one as soon as it is, or in time for the deadline."""
        probe = question.probe
        if isinstance(probe, LookupProbe) and probe.census is not None:
            await self._count(shards, question, probe, probe.census)
            return
        fresh = [held for held in shards if held.applied >= question.wanted(held.partition)]
        if len(fresh) == len(shards):  # as nearly always: no task of its own
            await self._search(fresh, question)
            return
        stale = [held for held in shards if held not in fresh]
        await asyncio.gather(
            self._search(fresh, question), *(self._search_when_fresh(held, question) for held in stale)
        )

    async def _search_when_fresh(self, held: OwnedShard, question: _Question) -> None:
        with suppress(TimeoutError):
            left = question.probe.deadline - self._now() - self._config.reserve_seconds
            async with asyncio.timeout(max(left, 0.0)):
                while held.applied < question.wanted(held.partition) and not held.released:
                    await held.moved.wait()
        await self._search([held], question)

    async def _count(
        self, shards: Sequence[OwnedShard], question: _Question, probe: LookupProbe, ask: CensusAsk
    ) -> None:
        """What the shards hold, one after the other: a thread beside the searches, which do not wait for it."""
        for held in shards:
            saved = False
            if ask.save and self._save is not None:
                with suppress(Fenced):
                    saved = await self._save(held)
            found = await asyncio.to_thread(census_of, held.shard, probe, ask, self.partitions, saved=saved)
            if self._awaited(held, probe):
                await self._publish(question, found)

    async def _search(self, shards: Sequence[OwnedShard], question: _Question) -> None:
        message, probe = question.message, question.probe
        wanted = {held.partition: question.wanted(held.partition) for held in shards}
        deliveries: list[Awaitable[object]] = []
        for together in _groups(shards) if probe.joined else [[held] for held in shards]:
            # A group at a time, so that a query over many rows does not hold up the short ones behind it.
            group = [held for held in together if self._awaited(held, probe)]
            while group:
                found = await self._found(group, message, probe, wanted)
                still = [held for held in group if self._awaited(held, probe)]
                if found is None:
                    break
                if len(still) == len(group):
                    deliveries.append(asyncio.ensure_future(self._publish(question, found)))
                    break
                group = still  # one went to another worker meanwhile: the others answer without it
        await asyncio.gather(*deliveries)

    async def _found(
        self, group: Sequence[OwnedShard], message: Message, probe: Probe, wanted: Mapping[int, int]
    ) -> Answer | None:
        """What these shards answer; None where the probe makes our own code raise."""
        started = asyncio.get_running_loop().time()
        self.precedence.begin()
        self._observer.working(WORK, waiting=True)
        shards = [held.shard for held in group]
        # Before their states are looked at: what is said to be in then is in.
        reached = {held.partition: held.applied for held in group if held.source_next is not None}
        try:
            found = await self._searching.run(lambda: answer_of(shards, probe, self.partitions, wanted, reached))
        except Exception as error:
            verdict = classify(error, "cpu")
            if not isinstance(verdict, Poison):
                raise
            # Whatever a probe makes our own code raise ends that probe only; a search changes nothing.
            log.exception("a probe cannot be answered", offset=message.offset, partition=shards[0].partition)
            self._observer.failed("search", type(error).__name__)
            self._report_beside(Failure(message, STAGE, verdict, 1))
            return None
        finally:
            self.precedence.end()
            self._observer.worked(WORK)
            self._observer.working(WORK, waiting=self.precedence.searching)
        self._observer.stage_done("search", asyncio.get_running_loop().time() - started)
        return found

    def _awaited(self, held: OwnedShard, probe: Probe) -> bool:
        """Whether this shard's answer is wanted: else the new owner answers (ours may be the staler), or nobody listens."""
        return not held.released and probe.deadline > self._now()

    async def _publish(self, question: _Question, found: Answer) -> None:
        number = found.partition + 1
        if question.standby:
            # Another event than the owner's answer, which may come beside it.
            found, number = msgspec.structs.replace(found, standby=question.standby), -number
        headers = output_headers(question.message, stage=STAGE, topic=topics.HITS, number=number)
        key, value = found.query_id.encode(), codecs.encode(found)
        try:
            await (await self._sender.send(topics.HITS, key=key, value=value, headers=headers))
        except Exception as error:
            verdict = classify_kafka(error, "io")
            if isinstance(verdict, Fatal):
                raise verdict from error
            # Not repeated: the asker has a deadline, and takes the missing shard for a partial answer.
            self._observer.failed("hits", type(error).__name__)


@dataclass(frozen=True, slots=True)
class _Question:
    """A probe that is answered. `standby`: who answers, where it is not the owner of the shards; `behind`: see `stand_in`."""

    message: Message
    probe: Probe
    standby: str = ""
    behind: Mapping[int, int] = field(default_factory=dict)

    def wanted(self, partition: int) -> int:
        """The offset that an answer must hold to be fresh; 0: any is."""
        return max(self.probe.min_offsets.get(f"{topics.ITEMS}-{partition}", 0), self.behind.get(partition, 0))


def _for_others(question: _Question) -> bool:
    """Whether a census asks owners and a standby would answer, or the other way round."""
    census = question.probe.census if isinstance(question.probe, LookupProbe) else None
    return census is not None and census.standbys != bool(question.standby)


def asked(held: OwnedShard, probe: Probe) -> bool:
    """Whether a probe is for this shard: of its generation, and where it names one, of its partition."""
    named = probe.partition if isinstance(probe, LookupProbe) else None
    return held.shard.generation == probe.generation and named in {None, held.partition}


def _groups(shards: Sequence[OwnedShard]) -> list[list[OwnedShard]]:
    """Shards that are searched together."""
    groups: list[list[OwnedShard]] = []
    rows = 0
    for held in shards:
        more = sum(window.rows for window in held.shard.state.windows)
        if not groups or rows + more > ROWS_TOGETHER:
            groups.append([])
            rows = 0
        groups[-1].append(held)
        rows += more
    return groups
