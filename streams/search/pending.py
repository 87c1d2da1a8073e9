"""Queries that wait for the answers of shards: one tail of `search.hits` delivers to all queries of a compose process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from processors.errors import Retryable
from streams.contract.records import Answer, Probe

ALIVE_S = 15.0
MAX_OPEN = 1000
"""Questions open at once; a further one is refused as `Retryable`, so that the role slows down instead of swelling."""


@dataclass(slots=True)
class _Open:
    """One question and the answers so far, by partition."""

    answers: dict[int, Answer] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)


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

    def deliver(self, answer: Answer) -> None:
        """Called by the tail of `search.hits`; answers to questions of others, or too late, are dropped."""
        question = self._open.get(answer.query_id)
        if question is not None:
            known = question.answers.get(answer.partition)
            if known is not None and known.applied_offset > answer.applied_offset:
                return  # a shard that moved between two workers may be answered for twice, and the staler come last
            question.answers[answer.partition] = answer
            question.changed.set()

    async def ask(self, probe: Probe, enough: Callable[[dict[int, Answer]], bool]) -> dict[int, Answer]:
        """Send `probe` and gather answers by partition until `enough`, or until the probe's deadline."""
        async with self._question(probe.query_id) as question:
            await self._send(probe)
            while not enough(question.answers):
                left = probe.deadline - self._now()
                if left <= 0:
                    break
                question.changed.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(left, ALIVE_S)):
                        await question.changed.wait()
                self._alive()
            return dict(question.answers)

    @asynccontextmanager
    async def _question(self, query_id: str) -> AsyncIterator[_Open]:
        if len(self._open) >= MAX_OPEN:
            raise Retryable(f"{MAX_OPEN} queries are open already")
        question = self._open[query_id] = _Open()
        try:
            yield question
        finally:
            # The same id asked twice at once: the later question has taken the place of this one.
            if self._open.get(query_id) is question:
                del self._open[query_id]


def all_answered(answers: dict[int, Answer]) -> bool:
    """Every shard has answered."""
    return bool(answers) and len(answers) >= next(iter(answers.values())).of
