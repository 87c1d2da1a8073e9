"""What the index role waits for, and what ends it: only trouble that passes is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from processors.errors import Fatal, Retryable
from streams.engine.backoff import Backoff
from streams.engine.failures import Failure
from streams.engine.lanes import DeadLetter
from streams.engine.observer import Observer
from streams.kafka.producer import classify_kafka

LAST_LETTER_SECONDS = 5.0
"""How long a stop waits for a dead letter that is on its way."""
_UNSAID = "stopped before a dead letter was durable; no snapshot has passed it, it is written after the next start"


class Patience:
    """Waits before the next attempt, or raises what no attempt would mend.

    Args:
        observer: told of every attempt that is repeated.
        backoff: how long to wait.
    """

    def __init__(self, observer: Observer, backoff: Backoff) -> None:
        self._observer, self._backoff = observer, backoff

    async def wait_or_raise(self, stage: str, error: Exception, attempt: int) -> None:
        """Wait after failed attempt number `attempt`. Raises `Fatal` for what does not pass."""
        verdict = classify_kafka(error, "io")
        if not isinstance(verdict, Retryable):
            raise Fatal(f"{stage}: {verdict}") from error
        self._observer.retried(stage, type(error).__name__)
        await asyncio.sleep(self._backoff.delay(attempt))


class LastingLetters:
    """Dead letters that are durable when `report` returns.

    Args:
        dead_letter: hands a letter to the broker.
        patience: between attempts.
    """

    def __init__(self, dead_letter: DeadLetter, patience: Patience) -> None:
        self._dead_letter, self._patience = dead_letter, patience
        self.stop = asyncio.Event()
        """Set when the role is being stopped."""

    async def report(self, failure: Failure) -> None:
        """Send to the dead letters, for as long as it takes.

        Raises:
            Fatal: the role is being stopped, or the letter can never be written.
        """
        attempt = 0
        while True:
            try:
                await self._until_stopped(failure)
            except Fatal:
                raise
            except Exception as error:
                attempt += 1
                await self._patience.wait_or_raise("dead-letter", error, attempt)
                if self.stop.is_set():
                    raise Fatal(_UNSAID) from error
            else:
                return

    async def _until_stopped(self, failure: Failure) -> None:
        """One attempt; the producer, which waits for a broker without end, is not waited for long after a stop."""
        writing = asyncio.create_task(self._write(failure), name="index:dead-letter")
        stopping = asyncio.create_task(self.stop.wait(), name="index:stopping")
        try:
            await asyncio.wait([writing, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not writing.done():
                await asyncio.wait([writing], timeout=LAST_LETTER_SECONDS)
            if not writing.done():
                raise Fatal(_UNSAID)
            writing.result()
        finally:
            writing.cancel()
            stopping.cancel()
            await asyncio.gather(writing, stopping, return_exceptions=True)

    async def _write(self, failure: Failure) -> None:
        for delivery in await self._dead_letter(failure):
            await delivery


def first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The exception that ends the process: a `Fatal` before any other."""
    found = list(_flat(group))
    return next((error for error in found if isinstance(error, Fatal)), found[0])


def _flat(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _flat(error)
        else:
            yield error
