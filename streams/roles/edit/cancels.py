"""Requests that a null record under their key takes back."""

from __future__ import annotations

from dataclasses import dataclass, field

from processors.errors import Code, Poison
from streams.engine.message import Message


@dataclass(slots=True)
class Cancels:
    """The requests of this worker that are at work, by the key of their record. All calls come from the event loop but `check`."""

    _open: dict[tuple[str, int, int], bytes] = field(default_factory=dict)
    _gone: set[tuple[str, int, int]] = field(default_factory=set)

    def begin(self, message: Message) -> None:
        """A request is at work."""
        self._open[message.source] = message.key or b""

    def end(self, message: Message) -> None:
        """It has its result."""
        self._open.pop(message.source, None)
        self._gone.discard(message.source)

    def cancel(self, message: Message) -> int:
        """A null record: what was asked before it under its key is not done any more; how many that were."""
        key = message.key or b""
        found = [
            source
            for source, asked in self._open.items()
            if key and asked == key and source[:2] == message.source[:2] and source[2] < message.offset
        ]
        self._gone.update(found)
        return len(found)

    @property
    def gone(self) -> int:
        """How many of them were taken back and have no result yet."""
        return len(self._gone)

    def check(self, message: Message) -> None:
        """Raises `Poison` where the request was taken back."""
        if message.source in self._gone:
            raise Poison("taken back by a null record under its key", code=Code.CANCELLED)
