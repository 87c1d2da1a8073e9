"""Queries that wait for the answers of shards: one tail of `search.hits` delivers to all queries of a compose process."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from msgspec.structs import replace

from processors.errors import Retryable
from streams.contract.probes import About, Answer, Found, Hits, Probe, SearchProbe, Standing
from streams.contract.records import Hit

ALIVE_S = 15.0
MOST_ANSWERS = 1000
"""To one question, that are remembered."""
MAX_OPEN = 1000
"""Questions open at once; a further one is refused as `Retryable`, so that the role slows down instead of swelling."""


@dataclass(slots=True)
class _Open:
    """One question and the answers so far, by partition; and as what each came, which may be for many partitions."""

    most: int  # hits that an answer may hold
    generation: str  # whose answers count; "": any
    answers: dict[int, Answer] = field(default_factory=dict)
    came: dict[int, Answer] = field(default_factory=dict)
    all: list[Answer] = field(default_factory=list)  # as they came
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, answer: Answer) -> None:
        if self.generation and answer.generation != self.generation:
            return  # a worker of an earlier version answers from the one that it knows: two are never mixed
        if len(self.all) < MOST_ANSWERS:
            self.all.append(answer)
        for one in apart(answer):
            known = self.answers.get(one.partition)
            if known is None or _replaces(one, known):
                self.answers[one.partition] = one
                self.came[one.partition] = answer

    def settled(self) -> dict[int, Answer]:
        """The answers by partition. Those whose hits may be too few are not `fresh`.

        The best hits of many shards are cut at the number that was asked for. When one of those shards is answered for by
        another worker (it moved meanwhile, or its standby answered, too), the hits of the others that its own had displaced are
        nowhere; and what was counted of them together is true of no part of them. Then answers are taken that are whole, if
        some of those that came are for all shards together.
        """
        counts = Counter(map(id, self.came.values()))
        cut = {partition for partition, came in self.came.items() if self._cut(came, counts)}
        if cut and (whole := _whole(self.all)).keys() >= self.answers.keys():
            return whole
        return {
            partition: replace(answer, fresh=False) if partition in cut else answer
            for partition, answer in self.answers.items()
        }

    def _cut(self, came: Answer, counts: Mapping[int, int]) -> bool:
        whole = counts[id(came)] == 1 + len(came.others)
        if whole or not isinstance(came, Hits):
            return False
        return len(came.hits) >= self.most or bool(came.counts or came.ranges)


class PendingQueries:
    """Asks all shards and gathers their answers.

    Args:
        send: publishes a probe; returns when the broker has it.
        now: seconds since the epoch (deadlines are absolute, they travel between machines).
        alive: called now and then while a query waits: one with a long deadline is no sign of a role that hangs.
    """

    def __init__(
        self,
        send: Callable[[Probe], Awaitable[None]],
        now: Callable[[], float],
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        self._send, self._now, self._alive = send, now, alive
        self._open: dict[str, _Open] = {}

    @property
    def waiting(self) -> bool:
        """Whether any question is open: of what comes otherwise nothing need be decoded."""
        return bool(self._open)

    def deliver(self, answer: Answer) -> None:
        """Called by the tail of `search.hits`; answers to questions of others, or too late, are dropped."""
        question = self._open.get(answer.query_id)
        if question is not None:
            question.take(answer)
            question.changed.set()

    async def ask(self, probe: Probe, enough: Callable[[dict[int, Answer]], bool]) -> dict[int, Answer]:
        """Send `probe` and gather answers by partition until `enough`, or until the probe's deadline."""
        with self._question(probe) as question:
            await self._send(probe)
            while not enough(question.answers):
                left = probe.deadline - self._now()
                if left <= 0:
                    break
                question.changed.clear()
                timer = asyncio.get_running_loop().call_later(min(left, ALIVE_S), question.changed.set)
                try:
                    await question.changed.wait()
                finally:
                    timer.cancel()
                self._alive()
            return question.settled()

    async def gather(self, probe: Probe) -> list[Answer]:
        """Send `probe`, and every answer until its deadline: of a shard, too, that several answer for."""
        with self._question(probe) as question:
            await self._send(probe)
            await asyncio.sleep(max(0.0, probe.deadline - self._now()))
            return question.all

    @contextmanager
    def _question(self, probe: Probe) -> Iterator[_Open]:
        if len(self._open) >= MAX_OPEN:
            raise Retryable(f"{MAX_OPEN} queries are open already")
        query_id = probe.query_id
        question = self._open[query_id] = _Open(probe.top_k if isinstance(probe, SearchProbe) else 0, probe.generation)
        try:
            yield question
        finally:
            # The same id asked twice at once: the later question has taken the place of this one.
            if self._open.get(query_id) is question:
                del self._open[query_id]


def _whole(answers: Sequence[Answer]) -> dict[int, Answer]:
    """Answers none of which is for a shard of another one, those for most shards first, by partition; only fresh ones."""
    found: dict[int, Answer] = {}
    for parts in sorted(map(apart, answers), key=len, reverse=True):
        if all(one.fresh and one.partition not in found for one in parts):
            found |= {one.partition: one for one in parts}
    return found


def _replaces(one: Answer, known: Answer) -> bool:
    """Whether a shard's further answer takes the place of the one that came first.

    A shard that moved between two workers may be answered for twice, and the staler come last. A standby and the owner may
    both answer, too: then the first one stands as long as it is as fresh as was asked. Its hits came with those of other
    shards, of which some were displaced: an answer that is taken apart for nothing would leave too few.
    """
    if one.applied_offset <= known.applied_offset:
        return False
    return not known.fresh or not (one.standby or known.standby)


def apart(answer: Answer) -> Sequence[Answer]:
    """An answer for many shards as the answer of each."""
    if not answer.others:
        return (answer,)
    own = Standing(answer.partition, answer.applied_offset, answer.fresh)
    if isinstance(answer, Found):
        empty = Found(answer.query_id, own.partition, answer.of, answer.generation, own.applied_offset, own.fresh)
        empty = replace(empty, standby=answer.standby)
        others = [
            replace(empty, partition=one.partition, applied_offset=one.applied_offset, fresh=one.fresh)
            for one in answer.others
        ]
        return (replace(answer, others=()), *others)
    hits: dict[int, list[Hit]] = {}
    about: dict[int, list[About]] = {}
    for partition, hit in zip(answer.partitions, answer.hits, strict=False):
        hits.setdefault(partition, []).append(hit)
    for partition, one in zip(answer.partitions, answer.about, strict=False):
        about.setdefault(partition, []).append(one)
    own = Standing(own.partition, own.applied_offset, own.fresh, answer.error, answer.unknown_facets)
    return [
        Hits(
            query_id=answer.query_id,
            partition=one.partition,
            of=answer.of,
            generation=answer.generation,
            applied_offset=one.applied_offset,
            fresh=one.fresh,
            hits=tuple(hits.get(one.partition, ())),
            error=one.error,
            unknown_facets=one.unknown_facets,
            typed=answer.typed,
            composed=answer.composed,
            about=tuple(about.get(one.partition, ())),
            # Of all these shards together: said once.
            total=answer.total if one is own else 0,
            counts=answer.counts if one is own else {},
            ranges=answer.ranges if one is own else {},
            words=answer.words,
            standby=answer.standby,
        )
        for one in (own, *answer.others)
    ]


def all_answered(answers: dict[int, Answer]) -> bool:
    """Every shard has answered."""
    return bool(answers) and len(answers) >= next(iter(answers.values())).of
