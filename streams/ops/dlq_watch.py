"""How many dead letters are open, for the metrics: both topics are followed, and nothing of a letter is kept but its id."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping

from infra.logs import logger
from infra.settings import Settings
from streams.contract import topics
from streams.engine.message import Message
from streams.kafka.client import Reader
from streams.kafka.consumer import QUIET_WAIT_MS
from streams.ops.dlq_letters import read_letter, recorded_in, settles

log = logger(__name__)

PERIOD_S = 10.0
PAUSE_S = 30.0
"""After trouble: a broker that is away, topics that are not there yet, a right that is missing."""


MOST = 100_000
"""Letters, and marks, that are remembered: letters are kept for ever, and a role's memory is not for them."""


class OpenLetters:
    """The letters that are neither put back nor dropped, as far as both topics have been read.

    Args:
        most: letters that are remembered, and marks; those read longest ago give way, and are not counted any more.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._lie: OrderedDict[str, tuple[int, int, int]] = OrderedDict()  # partition, offset, timestamp of the record
        self._done: OrderedDict[str, int] = OrderedDict()

    def letter(self, message: Message) -> None:
        """A record of `weft.dead-letters`; copies of one letter count once."""
        letter = read_letter(message)
        self._lie[letter.id] = (message.partition, message.offset, letter.recorded)
        self._lie.move_to_end(letter.id)
        if len(self._lie) > self._most:
            self._lie.popitem(last=False)

    def mark(self, message: Message) -> None:
        """A record of `weft.dead-letters.done`; a null value opens the letter again."""
        letter_id = (message.key or b"").decode(errors="replace")
        if message.value is None:
            self._done.pop(letter_id, None)
        else:
            self._done[letter_id] = recorded_in(message.value)
            self._done.move_to_end(letter_id)
            if len(self._done) > self._most:
                self._done.popitem(last=False)

    def kept(self, bounds: Mapping[int, tuple[int, int]]) -> None:
        """Forget the letters that the topic does not keep any more: nobody can settle them."""
        gone = [
            letter_id
            for letter_id, (partition, offset, _) in self._lie.items()
            if offset < bounds.get(partition, (0, 0))[0]
        ]
        for letter_id in gone:
            del self._lie[letter_id]

    @property
    def count(self) -> int:
        """So many are open."""
        return sum(not settles(self._done.get(one), recorded) for one, (_, _, recorded) in self._lie.items())


async def watch_letters(settings: Settings, tell: Callable[[int], None], *, client: str = "enrich") -> None:
    """Tell the number of open letters every few seconds, for ever. No trouble ends it: it is a number, no more."""
    said = ""
    while True:
        try:
            await _follow(settings, tell, client)
        except Exception as error:  # noqa: BLE001 - a number that is missing must not end a role
            cause = f"{type(error).__name__}: {error}"
            if cause != said:  # a right that is missing stays so: once is enough
                log.warning("dead_letters.unknown", cause=cause)
            said = cause
        await asyncio.sleep(PAUSE_S)


async def _follow(settings: Settings, tell: Callable[[int], None], client: str) -> None:
    found = OpenLetters()
    async with (
        # They read now and then only, and what they wait for in between may wait.
        Reader(settings, topics.DEAD_LETTERS, client=client, fetch_wait_ms=QUIET_WAIT_MS) as letters,
        Reader(settings, topics.DEAD_LETTERS_DONE, client=client, fetch_wait_ms=QUIET_WAIT_MS) as marks,
    ):
        while True:
            async for message in letters.to_end():
                found.letter(message)
            async for message in marks.to_end():
                found.mark(message)
            found.kept(await letters.bounds())
            tell(found.count)
            await asyncio.sleep(PERIOD_S)
